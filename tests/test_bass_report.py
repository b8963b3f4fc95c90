"""The figures of decoders whose sound is known beside the true bass."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch

from shared.codes.bass_decoder import Notes
from shared.codes.codec import Codes
from shared.config import load_config
from shared.music.notes import Note, NoteVocabulary
from shared.music.song_facts import SongFacts
from shared.sound.samples import Samples
from shared.sources import BASS, SOURCES
from stage1_vqvae.bass_report import (
    BassCollector,
    BassReport,
    BassSound,
    CodecBassDecoder,
    TrackedSound,
    compare_bass,
    hiss,
    mel_distance,
    note_tokens,
)
from stage1_vqvae.codec import VQVAECodec
from stage1_vqvae.config import PRESETS, VQVAEConfig
from stage1_vqvae.model import VQVAE

RATE = 44100
PITCHES = (33, 40, 36, 38, 31, 43, 33, 36)
ONSETS = tuple(0.1 + 0.4 * i for i in range(len(PITCHES)))
FACTS = SongFacts(
    bass_notes=tuple(Note(t, 0.25, pitch) for t, pitch in zip(ONSETS, PITCHES, strict=True))
)


def line(cents: float = 0.0, delay: float = 0.0) -> np.ndarray:
    """Plucked notes with overtones up to 9 kHz and 0.15 s of silence between them, `[2, N]`."""
    audio = np.zeros(round(3.4 * RATE), np.float32)
    time = np.arange(round(0.25 * RATE)) / RATE
    for onset, pitch in zip(ONSETS, PITCHES, strict=True):
        hertz = 440 * 2 ** ((pitch + cents / 100 - 69) / 12)
        partials = range(1, round(9000 / hertz))
        tone = sum(np.sin(2 * np.pi * k * hertz * time + k * k) / k for k in partials)
        shape = np.exp(-3 * time) * np.minimum(1, time / 0.002) * np.minimum(1, time[::-1] / 0.01)
        first = round((onset + delay) * RATE)
        audio[first : first + len(time)] = 0.1 * tone * shape
    return np.tile(audio, (2, 1))


@pytest.fixture(scope="module")
def true() -> TrackedSound:
    return TrackedSound.of(line(), RATE)


def beside(true: TrackedSound, decoded: np.ndarray) -> BassSound:
    return compare_bass(TrackedSound.of(decoded, RATE), true)


def high_shelf(audio: np.ndarray, hertz: float, gain: float) -> np.ndarray:
    """Multiply everything above a frequency."""
    spectrum = np.fft.rfft(audio)
    spectrum[:, np.fft.rfftfreq(audio.shape[-1], 1 / RATE) >= hertz] *= gain
    return np.fft.irfft(spectrum, audio.shape[-1]).astype(np.float32)


def test_the_true_bass_is_perfect(true: TrackedSound) -> None:
    sound = beside(true, line())
    assert [(band.distance, band.level_error) for band in sound.bands] == [(0, 0)] * 5
    assert sound.mel_distance == 0
    assert (sound.pitch_accuracy, sound.onset_f1) == (1, 1)
    assert len(true.track.onsets) == len(PITCHES)
    assert sound.hiss == -120  # digital silence between the notes


def test_what_is_12_db_softer_above_400_hz_is_reported_there(true: TrackedSound) -> None:
    sound = beside(true, high_shelf(line(), 400, 10 ** (-12 / 20)))
    low, second, *high = (band.level_error for band in sound.bands)
    assert low == pytest.approx(0, abs=0.01)
    assert second == pytest.approx(0, abs=0.3)  # its border is in the slope of the window
    assert high == pytest.approx([-12, -12, -12], abs=0.6)
    assert [band.distance for band in sound.bands[2:]] == pytest.approx([12, 12, 12], abs=2)
    assert sound.pitch_accuracy > 0.95


@pytest.mark.parametrize(("cents", "expected"), [(30, 1.0), (70, 0.0)])
def test_pitches_are_right_within_50_cents(
    true: TrackedSound, cents: float, expected: float
) -> None:
    assert beside(true, line(cents)).pitch_accuracy == pytest.approx(expected, abs=0.05)


@pytest.mark.parametrize(("delay", "expected"), [(0.03, 1.0), (0.07, 0.0)])
def test_attacks_are_right_within_50_ms(true: TrackedSound, delay: float, expected: float) -> None:
    assert beside(true, line(delay=delay)).onset_f1 == expected


def test_a_silent_decoder_has_neither_pitches_nor_attacks(true: TrackedSound) -> None:
    sound = beside(true, np.zeros_like(line()))
    assert (sound.pitch_accuracy, sound.onset_f1) == (0, 0)
    assert np.isnan(sound.hiss)
    assert sound.bands[0].level_error < -40


def test_hiss_is_the_level_between_notes() -> None:
    rng = np.random.default_rng(0)
    noise, other = rng.standard_normal((2, RATE), np.float32)
    target = noise.copy()
    target[RATE // 2 :] = 0
    made = target + np.float32(0.01) * other
    assert hiss(made, target) == pytest.approx(-40, abs=0.3)
    assert hiss(np.float32(0.1) * made, target) == pytest.approx(-40, abs=0.3)
    softer = np.float32(10 ** (-45 / 20)) * noise  # not quiet enough to lie between notes
    assert np.isnan(hiss(made, np.where(target == 0, softer, target)))


def test_the_log_mel_distance_of_half_the_amplitude_is_6_db() -> None:
    noise = 0.1 * np.random.default_rng(0).standard_normal(RATE).astype(np.float32)
    assert mel_distance(0.5 * noise, noise, RATE) == pytest.approx(6.02, abs=0.01)
    assert np.isnan(mel_distance(noise, 0 * noise, RATE))


def test_notes_begin_with_the_excerpt() -> None:
    facts = SongFacts(bass_notes=(Note(0, 1, 30), Note(1.5, 1, 31), Note(3, 0.5, 32)))
    tokens = note_tokens(facts, 2.0, num_frames=20, frame_rate=10.0)
    assert tokens is not None
    assert NoteVocabulary.pitches(tokens).tolist() == [31] * 5 + [-1] * 5 + [32] * 5 + [-1] * 5
    assert np.flatnonzero(NoteVocabulary.onsets(tokens)).tolist() == [0, 10]
    assert note_tokens(SongFacts(), 2.0, 20, 10.0) is None


class FixedDecoder:
    """Returns the same sound whatever the codes are, and remembers the notes."""

    def __init__(self, sound: np.ndarray) -> None:
        self.sound = sound
        self.notes: list[Notes | None] = []

    def decode(self, codes: Codes, notes: Notes | None, num_samples: int) -> Samples:
        assert codes.ndim == 2
        self.notes.append(notes)
        return self.sound[:, :num_samples]

    def decode_blocks(
        self, codes: Codes, notes: Notes | None, num_samples: int
    ) -> Iterator[Samples]:
        yield self.decode(codes, notes, num_samples)

    def description(self) -> dict[str, Any]:
        return {}


@pytest.fixture
def codec() -> VQVAECodec:
    config = load_config(VQVAEConfig, PRESETS, "tiny")
    torch.manual_seed(0)
    return VQVAECodec(VQVAE(config.model), config, "untrained")


def test_every_decoder_has_a_row(codec: VQVAECodec) -> None:
    perfect, soft = FixedDecoder(line()), FixedDecoder(high_shelf(line(), 400, 0.25))
    collector = BassCollector(codec, {"perfect": perfect, "soft": soft})
    collector.add(line(), FACTS, start=0.0)
    collector.add(line(), SongFacts(), start=0.0)
    report = collector.report()
    assert report.songs == 2
    assert [row.name for row in report.rows] == ["perfect", "soft"]
    assert report.rows[0].sound.bands[3].level_error == 0
    assert report.rows[1].sound.bands[3].level_error == pytest.approx(-12.04, abs=0.2)
    assert perfect.notes[0] is not None
    assert NoteVocabulary.onsets(perfect.notes[0]).sum() == len(PITCHES)
    assert perfect.notes[1] is None
    text = report.as_markdown()
    perfect_bands = "0.00 (0.00) | " * 5
    assert f"| perfect | {perfect_bands}0.00 |" in text
    assert "| perfect | 1.00 | 1.00 | -120.00 |" in text
    assert "The bass of 2 songs" in text


def test_figures_are_means_over_the_songs_that_have_them(codec: VQVAECodec) -> None:
    """A song without pauses has no hiss."""
    long_note = np.tile(0.1 * np.sin(2 * np.pi * 55 * np.arange(RATE) / RATE), (2, 1))
    collector = BassCollector(codec, {"half": FixedDecoder(0.5 * line())})
    collector.add(line(), FACTS, start=0.0)
    only = collector.report().rows[0].sound
    collector.add(long_note.astype(np.float32), SongFacts(), start=0.0)
    both = collector.report().rows[0].sound
    assert only.bands[1].level_error == pytest.approx(-6.02, abs=0.01)
    assert both.hiss == only.hiss
    assert both.pitch_accuracy == pytest.approx(only.pitch_accuracy / 2, abs=0.2)


def test_songs_without_bass_are_skipped(codec: VQVAECodec) -> None:
    collector = BassCollector(codec, {"decoder": FixedDecoder(line())})
    collector.add(np.zeros((2, RATE), np.float32), SongFacts(), start=0.0)
    collector.add(np.float32(0.001) * line(), FACTS, start=0.0)  # quieter than a bass that is heard
    assert collector.report() == BassReport(0, ())
    assert "No song has an audible bass" in collector.report().as_markdown()


def test_the_codecs_decoder_decodes_the_row_of_the_bass(codec: VQVAECodec) -> None:
    codes = codec.encode(line())
    expected = codec.decode(codes, line().shape[-1], [SOURCES[BASS]])
    decoded = CodecBassDecoder(codec).decode(codes[BASS], None, line().shape[-1])
    assert np.array_equal(decoded, expected)
