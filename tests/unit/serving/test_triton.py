import os
import shutil
import subprocess
import sys

import pytest

from rats_train.errors import UserError
from serving import triton


def test_the_backend_folder_holds_copies_where_triton_refuses_links(tmp_path):
    folder = triton.prepare_backends(triton.triton_home(), tmp_path / "backends")
    library = folder / "python/libtriton_python.so"
    assert library.is_file()
    assert not library.is_symlink()
    assert (folder / "python/triton_python_backend_stub").resolve().parent.name == "3.11"
    assert (folder / "fewstep/model.py").is_file()


def test_a_python_without_a_stub_is_named(tmp_path):
    home = tmp_path / "tritonserver"
    shutil.copytree(triton.triton_home() / "backends", home / "backends")
    with pytest.raises(UserError, match=r"no stub for Python 3\.11"):
        triton.prepare_backends(home, tmp_path / "backends")


def test_the_library_of_this_python_is_found():
    assert (triton.libpython_folder() / "libpython3.11.so.1.0").exists()


def test_a_python_without_its_library_says_how_to_get_one(monkeypatch, tmp_path):
    monkeypatch.setattr(sys, "base_prefix", str(tmp_path))
    monkeypatch.setattr(triton.sysconfig, "get_config_var", lambda _: str(tmp_path))
    with pytest.raises(UserError, match="--enable-shared"):
        triton.libpython_folder()


def test_numpy_2_is_refused_with_the_cure():
    triton.check_numpy("1.26.4")
    with pytest.raises(UserError, match=r"numpy==1\.26\.4"):
        triton.check_numpy("2.0.1")


def test_without_the_wheel_it_says_what_to_install(monkeypatch):
    monkeypatch.setattr(triton, "find_spec", lambda _: None)
    with pytest.raises(UserError, match=r"rats-train\[local\]"):
        triton.triton_home()


def test_free_ports_are_different():
    assert len(set(triton.free_ports(5))) == 5


def test_only_what_killed_supervisors_left_is_deleted(monkeypatch, tmp_path):
    memory, temporary = tmp_path / "shm", tmp_path / "tmp"
    monkeypatch.setattr(triton, "SHARED_MEMORY", memory)
    monkeypatch.setattr(triton.tempfile, "gettempdir", lambda: str(temporary))
    ended = subprocess.Popen(["true"])
    ended.wait()
    kept = [f"rats_{os.getpid()}_1", "rats_of_somebody_else", "other"]
    for place in (memory, temporary):
        for name in [*kept, f"rats_{ended.pid}_1"]:
            (place / name).mkdir(parents=True)
    (memory / f"rats_{ended.pid}_2").touch()
    triton.remove_leftovers()
    for place in (memory, temporary):
        assert {path.name for path in place.iterdir()} == set(kept)
