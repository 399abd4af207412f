"""Joint attention that counts one padding token as often as the stock SD3 pipeline repeats it.

Stock diffusers fills the place of an absent T5 encoder with 256 zero tokens. Equal tokens stay equal through joint
attention, so one of them is computed and its attention weight multiplied: ``softmax(q k + log n)``. The result differs
by rounding alone.
"""

import math
from typing import Any, Final

import torch
from diffusers.models.attention_processor import Attention
from torch import Tensor, nn
from torch.nn import functional as F

PADDING: Final = 256
"""Zero tokens that the stock pipeline puts in the place of the absent T5 encoder's output."""


def weigh_padding(transformer: nn.Module) -> None:
    """Let the last context token of an ``SD3Transformer2DModel`` stand for all the padding, in place."""
    blocks: Any = transformer.transformer_blocks
    for block in blocks:
        block.attn.set_processor(WeighedPaddingAttention())


class WeighedPaddingAttention:
    """Attention processor of image and context tokens together, the last context token counted `PADDING` times."""

    def __call__(
        self, attn: Attention, hidden_states: Tensor, encoder_hidden_states: Tensor, *_: Any, **__: Any
    ) -> tuple[Tensor, Tensor]:
        """Image tokens[B, N, D] and context tokens[B, M, D] after attention to both."""

        def heads(image: Tensor, context: Tensor, image_norm: Any = None, context_norm: Any = None) -> Tensor:
            image, context = (x.unflatten(-1, (attn.heads, -1)).transpose(1, 2) for x in (image, context))
            image = image_norm(image) if image_norm is not None else image
            context = context_norm(context) if context_norm is not None else context
            return torch.cat([image, context], dim=2)

        x, c = hidden_states, encoder_hidden_states
        query = heads(attn.to_q(x), attn.add_q_proj(c), attn.norm_q, attn.norm_added_q)
        key = heads(attn.to_k(x), attn.add_k_proj(c), attn.norm_k, attn.norm_added_k)
        value = heads(attn.to_v(x), attn.add_v_proj(c))
        joint = _attend(query, key, value).transpose(1, 2).flatten(2)
        image, context = joint.split([x.shape[1], c.shape[1]], dim=1)
        return attn.to_out[0](image), context if attn.context_pre_only else attn.to_add_out(context)


def _attend(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """Attention[B, heads, L, d] over keys of which the last counts `PADDING` times."""
    dtype = query.dtype
    if query.device.type == "cpu":
        # The bfloat16 backward pass of the CPU kernel takes four times as long as the float32 one.
        query, key, value = query.float(), key.float(), value.float()
    bias = query.new_zeros(key.shape[2])
    bias[-1] = math.log(PADDING)
    with torch.autocast(query.device.type, enabled=False):
        mask = bias.expand(1, 1, query.shape[2], -1)
        return F.scaled_dot_product_attention(query, key, value, attn_mask=mask).to(dtype)
