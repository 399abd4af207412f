"""The work of this step, as a function of paths."""

import base64
import io
import json
import time
import urllib.request
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageSequence

from components.shared.page import figure, write_page
from components.shared.process import limit_threads
from components.shared.summary import table, write_summary
from components.smoke_test.stock import draw_stock
from rats_train.files import write_json

SEED = 7
# Levels of 255 by which a picture may differ from stock diffusers': the rounding of a last bit.
TOLERANCE = 1
ENLARGED = 256

Pixels = NDArray[np.uint8]


def smoke(repo: Path, student: Path, folder: Path) -> None:
    """Serve ``repo``, ask for one picture at each number of steps, and compare it with stock diffusers'.

    Raises:
        RuntimeError: a served picture is not the one that stock diffusers draws.
    """
    limit_threads()
    from serving.endpoint import serve
    from serving.package.verification import find_packages

    (package,) = find_packages(repo)
    began = time.monotonic()
    with serve(repo, http_port=0, triton_log=folder / "triton.log") as endpoint:
        ready = time.monotonic() - began
        answers = {steps: ask(endpoint.url, package.canary.prompt, steps) for steps in package.steps}
    stock = draw_stock(student, package, SEED)
    differences = {steps: _difference(pixels, stock[steps]) for steps, (pixels, _) in answers.items()}
    for steps, difference in differences.items():
        if difference > TOLERANCE:
            raise RuntimeError(f"at {steps} steps a served pixel is {difference} levels off stock diffusers' picture")
    _write_page(folder, package.canary.prompt, {steps: pixels for steps, (pixels, _) in answers.items()})
    seconds = {f"seconds_at_{steps}_steps": taken for steps, (_, taken) in answers.items()}
    numbers = {"seconds_to_ready": ready, **seconds, "largest_difference": max(differences.values())}
    write_json(folder / "served.json", {"prompt": package.canary.prompt, "seed": SEED, **numbers})
    title = f"# ready in {ready:.1f} s, pixels as stock diffusers draws them"
    write_summary(folder, f"{title}\n\n{table(['measured', ''], list(numbers.items()))}", numbers)


def ask(url: str, prompt: str, steps: int) -> tuple[Pixels, float]:
    """One picture uint8[H, W, 3], or video uint8[T, H, W, 3], as any caller gets it, and the seconds that it took."""
    body = {"prompt": prompt, "num_inference_steps": steps, "seed": SEED, "response_format": "b64_json"}
    headers = {"Content-Type": "application/json"}
    request = urllib.request.Request(f"{url}/v1/images/generations", json.dumps(body).encode(), headers)
    began = time.monotonic()
    with urllib.request.urlopen(request, timeout=120) as response:
        answer = json.load(response)
    taken = time.monotonic() - began
    with Image.open(io.BytesIO(base64.b64decode(answer["data"][0]["b64_json"]))) as picture:
        frames = np.stack([np.asarray(frame.convert("RGB")) for frame in ImageSequence.Iterator(picture)])
    return frames if len(frames) > 1 else frames[0], taken


def _difference(one: Pixels, other: Pixels) -> int:
    return int(np.abs(one.astype(int) - other).max())


def _write_page(folder: Path, prompt: str, pictures: dict[int, Pixels]) -> None:
    figures = []
    for steps, pixels in pictures.items():
        file = folder / f"served-{steps}.png"
        still = pixels if pixels.ndim == 3 else pixels[len(pixels) // 2]
        Image.fromarray(still).resize((ENLARGED, ENLARGED), Image.Resampling.LANCZOS).save(file)
        figures.append(figure(file, f"{steps} steps"))
    write_page(folder / "page.html", f"Served: {prompt}", figures)
