"""What the gateway and the `fewstep` backend agree on: tensor names, bounds and the model's `config.pbtxt`.

One Triton request is one picture, so that pictures of different callers share a batch and each can be refused alone.
"""

from string import Template

PROMPT, SEED, STEPS, IMAGE = "PROMPT", "SEED", "STEPS", "IMAGE"

BACKEND = "fewstep"
MAX_BATCH = 16
"""Pictures that Triton hands to the backend at once."""
QUEUE_SIZE = 64
"""Pictures that may wait; one more is refused at once."""
QUEUE_SECONDS = 60
"""Longest wait in the queue before a picture is refused."""
MAX_SEED = 2**53 - 1
"""Largest seed that JSON numbers carry exactly."""

_CONFIG = Template("""\
name: "$name"
backend: "$backend"
max_batch_size: $max_batch
input [
  { name: "PROMPT" data_type: TYPE_STRING dims: [ 1 ] },
  { name: "SEED" data_type: TYPE_INT64 dims: [ 1 ] },
  { name: "STEPS" data_type: TYPE_INT32 dims: [ 1 ] }
]
output [
  { name: "IMAGE" data_type: TYPE_UINT8 dims: [ $pixels ] }
]
dynamic_batching {
  max_queue_delay_microseconds: 2000
  default_queue_policy {
    max_queue_size: $queue_size
    timeout_action: REJECT
    default_timeout_microseconds: $queue_microseconds
  }
}
instance_group [ { count: 1 kind: KIND_AUTO } ]
""")


def model_config(name: str, *, video: bool = False) -> str:
    """`config.pbtxt` of a few-step student called `name`, which draws pictures or videos."""
    return _CONFIG.substitute(
        name=name,
        pixels="-1, -1, -1, 3" if video else "-1, -1, 3",
        backend=BACKEND,
        max_batch=MAX_BATCH,
        queue_size=QUEUE_SIZE,
        queue_microseconds=QUEUE_SECONDS * 1_000_000,
    )
