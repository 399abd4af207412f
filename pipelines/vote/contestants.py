"""Who is voted on: an arm of a run or of an evaluation folder, with the pictures that it drew there."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from pipelines.runs import find_run, step_folder
from rats_train.errors import UserError
from rats_train.evaluation.arm_names import student_arm
from rats_train.evaluation.draws import draws_path, load_draws
from rats_train.evaluation.scores import Scores


@dataclass(frozen=True)
class Evaluation:
    """What a run or ``rats evaluate`` left: its pictures' folder, and the scorecard that people look at."""

    name: str
    folder: Path
    scorecard: Path
    scores: Scores


@dataclass(frozen=True)
class Contestant:
    """One side of a vote.

    Attributes:
        name: evaluation and arm: ``emoji-20260102-030405:student_3``.
        digest: SHA-256 of its pixels, by which votes know it.
        images: ``uint8[N, 3, H, W]``, or of videos ``uint8[N, T, 3, H, W]``, prompt by prompt.
        evaluation: where it comes from.
    """

    name: str
    digest: str
    images: Tensor
    evaluation: Evaluation


def find_contestants(workspace: Path, first: str, second: str) -> tuple[Contestant, Contestant]:
    """The two that ``RUN``, ``RUN:ARM``, ``FOLDER`` or ``FOLDER:ARM`` name.

    Without an arm it is the student at the fewest steps that both drew.

    Raises:
        UserError: there is no such run, evaluation or arm, or their pictures cannot be compared.
    """
    (one, one_arm), (other, other_arm) = _find(workspace, first), _find(workspace, second)
    usual = _fewest_steps(one, other)
    ours, theirs = _contestant(one, one_arm or usual), _contestant(other, other_arm or usual)
    _check_comparable(ours, theirs)
    return ours, theirs


def _find(workspace: Path, name: str) -> tuple[Evaluation, str]:
    """The evaluation that a name means, and its arm, empty if there is none."""
    place, _, arm = name.partition(":")
    folder = Path(place).expanduser()
    if (folder / "scores.json").is_file():
        folder = folder.resolve()
        return Evaluation(folder.name, folder, folder / "scorecard.json", Scores.read(folder / "scores.json")), arm
    run = folder.resolve() if (folder / "run.json").is_file() else find_run(workspace, place)
    if not (run / "scorecard.json").is_file():
        raise UserError(f"Run {run.name} has no evaluation: `rats status {run.name}` says how far it came.")
    folder = step_folder(run, "evaluate_rewards") / "evaluation"
    return Evaluation(run.name, folder, run / "scorecard.json", Scores.read(folder / "scores.json")), arm


def _fewest_steps(one: Evaluation, other: Evaluation) -> str:
    ours, theirs = ({arm.steps for arm in each.scores.arms.values() if arm.role == "student"} for each in (one, other))
    return student_arm(min(ours & theirs or ours))


def _contestant(evaluation: Evaluation, arm: str) -> Contestant:
    draws = load_draws(draws_path(evaluation.folder, arm)) if arm in evaluation.scores.arms else None
    if draws is None:
        there = ", ".join(name for name in evaluation.scores.arms if draws_path(evaluation.folder, name).is_file())
        raise UserError(f"{evaluation.name} has no pictures of {arm}: name one of {there or 'another evaluation'}.")
    digest = hashlib.sha256(draws.images.numpy().data).hexdigest()
    return Contestant(f"{evaluation.name}:{arm}", digest, draws.images, evaluation)


def _check_comparable(ours: Contestant, theirs: Contestant) -> None:
    """Raise unless the two drew the same prompts and seeds at one size, and not the same pictures."""
    for what in ("prompts", "images_per_prompt", "seeds"):
        if getattr(ours.evaluation.scores, what) != getattr(theirs.evaluation.scores, what):
            raise UserError(
                f"{ours.name} and {theirs.name} differ in their {what.replace('_', ' ')}, so their pictures make no "
                "pairs: evaluate both with the same recipe and seed."
            )
    if ours.images.shape != theirs.images.shape:
        shapes = " and ".join(str(list(each.images.shape[1:])) for each in (ours, theirs))
        raise UserError(
            f"Pictures of {ours.name} and {theirs.name} are of the sizes {shapes}: size would tell them apart."
        )
    if ours.digest == theirs.digest:
        raise UserError(f"{ours.name} and {theirs.name} are the same pictures, pixel by pixel: name two that differ.")
