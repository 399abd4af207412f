"""The whole evaluation on tiny random models: every arm really drawn, scored and compared."""

import pytest
import torch
from safetensors.torch import load_file

from rats_train.config import Recipe, load_recipe
from rats_train.errors import UserError
from rats_train.evaluation.arms import plan_arms
from rats_train.evaluation.heldout import heldout_prompts, image_seeds
from rats_train.evaluation.recipe_protocol import read_protocol
from rats_train.evaluation.report import write_report
from rats_train.evaluation.sample import evaluate, score_student
from rats_train.evaluation.scorecard import Scorecard
from rats_train.evaluation.scores import Scores
from rats_train.evaluation.summary import sentence
from rats_train.evaluation.verdict import judge
from rats_train.recipe_rewards import RewardSpec
from rats_train.rewards.build import load_rewards
from rats_train.sampling.teacher import load_teacher
from rats_train.world.grammar import parse


@pytest.fixture(scope="module")
def recipe(tiny_pipeline_dir, tiny_reward_dir):
    full = load_recipe(
        "emoji",
        [
            f"teacher.path={tiny_pipeline_dir}",
            "teacher.steps=4",
            "student.steps=[2,3]",
            "evaluation.count=3",
            "evaluation.images_per_prompt=2",
            "evaluation.batch_size=4",
            "evaluation.bootstrap_samples=100",
            "evaluation.gallery_count=2",
        ],
    )
    spec = {"path": str(tiny_reward_dir)}
    rewards = full.rewards.model_copy(
        update={"train": [RewardSpec(name="a", **spec)], "heldout": [RewardSpec(name="b", **spec)]}
    )
    return full.model_copy(update={"rewards": rewards})


@pytest.fixture(scope="module")
def student_dir(recipe, tmp_path_factory):
    """A student with its teacher's own weights, so that what must come out is known."""
    path = tmp_path_factory.mktemp("student") / "student"
    load_teacher(recipe).save_student(
        path,
        None,
        terminal_sigma=recipe.student.terminal_sigma,
        steps=recipe.student.steps,
        guidance_scale=1.0,
    )
    return path


@pytest.fixture(scope="module")
def evaluated(recipe, student_dir, tmp_path_factory):
    heard = []
    out = tmp_path_factory.mktemp("evaluation")
    evaluate(recipe, student_dir, out, lambda *news: heard.append(news))
    return out, heard


def test_every_arm_is_drawn_and_scored(recipe, evaluated):
    out, _ = evaluated
    card = Scorecard.read(out / "scorecard.json")
    expected = {f"{role}_{steps}" for role in ("student", "teacher") for steps in (2, 3, 4)}
    assert set(card.arms) == expected | {"teacher_2_unguided", "teacher_3_unguided"}
    assert (card.arms["teacher_2"].evaluations, card.arms["student_2"].evaluations) == (4, 2)
    assert card.kinds == {
        "a": "trained",
        "b": "heldout",
        "all_correct": "verifier",
        "scene_likeness": "realism",
        "diversity_pixels": "diversity",
        "diversity_features": "diversity",
    }
    assert (out / "grid.png").is_file()
    assert all(arm.seconds_per_image > 0 for arm in card.arms.values())
    scores = Scores.read(out / "scores.json")
    assert not judge(scores, None).promoted
    assert card.evaluation_digest == scores.protocol.digest
    assert (out / "worst.png").is_file()
    assert all((arm.distance is None) is (name == "teacher_4") for name, arm in card.arms.items())
    assert {row.tag for row in card.categories} == {"category"}


def test_a_student_with_its_teachers_weights_draws_what_the_unguided_teacher_draws(evaluated):
    out, _ = evaluated
    images = [
        load_file(out / f"arms/{arm}.safetensors")["images"] for arm in ("student_3", "teacher_3_unguided", "teacher_3")
    ]
    assert torch.equal(images[0], images[1])
    assert not torch.equal(images[0], images[2])
    row = Scorecard.read(out / "scorecard.json").nfe["3"]["b"]
    assert (row.gap_unguided, row.ci95_unguided) == (0, (0, 0))
    assert row.gap != 0


def test_scores_are_those_of_the_pictures_that_were_kept(recipe, evaluated):
    out, _ = evaluated
    scores = Scores.read(out / "scores.json")
    images = load_file(out / "arms/teacher_4.safetensors")["images"]
    asked = [prompt for prompt in scores.prompts for _ in range(2)]
    expected = load_rewards(recipe.rewards.heldout)[0].score(images / 255, asked)
    assert scores.values("teacher_4", "b") == pytest.approx(expected.tolist(), abs=1e-5)


def test_progress_counts_network_evaluations_up_to_the_end(recipe, evaluated):
    _, heard = evaluated
    total = sum(arm.evaluations for arm in plan_arms(recipe)) * 6
    counts = [done for done, _, _ in heard]
    assert counts == sorted(counts)
    assert heard[-1] == (total, total, "teacher_4")


def test_finished_arms_are_reused_and_only_missing_ones_drawn(recipe, student_dir, evaluated):
    out, _ = evaluated
    before = (out / "scorecard.json").read_text()
    stamps = {path.name: path.stat().st_mtime_ns for path in (out / "arms").iterdir()}
    arm = out / "arms" / "student_2.safetensors"
    pixels = load_file(arm)["images"].clone()  # not a view of the file
    arm.unlink()
    evaluate(recipe, student_dir, out)
    changed = {path.name for path in (out / "arms").iterdir() if stamps[path.name] != path.stat().st_mtime_ns}
    assert changed == {"student_2.safetensors"}
    assert pixels.equal(load_file(arm)["images"])
    assert Scorecard.read(out / "scorecard.json").nfe == Scorecard.model_validate_json(before).nfe


