"""The method that docs/extending.md shows is run as it stands there, from a package of its own."""

import importlib
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from components.shared.keys import step_keys
from rats_train import recipe_methods
from rats_train.config import Recipe, load_recipe
from rats_train.engine.ranks import Ranks
from rats_train.engine.records import read_lines
from rats_train.engine.train import train
from rats_train.errors import UserError
from tests.integration.conftest import changed, with_method

PAGE = (Path(__file__).parents[2] / "docs" / "extending.md").read_text()


def block(language: str) -> str:
    """The one code block of a language."""
    (found,) = re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)
    return found


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The page's method as an installed package: a module, and metadata with the entry point that the page names."""
    (tmp_path / "my_methods.py").write_text(block("python"))
    metadata = tmp_path / "my_methods-0.1.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: my-methods\nVersion: 0.1\n")
    header, line = block("toml").strip().replace('"', "").splitlines()
    group = header.removeprefix("[project.entry-points.")
    (metadata / "entry_points.txt").write_text(f"[{group}\n{line}\n")
    monkeypatch.syspath_prepend(tmp_path)
    importlib.invalidate_caches()
    recipe_methods.plugged_method.cache_clear()
    yield
    recipe_methods.plugged_method.cache_clear()
    sys.modules.pop("my_methods", None)


def test_a_method_is_at_most_60_lines() -> None:
    assert len(block("python").splitlines()) <= 60


def test_the_shown_method_trains(installed: None, tiny_recipe: Recipe, ranks: Ranks, tmp_path: Path) -> None:
    recipe = with_method(changed(tiny_recipe, "training", steps=3, checkpoint_every=3), "held_reward", hold=0.5)
    train(recipe, None, tmp_path / "run", ranks)
    lines = read_lines(tmp_path / "run" / "metrics.jsonl")
    for line in lines:
        assert line["loss"] == pytest.approx(0.5 * line["distance"] - line["reward_student"], abs=1e-6)
        assert line["grad_norm"] > 0
    assert lines[-1]["distance"] > 0
    assert (tmp_path / "run" / "student" / "transformer").is_dir()


def test_its_keys_are_checked_like_ours(installed: None) -> None:
    assert load_recipe("emoji", ["method.name=held_reward", "method.hold=2"]).method.model_dump() == {
        "name": "held_reward",
        "hold": 2,
    }
    with pytest.raises(UserError, match=r"unknown key method\.hodl; did you mean hold\?"):
        load_recipe("emoji", ["method.name=held_reward", "method.hodl=2"])
    with pytest.raises(UserError, match="method held_reward goes back through the gradient of every reward"):
        load_recipe("emoji", ["method.name=held_reward", "rewards.train=[{name: rules, kind: verifier}]"])


def test_another_source_is_another_training(installed: None, tiny_recipe: Recipe, tmp_path: Path) -> None:
    recipe = with_method(tiny_recipe, "held_reward")
    before = step_keys(recipe)
    source = tmp_path / "my_methods.py"
    source.write_text(source.read_text() + "# changed\n")
    assert step_keys(recipe)["train_student"] != before["train_student"]
    assert step_keys(recipe)["generate_trajectories"] == before["generate_trajectories"]


def test_a_method_that_is_not_installed_is_one_line() -> None:
    with pytest.raises(UserError, match=r"method\.name is 'held_reward'; it must be one of rats, .*, rtdmd\.$"):
        load_recipe("emoji", ["method.name=held_reward"])
