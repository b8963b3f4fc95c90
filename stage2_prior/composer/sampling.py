"""Write lines: sample the notes of many candidates at once, and rank them.

Some rules hold by construction, so that they need not be learned: a note lasts at least a sixteenth
triplet and begins at a sixteenth or a triplet, every pitch is one that is allowed, notes that the
user gives are kept, and where the user gives chords, each is opened by its bass.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from shared.device import one_thread
from shared.errors import require
from shared.music.bar_grid import BarGrid
from stage2_prior.cached_decoder import CachedDecoder
from stage2_prior.composer.agreement import agreement, sounds_enough
from stage2_prior.composer.features import PITCH_CLASS
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
from stage2_prior.composer.read_song import ReadSong
from stage2_prior.drawing import draw_with, gumbel_noise
from stage2_prior.pitch_range import E1, G3, require_range
from stage2_prior.sampling_defaults import SamplingDefaults

LONGEST = int(LENGTHS[-1])
# A step moves at least this far on average; the decoder has room for as many steps.
STEPS_A_POSITION = 0.5
SHORTEST = 0.08  # s; a shorter note is a click, and at fast tempi the grid has such lengths
# How many notes a step remembers. In training it sees 32 bars, which are fewer notes in all but the
# densest lines.
MEMORY = 512
# Lines have different numbers of notes. Those that have ended are left out of the batch when only
# this share of it, or less, goes on.
MOST_LASTING = 0.8


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
        leaning: what is added to the logits of the pitches of each pitch class `[P, 12]`.
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
            leaning=np.zeros((positions, 12), np.float32),
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
        allowed = self.allowed & pitch_classes[:, PITCH_CLASS]
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
        return replace(self, leaning=(self.leaning + leaning).astype(np.float32))


@dataclass(frozen=True, eq=False)
class ComposedLine:
    """A candidate.

    Attributes:
        notes: its notes.
        log_prob: log-probability of its free notes in nats, given the song.
        fit: how well it agrees with what the listener hears (agreement.py); higher is better.
        count_alone: computes `log_prob_alone`, which is asked for of few candidates only.
    """

    notes: GridNotes
    log_prob: float
    fit: float
    count_alone: Callable[[], float]

    @property
    def log_prob_alone(self) -> float:
        """The log-probability without what the listener hears, but on the same bars."""
        return self.count_alone()


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
        The lines; the one that fits the song best comes first, and those that hardly sound last.
    """
    device = composer.heard_pitch.device
    place = torch.from_numpy(grid.place_in_bar(np.arange(grid.positions))).to(device)
    seen = torch.from_numpy(features).to(device)
    tables = _Tables(rules, grid, device)

    @cache
    def reader(*hidden: bool) -> _Reader:
        """Read the song in versions of which some are hidden."""
        versions = torch.tensor(hidden, device=device)
        return _Reader(composer, ReadSong(composer, seen, place, versions), tables)

    # The guidance compares two versions of the song.
    versions = (False,) if settings.guidance == 1 else (True, False)
    writer = _Writer(composer, reader(*versions), settings, seed)
    with one_thread():
        written = writer.write(candidates)
    lines = []
    for steps, log_prob in written:
        notes = _notes(steps)
        count_alone = partial(_log_prob_of, composer, reader, steps)
        lines.append(ComposedLine(notes, log_prob, agreement(notes, features), count_alone))
    return sorted(
        lines, key=lambda line: (sounds_enough(line.notes, features), line.fit), reverse=True
    )


class _Step(NamedTuple):
    """The choices of a step, for each of C lines `[C]`.

    Attributes:
        past: the step before, and the position from which the next note may begin.
        gap: how many positions later it begins.
        pitch: its number above LOWEST.
        length: the number of its length in LENGTHS.
        loudness: its loudness.
        begins: whether a note begins in this step.
        onset: where it does.
        free: whether what the step costs says how well a line fits; what the user gives does not,
            and the line has not ended.
    """

    past: PastNotes
    gap: Tensor
    pitch: Tensor
    length: Tensor
    loudness: Tensor
    begins: Tensor
    onset: Tensor
    free: Tensor


