"""Run the prior's decoder one step at a time, faster than x-transformers and with equal results.

Keys and values of all steps are allocated in advance, so that no step copies those of earlier
steps. The gain of each layer norm is folded into the matrix that follows it, and the scale of the
attention into the matrix of the queries. Only a plain pre-norm decoder, as `Prior` builds it, can
be run.
"""

from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stage2_prior.model import PAD, SPECIAL, Prior
from stage2_prior.x_transformers_guard import Attention, FeedForward


@dataclass(frozen=True)
class _Layer:
    """The weights of an attention layer and a feed-forward layer, with the norms folded in."""

    query_key_value: Tensor  # [D, 3 D]
    attention_out: Tensor  # [D, D]
    inner: Tensor  # [D, W]
    inner_bias: Tensor
    outer: Tensor  # [D, W], not transposed: that is faster for a matrix with so many inputs
    outer_bias: Tensor


class StepLogits(NamedTuple):
    """The logits of one step, for B sequences and V versions of the accompaniment.

    Attributes:
        note: `[V, B, 97]`.
        codes: `[B, H m]`. They do not depend on the accompaniment.
    """

    note: Tensor
    codes: Tensor


class IncrementalDecoder:
    """Computes `Prior.forward` step by step, for a fixed batch and at most one window."""

    @torch.inference_mode()
    def __init__(self, prior: Prior, batch: int) -> None:
        """Copy the weights of a model, so that later changes to it have no effect.

        Args:
            prior: the model.
            batch: the number of sequences that are decoded together.

        Raises:
            TypeError: the decoder of the model is not a plain pre-norm Transformer.
        """
        self.prior, self.dim, self.heads = prior, prior.config.dim, prior.config.heads
        self.head_dim = self.dim // self.heads
        steps = prior.pattern.steps(prior.window)
        blocks = list(prior.decoder.layers)
        self.layers = [
            _fold(blocks[i], blocks[i + 1], self.head_dim) for i in range(0, len(blocks), 2)
        ]
        # One product turns the decoder's output into the line's part of the note, and the codes.
        out = torch.cat((prior.note_from_line.weight, prior.code_head.weight))
        self.out = _matrix(out * _gain(prior.decoder.final_norm))
        self.out_bias = torch.cat((prior.note_from_line.bias, prior.code_head.bias))
        device = self.out.device
        angles = torch.outer(
            torch.arange(steps, device=device), prior.decoder.rotary_pos_emb.inv_freq
        )
        self.rotations = torch.polar(torch.ones_like(angles), angles)  # [steps, head_dim / 2]
        shape = (len(self.layers), 2, batch, self.heads, steps, self.head_dim)
        self.cache = torch.zeros(shape, device=device)
        self.position = 0

    @torch.inference_mode()
    def start(self, memory: Tensor, tokens: Tensor) -> StepLogits:
        """Begin a window whose first p steps are known, and return the logits of step p.

        Args:
            memory: the encoder's output for V versions of the accompaniment `[V, F, D]`.
            tokens: the tokens of the known steps `[B, K, p]`; p may be 0.
        """
        after = self.prior.pattern.longest  # steps after the last note
        song = F.pad(memory, (0, 0, 0, after))
        self.from_song = self.prior.note_from_song(song)
        self.encoder_notes = self.prior.encoder_note_head(song)
        self.position = 0
        history = F.pad(tokens, (1, 0), value=PAD)
        return self._advance(self.prior.embed_history(history))

    @torch.inference_mode()
    def step(self, tokens: Tensor) -> StepLogits:
        """Return the logits of the next step, given the tokens `[B, K]` of the one before it."""
        return self._advance(self.prior.history(tokens + SPECIAL)[:, None])

    def _advance(self, x: Tensor) -> StepLogits:
        """Run n steps and return the logits of the last.

        Args:
            x: for each step the embedding of the step before it `[B, n, D]`.
        """
        batch, n, dim = x.shape
        start, stop = self.position, self.position + n
        x = x.flatten(0, 1)
        rotations = self.rotations[start:stop, None, None]
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
                    query, keys, values, is_causal=True, scale=1.0
                )
            else:  # for one query, plain products take two thirds of the time
                attended = (query @ keys.transpose(-2, -1)).softmax(-1) @ values
            attended = attended.transpose(1, 2).reshape(batch * n, dim)
            x = torch.addmm(x, attended, layer.attention_out)
            inner = torch.addmm(layer.inner_bias, F.layer_norm(x, (dim,)), layer.inner)
            x = x + F.linear(F.gelu(inner), layer.outer, layer.outer_bias)
        self.position = stop
        last = x.view(batch, n, dim)[:, -1]
        out = torch.addmm(self.out_bias, F.layer_norm(last, (dim,)), self.out)
        line, codes = out.tensor_split([dim], dim=-1)
        joined = F.gelu(line + self.from_song[:, stop - 1, None])
        note = self.prior.note_head(joined) + self.encoder_notes[:, stop - 1, None]
        return StepLogits(note, codes)


def _gain(norm: Any) -> Tensor:
    """Return what x-transformers' layer norm multiplies by."""
    return norm.gamma + float(norm.unit_offset)


def _fold(attention_block: Any, feed_block: Any, head_dim: int) -> _Layer:
    """Take the weights of two blocks of an x-transformers decoder, and fold their norms in."""
    (attention_norm, *rest), attention, _ = attention_block
    (feed_norm, *others), feed, _ = feed_block
    plain = isinstance(attention, Attention) and isinstance(feed, FeedForward)
    if not plain or any(norm is not None for norm in (*rest, *others)):
        raise TypeError("the decoder is not a plain pre-norm Transformer")
    inner, outer = (module for module in feed.ff.modules() if isinstance(module, nn.Linear))
    query = attention.to_q.weight * head_dim**-0.5
    projections = torch.cat((query, attention.to_k.weight, attention.to_v.weight))
    return _Layer(
        query_key_value=_matrix(projections * _gain(attention_norm)),
        attention_out=_matrix(attention.to_out.weight),
        inner=_matrix(inner.weight * _gain(feed_norm)),
        inner_bias=inner.bias,
        outer=outer.weight,
        outer_bias=outer.bias,
    )


def _matrix(weight: Tensor) -> Tensor:
    """Transpose the weight of a linear layer to `[in, out]`, which is two to three times as fast.

    This holds for products with one or two rows.
    """
    return weight.detach().t().contiguous()
