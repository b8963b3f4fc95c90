"""A singing voice: invented words spoken by a synthesiser and sung on a lead's melody.

Vowels begin on the beat and are held as long as their notes; consonants keep their length and come
before the beat. The pitch glides from note to note and has a vibrato that sets in late.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import lru_cache

import numpy as np
from scipy.ndimage import gaussian_filter1d

from shared.band.lyrics import LyricSyllable, write_lyrics
from shared.band.render import SAMPLE_RATE
from shared.band.speakers import Speaker, available_speakers, find_speaker, speak
from shared.band.vocoder import (
    FRAME_SECONDS,
    HOP,
    Excitation,
    Syllable,
    Tract,
    analyse,
    build_tract,
    excite,
    vocoder_available,
)
from shared.errors import UserError
from shared.music.notes import Note

_FRAME = HOP / SAMPLE_RATE
_LEVEL = 0.1  # RMS of a vowel at velocity 100
_PHRASE_GAP = 0.4  # s of rest before which one phrase ends and after which another begins
_LEGATO_GAP = 0.06  # s
_SHORTEST = 0.05  # s
_CACHED = 1024  # syllables: about 200 MB


@dataclass(frozen=True)
class Manner:
    """How one singer sings one song. Every value has its unit in its name or is a share.

    `vibrato_cents` is half of the swing; `melisma` the chance that a note continues the syllable
    before it; `formants`, `contrast`, `tilt`, `breath` are those of `vocoder.build_tract`, on top of
    the speaker's.
    """

    vibrato_hertz: float
    vibrato_cents: float
    vibrato_delay_seconds: float
    glide_seconds: float
    drift_cents: float
    scoop: float
    melisma: float
    formants: float
    contrast: float
    tilt: float
    breath: float
    doubled: bool
    double_cents: float
    double_seconds: float
    double_decibels: float
    double_pan: float


def draw_manner(rng: np.random.Generator) -> Manner:
    """A way of singing, every value at random."""
    side = 1.0 if rng.random() < 0.5 else -1.0
    return Manner(
        vibrato_hertz=float(rng.uniform(5.0, 6.5)),
        vibrato_cents=float(rng.uniform(8.0, 30.0)),
        vibrato_delay_seconds=float(rng.uniform(0.15, 0.40)),
        glide_seconds=float(rng.uniform(0.025, 0.065)),
        drift_cents=float(rng.uniform(3.0, 8.0)),
        scoop=float(rng.uniform(0.0, 0.2)),
        melisma=float(rng.choice((0.0, 0.05, 0.15, 0.3))),
        formants=float(rng.uniform(0.95, 1.06)),
        contrast=float(rng.uniform(0.9, 1.15)),
        tilt=float(rng.uniform(-1.0, 3.0)),
        breath=float(rng.beta(1.5, 5.0)),
        doubled=bool(rng.random() < 0.3),
        double_cents=float(rng.uniform(4.0, 14.0) * side),
        double_seconds=float(rng.uniform(0.010, 0.028)),
        double_decibels=float(rng.uniform(-10.0, -4.0)),
        double_pan=float(rng.uniform(0.4, 0.9) * side),
    )


@dataclass(frozen=True)
class SungSyllable:
    """`text` of the word `word`, whose vowel begins at `onset` and whose last note ends at `end` (s)."""

    text: str
    word: str
    onset: float
    end: float


@dataclass(frozen=True)
class Singing:
    """A sung part. `audio`: float32 `[2, N]`; `notes`: what is sung, in the speaker's range.

    `report` says who sang and how, in JSON's types.
    """

    audio: np.ndarray
    notes: tuple[Note, ...]
    syllables: tuple[SungSyllable, ...]
    report: dict[str, object]


def singing_available() -> bool:
    """Whether a speech synthesiser and pyworld are installed."""
    return vocoder_available() and bool(available_speakers())


def sing(
    notes: Sequence[Note],
    num_samples: int,
    rng: np.random.Generator,
    speaker: str | None = None,
    manner: Manner | None = None,
    lyrics: Iterable[LyricSyllable] | None = None,
) -> Singing:
    """Sing `notes` with words: a song of `num_samples` at 44.1 kHz.

    Of chords the highest note is sung, and the melody is moved by octaves into the speaker's range.
    `speaker` is a name of `speakers.SPEAKERS`, `manner` a way of singing; both are drawn where not
    given. `lyrics` are sung once and then again until the notes end; by default they are invented.
    Raises UserError where a synthesiser, pyworld or the speaker is missing.
    """
    if not vocoder_available():
        raise UserError("sung voices need pyworld; install it with pip (pyworld)")
    voices = available_speakers()
    drawn = voices[int(rng.integers(len(voices)))].name if voices else ""
    singer = find_speaker(drawn if speaker is None else speaker)
    drawn_manner = draw_manner(rng)
    manner = manner or drawn_manner
    melody = _into_range(_one_voice(notes), singer)
    report: dict[str, object] = {"speaker": singer.name, "licence": singer.licence}
    report |= {"manner": asdict(manner)}
    if not melody:
        return Singing(np.zeros((2, num_samples), np.float32), (), (), report)
    units: dict[str, Syllable] = {}
    words = itertools.cycle(lyrics) if lyrics is not None else write_lyrics(rng)
    lines = [_spoken(line, singer, units) for line in _set_words(melody, words, manner, rng)]
    tract = build_tract(
        list(units.values()),
        singer.formants * manner.formants,
        singer.contrast * manner.contrast,
        manner.tilt,
        manner.breath,
    )
    first_rows = np.cumsum([0, *(len(unit.voiced) for unit in units.values())])
    rows = dict(zip(units, first_rows.tolist(), strict=False))
    audio = np.zeros((2, num_samples), np.float32)
    audio += _take(lines, units, rows, tract, manner, num_samples, rng)
    if manner.doubled:
        moved = _moved(lines, manner.double_seconds, rng)
        double = _take(moved, units, rows, tract, manner, num_samples, rng, manner.double_cents)
        angle = (manner.double_pan + 1) * np.pi / 4
        gains = 10 ** (manner.double_decibels / 20) * np.array([np.cos(angle), np.sin(angle)])
        audio += gains.astype(np.float32)[:, None] * double
    syllables = tuple(
        SungSyllable(line.lyric.text, line.lyric.word, line.notes[0].onset, line.notes[-1].end)
        for line in lines
    )
    return Singing(audio, melody, syllables, report)


@lru_cache(maxsize=_CACHED)
def _syllable(program: str, voice: str, text: str) -> Syllable | None:
    """A syllable of a synthesiser's voice, analysed once, or None where its vowel is not found.

    It is kept at half precision.
    """
    speaker = next(
        speaker
        for speaker in available_speakers()
        if (speaker.program, speaker.voice) == (program, voice)
    )
    speech = speak(speaker, text)
    try:
        syllable = analyse(*speech)
    except UserError:
        return None
    return replace(
        syllable,
        envelope=syllable.envelope.astype(np.float16),
        noise=syllable.noise.astype(np.float16),
    )


def _one_voice(notes: Sequence[Note]) -> tuple[Note, ...]:
    """The highest note of each chord, each cut where the next begins; none before the song starts."""
    melody: list[Note] = []
    for note in sorted(notes, key=lambda note: (note.onset, -note.pitch)):
        if note.onset < 0:
            continue
        if melody and note.onset < melody[-1].onset + _SHORTEST:
            continue
        if melody and note.onset < melody[-1].end:
            melody[-1] = replace(melody[-1], duration=note.onset - melody[-1].onset)
        melody.append(replace(note, duration=max(note.duration, _SHORTEST)))
    return tuple(melody)


def _into_range(melody: tuple[Note, ...], speaker: Speaker) -> tuple[Note, ...]:
    """The melody moved by octaves into the speaker's range, and single notes that still leave it."""
    if not melody:
        return ()
    pitches = np.array([note.pitch for note in melody])
    shifts = np.arange(-6, 7) * 12
    moved = pitches + shifts[:, None]
    outside = np.maximum(speaker.low - moved, 0) + np.maximum(moved - speaker.high, 0)
    middle = (speaker.low + speaker.high) / 2
    cost = outside.mean(axis=1) + 0.05 * np.abs(np.median(moved, axis=1) - middle)
    chosen = moved[int(np.argmin(cost))]
    over, under = np.maximum(chosen - speaker.high, 0), np.maximum(speaker.low - chosen, 0)
    chosen = chosen + 12 * (np.ceil(under / 12) - np.ceil(over / 12)).astype(int)
    return tuple(
        replace(note, pitch=int(pitch)) for note, pitch in zip(melody, chosen, strict=True)
    )


