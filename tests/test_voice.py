"""The singing voice: in tune, on the beat, with consonants, the same from the same seed."""

import itertools
from collections.abc import Sequence
from dataclasses import replace

import librosa
import numpy as np
import pytest
from scipy.signal import butter, sosfiltfilt

from shared.band.recording.render import SAMPLE_RATE
from shared.band.singing import speakers, voice
from shared.band.singing.lyrics import LyricSyllable, all_syllables, write_lyrics
from shared.band.singing.singing_curves import Manner, draw_manner
from shared.band.singing.speech_analysis import Syllable
from shared.band.singing.vocoder import HOP, Excitation, build_tract, excite
from shared.errors import UserError
from shared.music.notes import Note

needs_singing = pytest.mark.skipif(
    not voice.singing_available(), reason="needs pyworld and Debian's flite or espeak-ng"
)
WORDS = [LyricSyllable(word, word, True) for word in ("sea", "day", "time", "go")]


def melody(pitches: Sequence[int], step: float = 0.6, length: float = 0.5) -> list[Note]:
    return [Note(0.4 + i * step, length, pitch, 100) for i, pitch in enumerate(pitches)]


@pytest.fixture(scope="module")
def manner() -> Manner:
    drawn = draw_manner(np.random.default_rng(0))
    return replace(drawn, doubled=False, melisma=0.0, scoop=0.0, glide_seconds=0.04)


def pitch_errors(singing: voice.Singing) -> np.ndarray:
    """Semitones between the melody and the pitch heard in each voiced frame within a note."""
    rate = SAMPLE_RATE // 4
    mono = librosa.resample(singing.audio.mean(axis=0), orig_sr=SAMPLE_RATE, target_sr=rate)
    heard, voiced, _ = librosa.pyin(
        mono, fmin=70, fmax=900, sr=rate, frame_length=1024, hop_length=128
    )
    seconds = np.arange(len(heard)) * 128 / rate
    written = np.full(len(heard), np.nan)
    for note in singing.notes:
        written[(seconds >= note.onset) & (seconds < note.end)] = note.pitch
    used = voiced & np.isfinite(written)
    assert used.sum() > 0.7 * np.isfinite(written).sum()
    return librosa.hz_to_midi(heard[used]) - written[used]


def envelope(audio: np.ndarray, low: float, high: float) -> np.ndarray:
    band = sosfiltfilt(butter(4, (low, high), "bandpass", fs=SAMPLE_RATE, output="sos"), audio)
    return np.sqrt(np.convolve(band**2, np.full(220, 1 / 220), mode="same"))


def test_lyrics_repeat_by_seed_and_begin_every_word_once() -> None:
    first, second = (
        list(itertools.islice(write_lyrics(np.random.default_rng(1)), 200)) for _ in range(2)
    )
    assert first == second
    assert first[0].first
    assert {syllable.text for syllable in first} <= set(all_syllables())
    for before, after in itertools.pairwise(first):
        assert after.first or after.word == before.word


def test_a_tract_is_heard_at_the_pitch_that_excites_it() -> None:
    hertz = np.linspace(0, SAMPLE_RATE / 2, 513)
    formant = -((hertz - 700) ** 2) / 200.0**2
    envelope_rows = np.tile(np.maximum(formant, -12.0), (2, 1)).astype(np.float32)
    vowel = Syllable(envelope_rows, np.full((2, 513), 0.01, np.float32), np.ones(2, bool), (0, 2))
    frames = SAMPLE_RATE // HOP
    held = Excitation(
        row=np.zeros(frames),
        last=np.ones(frames, int),
        f0=np.full(frames, 220.0),
        voice=np.ones(frames),
        noise=np.ones(frames),
    )
    audio = excite(build_tract([vowel]), held, SAMPLE_RATE, np.random.default_rng(0))
    assert audio.dtype == np.float32
    heard = librosa.yin(audio[4096:-8192], fmin=60, fmax=900, sr=SAMPLE_RATE)
    assert np.median(heard) == pytest.approx(220.0, rel=0.003)
    spectrum = np.abs(np.fft.rfft(audio))
    peak = 450 + np.argmax([spectrum[bin - 5 : bin + 6].max() for bin in range(450, 1100)])
    assert peak == pytest.approx(660, abs=12)  # the harmonic next to the formant


@needs_singing
def test_a_voice_sings_in_tune(manner: Manner) -> None:
    name = speakers.available_speakers()[0].name
    singing = voice.sing(
        melody((60, 64, 67)), 3 * SAMPLE_RATE, np.random.default_rng(2), name, manner
    )
    assert (np.abs(pitch_errors(singing)) < 0.5).mean() >= 0.95


