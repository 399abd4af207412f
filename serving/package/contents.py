"""What a version holds, as `package.json` says it."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from rats_train.resolution import Resolution
from serving.package.hints import PromptHints
from serving.protocol import Job

FORMAT: Final = 3
TEACHER: Final = "teacher"
"""Name under which a teacher is packaged to be compared with its students."""
CANARY_TOLERANCE = 2.0
"""Mean difference, in levels of 255, between the canary and its picture in the package: room for another kind of
processor, none for other weights or another schedule."""


@dataclass(frozen=True)
class Package:
    """One packaged version; `path` is its folder in the model repository."""

    path: Path
    model: str
    steps: list[int]
    guidance_scale: float
    terminal_sigma: float
    resolution: Resolution
    canary: Job
    """The request whose answer is known: drawn when packaging, drawn again before a server is called ready."""
    hints: PromptHints
    adapters: list[str]
    """Names of the LoRA adapters that a request may ask for."""

    @classmethod
    def read(cls, path: Path, manifest: Mapping[str, Any]) -> Self:
        """The version in folder `path`, of which `package.json` says `manifest`."""
        return cls(
            path=path,
            canary=Job(**manifest["canary"]),
            hints=PromptHints(**manifest["hints"]),
            resolution=Resolution(**manifest["resolution"]),
            **{key: manifest[key] for key in ("model", "steps", "guidance_scale", "terminal_sigma", "adapters")},
        )

    @property
    def version(self) -> int:
        """The version's number."""
        return int(self.path.name)

    @property
    def student(self) -> Path:
        """The stock diffusers folder."""
        return self.path / "student"

    def adapter(self, name: str) -> Path:
        """The folder of a LoRA adapter."""
        return self.path / "adapters" / name

    def check_canary(self, pixels: NDArray[np.uint8]) -> None:
        """Compare what was drawn for the canary with its picture.

        Raises:
            ValueError: it is another picture.
        """
        difference = np.abs(pixels.astype(float) - self.canary_pixels()).mean()
        if difference > CANARY_TOLERANCE:
            raise ValueError(
                f"{self.model} draws its canary {difference:.1f} levels away from the picture in its package"
            )

    def canary_pixels(self) -> NDArray[np.uint8]:
        """The known answer to the canary, uint8[H, W, 3] or uint8[T, H, W, 3]; its file has frames below each other."""
        with Image.open(self.path / "canary.png") as picture:
            pixels = np.asarray(picture.convert("RGB"))
        return pixels.reshape(self.resolution.frames, -1, *pixels.shape[1:]) if self.is_video else pixels

    @property
    def is_video(self) -> bool:
        """Whether it draws more than one frame."""
        return self.resolution.frames > 1
