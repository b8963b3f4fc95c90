"""The performer's network: a causal Transformer that writes the codes of a bass, note by note.

At the step with the number of a frame it reads the score of that frame (score.py) and the codes
that were written before, and predicts the codes that the delay pattern puts there. It does not
know the song: the composer has turned the song into notes, and sounds that go with a song cannot
be memorised.
"""

from dataclasses import dataclass
from typing import Annotated

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from shared.codes.codec import CodeFormat
from shared.config import Range
from shared.errors import require
from stage2_prior.delay_pattern import DelayPattern
from stage2_prior.performer.score import HIDDEN, SIZES
from stage2_prior.summed_embedding import SummedEmbedding
from stage2_prior.transformer import make_transformer
from stage2_prior.x_transformers_guard import Decoder

MASK, PAD = -1, -2  # codes of the history: a hidden code, and a frame that does not exist
SPECIAL = 2  # the number of such codes


@dataclass(frozen=True)
class PerformerConfig:
    """The sizes of the performer."""

    dim: Annotated[int, Range(8, 8192)] = 256
    # A single head has no output matrix in x-transformers, and sampling needs one.
    heads: Annotated[int, Range(2, 256)] = 4
    depth: Annotated[int, Range(1, 64)] = 4
    feedforward: Annotated[int, Range(1, 64)] = 3  # inner width of such a layer, in units of `dim`
    dropout: Annotated[float, Range(0, 0.95)] = 0.1
    window_seconds: Annotated[float, Range(1, 600)] = 12.0  # the longest stretch read at once
    # How many steps later than its frame each codebook is written; () means h // 2 for codebook h.
    delays: tuple[Annotated[int, Range(0, 64)], ...] = ()

    def __post_init__(self) -> None:
        """Raise UserError for sizes that do not go together."""
        require(
            self.dim % (4 * self.heads) == 0,
            f"'model.performer.dim' must be a multiple of 4 times 'model.performer.heads', and "
            f"{self.dim} is no multiple of {4 * self.heads}",
        )
        require(
            not self.delays or min(self.delays) == 0,
            "the smallest of 'model.performer.delays' must be 0",
        )


class Performer(nn.Module):
    """The distribution of the codes of a bass, given its notes and its tone.

    Attributes:
        config: the sizes.
        format: the format of the codes.
        pattern: the delays of the codebooks.
        window: the largest number of frames that are read at once.
    """

    def __init__(self, config: PerformerConfig, format: CodeFormat) -> None:
        """Build a network with random weights.

        Raises:
            UserError: the delays in the configuration do not fit the codes.
        """
        super().__init__()
        self.config, self.format = config, format
        self.window = format.window(config.window_seconds, "model.performer.window_seconds")
        books = format.codebooks
        require(
            len(config.delays) in (0, books),
            f"'model.performer.delays' must be {books} numbers, one for each codebook",
        )
        self.pattern = DelayPattern(config.delays) if config.delays else DelayPattern.pairs(books)
        self.score = SummedEmbedding(SIZES, config.dim)
        self.history = SummedEmbedding([format.cardinality + SPECIAL] * books, config.dim)
        self.decoder = make_transformer(Decoder, config, config.depth)
        self.code_head = nn.Linear(config.dim, books * format.cardinality)

    def embed_score(self, score: Tensor) -> Tensor:
        """Embed a score `[B, ROWS, F]` as one vector for each step `[B, steps(F), D]`."""
        after = self.pattern.longest  # steps after the last frame
        return self.score(F.pad(score, (0, after), value=HIDDEN).transpose(1, 2))

    def embed_history(self, codes: Tensor) -> Tensor:
        """Embed delayed codes `[B, H, n]`, of which some are MASK or PAD, as `[B, n, D]`."""
        return self.history(codes.transpose(1, 2) + SPECIAL)

    def code_logits(self, line: Tensor) -> Tensor:
        """Turn the decoder's output `[..., D]` into logits of the codes of a step `[..., H, m]`."""
        return self.code_head(line).unflatten(-1, (self.format.codebooks, -1))

    def forward(self, score: Tensor, codes: Tensor) -> Tensor:
        """Predict every frame from the score and from the codes before it.

        Args:
            score: the notes and the tone `[B, ROWS, F]` (score.py).
            codes: codes of the bass `[B, H, F]`; MASK where a code is hidden, PAD where there is no
                frame.

        Returns:
            Logits `[B, F, H, m]`.
        """
        frames = codes.shape[-1]
        past = F.pad(self.pattern.apply(codes, PAD)[..., :-1], (1, 0), value=PAD)
        logits = self.code_logits(self.decoder(self.embed_score(score) + self.embed_history(past)))
        by_frame = [logits[:, self.pattern.frames_of(h, frames), h] for h in range(logits.shape[2])]
        return torch.stack(by_frame, dim=2)
