"""The one place that names the container image of every component.

A release build replaces the digest. A digest, never a tag: KFP's cache and every audit go by the image reference.
"""

BASE_IMAGE = "ghcr.io/rats/rats-train-python@sha256:0000000000000000000000000000000000000000000000000000000000000000"
