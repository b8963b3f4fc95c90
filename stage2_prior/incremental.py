"""Run the prior's decoder one step at a time, on a cached decoder and with equal results."""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from stage2_prior.cached_decoder import CachedDecoder
from stage2_prior.model import PAD, SPECIAL, Prior


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
        self.prior = prior
        steps = prior.pattern.steps(prior.window)
        self.decoder = CachedDecoder(prior.decoder, batch, steps)
        # One product turns the decoder's output into the line's part of the note, and the codes.
        out = torch.cat((prior.note_from_line.weight, prior.code_head.weight))
        self.out = out.t().contiguous()  # this is faster for a product with one or two rows
        self.out_bias = torch.cat((prior.note_from_line.bias, prior.code_head.bias))

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
        self.decoder.reset()
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
        last = self.decoder.advance(x)[:, -1]
        out = torch.addmm(self.out_bias, last, self.out)
        line, codes = out.tensor_split([x.shape[-1]], dim=-1)
        step = self.decoder.position - 1
        joined = F.gelu(line + self.from_song[:, step, None])
        note = self.prior.note_head(joined) + self.encoder_notes[:, step, None]
        return StepLogits(note, codes)
