"""A singing voice: words that a speech synthesiser says, sung on a lead's melody.

Vowels begin on the beat and are held as long as their notes. Consonants keep their length and come
before the beat. It needs pyworld and one of flite and espeak-ng; see `singing_available`.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np
from scipy.ndimage import gaussian_filter1d

from shared.band.recording.render import SAMPLE_RATE
from shared.band.singing.lyrics import LyricSyllable, write_lyrics
from shared.band.singing.singing_curves import (
    FRAME,
    LEGATO_GAP,
    Manner,
    draw_manner,
    longest_lead,
    loudness,
    pitch_curve,
    place_syllable,
)
from shared.band.singing.speakers import Speaker, available_speakers, find_speaker, speak
from shared.band.singing.speech_analysis import FRAME_SECONDS, Syllable, analyse, analysis_available
from shared.band.singing.vocoder import HOP, Excitation, Tract, build_tract, excite
from shared.errors import UserError
from shared.music.notes import Note

_LEVEL = 0.1  # RMS of a vowel at velocity 100
_PHRASE_GAP = 0.4  # seconds of rest between two phrases
_SHORTEST = 0.05  # seconds of a note
_LONGEST_MELISMA = 4  # notes on one syllable
_LA = LyricSyllable("la", "la", True)
_CACHED = 1024  # syllables, which take 200 MB


@dataclass(frozen=True)
class SungSyllable:
    """A syllable as sung.

    Attributes:
        text: what the synthesiser said.
        word: the word that it is part of.
        onset: where its vowel begins, in seconds.
        end: where its last note ends, in seconds.
    """

    text: str
    word: str
    onset: float
    end: float


@dataclass(frozen=True)
class Singing:
    """A sung part.

    Attributes:
        audio: float32 `[2, N]` at 44.1 kHz.
        notes: what is sung: one voice, in the speaker's range.
        syllables: the words.
        report: who sang and how, in JSON's types.
    """

    audio: np.ndarray
    notes: tuple[Note, ...]
    syllables: tuple[SungSyllable, ...]
    report: dict[str, Any]


def singing_available() -> bool:
    """Tell whether pyworld and a speech synthesiser are installed."""
    return analysis_available() and bool(available_speakers())


def sing(
    notes: Sequence[Note],
    num_samples: int,
    rng: np.random.Generator,
    speaker: str | None = None,
    manner: Manner | None = None,
    lyrics: Iterable[LyricSyllable] | None = None,
) -> Singing:
    """Sing a melody.

    Of chords the highest note is sung. The melody is moved by octaves into the speaker's range.

    Args:
        notes: the melody.
        num_samples: length of the song at 44.1 kHz; what would sound later is cut off.
        rng: the source of all chance.
        speaker: a name of `speakers.SPEAKERS`; drawn where not given.
        manner: a way of singing; drawn where not given.
        lyrics: sung once and then again until the notes end; invented where not given.

    Raises:
        UserError: pyworld, a synthesiser or the speaker is not installed, or a synthesiser fails.
    """
    if not analysis_available():
        raise UserError("sung voices need pyworld; install it with pip")
    voices = available_speakers()
    drawn = voices[int(rng.integers(len(voices)))].name if voices else ""
    singer = find_speaker(drawn if speaker is None else speaker)
    drawn_manner = draw_manner(rng)
    manner = manner or drawn_manner
    melody = _into_range(_one_voice(notes), singer)
    report = {"speaker": singer.name, "licence": singer.licence, "manner": asdict(manner)}
    if not melody:
        return Singing(np.zeros((2, num_samples), np.float32), (), (), report)
    words = write_lyrics(rng) if lyrics is None else itertools.cycle(lyrics)
    lines = _set_words(melody, words, manner, rng)
    takes = _Singer(singer, manner, lines)
    audio = np.repeat(takes.take(takes.lines, num_samples, rng)[None], 2, axis=0)
    if manner.doubled:
        moved = _second_take(takes.lines, manner.double_seconds, rng)
        double = takes.take(moved, num_samples, rng, manner.double_cents)
        angle = (manner.double_pan + 1) * np.pi / 4
        gains = 10 ** (manner.double_decibels / 20) * np.array([np.cos(angle), np.sin(angle)])
        audio += gains.astype(np.float32)[:, None] * double
    syllables = tuple(
        SungSyllable(line.lyric.text, line.lyric.word, line.notes[0].onset, line.notes[-1].end)
        for line in takes.lines
    )
    return Singing(audio, melody, syllables, report)


def _one_voice(notes: Sequence[Note]) -> tuple[Note, ...]:
    """Reduce chords to their highest notes, and end each note where the next begins."""
    melody: list[Note] = []
    for note in sorted(notes, key=lambda note: (note.onset, -note.pitch)):
        if note.onset < 0 or (melody and note.onset < melody[-1].onset + _SHORTEST):
            continue
        if melody and note.onset < melody[-1].end:
            melody[-1] = replace(melody[-1], duration=note.onset - melody[-1].onset)
        melody.append(replace(note, duration=max(note.duration, _SHORTEST)))
    return tuple(melody)


def _into_range(melody: tuple[Note, ...], speaker: Speaker) -> tuple[Note, ...]:
    """Move a melody by octaves into the speaker's range, then the notes that are still outside."""
    if not melody:
        return ()
    pitches = np.array([note.pitch for note in melody])
    moved = pitches + 12 * np.arange(-6, 7)[:, None]
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
    """One syllable and the notes that it is sung on; `starts` tells whether a phrase begins."""

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
        joined = gap < LEGATO_GAP and rng.random() < manner.melisma
        if joined and len(lines[-1].notes) < _LONGEST_MELISMA:
            lines[-1] = replace(lines[-1], notes=(*lines[-1].notes, note))
        else:
            lines.append(_Line(next(words), (note,), gap > _PHRASE_GAP))
    return lines


