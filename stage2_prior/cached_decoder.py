"""Run a causal decoder step by step, faster than x-transformers and with equal results.

Keys and values of all steps are allocated in advance, so that no step copies those of earlier
steps. The gain of each layer norm is folded into the matrix that follows it, and the scale of the
attention into the matrix of the queries. Only a plain pre-norm decoder with rotary positions can
be run.
"""

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stage2_prior.x_transformers_guard import Attention, Decoder, FeedForward


@dataclass(frozen=True)
class _Layer:
    """The weights of an attention layer and a feed-forward layer, with the norms folded in."""

    query_key_value: Tensor  # [D, 3 D]
    attention_out: Tensor  # [D, D]
    inner: Tensor  # [D, W]
    inner_bias: Tensor
    outer: Tensor  # [D, W], not transposed: that is faster for a matrix with so many inputs
    outer_bias: Tensor


class CachedDecoder:
    """Computes an x-transformers `Decoder` step by step, for a fixed batch.

    Attributes:
        steps: the largest number of steps.
        position: the number of steps that have been run.
    """

    @torch.inference_mode()
    def __init__(self, decoder: Decoder, batch: int, steps: int) -> None:
        """Copy the weights of a decoder, so that later changes to it have no effect.

        Args:
            decoder: the decoder, which must not have dropout at work.
            batch: the number B of sequences that are decoded together.
            steps: the largest number of steps.

        Raises:
            TypeError: the decoder is not a plain pre-norm Transformer with rotary positions.
        """
        if decoder.rotary_pos_emb is None:
            raise TypeError("the decoder has no rotary positions")
        blocks = list(decoder.layers)
        self.heads = blocks[0][1].heads
        self.layers = [_fold(blocks[i], blocks[i + 1]) for i in range(0, len(blocks), 2)]
        self.dim, width = self.layers[0].query_key_value.shape
        self.head_dim = width // (3 * self.heads)
        self.final_gain = _gain(decoder.final_norm)
        self.frequencies = decoder.rotary_pos_emb.inv_freq
        device = self.final_gain.device
        self.steps, self.position = steps, 0
        self.rotations = self._rotations(torch.arange(steps, device=device))
        shape = (len(self.layers), 2, batch, self.heads, steps, self.head_dim)
        self.cache = torch.zeros(shape, device=device)

    @torch.inference_mode()
    def advance(self, x: Tensor, positions: Tensor | None = None) -> Tensor:
        """Run n more steps.

        Args:
            x: the decoder's input at these steps `[B, n, D]`.
            positions: the rotary positions of these steps, `[n]` or, where the sequences differ,
                `[B, n]`. They may be fractions, and need not rise by 1. By default they are the
                numbers of the steps.

        Returns:
            The decoder's output at these steps `[B, n, D]`.

        Raises:
            ValueError: these are more steps than the decoder has room for.
        """
        batch, n, dim = x.shape
        start, stop = self.position, self.position + n
        if stop > self.steps:
            raise ValueError(f"step {stop} is beyond the {self.steps} steps of this decoder")
        rotations = self.rotations[start:stop] if positions is None else self._rotations(positions)
        rotations = rotations[..., None, None, :]
        visible = _visible(start, n, x.device)
        x = x.flatten(0, 1)
        for layer, cache in zip(self.layers, self.cache, strict=True):
            projected = F.layer_norm(x, (dim,)) @ layer.query_key_value
            by_head = projected.view(batch, n, 3, self.heads, self.head_dim)
            pairs = torch.view_as_complex(by_head[:, :, :2].unflatten(-1, (-1, 2)))
            query, key = torch.view_as_real(pairs * rotations).flatten(-2).permute(2, 0, 3, 1, 4)
            cache[0, :, :, start:stop] = key
            cache[1, :, :, start:stop] = by_head[:, :, 2].transpose(1, 2)
            keys, values = cache[:, :, :, :stop]
            if n > 1:
                attended = F.scaled_dot_product_attention(
                    query, keys, values, attn_mask=visible, is_causal=visible is None, scale=1.0
                )
            else:  # for one query, plain products take two thirds of the time
                attended = (query @ keys.transpose(-2, -1)).softmax(-1) @ values
            attended = attended.transpose(1, 2).reshape(batch * n, dim)
            x = torch.addmm(x, attended, layer.attention_out)
            inner = torch.addmm(layer.inner_bias, F.layer_norm(x, (dim,)), layer.inner)
            x = x + F.linear(F.gelu(inner), layer.outer, layer.outer_bias)
        self.position = stop
        return F.layer_norm(x, (dim,), self.final_gain).view(batch, n, dim)

    def _rotations(self, positions: Tensor) -> Tensor:
        """Return the complex numbers `[..., head_dim / 2]` that positions `[...]` multiply by."""
        angles = positions[..., None] * self.frequencies
        return torch.polar(torch.ones_like(angles), angles)


def _visible(start: int, n: int, device: torch.device) -> Tensor | None:
    """Return which of all steps each new step may see `[n, start + n]`.

    It is None where nothing is to be said: a single step sees all, and at the start the steps see
    each other causally, for which there is a faster kernel.
    """
    if n == 1 or start == 0:
        return None
    return torch.ones(n, start + n, dtype=torch.bool, device=device).tril(start)


def _gain(norm: Any) -> Tensor:
    """Return what a layer norm of x-transformers multiplies by `[D]`."""
    return norm.gamma + float(norm.unit_offset)


def _fold(attention_block: Any, feed_block: Any) -> _Layer:
    """Take the weights of two blocks of an x-transformers decoder, and fold their norms in."""
    (attention_norm, *rest), attention, _ = attention_block
    (feed_norm, *others), feed, _ = feed_block
    plain = isinstance(attention, Attention) and isinstance(feed, FeedForward)
    if not plain or any(norm is not None for norm in (*rest, *others)):
        raise TypeError("the decoder is not a plain pre-norm Transformer")
    inner, outer = (module for module in feed.ff.modules() if isinstance(module, nn.Linear))
    head_dim = attention.to_q.weight.shape[0] // attention.heads
    query = attention.to_q.weight * head_dim**-0.5
    projections = torch.cat((query, attention.to_k.weight, attention.to_v.weight))
    return _Layer(
        query_key_value=_matrix(projections * _gain(attention_norm)),
        attention_out=_matrix(attention.to_out.weight),
        inner=_matrix(inner.weight * _gain(feed_norm)),
        inner_bias=inner.bias.detach().clone(),
        outer=outer.weight.detach().clone(),
        outer_bias=outer.bias.detach().clone(),
    )


def _matrix(weight: Tensor) -> Tensor:
    """Transpose the weight of a linear layer to `[in, out]`, which is two to three times as fast.

    This holds for products with one or two rows.
    """
    return weight.detach().t().contiguous()
