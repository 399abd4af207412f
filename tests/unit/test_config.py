"""Recipes: what they read back to, and one line for every mistake in them."""

from pathlib import Path

import pytest

from rats_train.config import dump_recipe, load_recipe, recipe_digest
from rats_train.errors import UserError
from rats_train.recipe_methods import GrpoMethod, RatsMethod


def test_the_packaged_recipe_loads_by_name() -> None:
    recipe = load_recipe("emoji")
    assert recipe.student.steps == [3, 5, 8]
    assert recipe.method == RatsMethod(alpha=1.0, tau=0.05, horizons="later")
    assert recipe.training.learning_rate == 3e-4


def test_a_dumped_recipe_reads_back_equal(tmp_path: Path) -> None:
    recipe = load_recipe("emoji", ["method.backprop_steps=2", "training.learning_rate=3e-5"])
    (tmp_path / "mine.yaml").write_text(dump_recipe(recipe))
    again = load_recipe(str(tmp_path / "mine.yaml"))
    assert again == recipe
    assert recipe_digest(again) == recipe_digest(recipe)


def test_an_adapter_is_scaled_by_alpha_over_rank_and_unasked_by_one() -> None:
    unasked, asked = (
        load_recipe("emoji", overrides).training.lora
        for overrides in (["training.lora.rank=8"], ["training.lora.rank=8", "training.lora.alpha=4"])
    )
    assert (unasked.scale, asked.scale) == (1.0, 0.5)
    assert load_recipe("emoji").training.lora is None


@pytest.mark.parametrize(
    ("override", "value"),
    [
        ("training.steps=20", 20),
        ("training.learning_rate=1e-4", 1e-4),
        ("student.steps=[4]", [4]),
        ("method.backprop_steps=null", None),
        ("teacher.source=ema", "ema"),
    ],
)
def test_overrides_are_dotted_yaml(override: str, value: object) -> None:
    section, key = override.partition("=")[0].split(".")
    assert getattr(getattr(load_recipe("emoji", [override]), section), key) == value


@pytest.mark.parametrize("name", ["distill", "reward_only", "grpo", "rats_grpo", "otca", "rtdmd"])
def test_one_word_switches_the_method_and_leaves_the_rest(name: str) -> None:
    packaged = load_recipe("emoji")
    switched = load_recipe("emoji", [f"method.name={name}"])
    assert switched.method.model_dump() == type(switched.method)().model_dump()
    assert switched.method.name == name
    assert switched.model_copy(update={"method": packaged.method}) == packaged


@pytest.mark.parametrize("overrides", [["method.name=grpo", "method.eta=0.5"], ["method.eta=0.5", "method.name=grpo"]])
def test_the_keys_of_a_switched_method_are_set_in_any_order(overrides: list[str]) -> None:
    assert load_recipe("emoji", overrides).method == GrpoMethod(eta=0.5)


