"""The prior: a bidirectional encoder reads the accompaniment, a causal decoder predicts the bass.

Both are Transformers of x-transformers. A frame of bass is K = 1 + H streams in a delay pattern
(delay_pattern.py): a note token (shared/music/notes.py), then one code for each of the H codebooks.

The accompaniment decides the notes, and the notes decide the codes. The encoder's output is
therefore added to the decoder's output only where a note is predicted, so that the decoder cannot
memorise which sounds go with which song. The logits of the note are the sum of the encoder's own
logits and of logits that depend on both. As distributions the two are multiplied, so a confident
encoder has its effect whatever the history of the line is.
"""

from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from shared.codes.codec import CodeFormat
from shared.device import resolve_device
from shared.errors import require
from shared.music.notes import NoteVocabulary
from shared.training.checkpoint import load_checkpoint, load_weights
from stage2_prior.balance import BalanceRange
from stage2_prior.config import ModelConfig
from stage2_prior.delay_pattern import DelayPattern
from stage2_prior.sampling_defaults import SamplingDefaults
from stage2_prior.summed_embedding import SummedEmbedding
from stage2_prior.x_transformers_guard import Decoder, Encoder

SHIPPED = Path(__file__).parent / "weights" / "compact.safetensors"
MASK, PAD = -1, -2  # tokens of the history: a hidden token, and a frame that does not exist
SPECIAL = 2  # the number of such tokens
PITCH_CLASSES = 12


class EncoderLogits(NamedTuple):
    """What the encoder alone predicts from the accompaniment, for each frame.

    This is a NamedTuple because Lightning Fabric takes the outputs of a model apart, and does not
    know dataclasses that are frozen.

    Attributes:
        note: logits of the note of the bass `[B, F, 97]`.
        root: logits of the root of the chord `[B, F, 12]`, which only training uses.
    """

    note: Tensor
    root: Tensor


class PriorLogits(NamedTuple):
    """What the prior predicts, for each frame.

    Attributes:
        note: logits of the note `[B, F, 97]`.
        codes: logits of the codes `[B, F, H, m]`.
        encoder: what the encoder predicts without the history of the line.
    """

    note: Tensor
    codes: Tensor
    encoder: EncoderLogits


