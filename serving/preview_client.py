"""A client for what OpenAI's cannot say: every preview of every picture, typed, as it comes.

with PreviewClient("http://127.0.0.1:8080") as client:
    for frame in client.draw("two owls", steps=8, seed=7):
        Path(f"owls-{frame.step}.png").write_bytes(frame.file)
"""

import base64
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Self

import httpx

from serving.protocol import Format

_ALL_PREVIEWS = 100


@dataclass(frozen=True)
class Frame:
    """One look at a picture: a preview, or the picture itself once `step` is `steps`.

    Attributes:
        index: which of the pictures that were asked for.
        seed: its seed.
        step: how many steps it has taken.
        steps: how many it takes.
        file: the image file; empty if it was withheld.
        seconds: since the request came to the server.
    """

    index: int
    seed: int
    step: int
    steps: int
    file: bytes
    seconds: float

    @property
    def final(self) -> bool:
        """Whether it is the picture."""
        return self.step == self.steps


class EndpointError(Exception):
    """The endpoint's own words on why there is no picture; `status` is HTTP's, 200 if it failed while drawing."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


class PreviewClient:
    """An endpoint at `url`; a context manager, for one thread."""

    def __init__(self, url: str, api_key: str = "", timeout: float = 120) -> None:
        headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
        self._http = httpx.Client(base_url=url, headers=headers, timeout=timeout)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def draw(
        self,
        prompt: str,
        *,
        steps: int | None = None,
        seed: int | None = None,
        n: int = 1,
        model: str | None = None,
        negative_prompt: str | None = None,
        adapter: str | None = None,
        output_format: Format = "png",
    ) -> Iterator[Frame]:
        """Each preview and each picture as it comes; stop iterating (or close it) to give up what is left.

        Raises:
            EndpointError: it was refused, or drawing failed.
            httpx.HTTPError: the endpoint cannot be reached.
        """
        body = {
            "prompt": prompt, "num_inference_steps": steps, "seed": seed, "n": n, "model": model,
            "negative_prompt": negative_prompt, "adapter": adapter, "output_format": output_format,
            "stream": True, "partial_images": _ALL_PREVIEWS,
        }  # fmt: skip
        with self._http.stream("POST", "/v1/images/generations", json=body) as answer:
            if answer.status_code != httpx.codes.OK:
                raise _error(json.loads(answer.read()), answer.status_code)
            for line in answer.iter_lines():
                if line.startswith("data: "):
                    yield _frame(json.loads(line.removeprefix("data: ")))


def _frame(event: dict[str, Any]) -> Frame:
    if "error" in event:
        raise _error(event, httpx.codes.OK)
    return Frame(
        index=event["index"],
        seed=event["seed"],
        step=event["step"],
        steps=event["num_inference_steps"],
        file=base64.b64decode(event["b64_json"] or ""),
        seconds=event["elapsed_s"],
    )


def _error(answer: dict[str, Any], status: int) -> EndpointError:
    return EndpointError(answer["error"]["message"], status)
