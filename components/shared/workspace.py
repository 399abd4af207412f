"""Where the steps keep their work. Set by the environment, because a place is not content and enters no cache key.

<workspace>/cache/<step>/<key>/    work folder of a step, the same for the same content
<workspace>/cache/teacher_latents/<key>/  what the teacher drew, and its scores by every set of rewards
<workspace>/<run>/steps/<step>.json  what became of a step in one run
<workspace>/mlflow.db              the tracker's memory
"""

import os
import shutil
from pathlib import Path

from rats_train.files import link_or_copy

WORKSPACE_VARIABLE = "RATS_WORKSPACE"
RUN_VARIABLE = "RATS_RUN_DIR"
RUNNER_VARIABLE = "RATS_RUNNER_PID"


def workspace() -> Path:
    """Absolute path of the workspace: ``$RATS_WORKSPACE``, or ``runs`` where the process stands."""
    return Path(os.environ.get(WORKSPACE_VARIABLE, "runs")).resolve()


def use_workspace(folder: Path) -> None:
    """Make ``folder`` the workspace of this process and of those that it starts."""
    os.environ[WORKSPACE_VARIABLE] = str(folder.resolve())


def run_dir() -> Path | None:
    """Folder of the run that this step belongs to, where there is one on this machine."""
    named = os.environ.get(RUN_VARIABLE)
    return Path(named) if named else None


def step_dir(step: str, key: str, root: Path | None = None) -> Path:
    """Work folder of ``step`` for the content ``key``."""
    return (root or workspace()) / "cache" / step / key


def publish(source: Path, target: Path) -> None:
    """Make ``source``, a file or a folder, appear at ``target`` as well, in place of what was there.

    Hard links where the file system allows them, so that a student is on disk once; copies elsewhere. Nothing here
    writes into a file in place (writes are atomic renames), so one name's change never shows under the other.
    """
    if target.is_dir() and not target.is_symlink():
        shutil.rmtree(target)
    if source.is_dir():
        target.unlink(missing_ok=True)
        shutil.copytree(source, target, copy_function=link_or_copy)
    else:
        link_or_copy(source, target)
