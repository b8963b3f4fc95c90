"""The listener's network: a bidirectional Transformer over the codes of the accompaniment.

For every frame it predicts what the bass plays there, the chord, and whether a beat or a bar
begins. It knows nothing of the line that is being written.
"""

from dataclasses import dataclass
from typing import Annotated, NamedTuple

from torch import Tensor, nn

from shared.codes.codec import CodeFormat
from shared.config import Range
from shared.errors import require
from shared.music.notes import NoteVocabulary
from stage2_prior.summed_embedding import SummedEmbedding
from stage2_prior.transformer import make_transformer
from stage2_prior.x_transformers_guard import Encoder

PITCH_CLASSES = 12


@dataclass(frozen=True)
class ListenerConfig:
    """The sizes of the listener."""

    dim: Annotated[int, Range(8, 8192)] = 256
    heads: Annotated[int, Range(1, 256)] = 4
    depth: Annotated[int, Range(1, 64)] = 5
    feedforward: Annotated[int, Range(1, 64)] = 3  # inner width of such a layer, in units of `dim`
    dropout: Annotated[float, Range(0, 0.95)] = 0.1
    embedding_dropout: Annotated[float, Range(0, 0.95)] = 0.15  # keeps it from memorising songs
    window_seconds: Annotated[float, Range(1, 600)] = 16.0  # the longest stretch heard at once

    def __post_init__(self) -> None:
        """Raise UserError for sizes that do not go together."""
        require(
            self.dim % (4 * self.heads) == 0,
            f"'model.listener.dim' must be a multiple of 4 times 'model.listener.heads', and "
            f"{self.dim} is no multiple of {4 * self.heads}",
        )


class Heard(NamedTuple):
    """What the listener predicts for each frame, as logits.

    This is a NamedTuple because Lightning Fabric takes the outputs of a model apart, and does not
    know dataclasses that are frozen.

    Attributes:
        note: of the note of the bass `[B, F, 97]` (shared/music/notes.py).
        root: of the root of the chord `[B, F, 12]`.
        tones: for each pitch class, of its being a tone of the chord `[B, F, 12]`.
        beats: of a beat and of the first beat of a bar `[B, F, 2]`.
    """

    note: Tensor
    root: Tensor
    tones: Tensor
    beats: Tensor


class Listener(nn.Module):
    """Predicts notes, chords and beats from the codes of the accompaniment.

    Attributes:
        config: the sizes.
        format: the format of the codes.
        window: the largest number of frames that are heard at once.
    """

    def __init__(self, config: ListenerConfig, format: CodeFormat) -> None:
        """Build a network with random weights."""
        super().__init__()
        self.config, self.format = config, format
        self.window = format.window(config.window_seconds, "model.listener.window_seconds")
        streams = len(format.sources) * format.codebooks
        self.embedding = SummedEmbedding([format.cardinality + 1] * streams, config.dim)
        self.embedding_dropout = nn.Dropout(config.embedding_dropout)
        self.encoder = make_transformer(Encoder, config, config.depth)
        self.sizes = (NoteVocabulary.size, PITCH_CLASSES, PITCH_CLASSES, 2)
        self.heads = nn.Linear(config.dim, sum(self.sizes))

    @property
    def dropped(self) -> int:
        """The code that replaces the codes that are not given."""
        return self.format.cardinality

    def forward(self, accompaniment: Tensor) -> Heard:
        """Predict every frame.

        Args:
            accompaniment: codes `[B, S, H, F]`; `dropped` where a code is not given.
        """
        tokens = accompaniment.flatten(1, 2).transpose(1, 2)
        memory = self.encoder(self.embedding_dropout(self.embedding(tokens)))
        return Heard(*self.heads(memory).float().split(self.sizes, dim=-1))