def test_arms_of_other_seeds_are_drawn_again(recipe, student_dir, tmp_path):
    (tmp_path / "prompts.txt").write_text("a fox\nan owl\n")
    changes = {"prompts": str(tmp_path / "prompts.txt"), "count": 2, "images_per_prompt": 1}
    own = recipe.model_copy(update={"evaluation": recipe.evaluation.model_copy(update=changes)})
    drawn = []
    for seed in (0, 1, 0):
        evaluate(own.model_copy(update={"seed": seed}), student_dir, tmp_path)
        drawn.append(Scores.read(tmp_path / "scores.json"))
    assert drawn[0].prompts == drawn[1].prompts
    for name, arm in drawn[0].arms.items():
        assert arm.values != drawn[1].arms[name].values
        assert arm.values == drawn[2].arms[name].values


def test_report_of_a_real_evaluation(evaluated, tmp_path):
    out, _ = evaluated
    verdict = judge(Scores.read(out / "scores.json"), None)
    text = write_report(tmp_path / "report.html", evaluation=out, verdict=verdict, gallery_count=2).read_text()
    assert text.count("data:image/webp") == (2 + 3) * 5
    assert sentence(Scorecard.read(out / "scorecard.json"), verdict).partition(":")[0] in text


def test_prompts_are_held_out_and_seeds_differ_by_image(recipe):
    prompts, seeds = heldout_prompts(recipe), image_seeds(recipe)
    assert len(set(prompts)) == 3
    assert all(parse(prompt).is_heldout for prompt in prompts)
    assert len(set(seeds)) == 6
    assert image_seeds(recipe.model_copy(update={"seed": recipe.seed + 1})) != seeds


def test_prompts_of_a_file_that_the_rules_cannot_judge_leave_the_verifier_out(recipe, student_dir, tmp_path):
    (tmp_path / "prompts.txt").write_text("a castle in the rain\n\na castle in the rain\nan old map\n")
    changes = {"prompts": str(tmp_path / "prompts.txt"), "count": 2, "images_per_prompt": 1}
    own = recipe.model_copy(update={"evaluation": recipe.evaluation.model_copy(update=changes)})
    assert heldout_prompts(own) == ["a castle in the rain", "an old map"]
    card = Scorecard.read(evaluate(own, student_dir, tmp_path / "out"))
    assert card.kinds == {"a": "trained", "b": "heldout"}


def test_mistakes_are_one_clear_line(recipe, student_dir, tmp_path):
    def with_evaluation(**changes):
        return recipe.model_copy(update={"evaluation": recipe.evaluation.model_copy(update=changes)})

    with pytest.raises(UserError, match="no such file"):
        heldout_prompts(with_evaluation(prompts=str(tmp_path / "absent.txt")))
    (tmp_path / "few.txt").write_text("one\ntwo\n")
    with pytest.raises(UserError, match="holds 2 different prompts"):
        heldout_prompts(with_evaluation(prompts=str(tmp_path / "few.txt")))
    with pytest.raises(UserError, match="No diffusers folder"):
        evaluate(recipe, tmp_path / "no_student", tmp_path / "out")


def test_a_student_alone_scores_as_beside_its_teacher(recipe, student_dir, evaluated, tmp_path):
    whole, alone = Scores.read(evaluated[0] / "scores.json"), score_student(recipe, student_dir, tmp_path)
    assert set(alone.arms) == {"student_2", "student_3"}
    assert alone.protocol == whole.protocol
    assert all(alone.arms[name].values == whole.arms[name].values for name in alone.arms)


def test_a_student_is_drawn_only_on_the_schedule_that_it_is_served_with(recipe, student_dir, tmp_path):
    other = recipe.model_copy(update={"student": recipe.student.model_copy(update={"terminal_sigma": 0.3})})
    with pytest.raises(UserError, match=r"noise levels that end at 0\.25, and student\.terminal_sigma .* 0\.3"):
        evaluate(other, student_dir, tmp_path)


@pytest.mark.parametrize(
    "changes",
    [
        {"evaluation": {"count": 2}},
        {"seed": 7},
        {"teacher": {"guidance_scale": 1.5}},
        {"training": {"precision": "bf16"}},
    ],
)
def test_other_settings_have_another_digest(recipe, changes):
    def read(judged):
        prompts, seeds = heldout_prompts(judged), image_seeds(judged)
        return read_protocol(judged, teacher="t", prompts=prompts, seeds=seeds, resolution=[3, 64, 64], features="b")

    values = recipe.model_dump()
    for section, change in changes.items():
        values[section] = values[section] | change if isinstance(change, dict) else change
    assert read(Recipe.model_validate(values)).digest != read(recipe).digest
    trained_longer = recipe.model_copy(update={"training": recipe.training.model_copy(update={"steps": 7})})
    assert read(trained_longer).digest == read(recipe).digest


def test_a_damaged_arm_is_named(recipe, student_dir, tmp_path):
    evaluate(recipe, student_dir, tmp_path)
    arm = tmp_path / "arms" / "student_3.safetensors"
    arm.write_bytes(arm.read_bytes()[:100])
    with pytest.raises(UserError, match=r"student_3\.safetensors are damaged"):
        evaluate(recipe, student_dir, tmp_path)
