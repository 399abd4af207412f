"""One rank or two, whatever ZeRO cuts up, killed or not: the same losses, the same student, by every method."""

import itertools
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from rats_train.config import Recipe, dump_recipe
from rats_train.engine.records import read_lines
from rats_train.evaluation.watched import best_point, read_watch
from rats_train.files import read_json
from tests.integration.conftest import changed, with_method
from tests.integration.several_runs import losses, run_all
from tests.integration.test_resume import assert_same_run

GROUPS = {"group_size": 2}
METHODS: dict[str, dict[str, Any]] = {
    "rats": {},
    "distill": {},
    "reward_only": {},
    "grpo": GROUPS | {"kl_weight": 0.1},
    "otca": GROUPS | {"credit": {"steps": "halves"}},
    "rtdmd": GROUPS | {"cold_start": 0.5, "fake_updates": 2, "learned_steps": 1, "gate": "soft", "credit": {}},
}
LORA: dict[str, dict[str, Any]] = {"full": {}, "lora": {"lora": {"rank": 4}}}
# The methods that the package is for in every combination; the baselines with each side of both once.
MATRIX: dict[str, dict[str, dict[str, Any]]] = {
    f"{method}-zero{stage}-{weights}": {
        "method": {"name": method, **settings},
        "training": {"zero_stage": stage, **LORA[weights]},
    }
    for (method, settings), stage, weights in itertools.product(METHODS.items(), (2, 3), LORA)
    if method in ("rats", "rtdmd", "otca") or (stage == 3) == (weights == "lora")
}
EMA = {"teacher": {"source": "ema", "ema_decay": 0.5}}
WAYS: dict[str, dict[str, dict[str, Any]]] = MATRIX | {
    "zero0": {"training": {"zero_stage": 0}},
    "zero1": {"training": {"zero_stage": 1}},
    "zero2-bf16": {"training": {"zero_stage": 2, "precision": "bf16"}},
    "zero3-bf16": {"training": {"zero_stage": 3, "precision": "bf16"}},
    "rats_grpo": {"method": {"name": "rats_grpo", "group_size": 2}},
    "zero3-watched": {"training": {"zero_stage": 3, "watch_every": 2}},
    "zero3-ema": {"training": {"zero_stage": 3}, **EMA},
    "lora-zero0": {"training": {"zero_stage": 0, "lora": {"rank": 4}}},
    "lora-zero1": {"training": {"zero_stage": 1, "lora": {"rank": 4}}},
    "lora-zero3-ema": {"training": {"zero_stage": 3, "lora": {"rank": 4}}, **EMA},
}
KILLED = {"after": 3, "resumed_from": 2}


