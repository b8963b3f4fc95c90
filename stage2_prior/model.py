"""The prior: a bidirectional encoder hears the accompaniment, a causal decoder writes the bass.

Both are x-transformers' own. A frame of bass is K = 1 + H streams: a note token (shared/music/notes.py),
then H bass codes, in a delay pattern. The song decides the notes, and the codes sing them: the
encoder's output meets the decoder's only where a note is chosen, so that the decoder cannot learn by
heart which sounds go with which song. The note is predicted twice, by the encoder alone and by both,
and the two are multiplied as distributions: whatever the history says, the song keeps its say.
"""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from x_transformers import Decoder, Encoder

from shared.codes.codec import CodeFormat
from shared.config import config_from_dict
from shared.device import resolve_device
from shared.errors import require
from shared.music.notes import NoteVocabulary
from shared.training.checkpoint import load_checkpoint, load_weights
from stage2_prior.config import ModelConfig
from stage2_prior.delay_pattern import DelayPattern

SHIPPED = Path(__file__).parent / "weights" / "compact.safetensors"
MASK, PAD = -1, -2  # history tokens: hidden, and no such frame
SPECIAL = 2
PITCH_CLASSES = 12


class EncoderLogits(NamedTuple):
    """What the encoder alone makes of the accompaniment, by frames: the bass's note `[B, F, 97]`, and the chord's
    root `[B, F, 12]`, which is asked for in training only.

    Not a frozen dataclass as elsewhere, because Fabric takes a model's outputs apart.
    """

    note: Tensor
    root: Tensor


class PriorLogits(NamedTuple):
    """note `[B, F, 97]`; codes `[B, F, H, m]`; encoder: without the history. All by frames."""

    note: Tensor
    codes: Tensor
    encoder: EncoderLogits


class SummedEmbedding(nn.Embedding):
    """A table per stream; their vectors are summed. Tokens `[..., K]` -> `[..., D]`."""

    offsets: Tensor

    def __init__(self, sizes: Sequence[int], dim: int) -> None:
        super().__init__(sum(sizes), dim)
        nn.init.normal_(self.weight, std=len(sizes) ** -0.5)
        offsets = torch.tensor([0, *sizes[:-1]]).cumsum(0)
        self.register_buffer("offsets", offsets, persistent=False)

    def forward(self, tokens: Tensor) -> Tensor:
        rows = (tokens + self.offsets).flatten(0, -2)
        return F.embedding_bag(rows, self.weight, mode="sum").unflatten(0, tokens.shape[:-1])


