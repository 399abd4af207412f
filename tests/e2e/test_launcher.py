"""The one pipeline object, run by KFP's local runner and as YAML by KFP's launcher: equal outputs, step by step."""

import contextlib
import hashlib
import io
import json
import re
from contextlib import redirect_stdout
from pathlib import Path

import pytest
import yaml
from safetensors.numpy import load_file

from components.shared.code import ROOT
from pipelines.compiled import compile_pipeline
from pipelines.local import run_by_kfp
from pipelines.runs import create_run
from tests.kfp_launcher import Launcher
from tests.tiny_recipe import winning_recipe

STEPS = [
    "prepare",
    "generate-trajectories",
    "generate-trajectories",
    "train-student",
    "evaluate-rewards",
    "promotion-gate",
    "package-student",
    "smoke-test",
    "promote-student",
    "report",
    "report-end",
]


@pytest.fixture(scope="module")
def launched(tiny_pipeline_dir, tiny_reward_dir, tmp_path_factory):
    """Folders of the outputs of both, and the launcher."""
    root = tmp_path_factory.mktemp("launched")
    recipe = winning_recipe(tiny_pipeline_dir, tiny_reward_dir, root)
    given = {"recipe": str(recipe), "overrides": [], "trajectory_tasks": 2}
    shared = {"RATS_KEYS": str(root / "keys"), "OMP_NUM_THREADS": "1"}

    with pytest.MonkeyPatch.context() as patch, redirect_stdout(io.StringIO()):
        for name, value in shared.items():
            patch.setenv(name, value)
        run = create_run(root / "local", "tiny", {})
        run_by_kfp("train_and_deploy", given, run, root / "local")
    (local,) = (run / "kfp").iterdir()

    document = next(yaml.safe_load_all(compile_pipeline(root / "pipeline.yaml").read_text()))
    environment = {"PYTHONPATH": str(ROOT), "RATS_WORKSPACE": str(root / "cluster"), **shared}
    launcher = Launcher(document, root / "outputs", environment)
    launcher.run(given)
    return local, launcher.folder, launcher


# The page lists the steps of a local run with their seconds, and a signature is another each time it is made.
APART = {"report/page", "package-student/package/student/1/model.sig"}
# What differs between any two runs, in text: when and how long, and the ids that MLflow and KFP gave them.
CHANCE = [
    (re.compile(r'(seconds\w*[\\"]*\s*[:|]\s*)[\d.e-]+'), r"\g<1>0"),
    (re.compile(r"ready in [\d.]+ s"), "ready"),
    (re.compile(r"\d{4}-\d\d-\d\dT[\d:+]+"), "TIME"),
    (re.compile(r"\b[0-9a-f]{32}\b"), "ID"),
    (re.compile(r"Pipeline run \S+"), "Pipeline run ID"),
]


@pytest.mark.slow
def test_every_step_hands_out_the_same_bytes(launched):
    local, cluster, launcher = launched
    assert launcher.ended == STEPS
    root = cluster.parent
    expected = digests(local, {local: "OUTPUTS", root / "local": "WORK"})
    found = digests(cluster, {cluster: "OUTPUTS", root / "cluster": "WORK"})
    assert sorted(found) == sorted(expected)
    assert [name for name in expected if found[name] != expected[name]] == []


def digests(folder: Path, places: dict[Path, str]) -> dict[str, str]:
    """Digest of every file that the steps handed out, by its name below ``folder``; ``places`` are blanked in text."""
    named = {str(path.relative_to(folder)): path for path in folder.rglob("*") if path.is_file()}
    assert named.keys() >= APART
    return {name: digest(path, places) for name, path in named.items() if name not in APART}


def digest(path: Path, places: dict[Path, str]) -> str:
    """Of a file's bytes, of a store's tensors, of a text without times and places."""
    if path.suffix == ".safetensors":
        tensors = sorted(load_file(path).items())
        data = b"".join(f"{name} {array.dtype} {array.shape}".encode() + array.tobytes() for name, array in tensors)
    else:
        data = path.read_bytes()
        with contextlib.suppress(UnicodeDecodeError):
            data = plain(data.decode(), places).encode()
    return hashlib.sha256(data).hexdigest()


def plain(text: str, places: dict[Path, str]) -> str:
    """The text without what differs between any two runs."""
    for place, name in places.items():
        text = text.replace(str(place), name)
    for pattern, blank in CHANCE:
        text = pattern.sub(blank, text)
    with contextlib.suppress(ValueError):
        return json.dumps(json.loads(text), sort_keys=True)
    return text