class _Reader:
    """The logits of the choices of lines, given the song or given its bars alone.

    Row v of an array `[V, C, ...]` belongs to version v of the song: without what the listener
    hears, with it, or both in this order.
    """

    def __init__(self, composer: Composer, song: ReadSong, rules: "_Tables") -> None:
        self.composer, self.song, self.rules = composer, song, rules
        self.versions, self.end, self.device = song.versions, song.end, song.device
        self.lengths = torch.from_numpy(LENGTHS).to(self.device)

    def embed(self, past: PastNotes) -> Tensor:
        """Make the decoder's input at the cursors `[N]` of N steps `[V, N, D]`."""
        each = PastNotes(*(values.expand(self.versions, -1) for values in past))
        return self.composer.embed(each, self.song.at(past.cursor))

    def onset(self, state: Tensor, cursor: Tensor) -> Tensor:
        """Return the logits of the gaps `[V, C, HORIZON + 1]`."""
        ahead = cursor[:, None] + torch.arange(HORIZON, device=self.device)
        logits = self.composer.onset_logits(state, self.song.onset_choices(ahead))
        must = self.rules.must_begin[ahead]
        none_missed = (must.cumsum(1) - must.int()) == 0
        allowed = ((may_begin(ahead, self.end) & self.rules.open[ahead]) | must) & none_missed
        allowed = torch.cat((allowed, ~must.any(1, keepdim=True)), dim=1)
        return logits.masked_fill(~allowed, -torch.inf)

    def choice(self, state: Tensor, onset: Tensor, gap: Tensor) -> Tensor:
        """Prepare the choice of pitch, length and loudness `[V, C, 3 D]`."""
        return self.composer.choice(state, self.song.at(onset), gap.expand(self.versions, -1))

    def pitch(self, choice: Tensor, onset: Tensor) -> Tensor:
        """Return the logits of the pitches `[V, C, PITCHES]`."""
        logits = self.composer.pitch_logits(choice, self.song.heard(onset))
        logits = logits + self.rules.leaning[onset][:, PITCH_CLASS]
        return logits.masked_fill(~self.rules.allowed[onset], -torch.inf)

    def length(self, choice: Tensor, pitch: Tensor, onset: Tensor) -> Tensor:
        """Return the logits of the lengths `[V, C, len(LENGTHS)]`."""
        logits = self.composer.length_logits(choice, pitch.expand(self.versions, -1))
        fits = self.lengths <= self.rules.room[onset][:, None]
        fits &= self.lengths >= self.rules.shortest[onset][:, None]
        fits[:, 0] |= ~fits.any(1)  # in too little room, a note has the shortest length of all
        return logits.masked_fill(~fits, -torch.inf)

    def loudness(self, choice: Tensor, pitch: Tensor, length: Tensor) -> Tensor:
        """Return the logits of the loudnesses `[V, C, LOUDNESSES]`."""
        both = (each.expand(self.versions, -1) for each in (pitch, length))
        return self.composer.loudness_logits(choice, *both)

    def cost(self, state: Tensor, step: _Step) -> Tensor:
        """Return the log-probabilities of what is free in the choices of a step `[C]`.

        There must be one version.
        """
        cost = _log_prob(self.onset(state, step.past.cursor)[0], step.gap)
        choice = self.choice(state, step.onset, step.gap)
        more = _log_prob(self.pitch(choice, step.onset)[0], step.pitch)
        more = more + _log_prob(self.length(choice, step.pitch, step.onset)[0], step.length)
        return (cost + more * step.begins) * step.free


