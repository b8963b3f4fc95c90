"""The composer's network: an autoregressive Transformer over the notes of a line.

A step of it writes one note: when it begins, its pitch, how long it lasts and how loud it is, in
this order, each given the ones before. A reader looks at the whole song first. What it says of a
position is used wherever that position matters: where the last note ends, at each position where
the next note may begin, and where it does begin.

Rotary positions are musical time, so that "the same place two bars ago" is always equally far away.
"""

from dataclasses import dataclass
from typing import Annotated, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from shared.config import Range
from shared.errors import require
from shared.music.bar_grid import STEPS
from stage2_prior.composer.features import FEATURES, PITCH
from stage2_prior.composer.grid_notes import LENGTHS, MAY_BEGIN, PITCHES
from stage2_prior.loudness import LOUDNESSES
from stage2_prior.transformer import make_transformer
from stage2_prior.x_transformers_guard import Decoder, Encoder

HORIZON = 4 * STEPS  # how far ahead of the end of the last note the next one may begin
NOTHING = HORIZON  # the choice that no note begins within the horizon
BAR = 8 * STEPS  # places in a bar that are told apart; later ones count as the last
UNKNOWN = LOUDNESSES  # the loudness of a note that is not known
GATHERED = 48  # numbers in which a position tells its beat about itself
NONE = -1  # the target of a choice that is not made, or not known
CHOICES = ("onset", "pitch", "length", "loudness")  # of one step, in their order


@dataclass(frozen=True)
class ComposerConfig:
    """The sizes of the composer."""

    dim: Annotated[int, Range(8, 8192)] = 256
    # A single head has no output matrix in x-transformers, and sampling needs one.
    heads: Annotated[int, Range(2, 256)] = 4
    depth: Annotated[int, Range(1, 64)] = 4  # of the decoder over notes
    reader_depth: Annotated[int, Range(1, 64)] = 3  # of the encoder over the beats of the song
    feedforward: Annotated[int, Range(1, 64)] = 3  # inner width of such a layer, in units of `dim`
    dropout: Annotated[float, Range(0, 0.95)] = 0.1
    choice_dim: Annotated[int, Range(4, 4096)] = 64  # of the comparison of onsets
    bars: Annotated[int, Range(1, 1024)] = 32  # how much of a song is seen in training

    def __post_init__(self) -> None:
        """Raise UserError for sizes that do not go together."""
        require(
            self.dim % (4 * self.heads) == 0,
            f"'model.composer.dim' must be a multiple of 4 times 'model.composer.heads', and "
            f"{self.dim} is no multiple of {4 * self.heads}",
        )


class PastNotes(NamedTuple):
    """For each of N steps the note before it, and where it ended; all int64 `[B, N]`.

    Attributes:
        pitch: its number above LOWEST; PITCHES before the first note, or after no note.
        length: the number of its length in LENGTHS; len(LENGTHS) where there is none.
        loudness: its loudness; UNKNOWN where it is not known.
        gap: how many positions before its onset were free; HORIZON where there is no note.
        cursor: the position from which the next note may begin.
    """

    pitch: Tensor
    length: Tensor
    loudness: Tensor
    gap: Tensor
    cursor: Tensor


class SongReader(nn.Module):
    """Reads the features of a song at every position, in the context of all its beats."""

    def __init__(self, config: ComposerConfig) -> None:
        """Build the layers."""
        super().__init__()
        dim = config.dim
        self.project = nn.Linear(FEATURES, dim)
        self.nothing = nn.Parameter(torch.zeros(dim))  # instead of the features, where hidden
        self.place = nn.Embedding(BAR, dim)
        nn.init.normal_(self.place.weight, std=0.5)
        self.gather = nn.Linear(dim, GATHERED)
        self.beat = nn.Linear(STEPS * GATHERED, dim)
        self.form = make_transformer(Encoder, config, config.reader_depth)
        self.dropout = nn.Dropout(config.dropout)

    def forward(
        self, features: Tensor, place: Tensor, hidden: Tensor, positions: Tensor | None = None
    ) -> Tensor:
        """Read some songs.

        Args:
            features: probabilities `[B, P, FEATURES]` (features.py); P is a multiple of STEPS.
            place: how far each position is into its bar `[B, P]`.
            hidden: whether the features of a song are hidden `[B]`; the bars never are.
            positions: how many positions each song has `[B]`, where some are padded.

        Returns:
            What is read at each position `[B, P, D]`.
        """
        x = self._position(features, place, hidden)
        beats = self._beats(x)
        known = None
        if positions is not None:  # what pads a song must not be read
            number = torch.arange(beats.shape[1], device=positions.device)
            known = STEPS * number < positions[:, None]
        context = self.form(self.dropout(beats), mask=known)
        return x + context.repeat_interleave(STEPS, dim=1)

    def beats(self, features: Tensor, place: Tensor, hidden: Tensor) -> Tensor:
        """Read each beat of songs of one length for itself `[B, P / STEPS, D]`."""
        return self._beats(self._position(features, place, hidden))

    def in_context(
        self, features: Tensor, place: Tensor, hidden: Tensor, context: Tensor
    ) -> Tensor:
        """Read some positions of each song as `forward` does.

        Args:
            features: probabilities `[B, P, FEATURES]`.
            place: how far each position is into its bar `[B, P]`.
            hidden: whether the features of a song are hidden `[B]`.
            context: what `form` makes of all `beats` of the songs, at the beats of these positions
                `[B, P, D]`.
        """
        return self._position(features, place, hidden) + context

    def _position(self, features: Tensor, place: Tensor, hidden: Tensor) -> Tensor:
        """Read each position for itself `[B, P, D]`."""
        # The logarithm tells small probabilities apart; beyond 1 % they are noise.
        seen = self.project((features + 0.01).log())
        seen = torch.where(hidden[:, None, None], self.nothing.to(seen.dtype), seen)
        return seen + self.place(place.clamp_max(BAR - 1))

    def _beats(self, x: Tensor) -> Tensor:
        """Join the positions of each beat `[B, P / STEPS, D]`."""
        return self.beat(self.gather(x).unflatten(1, (-1, STEPS)).flatten(2))


