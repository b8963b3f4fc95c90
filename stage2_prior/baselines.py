"""Simple lines that a prior must be better than, written as notes on the bars of a song.

- Roots: on every beat, the root of the chord that the listener hears.
- Last bars of another song: the line of another song up to its last note, moved to these bars.
- Order-2 Markov: notes that are drawn after the two notes before them, as training songs have them.
  A note is how far it is above the root of its chord, how long it lasts, and when the next note
  begins. The chords are those that the listener hears.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from shared.codes.song_codes import SongCodes
from shared.music.bar_grid import STEPS, BarGrid
from shared.music.chord import Chord
from shared.music.known_grid import grid_of_facts
from shared.music.song_facts import SongChord
from stage2_prior.composer.grid_notes import LENGTHS, GridNotes
from stage2_prior.composer.material import known_line
from stage2_prior.composer.sampling import E1, G3
from stage2_prior.loudness import UNKNOWN_LOUDNESS

ROOTS = "roots of the heard chords, on the beat"
LAST_BARS = "last bars of another song"
MARKOV = "order-2 Markov line on the heard chords"
NAIVE = "plain encoder-decoder on the codes"  # the folder naive/; it writes no notes

ORDER = 2
_LONGEST_GAP = 8 * STEPS  # positions between the beginnings of two notes of a Markov line


@dataclass(frozen=True)
class _Step:
    """A note of a Markov chain: semitones above the root, length, and positions to the next one."""

    degree: int
    length: int
    gap: int


_Context = tuple[_Step, ...]  # the notes before, at most ORDER


def roots_on_beats(chords: Sequence[Chord], grid: BarGrid) -> GridNotes:
    """Play the root of the chord on every beat under a chord, in the lowest octave of a bass."""
    roots = [_root_at(chords, float(grid.time_of(STEPS * b + 1))) for b in range(len(grid.beats))]
    played = [(STEPS * beat, root) for beat, root in enumerate(roots[:-1]) if root is not None]
    return _grid_notes([(onset, STEPS, E1 + (root - E1) % 12) for onset, root in played])


def last_bars(line: GridNotes, source: BarGrid, target: BarGrid) -> GridNotes:
    """Play the last bars of a line on other bars.

    The last bar is the one in which the last note begins. If there are fewer bars than are needed,
    they begin anew. What does not fit into a shorter bar is left out.

    Args:
        line: the line.
        source: its bars.
        target: the bars to play it on.
    """
    bars = source.bar_of(line.onset)
    if len(line) == 0 or bars[-1] < 0:
        return _grid_notes([])
    place = source.place_in_bar(line.onset)
    usual = STEPS * target.beats_per_bar
    starts = STEPS * target.bar_starts
    starts = np.concatenate(([starts[0] - usual], starts))  # the bar whose beginning is missing
    ends = np.append(starts[1:], starts[-1] + usual)
    notes = []
    for index, (start, end) in enumerate(zip(starts.tolist(), ends.tolist(), strict=True)):
        wanted = (int(bars[-1]) - (len(starts) - 1 - index)) % (int(bars[-1]) + 1)
        for note in np.flatnonzero(bars == wanted):
            onset = start + int(place[note])
            if 0 <= onset < min(end, target.positions):
                notes.append((onset, int(line.length[note]), int(line.pitch[note])))
    return _grid_notes(notes)


@dataclass(frozen=True, eq=False)
class MarkovLine:
    """Which notes follow which in the lines of songs.

    Attributes:
        following: the notes that followed one to ORDER notes, and those that occurred at all, which
            follow no note. Frequent notes are repeated.
    """

    following: dict[_Context, list[_Step]]

    @classmethod
    def learn(cls, songs: Iterable[SongCodes]) -> "MarkovLine | None":
        """Learn from the songs whose bass, chords and beats are known; None if there are none."""
        following: dict[_Context, list[_Step]] = defaultdict(list)
        for song in songs:
            for phrase in _phrases(song):
                for index, step in enumerate(phrase):
                    for order in range(min(index, ORDER) + 1):
                        following[phrase[index - order : index]].append(step)
        return cls(dict(following)) if following else None

    def draw(self, chords: Sequence[Chord], grid: BarGrid, seed: int) -> GridNotes:
        """Draw a line from the first downbeat on."""
        chance = np.random.default_rng(seed)
        context: _Context = ()
        notes: list[tuple[int, int, int]] = []
        onset, pitch = STEPS * int(grid.bar_starts[0]), (E1 + G3) // 2
        while onset < grid.positions:
            while context not in self.following:  # nothing followed these notes
                context = context[1:]
            choices = self.following[context]
            step = choices[chance.integers(len(choices))]
            root = _root_at(chords, float(grid.time_of(onset + 1)))
            if root is not None:
                pitch = _nearest(root + step.degree, pitch)
                notes.append((onset, step.length, pitch))
            onset += step.gap
            context = (*context, step)[-ORDER:]
        return _grid_notes(notes)


def _phrases(song: SongCodes) -> list[_Context]:
    """Cut the line of a song into runs of notes whose chords are known."""
    notes, grid = known_line(song), grid_of_facts(song.facts, song.duration)
    if notes is None or grid is None:
        return []
    line = GridNotes.quantise(notes, grid)
    gaps = np.diff(line.onset, append=line.end[-1:])
    phrases: list[list[_Step]] = [[]]
    for onset, length, pitch, gap in zip(
        line.onset.tolist(), line.length.tolist(), line.pitch.tolist(), gaps.tolist(), strict=True
    ):
        root = _root_at(song.facts.chords, float(grid.time_of(onset + 1)))
        if root is None:
            phrases.append([])
        else:
            phrases[-1].append(_Step((pitch - root) % 12, length, min(gap, _LONGEST_GAP)))
    return [tuple(phrase) for phrase in phrases]


def _grid_notes(notes: Sequence[tuple[int, int, int]]) -> GridNotes:
    """Make a line of notes (onset, length, pitch), each of which ends where the next one begins."""
    kept: list[tuple[int, int, int]] = []
    for note in sorted(notes):
        if not kept or note[0] - kept[-1][0] >= LENGTHS[0]:
            kept.append(note)
    onset, length, pitch = np.array(kept, np.int64).reshape(-1, 3).T
    following = np.append(onset[1:], onset[-1:] + LENGTHS[-1])
    unknown: npt.NDArray[np.int64] = np.full(len(onset), UNKNOWN_LOUDNESS)
    return GridNotes(onset, np.minimum(length, following - onset), pitch, unknown)


def _root_at(chords: Sequence[Chord | SongChord], time: float) -> int | None:
    return next((chord.root for chord in chords if chord.start <= time < chord.end), None)


def _nearest(pitch_class: int, before: int) -> int:
    """Return the pitch of a class that is nearest to the one before, within the usual range."""
    pitches = [pitch for pitch in range(E1, G3 + 1) if (pitch - pitch_class) % 12 == 0]
    return min(pitches, key=lambda pitch: abs(pitch - before))
