"""OpenAI's image API as this gateway speaks it: a request and its rules, what answers hold."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from serving.protocol import MAX_GUIDANCE, MAX_SEED

MAX_PICTURES = 10
MAX_PROMPT = 4000
MAX_PREVIEWS = 100


class ImageRequest(BaseModel):
    """Body of `POST /v1/images/generations`; each description completes the sentence "... must be"."""

    # Every text has a bound, because pydantic refuses unpaired surrogates only in those that it measures.
    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)

    prompt: str = Field(
        min_length=1, max_length=MAX_PROMPT, description=f"a Unicode text of 1 to {MAX_PROMPT} characters"
    )
    model: str | None = Field(None, max_length=256, description="the name of a model that GET /v1/models lists")
    n: int | None = Field(None, ge=1, le=MAX_PICTURES, description=f"a whole number from 1 to {MAX_PICTURES}")
    size: str | None = Field(None, max_length=32, description="'auto', or the student's own size as '<width>x<height>'")
    response_format: Literal["b64_json", "url"] | None = Field(None, description="'b64_json' or 'url'")
    output_format: Literal["png", "webp", "jpeg"] | None = Field(None, description="'png', 'webp' or 'jpeg'")
    stream: bool | None = Field(None, description="true or false")
    partial_images: int | None = Field(
        None, ge=0, le=MAX_PREVIEWS, description=f"a whole number from 0 to {MAX_PREVIEWS}"
    )
    user: str | None = Field(None, max_length=256, description="a text of at most 256 characters")
    seed: int | None = Field(None, ge=0, le=MAX_SEED, description=f"a whole number from 0 to {MAX_SEED}")
    num_inference_steps: int | None = Field(None, description="one of the student's step counts, a whole number")
    negative_prompt: str | None = Field(
        None, max_length=MAX_PROMPT, description=f"a Unicode text of at most {MAX_PROMPT} characters"
    )
    guidance_scale: float | None = Field(
        None, ge=0, le=MAX_GUIDANCE, description=f"a number from 0 to {MAX_GUIDANCE:g}"
    )
    adapter: str | None = Field(None, max_length=64, description="the name of a LoRA adapter that GET /v1/models lists")


class Image(BaseModel):
    """One picture of an answer: `b64_json` or `url`, neither if it was withheld."""

    b64_json: str | None = None
    url: str | None = None
    seed: int
    withheld: str | None = Field(default=None, description="why there is no picture")


class Images(BaseModel):
    """Answer of `POST /v1/images/generations`; from `model` on, what OpenAI's does not say."""

    created: int
    data: list[Image]
    output_format: str
    size: str
    model: str
    num_inference_steps: int
    inference_time_s: float
    notes: list[str] = Field(description="what is new to the student in the prompt")


class ImageEvent(BaseModel):
    """One event of a stream; from `index` on, what OpenAI's does not say."""

    type: Literal["image_generation.partial_image", "image_generation.completed"]
    b64_json: str | None
    created_at: int
    background: Literal["opaque"] = "opaque"
    output_format: str
    quality: Literal["auto"] = "auto"
    size: str
    partial_image_index: int | None = None
    usage: None = None
    index: int = Field(description="which of the n pictures")
    seed: int
    step: int
    num_inference_steps: int
    model: str
    elapsed_s: float
    withheld: str | None = None
    notes: list[str] = []


class Failure(BaseModel):
    """What OpenAI's clients make an exception of."""

    class Error(BaseModel):
        """What was wrong, and what to write instead."""

        message: str
        type: str
        param: str | None
        code: str | None

    error: Error
