"""HPSv2 and ImageReward as we load them against the original packages, each in an environment of its own.

`make parity` builds the environments and runs this. Small random models of the originals' own classes are saved as the
real ones are released, converted by our command, and asked about the same pictures.
"""

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.nn import functional as F
from typer.testing import CliRunner

from pipelines.cli import app
from rats_train.recipe_rewards import RewardSpec
from rats_train.rewards.base import Reward
from rats_train.rewards.build import load_reward

ROOT = Path(__file__).parents[2]
PROMPTS = ["a fox above a frog", "Two owls, and a cat!", "an astronaut's red bicycle in the snow", "3 pizzas"]
TOLERANCE = 1e-5
COSINE = 0.9999
CHECKPOINTS = {"hpsv2": ("HPS.pt", "tokenizer"), "image_reward": ("ImageReward.pt", "bert-base-uncased")}

pytestmark = pytest.mark.slow


@dataclass(frozen=True)
class Parity:
    """Ours, and what the original said of the same pictures."""

    kind: str
    ours: Reward
    pictures: dict[str, Tensor]
    answer: dict[str, Tensor]

    def score(self, batch: str) -> tuple[Tensor, Tensor]:
        """Our scores of a batch, and their gradient."""
        images = (self.pictures[batch].permute(0, 3, 1, 2) / 255).requires_grad_()
        score = self.ours.score(images, PROMPTS)
        return score.detach(), torch.autograd.grad(score.sum(), images)[0]


def say(parity: Parity, what: str, number: float) -> None:
    """Shown by pytest -s, for the record."""
    sys.stdout.write(f"\n{parity.kind} {what} {number:.3g}\n")


def pictures() -> dict[str, Tensor]:
    """Noise of two scales, from black to white with hard edges, at the size that the models see and at another."""
    generator = torch.Generator().manual_seed(0)

    def drawn(height: int, width: int) -> Tensor:
        coarse = F.interpolate(torch.rand(len(PROMPTS), 3, 8, 8, generator=generator), (height, width), mode="nearest")
        fine = torch.rand(len(PROMPTS), 3, height, width, generator=generator)
        # Many patches are wholly black or white: what a filter overshoots there must be kept, or cut, as there.
        shades = (2 * coarse - 0.6 + 0.2 * fine).clamp(0, 1)
        return (255 * shades).round().to(torch.uint8).permute(0, 2, 3, 1).contiguous()

    return {"seen": drawn(224, 224), "larger": drawn(320, 280)}


@pytest.fixture(scope="module", params=list(CHECKPOINTS))
def parity(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Parity:
    kind = request.param
    python = ROOT / ".venv-parity" / kind / "bin" / "python"
    if not python.is_file():
        pytest.skip(f"no environment of the original {kind} at {python}: make parity builds it")
    folder = tmp_path_factory.mktemp(kind)
    shown = pictures()
    save_file(shown, folder / "pictures.safetensors", {"prompts": json.dumps(PROMPTS)})
    script = Path(__file__).parent / "originals" / f"{kind}.py"
    done = subprocess.run(
        [str(python), str(script), str(folder / "pictures.safetensors"), str(folder / "answer")],
        capture_output=True,
        text=True,
        env={"PATH": "/usr/bin:/bin", "HF_HUB_OFFLINE": "1", "HOME": str(folder)},
    )
    assert done.returncode == 0, done.stderr
    checkpoint, parts = (folder / "answer" / name for name in CHECKPOINTS[kind])
    words = ["reward", "convert", kind, str(checkpoint), str(folder / "ours"), "--parts", str(parts)]
    made = CliRunner().invoke(app, words, catch_exceptions=False)
    assert made.exit_code == 0
    ours = load_reward(RewardSpec(name=kind, kind=kind, path=str(folder / "ours")))
    return Parity(kind, ours, shown, load_file(folder / "answer" / "answer.safetensors"))


def test_scores_are_those_that_the_package_gives_people(parity: Parity) -> None:
    """By the package's own function on a picture file's bytes."""
    score, _ = parity.score("seen")
    off = (score - parity.answer["seen.score"]).abs().max().item()
    say(parity, "largest difference of scores", off)
    assert score.std() > 100 * TOLERANCE
    assert off <= TOLERANCE


def test_the_gradient_is_that_of_the_original_network(parity: Parity) -> None:
    score, gradient = parity.score("seen")
    assert (score - parity.answer["seen.differentiable"]).abs().max() <= TOLERANCE
    there = parity.answer["seen.gradient"]
    cosine = F.cosine_similarity(gradient.double().flatten(1), there.double().flatten(1)).min().item()
    size = (gradient.norm() / there.norm()).item()
    say(parity, "one less the gradients' least cosine", 1 - cosine)
    assert cosine >= COSINE
    assert size == pytest.approx(1, abs=1e-4)


def test_larger_pictures_are_resized_as_there(parity: Parity) -> None:
    """HPSv2 resizes floats, as we do. ImageReward resizes bytes and rounds to whole shades; we cannot, for gradient."""
    score, gradient = parity.score("larger")
    off = (score - parity.answer["larger.score"]).abs().max().item()
    say(parity, "largest difference of scores of larger pictures", off)
    if parity.kind == "hpsv2":
        assert off <= TOLERANCE
        there = parity.answer["larger.gradient"]
        assert F.cosine_similarity(gradient.flatten(1), there.flatten(1)).min() >= COSINE
    else:
        assert off <= 0.05 * score.std()
