"""Run an encoder over a long sequence with little memory, and with equal results.

Each step of a layer needs all keys and values, but only its own query. These two are therefore
computed for the whole sequence, and all else for one block of it after the other. x-transformers
holds some fifteen arrays of the size of the whole sequence instead of three. Only a plain pre-norm
encoder with rotary positions can be run.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from stage2_prior.transformer import plain_layers
from stage2_prior.x_transformers_guard import Attention, Encoder, apply_rotary_pos_emb

STEPS_AT_ONCE = 1024  # the steps of a block


@torch.inference_mode()
def encode_in_blocks(encoder: Encoder, x: Tensor) -> Tensor:
    """Return what an encoder makes of whole sequences `[B, N, D]`; the input is overwritten.

    Args:
        encoder: the encoder, which must not have dropout at work.
        x: its input `[B, N, D]`, which holds the result afterwards.

    Raises:
        TypeError: the encoder is not a plain pre-norm Transformer with rotary positions.
    """
    layers = plain_layers(encoder)
    angles, _ = encoder.rotary_pos_emb(torch.arange(x.shape[1], device=x.device))
    parts = list(zip(x.split(STEPS_AT_ONCE, 1), angles.split(STEPS_AT_ONCE, 1), strict=True))
    for attention_norm, attention, feed_norm, feed in layers:
        shape = (*x.shape[:2], attention.heads, x.shape[2] // attention.heads)
        keys, values = (x.new_empty(shape).transpose(1, 2) for _ in range(2))
        first = 0
        for part, turns in parts:
            within, normed = slice(first, first + part.shape[1]), attention_norm(part)
            key = _by_head(attention.to_k(normed), attention)
            keys[:, :, within] = apply_rotary_pos_emb(key, turns)
            values[:, :, within] = _by_head(attention.to_v(normed), attention)
            first = within.stop
        for part, turns in parts:
            query = _by_head(attention.to_q(attention_norm(part)), attention)
            query = apply_rotary_pos_emb(query, turns)
            attended = F.scaled_dot_product_attention(query, keys, values)
            part += attention.to_out(attended.transpose(1, 2).flatten(2))
            part += feed(feed_norm(part))
    for part, _ in parts:
        part.copy_(encoder.final_norm(part))
    return x


def _by_head(x: Tensor, attention: Attention) -> Tensor:
    """Divide vectors `[B, N, D]` among the heads of an attention layer `[B, H, N, D / H]`."""
    return x.unflatten(-1, (attention.heads, -1)).transpose(1, 2)
