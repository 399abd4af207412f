"""Any CLIP-type reward: how well a picture and its prompt agree in a shared feature space."""

from collections.abc import Sequence
from pathlib import Path
from typing import Self

import torch
import torch.nn.functional as F
from torch import Tensor
from transformers import CLIPModel, CLIPTokenizer

from rats_train.errors import UserError
from rats_train.files import read_json
from rats_train.rewards.base import check_finite


class ClipReward:
    """Cosine of image and text features of a transformers ``CLIPModel`` folder with its tokenizer; in [-1, 1].

    Raises:
        UserError: the folder is missing, is another kind of model, or lacks preprocessor_config.json.
    """

    differentiable = True

    def __init__(self, path: str | Path, name: str, weight: float = 1.0) -> None:
        path = Path(path)
        if not (path / "config.json").is_file():
            raise UserError(f"No reward model {name} at {path} (no config.json in it): name a CLIPModel folder.")
        kind = read_json(path / "config.json").get("model_type")
        if kind != "clip":
            raise UserError(f"The reward model {name} at {path} is a {kind} model: name a CLIPModel folder.")
        preprocessing = read_json(path / "preprocessor_config.json")
        self.name, self.weight = name, weight
        self._model = CLIPModel.from_pretrained(path, local_files_only=True).eval().requires_grad_(False)
        self._tokenizer = CLIPTokenizer.from_pretrained(path, local_files_only=True)
        self._mean, self._std = (torch.tensor(preprocessing[key]).view(3, 1, 1) for key in ("image_mean", "image_std"))

    def to(self, device: torch.device | str) -> Self:
        """Move the model, in place."""
        self._model.to(device)
        self._mean, self._std = self._mean.to(device), self._std.to(device)
        return self

    def score(self, images: Tensor, prompts: Sequence[str]) -> Tensor:
        """Cosine similarity[B] of images[B, 3, H, W] in [0, 1] and prompts; carries gradient to the images.

        Raises:
            UserError: a score is not finite.
        """
        rewards = (self.image_features(images) * self._text_features(prompts)).sum(dim=1)
        return check_finite(self.name, rewards, prompts)

    def image_features(self, images: Tensor) -> Tensor:
        """Unit vectors[B, D] of images[B, 3, H, W] in [0, 1], resized to the size the model was trained on."""
        size = self._model.config.vision_config.image_size
        pixels = images.float()
        if pixels.shape[-2:] != (size, size):
            pixels = F.interpolate(pixels, size=(size, size), mode="bicubic", antialias=True)
        features = self._model.get_image_features(pixel_values=(pixels - self._mean) / self._std).pooler_output
        return F.normalize(features, dim=1)

    @torch.no_grad()
    def _text_features(self, prompts: Sequence[str]) -> Tensor:
        tokens = self._tokenizer(
            list(prompts),
            padding="max_length",
            max_length=self._model.config.text_config.max_position_embeddings,
            truncation=True,
            return_tensors="pt",
        )
        # The text tower is causal and reads its summary at the first end token: padding behind it needs no mask.
        features = self._model.get_text_features(input_ids=tokens.input_ids.to(self._mean.device)).pooler_output
        return F.normalize(features, dim=1)
