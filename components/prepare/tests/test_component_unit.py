from pathlib import Path

import pytest
from kfp import dsl

from components.prepare.component import prepare
from components.shared.keys import KEYS, step_keys
from rats_train.config import load_recipe
from rats_train.files import read_json


def test_it_resolves_the_recipe_and_hands_out_its_keys(tiny_recipe, output, workspace):
    resolved, summary = output(dsl.Artifact, "resolved"), output(dsl.Markdown, "summary")
    *keys, shards = prepare.python_func(str(tiny_recipe), ["training.steps=7"], resolved, summary, trajectory_tasks=2)
    assert shards == ["0-0", "1-1"]
    recipe = load_recipe(resolved.path)
    assert recipe.training.steps == 7
    assert recipe.method.alpha == 1.0
    assert dict(zip(KEYS, keys, strict=True)) == step_keys(recipe)
    assert f"| report | {keys[-1]} |" in Path(summary.path).read_text()
    assert read_json(workspace / "steps" / "prepare.json")["status"] == "succeeded"


def test_a_mistake_ends_it_with_status_2(output, capsys):
    with pytest.raises(SystemExit) as ended:
        prepare.python_func("emojy", [], output(dsl.Artifact, "resolved"), output(dsl.Markdown, "summary"))
    assert ended.value.code == 2
    assert capsys.readouterr().err.startswith("prepare: No recipe emojy")