@dataclass(frozen=True)
class _Line:
    """One syllable and the notes that it is sung on, one or more; `starts` where a phrase does."""

    lyric: LyricSyllable
    notes: tuple[Note, ...]
    starts: bool


def _set_words(
    melody: tuple[Note, ...],
    words: Iterator[LyricSyllable],
    manner: Manner,
    rng: np.random.Generator,
) -> list[_Line]:
    lines: list[_Line] = []
    end = -np.inf
    for note in melody:
        gap, end = note.onset - end, note.end
        joined = gap < _LEGATO_GAP and rng.random() < manner.melisma
        if joined and len(lines[-1].notes) < 4:
            lines[-1] = replace(lines[-1], notes=(*lines[-1].notes, note))
        else:
            lines.append(_Line(next(words), (note,), gap > _PHRASE_GAP))
    return lines


def _spoken(line: _Line, speaker: Speaker, units: dict[str, Syllable]) -> _Line:
    """The line with its syllable put into `units`; with "la" where that one cannot be sung."""
    for lyric in (line.lyric, LyricSyllable("la", "la", True)):
        unit = _syllable(speaker.program, speaker.voice, lyric.text)
        if unit is not None:
            units[lyric.text] = unit
            return replace(line, lyric=lyric)
    raise UserError(f"{speaker.program} speaks no vowel as {speaker.voice}; try another speaker")


