"""What the tests of registered rewards share: a tracker of their own, and a small reward to register in it."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from mlflow import MlflowClient
from PIL import Image

from components.shared.workspace import WORKSPACE_VARIABLE


@pytest.fixture(scope="session")
def empty_tracker(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file of a tracker that holds nothing: its tables take seconds to make."""
    path = tmp_path_factory.mktemp("tracker") / "mlflow.db"
    MlflowClient(f"sqlite:///{path}").search_experiments()
    return path


@pytest.fixture
def root(empty_tracker: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A workspace with an empty tracker, on a machine that has no registered reward yet."""
    path = tmp_path / "workspace"
    path.mkdir()
    shutil.copy(empty_tracker, path / "mlflow.db")
    monkeypatch.setenv(WORKSPACE_VARIABLE, str(path))
    monkeypatch.setenv("RATS_CACHE", str(tmp_path / "machine"))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return path


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Three pictures of two sizes, with prompts."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    rows = [("1.png", 32, "two owls"), ("2.png", 32, "one fox"), ("3.png", 40, "a fox")]
    for number, (name, size, _) in enumerate(rows):
        pixels = torch.rand(size, size, 3, generator=torch.Generator().manual_seed(number))
        Image.fromarray((pixels * 255).to(torch.uint8).numpy()).save(folder / name)
    lines = [json.dumps({"file_name": name, "prompt": prompt}) for name, _, prompt in rows]
    (folder / "metadata.jsonl").write_text("\n".join(lines) + "\n")
    return folder


@pytest.fixture
def register(root: Path, pictures: Path, tiny_reward_dir: Path) -> Callable[..., tuple]:
    """Registers the tiny reward as ``tiny``, or what the words say instead."""
    from pipelines.register_reward import register_reward

    def call(name: str = "tiny", path: object = tiny_reward_dir, **changes: object) -> tuple:
        values = {"kind": "clip", "licence": "MIT", "pictures": str(pictures), "root": root}
        return register_reward(name, str(path), **values | changes)

    return call


@pytest.fixture
def other_reward(tiny_reward_dir: Path, tmp_path: Path) -> Path:
    """The tiny reward with one byte of its weights changed."""
    folder = tmp_path / "other"
    shutil.copytree(tiny_reward_dir, folder)
    flip_last_byte(folder / "model.safetensors")
    return folder


def flip_last_byte(file: Path) -> None:
    """Change the lowest bits of one weight, in place, as a bad disk would."""
    with file.open("r+b") as data:
        data.seek(-4, os.SEEK_END)
        byte = data.read(1)
        data.seek(-4, os.SEEK_END)
        data.write(bytes([byte[0] ^ 1]))
