"""Run a causal decoder step by step, faster than x-transformers and with equal results.

Keys and values of all steps are allocated in advance, so that no step copies those of earlier
steps. With a window, a step sees only so many steps before it, and neither memory nor the time of a
step grows with the length of the song. The gain of each layer norm is folded into the matrix that
follows it, and the scale of the attention into the matrix of the queries. Only a plain pre-norm
decoder with rotary positions can be run.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stage2_prior.transformer import plain_layers
from stage2_prior.x_transformers_guard import Attention, Decoder, FeedForward

SPARE = 4  # the cache has room for the window and a fourth of it


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
        window: how many steps a step sees, itself included.
        position: the number of steps that have been run.
    """

    @torch.inference_mode()
    def __init__(self, decoder: Decoder, batch: int, steps: int, window: int | None = None) -> None:
        """Copy the weights of a decoder, so that later changes to it have no effect.

        Args:
            decoder: the decoder, which must not have dropout at work.
            batch: the number B of sequences that are decoded together.
            steps: the largest number of steps.
            window: how many steps a step sees, itself included; None for all.

        Raises:
            TypeError: the decoder is not a plain pre-norm Transformer with rotary positions.
        """
        layers = plain_layers(decoder)
        self.heads = layers[0].attention.heads
        self.layers = [_fold(*layer) for layer in layers]
        self.dim, width = self.layers[0].query_key_value.shape
        self.head_dim = width // (3 * self.heads)
        self.final_gain = _gain(decoder.final_norm)
        self.frequencies = decoder.rotary_pos_emb.inv_freq
        device = self.final_gain.device
        self.steps, self.position = steps, 0
        self.window = steps if window is None else min(window, steps)
        # With more room than the window needs, old steps are moved away only once in a while.
        room = min(steps, self.window + self.window // SPARE)
        # Steps that are run together leave room for all steps that the first of them sees.
        self._together = min(self.window, room if room == steps else room - self.window + 1)
        shape = (2, batch, self.heads, room, self.head_dim)
        # One for each layer, so that what is moved or left out takes the room of one layer.
        self.caches = [torch.empty(shape, device=device) for _ in self.layers]
        self._forgotten = 0  # the number of steps that the cache does not hold any more

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
        if self.position + x.shape[1] > self.steps:
            raise ValueError(
                f"step {self.position + x.shape[1]} is beyond the {self.steps} steps of this "
                "decoder"
            )
        if positions is None:
            rotations = self._numbered[self.position : self.position + x.shape[1]]
        else:
            rotations = self._rotations(positions)
        together = self._together
        parts = zip(x.split(together, dim=1), rotations.split(together, dim=-2), strict=True)
        outputs = [self._advance(part, turns) for part, turns in parts]
        return outputs[0] if len(outputs) == 1 else torch.cat(outputs, dim=1)

    def keep(self, rows: Tensor) -> None:
        """Go on with some sequences of the batch only: those whose numbers are in `rows`."""
        for number, cache in enumerate(self.caches):
            self.caches[number] = cache[:, rows]

    def _advance(self, x: Tensor, rotations: Tensor) -> Tensor:
        """Run at most `_together` steps."""
        batch, n, dim = x.shape
        self._make_room(n)
        start = self.position - self._forgotten
        stop = start + n
        first = max(0, start + 1 - self.window)  # what the first of the steps sees
        rotations = rotations[..., None, None, :]
        visible = _visible(start - first, n, self.window, x.device)
        x = x.flatten(0, 1)
        for layer, cache in zip(self.layers, self.caches, strict=True):
            projected = F.layer_norm(x, (dim,)) @ layer.query_key_value
            by_head = projected.view(batch, n, 3, self.heads, self.head_dim)
            pairs = torch.view_as_complex(by_head[:, :, :2].unflatten(-1, (-1, 2)))
            query, key = torch.view_as_real(pairs * rotations).flatten(-2).permute(2, 0, 3, 1, 4)
            cache[0, :, :, start:stop] = key
            cache[1, :, :, start:stop] = by_head[:, :, 2].transpose(1, 2)
            keys, values = cache[:, :, :, first:stop]
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
        self.position += n
        return F.layer_norm(x, (dim,), self.final_gain).view(batch, n, dim)

    def _make_room(self, n: int) -> None:
        """Forget the steps that none of the next n steps sees, if the cache is full otherwise."""
        held = self.position - self._forgotten
        if held + n <= self.caches[0].shape[-2]:
            return
        kept = min(held, self.window - 1)
        for cache in self.caches:
            cache[..., :kept, :] = cache[..., held - kept : held, :].clone()
        self._forgotten += held - kept

    @cached_property
    def _numbered(self) -> Tensor:
        """The rotations of all steps by their numbers, which given positions do not need."""
        return self._rotations(torch.arange(self.steps, device=self.final_gain.device))

    def _rotations(self, positions: Tensor) -> Tensor:
        """Return the complex numbers `[..., head_dim / 2]` that positions `[...]` multiply by."""
        angles = positions[..., None] * self.frequencies
        return torch.polar(torch.ones_like(angles), angles)


def _visible(before: int, n: int, window: int, device: torch.device) -> Tensor | None:
    """Return which of `before` old and n new steps each new step may see `[n, before + n]`.

    It is None where nothing is to be said: a single step sees all, and at the start the steps see
    each other causally, for which there is a faster kernel.
    """
    if n == 1 or before == 0:
        return None
    causal = torch.ones(n, before + n, dtype=torch.bool, device=device).tril(before)
    return causal.triu(before + 1 - window)


def _gain(norm: Any) -> Tensor:
    """Return what a layer norm of x-transformers multiplies by `[D]`."""
    return norm.gamma + float(norm.unit_offset)


def _fold(attention_norm: Any, attention: Attention, feed_norm: Any, feed: FeedForward) -> _Layer:
    """Take the weights of a layer of an x-transformers decoder, and fold its norms in."""
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
