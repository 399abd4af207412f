"""What has to be right for the tritonserver of the nvidia-pytriton wheel to run our backend, each with its reason.

Outside NVIDIA's container it finds neither its backends nor the Python that they are to run in by itself.
"""

import shutil
import sys
import sysconfig
from importlib.util import find_spec
from pathlib import Path

from rats_train.errors import UserError
from serving.protocol import BACKEND

BACKEND_CODE = Path(__file__).resolve().parents[1] / "backend" / BACKEND


def triton_home() -> Path:
    """Folder of the tritonserver that the nvidia-pytriton wheel carries.

    Raises:
        UserError: it is not installed.
    """
    spec = find_spec("pytriton")
    if spec is None or spec.origin is None:
        raise UserError("the Triton server is not installed: pip install 'rats-train[local]'")
    return Path(spec.origin).parent / "tritonserver"


def prepare_backends(home: Path, folder: Path) -> Path:
    """Fill `folder` with Triton's Python backend and our `fewstep` on top of it; returns `folder`."""
    shutil.rmtree(folder, ignore_errors=True)
    python = folder / "python"
    python.mkdir(parents=True)
    # Copies: Triton refuses a link here ("backend library name escapes backend directory").
    for name in ("libtriton_python.so", "triton_python_backend_utils.py"):
        shutil.copy(home / "backends/python" / name, python)
    # A link: the stub finds its own libraries next to the file that the link points to.
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    stub = home / "python_backend_stubs" / version / "triton_python_backend_stub"
    if not stub.exists():
        raise UserError(f"the Triton server has no stub for Python {version}: use one of 3.8 to 3.13")
    (python / stub.name).symlink_to(stub)
    shutil.copytree(BACKEND_CODE, folder / BACKEND)
    return folder


def libpython_folder() -> Path:
    """Folder of this interpreter's shared library.

    Without it first on LD_LIBRARY_PATH the stub takes the system's libpython with our standard library, and crashes.

    Raises:
        UserError: this Python was built without one.
    """
    name = f"libpython{sys.version_info.major}.{sys.version_info.minor}.so.1.0"
    folders = [Path(str(sysconfig.get_config_var("LIBDIR"))), Path(sys.base_prefix) / "lib"]
    for folder in folders:
        if (folder / name).exists():
            return folder
    raise UserError(
        f"this Python has no {name}, which Triton needs (looked in {' and '.join(map(str, folders))}): install "
        "the system's libpython package, or build Python with --enable-shared"
    )


def check_numpy(version: str) -> None:
    """Refuse numpy 2: with it this server's Python backend returns empty arrays and text inputs kill it.

    Raises:
        UserError: `version` is 2 or newer.
    """
    if int(version.split(".")[0]) >= 2:
        raise UserError(f"numpy {version} breaks Triton 24.10's Python backend: pip install 'numpy==1.26.4'")
