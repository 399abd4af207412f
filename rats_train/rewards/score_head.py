"""The head that two reward models end in: five linear layers from a feature vector to one number."""

from typing import Final

from torch import Tensor, nn

# (outputs, dropout behind it) of each layer; dropout is off in a reward, but it counts in the names of the layers.
_LAYERS: Final = ((1024, True), (128, True), (64, True), (16, False), (1, False))


class ScoreHead(nn.Module):
    """Width-1024-128-64-16-1 without activations; its parameters are ``layers.0``, ``2``, ``4``, ``6`` and ``7``."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.layers = nn.Sequential()
        for outputs, dropout in _LAYERS:
            self.layers.append(nn.Linear(width, outputs))
            if dropout:
                self.layers.append(nn.Identity())
            width = outputs

    def forward(self, features: Tensor) -> Tensor:
        """Scores[B] of features[B, width]."""
        scores: Tensor = self.layers(features)
        return scores.squeeze(1)
