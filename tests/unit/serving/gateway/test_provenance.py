"""Pictures carry a signed claim that holds, and stops holding when anything is changed."""

import io
import shutil

import numpy as np
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from rats_train.errors import UserError
from serving.gateway.finishing import Finisher
from serving.gateway.provenance import Claim, Signer, verify_image
from serving.protocol import Job
from serving.triton.client import Picture
from tests.unit.serving.gateway.fake_server import package

CLAIM = Claim("student", 3, "ab" * 32, 7, 8, 8)
PIXELS = np.random.default_rng(0).integers(0, 256, (48, 64, 3), dtype=np.uint8)
STILL = np.zeros((4, 32, 32, 3), dtype=np.uint8)  # all frames equal


@pytest.fixture
def signer(tmp_path):
    return Signer(tmp_path / "keys")


def write(tmp_path, data, name="picture"):
    file = tmp_path / name
    file.write_bytes(data)
    return file


@pytest.mark.parametrize(
    ("pixels", "kind"),
    [(PIXELS, "png"), (PIXELS, "webp"), (PIXELS, "jpeg"), (np.stack([PIXELS, 255 - PIXELS]), "webp"), (STILL, "png")],
)
def test_what_was_signed_is_verified(signer, tmp_path, pixels, kind):
    data = signer.signed_file(pixels, kind, CLAIM)
    claim = verify_image(write(tmp_path, data), tmp_path / "keys")
    assert (claim.model, claim.version, claim.seed, claim.step) == ("student", 3, 7, 8)
    assert data == signer.signed_file(pixels, kind, CLAIM), "the same request gives other bytes"
    assert b"trainedAlgorithmicMedia" in data


@pytest.mark.parametrize("kind", ["png", "webp"])
def test_signing_changes_no_pixel(signer, kind):
    np.testing.assert_array_equal(
        np.asarray(Image.open(io.BytesIO(signer.signed_file(PIXELS, kind, CLAIM))).convert("RGB")), PIXELS
    )


def test_a_changed_pixel_is_seen(signer, tmp_path):
    picture = Image.open(io.BytesIO(signer.signed_file(PIXELS, "png", CLAIM)))
    kept = PngInfo()
    kept.add_itxt("XML:com.adobe.xmp", picture.info["XML:com.adobe.xmp"])
    picture.putpixel((0, 0), tuple(int(value) ^ 1 for value in PIXELS[0, 0]))
    picture.save(tmp_path / "edited.png", pnginfo=kept)
    with pytest.raises(UserError, match="it was edited"):
        verify_image(tmp_path / "edited.png", tmp_path / "keys")


def test_a_changed_claim_is_seen(signer, tmp_path):
    data = signer.signed_file(PIXELS, "webp", CLAIM).replace(b'"seed": 7', b'"seed": 8')
    with pytest.raises(UserError, match="its claim was changed"):
        verify_image(write(tmp_path, data), tmp_path / "keys")


def test_another_server_s_picture_is_not_ours(signer, tmp_path):
    data = Signer(tmp_path / "others").signed_file(PIXELS, "png", CLAIM)
    with pytest.raises(UserError, match="another server's"):
        verify_image(write(tmp_path, data), tmp_path / "keys")


def test_what_carries_nothing_or_is_no_picture_is_told(signer, tmp_path):
    Image.fromarray(PIXELS).save(tmp_path / "plain.png")
    with pytest.raises(UserError, match="carries no claim"):
        verify_image(tmp_path / "plain.png", tmp_path / "keys")
    with pytest.raises(UserError, match="not a readable picture"):
        verify_image(write(tmp_path, b"text"), tmp_path / "keys")
    with pytest.raises(UserError, match="not a readable picture: No such file"):
        verify_image(tmp_path / "missing.png", tmp_path / "keys")
    with pytest.raises(UserError, match=r"copy the server's pictures\.pub\.pem"):
        verify_image(tmp_path / "plain.png", tmp_path / "nothing")


def test_a_folder_that_cannot_hold_a_key_is_told(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=r"no key to sign pictures with.*pictures\.pem"):
        Signer(tmp_path / "file")


def test_the_key_is_not_the_one_of_packages(signer, tmp_path):
    assert {path.name for path in (tmp_path / "keys").iterdir()} == {"pictures.pem", "pictures.pub.pem"}


def test_a_preview_says_that_it_is_one_and_every_picture_names_its_package(signer, tmp_path):
    student = package(tmp_path)
    data = Finisher(signer).file(student, Job("two secret owls", 7, 8), Picture(2, PIXELS), "png")
    claim = verify_image(write(tmp_path, data), tmp_path / "keys")
    assert (claim.step, claim.num_inference_steps) == (2, 8)
    assert len(claim.package_sha256) == 64
    assert b"secret" not in data
    shutil.rmtree(tmp_path / "keys")
