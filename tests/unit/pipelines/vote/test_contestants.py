"""Only what can be compared is voted on."""

import pytest
import torch

from pipelines.vote.ballot import Ballot
from pipelines.vote.contestants import find_contestants
from rats_train.errors import UserError
from rats_train.evaluation.draws import Draws, draws_path, save_draws
from rats_train.evaluation.scores import Scores
from tests.unit.pipelines.vote.conftest import make_run


def test_runs_arms_and_folders_can_be_named(workspace, evaluation_dir):
    for first in ("r:student_3", str(workspace / "r") + ":student_3", str(evaluation_dir) + ":student_3"):
        ours, theirs = find_contestants(workspace, first, "r:teacher_50")
        assert ours.name.endswith(":student_3")
        assert theirs.name == "r:teacher_50"
        assert ours.images.shape == (48, 3, 32, 32)


def test_two_runs_meet_at_the_fewest_steps_that_both_drew(workspace, evaluation_dir):
    for name in ("student_3", "student_5"):
        images = torch.zeros(48, 3, 32, 32, dtype=torch.uint8) + len(name) + int(name[-1])
        save_draws(draws_path(evaluation_dir, name), Draws(images, 1.0), key="other")
    make_run(workspace, "s", evaluation_dir)
    ours, theirs = find_contestants(workspace, "r", "s")
    assert (ours.name, theirs.name) == ("r:student_3", "s:student_3")


def test_who_is_named_first_does_not_change_the_ballot(workspace):
    ours, theirs = find_contestants(workspace, "r:student_3", "r:teacher_3")
    one, other = Ballot(ours, theirs), Ballot(theirs, ours)
    assert one.key == other.key
    ours_left, theirs_left = ([each.sides("v", pair)[0].name for pair in range(48)] for each in (one, other))
    assert ours_left == theirs_left
    assert Ballot(*find_contestants(workspace, "r:student_3", "r:teacher_5")).key != one.key


@pytest.mark.parametrize(
    ("first", "second", "said"),
    [
        ("nowhere", "r", "No run nowhere in"),
        ("r:student_4", "r:teacher_3", "r has no pictures of student_4: name one of student_3, teacher_3"),
        ("r:student_3", "r:student_3", "r:student_3 and r:student_3 are the same pictures"),
        ("r:student_3", "r:student_8", "are the same pictures, pixel by pixel: name two that differ"),
    ],
)
def test_what_cannot_be_voted_on_is_one_line(workspace, first, second, said):
    with pytest.raises(UserError, match=said):
        find_contestants(workspace, first, second)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"seeds": list(range(1, 49))}, "differ in their seeds"),
        ({"prompts": [f"other {number}" for number in range(24)]}, "differ in their prompts"),
    ],
)
def test_other_prompts_or_seeds_make_no_pairs(workspace, evaluation_dir, change, said):
    scores = Scores.read(evaluation_dir / "scores.json")
    make_run(workspace, "s", evaluation_dir)
    scores.model_copy(update=change).write(workspace / "cache/evaluate_rewards/s/evaluation/scores.json")
    with pytest.raises(UserError, match=said):
        find_contestants(workspace, "r:student_3", "s:teacher_3")


def test_pictures_of_another_size_would_tell(workspace, evaluation_dir):
    images = torch.zeros(48, 3, 64, 64, dtype=torch.uint8)
    save_draws(draws_path(evaluation_dir, "student_3"), Draws(images, 1.0), key="other")
    with pytest.raises(UserError, match=r"of the sizes \[3, 64, 64\] and \[3, 32, 32\]: size would tell them apart"):
        find_contestants(workspace, f"{evaluation_dir}:student_3", "r:teacher_3")


def test_a_run_that_was_not_judged_says_so(workspace):
    (workspace / "r" / "scorecard.json").unlink()
    with pytest.raises(UserError, match="Run r has no evaluation: `rats status r` says how far it came"):
        find_contestants(workspace, "r", "r:teacher_3")
