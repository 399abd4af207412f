"""A teacher as a signed version, to be compared with its students at the same endpoint."""

import tempfile
from collections.abc import Sequence
from pathlib import Path

from rats_train.models.load import load_model
from rats_train.resolution import Resolution
from serving.package.contents import TEACHER
from serving.packaging.student import package_student


def package_teacher(
    teacher_dir: Path,
    out_repo: Path,
    *,
    steps: Sequence[int],
    guidance_scale: float,
    resolution: Resolution | None = None,
    prompts: Sequence[str] = (),
    pattern: str = "",
    keys: Path | None = None,
) -> Path:
    """Make `teacher_dir` the next version of the model `teacher` in `out_repo`; returns the version folder.

    At its most steps it walks the noise levels of its own scheduler. It needs fewer as well, for its health to be asked
    cheaply: the canary is drawn in the fewest.

    Args:
        teacher_dir: a stock diffusers folder.
        out_repo: the Triton model repository, made if missing.
        steps: how many it may be asked for.
        guidance_scale: what it is drawn with.
        resolution: of its pictures; its own by default.
        prompts: what its students know, and
        pattern: what all of it matches, as in `package_student`.
        keys: folder of the signing key pair; this user's own by default, made on first use.

    Raises:
        UserError: `teacher_dir` is not the folder of a flow model.
    """
    teacher = load_model(teacher_dir, resolution)
    last_level = float(teacher.sigmas(max(steps))[-2])
    with tempfile.TemporaryDirectory() as folder:
        as_student = Path(folder) / TEACHER
        teacher.save_student(
            as_student, None, terminal_sigma=last_level, steps=sorted(set(steps)), guidance_scale=guidance_scale
        )
        return package_student(as_student, out_repo, prompts=prompts, pattern=pattern, name=TEACHER, keys=keys)