def _moved(lines: list[_Line], seconds: float, rng: np.random.Generator) -> list[_Line]:
    """A second take: later by `seconds`, and never quite together."""
    moved = []
    for line in lines:
        late = max(seconds + 0.006 * rng.standard_normal(), -line.notes[0].onset)
        notes = tuple(replace(note, onset=note.onset + late) for note in line.notes)
        moved.append(replace(line, notes=notes))
    return moved


def _take(
    lines: list[_Line],
    units: dict[str, Syllable],
    rows: dict[str, int],
    tract: Tract,
    manner: Manner,
    num_samples: int,
    rng: np.random.Generator,
    cents: float = 0.0,
) -> np.ndarray:
    """One take: float32 `[num_samples]`."""
    frames = num_samples // HOP + 1
    row, last = np.zeros(frames), np.zeros(frames, int)
    voice, noise = np.zeros(frames), np.zeros(frames)
    for index, line in enumerate(lines):
        following = lines[index + 1] if index + 1 < len(lines) else None
        unit, base = units[line.lyric.text], rows[line.lyric.text]
        start, place = _timing(line, unit, (following, units) if following else None, num_samples)
        span = slice(start, start + len(place))
        gains = _loudness(line, unit, place, start)
        nearest = np.minimum(np.rint(place).astype(int), len(unit.voiced) - 1)
        row[span], last[span] = base + place, base + len(unit.voiced) - 1
        voice[span] = gains * unit.voiced[nearest]
        noise[span] = gains
        if line.starts:
            _breathe(line, unit, base, start, row, last, noise, rng)
    # What switches from pulses to noise or from word to word does so within two frames.
    voice = np.where(voice > 0, gaussian_filter1d(voice, 1.0), 0.0)
    noise = gaussian_filter1d(noise, 0.7)
    melody = [note for line in lines for note in line.notes]
    pitch = _pitch_curve(melody, manner, frames, rng) + cents / 100
    f0 = 440.0 * 2 ** ((pitch - 69) / 12)
    sound = excite(tract, Excitation(row, last, f0, voice, noise), num_samples, rng)
    return sound * np.float32(_LEVEL)


def _timing(
    line: _Line,
    unit: Syllable,
    following: tuple[_Line, dict[str, Syllable]] | None,
    num_samples: int,
) -> tuple[int, np.ndarray]:
    """The first frame of a syllable and, for each frame of it, a place in the analysis.

    Consonants before the vowel keep their length unless they would take more than half of the note
    before; those after it come before the next syllable, or after the note where a rest follows.
    """
    first, stop = unit.nucleus
    onset, end = line.notes[0].onset, line.notes[-1].end
    before = min(first * FRAME_SECONDS, onset)
    after = (len(unit.voiced) - stop) * FRAME_SECONDS
    limit = num_samples / SAMPLE_RATE
    if following is not None:
        next_line, units = following
        next_onset = next_line.notes[0].onset
        room = max(next_onset - end, 0.0) + 0.4 * (end - onset)
        lead = min(units[next_line.lyric.text].nucleus[0] * FRAME_SECONDS, room)
        limit = min(limit, next_onset - lead)
    stop_vowel = min(end, max(limit - after, onset + 0.6 * (min(end, limit) - onset)))
    finish = min(stop_vowel + after, limit)
    if finish <= onset:
        return 0, np.zeros(0)
    start_frame = int(np.ceil((onset - before) / _FRAME))
    seconds = np.arange(start_frame, int(finish / _FRAME) + 1) * _FRAME
    held = max(stop_vowel - onset, 1e-3) / FRAME_SECONDS  # the vowel's length in frames
    length = stop - first
    edge = min(0.3 * length, 10.0)
    knots, places = [0.0, held], [0.0, float(length)]
    if held > length:
        knots, places = [0.0, edge, held - edge, held], [0.0, edge, length - edge, float(length)]
    relative = (seconds - onset) / FRAME_SECONDS
    place = first + np.interp(relative, knots, places)
    place += np.minimum(relative, 0.0) + np.maximum(relative - held, 0.0)
    return start_frame, np.clip(place, 0.0, len(unit.voiced) - 1.0)