@pytest.fixture(scope="module")
def recipes(tiny_recipe: Recipe, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Every way of training."""
    folder = tmp_path_factory.mktemp("recipes")
    judge = {"name": "judge", "path": tiny_recipe.rewards.train[0].path}
    tiny_recipe = changed(tiny_recipe, "rewards", heldout=[judge])
    for name, sections in WAYS.items():
        recipe = changed(tiny_recipe, "training", steps=4, checkpoint_every=KILLED["resumed_from"])
        for section, values in sections.items():
            recipe = with_method(recipe, **values) if section == "method" else changed(recipe, section, **values)
        (folder / f"{name}.yaml").write_text(dump_recipe(recipe))
    return {name: folder / f"{name}.yaml" for name in WAYS}


@pytest.fixture(scope="module")
def runs(recipes: dict[str, Path], tiny_store: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[int, Path]:
    """All of them, by one rank and by two."""
    outs = {world_size: tmp_path_factory.mktemp(f"ranks{world_size}") for world_size in (1, 2)}
    for world_size, out in outs.items():
        run_all(list(recipes.values()), tiny_store, out, world_size)
    return outs


@pytest.fixture(scope="module")
def torn(recipes: dict[str, Path], tiny_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Those of the matrix by a rank that is killed (SIGKILL) between two checkpoints, and by another from there."""
    out = tmp_path_factory.mktemp("torn")
    run_all([recipes[way] for way in MATRIX], tiny_store, out, 1, killed_after=KILLED["after"])
    return out


def student(out: Path) -> dict[str, torch.Tensor]:
    return load_file(out / "student" / "transformer" / "diffusion_pytorch_model.safetensors")


def assert_alike(one: Path, other: Path, tolerance: float) -> None:
    torch.testing.assert_close(losses(one), losses(other), atol=tolerance, rtol=0)
    assert len(losses(one)) == 4


def assert_alike_students(one: Path, other: Path) -> None:
    for name, weight in student(one).items():
        torch.testing.assert_close(weight, student(other)[name], atol=1e-5, rtol=0)


@pytest.mark.slow
@pytest.mark.parametrize("way", ["zero0", "zero1", "rats-zero2-full", "rats-zero3-full", "zero3-watched", "zero3-ema"])
def test_one_rank_and_two_have_the_same_losses(runs: dict[int, Path], way: str) -> None:
    assert_alike(runs[1] / way, runs[2] / way, 1e-6)
    if "ema" not in way:
        assert_alike(runs[1] / way, runs[1] / "zero0", 1e-6)
    assert_alike_students(runs[1] / way, runs[2] / way)


@pytest.mark.slow
@pytest.mark.parametrize("way", ["lora-zero0", "lora-zero1", "rats-zero2-lora", "rats-zero3-lora", "lora-zero3-ema"])
def test_adapters_learn_the_same_from_one_rank_and_two(runs: dict[int, Path], way: str) -> None:
    assert_alike(runs[1] / way, runs[2] / way, 1e-6)
    assert_alike_students(runs[1] / way, runs[2] / way)
    if "ema" not in way:
        assert_alike(runs[1] / way, runs[1] / "lora-zero0", 1e-6)
        assert not torch.equal(losses(runs[1] / way), losses(runs[1] / "zero0"))


@pytest.mark.slow
@pytest.mark.parametrize("way", [*MATRIX, "rats_grpo"])
def test_every_method_learns_the_same_from_one_rank_and_two(runs: dict[int, Path], way: str) -> None:
    assert_alike(runs[1] / way, runs[2] / way, 1e-6)
    one, two = (read_lines(runs[world_size] / way / "samples.jsonl") for world_size in (1, 2))
    for ours, theirs in zip(one, two, strict=True):
        assert ours == pytest.approx(theirs, abs=1e-4)
    assert_alike_students(runs[1] / way, runs[2] / way)
    if way.replace("zero3", "zero2") in MATRIX:
        assert_alike_students(runs[1] / way, runs[1] / way.replace("zero3", "zero2"))


@pytest.mark.slow
def test_no_two_methods_learn_the_same(runs: dict[int, Path]) -> None:
    found = [student(runs[1] / f"{method}-zero2-full") for method in METHODS]
    for one, other in itertools.combinations(found, 2):
        assert max((one[name] - other[name]).abs().max() for name in one) > 1e-4


@pytest.mark.slow
@pytest.mark.parametrize("way", MATRIX)
def test_killed_between_two_checkpoints_every_method_ends_bit_for_bit_the_same(
    runs: dict[int, Path], torn: Path, way: str
) -> None:
    assert read_json(torn / way / "result.json")["resumed_from"] == KILLED["resumed_from"]
    assert_same_run(torn / way, runs[1] / way)


@pytest.mark.slow
@pytest.mark.parametrize("way", ["zero2-bf16", "zero3-bf16"])
def test_bf16_is_near_fp32_on_one_rank_and_on_two(runs: dict[int, Path], way: str) -> None:
    assert_alike(runs[1] / way, runs[2] / way, 2e-3)
    assert_alike(runs[1] / way, runs[1] / "zero0", 2e-3)
    assert not torch.equal(losses(runs[1] / way), losses(runs[1] / "zero0"))


@pytest.mark.slow
def test_two_ranks_record_the_samples_of_both_in_the_order_of_one(runs: dict[int, Path]) -> None:
    one, two = (read_lines(runs[world_size] / "rats-zero2-full" / "samples.jsonl") for world_size in (1, 2))
    assert [(line["step"], line["prompt"], line["seed"]) for line in one] == [
        (line["step"], line["prompt"], line["seed"]) for line in two
    ]
    for ours, theirs in zip(one, two, strict=True):
        assert ours["reward_student"] == pytest.approx(theirs["reward_student"], abs=1e-5)


@pytest.mark.slow
def test_two_ranks_see_what_one_sees_and_export_the_same_look(runs: dict[int, Path]) -> None:
    one, two = (read_watch(runs[world_size] / "zero3-watched" / "watch.jsonl") for world_size in (1, 2))
    assert [look.step for look in one] == [look.step for look in two] == [0, 2, 4]
    for ours, theirs in zip(one, two, strict=True):
        for name, values in ours.values.items():
            assert theirs.values[name] == pytest.approx(values, abs=1e-4), name
    results = [read_json(runs[world_size] / "zero3-watched" / "result.json") for world_size in (1, 2)]
    assert results[0]["exported_step"] == results[1]["exported_step"] == best_point(one).step


def test_ranks_leave_together_wherever_one_of_them_fails() -> None:
    script = Path(__file__).with_name("leave_together.py")
    torchrun = ["-m", "torch.distributed.run", "--standalone", "--local-addr", "127.0.0.1", "--nproc-per-node", "2"]
    done = subprocess.run(
        [sys.executable, *torchrun, str(script)],
        env=os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(script.parents[2])},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