class _Writer:
    """Writes C candidates together, one note of each in every step.

    The guidance compares two versions of the song. Where there is none, the version without what
    the listener hears is left out, which takes half the time.
    """

    def __init__(
        self, composer: Composer, reader: _Reader, settings: SamplingDefaults, seed: int
    ) -> None:
        self.composer, self.reader, self.settings = composer, reader, settings
        self.rules, self.end = reader.rules, reader.end
        self.device = reader.device
        self.generator = torch.Generator(self.device).manual_seed(seed)

    def write(self, count: int) -> list[tuple[_Step, float]]:
        """Write so many candidates; return the steps of each, and its log-probability."""
        versions = self.reader.versions
        decoder = _decoder(self.composer, versions * count, self.end)
        zeros = torch.zeros(count, dtype=torch.long, device=self.device)
        past = PastNotes(
            zeros + PITCHES, zeros + len(LENGTHS), zeros + UNKNOWN, zeros + HORIZON, zeros
        )
        log_probs = torch.zeros(count, device=self.device)
        written = _Written(decoder.steps, count)
        self.count, self.lines = count, torch.arange(count, device=self.device)
        while decoder.position < decoder.steps:
            live = past.cursor < self.end
            lasting = int(live.sum())
            if not lasting:
                break
            if lasting <= MOST_LASTING * len(self.lines):
                kept = live.nonzero()[:, 0]
                rows = len(self.lines) * torch.arange(versions, device=self.device)[:, None] + kept
                decoder.keep(rows.flatten())
                past, live = PastNotes(*(each[kept] for each in past)), live[kept]
                self.lines = self.lines[kept]
            past = past._replace(cursor=past.cursor.clamp_max(self.end - 1))
            x = self.reader.embed(past).flatten(0, 1)[:, None]
            cursors = past.cursor.float().repeat(versions)[:, None]
            state = decoder.advance(x, cursors)[:, 0].unflatten(0, (versions, len(self.lines)))
            step, cost = self._choose(state, past, live)
            written.put(decoder.position - 1, self.lines, step)
            log_probs[self.lines] += cost
            past = self._after(step, live)
        return [(written.line(number), cost) for number, cost in enumerate(log_probs.tolist())]

    def _choose(self, state: Tensor, past: PastNotes, live: Tensor) -> tuple[_Step, Tensor]:
        """Make the choices of a step; return their log-probabilities `[C]` given the song, too."""
        gaps = self.reader.onset(state, past.cursor)
        gap = self._draw(gaps)
        begins = live & (gap != NOTHING)
        onset = (past.cursor + gap).clamp_max(self.end - 1)
        forced = self.rules.given_at[onset]  # the number of the note that is given, or -1
        choice = self.reader.choice(state, onset, gap)
        pitches = self.reader.pitch(choice, onset)
        pitch = torch.where(forced >= 0, self.rules.given_pitch[forced], self._draw(pitches))
        lengths = self.reader.length(choice, pitch, onset)
        length = torch.where(forced >= 0, self.rules.given_length[forced], self._draw(lengths))
        loudness = self._draw(self.reader.loudness(choice, pitch, length))
        given = self.rules.given_loudness[forced]
        loudness = torch.where((forced >= 0) & (given >= 0), given, loudness)
        free = live & (~begins | (forced < 0))
        cost = _log_prob(gaps[-1], gap)
        cost = cost + (_log_prob(pitches[-1], pitch) + _log_prob(lengths[-1], length)) * begins
        return _Step(past, gap, pitch, length, loudness, begins, onset, free), cost * free

    def _after(self, step: _Step, live: Tensor) -> PastNotes:
        """Return what the next step knows of this one."""
        cursor = step.past.cursor
        end = torch.where(
            step.begins, step.onset + self.reader.lengths[step.length], cursor + HORIZON
        )
        return PastNotes(
            torch.where(step.begins, step.pitch, PITCHES),
            torch.where(step.begins, step.length, len(LENGTHS)),
            torch.where(step.begins, step.loudness, UNKNOWN),
            step.gap,
            torch.where(live, end, self.end),
        )

    def _draw(self, logits: Tensor) -> Tensor:
        """Draw from guided logits `[V, C, n]`."""
        *alone, guided = logits.log_softmax(-1)
        if alone:
            scale = self.settings.guidance
            guided = torch.where(
                guided.isinf(), guided, alone[0] + scale * (guided - alone[0])
            ).log_softmax(-1)
        # Noise is drawn for all candidates, so that a line does not depend on which others last.
        noise = gumbel_noise((self.count, guided.shape[-1]), self.generator)[self.lines]
        return draw_with(noise, guided, self.settings.note_temperature, self.settings)


