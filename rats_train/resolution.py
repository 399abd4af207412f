"""How large a picture is, and how many frames a video has."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Pixels = Annotated[int, Field(ge=16, multiple_of=16)]


class Resolution(BaseModel):
    """Height and width in pixels; a picture has one frame."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    height: Pixels
    width: Pixels
    frames: Annotated[int, Field(ge=1)] = 1

    def __str__(self) -> str:
        size = f"{self.width}x{self.height}"
        return size if self.frames == 1 else f"{size}, {self.frames} frames"
