"""The builds of the embedded models: exact resume, whole words, wrong captions that are wrong, clear errors."""

import random
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from rats_train.errors import UserError
from rats_train.world.build import build_stage, loop
from rats_train.world.build.rewards import DESIGNS, make_pool, wrong_captions
from rats_train.world.build.tokenizer import build_tokenizer, grammar_words
from rats_train.world.captions import holds
from rats_train.world.grammar import any_prompts


def train_tiny(work: Path, stop_at: int | None = None) -> dict[str, Tensor]:
    torch.manual_seed(0)
    model = nn.Linear(4, 1)

    def loss(step: int, generator: torch.Generator) -> tuple[Tensor, dict[str, float]]:
        if step == stop_at:
            raise KeyboardInterrupt
        x = torch.randn(8, 4, generator=generator)
        return (model(x).squeeze(-1) - x.sum(-1)).square().mean(), {}

    loop.train(model, loss, name="tiny", steps=12, peak_lr=0.1, work=work, seed=1, ema_decay=0.9)
    return model.state_dict()


def test_a_build_that_was_stopped_ends_as_if_it_had_not_been(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "SAVE_EVERY_SECONDS", 0.0)
    whole = train_tiny(tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        train_tiny(tmp_path / "stopped", stop_at=7)
    resumed = train_tiny(tmp_path / "stopped")
    for name, value in whole.items():
        assert torch.equal(value, resumed[name]), name


def test_every_word_of_the_grammar_is_one_token() -> None:
    tokenizer = build_tokenizer()
    assert [word for word in grammar_words() if len(tokenizer.tokenize(word)) != 1] == []
    assert tokenizer.unk_token_id not in tokenizer("a zebra in Ünder").input_ids[1:-1]
    assert len(tokenizer("a fox, blue background", padding="max_length").input_ids) == tokenizer.model_max_length


def test_another_process_builds_the_same_tokenizer() -> None:
    code = "from rats_train.world.build.tokenizer import build_tokenizer as b; print(sorted(b().get_vocab().items()))"
    vocabulary = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert vocabulary.strip() == str(sorted(build_tokenizer().get_vocab().items()))


@pytest.mark.parametrize("name", DESIGNS)
def test_hard_negatives_are_false_of_their_scene(name: str) -> None:
    pool, rng = make_pool(any_prompts(100, seed=3), seed=3), random.Random(0)
    for prompt, scene in zip(pool.prompts, pool.scenes, strict=True):
        wrong = wrong_captions(DESIGNS[name], prompt, scene, rng, 3)
        assert len(wrong) == 3
        assert not any(holds(caption, scene) for caption in wrong)


def test_an_unknown_step_and_a_missing_autoencoder_are_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"Unknown step .teachr.*choose from autoencoder"):
        build_stage("teachr", tmp_path)
    with pytest.raises(UserError, match="rats world build --step autoencoder"):
        build_stage("teacher", tmp_path)
