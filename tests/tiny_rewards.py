"""Random, tiny reward models of every kind, as the folders or objects that recipes name, with pictures to score."""

import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import inf
from pathlib import Path

import torch
from PIL import Image, ImageDraw, ImageFont
from safetensors.torch import save_file
from torch import Tensor
from transformers import BertTokenizer, BlipTextConfig, BlipVisionConfig

from rats_train.recipe_rewards import RewardSpec, Statistics
from rats_train.rewards.aesthetic import HEAD_FILE
from rats_train.rewards.base import Extras, Reward, Traits
from rats_train.rewards.build import combine, load_reward
from rats_train.rewards.image_reward import ImageRewardNetwork
from rats_train.rewards.score_head import ScoreHead
from rats_train.world.renderer import render
from rats_train.world.scene import Scene
from tests.tiny_pipelines import LETTERS

VISION = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
BLIP_VISION = VISION | {"image_size": 32, "patch_size": 8, "layer_norm_eps": 1e-6}
BLIP_TEXT = {
    "hidden_size": 24,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "encoder_hidden_size": 16,
    "max_position_embeddings": 40,
    "vocab_size": 100,
}
PROMPTS = ["two owls", "one fox", "a fox"]


@dataclass(frozen=True)
class Case:
    """A reward, and pictures[3, 3, 64, 64] with prompts that it scores differently."""

    spec: RewardSpec
    images: Tensor
    prompts: list[str]

    def load(self, statistics: Statistics | None = None) -> Reward:
        """The reward, loaded anew."""
        return load_reward(self.spec.model_copy(update={"statistics": statistics}))


class Weighted(Reward):
    """What a recipe makes of several rewards, as one."""

    traits = Traits(differentiable=True, low=-inf, high=inf)

    def __init__(self, rewards: list[Reward], statistics: Statistics | None) -> None:
        super().__init__("tiny", statistics=statistics)
        self._rewards = torch.nn.ModuleList(rewards)

    def _values(self, images: Tensor, prompts: Sequence[str], extras: Extras) -> Tensor:
        return combine(self._rewards, images, prompts, extras)

    def _kept_per_image(self) -> int:
        return sum(reward._kept_per_image() for reward in self._rewards)


@dataclass(frozen=True)
class WeightedCase(Case):
    """The weighted sum of two kinds, one of them brought to its own scale; ``spec`` is that of the first."""

    def load(self, statistics: Statistics | None = None) -> Reward:
        """The sum, loaded anew."""
        changes = [{"weight": 2.0}, {"kind": "hpsv2", "weight": 0.5, "statistics": Statistics(mean=0.1, std=0.3)}]
        return Weighted([load_reward(self.spec.model_copy(update=change)) for change in changes], statistics)


def noise(count: int = 3) -> Tensor:
    """Pictures[count, 3, 64, 64] of shades that no bicubic filter pushes past black or white."""
    return 0.3 + 0.4 * torch.rand(count, 3, 64, 64, generator=torch.Generator().manual_seed(0))


def bert_tokenizer() -> BertTokenizer:
    """A letter-level BERT tokenizer."""
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *LETTERS, *(f"##{letter}" for letter in LETTERS)]
    return BertTokenizer(vocab={piece: i for i, piece in enumerate(pieces)})


def randomised(network: torch.nn.Module) -> torch.nn.Module:
    """With weights large enough that every part of it shows in the score."""
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for weight in network.parameters():
            weight.copy_(torch.randn(weight.shape, generator=generator) * (0.5 / max(weight.shape[-1:] or (1,)) ** 0.5))
    return network


def image_reward_dir(path: Path) -> Path:
    path.mkdir()
    network = randomised(ImageRewardNetwork(BlipVisionConfig(**BLIP_VISION), BlipTextConfig(**BLIP_TEXT)))
    config = {"model_type": "image_reward", "vision_config": BLIP_VISION, "text_config": BLIP_TEXT}
    (path / "config.json").write_text(json.dumps(config))
    save_file(network.state_dict(), path / "model.safetensors")
    bert_tokenizer().save_pretrained(path)
    return path


def aesthetic_dir(path: Path, clip: Path) -> Path:
    shutil.copytree(clip, path)
    save_file(randomised(ScoreHead(16)).state_dict(), path / HEAD_FILE)
    return path


def scenes() -> Tensor:
    """A fox, two of them, and noise."""
    foxes = [(("fox", (32, 32, 44)),), (("fox", (16, 32, 26)), ("fox", (48, 32, 26)))]
    drawn = [torch.from_numpy(render(Scene("noto", "white", objects))).permute(2, 0, 1) / 255 for objects in foxes]
    return torch.stack([*drawn, noise(1)[0]])


def signs(words: list[str]) -> Tensor:
    """Black words on white cards of 256 pixels."""
    cards = []
    for text in words:
        card = Image.new("RGB", (256, 256), "white")
        ImageDraw.Draw(card).text((20, 90), text, "black", ImageFont.load_default(40))
        cards.append(torch.frombuffer(bytearray(card.tobytes()), dtype=torch.uint8).view(256, 256, 3).permute(2, 0, 1))
    return torch.stack(cards) / 255


def make_case(kind: str, folder: Path, clip: Path) -> Case:
    """The case of one kind; ``clip`` is a CLIPModel folder."""
    own: dict[str, Callable[[Path], Path]] = {
        "image_reward": image_reward_dir,
        "aesthetic": lambda path: aesthetic_dir(path, clip),
    }
    if kind == "weighted":
        return WeightedCase(RewardSpec(name="tiny", path=str(clip)), noise(), PROMPTS)
    if kind in ("verifier", "likeness"):
        return Case(RewardSpec(name="tiny", kind=kind), scenes(), ["a fox", "one fox", "two foxes"])
    if kind == "ocr":
        prompts = ['a sign "OPEN"', 'a sign "NEW SHOP"', 'a sign "CLOSED"']
        return Case(RewardSpec(name="tiny", kind=kind), signs(["OPEN", "NEW", "OPEN"]), prompts)
    if kind == "nsfw":
        return Case(RewardSpec(name="tiny", kind=kind), noise() * torch.tensor([0.2, 0.6, 1]).view(3, 1, 1, 1), PROMPTS)
    path = own[kind](folder / kind) if kind in own else clip
    return Case(RewardSpec(name="tiny", kind=kind, path=str(path)), noise(), PROMPTS)
