"""The two towers of a CLIP model as unit vectors, which every CLIP-type reward makes its score of."""

from abc import abstractmethod
from collections.abc import Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor
from transformers import CLIPModel, CLIPTokenizer

from rats_train.errors import UserError
from rats_train.files import read_json
from rats_train.recipe_rewards import Statistics
from rats_train.rewards.backward_memory import kept_for_backward, patches
from rats_train.rewards.base import Reward


class ClipFeatures(Reward):
    """A transformers ``CLIPModel`` folder with its tokenizer and preprocessor_config.json.

    Raises:
        UserError: the folder is missing, is another kind of model, or lacks preprocessor_config.json.
    """

    _mean: Tensor
    _std: Tensor

    def __init__(self, path: str | Path, name: str, weight: float = 1.0, statistics: Statistics | None = None) -> None:
        super().__init__(name, weight, statistics)
        path = Path(path)
        if not (path / "config.json").is_file():
            raise UserError(f"No reward model {name} at {path} (no config.json in it): name a CLIPModel folder.")
        kind = read_json(path / "config.json").get("model_type")
        if kind != "clip":
            raise UserError(f"The reward model {name} at {path} is a {kind} model: name a CLIPModel folder.")
        preprocessing = read_json(path / "preprocessor_config.json")
        self._model = CLIPModel.from_pretrained(path, dtype=torch.float32, local_files_only=True).eval()
        self._model.requires_grad_(False)
        self._tokenizer = CLIPTokenizer.from_pretrained(path, local_files_only=True)
        for key in ("mean", "std"):
            self.register_buffer(f"_{key}", torch.tensor(preprocessing[f"image_{key}"]).view(3, 1, 1), persistent=False)

    def image_features(self, images: Tensor) -> Tensor:
        """Unit vectors[B, D] of images[B, 3, H, W] in [0, 1], resized to the size the model was trained on."""
        pixels = self._fitted(images.float(), self._model.config.vision_config.image_size)
        features = self._model.get_image_features(pixel_values=(pixels - self._mean) / self._std).pooler_output
        return F.normalize(features, dim=1)

    @abstractmethod
    def _fitted(self, images: Tensor, size: int) -> Tensor:
        """Images[B, 3, size, size] of images[B, 3, H, W]."""

    def _cosine(self, images: Tensor, prompts: Sequence[str]) -> Tensor:
        """Cosine[B] of image and text features; carries gradient to the images."""
        return (self.image_features(images) * self._text_features(prompts)).sum(dim=1)

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

    def _kept_per_image(self) -> int:
        vision = self._model.config.vision_config
        return kept_for_backward(layers=vision.num_hidden_layers, tokens=patches(vision), width=vision.hidden_size)