class Prior(nn.Module):
    """The distribution of the notes and codes of the bass, given the codes of the accompaniment.

    Attributes:
        config: size and layout of the Transformers.
        format: the format of the codes. Its fingerprint is the codec's.
        fingerprint: the fingerprint of the prior's own weights.
        sampling: the settings that sampling starts from.
        balance: the range of levels that generated lines are brought into.
        sizes: the number of tokens of each stream.
        pattern: the delays of the streams.
    """

    def __init__(
        self,
        config: ModelConfig,
        format: CodeFormat,
        fingerprint: str,
        sampling: SamplingDefaults | None = None,
        balance: BalanceRange | None = None,
    ) -> None:
        """Build a model with random weights.

        Args:
            config: see the attributes.
            format: see the attributes.
            fingerprint: see the attributes.
            sampling: see the attributes; the fallback values by default.
            balance: see the attributes; the fallback values by default.

        Raises:
            UserError: the delays in the configuration do not fit the codes.
        """
        super().__init__()
        self.config, self.format, self.fingerprint = config, format, fingerprint
        self.sampling, self.balance = sampling or SamplingDefaults(), balance or BalanceRange()
        codes, m = format.codebooks, format.cardinality
        self.sizes = (NoteVocabulary.size, *(m for _ in range(codes)))
        self.pattern = (
            DelayPattern(config.delays) if config.delays else DelayPattern.note_then_pairs(codes)
        )
        require(
            self.pattern.streams == 1 + codes and self.pattern.delays[0] == 0,
            f"'model.delays' must be {1 + codes} numbers, one for each stream, and 0 for the note",
        )
        shared: dict[str, Any] = {
            "dim": config.dim,
            "heads": config.heads,
            "attn_dim_head": config.dim // config.heads,
            "attn_flash": True,  # and no attention dropout, which no fused CPU kernel supports
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
            # The frequencies are constants. They stay out of checkpoints, because in half
            # precision they would shift all positions.
            rotary.register_buffer("inv_freq", rotary.inv_freq, persistent=False)

    @property
    def window(self) -> int:
        """The largest number of frames that the model reads at once."""
        return round(self.config.window_seconds * self.format.frame_rate)

    @property
    def dropped(self) -> int:
        """The code that replaces all codes of a source that is not given."""
        return self.format.cardinality

    def encode(self, accompaniment: Tensor) -> Tensor:
        """Run the encoder.

        Args:
            accompaniment: codes `[B, S, H, F]`; `dropped` where a source is not given.

        Returns:
            The encoder's output `[B, F, D]`.
        """
        tokens = accompaniment.flatten(1, 2).transpose(1, 2)
        return self.encoder(self.embedding_dropout(self.accompaniment(tokens)))

    def encoder_logits(self, memory: Tensor) -> EncoderLogits:
        """Predict notes and chord roots from the encoder's output `[B, F, D]` alone."""
        return EncoderLogits(self.encoder_note_head(memory), self.encoder_root_head(memory))

    def encoder_parts(self) -> tuple[nn.Module, ...]:
        """Return the modules whose weights `encoder_logits` depends on."""
        return (self.accompaniment, self.encoder, self.encoder_note_head, self.encoder_root_head)

    def embed_history(self, tokens: Tensor) -> Tensor:
        """Embed tokens `[B, K, n]`, which may include MASK and PAD, as vectors `[B, n, D]`."""
        return self.history(tokens.transpose(1, 2) + SPECIAL)

    def decode(self, history: Tensor) -> Tensor:
        """Run the decoder.

        Args:
            history: for each of n steps the tokens of the step before it `[B, K, n]`, so that the
                first column is PAD.

        Returns:
            The decoder's output at each step `[B, n, D]`.
        """
        return self.decoder(self.embed_history(history))

    def note_logits(self, line: Tensor, song: Tensor) -> Tensor:
        """Predict the note of a frame.

        Args:
            line: the decoder's output at the step with the number of the frame `[..., D]`.
            song: the encoder's output at the frame `[..., D]`.

        Returns:
            Logits `[..., 97]`.
        """
        joined = F.gelu(self.note_from_line(line) + self.note_from_song(song))
        return self.note_head(joined) + self.encoder_note_head(song)

    def forward(
        self, accompaniment: Tensor, tokens: Tensor | None = None
    ) -> PriorLogits | EncoderLogits:
        """Predict every frame from the accompaniment and from the frames before it.

        Args:
            accompaniment: codes `[B, S, H, F]`; `dropped` where a source is not given.
            tokens: notes and codes of the bass `[B, K, F]`; MASK where a token is hidden, PAD where
                there is no frame. Without them only the encoder runs.

        Returns:
            All logits, or without `tokens` those of the encoder alone.
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
    """Shift the tokens of steps `[B, K, n]` by one step, with PAD before the first."""
    return F.pad(delayed[..., :-1], (1, 0), value=PAD)


def prior_metadata(model: Prior) -> dict[str, Any]:
    """Return the entries for the JSON of a checkpoint that `load_prior` needs."""
    return {
        "model": asdict(model.config),
        "codes": asdict(model.format),
        "sampling": asdict(model.sampling),
        "balance": asdict(model.balance),
    }


def load_prior(path: Path | None = None, device: str = "cpu") -> Prior:
    """Load a prior that is ready to sample.

    Args:
        path: a run folder or a .safetensors file; the prior that ships with the project if None.
        device: the device to load it to.

    Raises:
        UserError: the checkpoint is missing, damaged, or of another stage.
    """
    checkpoint = load_checkpoint(SHIPPED if path is None else path, "prior")
    model = Prior(
        checkpoint.read("model", ModelConfig),
        checkpoint.read("codes", CodeFormat),
        checkpoint.meta["fingerprint"],
        checkpoint.read("sampling", SamplingDefaults, optional=True),
        checkpoint.read("balance", BalanceRange, optional=True),
    )
    load_weights(model, checkpoint)
    return model.eval().requires_grad_(False).to(resolve_device(device))
