"""How well a bass line fits its song, judged by the audio of the line alone.

The pitch comes from librosa's pyin and the attacks from librosa's spectral flux
(shared/music/pitch.py); no codes are read. What the line is compared with comes from the song's
song.json. A silent line scores 0. A figure is nan where the song does not say what it needs
(chords, beats or bass notes).

- Root on downbeats: of the downbeats under a known chord, the share where the commonest pitch class
  from 40 to 160 ms after the downbeat is the chord's root, or the bass note of a slash chord. A
  downbeat without sound is a miss.
- Chord tones: of the notes under a known chord, the share whose pitch class belongs to the chord.
  The chord is the one that sounds 100 ms after the note's attack (or in the middle of a shorter
  note), so that a note which anticipates its chord is compared with that chord.
- Grid F1: the grid divides each beat into equal sixteenths: four of them, or six in 6/8, where a
  beat is a dotted quarter (the beats, the downbeats and the time signature tell which). An onset is
  on the grid if it lies within a quarter of a sixteenth, and within 50 ms, of a grid point that no
  other onset has taken. A line need not play every sixteenth, so recall counts only the grid points
  that are nearest to some onset. The figure is therefore the precision, lowered where one attack
  is struck twice. Onsets at random times score about 0.5, and swung lines score less than straight
  ones; compare it with the figure of the song's own bass.
- Onset F1: the onsets are compared with those of the song's own bass notes, one to one, within
  50 ms (as mir_eval does).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from shared.music.note_tracking import segment_notes
from shared.music.notes import Note
from shared.music.pitch import PitchTrack, track_pitch
from shared.music.song_facts import SongChord, SongFacts

FRAME_RATE = 43.0  # Hz, of the pitch track
DOWNBEAT_WINDOW = (0.04, 0.16)  # s after the downbeat
CHORD_LOOKAHEAD = 0.1  # s after the attack
ONSET_TOLERANCE = 0.05  # s
GRID_TOLERANCE = 0.25  # of a sixteenth
SILENCE_DB = -120.0

Times = npt.NDArray[np.float64]


@dataclass(frozen=True)
class BassFigures:
    """Figures of one line. The module's docstring defines the first five, which lie in 0..1.

    Attributes:
        root_on_downbeats: share of downbeats that have the chord's root.
        chord_tones: share of notes that belong to their chord.
        grid_f1: how well the onsets lie on the sixteenths.
        onset_f1: how well the onsets agree with those of the song's own bass.
        pitch_class: how often the line has the pitch class of the song's own bass.
        voiced_share: share of the time in which a pitch sounds.
        num_notes: how many notes there are.
        lowest: MIDI pitch of the lowest note, nan where there is none.
        highest: MIDI pitch of the highest note, nan where there is none.
        rms_db: level in dBFS, at least SILENCE_DB.
    """

    root_on_downbeats: float
    chord_tones: float
    grid_f1: float
    onset_f1: float
    pitch_class: float
    voiced_share: float
    num_notes: int
    lowest: float
    highest: float
    rms_db: float


def judge_bass(
    samples: npt.NDArray[np.float32],
    sample_rate: int,
    song: SongFacts,
    start: float = 0.0,
    track: PitchTrack | None = None,
) -> BassFigures:
    """Judge the audio of a bass line.

    Args:
        samples: the bass without other instruments, `[C, N]`.
        sample_rate: of the samples, in Hz.
        song: what is known of the song.
        start: where in the song the samples begin, in seconds.
        track: the pitch of the samples at FRAME_RATE; it is tracked where it is not given.
    """
    end = start + samples.shape[1] / sample_rate
    track = track or track_pitch(samples, sample_rate, FRAME_RATE)
    notes = segment_notes(track)
    pitches = [note.pitch for note in notes]
    chords = [chord for chord in song.chords if chord.root is not None]
    mean_square = float(np.mean(np.square(samples, dtype=np.float64))) if samples.size else 0.0
    return BassFigures(
        root_on_downbeats=_root_on_downbeats(track, song.downbeats, chords, start),
        chord_tones=_chord_tones(notes, chords, start),
        grid_f1=_grid_f1(track.onsets + start, _sixteenths(song)),
        onset_f1=onset_f1(track.onsets + start, song.bass_notes, start, end),
        pitch_class=pitch_class_share(track, song.bass_notes or (), start),
        voiced_share=float(np.mean(~np.isnan(track.pitch))),
        num_notes=len(notes),
        lowest=min(pitches, default=np.nan),
        highest=max(pitches, default=np.nan),
        rms_db=max(SILENCE_DB, 10 * float(np.log10(max(mean_square, 1e-30)))),
    )


def match_onsets(reference: Times, estimated: Times, tolerance: float) -> int:
    """Count the pairs, one to one, that lie within `tolerance` seconds of each other.

    Both arrays are in ascending order. To take the earliest pair first is optimal, because all
    tolerances are equal.
    """
    pairs = i = j = 0
    while i < len(reference) and j < len(estimated):
        if abs(reference[i] - estimated[j]) <= tolerance:
            pairs, i, j = pairs + 1, i + 1, j + 1
        elif reference[i] < estimated[j]:
            i += 1
        else:
            j += 1
    return pairs


def onset_f1(onsets: Times, notes: Sequence[Note] | None, start: float, end: float) -> float:
    """Compute the F1 of onsets against the notes that begin between `start` and `end`.

    Args:
        onsets: times in the song in seconds, in ascending order.
        notes: the notes of the song's own bass; None where they are not known.
        start: where the first note may begin, in seconds.
        end: where no note begins any more, in seconds.

    Returns:
        The F1; nan where no note begins between these times, or nobody knows.
    """
    reference = np.unique([note.onset for note in notes or () if start <= note.onset < end])
    if not len(reference):
        return np.nan
    return 2 * match_onsets(reference, onsets, ONSET_TOLERANCE) / (len(reference) + len(onsets))


def pitch_class_share(track: PitchTrack, notes: Sequence[Note], start: float = 0.0) -> float:
    """Return how often a sound has the pitch class of the note that lasts.

    Args:
        track: the pitch of the sound.
        notes: the notes, in the order of their onsets. Where no note lasts, nothing is compared.
        start: where among the notes the sound begins, in seconds.

    Returns:
        A share of the frames in which a note lasts; nan if there is no such frame.
    """
    expected = np.full(len(track.times), -1)
    for note in notes:
        first, end = np.searchsorted(track.times + start, (note.onset, note.end))
        expected[first:end] = note.pitch % 12
    lasting = expected >= 0
    if not lasting.any():
        return np.nan
    pitch_class = np.round(np.nan_to_num(track.pitch)).astype(int) % 12
    right = ~np.isnan(track.pitch) & (pitch_class == expected)
    return float(right[lasting].mean())


def sixteenths_per_beat(song: SongFacts) -> int:
    """Return how many sixteenths a beat has, which is a dotted quarter in 6/8, for instance."""
    beats = np.array(song.beats)
    numerator, denominator = song.meter or (4, 4)
    bars = np.diff(np.searchsorted(beats, np.array(song.downbeats) - 0.01))
    beats_per_bar = float(np.median(bars)) if len(bars) else numerator * 4 / denominator
    return max(1, round(16 * numerator / denominator / max(beats_per_bar, 1)))


def _sixteenths(song: SongFacts) -> Times:
    """Return the times of all sixteenths; empty for fewer than two beats."""
    beats = np.array(song.beats)
    if len(beats) < 2:
        return np.empty(0)
    per_beat = sixteenths_per_beat(song)
    points = np.arange(per_beat * (len(beats) - 1) + 1) / per_beat
    return np.interp(points, np.arange(len(beats)), beats)


def _grid_f1(onsets: Times, grid: Times) -> float:
    if len(grid) < 2:
        return np.nan
    spacing = np.diff(grid, append=2 * grid[-1] - grid[-2])
    # There is no grid before the first beat and after the last.
    onsets = onsets[(onsets > grid[0] - spacing[0] / 2) & (onsets < grid[-1] + spacing[-1] / 2)]
    if not len(onsets):
        return 0.0
    nearest = np.abs(onsets[:, None] - grid).argmin(1)
    tolerance = np.minimum(GRID_TOLERANCE * spacing[nearest], ONSET_TOLERANCE)
    on_grid = np.unique(nearest[np.abs(onsets - grid[nearest]) <= tolerance])
    return 2 * len(on_grid) / (len(onsets) + len(np.unique(nearest)))


def _chord_at(chords: Sequence[SongChord], time: float) -> SongChord | None:
    return next((chord for chord in chords if chord.start <= time < chord.end), None)


def _chord_tones(notes: Sequence[Note], chords: Sequence[SongChord], start: float) -> float:
    known = [chord for chord in chords if chord.tones]
    if not known:
        return np.nan
    hits = []
    for note in notes:
        chord = _chord_at(known, start + note.onset + min(CHORD_LOOKAHEAD, note.duration / 2))
        if chord is not None:
            hits.append(note.pitch % 12 in chord.tones)
    return float(np.mean(hits)) if hits else 0.0


def _root_on_downbeats(
    track: PitchTrack, downbeats: Sequence[float], chords: Sequence[SongChord], start: float
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
        hits.append(sounding in (chord.root, chord.lowest))
    return float(np.mean(hits)) if hits else np.nan
