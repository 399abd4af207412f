from rats_train.evaluation.gallery import read_gallery, read_worst
from rats_train.evaluation.scores import Scores


def test_the_worst_prompts_come_first_each_with_its_worst_seed(evaluation_dir):
    scores = Scores.read(evaluation_dir / "scores.json")
    for budget in (3, 5, 8):
        values = scores.arms[f"student_{budget}"].values["reward_b"]
        values[9] -= 5.0  # prompt 4, its second seed
        values[20] -= 3.0  # prompt 10, its first
    first, second = read_worst(evaluation_dir, scores, 2)
    assert (first.prompt, first.seed) == ("synthetic prompt 4", 9)
    assert (second.prompt, second.seed) == ("synthetic prompt 10", 20)
    assert [tile.steps for tile in first.tiles] == [50, 8, 5, 3, 8, 5, 3]


def test_the_trained_reward_does_not_decide_which_is_worst(evaluation_dir):
    scores = Scores.read(evaluation_dir / "scores.json")
    before = read_worst(evaluation_dir, scores, 3)
    scores.arms["student_3"].values["reward_a"][0] -= 100
    assert [one.prompt for one in read_worst(evaluation_dir, scores, 3)] == [one.prompt for one in before]


def test_the_gallery_shows_the_first_prompts_with_their_first_seed(evaluation_dir):
    scores = Scores.read(evaluation_dir / "scores.json")
    assert [(one.prompt, one.seed) for one in read_gallery(evaluation_dir, scores, 2)] == [
        ("synthetic prompt 0", 0),
        ("synthetic prompt 1", 2),
    ]
