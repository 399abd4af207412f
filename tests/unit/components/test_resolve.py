"""A recipe that names ``tiny@1`` is pinned before anything runs, and another byte is refused everywhere after."""

import shutil
import subprocess
import sys

import pytest
import yaml
from kfp import dsl
from mlflow import MlflowClient

from components.prepare.component import prepare
from components.prepare.resolve import resolve
from components.shared.keys import STEPS, step_keys
from components.shared.reward_files import fetch_rewards
from rats_train.config import dump_recipe, load_recipe, recipe_digest
from rats_train.engine.identity import identify
from rats_train.errors import UserError
from rats_train.files import sha256_tree
from rats_train.rewards.build import load_reward
from rats_train.rewards.folder import registered_folder
from tests.tiny_rewards import PROMPTS, noise
from tests.unit.components.conftest import flip_last_byte


@pytest.fixture
def recipe(tiny_pipeline_dir, tiny_reward_dir, root, tmp_path):
    """A function from the trained reward's keys to the recipe."""

    def read(**reward):
        values = {
            "name": "tiny",
            "teacher": {"path": str(tiny_pipeline_dir), "steps": 4},
            "student": {"steps": [2, 3]},
            "rewards": {
                "train": [{"name": "a"} | reward],
                "heldout": [{"name": "b", "path": str(tiny_reward_dir)}],
            },
        }
        (tmp_path / "tiny.yaml").write_text(yaml.safe_dump(values))
        return load_recipe(str(tmp_path / "tiny.yaml"))

    return read


def test_a_version_brings_kind_digest_and_statistics(register, recipe):
    version, _ = register(kind="hpsv2")
    spec = resolve(recipe(path="tiny@1")).rewards.train[0]
    assert (spec.path, spec.kind, spec.digest) == ("tiny@1", "hpsv2", version.digest)
    assert spec.statistics == version.statistics
    raw = load_reward(spec.model_copy(update={"statistics": None})).score(noise(), PROMPTS)
    scaled = (raw - version.statistics.mean) / version.statistics.std
    assert load_reward(spec).score(noise(), PROMPTS).tolist() == pytest.approx(scaled.tolist())


def test_what_is_said_of_all_rewards_stays(register, recipe):
    register()
    written = recipe(path="tiny@1")
    rewards = written.rewards.model_copy(update={"wait_minutes": 7.0})
    assert resolve(written.model_copy(update={"rewards": rewards})).rewards.wait_minutes == 7


def test_a_resolved_recipe_stays_as_it_is(register, recipe, tmp_path):
    register()
    once = resolve(recipe(path="tiny@1"))
    (tmp_path / "resolved.yaml").write_text(dump_recipe(once))
    assert resolve(load_recipe(str(tmp_path / "resolved.yaml"))) == once


def test_the_first_step_hands_on_a_pinned_recipe(register, recipe, tmp_path):
    version, _ = register()
    recipe(path="tiny@1")
    pinned, summary = dsl.Artifact(uri=str(tmp_path / "pinned.yaml")), dsl.Markdown(uri=str(tmp_path / "summary.md"))
    prepare.python_func(str(tmp_path / "tiny.yaml"), [], pinned, summary)
    handed_on = load_recipe(pinned.path)
    assert handed_on == resolve(recipe(path="tiny@1"))
    assert handed_on.rewards.train[0].digest == version.digest


