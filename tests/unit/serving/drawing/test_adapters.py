"""LoRA adapters by name: packaged, signed, and drawn as stock diffusers draws them, in any company."""

from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import DiffusionPipeline
from safetensors.torch import save_file

from rats_train.errors import UserError
from rats_train.models.adapter_file import ADAPTER_FILE
from serving.drawing.draw import draw
from serving.drawing.stepping import Stepper
from serving.keys import signing_keys
from serving.package.contents import Package
from serving.package.verification import verify_package
from serving.packaging.student import package_student
from serving.protocol import Job
from tests.pixels import assert_same_picture
from tests.tiny_adapters import make_adapter


@pytest.fixture(scope="module")
def adapters(tiny_student_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("adapters")
    return {name: make_adapter(tiny_student_dir, folder / name, seed) for seed, name in enumerate(("ink", "oil"))}


@pytest.fixture(scope="module")
def package(tiny_student_dir: Path, adapters: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Package:
    folder = tmp_path_factory.mktemp("package")
    version = package_student(
        tiny_student_dir, folder / "models", prompts=["two owls"], adapters=adapters, keys=folder / "keys"
    )
    return verify_package(version, signing_keys(folder / "keys").public)


def test_adapters_change_the_picture_as_in_stock_diffusers_whatever_the_company(
    package: Package, tiny_student_dir: Path, adapters: dict[str, Path]
) -> None:
    assert package.adapters == ["ink", "oil"]
    stepper = Stepper(package)
    jobs = [Job("two owls", 1, steps, adapter=name) for steps in (5, 3) for name in ("ink", "", "oil")]
    together = draw(stepper, jobs)
    for job, pixels in zip(jobs, together, strict=True):
        np.testing.assert_array_equal(draw(stepper, [job])[0], pixels)
    assert len({pixels.tobytes() for pixels in together}) == len(jobs)
    stock = DiffusionPipeline.from_pretrained(tiny_student_dir, text_encoder_3=None, tokenizer_3=None)
    stock.set_progress_bar_config(disable=True)
    stock.load_lora_weights(adapters["oil"])
    drawn = stock("two owls", num_inference_steps=5, guidance_scale=1.0, generator=torch.Generator().manual_seed(1))
    assert_same_picture(together[2], np.asarray(drawn.images[0]))


def test_an_unknown_adapter_is_refused_with_those_there_are(package: Package) -> None:
    with pytest.raises(ValueError, match="ADAPTER is 'inks': this version's adapters are ink, oil"):
        Stepper.rows(_without_weights(package), Job("two owls", 1, 3, adapter="inks"))


def _without_weights(package: Package) -> Stepper:
    stepper = Stepper.__new__(Stepper)
    stepper._package = package
    return stepper


def test_an_adapter_is_part_of_what_was_signed(package: Package) -> None:
    file = package.adapter("ink") / ADAPTER_FILE
    data = file.read_bytes()
    file.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    try:
        with pytest.raises(UserError, match="Hash mismatch for 'adapters/ink/"):
            verify_package(package.path, signing_keys(package.path.parents[2] / "keys").public)
    finally:
        file.write_bytes(data)


@pytest.mark.parametrize(
    ("name", "tensors", "message"),
    [
        ("ink", {"text_encoder.q.lora_A.weight": torch.zeros(1)}, "holds text_encoder.q.lora_A.weight"),
        ("ink", {"transformer.proj_out.weight": torch.zeros(1)}, "LoRA factors of the transformer alone"),
        ("ink", {}, "holds nothing"),
        ("../ink", {"transformer.q.lora_A.weight": torch.zeros(1)}, "cannot be called '../ink'"),
    ],
)
def test_what_is_no_adapter_is_not_packaged(tiny_student_dir, tmp_path, name, tensors, message):
    save_file(tensors, tmp_path / ADAPTER_FILE)
    with pytest.raises(UserError, match=message):
        package_student(tiny_student_dir, tmp_path / "repo", adapters={name: tmp_path}, keys=tmp_path / "keys")


def test_a_missing_adapter_says_what_to_name(tiny_student_dir, tmp_path):
    with pytest.raises(UserError, match="no LoRA adapter at"):
        package_student(tiny_student_dir, tmp_path / "repo", adapters={"ink": tmp_path / "x"}, keys=tmp_path / "keys")


def test_an_adapter_of_another_transformer_is_refused_when_packaging(tiny_student_dir, tmp_path):
    save_file(
        {
            "transformer.transformer_blocks.0.attn.to_q.lora_A.weight": torch.zeros(2, 7),
            "transformer.transformer_blocks.0.attn.to_q.lora_B.weight": torch.zeros(7, 2),
        },
        tmp_path / ADAPTER_FILE,
    )
    with pytest.raises(UserError, match="holds no LoRA adapter for this transformer"):
        package_student(tiny_student_dir, tmp_path / "repo", adapters={"ink": tmp_path}, keys=tmp_path / "keys")
