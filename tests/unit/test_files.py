"""Whole or absent, and known by content."""

import errno
import hashlib
import os
import shutil
from pathlib import Path

import pytest

from rats_train.errors import UserError
from rats_train.files import atomic_write_text, read_json, sha256_file, sha256_tree, space_for, write_json


def test_json_comes_back_and_has_one_spelling(tmp_path: Path) -> None:
    write_json(tmp_path / "deep" / "a.json", {"b": [1, 2.5], "a": "x"})
    write_json(tmp_path / "b.json", {"a": "x", "b": [1, 2.5]})
    assert read_json(tmp_path / "deep" / "a.json") == {"a": "x", "b": [1, 2.5]}
    assert (tmp_path / "deep" / "a.json").read_bytes() == (tmp_path / "b.json").read_bytes()


def test_a_failed_write_leaves_the_old_file_and_nothing_beside_it(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", {"kept": True})
    (tmp_path / "blocked").mkdir()
    with pytest.raises(OSError, match="directory"):
        atomic_write_text(tmp_path / "blocked", "a folder cannot be replaced by a file")
    with pytest.raises(ValueError, match="JSON compliant"):
        write_json(tmp_path / "a.json", {"kept": float("nan")})
    assert read_json(tmp_path / "a.json") == {"kept": True}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.json", "blocked"]


def test_a_full_disk_names_the_file_and_the_free_space(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(UserError, match=r"No space left to write .*a\.json \(\d+ bytes, [\d,]+ free\)"):
        write_json(tmp_path / "a.json", {})
    assert list(tmp_path.iterdir()) == []


def test_a_tree_that_finds_no_space_is_told_in_the_same_words(tmp_path: Path) -> None:
    def copy(*_: str) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "file").touch()
    with pytest.raises(UserError, match=r"No space left to write .*b \([\d,]+ free\)"), space_for(tmp_path / "b"):
        shutil.copytree(tmp_path / "a", tmp_path / "b", copy_function=copy)
    with pytest.raises(PermissionError), space_for(tmp_path / "b"):
        raise PermissionError(errno.EACCES, "not yours")


def test_broken_or_missing_json_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "half.json").write_text('{"a": ')
    with pytest.raises(UserError, match=r"half\.json is not JSON"):
        read_json(tmp_path / "half.json")
    with pytest.raises(UserError, match=r"No file .*none\.json"):
        read_json(tmp_path / "none.json")


def test_digests_follow_content_and_names_alone(tmp_path: Path) -> None:
    for folder in ("one", "two"):
        atomic_write_text(tmp_path / folder / "sub" / "a.txt", "a")
        atomic_write_text(tmp_path / folder / "b.txt", "b")
    os.utime(tmp_path / "two" / "b.txt", (0, 0))
    assert sha256_file(tmp_path / "one" / "b.txt") == hashlib.sha256(b"b").hexdigest()
    digest = sha256_tree(tmp_path / "one")
    assert sha256_tree(tmp_path / "two") == digest
    (tmp_path / "two" / "b.txt").rename(tmp_path / "two" / "c.txt")
    assert sha256_tree(tmp_path / "two") != digest
    atomic_write_text(tmp_path / "one" / "b.txt", "B")
    assert sha256_tree(tmp_path / "one") != digest
