import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from rats_train.engine.checkpoints import full_disk_explained
from rats_train.errors import UserError


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A real file system of 256 KiB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", disk], capture_output=True)
    if mount.returncode:
        pytest.skip("mounting a small file system needs root")
    yield disk
    subprocess.run(["umount", disk], check=True)


def test_a_full_disk_is_one_line(small_disk: Path) -> None:
    path = small_disk / "weights.pt"
    with (
        pytest.raises(UserError, match=r"^No space left to write [^\n]*weights.pt[^\n]*last checkpoint is kept[^\n]*$"),
        full_disk_explained(path, 4_000_000),
    ):
        torch.save(torch.zeros(1_000_000), path)


def test_other_failures_pass(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="something else"), full_disk_explained(tmp_path / "weights.pt", 10):
        raise RuntimeError("something else")
