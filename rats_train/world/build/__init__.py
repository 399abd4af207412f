"""How the embedded world's models were made: autoencoder, two reward models, teacher.

``rats world build --out FOLDER`` runs every stage; each resumes from its own checkpoints in ``FOLDER/work``.
"""

from pathlib import Path
from typing import Final, Literal, get_args

from rats_train.errors import UserError
from rats_train.files import write_json
from rats_train.provenance import describe_machine, package_versions, source_commit

Stage = Literal["autoencoder", "reward_a", "reward_b", "teacher"]
STAGES: Final[tuple[Stage, ...]] = get_args(Stage)


def build_stage(stage: str, out: Path) -> None:
    """Run one stage; its result is ``out/<stage>``, with the log of its training and what it was built by in it.

    Raises:
        UserError: unknown stage, or the teacher is asked for before the autoencoder.
    """
    from rats_train.world.build.autoencoder import build_autoencoder
    from rats_train.world.build.rewards import build_reward
    from rats_train.world.build.teacher import build_teacher

    work = out / "work"
    if stage == "autoencoder":
        build_autoencoder(out / stage, work)
    elif stage == "teacher":
        if not (out / "autoencoder").exists():
            raise UserError(f"No autoencoder in {out}: run `rats world build --step autoencoder --out {out}` first.")
        build_teacher(out / "autoencoder", out / stage, work)
    elif stage in ("reward_a", "reward_b"):
        build_reward(stage[-1], out / stage, work)
    else:
        raise UserError(f"Unknown step '{stage}' of the world's build: choose from {', '.join(STAGES)}.")
    logs = sorted(work.glob(f"{stage}*.jsonl"))  # one for each part of the training
    (out / stage / "training_log.jsonl").write_text("".join(log.read_text() for log in logs))
    record = {"commit": source_commit(), "versions": package_versions(), "machine": describe_machine().model_dump()}
    write_json(out / stage / "build.json", record | {"command": f"rats world build --step {stage}"})


def build(out: Path, step: str = "all") -> None:
    """Run one step, or all of them in order."""
    for stage in STAGES if step == "all" else (step,):
        build_stage(stage, out)
