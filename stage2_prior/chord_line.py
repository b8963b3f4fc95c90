"""Chords that the user asks for, and the notes that they allow.

Chords are given as symbols such as `Am F C G`, which are repeated until the end of the song. Each
lasts two, four or eight beats, which librosa tracks. Of all lengths and positions, the one that
fits the chroma of the song best is taken. Or chords are given exactly, as a file with lines of a
time and a symbol. Each of its chords lasts until the next one:

    0:00    Am
    0:02.5  F/A
    5.0     N        no chord: all notes are allowed
"""

import itertools
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from shared.errors import UserError
from shared.music.chord import Chord, parse_chord
from shared.music.notes import NoteVocabulary
from shared.times import parse_time

BEATS_A_CHORD = (4, 2, 8)  # of lengths that fit equally well, the first is taken
NO_CHORD = "N"


def read_chord_file(path: Path, duration: float) -> tuple[Chord, ...]:
    """Read chords from a file with lines of a time and a symbol.

    Args:
        path: the file.
        duration: the length of the song in seconds, until which the last chord lasts.

    Raises:
        UserError: the file cannot be read, a line has another form, the times do not rise, or no
            chord begins within the song.
    """
    events = _read_events(path)
    ends = [*(start for start, _ in events[1:]), duration]
    chords = tuple(
        Chord(start, min(end, duration), *chord)
        for (start, chord), end in zip(events, ends, strict=True)
        if chord is not None and start < duration
    )
    if not chords:
        raise UserError(
            f"{path} names no chord within the {duration:.1f} s of the song: check its times"
        )
    return chords


def _read_events(path: Path) -> list[tuple[float, tuple[int, str, int] | None]]:
    """Read the times and the parsed symbols of a chord file; None where no chord sounds."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"cannot read the chord file {path} ({error}): give a text file") from error
    events: list[tuple[float, tuple[int, str, int] | None]] = []
    for number, line in enumerate(lines, 1):
        fields = line.split()
        if not fields or fields[0].startswith("#"):
            continue
        where = f"line {number} of {path}"
        if len(fields) != 2:
            raise UserError(f"{where} is not a time and a chord: write it as '0:02.5 Am'")
        try:
            time = parse_time(fields[0])
            chord = None if fields[1] == NO_CHORD else parse_chord(fields[1])
        except UserError as error:
            raise UserError(f"in {where}, {error}") from error
        if events and time <= events[-1][0]:
            raise UserError(f"{where} is not later than the line before it: sort the chords")
        events.append((time, chord))
    return events


def place_chords(
    symbols: Sequence[str], accompaniment: npt.NDArray[np.float32], sample_rate: int
) -> tuple[Chord, ...]:
    """Repeat a sequence of chords over a song, at the length and position that fit it best.

    Args:
        symbols: the chord symbols.
        accompaniment: the song without its bass `[2, N]`.
        sample_rate: samples per second.

    Raises:
        UserError: a symbol is not known, there is none, or no beats were found in the song.
    """
    if not symbols:
        raise UserError('there are no chords: write some, as in "Am F C G"')
    known = [parse_chord(symbol) for symbol in symbols]
    beats, chroma = _beats_and_chroma(accompaniment, sample_rate)
    duration = accompaniment.shape[-1] / sample_rate
    if len(beats) < 2 * min(BEATS_A_CHORD):
        raise UserError(
            "no beats were found in the song to place the chords on: give a chord file instead, "
            "with lines such as '0:02.5 Am'"
        )
    templates = np.stack([_template(*chord) for chord in known])
    fit = templates @ chroma  # [chords, beats]
    index = np.arange(len(beats))

    def chord_at(length: int, phase: int) -> npt.NDArray[np.int64]:
        return (index - phase) // length % len(known)

    placings = [(length, phase) for length in BEATS_A_CHORD for phase in range(length * len(known))]
    best = max(placings, key=lambda placing: round(fit[chord_at(*placing), index].mean(), 3))
    per_beat = chord_at(*best)
    # A chord that is repeated starts anew each time, so that its root is played each time.
    starts = np.flatnonzero((index == 0) | ((index - best[1]) % best[0] == 0))
    edges = [0.0, *beats[starts[1:]].tolist(), duration]
    return tuple(
        Chord(start, end, *known[per_beat[beat]])
        for start, end, beat in zip(edges[:-1], edges[1:], starts.tolist(), strict=True)
        if start < end
    )


def allowed_notes(
    chords: Sequence[Chord], num_frames: int, frame_rate: float
) -> npt.NDArray[np.bool_]:
    """Return the note tokens that each frame may have `[num_frames, 97]`.

    In the first frame of a chord, its bass note must start, in any octave. In the other frames of
    the chord, its tones and rests are allowed. Where there is no chord, every token is allowed.
    """
    pitch_classes, is_onset = NoteVocabulary.PITCH_CLASSES, NoteVocabulary.IS_ONSET
    is_rest = np.arange(NoteVocabulary.size) == NoteVocabulary.REST
    allowed = np.ones((num_frames, NoteVocabulary.size), np.bool_)
    for chord in chords:
        start, end = round(chord.start * frame_rate), round(chord.end * frame_rate)
        allowed[start:end] = is_rest | np.isin(pitch_classes, chord.pitch_classes)
        allowed[start : start + 1] = is_onset & (pitch_classes == chord.bass)
    return allowed


def _beats_and_chroma(
    accompaniment: npt.NDArray[np.float32], sample_rate: int
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Track the beats; return their times in seconds `[B]`, and the chroma after each `[12, B]`."""
    import librosa

    mono = librosa.resample(accompaniment.mean(0), orig_sr=sample_rate, target_sr=22050)
    if not np.any(mono):
        return np.empty(0), np.empty((12, 0))
    _, frames = librosa.beat.beat_track(y=mono, sr=22050, hop_length=512)
    chroma = librosa.feature.chroma_stft(y=mono, sr=22050, n_fft=4096, hop_length=512)
    edges = [*frames.tolist(), chroma.shape[1]]
    per_beat = [chroma[:, a : max(a + 1, b)].mean(1) for a, b in itertools.pairwise(edges)]
    return librosa.frames_to_time(frames, sr=22050, hop_length=512), np.array(per_beat).T


def _template(root: int, quality: str, bass: int) -> npt.NDArray[np.float64]:
    """Return the chroma of a chord `[12]`. Its sum is 0, so that many tones are no advantage."""
    template = np.zeros(12)
    template[list(Chord(0, 1, root, quality, bass).pitch_classes)] = 1
    return (template - template.mean()) / template.sum()
