"""A packaged teacher draws what stock diffusers draws from its folder, at all its steps and with guidance."""

import numpy as np
import pytest
import torch
from diffusers import DiffusionPipeline
from typer.testing import CliRunner

from pipelines.cli import app
from rats_train.models.folder import PipelineFolder
from serving.drawing.draw import draw
from serving.drawing.stepping import Stepper
from serving.keys import signing_keys
from serving.package.verification import find_packages, verify_package
from serving.packaging.teacher import package_teacher
from serving.protocol import Job
from tests.pixels import assert_same_picture
from tests.tiny_pipelines import tiny_flux, tiny_sd3


@pytest.mark.parametrize("make", [tiny_sd3, tiny_flux])
def test_its_pictures_are_those_of_its_own_folder(make, tmp_path):
    torch.manual_seed(0)
    make().save_pretrained(tmp_path / "teacher")
    version = package_teacher(
        tmp_path / "teacher", tmp_path / "models", steps=[12, 3, 12], guidance_scale=3.0, keys=tmp_path / "keys"
    )
    package = verify_package(version, signing_keys(tmp_path / "keys").public)
    assert (package.model, package.steps, package.canary.steps) == ("teacher", [3, 12], 3)
    (pixels,) = draw(Stepper(package), [Job("two owls", 4, 12)])
    stock = DiffusionPipeline.from_pretrained(tmp_path / "teacher", **PipelineFolder(tmp_path / "teacher").left_out)
    stock.set_progress_bar_config(disable=True)
    size = {"height": package.resolution.height, "width": package.resolution.width}
    generator = torch.Generator().manual_seed(4)
    picture = stock("two owls", num_inference_steps=12, guidance_scale=3.0, generator=generator, **size).images[0]
    assert_same_picture(pixels, np.asarray(picture))


def test_one_command_packages_both(tiny_pipeline_dir, tiny_student_dir, tmp_path, monkeypatch):
    monkeypatch.setenv("RATS_KEYS", str(tmp_path / "keys"))
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(f"""\
name: tiny
family: sd3
seed: 1
teacher: {{path: {tiny_pipeline_dir}, steps: 10, guidance_scale: 2.0}}
student: {{steps: [3, 5, 8]}}
rewards: {{train: [{{name: a, path: "embedded:a"}}], heldout: [{{name: b, path: "embedded:b"}}]}}
""")
    models = tmp_path / "models"
    said = CliRunner().invoke(
        app, ["package", str(tiny_student_dir), "--out", str(models), "--teacher", str(recipe)], catch_exceptions=False
    )
    assert (said.exit_code, "Its teacher is" in said.output) == (0, True)
    student, teacher = find_packages(models, signing_keys(tmp_path / "keys").public)
    assert (student.model, teacher.model) == ("student", "teacher")
    assert (teacher.steps, teacher.guidance_scale) == ([3, 5, 8, 10], 2.0)
    assert len(student.hints.examples) == 8
    assert student.hints == teacher.hints
    assert student.hints.note(student.hints.examples[0]) is None
