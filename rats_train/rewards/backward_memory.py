"""About how much a frozen transformer keeps for the way back to its pixels."""

from transformers import BlipVisionConfig, CLIPVisionConfig

# Tensors of a token's width that a block keeps: inputs of both norms, queries, keys, values and what they give, and the
# middle of the MLP, which is four wide and kept before and behind its activation. Weights that are frozen need no
# inputs of their own.
_KEPT_PER_BLOCK = 14
_FLOAT = 4


def kept_for_backward(*, layers: int, tokens: int, width: int) -> int:
    """Bytes for one sample in float32."""
    return _FLOAT * layers * tokens * width * _KEPT_PER_BLOCK


def patches(vision: CLIPVisionConfig | BlipVisionConfig) -> int:
    """Tokens of one picture in a vision tower, its class token included."""
    assert isinstance(vision.image_size, int)
    assert isinstance(vision.patch_size, int)
    return (vision.image_size // vision.patch_size) ** 2 + 1