class Prior(nn.Module):
    """p(note and codes of the bass | codes of the accompaniment).

    format: of the codes; its fingerprint is the codec's. fingerprint: names the checkpoint.
    """

    def __init__(self, config: ModelConfig, format: CodeFormat, fingerprint: str) -> None:
        super().__init__()
        self.config, self.format, self.fingerprint = config, format, fingerprint
        codes, m = format.codebooks, format.cardinality
        self.sizes = (NoteVocabulary.size, *(m for _ in range(codes)))
        self.pattern = (
            DelayPattern(config.delays) if config.delays else DelayPattern.note_then_pairs(codes)
        )
        require(
            self.pattern.streams == 1 + codes and self.pattern.delays[0] == 0,
            f"'model.delays' must be {1 + codes} numbers, one a stream, and 0 for the note",
        )
        shared: dict[str, Any] = {
            "dim": config.dim,
            "heads": config.heads,
            "attn_dim_head": config.dim // config.heads,
            "attn_flash": True,  # without dropout, with which no CPU has a fused kernel
            "ff_mult": config.feedforward,
            "ff_dropout": config.dropout,
            "rotary_pos_emb": True,
            "rotary_emb_dim": config.dim // config.heads,
            "verbose": False,
        }
        self.accompaniment = SummedEmbedding([m + 1] * (len(format.sources) * codes), config.dim)
        self.embedding_dropout = nn.Dropout(config.embedding_dropout)
        self.encoder = Encoder(depth=config.encoder_depth, **shared)
        self.encoder_note_head = nn.Linear(config.dim, NoteVocabulary.size)
        self.encoder_root_head = nn.Linear(config.dim, PITCH_CLASSES)
        self.history = SummedEmbedding([size + SPECIAL for size in self.sizes], config.dim)
        self.decoder = Decoder(depth=config.decoder_depth, **shared)
        self.note_from_line = nn.Linear(config.dim, config.dim)
        self.note_from_song = nn.Linear(config.dim, config.dim, bias=False)
        self.note_head = nn.Linear(config.dim, NoteVocabulary.size)
        self.code_head = nn.Linear(config.dim, codes * m)
        for rotary in (self.encoder.rotary_pos_emb, self.decoder.rotary_pos_emb):
            # Constants: kept out of checkpoints, where half precision would shift all positions.
            rotary.register_buffer("inv_freq", rotary.inv_freq, persistent=False)

    @property
    def window(self) -> int:
        """The most frames read at once."""
        return round(self.config.window_seconds * self.format.frame_rate)

    @property
    def dropped(self) -> int:
        """The code that stands, in all codebooks, for a source that is not given."""
        return self.format.cardinality

    def encode(self, accompaniment: Tensor) -> Tensor:
        """The accompaniment's codes `[B, S, H, F]`, or `dropped` -> what it says `[B, F, D]`."""
        tokens = accompaniment.flatten(1, 2).transpose(1, 2)
        return self.encoder(self.embedding_dropout(self.accompaniment(tokens)))

    def encoder_logits(self, memory: Tensor) -> EncoderLogits:
        """Name notes and chords from the encoder's output `[B, F, D]`."""
        return EncoderLogits(self.encoder_note_head(memory), self.encoder_root_head(memory))

    def encoder_parts(self) -> tuple[nn.Module, ...]:
        """What `hear` depends on."""
        return (self.accompaniment, self.encoder, self.encoder_note_head, self.encoder_root_head)

    def embed_history(self, tokens: Tensor) -> Tensor:
        """Tokens `[B, K, n]`, MASK and PAD among them -> `[B, n, D]`."""
        return self.history(tokens.transpose(1, 2) + SPECIAL)

    def decode(self, history: Tensor) -> Tensor:
        """What the line so far says about the next step, for each of n steps `[B, n, D]`.

        history: tokens `[B, K, n]` of the step before each step, so that column 0 is PAD.
        """
        return self.decoder(self.embed_history(history))

    def note_logits(self, line: Tensor, song: Tensor) -> Tensor:
        """Logits `[..., 97]` of a frame's note.

        Args:
            line: the decoder's output at the step of the same number as the frame `[..., D]`.
            song: the encoder's output at the frame `[..., D]`.
        """
        joined = F.gelu(self.note_from_line(line) + self.note_from_song(song))
        return self.note_head(joined) + self.encoder_note_head(song)

    def forward(
        self, accompaniment: Tensor, tokens: Tensor | None = None
    ) -> PriorLogits | EncoderLogits:
        """Predict every frame from the accompaniment and the frames before it.

        Args:
            accompaniment: codes `[B, S, H, F]`; `dropped` where a source is not given.
            tokens: note and codes `[B, K, F]`; MASK where hidden, PAD where there is no frame. Without them
                the encoder alone runs, and only what it hears is returned.
        """
        memory = self.encode(accompaniment)
        if tokens is None:
            return self.encoder_logits(memory)
        frames = tokens.shape[-1]
        line = self.decode(before(self.pattern.apply(tokens, PAD)))
        codes = self.code_head(line).unflatten(-1, (self.format.codebooks, -1))
        by_frame = [
            codes[:, self.pattern.frames_of(1 + h, frames), h] for h in range(codes.shape[2])
        ]
        return PriorLogits(
            note=self.note_logits(line[:, :frames], memory),
            codes=torch.stack(by_frame, dim=2),
            encoder=self.encoder_logits(memory),
        )


def before(delayed: Tensor) -> Tensor:
    """Tokens of the steps `[B, K, n]` -> of the step before each, PAD before the first."""
    return F.pad(delayed[..., :-1], (1, 0), value=PAD)


def prior_metadata(model: Prior) -> dict[str, Any]:
    """What a checkpoint's JSON must hold for `load_prior`."""
    return {"model": asdict(model.config), "codes": asdict(model.format)}


def load_prior(path: Path | None = None, device: str = "cpu") -> Prior:
    """The prior of a run folder or .safetensors file, ready to sample; without one, the prior that ships.

    Raises:
        UserError: no such checkpoint, of another stage, damaged.
    """
    checkpoint = load_checkpoint(SHIPPED if path is None else path, "prior")
    model = Prior(
        config_from_dict(ModelConfig, checkpoint.meta["model"]),
        config_from_dict(CodeFormat, checkpoint.meta["codes"]),
        checkpoint.meta["fingerprint"],
    )
    load_weights(model, checkpoint)
    return model.eval().requires_grad_(False).to(resolve_device(device))
