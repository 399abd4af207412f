"""One rank or two, whatever ZeRO cuts up: the same losses, the same student."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from rats_train.config import Recipe, dump_recipe
from rats_train.engine.records import read_lines
from rats_train.evaluation.watched import best_point, read_watch
from rats_train.files import read_json
from tests.integration.conftest import changed, with_method
from tests.integration.several_runs import losses, run_all

RTDMD = {"name": "rtdmd", "group_size": 2, "cold_start": 0.5, "fake_updates": 2, "gate": "soft", "credit": {}}
WAYS: dict[str, dict[str, dict[str, object]]] = {
    "zero0": {"training": {"zero_stage": 0}},
    "zero1": {"training": {"zero_stage": 1}},
    "zero2": {"training": {"zero_stage": 2}},
    "zero3": {"training": {"zero_stage": 3}},
    "zero2-bf16": {"training": {"zero_stage": 2, "precision": "bf16"}},
    "zero3-bf16": {"training": {"zero_stage": 3, "precision": "bf16"}},
    "distill": {"method": {"name": "distill"}},
    "reward_only": {"method": {"name": "reward_only"}},
    "grpo": {"method": {"name": "grpo", "group_size": 2, "kl_weight": 0.1}},
    "rats_grpo": {"method": {"name": "rats_grpo", "group_size": 2}},
    "otca": {"method": {"name": "otca", "group_size": 2}},
    "rtdmd": {"method": RTDMD},
    "zero3-rtdmd": {"training": {"zero_stage": 3}, "method": RTDMD},
    "lora-rtdmd": {"training": {"lora": {"rank": 4}}, "method": RTDMD},
    "lora-zero3-rtdmd": {"training": {"zero_stage": 3, "lora": {"rank": 4}}, "method": RTDMD},
    "zero3-grpo": {"training": {"zero_stage": 3}, "method": {"name": "grpo", "group_size": 2, "kl_weight": 0.1}},
    "zero3-watched": {"training": {"zero_stage": 3, "watch_every": 2}},
    "zero3-ema": {"training": {"zero_stage": 3}, "teacher": {"source": "ema", "ema_decay": 0.5}},
    **{f"lora-zero{stage}": {"training": {"zero_stage": stage, "lora": {"rank": 4}}} for stage in (0, 1, 2, 3)},
    "lora-zero3-ema": {
        "training": {"zero_stage": 3, "lora": {"rank": 4}},
        "teacher": {"source": "ema", "ema_decay": 0.5},
    },
}
METHODS = [
    *("distill", "reward_only", "grpo", "rats_grpo", "zero3-grpo", "otca"),
    *("rtdmd", "zero3-rtdmd", "lora-rtdmd", "lora-zero3-rtdmd"),
]


@pytest.fixture(scope="module")
def runs(tiny_recipe: Recipe, tiny_store: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[int, Path]:
    """Every way of training, by one rank and by two."""
    recipes = tmp_path_factory.mktemp("recipes")
    judge = {"name": "judge", "path": tiny_recipe.rewards.train[0].path}
    tiny_recipe = changed(tiny_recipe, "rewards", heldout=[judge])
    for name, sections in WAYS.items():
        recipe = changed(tiny_recipe, "training", steps=4, checkpoint_every=4)
        for section, values in sections.items():
            recipe = with_method(recipe, **values) if section == "method" else changed(recipe, section, **values)
        (recipes / f"{name}.yaml").write_text(dump_recipe(recipe))
    outs = {}
    for world_size in (1, 2):
        outs[world_size] = tmp_path_factory.mktemp(f"ranks{world_size}")
        run_all(sorted(recipes.iterdir()), tiny_store, outs[world_size], world_size)
    return outs


def student(out: Path) -> dict[str, torch.Tensor]:
    return load_file(out / "student" / "transformer" / "diffusion_pytorch_model.safetensors")


def assert_alike(one: Path, other: Path, tolerance: float) -> None:
    torch.testing.assert_close(losses(one), losses(other), atol=tolerance, rtol=0)
    assert len(losses(one)) == 4


def assert_alike_students(one: Path, other: Path) -> None:
    for name, weight in student(one).items():
        torch.testing.assert_close(weight, student(other)[name], atol=1e-4, rtol=0)


@pytest.mark.slow
@pytest.mark.parametrize("way", ["zero0", "zero1", "zero2", "zero3", "zero3-watched", "zero3-ema"])
def test_one_rank_and_two_have_the_same_losses(runs: dict[int, Path], way: str) -> None:
    assert_alike(runs[1] / way, runs[2] / way, 1e-6)
    if "ema" not in way:
        assert_alike(runs[1] / way, runs[1] / "zero0", 1e-6)
    assert_alike_students(runs[1] / way, runs[2] / way)


@pytest.mark.slow
@pytest.mark.parametrize("way", ["lora-zero0", "lora-zero1", "lora-zero2", "lora-zero3", "lora-zero3-ema"])
def test_adapters_learn_the_same_from_one_rank_and_two(runs: dict[int, Path], way: str) -> None:
    assert_alike(runs[1] / way, runs[2] / way, 1e-6)
    assert_alike_students(runs[1] / way, runs[2] / way)
    if "ema" not in way:
        assert_alike(runs[1] / way, runs[1] / "lora-zero0", 1e-6)
        assert not torch.equal(losses(runs[1] / way), losses(runs[1] / "zero0"))


@pytest.mark.slow
@pytest.mark.parametrize("way", METHODS)
def test_every_method_learns_the_same_from_one_rank_and_two(runs: dict[int, Path], way: str) -> None:
    assert_alike(runs[1] / way, runs[2] / way, 1e-6)
    one, two = (read_lines(runs[world_size] / way / "samples.jsonl") for world_size in (1, 2))
    for ours, theirs in zip(one, two, strict=True):
        assert ours == pytest.approx(theirs, abs=1e-4)
    assert_alike_students(runs[1] / way, runs[2] / way)
    if "zero3-" in way:
        assert_alike_students(runs[1] / way, runs[1] / way.replace("zero3-", ""))


@pytest.mark.slow
@pytest.mark.parametrize("way", ["zero2-bf16", "zero3-bf16"])
def test_bf16_is_near_fp32_on_one_rank_and_on_two(runs: dict[int, Path], way: str) -> None:
    assert_alike(runs[1] / way, runs[2] / way, 2e-3)
    assert_alike(runs[1] / way, runs[1] / "zero0", 2e-3)
    assert not torch.equal(losses(runs[1] / way), losses(runs[1] / "zero0"))


@pytest.mark.slow
def test_two_ranks_record_the_samples_of_both_in_the_order_of_one(runs: dict[int, Path]) -> None:
    one, two = (read_lines(runs[world_size] / "zero2" / "samples.jsonl") for world_size in (1, 2))
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
