"""How well a bass line fits its song, judged by its audio alone.

Conventions. Pitch is librosa's pyin, attacks are librosa's spectral flux (shared/music/pitch.py); nothing
is read off codes. What is expected comes from song.json. A silent line scores 0, and a figure
whose question the song does not answer (no chords, no beats, no known notes) is nan.

- Root on downbeats: of the downbeats under a known chord, the share where the commonest pitch class
  from 40 to 160 ms after the downbeat is the chord's root, or the bass note of a slash chord. A
  downbeat on which nothing sounds is a miss.
- Chord tones: of the notes under a known chord, the share whose pitch class belongs to the chord
  that sounds 100 ms after the note's attack (or in its middle, if it is shorter), so that a
  note that anticipates its chord counts for it.
- Grid F1: the grid divides each beat into equal sixteenths: four, or six in 6/8, where a beat is a
  dotted quarter (beats, downbeats and time signature say so). An onset is on the grid if it lies
  within a quarter of a sixteenth, and 50 ms, of a point that no other onset has taken. A line
  need not play every sixteenth: recall counts only the points that are nearest to some onset. So
  the figure is the precision, lowered where one attack is struck twice. Onsets at random score
  about 0.5, and swung lines less than straight ones; read it beside the true bass's.
- Onset F1: against the song's own bass notes, one to one, within 50 ms (as mir_eval does).
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from shared.music.note_tracking import segment_notes
from shared.music.notes import Note
from shared.music.pitch import PitchTrack, track_pitch

FRAME_RATE = 43.0  # Hz, of the pitch track
DOWNBEAT_WINDOW = (0.04, 0.16)  # s after the downbeat
CHORD_LOOKAHEAD = 0.1  # s after the attack
ONSET_TOLERANCE = 0.05  # s
GRID_TOLERANCE = 0.25  # of a sixteenth
SILENCE_DB = -120.0

Times = npt.NDArray[np.float64]


@dataclass(frozen=True)
class BassFigures:
    """Figures of one line; shares and F1 lie in 0..1, see the module's conventions.

    voiced_share: share of the time in which a pitch sounds.
    lowest, highest: MIDI pitch of the notes heard, nan for none.
    rms_db: level in dBFS, SILENCE_DB at least.
    """

    root_on_downbeats: float
    chord_tones: float
    grid_f1: float
    onset_f1: float
    voiced_share: float
    num_notes: int
    lowest: float
    highest: float
    rms_db: float


def judge_bass(
    samples: npt.NDArray[np.float32], sample_rate: int, song: dict[str, Any], start: float = 0.0
) -> BassFigures:
    """Judge bass audio `[C, N]` that lies `start` seconds into the song of a song.json.

    The bass is taken to be what it is: without other instruments.
    """
    duration = samples.shape[1] / sample_rate
    track = track_pitch(samples, sample_rate, FRAME_RATE)
    notes = segment_notes(track)
    pitches = [note.pitch for note in notes]
    chords = [chord for chord in song.get("chords", []) if chord.get("root") is not None]
    mean_square = float(np.mean(np.square(samples, dtype=np.float64))) if samples.size else 0.0
    expected = song.get("bass_notes")
    return BassFigures(
        root_on_downbeats=_root_on_downbeats(track, song.get("downbeats", []), chords, start),
        chord_tones=_chord_tones(notes, chords, start),
        grid_f1=_grid_f1(track.onsets + start, _sixteenths(song)),
        onset_f1=np.nan
        if expected is None
        else _onset_f1(
            np.unique([n["onset"] for n in expected if start <= n["onset"] < start + duration]),
            track.onsets + start,
        ),
        voiced_share=float(np.mean(~np.isnan(track.pitch))),
        num_notes=len(notes),
        lowest=min(pitches, default=np.nan),
        highest=max(pitches, default=np.nan),
        rms_db=max(SILENCE_DB, 10 * float(np.log10(max(mean_square, 1e-30)))),
    )


def match_onsets(reference: Times, heard: Times, tolerance: float) -> int:
    """How many pairs, one to one, lie within `tolerance` seconds; both in ascending order.

    Taking the earliest pair first is best, because all tolerances are equal.
    """
    pairs = i = j = 0
    while i < len(reference) and j < len(heard):
        if abs(reference[i] - heard[j]) <= tolerance:
            pairs, i, j = pairs + 1, i + 1, j + 1
        elif reference[i] < heard[j]:
            i += 1
        else:
            j += 1
    return pairs


def _onset_f1(reference: Times, heard: Times) -> float:
    if not len(reference):
        return np.nan
    return 2 * match_onsets(reference, heard, ONSET_TOLERANCE) / (len(reference) + len(heard))


def _sixteenths(song: dict[str, Any]) -> Times:
    """Times of the sixteenths from the first beat to the last; none for fewer than two beats."""
    beats = np.asarray(song.get("beats", []), dtype=float)
    numerator, denominator = song.get("time_signature", (4, 4))
    downbeats = np.asarray(song.get("downbeats", []), dtype=float)
    bars = np.diff(np.searchsorted(beats, downbeats - 0.01))
    beats_per_bar = float(np.median(bars)) if len(bars) else numerator * 4 / denominator
    per_beat = max(1, round(16 * numerator / denominator / max(beats_per_bar, 1)))
    if len(beats) < 2:
        return np.empty(0)
    points = np.arange(per_beat * (len(beats) - 1) + 1) / per_beat
    return np.interp(points, np.arange(len(beats)), beats)


def _grid_f1(onsets: Times, grid: Times) -> float:
    if len(grid) < 2:
        return np.nan
    spacing = np.diff(grid, append=2 * grid[-1] - grid[-2])
    # Attacks before the first beat and after the last have no grid.
    onsets = onsets[(onsets > grid[0] - spacing[0] / 2) & (onsets < grid[-1] + spacing[-1] / 2)]
    if not len(onsets):
        return 0.0
    nearest = np.abs(onsets[:, None] - grid).argmin(1)
    tolerance = np.minimum(GRID_TOLERANCE * spacing[nearest], ONSET_TOLERANCE)
    on_grid = np.unique(nearest[np.abs(onsets - grid[nearest]) <= tolerance])
    return 2 * len(on_grid) / (len(onsets) + len(np.unique(nearest)))


def _chord_at(chords: list[dict[str, Any]], time: float) -> dict[str, Any] | None:
    return next((chord for chord in chords if chord["start"] <= time < chord["end"]), None)


def _chord_tones(notes: list[Note], chords: list[dict[str, Any]], start: float) -> float:
    if not chords:
        return np.nan
    hits = []
    for note in notes:
        chord = _chord_at(chords, start + note.onset + min(CHORD_LOOKAHEAD, note.duration / 2))
        if chord is not None:
            hits.append(note.pitch % 12 in {*chord["pitch_classes"], _bass(chord)})
    return float(np.mean(hits)) if hits else 0.0


def _root_on_downbeats(
    track: PitchTrack, downbeats: list[float], chords: list[dict[str, Any]], start: float
) -> float:
    hits = []
    for downbeat in downbeats:
        first, last = (downbeat - start + offset for offset in DOWNBEAT_WINDOW)
        chord = _chord_at(chords, downbeat + DOWNBEAT_WINDOW[0])
        if chord is None or first < 0 or last > track.times[-1]:
            continue
        pitch = track.pitch[(track.times >= first) & (track.times < last)]
        classes = np.round(pitch[~np.isnan(pitch)]).astype(int) % 12
        sounding = int(np.bincount(classes).argmax()) if len(classes) else None
        hits.append(sounding in (chord["root"], _bass(chord)))
    return float(np.mean(hits)) if hits else np.nan


def _bass(chord: dict[str, Any]) -> int:
    return int(chord.get("bass", chord["root"]))
