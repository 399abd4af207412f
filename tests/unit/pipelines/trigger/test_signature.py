import pytest
from mlflow.webhooks.delivery import _generate_hmac_signature

from pipelines.trigger.signature import VALID_SECONDS, RefusedError, check_signature, sign

SECRET, BODY, NOW = "a secret of the webhook", b'{"entity": "model_version"}', 1_800_000_000.0


def headers(**changes):
    values = {"x-mlflow-delivery-id": "d1", "x-mlflow-timestamp": str(int(NOW))} | changes
    signature = sign(BODY, SECRET, values["x-mlflow-delivery-id"], values["x-mlflow-timestamp"])
    return {"x-mlflow-signature": signature, **values}


def test_mlflow_signs_as_we_check():
    assert sign(BODY, SECRET, "d1", "17") == _generate_hmac_signature(SECRET, "d1", "17", BODY.decode())


def test_a_true_delivery_gives_its_id():
    assert check_signature(headers(), BODY, SECRET, NOW + VALID_SECONDS) == "d1"


@pytest.mark.parametrize("seconds", [VALID_SECONDS + 1, -VALID_SECONDS - 1])
def test_a_stale_delivery_is_refused(seconds):
    with pytest.raises(RefusedError, match="seconds ago"):
        check_signature(headers(), BODY, SECRET, NOW + seconds)


@pytest.mark.parametrize("name", list(headers()))
def test_every_header_is_needed(name):
    given = headers()
    del given[name]
    with pytest.raises(RefusedError, match="missing"):
        check_signature(given, BODY, SECRET, NOW)


@pytest.mark.parametrize(
    ("body", "secret", "changed"),
    [
        (BODY + b" ", SECRET, {}),
        (BODY, SECRET + "x", {}),
        (BODY, SECRET, {"x-mlflow-delivery-id": "d2"}),
        (BODY, SECRET, {"x-mlflow-timestamp": str(int(NOW) + 1)}),
        (BODY, SECRET, {"x-mlflow-signature": "v1,"}),
        (BODY, SECRET, {"x-mlflow-signature": "v1,Ã¤"}),
    ],
)
def test_a_forged_delivery_is_refused(body, secret, changed):
    with pytest.raises(RefusedError, match="does not match"):
        check_signature(headers() | changed, body, secret, NOW)
