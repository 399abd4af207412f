"""Every family from trajectories to a student that stock diffusers loads, on tiny weights."""

from pathlib import Path

import pytest
import torch
from diffusers import DiffusionPipeline
from safetensors.torch import load_file

from rats_train.config import Recipe, dump_recipe
from rats_train.engine.ranks import Ranks
from rats_train.engine.records import read_lines
from rats_train.engine.train import train
from rats_train.evaluation.draws import draws_path, load_draws
from rats_train.evaluation.pictures import to_picture
from rats_train.evaluation.sample import evaluate
from rats_train.evaluation.scorecard import Scorecard
from rats_train.methods.base import STUDENT, StepContext
from rats_train.methods.start import begin, student_rollout
from rats_train.models.load import load_model
from rats_train.sampling.draw import draw
from rats_train.sampling.teacher import load_teacher
from rats_train.trajectories.generate import generate
from rats_train.trajectories.prompts import PromptSource
from tests.integration.conftest import changed
from tests.integration.several_runs import losses, run_all
from tests.tiny_pipelines import tiny_flux, tiny_sd3, tiny_wan

PROMPTS, SEEDS = ["two owls", "a fox"], [3, 1]
SIZES = {"sd3": (64, 64, 1), "flux": (64, 96, 1), "wan": (32, 48, 5)}


@pytest.fixture(scope="module", params=SIZES)
def recipe(request: pytest.FixtureRequest, tiny_recipe: Recipe, tmp_path_factory: pytest.TempPathFactory) -> Recipe:
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("models") / request.param
    make = {"sd3": lambda: tiny_sd3(t5=True, shift=3.0), "flux": tiny_flux, "wan": tiny_wan}[request.param]
    make().save_pretrained(path)
    height, width, frames = SIZES[request.param]
    values = tiny_recipe.model_dump() | {
        "family": request.param,
        "resolution": {"height": height, "width": width, "frames": frames},
    }
    values["teacher"] |= {"path": str(path)}
    values["training"] |= {"steps": 3, "checkpoint_every": 3}
    values["trajectories"] |= {"count": 6, "shard_size": 6, "batch_size": 3}
    return Recipe.model_validate(values)


