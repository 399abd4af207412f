"""ImageReward (Xu et al. 2023): BLIP reads the prompt with the picture before it, and a head scores what it read."""

from collections.abc import Sequence
from math import inf
from pathlib import Path
from typing import Final

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import BertTokenizer, BlipTextConfig, BlipTextModel, BlipVisionConfig, BlipVisionModel

from rats_train.errors import UserError
from rats_train.files import read_json
from rats_train.recipe_rewards import Statistics
from rats_train.rewards.backward_memory import kept_for_backward, patches
from rats_train.rewards.base import Extras, Reward, Traits
from rats_train.rewards.preprocess import CLIP_MEAN, CLIP_STD, square
from rats_train.rewards.score_head import ScoreHead
from rats_train.rewards.weights import load_weights

MODEL_TYPE: Final = "image_reward"
WEIGHTS_FILE: Final = "model.safetensors"
TOKENS: Final = 35
# Of the raw score over the pictures that it was taught on.
_SCORE_MEAN, _SCORE_STD = 0.16717362830052426, 1.0333394966054072


class ImageRewardNetwork(nn.Module):
    """Vision tower, text tower with cross-attention, and head; the configurations are as config.json has them."""

    def __init__(self, vision: BlipVisionConfig, text: BlipTextConfig) -> None:
        super().__init__()
        self.vision = BlipVisionModel(vision)
        self.text = BlipTextModel(text, add_pooling_layer=False)
        self.head = ScoreHead(text.hidden_size)

    def forward(self, pixels: Tensor, tokens: Tensor, mask: Tensor) -> Tensor:
        """Raw scores[B] of normalised pixels[B, 3, H, W] and tokens[B, N]; mask[B, N] is 0 on padding."""
        seen = self.vision(pixel_values=pixels).last_hidden_state
        read = self.text(
            input_ids=tokens,
            attention_mask=mask,
            encoder_hidden_states=seen,
            encoder_attention_mask=torch.ones_like(seen[..., 0], dtype=torch.long),
            is_decoder=False,
        )
        scores: Tensor = self.head(read.last_hidden_state[:, 0])
        return scores


class ImageReward(Reward):
    """(head(BLIP(image, prompt)) - mean) / std with the constants of the release; about standard normal, unbounded.

    The package resizes 8-bit pictures by the same bicubic filter and rounds; here the tensor is resized, so that
    gradient passes. Its folder, made by `rats_train.rewards.convert.image_reward`, holds config.json
    (``model_type: image_reward``, ``vision_config``, ``text_config``), model.safetensors and a BERT tokenizer.

    Raises:
        UserError: the folder is missing or holds something else.
    """

    traits = Traits(differentiable=True, low=-inf, high=inf, usual_scale=1.0, has_features=True, batch_size=64)
    _mean: Tensor
    _std: Tensor

    def __init__(self, path: str | Path, name: str, weight: float = 1.0, statistics: Statistics | None = None) -> None:
        super().__init__(name, weight, statistics)
        path = Path(path)
        config = read_json(path / "config.json") if (path / "config.json").is_file() else {}
        if config.get("model_type") != MODEL_TYPE:
            raise UserError(
                f"No ImageReward model for reward {name} at {path}: make the folder from the released checkpoint with "
                "rats_train.rewards.convert.image_reward."
            )
        vision, text = BlipVisionConfig(**config["vision_config"]), BlipTextConfig(**config["text_config"])
        self._network = load_weights(ImageRewardNetwork(vision, text), path / WEIGHTS_FILE, name)
        self._tokenizer = BertTokenizer.from_pretrained(path, local_files_only=True)
        self.register_buffer("_mean", torch.tensor(CLIP_MEAN).view(3, 1, 1), persistent=False)
        self.register_buffer("_std", torch.tensor(CLIP_STD).view(3, 1, 1), persistent=False)

    def image_features(self, images: Tensor) -> Tensor:
        """Unit vectors[B, D] of images[B, 3, H, W] in [0, 1]: what the vision tower's class token has seen."""
        seen = self._network.vision(pixel_values=self._pixels(images.float())).last_hidden_state
        return F.normalize(seen[:, 0], dim=1)

    def _values(self, images: Tensor, prompts: Sequence[str], extras: Extras) -> Tensor:
        read = self._tokenizer(
            list(prompts), padding="max_length", max_length=TOKENS, truncation=True, return_tensors="pt"
        ).to(images.device)
        scores: Tensor = self._network(self._pixels(images), read.input_ids, read.attention_mask)
        return (scores - _SCORE_MEAN) / _SCORE_STD

    def _pixels(self, images: Tensor) -> Tensor:
        size = self._network.vision.config.image_size
        assert isinstance(size, int)
        return (square(images, size, cut=True) - self._mean) / self._std

    def _kept_per_image(self) -> int:
        vision, text = self._network.vision.config, self._network.text.config
        seen = kept_for_backward(layers=vision.num_hidden_layers, tokens=patches(vision), width=vision.hidden_size)
        return seen + kept_for_backward(layers=text.num_hidden_layers, tokens=TOKENS, width=text.hidden_size)
