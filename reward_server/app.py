"""The HTTP side of a reward: its description, scores, features, health. What is said is in `rewards.remote.wire`."""

import asyncio
import io

import numpy as np
import torch
from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse
from PIL import Image, UnidentifiedImageError
from torch import Tensor

from rats_train.errors import UserError
from rats_train.rewards.base import Extras
from rats_train.rewards.remote.wire import (
    ABOUT,
    DIGEST_HEADER,
    FEATURES,
    HEALTH,
    SAFETENSORS,
    SCORE,
    Description,
    pack,
    unpack,
    unpack_known,
    unpack_prompts,
)
from reward_server.scorer import Answer, FullError, Scorer

BODY_SECONDS = 60
"""How long a body may take to arrive: a place in the queue waits for it."""
RETRY_SECONDS = 1


class RefusedError(Exception):
    """An answer other than a score."""

    def __init__(self, status: int, said: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(said)
        self.status, self.headers = status, headers


def create_app(scorer: Scorer, description: Description) -> FastAPI:
    """The server of one reward."""
    app = FastAPI(title=f"Reward {description.name}", docs_url=None, redoc_url=None)
    _answer_mistakes(app)
    signed = {DIGEST_HEADER: description.digest}

    def answer(tensors: Answer) -> Response:
        return Response(pack(tensors), media_type=SAFETENSORS, headers=signed)

    @app.get(ABOUT)
    async def about() -> Description:
        """The reward, its digest and its traits."""
        return description

    @app.post(SCORE)
    async def score(request: Request, gradient: bool = False, prompt: str = "") -> Response:
        """Scores of a safetensors body, or of one PNG with ``prompt`` in the query, which is answered as JSON."""
        with scorer.place():
            body = await _read(request, description.max_body)
            if request.headers.get("content-type") == "image/png":
                found = await scorer.score(_picture(body, description.max_body), [prompt], gradient=False)
                return JSONResponse({"score": found["score"].item()}, headers=signed)
            tensors = unpack(body)
            extras = Extras(tensors.get("latents"), unpack_known(body))
            return answer(await scorer.score(_images(tensors), unpack_prompts(body), gradient, extras))

    @app.post(FEATURES)
    async def features(request: Request) -> Response:
        """Features of a safetensors body."""
        with scorer.place():
            return answer(await scorer.features(_images(unpack(await _read(request, description.max_body)))))

    @app.get(HEALTH)
    async def health() -> JSONResponse:
        """200 unless the latest request broke the reward; 503 and how, then."""
        if scorer.fault:
            return JSONResponse({"status": "down", "error": scorer.fault}, 503)
        return JSONResponse({"status": "ok"})

    return app


async def _read(request: Request, most: int) -> bytes:
    length = request.headers.get("content-length", "")
    if not length.isdigit():
        raise RefusedError(411, "Send the body with a Content-Length, not in chunks.")
    if int(length) > most:
        raise RefusedError(413, f"The body has {int(length):,} bytes, and {most:,} are the most: send fewer pictures.")
    try:
        async with asyncio.timeout(BODY_SECONDS):
            return await request.body()
    except TimeoutError as error:
        raise RefusedError(408, f"The body took longer than {BODY_SECONDS} seconds to arrive.") from error


def _images(tensors: dict[str, Tensor]) -> Tensor:
    if not {"images"} <= set(tensors) <= {"images", "latents"}:
        raise UserError(f"The body holds the tensors {sorted(tensors)}: send one that is named images.")
    return tensors["images"]


def _picture(body: bytes, most: int) -> Tensor:
    """A PNG as images[1, 3, H, W] in [0, 1]; refused before it is unpacked to more than ``most`` bytes."""
    try:
        picture = Image.open(io.BytesIO(body), formats=["PNG"])
        if picture.width * picture.height * 3 * torch.float32.itemsize > most:
            raise UserError(f"The picture is too large, {picture.width} x {picture.height}: send a smaller one.")
        pixels = np.array(picture.convert("RGB"))
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise UserError("The body is no PNG, or it is cut short: send a whole one.") from error
    return torch.from_numpy(pixels).permute(2, 0, 1)[None] / 255


def _answer_mistakes(app: FastAPI) -> None:
    """Turn every failure into one line under ``error``."""

    @app.exception_handler(UserError)
    async def mistake(_: Request, error: UserError) -> Response:
        return JSONResponse({"error": str(error)}, 400)

    @app.exception_handler(RefusedError)
    async def refused(_: Request, error: RefusedError) -> Response:
        return JSONResponse({"error": str(error)}, error.status, error.headers)

    @app.exception_handler(FullError)
    async def full(_: Request, error: FullError) -> Response:
        said = "Too many requests are waiting: come again in a moment."
        return JSONResponse({"error": said}, 429, {"Retry-After": str(RETRY_SECONDS)})

    @app.exception_handler(Exception)
    async def broken(_: Request, error: Exception) -> Response:
        return JSONResponse({"error": f"scoring failed: {type(error).__name__}: {error}"}, 500)
