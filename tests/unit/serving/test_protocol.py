import dataclasses

import pytest

from serving.protocol import Job, ModelConfig

CONFIGS = [
    ModelConfig("student", False, 1),
    ModelConfig("clips", True, 12, "KIND_CPU"),
    ModelConfig("a", False, 3, "KIND_GPU"),
]


@pytest.mark.parametrize("config", CONFIGS)
def test_a_config_is_read_as_it_was_written(config):
    assert ModelConfig.parse(config.name, config.video, config.text()) == config


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("fewstep", "python"),
        ("KIND_AUTO", "KIND_MODEL"),
        ("count: 1", "count: 2"),
        ("decoupled: true", "decoupled: false"),
        ("versions: [ 1 ]", "versions: [ 1, 2 ]"),
        ("versions: [ 1 ]", ""),
        ('name: "student"', 'name: "other"'),
        ("instance_group", 'parameters { key: "EXECUTION_ENV_PATH" }\ninstance_group'),
    ],
)
def test_nothing_but_version_and_kind_may_change(old, new):
    text = CONFIGS[0].text()
    assert old in text
    with pytest.raises(ValueError, match="not a config of this release"):
        ModelConfig.parse("student", False, text.replace(old, new))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"guidance": float("nan")}, "GUIDANCE is nan: write a number from 0 to 30"),
        ({"guidance": -1.0}, "GUIDANCE is -1.0"),
        ({"guidance": 1e9}, "GUIDANCE is"),
        ({"seed": -1}, "SEED is -1: write a whole number from 0"),
        ({"seed": 2**53}, "SEED is"),
        ({"format": "bmp"}, "FORMAT is 'bmp': write png, webp or jpeg"),
    ],
)
def test_a_job_that_can_never_be_drawn_says_what_to_write(values, message):
    job = Job("two owls", 0, 3)
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(job, **values)
