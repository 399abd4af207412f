"""LAION's improved aesthetic predictor: how much people would like a picture, whatever the prompt."""

from collections.abc import Sequence
from math import inf
from pathlib import Path

from torch import Tensor

from rats_train.errors import UserError
from rats_train.recipe_rewards import Statistics
from rats_train.rewards.base import Extras, Traits
from rats_train.rewards.clip_features import ClipFeatures
from rats_train.rewards.preprocess import square
from rats_train.rewards.score_head import ScoreHead
from rats_train.rewards.weights import load_weights

HEAD_FILE = "mlp.safetensors"


class AestheticReward(ClipFeatures):
    """A `ScoreHead` on the image features of a ``CLIPModel`` folder that holds mlp.safetensors too.

    Unbounded; people's ratings, which it was taught on, lie in 1 to 10. `rats_train.rewards.convert` makes the file.

    Raises:
        UserError: the folder is no CLIP model, or the head is missing or does not fit it.
    """

    traits = Traits(
        differentiable=True,
        low=-inf,
        high=inf,
        usual_scale=0.5,
        inputs=frozenset({"image"}),
        has_features=True,
        batch_size=64,
    )

    def __init__(self, path: str | Path, name: str, weight: float = 1.0, statistics: Statistics | None = None) -> None:
        super().__init__(path, name, weight, statistics)
        if not (Path(path) / HEAD_FILE).is_file():
            raise UserError(f"The reward model {name} at {path} has no {HEAD_FILE}: put the predictor's head there.")
        self._head = load_weights(ScoreHead(self._model.config.projection_dim), Path(path) / HEAD_FILE, name)

    def _values(self, images: Tensor, prompts: Sequence[str], extras: Extras) -> Tensor:
        scores: Tensor = self._head(self.image_features(images))
        return scores

    def _fitted(self, images: Tensor, size: int) -> Tensor:
        return square(images, size, cut=True)