def test_naming_the_method_that_a_recipe_has_already_changes_nothing(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(dump_recipe(load_recipe("emoji", ["method.alpha=3"])))
    assert load_recipe(str(tmp_path / "mine.yaml"), ["method.name=rats"]).method == RatsMethod(
        alpha=3, horizons="later"
    )


def test_a_method_without_a_name_is_rats() -> None:
    assert load_recipe("emoji", ["method={tau: 0.1}"]).method == RatsMethod(tau=0.1)


@pytest.mark.parametrize("name", ["reward_only", "grpo", "otca", "rtdmd"])
def test_a_method_without_a_teacher_refuses_a_moving_one(name: str) -> None:
    with pytest.raises(UserError, match=f"method {name} has no teacher .* set teacher.source to store"):
        load_recipe("emoji", [f"method.name={name}", "teacher.source=ema"])


@pytest.mark.parametrize("name", ["rats", "reward_only"])
@pytest.mark.parametrize("kind", ["verifier", "likeness", "nsfw"])
def test_a_method_that_needs_gradient_refuses_a_reward_without(name: str, kind: str) -> None:
    blind = f"rewards.train=[{{name: mine, kind: {kind}}}]"
    message = rf"method {name} .* mine \(kind {kind}\) has none; put it under rewards.heldout, or .*rats_grpo or grpo"
    with pytest.raises(UserError, match=message):
        load_recipe("emoji", [blind, f"method.name={name}"])
    for other in ("distill", "grpo", "rats_grpo", "otca", "rtdmd"):
        assert load_recipe("emoji", [blind, f"method.name={other}"]).rewards.train[0].kind == kind
    load_recipe("emoji", [blind.replace("train", "heldout"), f"method.name={name}"])


def test_a_path_that_is_an_address_is_a_remote_reward(tmp_path: Path) -> None:
    recipe = load_recipe("emoji", ['rewards.train=[{name: far, path: "http://127.0.0.1:8100"}]'])
    assert recipe.rewards.train[0].kind == "remote"
    (tmp_path / "mine.yaml").write_text(dump_recipe(recipe))
    assert load_recipe(str(tmp_path / "mine.yaml")) == recipe


def test_the_digest_sees_every_value() -> None:
    digest = recipe_digest(load_recipe("emoji"))
    assert len(digest) == 12
    assert recipe_digest(load_recipe("emoji", ["method.tau=0.06"])) != digest
    assert recipe_digest(load_recipe("emoji", ["training.steps=400"])) == digest


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("training.stepz=3", "unknown key training.stepz; did you mean steps?"),
        ("training.lora.rnk=3", "unknown key training.lora.rnk; did you mean rank?"),
        ("training.lora.rank=0", "training.lora.rank is 0; it must be greater than or equal to 1."),
        ("trainng.steps=3", "unknown key trainng; did you mean training?"),
        ("rewards.train=[{name: a, pat: b}]", "unknown key rewards.train.0.pat; did you mean path?"),
        ("method.zzz=1", "unknown key method.zzz; the keys here are name, alpha"),
        ("method.alpa=1", "unknown key method.alpa; did you mean alpha?"),
        ("method={name: grpo, group_sise: 4}", "unknown key method.group_sise; did you mean group_size?"),
        ("method={name: distill, alpha: 1}", "unknown key method.alpha; the keys here are name, horizons"),
        ("method={name: grpo, group_size: 1}", "method.group_size is 1; it must be greater than or equal to 2"),
        (
            "method.name=ratz",
            "method.name is 'ratz'; it must be one of rats, distill, reward_only, grpo, rats_grpo",
        ),
        ("method=rats", "method is 'rats'; it must be a"),
        ("training.steps=0", "training.steps is 0; it must be greater than or equal to 1"),
        ("student.terminal_sigma=1", "student.terminal_sigma is 1; it must be less than 1"),
        ("student.steps=[3, 1]", "student.steps.1 is 1; it must be greater than or equal to 2"),
        ("method.tau=.nan", "method.tau is nan; it must be"),
        ("training.precision=fp8", "training.precision is 'fp8'; it must be 'fp32' or 'bf16'"),
        ("training.steps=many", "training.steps is 'many'; it must be a valid integer"),
        ("rewards.train=[]", "rewards.train is []; List should have at least 1 item"),
        ("rewards={heldout: []}", "rewards.train is missing; add it"),
        ("training.world_size=3", "training.batch_size 16 does not divide among training.world_size 3"),
        ("student.steps=[60]", "student.steps [60] has more steps than teacher.steps 50"),
        ("student.steps=[3, 3]", "student.steps [3, 3] names one thing twice"),
        ("rewards.heldout=[{name: reward_a, path: x}]", "rewards ['reward_a', 'reward_a'] names one thing twice"),
        (
            "rewards.train=[{name: a, kind: clipp, path: b}]",
            "there is no kind clipp of reward; perhaps clip is meant, one of clip, hpsv2",
        ),
        (
            "rewards.train=[{name: a, kind: hpsv2}]",
            "reward a of kind hpsv2 names no path; add the folder of its model.",
        ),
        ("rewards.heldout=[{name: a, path: b, digest: 12ab}]", "rewards.heldout.0.digest is '12ab'"),
        (
            f"rewards.heldout=[{{name: a, kind: nsfw, digest: '{'0' * 64}'}}]",
            "reward a of kind nsfw has no folder; take",
        ),
        ("rewards.heldout=[{name: a, kind: nsfw, path: b}]", "reward a of kind nsfw has no model of its own; take its"),
        (
            "rewards.train=[{name: a, kind: ocr}]",
            "reward a is of kind ocr, too slow to train on; put it under rewards.h",
        ),
        ("rewards.heldout=[{name: a, path: b, statistics: {men: 0, std: 1}}]", "statistics.men; did you mean mean?"),
        (
            "rewards.heldout=[{name: a, path: b, statistics: {mean: 0, std: 0}}]",
            "statistics.std is 0; it must be greater",
        ),
        (
            'rewards.train=[{name: a, kind: hpsv2, path: "http://h:1"}]',
            "reward a of kind hpsv2 has the path http://h:1; an address such as http://127.0.0.1:8100, and no other",
        ),
        (
            "rewards.train=[{name: a, kind: remote, path: b}]",
            "reward a of kind remote has the path b; an address such as",
        ),
        (
            'rewards.train=[{name: a, path: "http://me:word@h:1"}]',
            "reward a holds a name or password; keep them out of",
        ),
        (
            'rewards.train=[{name: a, path: "http://h:one"}]',
            "reward a is http://h:one; write an address such as http://1",
        ),
        ("rewards.wait_minutes=-1", "rewards.wait_minutes is -1; it must be greater than or equal to 0"),
        ("training.steps", 'Override "training.steps" is not of the form key.key=value'),
        ("=3", 'Override "=3" is not of the form key.key=value'),
        ("seed.x=1", "seed is a single value and has no keys below it"),
        ("student.steps=[3", 'Override "student.steps=[3" is not YAML'),
    ],
)
def test_a_mistake_is_one_line_that_names_it(override: str, message: str) -> None:
    with pytest.raises(UserError) as caught:
        load_recipe("emoji", [override])
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_unknown_recipe_lists_the_packaged_ones() -> None:
    with pytest.raises(UserError, match=r"No recipe emojy: name a YAML file, or one of .*emoji"):
        load_recipe("emojy")


@pytest.mark.parametrize(
    ("text", "message"), [("a: [", "is not YAML"), ("", "holds no keys"), ("- 1", "holds no keys")]
)
def test_a_broken_file_is_one_line(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "broken.yaml").write_text(text)
    with pytest.raises(UserError, match=message) as caught:
        load_recipe(str(tmp_path / "broken.yaml"))
    assert "\n" not in str(caught.value)