def _decoder(composer: Composer, batch: int, positions: int) -> CachedDecoder:
    steps = int(positions * STEPS_A_POSITION) + HORIZON
    return CachedDecoder(composer.decoder, batch, steps, MEMORY)


class _Written:
    """The steps of lines while they are written, in arrays that are made once.

    Kept one by one, hundreds of thousands of small tensors would lie among the large ones that each
    step makes and frees, and the memory between them could not be used.
    """

    def __init__(self, steps: int, lines: int) -> None:
        """Make room for so many steps of so many lines."""
        self._shape = (steps, lines)
        self._arrays: list[Tensor] = []

    def put(self, number: int, lines: Tensor, step: _Step) -> None:
        """Store what step `number` is of some lines, whose numbers are given."""
        fields = (*step.past, *step[1:])
        if not self._arrays:
            self._arrays = [
                field.new_zeros(self._shape, dtype=field.dtype if _is_bool(field) else torch.int32)
                for field in fields
            ]
        for array, field in zip(self._arrays, fields, strict=True):
            array[number, lines] = field.to(array.dtype)

    def line(self, number: int) -> _Step:
        """Return the N steps of a line until it ends, as if they were N lines `[N]`, as stored."""
        whole = _step_of([array[:, number] for array in self._arrays])
        lasts = whole.begins | whole.free
        return _mapped(lambda field: field[lasts], whole)


def _computable(line: _Step, part: slice) -> _Step:
    """Return some of the stored steps of a line, with the numbers that networks read."""
    return _mapped(lambda field: field[part] if _is_bool(field) else field[part].long(), line)


def _mapped(change: Callable[[Tensor], Tensor], step: _Step) -> _Step:
    """Change all fields of a step."""
    return _step_of([change(field) for field in (*step.past, *step[1:])])


def _step_of(fields: Sequence[Tensor]) -> _Step:
    """Make a step of its fields, those of the past first."""
    past = len(PastNotes._fields)
    return _Step(PastNotes(*fields[:past]), *fields[past:])


def _is_bool(field: Tensor) -> bool:
    return field.dtype == torch.bool


def _notes(line: _Step) -> GridNotes:
    onset, pitch, length, loudness = (
        each[line.begins].cpu().numpy().astype(np.int64)
        for each in (line.onset, line.pitch, line.length, line.loudness)
    )
    return GridNotes(onset, LENGTHS[length], pitch + LOWEST, loudness)


@torch.inference_mode()
def _log_prob_of(composer: Composer, read: Callable[[bool], _Reader], line: _Step) -> float:
    """Return the log-probability of a line without what the listener hears.

    Many of its steps are computed at once, because all choices are known.
    """
    reader = read(True)
    decoder = _decoder(composer, 1, reader.end)
    total = 0.0
    for first in range(0, len(line.gap), MEMORY):
        step = _computable(line, slice(first, first + MEMORY))
        state = decoder.advance(reader.embed(step.past), step.past.cursor.float())
        total += float(reader.cost(state, step).sum())
    return total


class _Tables:
    """The rules as tensors with room after the end of the song."""

    def __init__(self, rules: Rules, grid: BarGrid, device: torch.device) -> None:
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
        times = grid.time_of(np.arange(positions + LONGEST))
        enough = np.searchsorted(times, times[:positions] + SHORTEST - 1e-6)
        self.shortest = torch.from_numpy(enough - np.arange(positions)).to(device)


def _with_one_more(values: npt.NDArray[np.int64], device: torch.device) -> Tensor:
    return torch.from_numpy(np.append(values, -1).astype(np.int64)).to(device)


def _log_prob(logits: Tensor, chosen: Tensor) -> Tensor:
    """Return the log-probability of `chosen` `[C]` under logits `[C, n]`."""
    found = logits.log_softmax(-1).gather(-1, chosen[..., None])[..., 0]
    return torch.where(found.isfinite(), found, 0.0)
