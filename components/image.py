"""The one place that names the container image of every component.

`infra/docker/release.sh` writes its digest here. A container cannot hold its own digest, so there the environment names
it: the trigger, which compiles a pipeline, and the training step, which starts pods, run what they run in.
A digest, never a tag: KFP's cache and every audit go by the image reference.
"""

import os

IMAGE_VARIABLE = "RATS_TRAIN_IMAGE"
RELEASED = "ghcr.io/rats/rats-train@sha256:0000000000000000000000000000000000000000000000000000000000000000"
BASE_IMAGE = os.environ.get(IMAGE_VARIABLE, RELEASED)
