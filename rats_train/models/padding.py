"""Fold the padding of a missing T5 encoder into one token: the same velocity for a quarter of the work.

Without its T5 encoder, ``StableDiffusion3Pipeline`` appends 256 zero vectors to every prompt. They carry no position,
so they stay equal to each other through all layers. One of them, whose key counts 256 times (log 256 added to its
attention score), gives every other token the same output. Small models spend three quarters of their time there.
"""

import math
from typing import Any

import torch
from diffusers.models.attention_processor import Attention
from torch import Tensor, nn
from torch.nn import functional as F

from rats_train.models.base import PromptEmbeds


def fold_context(embeds: PromptEmbeds, padding: int) -> PromptEmbeds:
    """Keep one of the ``padding`` equal vectors that end ``context[B, L, D]``."""
    return PromptEmbeds(embeds.context[:, : embeds.context.shape[1] - padding + 1], embeds.pooled)


class FoldedPaddingAttention:
    """SD3's joint attention over image and context tokens, where the last context token stands for ``padding``."""

    def __init__(self, padding: int) -> None:
        self.bias = math.log(padding)

    def __call__(
        self, attn: Attention, hidden_states: Tensor, encoder_hidden_states: Tensor | None = None, **_: Any
    ) -> Any:
        """Attention over image tokens[B, N, W], joined with context tokens[B, L, W] where there are any."""
        image = hidden_states.shape[1]
        query, key, value = (
            self._heads(attn, projection, norm, hidden_states)
            for projection, norm in ((attn.to_q, attn.norm_q), (attn.to_k, attn.norm_k), (attn.to_v, None))
        )
        bias = None
        if encoder_hidden_states is not None:
            context = (
                (attn.add_q_proj, attn.norm_added_q),
                (attn.add_k_proj, attn.norm_added_k),
                (attn.add_v_proj, None),
            )
            added = [self._heads(attn, projection, norm, encoder_hidden_states) for projection, norm in context]
            query, key, value = (torch.cat(pair, dim=2) for pair in zip((query, key, value), added, strict=True))
            bias = torch.zeros(1, 1, 1, key.shape[2], dtype=query.dtype, device=query.device)
            bias[..., -1] = self.bias
        mixed = F.scaled_dot_product_attention(query, key, value, attn_mask=bias).transpose(1, 2).flatten(2)
        image_out = attn.to_out[0](mixed[:, :image])
        if encoder_hidden_states is None:
            return image_out
        context_out = mixed[:, image:]
        return image_out, context_out if attn.context_pre_only else attn.to_add_out(context_out)

    @staticmethod
    def _heads(attn: Attention, projection: nn.Module, norm: nn.Module | None, tokens: Tensor) -> Tensor:
        heads: Tensor = projection(tokens).unflatten(-1, (attn.heads, -1)).transpose(1, 2)
        return heads if norm is None else norm(heads)