def _second_take(lines: Sequence[_Line], seconds: float, rng: np.random.Generator) -> list[_Line]:
    """Sing everything later by `seconds`, and never quite together with the first take."""
    moved = []
    for line in lines:
        late = max(seconds + 0.006 * rng.standard_normal(), -line.notes[0].onset)
        notes = tuple(replace(note, onset=note.onset + late) for note in line.notes)
        moved.append(replace(line, notes=notes))
    return moved


@lru_cache(maxsize=_CACHED)
def _syllable(speaker: Speaker, text: str) -> Syllable | None:
    """Have a syllable said and analysed, at half precision. None if its vowel is not found."""
    speech = speak(speaker, text)
    try:
        syllable = analyse(*speech)
    except UserError:
        return None
    envelope, noise = syllable.envelope.astype(np.float16), syllable.noise.astype(np.float16)
    return replace(syllable, envelope=envelope, noise=noise)


class _Singer:
    """One singer with all syllables of a song: sings takes of it.

    `lines` are the lines as they can be sung: "la" replaces what the speaker cannot say.
    """

    def __init__(self, singer: Speaker, manner: Manner, lines: Sequence[_Line]) -> None:
        # Speakers that differ in range only say the same.
        voice = replace(singer, name="", low=0, high=0, formants=1.0, contrast=1.0)
        self.lines: list[_Line] = []
        self._syllables: dict[str, Syllable] = {}
        for line in lines:
            for lyric in (line.lyric, _LA):
                syllable = _syllable(voice, lyric.text)
                if syllable is not None:
                    break
            else:
                raise UserError(f"{singer.program} cannot say la as {singer.voice}")
            self._syllables[lyric.text] = syllable
            self.lines.append(replace(line, lyric=lyric))
        lengths = [len(syllable.voiced) for syllable in self._syllables.values()]
        starts = np.cumsum([0, *lengths[:-1]]).tolist()
        self._rows = dict(zip(self._syllables, starts, strict=True))
        self._manner = manner
        self._tract: Tract = build_tract(
            list(self._syllables.values()),
            singer.formants * manner.formants,
            singer.contrast * manner.contrast,
            manner.tilt,
            manner.breath,
        )

    def take(
        self,
        lines: Sequence[_Line],
        num_samples: int,
        rng: np.random.Generator,
        cents: float = 0.0,
    ) -> np.ndarray:
        """Sing lines, `cents` higher than written: float32 `[num_samples]`."""
        frames = num_samples // HOP + 1
        row, last = np.zeros(frames), np.zeros(frames, int)
        voice, noise = np.zeros(frames), np.zeros(frames)
        leads = [self._lead(lines, index) for index in range(len(lines))]
        for index, line in enumerate(lines):
            limit = num_samples / SAMPLE_RATE
            if index + 1 < len(lines):
                limit = min(limit, lines[index + 1].notes[0].onset - leads[index + 1])
            syllable, base = self._syllables[line.lyric.text], self._rows[line.lyric.text]
            start, place = place_syllable(
                syllable, line.notes[0].onset, line.notes[-1].end, limit, leads[index]
            )
            span = slice(start, start + len(place))
            gains = loudness(line.notes, start, len(place))
            row[span], last[span] = base + place, base + len(syllable.voiced) - 1
            voice[span] = gains * syllable.voiced[np.rint(place).astype(int)]
            noise[span] = gains
            if line.starts and len(place):
                breath = _breath(start, rng)
                before = slice(start - len(breath) - 4, start)
                if before.start >= 0 and not noise[before].any():
                    before = slice(start - len(breath), start)
                    # The mouth is already shaped for the vowel.
                    row[before] = base + sum(syllable.nucleus) / 2
                    last[before] = last[start]
                    noise[before] = breath
        # Changes from noise to pulses and from word to word take two frames.
        voice = np.where(voice > 0, gaussian_filter1d(voice, 1.0), 0.0)
        noise = gaussian_filter1d(noise, 0.7)
        melody = [note for line in lines for note in line.notes]
        pitch = pitch_curve(melody, self._manner, frames, rng) + cents / 100
        f0 = 440.0 * 2 ** ((pitch - 69) / 12)
        excitation = Excitation(row, last, f0, voice, noise)
        return excite(self._tract, excitation, num_samples, rng) * np.float32(_LEVEL)

    def _lead(self, lines: Sequence[_Line], index: int) -> float:
        """Return how long the consonants in front of a line's vowel sound, in seconds."""
        before = lines[index - 1].notes if index else None
        note = replace(before[0], duration=before[-1].end - before[0].onset) if before else None
        longest = longest_lead(note, lines[index].notes[0].onset)
        return min(self._syllables[lines[index].lyric.text].nucleus[0] * FRAME_SECONDS, longest)


def _breath(start: int, rng: np.random.Generator) -> np.ndarray:
    """Draw the gains of the noise of a breath that ends before frame `start`."""
    length, pause = int(rng.uniform(0.18, 0.40) / FRAME), int(0.03 / FRAME)
    # Of a voiced vowel only some -12 dB are noise, which the gain makes up for.
    gain = 4.0 * 10 ** (rng.uniform(-38.0, -24.0) / 20)
    swell = gain * np.sin(np.pi * np.linspace(0.0, 1.0, length)) ** 0.7
    return np.concatenate([swell, np.zeros(pause)])
