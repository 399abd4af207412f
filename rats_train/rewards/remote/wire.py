"""What a remote reward and its server say to each other: JSON that describes, safetensors that carry; no pickle.

    GET  /v1/reward     the reward, as a `Description`
    POST /v1/score      images[B, 3, H, W] and prompts, and latents[B, ...] and metadata where the reward reads them
                        ->  score[B]; with ?gradient=true also gradient[B, 3, H, W]
    POST /v1/features   images[B, 3, H, W]  ->  features[B, D]
    GET  /healthz       200 while it can score

Prompts travel in the metadata of the safetensors header, as a JSON list under ``prompts``; what is known of them
likewise, under ``known``. The gradient is that of each
picture's own score. Every answer names in a header the digest of the reward that gave it.
"""

import json
from collections.abc import Mapping, Sequence
from math import inf
from typing import Any, Final, Literal, Self

from pydantic import BaseModel, ConfigDict
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from rats_train.errors import UserError
from rats_train.rewards.base import NOTHING, Extras, Input, Metadata, Reward, Traits

ABOUT: Final = "/v1/reward"
SCORE: Final = "/v1/score"
FEATURES: Final = "/v1/features"
HEALTH: Final = "/healthz"
DIGEST_HEADER: Final = "X-Reward-Digest"
SAFETENSORS: Final = "application/x-safetensors"
MAX_BODY: Final = 64 * 2**20
"""The most bytes of a request: five pictures of 1024 x 1024 in float32."""
MOST_PICTURES: Final = 64
"""The most pictures of a request where the reward itself sets no bound."""


class Description(BaseModel):
    """What a server says of its reward: its `Traits`, on the scale that it is served on.

    ``low`` and ``high`` are null where there is no such bound; ``memory`` are bytes for one whole batch.
    """

    model_config = ConfigDict(frozen=True)

    protocol: Literal[1] = 1
    name: str
    kind: str
    digest: str
    differentiable: bool
    low: float | None
    high: float | None
    usual_scale: float | None
    inputs: tuple[Input, ...]
    pointwise: bool
    has_features: bool
    batch_size: int
    memory: int
    max_body: int = MAX_BODY

    @classmethod
    def of(cls, reward: Reward, kind: str, digest: str) -> Self:
        """The description of a loaded reward.

        It carries gradient to pictures, so to others none is declared.
        """
        traits = reward.traits.rescaled(reward.statistics)
        most = traits.batch_size or MOST_PICTURES
        return cls(
            name=reward.name,
            kind=kind,
            digest=digest,
            differentiable=traits.own_gradient,
            low=None if traits.low == -inf else traits.low,
            high=None if traits.high == inf else traits.high,
            usual_scale=traits.usual_scale,
            inputs=tuple(sorted(traits.inputs)),
            pointwise=traits.pointwise,
            has_features=traits.has_features,
            batch_size=most,
            memory=reward.memory(most),
        )

    def traits(self) -> Traits:
        """What the reward declares, as if it were here."""
        return Traits(
            differentiable=self.differentiable,
            low=-inf if self.low is None else self.low,
            high=inf if self.high is None else self.high,
            usual_scale=self.usual_scale,
            inputs=frozenset(self.inputs),
            pointwise=self.pointwise,
            has_features=self.has_features,
            batch_size=self.batch_size,
        )


def pack(tensors: Mapping[str, Tensor], prompts: Sequence[str] | None = None, extras: Extras = NOTHING) -> bytes:
    """Tensors, on the CPU and without gradient, prompts, and what is known of them, as one body."""
    if extras.latents is not None:
        tensors = {**tensors, "latents": extras.latents}
    lists = {"prompts": prompts, "known": extras.metadata}
    header = {name: json.dumps(list(values)) for name, values in lists.items() if values is not None}
    return save({name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}, header or None)


def unpack(body: bytes) -> dict[str, Tensor]:
    """The tensors of a body.

    Raises:
        UserError: it is no safetensors file.
    """
    try:
        return load(body)
    except SafetensorError as error:
        raise UserError(f"The body is no safetensors file ({error}): send tensors that safetensors wrote.") from error


def unpack_prompts(body: bytes) -> list[str]:
    """The prompts of a body that `unpack` has read.

    Raises:
        UserError: there are none.
    """
    prompts = _listed(body, "prompts")
    if prompts is None or not all(isinstance(prompt, str) for prompt in prompts):
        raise UserError('The body has no prompts: write a JSON list of texts into its metadata, {"prompts": "[...]"}.')
    return prompts


def unpack_known(body: bytes) -> list[Metadata] | None:
    """What is known of the prompts of a body that `unpack` has read; None where it holds no such list."""
    return _listed(body, "known")


def _listed(body: bytes, name: str) -> list[Any] | None:
    """The JSON list under a name in the header's metadata, if there is one."""
    # The format: eight bytes of length, then that much JSON. safetensors reads metadata from files only.
    header = json.loads(body[8 : 8 + int.from_bytes(body[:8], "little")])
    try:
        found = json.loads(header["__metadata__"][name])
    except (KeyError, json.JSONDecodeError):
        return None
    return found if isinstance(found, list) else None
