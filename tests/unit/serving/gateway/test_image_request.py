import pytest
from pydantic import ValidationError

from serving.gateway.errors import explain
from serving.gateway.image_request import ImageRequest

CASES = [
    ({"n": 3}, "prompt", "prompt is missing: it must be a Unicode text"),
    ({"prompt": ""}, "prompt", "prompt must be a Unicode text of 1 to 4000 characters"),
    ({"prompt": "x" * 4001}, "prompt", "1 to 4000 characters"),
    ({"prompt": "\ud800"}, "prompt", "Unicode text"),
    ({"prompt": 7}, "prompt", "Unicode text"),
    ({"prompt": "x", "n": 11}, "n", "n must be a whole number from 1 to 10"),
    ({"prompt": "x", "n": True}, "n", "whole number"),
    ({"prompt": "x", "n": float("nan")}, "n", "whole number"),
    ({"prompt": "x", "seed": -1}, "seed", "from 0 to 9007199254740991"),
    ({"prompt": "x", "response_format": "png"}, "response_format", "'b64_json' or 'url'"),
    ({"prompt": "x", "output_format": "gif"}, "output_format", "'png', 'webp' or 'jpeg'"),
    ({"prompt": "x", "num_inference_steps": "3"}, "num_inference_steps", "whole number"),
    ({"prompt": "x", "user": "u" * 257}, "user", "at most 256"),
    ({"prompt": "x", "stream": "yes"}, "stream", "true or false"),
    ({"prompt": "x", "partial_images": -1}, "partial_images", "a whole number from 0 to 100"),
    ({"prompt": "x", "guidance_scale": float("inf")}, "guidance_scale", "a number from 0 to 30"),
    ({"prompt": "x", "negative_prompt": 3}, "negative_prompt", "a Unicode text"),
    ({"prompt": "x", "sede": 1}, "sede", "unknown parameter 'sede': did you mean 'seed'?"),
    ({"prompt": "x", "zzz": 1}, "zzz", "unknown parameter 'zzz': known are prompt, model"),
]


@pytest.mark.parametrize(("body", "param", "message"), CASES)
def test_each_mistake_is_answered_with_the_rule(body, param, message):
    with pytest.raises(ValidationError) as failure:
        ImageRequest.model_validate(body)
    errors = [{**error, "loc": ("body", *error["loc"])} for error in failure.value.errors()]
    answer = explain(errors)
    assert answer.status == 400
    assert answer.param == param
    assert message in answer.message


def test_every_parameter_has_a_rule_and_null_means_not_given():
    assert all(field.description for field in ImageRequest.model_fields.values())
    names = set(ImageRequest.model_fields) - {"prompt"}
    assert ImageRequest.model_validate({"prompt": "x", **dict.fromkeys(names)}).prompt == "x"
