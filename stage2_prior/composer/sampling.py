"""Write lines: sample the notes of many candidates at once, and rank them.

Some rules hold by construction, so that they need not be learned: a note lasts at least a sixteenth
triplet and begins at a sixteenth or a triplet, every pitch is one that is allowed, notes that the
user gives are kept, and where the user gives chords, each is opened by its bass.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from shared.device import one_thread
from shared.errors import require
from shared.music.bar_grid import BarGrid
from stage2_prior.cached_decoder import CachedDecoder
from stage2_prior.composer.agreement import agreement
from stage2_prior.composer.grid_notes import (
    LENGTHS,
    LOWEST,
    PITCHES,
    GridNotes,
    length_class,
)
from stage2_prior.composer.network import (
    HORIZON,
    NOTHING,
    UNKNOWN,
    Composer,
    PastNotes,
    may_begin,
)
from stage2_prior.drawing import draw
from stage2_prior.pitch_range import E1, G3, require_range
from stage2_prior.sampling_defaults import SamplingDefaults

LONGEST = int(LENGTHS[-1])
# A step moves at least this far on average; the decoder has room for as many steps.
STEPS_A_POSITION = 0.5


@dataclass(frozen=True, eq=False)
class Rules:
    """What a line must keep to, at each of the P positions of a song.

    Attributes:
        allowed: the pitches from LOWEST to HIGHEST that a note may have that begins there
            `[P, PITCHES]`.
        must_begin: whether a note must begin there, because a chord of the user does `[P]`. Notes
            before it do not sound on.
        open: where the line is free `[P]`. Elsewhere it has the notes of `given`.
        given: notes that the user gives, in the order of their onsets.
        leaning: what is added to the logits of the pitches `[P, PITCHES]`.
    """

    allowed: npt.NDArray[np.bool_]
    must_begin: npt.NDArray[np.bool_]
    open: npt.NDArray[np.bool_]
    given: GridNotes
    leaning: npt.NDArray[np.float32]

    @classmethod
    def of_range(cls, positions: int, lowest: int = E1, highest: int = G3) -> "Rules":
        """Allow all pitches of a range, in MIDI numbers.

        Raises:
            UserError: see `require_range`.
        """
        require_range(lowest, highest)
        pitches = np.arange(LOWEST, LOWEST + PITCHES)
        none = np.zeros(0, np.int64)
        return cls(
            allowed=np.tile((pitches >= lowest) & (pitches <= highest), (positions, 1)),
            must_begin=np.zeros(positions, np.bool_),
            open=np.ones(positions, np.bool_),
            given=GridNotes(none, none, none, none),
            leaning=np.zeros((positions, PITCHES), np.float32),
        )

    def with_chords(
        self, pitch_classes: npt.NDArray[np.bool_], must_begin: npt.NDArray[np.bool_]
    ) -> "Rules":
        """Allow only what the chords of the user allow.

        Args:
            pitch_classes: the pitch classes that a note may have `[P, 12]`.
            must_begin: where a note must begin `[P]`.

        Raises:
            UserError: the range of the line has no pitch that a chord allows.
        """
        allowed = self.allowed & pitch_classes[:, np.arange(LOWEST, LOWEST + PITCHES) % 12]
        require(
            bool(allowed.any(1).all()),
            "no pitch of a chord lies within the range of the line: widen --lowest to --highest",
        )
        return replace(self, allowed=allowed, must_begin=must_begin)

    def with_given(self, given: GridNotes, open: npt.NDArray[np.bool_]) -> "Rules":
        """Give the notes of the line wherever `open` `[P]` is false."""
        return replace(self, given=given, open=open)

    def leaning_to(self, leaning: npt.NDArray[np.floating]) -> "Rules":
        """Add weights of pitch classes `[P, 12]`, as logits."""
        of_pitch = leaning[:, np.arange(LOWEST, LOWEST + PITCHES) % 12]
        return replace(self, leaning=(self.leaning + of_pitch).astype(np.float32))


@dataclass(frozen=True, eq=False)
class ComposedLine:
    """A candidate.

    Attributes:
        notes: its notes.
        log_prob: log-probability of its free notes in nats, given the song.
        log_prob_alone: the same without what the listener hears, but on the same bars.
        fit: how well it agrees with what the listener hears (agreement.py); higher is better.
    """

    notes: GridNotes
    log_prob: float
    log_prob_alone: float
    fit: float


@torch.inference_mode()
def compose(
    composer: Composer,
    features: npt.NDArray[np.float32],
    grid: BarGrid,
    rules: Rules,
    settings: SamplingDefaults,
    candidates: int,
    seed: int,
) -> list[ComposedLine]:
    """Sample lines for a song.

    Args:
        composer: a composer in eval mode.
        features: what the listener hears at each position `[P, FEATURES]` (features.py).
        grid: the beats and bars of the song, with P positions.
        rules: what the lines must keep to.
        settings: `note_temperature`, `guidance`, and which tokens to cut off.
        candidates: how many lines to write.
        seed: the seed of the random numbers.

    Returns:
        The lines; the one that fits the song best comes first.
    """
    device = composer.heard_pitch.device
    place = torch.from_numpy(grid.place_in_bar(np.arange(grid.positions)))[None].to(device)
    seen = torch.from_numpy(features)[None].to(device)
    hidden = torch.tensor([True, False], device=device)
    songs = composer.reader(seen.expand(2, -1, -1), place.expand(2, -1), hidden)
    heard = torch.cat((torch.zeros_like(seen), seen))
    writer = _Writer(composer, songs, heard, place, rules, settings, candidates, seed)
    with one_thread():
        lines = writer.write()
    return sorted(lines, key=lambda line: line.fit, reverse=True)


class _Writer:
    """Writes C candidates together, one note of each in every step.

    The decoder runs them twice in one batch: without what the listener hears, and with it. Row v of
    an array `[2, C, ...]` belongs to the version v.
    """

    def __init__(
        self,
        composer: Composer,
        songs: Tensor,
        heard: Tensor,
        place: Tensor,
        rules: Rules,
        settings: SamplingDefaults,
        candidates: int,
        seed: int,
    ) -> None:
        self.composer, self.songs, self.heard = composer, songs, heard
        self.settings, self.count = settings, candidates
        self.device = songs.device
        self.choices = composer.onset_choices(songs, place)
        self.end = songs.shape[1]
        # Positions after the end read as the last one, and allow nothing.
        self.choices = F.pad(self.choices, (0, 0, 0, LONGEST + HORIZON))
        self.generator = torch.Generator(self.device).manual_seed(seed)
        self.rules = _Tables(rules, self.device)
        steps = int(self.end * STEPS_A_POSITION) + HORIZON
        self.decoder = CachedDecoder(composer.decoder, 2 * candidates, steps)
        self.candidate = torch.arange(candidates, device=self.device)

    def write(self) -> list[ComposedLine]:
        zeros = torch.zeros(self.count, dtype=torch.long, device=self.device)
        past = PastNotes(
            zeros + PITCHES, zeros + len(LENGTHS), zeros + UNKNOWN, zeros + HORIZON, zeros
        )
        log_probs = torch.zeros(2, self.count, device=self.device)
        written: list[tuple[Tensor, Tensor, Tensor, Tensor, Tensor]] = []
        while bool((past.cursor < self.end).any()) and self.decoder.position < self.decoder.steps:
            live = past.cursor < self.end
            cursor = past.cursor.clamp_max(self.end - 1)
            state = self._advance(past, cursor)
            gap, cost = self._onset(state, cursor)
            begins = live & (gap != NOTHING)
            onset = (cursor + gap).clamp_max(self.end - 1)
            forced = self.rules.given_at[onset]  # the number of the note that is given, or -1
            choice = self.composer.choice(state, self.songs[:, onset], gap.expand(2, -1))
            pitch, more = self._pitch(choice, onset, forced)
            cost = cost + more * begins
            length, more = self._length(choice, pitch, onset, forced)
            cost = cost + more * begins
            loudness = self._loudness(choice, pitch, length, forced)
            # What the user gives says nothing about how well a line fits.
            free = live & (~begins | (forced < 0))
            log_probs += cost * free
            written.append((begins, onset, pitch, length, loudness))
            table = torch.from_numpy(LENGTHS).to(self.device)
            end = torch.where(begins, onset + table[length], cursor + HORIZON)
            past = PastNotes(
                torch.where(begins, pitch, PITCHES),
                torch.where(begins, length, len(LENGTHS)),
                torch.where(begins, loudness, UNKNOWN),
                gap,
                torch.where(live, end, past.cursor),
            )
        return [self._line(written, log_probs, c) for c in range(self.count)]

    def _advance(self, past: PastNotes, cursor: Tensor) -> Tensor:
        """Run a step of the decoder; return the states `[2, C, D]`."""
        past = past._replace(cursor=cursor)
        both = PastNotes(*(each.repeat(2)[:, None] for each in past))
        song = self.songs[:, cursor].flatten(0, 1)[:, None]
        x = self.composer.embed(both, song)
        return self.decoder.advance(x, both.cursor.float())[:, 0].unflatten(0, (2, self.count))

    def _onset(self, state: Tensor, cursor: Tensor) -> tuple[Tensor, Tensor]:
        """Choose the gaps `[C]`; return them and their log-probabilities `[2, C]`."""
        ahead = cursor[:, None] + torch.arange(HORIZON, device=self.device)
        logits = self.composer.onset_logits(state, self.choices[:, ahead])
        must = self.rules.must_begin[ahead]
        none_missed = (must.cumsum(1) - must.int()) == 0
        allowed = ((may_begin(ahead, self.end) & self.rules.open[ahead]) | must) & none_missed
        allowed = torch.cat((allowed, ~must.any(1, keepdim=True)), dim=1)
        logits = logits.masked_fill(~allowed, -torch.inf)
        gap = self._draw(logits)
        return gap, _log_prob(logits, gap)

    def _pitch(self, choice: Tensor, onset: Tensor, forced: Tensor) -> tuple[Tensor, Tensor]:
        logits = self.composer.pitch_logits(choice, self.heard[:, onset])
        logits = logits + self.rules.leaning[onset]
        logits = logits.masked_fill(~self.rules.allowed[onset], -torch.inf)
        pitch = torch.where(forced >= 0, self.rules.given_pitch[forced], self._draw(logits))
        return pitch, _log_prob(logits, pitch)

    def _length(
        self, choice: Tensor, pitch: Tensor, onset: Tensor, forced: Tensor
    ) -> tuple[Tensor, Tensor]:
        logits = self.composer.length_logits(choice, pitch.expand(2, -1))
        room = self.rules.room[onset][:, None]
        fits = torch.from_numpy(LENGTHS).to(self.device) <= room
        fits[:, 0] = True  # a note that begins lasts at least the shortest length
        logits = logits.masked_fill(~fits, -torch.inf)
        length = torch.where(forced >= 0, self.rules.given_length[forced], self._draw(logits))
        return length, _log_prob(logits, length)

    def _loudness(self, choice: Tensor, pitch: Tensor, length: Tensor, forced: Tensor) -> Tensor:
        logits = self.composer.loudness_logits(choice, pitch.expand(2, -1), length.expand(2, -1))
        given = self.rules.given_loudness[forced]
        return torch.where((forced >= 0) & (given >= 0), given, self._draw(logits))

    def _draw(self, logits: Tensor) -> Tensor:
        """Draw from guided logits: those without the song and with it `[2, C, n]`."""
        scale = self.settings.guidance
        alone, with_song = logits.log_softmax(-1)
        guided = torch.where(with_song.isinf(), with_song, alone + scale * (with_song - alone))
        guided = guided.log_softmax(-1)
        return draw(guided, self.settings.note_temperature, self.settings, self.generator)

    def _line(
        self, written: Sequence[tuple[Tensor, ...]], log_probs: Tensor, index: int
    ) -> ComposedLine:
        begins, onset, pitch, length, loudness = (
            torch.stack([step[each][index] for step in written]).cpu().numpy() for each in range(5)
        )
        notes = GridNotes(onset, LENGTHS[length], pitch + LOWEST, loudness).select(begins)
        fit = agreement(notes, self.heard[1].cpu().numpy())
        return ComposedLine(notes, float(log_probs[1, index]), float(log_probs[0, index]), fit)


class _Tables:
    """The rules as tensors with room after the end of the song."""

    def __init__(self, rules: Rules, device: torch.device) -> None:
        positions = len(rules.allowed)
        after = LONGEST + HORIZON
        self.allowed = torch.from_numpy(rules.allowed).to(device)
        self.leaning = torch.from_numpy(rules.leaning).to(device)
        self.open = torch.from_numpy(np.pad(rules.open, (0, after))).to(device)
        given_at = np.full(positions + after, -1, np.int64)
        inside = (rules.given.onset >= 0) & (rules.given.onset < positions)
        given = rules.given.select(inside)
        given_at[given.onset] = np.arange(len(given))
        self.given_at = torch.from_numpy(given_at).to(device)
        # One entry more, which a note that is not given (-1) reads.
        self.given_pitch = _with_one_more(given.pitch - LOWEST, device)
        self.given_length = _with_one_more(length_class(given.length), device)
        self.given_loudness = _with_one_more(given.loudness, device)
        must_begin = rules.must_begin & rules.open
        must_begin[given.onset] = True
        self.must_begin = torch.from_numpy(np.pad(must_begin, (0, after))).to(device)
        # How far a note may sound: to the next note that is given, the end of the free part, the
        # next chord, or the end of the song.
        stops = np.zeros(positions + 1, np.bool_)
        stops[positions] = True
        stops[:-1] |= must_begin | ~rules.open
        index = np.where(stops, np.arange(positions + 1), positions)
        following = np.minimum.accumulate(index[::-1])[::-1]
        room = following[1:] - np.arange(positions)
        self.room = torch.from_numpy(room.astype(np.int64)).to(device)


def _with_one_more(values: npt.NDArray[np.int64], device: torch.device) -> Tensor:
    return torch.from_numpy(np.append(values, -1).astype(np.int64)).to(device)


def _log_prob(logits: Tensor, chosen: Tensor) -> Tensor:
    """Return the log-probability of `chosen` `[C]` under logits `[2, C, n]`."""
    found = logits.log_softmax(-1).gather(-1, chosen.expand(2, -1)[..., None])[..., 0]
    return torch.where(found.isfinite(), found, 0.0)