class Composer(nn.Module):
    """The distribution of the notes of a bass line, given a song on its grid.

    The four choices of a step are made by methods of their own, because each needs the ones before
    it: `onset_logits`, `pitch_logits`, `length_logits` and `loudness_logits`.
    """

    def __init__(self, config: ComposerConfig) -> None:
        """Build a network with random weights."""
        super().__init__()
        self.config = config
        dim = config.dim
        self.reader = SongReader(config)
        self.past_pitch = nn.Embedding(PITCHES + 1, dim)
        self.past_length = nn.Embedding(len(LENGTHS) + 1, dim)
        self.past_loudness = nn.Embedding(LOUDNESSES + 1, dim)
        self.past_gap = nn.Embedding(HORIZON + 1, dim)
        for table in (self.past_pitch, self.past_length, self.past_loudness, self.past_gap):
            nn.init.normal_(table.weight, std=0.5)
        self.song_to_line = nn.Linear(dim, dim)
        self.decoder = make_transformer(Decoder, config, config.depth)
        small = config.choice_dim
        self.onset_from_line = nn.Linear(dim, small)
        self.onset_from_song = nn.Linear(dim, small, bias=False)
        self.onset_distance = nn.Embedding(HORIZON + 1, small)
        self.onset_place = nn.Embedding(BAR, small)
        self.onset_score = nn.Linear(small, 1, bias=False)
        self.from_line = nn.Linear(dim, 3 * dim)
        self.from_song = nn.Linear(dim, 3 * dim, bias=False)
        self.gap_to_choice = nn.Embedding(HORIZON + 1, 3 * dim)
        self.pitch_to_choice = nn.Embedding(PITCHES, 2 * dim)
        self.length_to_choice = nn.Embedding(len(LENGTHS), dim)
        for table in (self.gap_to_choice, self.pitch_to_choice, self.length_to_choice):
            nn.init.normal_(table.weight, std=0.3)
        self.heard_pitch = nn.Parameter(torch.tensor([0.3]))  # the weight of the listener's word
        self.pitch_head = nn.Linear(dim, PITCHES)
        self.length_head = nn.Linear(dim, len(LENGTHS))
        self.loudness_head = nn.Linear(dim, LOUDNESSES)
        self.register_load_state_dict_pre_hook(_read_older)

    def forward(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """Return what each choice of given lines costs, in nats `[B, N]`; 0 where none is made.

        Args:
            batch: windows of songs (sequences.py), with `hidden` `[B]`, which says whose features
                are hidden.
        """
        features, place, cursor = batch["features"], batch["place"], batch["cursor"]
        song = self.reader(features, place, batch["hidden"], batch["positions"])
        features = features.masked_fill(batch["hidden"][:, None, None], 0)
        last = song.shape[1] - 1  # is read in place of the positions after it
        past = PastNotes(
            batch["past_pitch"],
            batch["past_length"],
            batch["past_loudness"],
            batch["past_gap"],
            cursor,
        )
        line = self.line_states(past, rows(song, cursor.clamp_max(last)))
        ahead = cursor[..., None] + torch.arange(HORIZON, device=cursor.device)
        choices = self.onset_choices(song, place)
        candidates = rows(choices, ahead.clamp_max(last).flatten(1)).unflatten(1, ahead.shape[1:])
        allowed = may_begin(ahead, batch["positions"][:, None, None])
        onset = self.onset_logits(line, candidates)
        onset = onset.masked_fill(~F.pad(allowed, (0, 1), value=True), -torch.inf)
        gap, pitch, length = (batch[name].clamp_min(0) for name in ("gap", "pitch", "length"))
        begin = (cursor + gap).clamp_max(last)
        choice = self.choice(line, rows(song, begin), gap)
        return {
            "onset": _cost(onset, batch["gap"]),
            "pitch": _cost(self.pitch_logits(choice, rows(features, begin)), batch["pitch"]),
            "length": _cost(self.length_logits(choice, pitch), batch["length"]),
            "loudness": _cost(self.loudness_logits(choice, pitch, length), batch["loudness"]),
        }

    def embed(self, past: PastNotes, song: Tensor) -> Tensor:
        """Make the decoder's input `[B, N, D]`.

        Args:
            past: the notes before.
            song: what the reader said at `past.cursor` `[B, N, D]`.
        """
        return (
            self.past_pitch(past.pitch)
            + self.past_length(past.length)
            + self.past_loudness(past.loudness)
            + self.past_gap(past.gap)
            + self.song_to_line(song)
        )

    def line_states(self, past: PastNotes, song: Tensor) -> Tensor:
        """Run the decoder over whole lines.

        Args:
            past: the notes before each step `[B, N]`.
            song: what the reader said at `past.cursor` `[B, N, D]`.

        Returns:
            The state of the line at each step `[B, N, D]`, from which its choices are made.
        """
        return self.decoder(self.embed(past, song), pos=past.cursor)

    def onset_choices(self, song: Tensor, place: Tensor) -> Tensor:
        """Return what each position says for itself as an onset `[B, P, choice_dim]`."""
        return self.onset_from_song(song) + self.onset_place(place.clamp_max(BAR - 1))

    def onset_logits(self, line: Tensor, choices: Tensor) -> Tensor:
        """Compare the positions where the next note may begin.

        Args:
            line: states `[..., D]`.
            choices: rows of `onset_choices` from the cursor on `[..., HORIZON, choice_dim]`.

        Returns:
            Logits `[..., HORIZON + 1]`; the last is that of NOTHING.
        """
        own = self.onset_from_line(line)[..., None, :] + self.onset_distance.weight
        ahead = own[..., :HORIZON, :] + choices
        joined = torch.cat((ahead, own[..., HORIZON:, :]), dim=-2)
        return self.onset_score(F.gelu(joined))[..., 0].float()

    def choice(self, line: Tensor, song: Tensor, gap: Tensor) -> Tensor:
        """Prepare the choice of pitch, length and loudness of a note that begins `gap` later.

        Args:
            line: states `[..., D]`.
            song: what the reader said at the onset `[..., D]`.
            gap: positions from the cursor to the onset `[...]`.

        Returns:
            `[..., 3 D]`.
        """
        return self.from_line(line) + self.from_song(song) + self.gap_to_choice(gap)

    def pitch_logits(self, choice: Tensor, features: Tensor) -> Tensor:
        """Return the logits of the pitches `[..., PITCHES]`.

        Args:
            choice: see `choice`.
            features: the features of the song at the onset `[..., FEATURES]`; zeros where hidden.
        """
        joined = F.gelu(choice[..., : self.config.dim])
        heard = (features[..., PITCH] + 0.01).log()
        return self.pitch_head(joined).float() + self.heard_pitch.float() * heard.float()

    def length_logits(self, choice: Tensor, pitch: Tensor) -> Tensor:
        """Return the logits of the lengths `[..., len(LENGTHS)]`, given the pitch `[...]`."""
        dim = self.config.dim
        joined = choice[..., dim : 2 * dim] + self.pitch_to_choice(pitch)[..., :dim]
        return self.length_head(F.gelu(joined)).float()

    def loudness_logits(self, choice: Tensor, pitch: Tensor, length: Tensor) -> Tensor:
        """Return the logits of the loudnesses `[..., LOUDNESSES]`, given pitch and length."""
        dim = self.config.dim
        joined = (
            choice[..., 2 * dim :]
            + self.pitch_to_choice(pitch)[..., dim:]
            + self.length_to_choice(length)
        )
        return self.loudness_head(F.gelu(joined)).float()


def _read_older(
    composer: nn.Module, weights: dict[str, Tensor], prefix: str, *_others: object
) -> None:
    """Read a checkpoint in which `heard_pitch` is a number, which FSDP could not divide."""
    name = f"{prefix}heard_pitch"
    if name in weights:
        weights[name] = weights[name].reshape(1)


def may_begin(positions: Tensor, end: Tensor | int) -> Tensor:
    """Return whether notes may begin at some positions of a song that ends at position `end`."""
    table = torch.from_numpy(MAY_BEGIN).to(positions.device)
    return table[positions % STEPS] & (positions < end)


def rows(table: Tensor, index: Tensor) -> Tensor:
    """Take the rows `index` `[B, K]` of tables `[B, P, D]`."""
    return table.gather(1, index[..., None].expand(-1, -1, table.shape[-1]))


def _cost(logits: Tensor, target: Tensor) -> Tensor:
    nats = F.cross_entropy(
        logits.flatten(0, 1), target.flatten(), reduction="none", ignore_index=NONE
    )
    return nats.view(target.shape)
