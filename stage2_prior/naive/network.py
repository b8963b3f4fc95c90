"""The plain encoder-decoder: the codes of the accompaniment in, the codes of the bass out.

This is how one would read "a new prior" over the codes without further thought: x-transformers'
Encoder and a Decoder that attends to its output, both with learned absolute positions, as its
XTransformer has them. There are no notes, bars or chords. The only addition is the delay pattern,
because a frame of the bass has several codes.
"""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from shared.codes.codec import CodeFormat
from shared.config import Range
from shared.device import resolve_device
from shared.errors import require
from shared.training.checkpoint import load_checkpoint, load_weights
from stage2_prior.delay_pattern import DelayPattern
from stage2_prior.summed_embedding import SummedEmbedding
from stage2_prior.x_transformers_guard import Decoder, Encoder

STAGE = "naive-prior"
PAD = -1  # a code of the history that does not exist


@dataclass(frozen=True)
class NaiveSizes:
    """The sizes of the network."""

    dim: Annotated[int, Range(8, 8192)] = 256
    heads: Annotated[int, Range(1, 256)] = 4
    depth: Annotated[int, Range(1, 64)] = 4  # of the encoder, and of the decoder
    feedforward: Annotated[int, Range(1, 64)] = 3  # inner width of such a layer, in units of `dim`
    dropout: Annotated[float, Range(0, 0.95)] = 0.1
    window_seconds: Annotated[float, Range(1, 600)] = 8.0  # the longest stretch read at once

    def __post_init__(self) -> None:
        """Raise UserError for sizes that do not go together."""
        require(
            self.dim % self.heads == 0,
            f"'model.dim' must be a multiple of 'model.heads', and {self.dim} is no multiple of "
            f"{self.heads}",
        )


class NaivePrior(nn.Module):
    """The distribution of the codes of a bass, given the codes of the accompaniment.

    Attributes:
        config: the sizes.
        format: the format of the codes.
        pattern: the delays of the codebooks.
        window: the largest number of frames that are read at once.
    """

    def __init__(self, config: NaiveSizes, format: CodeFormat) -> None:
        """Build a network with random weights."""
        super().__init__()
        self.config, self.format = config, format
        self.window = format.window(config.window_seconds, "model.window_seconds")
        books, streams = format.codebooks, len(format.sources) * format.codebooks
        self.pattern = DelayPattern.pairs(books)
        self.accompaniment = SummedEmbedding([format.cardinality] * streams, config.dim)
        self.history = SummedEmbedding([format.cardinality + 1] * books, config.dim)
        self.positions = nn.Embedding(self.pattern.steps(self.window), config.dim)
        nn.init.normal_(self.positions.weight, std=0.02)
        layers: dict[str, Any] = {
            "dim": config.dim,
            "depth": config.depth,
            "heads": config.heads,
            "attn_dim_head": config.dim // config.heads,
            "attn_flash": True,
            "ff_mult": config.feedforward,
            "ff_dropout": config.dropout,
            "verbose": False,
        }
        self.encoder = Encoder(**layers)
        self.decoder = Decoder(cross_attend=True, **layers)
        self.code_head = nn.Linear(config.dim, books * format.cardinality)

    def read(self, accompaniment: Tensor) -> Tensor:
        """Encode codes of the accompaniment `[B, S, H, F]` as `[B, F, D]`."""
        vectors = self.accompaniment(accompaniment.flatten(1, 2).transpose(1, 2))
        return self.encoder(vectors + self.positions.weight[: vectors.shape[1]])

    def embed(self, past: Tensor) -> Tensor:
        """Embed delayed codes `[B, H, n]`, of which some are PAD, as `[B, n, D]`."""
        vectors = self.history(past.transpose(1, 2) + 1)
        return vectors + self.positions.weight[: vectors.shape[1]]

    def logits(self, line: Tensor) -> Tensor:
        """Turn the decoder's output `[..., D]` into logits of the codes of a step `[..., H, m]`."""
        return self.code_head(line).unflatten(-1, (self.format.codebooks, -1))

    def forward(self, accompaniment: Tensor, codes: Tensor) -> Tensor:
        """Predict every frame from the accompaniment and from the codes before it.

        Args:
            accompaniment: codes `[B, S, H, F]`.
            codes: codes of the bass `[B, H, F]`.

        Returns:
            Logits `[B, F, H, m]`.
        """
        frames = codes.shape[-1]
        past = F.pad(self.pattern.apply(codes, PAD)[..., :-1], (1, 0), value=PAD)
        line = self.decoder(self.embed(past), context=self.read(accompaniment))
        logits = self.logits(line)
        by_frame = [logits[:, self.pattern.frames_of(h, frames), h] for h in range(logits.shape[2])]
        return torch.stack(by_frame, dim=2)


def naive_metadata(model: NaivePrior) -> dict[str, Any]:
    """Return the entries of a checkpoint's JSON from which the network can be built again."""
    return {"model": asdict(model.config), "codes": asdict(model.format)}


def load_naive_prior(path: Path, device: str = "cpu") -> NaivePrior:
    """Load a network that is ready to sample from a run folder or a .safetensors file.

    Raises:
        UserError: the checkpoint is missing, damaged, or of another stage.
    """
    checkpoint = load_checkpoint(path, STAGE)
    model = NaivePrior(checkpoint.read("model", NaiveSizes), checkpoint.read("codes", CodeFormat))
    load_weights(model, checkpoint)
    return model.eval().requires_grad_(False).to(resolve_device(device))