def test_without_a_registered_reward_no_tracker_is_asked_or_imported(recipe, tiny_reward_dir):
    plain = recipe(path=str(tiny_reward_dir))
    assert resolve(plain) == plain
    program = (
        "import sys; from components.prepare.resolve import resolve; from components.shared.reward_files import "
        "fetch_rewards; from rats_train.config import load_recipe; fetch_rewards(resolve(load_recipe('emoji'))); "
        "print('mlflow' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], capture_output=True, text=True).stdout == "False\n"


def test_the_version_reaches_keys_and_identity_but_the_place_does_not(
    register, recipe, other_reward, tmp_path, monkeypatch
):
    register()
    register(path=other_reward)
    first, second = (resolve(recipe(path=f"tiny@{number}")) for number in (1, 2))
    keys = step_keys(first)
    assert not [step for step in STEPS if keys[step] == step_keys(second)[step]]
    assert identify(first).run != identify(second).run
    assert identify(first).data != identify(second).data
    monkeypatch.setenv("RATS_CACHE", str(tmp_path / "another machine"))
    moved = resolve(recipe(path="tiny@1"))
    assert (step_keys(moved), recipe_digest(moved)) == (keys, recipe_digest(first))


def test_a_scale_of_its_own_is_another_reward(register, recipe, pictures):
    register()
    shutil.copyfile(pictures / "1.png", pictures / "2.png")
    register(name="otherwise")
    first, second = (resolve(recipe(path=path)) for path in ("tiny@1", "otherwise@1"))
    assert first.rewards.train[0].digest == second.rewards.train[0].digest
    assert step_keys(first)["train_student"] != step_keys(second)["train_student"]


def test_a_changed_byte_on_this_machine_is_refused(register, recipe):
    version, _ = register()
    resolved = resolve(recipe(path="tiny@1"))
    step_keys(resolved)
    flip_last_byte(registered_folder(version.digest) / "model.safetensors")
    refused = r"files of reward a in .* are not those that tiny@1 means: their SHA-256 is \w{12}\.\.\., and should be"
    with pytest.raises(UserError, match=refused):
        step_keys(resolved)
    with pytest.raises(UserError, match=refused):
        load_reward(resolved.rewards.train[0])


def test_a_digest_pins_any_folder(register, recipe, tiny_reward_dir, other_reward):
    version, _ = register()
    step_keys(recipe(path=str(tiny_reward_dir), digest=version.digest))
    with pytest.raises(UserError, match="are not those that"):
        step_keys(recipe(path=str(other_reward), digest=version.digest))


def test_a_step_on_another_machine_fetches_what_it_needs(register, recipe, tmp_path, monkeypatch):
    version, _ = register()
    resolved = resolve(recipe(path="tiny@1"))
    monkeypatch.setenv("RATS_CACHE", str(tmp_path / "another machine"))
    with pytest.raises(UserError, match="there is no such folder"):
        load_reward(resolved.rewards.train[0])
    fetch_rewards(resolved)
    load_reward(resolved.rewards.train[0])
    assert [path.name for path in registered_folder("").iterdir()] == [version.digest]


def test_what_contradicts_the_version_is_refused(register, recipe):
    register()
    with pytest.raises(UserError, match="says kind hpsv2, and tiny@1 is registered with clip: take that key away"):
        resolve(recipe(path="tiny@1", kind="hpsv2"))
    with pytest.raises(UserError, match=r"says statistics mean=0.0 std=2.0, and tiny@1 is registered with"):
        resolve(recipe(path="tiny@1", statistics={"mean": 0, "std": 2}))


def test_an_alias_is_refused_before_anything_runs(register, recipe, root):
    register()
    MlflowClient(f"sqlite:///{root / 'mlflow.db'}").set_registered_model_alias("tiny", "champion", "1")
    with pytest.raises(UserError, match="write tiny@1, where it points now"):
        resolve(recipe(path="tiny@champion"))


def test_the_library_alone_says_that_it_knows_no_registry(recipe):
    with pytest.raises(UserError, match="Reward a names tiny@1, a registered reward, and no digest"):
        step_keys(recipe(path="tiny@1"))


def test_a_reward_of_the_hub_is_pinned_to_what_the_hub_gives_today(recipe, tiny_reward_dir, other_reward, monkeypatch):
    monkeypatch.setattr("rats_train.embedded.fetch", lambda hub_id: tiny_reward_dir)
    pinned = resolve(recipe(path="org/tiny"))
    assert pinned.rewards.train[0].digest == sha256_tree(tiny_reward_dir)
    assert pinned.rewards.heldout[0].digest is None
    assert resolve(pinned) == pinned
    load_reward(pinned.rewards.train[0])
    monkeypatch.setattr("rats_train.embedded.fetch", lambda hub_id: other_reward)  # the branch has moved on
    with pytest.raises(UserError, match=r"^The files of reward a in [^\n]* are not those that org/tiny means"):
        load_reward(pinned.rewards.train[0])