@pytest.fixture(scope="module")
def store(recipe: Recipe, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return generate(recipe, tmp_path_factory.mktemp("data") / "store")


@pytest.mark.parametrize("source", ["store", "ema"])
def test_a_family_trains_and_its_student_is_a_stock_folder(
    recipe: Recipe, store: Path, ranks: Ranks, tmp_path: Path, source: str
) -> None:
    recipe = changed(recipe, "teacher", source=source)
    train(recipe, store if source == "store" else None, tmp_path / "run", ranks)
    lines = read_lines(tmp_path / "run" / "metrics.jsonl")
    assert len(lines) == 3
    assert all(line["grad_norm"] > 0 and 0 < line["gate_mean"] < 1 for line in lines)
    student = tmp_path / "run" / "student"
    before = load_file(Path(recipe.teacher.path) / "transformer" / "diffusion_pytorch_model.safetensors")
    after = load_file(student / "transformer" / "diffusion_pytorch_model.safetensors")
    assert before.keys() == after.keys()
    assert any(not torch.equal(after[name], weight) for name, weight in before.items())
    assert load_model(student, family=recipe.family).resolution == recipe.resolution
    DiffusionPipeline.from_pretrained(student)
    assert len(list((tmp_path / "run" / "previews").glob("*.png"))) == 2


@pytest.mark.slow
def test_two_ranks_under_zero_take_the_steps_of_one(recipe: Recipe, store: Path, tmp_path: Path) -> None:
    recipes = {stage: tmp_path / f"zero{stage}.yaml" for stage in (0, 2, 3)}
    for stage, path in recipes.items():
        path.write_text(dump_recipe(changed(recipe, "training", zero_stage=stage)))
    run_all([recipes[0]], store, tmp_path / "one", 1)
    run_all([recipes[2], recipes[3]], store, tmp_path / "two", 2)
    one = losses(tmp_path / "one" / "zero0")
    assert len(one) == 3
    assert one[0] != one[1]
    for stage in (2, 3):
        torch.testing.assert_close(losses(tmp_path / "two" / f"zero{stage}"), one, atol=1e-6, rtol=0)


def test_a_family_trains_adapters_that_stock_diffusers_puts_on_its_teacher(
    recipe: Recipe, store: Path, ranks: Ranks, tmp_path: Path
) -> None:
    recipe = changed(recipe, "training", lora={"rank": 4, "alpha": 8}, learning_rate=0.05)
    train(recipe, store, tmp_path / "run", ranks)
    path = tmp_path / "run" / "student"
    student, teacher = load_model(path), DiffusionPipeline.from_pretrained(recipe.teacher.path)
    options = {"sigmas": student.sigmas(3), "guidance_scale": recipe.student_guidance_scale, "batch_size": 2}
    drawn = draw(student, PROMPTS, SEEDS, **options)
    assert (drawn - draw(student, PROMPTS, SEEDS, **options, transformer=teacher.transformer)).abs().max() > 1e-2
    teacher.load_lora_weights(path)
    lent = draw(student, PROMPTS, SEEDS, **options, transformer=teacher.transformer)
    torch.testing.assert_close(lent, drawn, atol=1e-4, rtol=0)


def test_the_store_keeps_the_latents_of_the_family(recipe: Recipe, store: Path) -> None:
    shard = load_file(store / "shard-00000.safetensors")
    shape = load_model(recipe.teacher.path, recipe.resolution).latent_shape
    assert shard["final"].shape == (6, *shape)
    assert shard["x0"].shape[2:] == shape
    assert len(shape) == (4 if recipe.family == "wan" else 3)


def test_of_a_video_a_grid_shows_the_middle_frame() -> None:
    video = torch.zeros(5, 3, 8, 8, dtype=torch.uint8)
    video[2] = 255
    assert to_picture(video, 16).getextrema() == ((255, 255),) * 3


@pytest.mark.parametrize("changes", [{"recompute": "both"}, {"offload_text_encoders": True}])
def test_what_saves_memory_learns_the_same(
    recipe: Recipe, store: Path, ranks: Ranks, tmp_path: Path, changes: dict[str, object]
) -> None:
    losses = []
    for name, values in (("plain", {}), ("thrifty", changes)):
        train(changed(recipe, "training", steps=2, **values), store, tmp_path / name, ranks)
        losses.append([line["loss"] for line in read_lines(tmp_path / name / "metrics.jsonl")])
    assert losses[0] == pytest.approx(losses[1], abs=1e-6)


@pytest.mark.slow
def test_compiled_blocks_learn_the_same(recipe: Recipe, store: Path, ranks: Ranks, tmp_path: Path) -> None:
    losses = []
    for compiled in (False, True):
        run = tmp_path / str(compiled)
        train(changed(recipe, "training", steps=2, compile=compiled), store, run, ranks)
        losses.append([line["loss"] for line in read_lines(run / "metrics.jsonl")])
    assert losses[0] == pytest.approx(losses[1], abs=1e-5)


def test_a_student_of_any_family_is_judged_against_its_teacher(
    recipe: Recipe, store: Path, ranks: Ranks, tmp_path: Path
) -> None:
    train(changed(recipe, "training", steps=1), store, tmp_path / "run", ranks)
    prompts = tmp_path / "judged.txt"
    prompts.write_text("a blue cup\na red door\n")
    recipe = changed(recipe, "evaluation", prompts=str(prompts), count=2, bootstrap_samples=100, gallery_count=2)
    card = Scorecard.read(evaluate(recipe, tmp_path / "run" / "student", tmp_path / "evaluation"))
    assert card.budgets == [2, 3]
    told = recipe.family == "flux"  # the guidance scale is an input, and costs nothing
    assert card.arms["teacher_3"].evaluations == (3 if told else 6)
    assert ("teacher_3_unguided" in card.arms) is not told
    drawn = load_draws(draws_path(tmp_path / "evaluation", "student_3")).images
    assert drawn.ndim == (5 if recipe.family == "wan" else 4)
    assert (tmp_path / "evaluation" / "grid.png").stat().st_size > 1000


def test_the_chain_that_learns_is_the_chain_that_is_drawn(recipe: Recipe) -> None:
    model = load_teacher(recipe)
    batch = PromptSource(recipe).batch([0, 1])
    context = StepContext(step=0, model=model, roles={STUDENT: model.transformer}, rewards=[])
    start = begin(recipe, batch, context)
    learning = model.decode(student_rollout(start, context).final)
    scale = recipe.student_guidance_scale
    drawn = draw(model, batch.prompts, batch.seeds, sigmas=start.sigmas, guidance_scale=scale, batch_size=2)
    torch.testing.assert_close(learning, drawn)
