"""The prior's decoder one step at a time, on the same weights: what x-transformers computes, only faster.

Keys and values have their place from the start, so that a step copies none of the earlier ones; only
its attention weights grow with the position. The gain of each layer norm is folded into the matrix
behind it, and the scale of attention into that of the queries. Only a plain pre-norm decoder, as
`Prior` builds it, can be run; another one is refused.
"""

from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from x_transformers.x_transformers import Attention, FeedForward

from stage2_prior.model import PAD, SPECIAL, Prior


@dataclass(frozen=True)
class _Layer:
    """Weights of an attention and a feed-forward layer, norms folded in."""

    query_key_value: Tensor  # [D, 3 D]
    attention_out: Tensor  # [D, D]
    inner: Tensor  # [D, W]
    inner_bias: Tensor
    outer: Tensor  # [D, W], as it was: better for the long sums of this one
    outer_bias: Tensor


class StepLogits(NamedTuple):
    """note `[V, B, 97]`: of each of B sequences, given each of V versions of the song; codes `[B, H m]`."""

    note: Tensor
    codes: Tensor


class IncrementalDecoder:
    """`Prior.forward`, a step at a time, for a fixed batch and a window's length.

    Args:
        prior: the model; its weights as they are now are copied.
        batch: sequences decoded together.
    """

    @torch.inference_mode()
    def __init__(self, prior: Prior, batch: int) -> None:
        self.prior, self.dim, self.heads = prior, prior.config.dim, prior.config.heads
        self.head_dim = self.dim // self.heads
        steps = prior.pattern.steps(prior.window)
        blocks = list(prior.decoder.layers)
        self.layers = [
            _fold(blocks[i], blocks[i + 1], self.head_dim) for i in range(0, len(blocks), 2)
        ]
        # What is made of the decoder's output, in one product: the line's part of the note, and the codes.
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
        """Begin a window whose first p steps are known; logits of step p.

        Args:
            memory: the encoder's output for the window, V versions of it `[V, F, D]`.
            tokens: of the known steps `[B, K, p]`; p may be 0.
        """
        beyond = self.prior.pattern.longest  # steps that have no note any more
        song = F.pad(memory, (0, 0, 0, beyond))
        self.song, self.heard = self.prior.note_from_song(song), self.prior.encoder_note_head(song)
        self.position = 0
        history = F.pad(tokens, (1, 0), value=PAD)
        return self._advance(self.prior.embed_history(history))

    @torch.inference_mode()
    def step(self, tokens: Tensor) -> StepLogits:
        """Logits of the next step, given the tokens `[B, K]` of the one before it."""
        return self._advance(self.prior.history(tokens + SPECIAL)[:, None])

    def _advance(self, x: Tensor) -> StepLogits:
        """Run n steps, `x [B, n, D]` their history's embeddings; logits of the last."""
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
                heard = F.scaled_dot_product_attention(
                    query, keys, values, is_causal=True, scale=1.0
                )
            else:  # for one query, plain products take two thirds of the time
                heard = (query @ keys.transpose(-2, -1)).softmax(-1) @ values
            heard = heard.transpose(1, 2).reshape(batch * n, dim)
            x = torch.addmm(x, heard, layer.attention_out)
            inner = torch.addmm(layer.inner_bias, F.layer_norm(x, (dim,)), layer.inner)
            x = x + F.linear(F.gelu(inner), layer.outer, layer.outer_bias)
        self.position = stop
        last = x.view(batch, n, dim)[:, -1]
        made = torch.addmm(self.out_bias, F.layer_norm(last, (dim,)), self.out)
        line, codes = made.tensor_split([dim], dim=-1)
        joined = F.gelu(line + self.song[:, stop - 1, None])
        note = self.prior.note_head(joined) + self.heard[:, stop - 1, None]
        return StepLogits(note, codes)


def _gain(norm: Any) -> Tensor:
    return norm.gamma + float(norm.unit_offset)


def _fold(attention_block: Any, feed_block: Any, head_dim: int) -> _Layer:
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
    """A linear layer's weight as `[in, out]`: for one or two rows, two to three times as fast."""
    return weight.detach().t().contiguous()
