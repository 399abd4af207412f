"""Pictures for people: enlarged tiles, captioned grids and self-contained data URIs."""

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

INK, PAPER, MUTED = "#1c2024", "#ffffff", "#68707a"
GAP = 10


@dataclass(frozen=True)
class GridRow:
    """One prompt of a grid, with one picture a column."""

    caption: str
    pictures: Sequence[Image.Image]


def to_picture(image: Tensor, size: int) -> Image.Image:
    """``uint8[3,H,W]``, or the middle frame of ``uint8[T,3,H,W]``, as a picture whose longer side is ``size``; Lanczos,
    so that small art stays clean."""
    if image.ndim == 4:
        image = image[len(image) // 2]
    picture = Image.fromarray(np.ascontiguousarray(image.permute(1, 2, 0).numpy()))
    scale = size / max(picture.size)
    return picture.resize((round(picture.width * scale), round(picture.height * scale)), Image.Resampling.LANCZOS)


def data_uri(picture: Image.Image) -> str:
    """A picture as a ``data:`` URI (WebP, visually lossless), so that a page needs no other file."""
    buffer = BytesIO()
    picture.save(buffer, "WEBP", quality=92, method=6)
    return "data:image/webp;base64," + base64.b64encode(buffer.getvalue()).decode()


def draw_grid(columns: Sequence[str], rows: Sequence[GridRow]) -> Image.Image:
    """Rows of equally large pictures under column titles, each row under its caption.

    Raises:
        ValueError: a row does not have one picture a column.
    """
    for row in rows:
        if len(row.pictures) != len(columns):
            raise ValueError(f"row {row.caption!r} has {len(row.pictures)} pictures for {len(columns)} columns")
    tile_w, tile_h = rows[0].pictures[0].size
    text = max(12, tile_h // 11)
    head, band = text * 2, text * 2
    width = GAP + len(columns) * (tile_w + GAP)
    sheet = Image.new("RGB", (width, GAP + head + len(rows) * (band + tile_h + GAP)), PAPER)
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(size=text)
    for index, title in enumerate(columns):
        pen.text((_left(index, tile_w) + tile_w / 2, GAP + head / 2), title, fill=INK, font=font, anchor="mm")
    for number, row in enumerate(rows):
        top = GAP + head + number * (band + tile_h + GAP)
        pen.text((GAP, top + band / 2), row.caption, fill=MUTED, font=font, anchor="lm")
        for index, picture in enumerate(row.pictures):
            sheet.paste(picture, (_left(index, tile_w), top + band))
    return sheet


def _left(index: int, tile_width: int) -> int:
    return GAP + index * (tile_width + GAP)
