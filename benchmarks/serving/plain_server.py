"""What one writes without an endpoint: FastAPI around a stock pipeline and a lock, as a process.

python -m benchmarks.serving.plain_server STUDENT
"""

import base64
import io
import sys
import threading
from typing import Any

import torch
import uvicorn
from diffusers import DiffusionPipeline
from fastapi import FastAPI
from PIL import Image
from pydantic import BaseModel

from serving.listener import listen


class Body(BaseModel):
    """The part of OpenAI's request that the load asks for."""

    prompt: str
    seed: int
    num_inference_steps: int


class Pipeline:
    """Stock diffusers, one picture at a time."""

    def __init__(self, student: str) -> None:
        self._pipeline = DiffusionPipeline.from_pretrained(student, text_encoder_3=None, tokenizer_3=None)
        self._pipeline.set_progress_bar_config(disable=True)
        self._lock = threading.Lock()

    def draw(self, prompt: str, seed: int, steps: int) -> Image.Image:
        """One picture."""
        with self._lock:
            generator = torch.Generator().manual_seed(seed)
            images: list[Image.Image] = self._pipeline(
                prompt, num_inference_steps=steps, guidance_scale=1.0, generator=generator
            ).images
        return images[0]


def create_app(pipeline: Pipeline) -> FastAPI:
    """OpenAI's route, and no more."""
    app = FastAPI()

    @app.post("/v1/images/generations")
    def generate(body: Body) -> dict[str, Any]:
        file = io.BytesIO()
        pipeline.draw(body.prompt, body.seed, body.num_inference_steps).save(file, "png", compress_level=1)
        return {"data": [{"b64_json": base64.b64encode(file.getvalue()).decode()}]}

    return app


if __name__ == "__main__":
    torch.set_num_threads(1)
    drawing, listener = Pipeline(sys.argv[1]), listen("127.0.0.1", 0)
    sys.stdout.write("http://{}:{}\n".format(*listener.getsockname()))
    sys.stdout.flush()
    uvicorn.Server(uvicorn.Config(create_app(drawing), log_level="warning")).run(sockets=[listener])
