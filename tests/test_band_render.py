"""Rendered songs: stems that add up, basses in tune, drums on the beat, bytes that repeat."""

import librosa
import numpy as np
import pytest

from shared.band.production import produce
from shared.band.render import SAMPLE_RATE, Orchestra
from shared.band.score import Part, PitchBend, Score
from shared.music.chord import Chord
from shared.music.notes import Note
from shared.sources import BASS, SOURCES


@pytest.fixture(scope="module")
def orchestra():
    with Orchestra() as orchestra:
        yield orchestra


def part(source: str, program: int, pitches, step: float = 0.5, bends=()) -> Part:
    notes = tuple(Note(index * step, 0.9 * step, pitch, 100) for index, pitch in enumerate(pitches))
    return Part(source, source, program, source == "drums", notes, bends)


def median_pitch(audio: np.ndarray, start: float, end: float) -> float:
    """The fundamental of `[2, N]` between two times (s), as a MIDI number."""
    mono = audio[:, int(start * SAMPLE_RATE) : int(end * SAMPLE_RATE)].mean(axis=0)
    hertz = librosa.yin(mono, fmin=27, fmax=1000, sr=SAMPLE_RATE, frame_length=4096)
    return float(librosa.hz_to_midi(np.median(hertz)))


@pytest.mark.parametrize("program", range(32, 40))
def test_the_default_soundfont_plays_every_bass_in_tune(orchestra, program):
    pitches = (30, 37, 44)
    audio = orchestra.play(part("bass", program, pitches), 0, 2 * SAMPLE_RATE)
    for index, pitch in enumerate(pitches):
        heard = median_pitch(audio, 0.5 * index + 0.1, 0.5 * index + 0.4)
        assert abs(heard - pitch) < 0.5


def test_a_pitch_bend_is_heard_and_keeps_the_note_before_it_straight(orchestra):
    bent = part("bass", 38, (40,), step=2.0, bends=(PitchBend(1.0, 2.0),))
    audio = orchestra.play(bent, 0, 2 * SAMPLE_RATE)
    assert abs(median_pitch(audio, 0.2, 0.9) - 40) < 0.5
    assert abs(median_pitch(audio, 1.1, 1.7) - 42) < 0.5


def test_a_drum_sounds_when_it_is_written(orchestra):
    audio = orchestra.play(part("drums", 0, (36, 38, 42, 36)), 0, 2 * SAMPLE_RATE)
    envelope = np.abs(audio).max(axis=0)
    for onset in (0.0, 0.5, 1.0, 1.5):
        first = int(onset * SAMPLE_RATE)
        hit = envelope[first : first + SAMPLE_RATE // 10]
        assert np.argmax(hit > 0.1 * hit.max()) < 0.020 * SAMPLE_RATE


def test_a_part_without_notes_is_silent_and_a_missing_program_is_replaced(orchestra):
    assert not orchestra.play(part("other", 0, ()), 0, 100).any()
    drums = part("drums", 99, (36, 38))
    assert orchestra.play(drums, 0, SAMPLE_RATE).any()


def test_stems_do_not_clip_and_the_mixture_is_their_sum(orchestra):
    parts = (part("bass", 33, (40, 43, 45)), part("drums", 0, (36, 38, 36)))
    chords = (Chord(0.0, 2.0, 4, "min", 4),)
    score = Score("test", 120, (4, 4), "E minor", 2.0, (0, 0.5, 1, 1.5), (0,), chords, parts)
    for seed in range(8):
        stems = produce(score, orchestra, np.random.default_rng(seed))
        total = stems.samples.astype(int).sum(axis=0)
        assert np.abs(total).max() <= 32767
        assert np.array_equal(total, stems.mixture)
        assert stems.samples[BASS].any()
        assert not stems.samples[SOURCES.index("vocals")].any()