def _loudness(line: _Line, unit: Syllable, place: np.ndarray, start: int) -> np.ndarray:
    """Gains of a syllable's frames: velocity, a swell over long notes, and soft ends."""
    seconds = (start + np.arange(len(place))) * _FRAME
    onsets = [note.onset for note in line.notes]
    which = np.clip(np.searchsorted(onsets, seconds, side="right") - 1, 0, None)
    velocity = np.array([note.velocity for note in line.notes])[which]
    decibels = (velocity - 100) * 0.15
    length = max(line.notes[-1].end - onsets[0], 0.1)
    through = np.clip((seconds - onsets[0]) / length, 0.0, 1.0)
    decibels = decibels + min(length, 2.0) * (np.sin(np.pi * through) - 1.0)
    gains = 10 ** (decibels / 20)
    soft = min(4, len(gains) // 3)
    if soft:
        fade = np.arange(1, soft + 1) / (soft + 1)
        gains[:soft] *= fade
        gains[-soft:] *= fade[::-1]
    return gains


def _breathe(
    line: _Line,
    unit: Syllable,
    base: int,
    start: int,
    row: np.ndarray,
    last: np.ndarray,
    noise: np.ndarray,
    rng: np.random.Generator,
) -> None:
    """Breathe in before a phrase, where nothing else sounds; written into `row`, `last`, `noise`."""
    length = int(rng.uniform(0.18, 0.40) / _FRAME)
    loudness = 10 ** (rng.uniform(-38.0, -24.0) / 20)
    stop = start - int(0.03 / _FRAME)
    span = slice(stop - length, stop)
    if span.start < 0 or noise[max(span.start - 4, 0) : stop].any():
        return
    # The mouth is already shaped for the vowel; where it is voiced, most of its power is not noise.
    row[span] = base + (unit.nucleus[0] + unit.nucleus[1]) / 2
    last[span] = base + len(unit.voiced) - 1
    noise[span] = 4.0 * loudness * np.sin(np.pi * np.linspace(0.0, 1.0, length)) ** 0.7


def _pitch_curve(
    melody: Sequence[Note], manner: Manner, frames: int, rng: np.random.Generator
) -> np.ndarray:
    """MIDI pitch of each frame: glides, scoops, vibrato and drift."""
    seconds = np.arange(frames) * _FRAME
    pitch = np.full(frames, float(melody[0].pitch))
    vibrato = np.zeros(frames)
    end = -np.inf
    for index, note in enumerate(melody):
        before = melody[index - 1] if index else note
        shortest = min(note.duration, before.duration)
        glide = min(manner.glide_seconds * rng.uniform(0.7, 1.4), 0.3 * shortest)
        start = note.onset - 0.75 * glide
        at = slice(*np.clip(np.searchsorted(seconds, (start, start + glide)), 0, frames))
        x = (seconds[at] - start) / glide
        pitch[at] += (note.pitch - pitch[at]) * x * x * (3 - 2 * x)
        pitch[at.stop :] = note.pitch
        if note.onset - end > _LEGATO_GAP and rng.random() < manner.scoop:
            since = seconds - note.onset
            low = -rng.uniform(0.3, 1.2) * np.clip(1 - since / min(0.09, shortest / 3), 0, 1) ** 2
            pitch += np.where((since > -0.15) & (since < 0.1), np.maximum(low, -1.5), 0.0)
        end = note.end
        since = seconds[at.stop :] - note.onset - manner.vibrato_delay_seconds
        length = note.duration - manner.vibrato_delay_seconds
        if length > 0.1:
            depth = manner.vibrato_cents * rng.uniform(0.7, 1.2)
            grown = np.clip(since / 0.25, 0, 1) * np.clip((length - since) / 0.08, 0, 1)
            inside = int(np.searchsorted(since, length))
            vibrato[at.stop : at.stop + inside] = depth / 100 * grown[:inside]
    slow = gaussian_filter1d(rng.standard_normal(frames), 0.4 / _FRAME)
    rate = manner.vibrato_hertz * (1 + 0.04 * slow / max(float(slow.std()), 1e-9))
    drift = gaussian_filter1d(rng.standard_normal(frames), 0.15 / _FRAME)
    drift *= manner.drift_cents / 100 / max(float(drift.std()), 1e-9)
    return pitch + vibrato * np.sin(2 * np.pi * np.cumsum(rate) * _FRAME) + drift
