"""The form of a bass line, measured on its notes: what it looks like on paper.

The other figures (bass_metrics.py) judge the sound of a line. These judge the notes that it is said
to consist of, which a MIDI file holds, and whether the sound has them. Times are seconds from the
beginning of the line. A figure is nan where nothing can be counted for it.

- Short notes: the share of the notes that last less than 80 ms. A note that the end of the line
  cuts off is not counted.
- Wide leaps: the share of the intervals between neighbouring notes that are larger than an octave.
- Outside the range: the share of the notes below E1 or above G3.
- Repetition: the share of the bars whose rhythm equals that of the bar 1, 2, 4 or 8 bars earlier.
  The rhythm of a bar is the set of places at which its notes begin. The places are rounded to
  sixteenths or to the triplets of eighths, whichever fits the bar better. An onset up to half a
  sixteenth before a bar belongs to that bar. Only whole bars count, bars of different lengths are
  never equal, and a bar without onsets, or without any of these four bars before it, is not
  counted.
- Note onset F1: the onsets of the notes are compared with those of the song's own bass notes, one
  to one, within 50 ms.
- Disagreement: the share of frames in which sound and notes contradict each other. A frame of the
  pitch tracker (shared/music/pitch.py) counts where the sound has a pitch, and where the sound is
  quiet (40 dB below the loud frames) although a note lasts. It is a contradiction if the pitch is
  more than 50 cents from the pitch of the note, modulo octaves; if the sound has a pitch during a
  rest; and if the sound is quiet during a note. The tracker hears 93 ms at once, so a frame is
  right if it fits any note or rest within 46 ms of it. Loud frames without a pitch, such as
  attacks, are not counted.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from shared.music.bar_grid import STEPS, BarGrid
from shared.music.bass_metrics import onset_f1, sixteenths_per_beat
from shared.music.notes import Note
from shared.music.pitch import WINDOW, WORKING_RATE, PitchTrack
from shared.music.song_facts import SongFacts

SHORT = 0.08  # s
OCTAVE = 12  # semitones
TRIPLET = STEPS // 3  # positions in a triplet of eighths
LOOKBACK = (1, 2, 4, 8)  # bars
OFF_PITCH = 0.5  # semitones
BLUR = WINDOW / WORKING_RATE / 2  # s: how far from its centre a frame of the tracker hears
EDGE = 1e-6  # s, for times that are equal but for rounding

Floats = npt.NDArray[np.float64]
Rhythm = frozenset[int]


@dataclass(frozen=True)
class Range:
    """The pitches that a line may have, as MIDI numbers, both included."""

    lowest: int = 28  # E1
    highest: int = 55  # G3


@dataclass(frozen=True)
class LineForm:
    """Figures of the notes of one line, which the module's docstring defines. All lie in 0..1."""

    short_notes: float
    wide_leaps: float
    outside_range: float
    repetition: float
    note_onset_f1: float
    disagreement: float


UNKNOWN_FORM = LineForm(*(float("nan") for _ in range(6)))


def measure_form(
    notes: Sequence[Note],
    track: PitchTrack,
    seconds: float,
    song: SongFacts,
    start: float = 0.0,
    allowed: Range = Range(),
) -> LineForm:
    """Measure the form of a line.

    Args:
        notes: the notes of the line, in the order of their onsets. The first may begin before it.
        track: the pitch of its sound.
        seconds: how long the line is.
        song: what is known of the song.
        start: where in the song the line begins, in seconds.
        allowed: the range that the notes should be in.
    """
    onsets = np.array([note.onset for note in notes if note.onset >= 0], np.float64)
    pitches = np.array([note.pitch for note in notes], np.float64)
    whole = [note.duration for note in notes if note.end < seconds - EDGE]
    return LineForm(
        short_notes=_share(duration < SHORT for duration in whole),
        wide_leaps=_share(np.abs(np.diff(pitches)) > OCTAVE),
        outside_range=_share((pitches < allowed.lowest) | (pitches > allowed.highest)),
        repetition=repetition(bar_rhythms(onsets + start, song, start, start + seconds)),
        note_onset_f1=onset_f1(onsets + start, song.bass_notes, start, start + seconds),
        disagreement=disagreement(track, notes),
    )


