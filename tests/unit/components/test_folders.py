"""Every component is a folder of the same shape, and its texts tell what its code does."""

from datetime import date
from importlib import import_module
from pathlib import Path

import pytest
import yaml

from components.readme import component_folders, readme

HEAVY = {"torch", "diffusers", "transformers", "deepspeed", "mlflow", "rats_train", "serving"}


@pytest.fixture(params=component_folders(), ids=lambda folder: folder.name)
def folder(request) -> Path:
    return request.param


def test_the_metadata_names_it_and_when_it_was_last_seen_to_work(folder):
    metadata = yaml.safe_load((folder / "metadata.yaml").read_text())
    assert metadata["name"] == folder.name
    assert metadata["stability"] in ("experimental", "alpha", "beta", "stable")
    assert metadata["category"] in ("data_processing", "training", "evaluation", "deployment")
    assert isinstance(metadata["lastVerified"], date)
    assert metadata["dependencies"]["kubeflow"][0]["version"] == ">=2.17.0,<2.18"


def test_the_readme_is_the_one_that_the_code_writes(folder):
    assert (folder / "README.md").read_text() == readme(folder), "run python -m components.readme"


def test_everything_that_goes_in_or_out_is_described(folder):
    rows = [line for line in readme(folder).splitlines() if line.startswith("| `")]
    assert rows
    assert all(row.split(" | ")[-1].rstrip(" |") for row in rows), rows


def test_every_step_leaves_markdown_for_the_ui(folder):
    component = getattr(import_module(f"components.{folder.name}.component"), folder.name)
    kinds = [output.type for output in component.component_spec.outputs.values()]
    assert "system.Markdown@0.0.1" in kinds


def test_importing_a_component_imports_nothing_heavy(folder):
    lines = (folder / "component.py").read_text().splitlines()
    imported = {line.split()[1].partition(".")[0] for line in lines if line.startswith(("import ", "from "))}
    assert not imported & HEAVY


def test_it_has_tests(folder):
    assert list((folder / "tests").glob("test_*.py"))
