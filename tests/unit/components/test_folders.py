"""Every component is a folder of the same shape, and its texts tell what its code does."""

from datetime import date
from importlib import import_module
from pathlib import Path

import pytest
import yaml

from components.shared.code import ROOT

FOLDERS = sorted(path.parent for path in (ROOT / "components").glob("*/component.py"))
HEAVY = {"torch", "diffusers", "transformers", "deepspeed", "mlflow", "rats_train", "serving"}


@pytest.fixture(params=FOLDERS, ids=lambda folder: folder.name)
def folder(request) -> Path:
    return request.param


def test_the_metadata_names_it_and_when_it_was_last_seen_to_work(folder):
    metadata = yaml.safe_load((folder / "metadata.yaml").read_text())
    assert metadata["name"] == folder.name
    assert metadata["stability"] in ("experimental", "alpha", "beta", "stable")
    assert metadata["category"] in ("data_processing", "training", "evaluation", "deployment")
    assert isinstance(metadata["lastVerified"], date)
    assert metadata["dependencies"]["kubeflow"][0]["version"] == ">=2.17.0,<2.18"


def test_the_readme_names_every_input_and_artifact(folder):
    readme = (folder / "README.md").read_text()
    component = getattr(import_module(f"components.{folder.name}.component"), folder.name)
    spec = component.component_spec
    for name in [
        *(spec.inputs or {}),
        *(name for name in spec.outputs or {} if name in component.python_func.__annotations__),
    ]:
        assert f"`{name}`" in readme, name


def test_importing_a_component_imports_nothing_heavy(folder):
    lines = (folder / "component.py").read_text().splitlines()
    imported = {line.split()[1].partition(".")[0] for line in lines if line.startswith(("import ", "from "))}
    assert not imported & HEAVY


def test_it_has_tests(folder):
    assert list((folder / "tests").glob("test_*.py"))