@pytest.mark.slow
@needs_singing
@pytest.mark.parametrize("name", [speaker.name for speaker in speakers.available_speakers()])
def test_every_voice_sings_in_tune(name: str, manner: Manner) -> None:
    notes = melody((60, 64, 67, 65, 62, 60))
    singing = voice.sing(notes, 4 * SAMPLE_RATE, np.random.default_rng(2), name, manner)
    assert (np.abs(pitch_errors(singing)) < 0.5).mean() >= 0.95


@needs_singing
def test_vowels_begin_on_the_beat_and_consonants_before_it(manner: Manner) -> None:
    notes = melody((62, 62, 62, 62), step=0.8)
    name = speakers.available_speakers()[-1].name
    singing = voice.sing(
        notes, 4 * SAMPLE_RATE, np.random.default_rng(0), name, manner, lyrics=WORDS
    )
    vowels = envelope(singing.audio[0], 200, 1500)
    hiss = envelope(singing.audio[0], 4000, 16000)
    for note in singing.notes:
        onset = round(note.onset * SAMPLE_RATE)
        level = np.median(vowels[onset + 4410 : onset + 13230])
        loud = vowels[onset - 6615 : onset + 6615] > level / 2
        rises = np.flatnonzero(loud[1:] & ~loud[:-1]) - 6615
        assert np.abs(rises).min() < 0.05 * SAMPLE_RATE
    first = round(singing.notes[0].onset * SAMPLE_RATE)  # the s of "sea"
    assert hiss[first - 6615 : first].max() > 3 * np.median(hiss[first + 4410 : first + 13230])
    assert [syllable.word for syllable in singing.syllables] == ["sea", "day", "time", "go"]


@needs_singing
def test_the_same_seed_sings_the_same_song_and_another_does_not() -> None:
    notes = melody((60, 62, 64))
    takes = [
        voice.sing(notes, 2 * SAMPLE_RATE, np.random.default_rng(seed)).audio for seed in (5, 5, 6)
    ]
    assert np.array_equal(takes[0], takes[1])
    assert not np.array_equal(takes[0], takes[2])
    assert takes[0].shape == (2, 2 * SAMPLE_RATE)


@needs_singing
def test_a_melody_moves_by_octaves_into_the_range_and_chords_lose_all_but_their_top(
    manner: Manner,
) -> None:
    speaker = speakers.available_speakers()[0]
    chord = [Note(0.2, 0.8, pitch, 90) for pitch in (84, 88, 91)]
    notes = [*chord, Note(0.7, 0.5, 86, 90)]
    singing = voice.sing(notes, SAMPLE_RATE, np.random.default_rng(0), speaker.name, manner)
    assert [note.pitch % 12 for note in singing.notes] == [91 % 12, 86 % 12]
    assert all(speaker.low <= note.pitch <= speaker.high for note in singing.notes)
    assert singing.notes[0].end == pytest.approx(0.7)


@needs_singing
def test_doubling_widens_and_loudness_follows_velocity(manner: Manner) -> None:
    notes = melody((60, 60, 60))
    name = speakers.available_speakers()[0].name

    def sung(notes: Sequence[Note], manner: Manner) -> np.ndarray:
        return voice.sing(notes, 2 * SAMPLE_RATE, np.random.default_rng(1), name, manner).audio

    single, double = sung(notes, manner), sung(notes, replace(manner, doubled=True))
    assert np.array_equal(single[0], single[1])
    assert not np.array_equal(double[0], double[1])
    soft = sung([replace(note, velocity=60) for note in notes], manner)
    decibels = 20 * np.log10(single.std() / soft.std())
    assert 4 < decibels < 8


@needs_singing
def test_no_notes_are_silence_and_edges_are_no_trouble(manner: Manner) -> None:
    rng = np.random.default_rng(0)
    assert not voice.sing([], 1000, rng).audio.any()
    edges = [Note(0.0, 0.02, 60, 127), Note(0.04, 0.01, 127, 1), Note(0.9, 5, 0, 64)]
    singing = voice.sing([*edges, Note(2.0, 1.0, 60, 100)], SAMPLE_RATE, rng)
    assert np.isfinite(singing.audio).all()
    assert singing.audio.any()


def test_what_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(speakers.shutil, "which", lambda program: None)
    speakers.available_speakers.cache_clear()
    try:
        assert not voice.singing_available()
        with pytest.raises(UserError, match="flite or espeak-ng"):
            speakers.find_speaker("slt")
    finally:
        monkeypatch.undo()
        speakers.available_speakers.cache_clear()
    monkeypatch.setattr(voice, "analysis_available", lambda: False)
    with pytest.raises(UserError, match="pyworld"):
        voice.sing([], 100, np.random.default_rng(0))
