"""What callers and the `fewstep` backend agree on: the request, tensor names, bounds and the model's `config.pbtxt`.

One Triton request is one picture. The model is decoupled: a request is answered on a gRPC stream by any number of
previews, if it asked for them, and then by the finished picture.

| input | | |
| --- | --- | --- |
| PROMPT | BYTES[1] | UTF-8 |
| SEED | INT64[1] | of the initial noise |
| STEPS | INT32[1] | one of the student's step counts |
| NEGATIVE_PROMPT | BYTES[1], optional | what to lean away from, where guidance costs a second evaluation |
| GUIDANCE | FP32[1], optional | guidance scale; the student's own by default |
| ADAPTER | BYTES[1], optional | name of one of the version's LoRA adapters |
| PREVIEWS | BOOL[1], optional | also answer with what each step but the last predicts |
| FORMAT | BYTES[1], optional | png, webp or jpeg: answer with files, not pixels |

| output | | |
| --- | --- | --- |
| STEP | INT32[1] | steps taken; a preview's is below STEPS |
| IMAGE | UINT8[H, W, 3], video UINT8[T, H, W, 3] | the pixels, if no FORMAT was given |
| FILE | UINT8[bytes] | the file, if one was |

Errors: `refused: REASON` for a request that can never be drawn, `busy: REASON` for one that came at a bad time,
`cancelled: REASON` for one that its caller gave up, `failed: REASON` for a failed step. The kind stands in the message,
because a stream tells no status without the gRPC header `triton_grpc_error`: do not send that, for Triton may crash
on the next error if you do (24.10).
"""

import re
from dataclasses import dataclass
from string import Template
from typing import Final, Literal, Self

PROMPT, SEED, STEPS = "PROMPT", "SEED", "STEPS"
NEGATIVE_PROMPT, GUIDANCE, ADAPTER, PREVIEWS, FORMAT = "NEGATIVE_PROMPT", "GUIDANCE", "ADAPTER", "PREVIEWS", "FORMAT"
STEP, IMAGE, FILE = "STEP", "IMAGE", "FILE"

Format = Literal["png", "webp", "jpeg"]
Failure = Literal["refused", "busy", "cancelled", "failed"]
"""Why there is no picture: it can never be drawn; not now; its caller gave it up; drawing it went wrong."""

BACKEND: Final = "fewstep"
MAX_ROWS: Final = 8
"""Transformer evaluations in one step: pictures in flight, of which a guided one counts twice."""
QUEUE_SIZE: Final = 64
"""Pictures that may wait; one more is refused at once."""
QUEUE_SECONDS: Final = 60
"""Longest wait in the queue before a picture is refused."""
MAX_SEED: Final = 2**53 - 1
"""Largest seed that JSON numbers carry exactly."""
MAX_GUIDANCE: Final = 30.0

INSTANCE_KINDS: Final = ("KIND_AUTO", "KIND_GPU", "KIND_CPU")


@dataclass(frozen=True)
class Job:
    """One picture to draw.

    Attributes:
        prompt: what it shows.
        seed: of its initial noise.
        steps: how many; one of the student's.
        guidance: guidance scale; None: the student's own.
        negative_prompt: what to lean away from, where guidance costs a second evaluation.
        adapter: name of one of the version's LoRA adapters, empty for none.
        previews: whether to show what each step predicts.
        format: of the files to answer with; None: pixels.
    """

    prompt: str
    seed: int
    steps: int
    guidance: float | None = None
    negative_prompt: str = ""
    adapter: str = ""
    previews: bool = False
    format: Format | None = None

    def __post_init__(self) -> None:
        if self.guidance is not None and not 0 <= self.guidance <= MAX_GUIDANCE:  # NaN is refused as well
            raise ValueError(f"{GUIDANCE} is {self.guidance}: write a number from 0 to {MAX_GUIDANCE:g}")
        if not 0 <= self.seed <= MAX_SEED:
            raise ValueError(f"{SEED} is {self.seed}: write a whole number from 0 to {MAX_SEED}")
        if self.format not in (None, "png", "webp", "jpeg"):
            raise ValueError(f"{FORMAT} is {self.format!r}: write png, webp or jpeg")


_CONFIG = Template("""\
# Written by `rats package` and `rats switch`. Two values may be others, and nothing else may change:
# the version that is served, and the kind of instance, which is KIND_AUTO, KIND_GPU or KIND_CPU.
name: "$name"
backend: "$backend"
max_batch_size: 0
model_transaction_policy { decoupled: true }
input [
  { name: "PROMPT" data_type: TYPE_STRING dims: [ 1 ] },
  { name: "SEED" data_type: TYPE_INT64 dims: [ 1 ] },
  { name: "STEPS" data_type: TYPE_INT32 dims: [ 1 ] },
  { name: "NEGATIVE_PROMPT" data_type: TYPE_STRING dims: [ 1 ] optional: true },
  { name: "GUIDANCE" data_type: TYPE_FP32 dims: [ 1 ] optional: true },
  { name: "ADAPTER" data_type: TYPE_STRING dims: [ 1 ] optional: true },
  { name: "PREVIEWS" data_type: TYPE_BOOL dims: [ 1 ] optional: true },
  { name: "FORMAT" data_type: TYPE_STRING dims: [ 1 ] optional: true }
]
output [
  { name: "STEP" data_type: TYPE_INT32 dims: [ 1 ] },
  { name: "IMAGE" data_type: TYPE_UINT8 dims: [ $pixels ] },
  { name: "FILE" data_type: TYPE_UINT8 dims: [ -1 ] }
]
version_policy { specific { versions: [ $version ] } }
instance_group [ { count: 1 kind: $kind } ]
""")


@dataclass(frozen=True)
class ModelConfig:
    """`config.pbtxt` of a student: `version` is the one that is served, on instances of `kind`."""

    name: str
    video: bool
    version: int
    kind: str = INSTANCE_KINDS[0]

    def text(self) -> str:
        """The file."""
        pixels = "-1, -1, -1, 3" if self.video else "-1, -1, 3"
        return _CONFIG.substitute(name=self.name, backend=BACKEND, pixels=pixels, version=self.version, kind=self.kind)

    @classmethod
    def parse(cls, name: str, video: bool, text: str) -> Self:
        """The config that `text` is.

        Raises:
            ValueError: it is not one that `text` of any config gives: it might name another backend.
        """
        version, kind = re.search(r"versions: \[ (\d{1,9}) \]", text), re.search(r"kind: (KIND_\w+)", text)
        if version is not None and kind is not None and kind[1] in INSTANCE_KINDS:
            config = cls(name, video, int(version[1]), kind[1])
            if config.text() == text:
                return config
        raise ValueError("not a config of this release")