def bar_rhythms(onsets: Floats, song: SongFacts, start: float, end: float) -> list[Rhythm]:
    """Return the rhythm of each whole bar between two times of a song.

    A rhythm holds places in positions of the bar grid (shared/music/bar_grid.py), and the length of
    its bar as a negative number, so that bars of different lengths differ. Without beats, no bar is
    known.

    Args:
        onsets: times in the song, in seconds.
        song: what is known of the song.
        start: the beginning of the first bar that may count.
        end: the end of the last bar that may count.
    """
    if len(song.beats) < 2:
        return []
    grid = BarGrid.of(song.beats, song.downbeats, end)
    sixteenth = STEPS // sixteenths_per_beat(song)
    edges = STEPS * grid.bar_starts
    times = grid.time_of(edges)
    at = grid.position_of(onsets)
    rhythms = []
    for bar in range(len(edges) - 1):
        if times[bar] < start - EDGE or times[bar + 1] > end + EDGE:
            continue
        first, length = edges[bar], int(edges[bar + 1] - edges[bar])
        inside = (at >= first - sixteenth / 2) & (at < first + length - sixteenth / 2)
        rhythms.append(_rounded(at[inside] - first, sixteenth) | {-length})
    return rhythms


def repetition(rhythms: Sequence[Rhythm]) -> float:
    """Return the share of bars whose rhythm equals one of the earlier ones at LOOKBACK."""
    played = [any(place >= 0 for place in rhythm) for rhythm in rhythms]
    return _share(
        any(rhythm == rhythms[bar - back] for back in LOOKBACK if back <= bar)
        for bar, rhythm in enumerate(rhythms)
        if bar > 0 and played[bar]
    )


def disagreement(track: PitchTrack, notes: Sequence[Note]) -> float:
    """Return the share of frames in which the sound of a line does not have its notes.

    Args:
        track: the pitch of the sound.
        notes: the notes in the order of their onsets, without overlap.
    """
    begin = np.array([note.onset for note in notes], np.float64)
    end = np.array([note.end for note in notes], np.float64)
    pitch = np.array([note.pitch for note in notes], np.float64)
    times = track.times[:, None]
    near = (begin < times + BLUR) & (end > times - BLUR)  # [T, notes]
    pitched = ~np.isnan(track.pitch)
    away = np.nan_to_num(track.pitch)[:, None] - pitch
    nearest_octave = np.abs((away + OCTAVE / 2) % OCTAVE - OCTAVE / 2)
    fits_note = (near & (nearest_octave <= OFF_PITCH)).any(1)
    missing = track.quiet & ~_near_rest(track.times, begin, end)
    return _share(((pitched & ~fits_note) | missing)[pitched | missing])


def _near_rest(times: Floats, begin: Floats, end: Floats) -> npt.NDArray[np.bool_]:
    """Return in which frames a rest is within BLUR."""
    before = np.concatenate(([-np.inf], end))
    after = np.concatenate((begin, [np.inf]))
    resting = before < after - EDGE
    rests = (before < times[:, None] + BLUR) & (after > times[:, None] - BLUR)
    return np.asarray((rests & resting).any(1))


def _rounded(places: Floats, sixteenth: int) -> Rhythm:
    """Round places in a bar to the division of the beat that fits them better."""
    rounded = [step * np.round(places / step) for step in (sixteenth, TRIPLET)]
    fits = [float(np.abs(places - each).sum()) for each in rounded]
    better = rounded[0] if fits[0] <= fits[1] else rounded[1]
    return frozenset(better.astype(int).tolist())


def _share(hits: Iterable[object]) -> float:
    """Return the share of what is true; nan of nothing."""
    flags = np.array([bool(hit) for hit in hits])
    return float(flags.mean()) if len(flags) else float("nan")
