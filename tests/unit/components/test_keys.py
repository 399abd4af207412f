"""A key changes with what a step depends on, and with nothing else."""

import pytest
import yaml

from components.shared.code import code_digest
from components.shared.keys import KEYS, step_keys
from rats_train.config import load_recipe
from rats_train.errors import UserError
from rats_train.recipe_rewards import RewardSpec
from tests.reward_servers import served


@pytest.fixture
def recipe(tmp_path, monkeypatch):
    """A function from overrides to keys, over a recipe whose models are folders with one file."""
    for name in ("teacher", "trained", "judge"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "weights").write_text(name)
    (tmp_path / "prompts.txt").write_text("a fox\n")
    (tmp_path / "judged.txt").write_text("an owl\n")
    values = {
        "name": "tiny",
        "teacher": {"path": "teacher"},
        "rewards": {"train": [{"name": "a", "path": "trained"}], "heldout": [{"name": "b", "path": "judge"}]},
        "trajectories": {"prompts": "prompts.txt"},
        "evaluation": {"prompts": "judged.txt"},
        "training": {"watch_every": 0},
    }
    (tmp_path / "tiny.yaml").write_text(yaml.safe_dump(values))
    monkeypatch.chdir(tmp_path)
    return lambda *overrides: step_keys(load_recipe("tiny.yaml", overrides))


def changed(before: dict[str, str], after: dict[str, str]) -> tuple[str, ...]:
    return tuple(step for step in KEYS if before[step] != after[step])


@pytest.mark.parametrize(
    ("override", "first"),
    [
        ("seed=7", "teacher_latents"),
        ("trajectories.seed=7", "teacher_latents"),
        ("teacher.steps=40", "teacher_latents"),
        ("resolution={height: 32, width: 32}", "teacher_latents"),
        ("student.steps=[3,5]", "teacher_latents"),
        ("trajectories.count=7", "teacher_latents"),
        ("training.steps=7", "train_student"),
        ("method.tau=0.1", "train_student"),
        ("evaluation.count=7", "evaluate_rewards"),
    ],
)
def test_a_part_of_the_recipe_changes_its_step_and_all_after_it(recipe, override, first):
    assert changed(recipe(), recipe(override)) == KEYS[KEYS.index(first) :]


def test_a_new_word_forces_every_step_and_the_same_word_none(tmp_path, recipe):
    loaded = load_recipe("emoji")
    plain, forced = step_keys(loaded), step_keys(loaded, "monday")
    assert changed(plain, forced) == KEYS
    assert step_keys(loaded, "monday") == forced
    assert step_keys(loaded, "") == plain


def test_trainings_of_several_seeds_share_the_rollouts_of_a_named_one(recipe):
    first, second = (recipe("trajectories.seed=3", f"seed={seed}") for seed in (3, 4))
    assert changed(first, second) == KEYS[KEYS.index("train_student") :]
    assert recipe("seed=3")["generate_trajectories"] == first["generate_trajectories"]


@pytest.mark.parametrize(
    ("file", "first"),
    [
        ("teacher/weights", "teacher_latents"),
        ("trained/weights", "generate_trajectories"),
        ("prompts.txt", "teacher_latents"),
        ("judge/weights", "evaluate_rewards"),
        ("judged.txt", "evaluate_rewards"),
    ],
)
def test_new_data_at_an_old_path_changes_its_step_and_all_after_it(recipe, tmp_path, file, first):
    before = recipe()
    (tmp_path / file).write_text("new")
    assert changed(before, recipe()) == KEYS[KEYS.index(first) :]


@pytest.mark.parametrize(
    ("change", "first"), [("judge", "train_student"), ("watched", "train_student"), ("judged", "evaluate_rewards")]
)
def test_what_the_watch_sees_changes_the_training(recipe, tmp_path, change, first):
    lines = [f"{number} owls" for number in range(12)]
    (tmp_path / "judged.txt").write_text("\n".join(lines))
    watched = ("training.watch_every=5", "evaluation.count=4")
    before = recipe(*watched)
    if change == "judge":
        (tmp_path / "judge" / "weights").write_text("new")
    else:
        lines[-1 if change == "watched" else 0] = "a fox"
        (tmp_path / "judged.txt").write_text("\n".join(lines))
    assert changed(before, recipe(*watched)) == KEYS[KEYS.index(first) :]


def test_the_same_content_elsewhere_has_the_same_keys(recipe, tmp_path):
    (tmp_path / "teacher").rename(tmp_path / "moved")
    (tmp_path / "teacher").symlink_to("moved")
    assert recipe("teacher.path=moved") == recipe()


def test_a_remote_reward_counts_by_what_its_server_serves(recipe, tiny_reward_dir):
    here = f"rewards.train=[{{name: a, path: {tiny_reward_dir}}}]"
    with served(RewardSpec(name="any", path=str(tiny_reward_dir))) as url:
        far = f'rewards.train=[{{name: a, path: "{url}"}}]'
        assert recipe(far, "rewards.wait_minutes=3") == (before := recipe(here))
    with served(RewardSpec(name="any", kind="hpsv2", path=str(tiny_reward_dir))) as url:
        assert changed(before, recipe(f'rewards.train=[{{name: a, path: "{url}"}}]')) == KEYS[1:]
    with served(RewardSpec(name="any", kind="verifier")) as url:
        blind = f'rewards.train=[{{name: a, path: "{url}"}}]'
        with pytest.raises(UserError, match=r"and a \(http.* has none: put it under rewards.heldout"):
            recipe(blind)


@pytest.mark.parametrize(
    ("override", "named"),
    [
        ("teacher.path=nowhere", "teacher.path names nowhere"),
        ("evaluation.prompts=no.txt", "evaluation.prompts names no.txt"),
    ],
)
def test_what_is_missing_is_named(recipe, override, named):
    with pytest.raises(UserError, match=named):
        recipe(override)


@pytest.fixture
def house(tmp_path):
    """Sources of a house with a step, what it imports, what it starts by name, and what it does not touch."""
    sources = {
        "components/step/component.py": "def step():\n    from rats_train.methods.rats import Rats\n",
        "components/other/component.py": "",
        "rats_train/methods/rats.py": "import rats_train.losses.gate\nPROGRAM = 'rats_train.engine.train'\n",
        "rats_train/losses/gate.py": "",
        "rats_train/engine/train.py": "from rats_train.config import load\n",
        "rats_train/engine/ds.json": "{}",
        "rats_train/config.py": "",
        "rats_train/recipes/emoji.yaml": "",
        "rats_train/methods/checkpoints/weights": "",
        "rats_train/world/art.py": "",
        "serving/backend/model.py": "",
    }
    for name, text in sources.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


@pytest.mark.parametrize(
    ("file", "reached"),
    [
        ("components/step/component.py", True),
        ("rats_train/losses/gate.py", True),
        ("rats_train/engine/train.py", True),
        ("rats_train/engine/ds.json", True),
        ("rats_train/config.py", True),
        ("components/other/component.py", False),
        ("rats_train/recipes/emoji.yaml", False),
        ("rats_train/methods/checkpoints/weights", False),
        ("rats_train/world/art.py", False),
        ("serving/backend/model.py", False),
    ],
)
def test_code_counts_where_the_step_can_reach_it(house, file, reached):
    before = code_digest("components.step.component", house)
    with (house / file).open("a") as source:
        source.write("\n")
    assert (code_digest("components.step.component", house) != before) is reached
