"""Chords that the user asks for, and what they leave to the note stream.

They are given as symbols, `Am F C G`, repeated to the song's end, two, four or eight beats each; the
beats are heard by librosa, and the length and the place are those at which the chords fit best what
sounds. Or exactly, as a file of lines `time symbol`, each chord lasting until the next:

    0:00    Am
    0:02.5  F/A
    5.0     N        no chord: the prior is free
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

BEATS_A_CHORD = (4, 2, 8)  # the earlier wins a tie
NO_CHORD = "N"


def read_chord_file(path: Path, duration: float) -> tuple[Chord, ...]:
    """Chords of a file of lines `time symbol`, the last until `duration` (s).

    Raises:
        UserError: a line is not of this form, times do not rise, or nothing lies in the song.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"cannot read the chord file {path} ({error})") from error
    events: list[tuple[float, str]] = []
    for number, line in enumerate(lines, 1):
        fields = line.split()
        if not fields or fields[0].startswith("#"):
            continue
        where = f"line {number} of {path}"
        if len(fields) != 2:
            raise UserError(f"{where} is not a time and a chord: write it as '0:02.5 Am'")
        time = parse_time(fields[0])
        if events and time <= events[-1][0]:
            raise UserError(f"{where} is not later than the line before it: sort the chords")
        events.append((time, fields[1]))
    ends = [*(time for time, _ in events[1:]), duration]
    chords = tuple(
        Chord(start, min(end, duration), *parse_chord(symbol))
        for (start, symbol), end in zip(events, ends, strict=True)
        if symbol != NO_CHORD and start < duration
    )
    if not chords:
        raise UserError(f"{path} names no chord within the song's {duration:.1f} s")
    return chords


def place_chords(
    symbols: Sequence[str], accompaniment: npt.NDArray[np.float32], sample_rate: int
) -> tuple[Chord, ...]:
    """Lay a chord sequence over the song that sounds in `accompaniment [2, N]`, over and over.

    Raises:
        UserError: an unknown symbol, none at all, or a song in which no beat is heard.
    """
    if not symbols:
        raise UserError('there are no chords: write some, as in "Am F C G"')
    known = [parse_chord(symbol) for symbol in symbols]
    beats, chroma = _beats_and_chroma(accompaniment, sample_rate)
    duration = accompaniment.shape[-1] / sample_rate
    if len(beats) < 2 * min(BEATS_A_CHORD):
        raise UserError(
            "no beat is heard in the song to lay the chords on: give a file of lines 'time chord'"
        )
    templates = np.stack([_template(*chord) for chord in known])
    fit = templates @ chroma  # [chords, beats]
    index = np.arange(len(beats))

    def chord_at(length: int, phase: int) -> npt.NDArray[np.int64]:
        return (index - phase) // length % len(known)

    placings = [(length, phase) for length in BEATS_A_CHORD for phase in range(length * len(known))]
    best = max(placings, key=lambda placing: round(fit[chord_at(*placing), index].mean(), 3))
    per_beat = chord_at(*best)
    # Also a single chord, or one twice in a row, is struck at each of its bars.
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
    """Which note tokens each frame may have `[num_frames, 97]`.

    Where a chord begins its bass is struck, in any octave; until the next only tones of the chord
    and rests are left. Where there is no chord, all tokens are.
    """
    tokens = np.arange(NoteVocabulary.size)
    pitch_classes, onsets = NoteVocabulary.pitches(tokens) % 12, NoteVocabulary.onsets(tokens)
    rest = tokens == NoteVocabulary.REST
    allowed = np.ones((num_frames, NoteVocabulary.size), np.bool_)
    for chord in chords:
        start, end = round(chord.start * frame_rate), round(chord.end * frame_rate)
        allowed[start:end] = rest | np.isin(pitch_classes, chord.pitch_classes)
        allowed[start : start + 1] = onsets & ~rest & (pitch_classes == chord.bass)
    return allowed


def _beats_and_chroma(
    accompaniment: npt.NDArray[np.float32], sample_rate: int
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Times of the beats `[B]` in s, and what sounds until the next as chroma `[12, B]`."""
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
    """Chroma of a chord `[12]`, of sum 0 so that chords of many tones have no advantage."""
    template = np.zeros(12)
    template[list(Chord(0, 1, root, quality, bass).pitch_classes)] = 1
    return (template - template.mean()) / template.sum()
