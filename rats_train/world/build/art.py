"""Make the art pack: one small RGBA picture for each noun and style, cut from open emoji sets.

Sources are npm packages, unpacked side by side in one folder (``npm pack NAME`` and ``tar xzf``):
``@iconify-json/noto`` 1.2.9 (Apache-2.0) and ``@lobehub/fluent-emoji-3d`` 1.1.0 (art by Microsoft, MIT).
Run: ``python -m rats_train.world.build.art SOURCE_FOLDER``. Needs ``resvg-py`` (the ``dev`` extra).
"""

import io
import json
import sys
from pathlib import Path

from PIL import Image

from rats_train.world.renderer import ART_DIR, ART_SIZE

# noun -> (name in the Noto set, code point in the Fluent set)
SOURCES: dict[str, tuple[str, str]] = {
    "apple": ("red-apple", "1f34e"),
    "banana": ("banana", "1f34c"),
    "strawberry": ("strawberry", "1f353"),
    "pizza": ("pizza", "1f355"),
    "doughnut": ("doughnut", "1f369"),
    "mushroom": ("mushroom", "1f344"),
    "sunflower": ("sunflower", "1f33b"),
    "cactus": ("cactus", "1f335"),
    "cat": ("cat-face", "1f431"),
    "fox": ("fox", "1f98a"),
    "frog": ("frog", "1f438"),
    "owl": ("owl", "1f989"),
    "penguin": ("penguin", "1f427"),
    "turtle": ("turtle", "1f422"),
    "octopus": ("octopus", "1f419"),
    "rocket": ("rocket", "1f680"),
    "car": ("automobile", "1f697"),
    "umbrella": ("umbrella", "2602-fe0f"),
    "guitar": ("guitar", "1f3b8"),
    "robot": ("robot", "1f916"),
}


def square_crop(picture: Image.Image) -> Image.Image:
    """Crop to the visible part and centre it on a transparent square of ``ART_SIZE`` pixels."""
    picture = picture.crop(picture.getchannel("A").point(lambda a: 255 * (a > 8)).getbbox())
    picture.thumbnail((ART_SIZE, ART_SIZE), Image.Resampling.LANCZOS)
    square = Image.new("RGBA", (ART_SIZE, ART_SIZE))
    square.paste(picture, ((ART_SIZE - picture.width) // 2, (ART_SIZE - picture.height) // 2))
    return square


def noto_picture(icons: dict[str, dict[str, dict[str, str]]], name: str) -> Image.Image:
    """Draw one SVG of the Noto set at four times the size that is kept."""
    import resvg_py

    svg = (
        f'<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" '
        f'viewBox="0 0 128 128">{icons["icons"][name]["body"]}</svg>'
    )
    return Image.open(io.BytesIO(bytes(resvg_py.svg_to_bytes(svg_string=svg, width=512, height=512)))).convert("RGBA")


def build_art(source: Path, out: Path = ART_DIR) -> None:
    """Write ``out/<style>/<noun>.png`` for every noun from the unpacked packages under ``source``."""
    noto = json.loads(next(source.glob("*noto*/package/icons.json")).read_text())
    fluent = next(source.glob("*fluent*/package/assets"))
    for noun, (name, code) in SOURCES.items():
        for style, picture in (("noto", noto_picture(noto, name)), ("fluent", Image.open(fluent / f"{code}.webp"))):
            path = out / style / f"{noun}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            square_crop(picture.convert("RGBA")).save(path, optimize=True)


if __name__ == "__main__":
    build_art(Path(sys.argv[1]))
