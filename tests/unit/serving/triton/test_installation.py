import shutil
import sys

import pytest

from rats_train.errors import UserError
from serving.triton import installation


def test_the_backend_folder_holds_copies_where_triton_refuses_links(tmp_path):
    folder = installation.prepare_backends(installation.triton_home(), tmp_path / "backends")
    library = folder / "python/libtriton_python.so"
    assert library.is_file()
    assert not library.is_symlink()
    assert (folder / "python/triton_python_backend_stub").resolve().parent.name == "3.11"
    assert (folder / "fewstep/model.py").is_file()


def test_a_python_without_a_stub_is_named(tmp_path):
    home = tmp_path / "tritonserver"
    shutil.copytree(installation.triton_home() / "backends", home / "backends")
    with pytest.raises(UserError, match=r"no stub for Python 3\.11"):
        installation.prepare_backends(home, tmp_path / "backends")


def test_the_library_of_this_python_is_found():
    assert (installation.libpython_folder() / "libpython3.11.so.1.0").exists()


def test_a_python_without_its_library_says_how_to_get_one(monkeypatch, tmp_path):
    monkeypatch.setattr(sys, "base_prefix", str(tmp_path))
    monkeypatch.setattr(installation.sysconfig, "get_config_var", lambda _: str(tmp_path))
    with pytest.raises(UserError, match="--enable-shared"):
        installation.libpython_folder()


def test_numpy_2_is_refused_with_the_cure():
    installation.check_numpy("1.26.4")
    with pytest.raises(UserError, match=r"numpy==1\.26\.4"):
        installation.check_numpy("2.0.1")


def test_without_the_wheel_it_says_what_to_install(monkeypatch):
    monkeypatch.setattr(installation, "find_spec", lambda _: None)
    with pytest.raises(UserError, match=r"rats-train\[local\]"):
        installation.triton_home()
