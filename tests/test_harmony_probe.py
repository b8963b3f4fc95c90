"""Probes name what codes hold by construction, and nothing else."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from shared.config import load_config
from shared.music.notes import Note
from shared.music.song_facts import SongChord, SongFacts
from shared.sound.sliced import SlicedSamples
from shared.sources import BASS, SOURCES
from stage1_vqvae.codec import VQVAECodec
from stage1_vqvae.config import PRESETS, VQVAEConfig
from stage1_vqvae.harmony_probe import (
    UNKNOWN,
    HarmonyCollector,
    HarmonyReport,
    ProbeFigures,
    ProbeFrames,
    harmony_report,
    known_harmony,
    probe_inputs,
)
from stage1_vqvae.model import VQVAE

SONGS, FRAMES = 8, 60
OTHER = SOURCES.index("other")


@pytest.fixture(autouse=True)
def _two_folds(monkeypatch: pytest.MonkeyPatch) -> None:
    """The probes of five folds take seconds."""
    monkeypatch.setattr("stage1_vqvae.harmony_probe.FOLDS", 2)


def frames_of(
    inputs: np.ndarray, root: np.ndarray, songs: int = SONGS, with_bass: int = 0
) -> ProbeFrames:
    """Frames that are spread evenly over songs; the bass of the first ones plays the root."""
    song = np.repeat(np.arange(songs), len(root) // songs)
    bass = np.where(song < with_bass, root, UNKNOWN)
    return ProbeFrames(inputs.astype(np.float32), root, bass, song)


def naming(root: np.ndarray) -> np.ndarray:
    """Inputs that name the root, beside noise."""
    noise = np.random.default_rng(1).standard_normal((len(root), 20))
    return np.concatenate((np.eye(12)[root], 0.3 * noise), axis=1)


@pytest.fixture(scope="module")
def root() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 12, SONGS * FRAMES)


def test_inputs_that_name_the_root_score_nearly_1(root: np.ndarray) -> None:
    frames = frames_of(naming(root), root, with_bass=4)
    report = harmony_report(frames)
    assert report.root.linear > 0.98
    assert report.root.two_layers > 0.98
    assert report.root.chance == np.bincount(root).max() / len(root)
    assert (report.root.songs, report.root.frames) == (SONGS, SONGS * FRAMES)
    assert (report.bass.songs, report.bass.frames) == (4, 4 * FRAMES)
    assert report.bass.linear > 0.95
    assert report == harmony_report(frames)  # deterministic


def test_shuffled_inputs_score_at_chance(root: np.ndarray) -> None:
    shuffled = np.random.default_rng(2).permutation(naming(root))
    figures = harmony_report(frames_of(shuffled, root)).root
    assert figures.linear == pytest.approx(figures.chance, abs=0.06)
    assert figures.two_layers == pytest.approx(figures.chance, abs=0.06)


def test_only_two_layers_name_a_root_that_no_single_input_tells() -> None:
    """Whether two signs are equal tells the root."""
    signs = np.random.default_rng(0).choice([-1, 1], (SONGS * FRAMES, 2))
    figures = harmony_report(frames_of(signs, (signs.prod(1) > 0).astype(np.int64))).root
    assert figures.two_layers > 0.95
    assert figures.linear < 0.65


def test_inputs_that_name_the_song_do_not_help() -> None:
    """Each song has a root of its own, and no song is both trained on and tested."""
    song = np.repeat(np.arange(SONGS), FRAMES)
    figures = harmony_report(frames_of(np.eye(SONGS)[song], song)).root
    assert (figures.linear, figures.two_layers) == (0, 0)
    assert figures.chance == 1 / SONGS


def test_songs_of_one_root_can_be_measured(root: np.ndarray) -> None:
    figures = harmony_report(frames_of(naming(root), np.zeros_like(root))).root
    assert (figures.linear, figures.two_layers, figures.chance) == (1, 1, 1)


def test_fewer_than_four_songs_are_not_measured(root: np.ndarray) -> None:
    report = harmony_report(frames_of(naming(root), root, songs=4, with_bass=3))
    assert report.root.linear > 0.95
    assert np.isnan([report.bass.linear, report.bass.two_layers, report.bass.chance]).all()
    assert (report.bass.songs, report.bass.frames) == (3, 3 * SONGS * FRAMES // 4)
    text = report.as_markdown()
    assert "| root of the chord |" in text
    assert (
        "The pitch class of the bass is known in 3 songs. At least 4 are needed to measure how "
        "often it is named."
    ) in text


def test_the_report_has_both_targets_or_says_why_not() -> None:
    figures = ProbeFigures(0.5, 0.625, 0.125, 16, 2080)
    text = HarmonyReport(figures, figures).as_markdown()
    assert "| root of the chord | 50.0% | 62.5% | 12.5% | 16 | 2080 |" in text
    assert "are needed" not in text
    unknown = replace(figures, songs=0)
    text = HarmonyReport(unknown, unknown).as_markdown()
    assert "| linear probe |" not in text
    assert text.count("is known in 0 songs.") == 2


def test_labels_are_those_of_chords_and_notes() -> None:
    facts = SongFacts(
        chords=(SongChord(0, 1, 9, "min"), SongChord(1, 2), SongChord(2.5, 3, 5, "maj", bass=0)),
        bass_notes=(Note(0.5, 1.0, 40), Note(1.0, 0.2, 43), Note(2.0, 1, 36), Note(2.0, 1, 48 + 7)),
    )
    root, bass = known_harmony(facts, np.array([0, 0.5, 0.99, 1, 1.3, 2, 2.5, 3, 9]))
    assert root.tolist() == [9, 9, 9, -1, -1, -1, 5, -1, -1]
    # A later note ends an earlier one, and of two notes at a time the lower one counts.
    assert bass.tolist() == [-1, 4, 4, 7, -1, 0, 0, -1, -1]
    assert known_harmony(SongFacts(), np.zeros(2))[0].tolist() == [UNKNOWN, UNKNOWN]


def test_a_probe_reads_the_frame_and_the_mean_around_it_but_not_the_bass() -> None:
    vectors = np.zeros((40, len(SOURCES) * 2), np.float32)
    vectors[20] = np.repeat([1, 100, 2, 3], 2)  # the bass has 100
    inputs = probe_inputs(vectors, frame_rate=20.0)
    assert inputs.shape == (40, 2 * 3 * 2)
    assert inputs[20, :6].tolist() == [1, 1, 2, 2, 3, 3]
    assert inputs[19, :6].tolist() == [0] * 6
    # A quarter of a second is five frames, two of them on either side.
    assert inputs[:, 6].nonzero()[0].tolist() == [18, 19, 20, 21, 22]
    assert inputs[18, 6:] == pytest.approx(np.array([1, 1, 2, 2, 3, 3]) / 5)


class RootCodec(VQVAECodec):
    """Codes of one source say which of twelve levels the audio has in their frame."""

    source = OTHER

    def encode(self, audio: SlicedSamples) -> np.ndarray:
        frames = self.num_frames(audio.shape[-1])
        shape = (len(SOURCES), self.num_codebooks, frames)
        codes = np.random.default_rng(0).integers(0, self.cardinality, shape).astype(np.uint16)
        at = np.minimum(np.arange(frames) * self.hop, audio.shape[-1] - 1)
        level = np.round(audio[:, :][0, at] * 100).astype(np.uint16)
        codes[self.source, :2] = level // self.cardinality, level % self.cardinality
        return codes


@pytest.fixture
def codec() -> RootCodec:
    config = load_config(VQVAEConfig, PRESETS, "tiny")
    torch.manual_seed(0)
    return RootCodec(VQVAE(config.model), config, "roots")


def collect(codec: VQVAECodec, songs: int = 6) -> HarmonyCollector:
    """Add songs of 6 s from their third second on, whose level follows the roots of their chords.

    They have a chord every half second, and the bass plays the fifth.
    """
    collector = HarmonyCollector(codec, songs + 1)
    rng = np.random.default_rng(3)
    for _ in range(songs):
        roots = [int(root) for root in rng.permutation(12)]
        facts = SongFacts(
            chords=tuple(SongChord(3 + i / 2, 3.5 + i / 2, root) for i, root in enumerate(roots)),
            bass_notes=tuple(Note(3 + i / 2, 0.5, 31 + root) for i, root in enumerate(roots)),
        )
        level = np.repeat(np.array(roots) / 100, codec.sample_rate // 2)
        collector.add(np.tile(level.astype(np.float32), (2, 1)), facts, start=3.0)
    collector.add(np.zeros((2, 44100), np.float32), SongFacts(), start=0.0)
    return collector


def test_codes_that_hold_the_root_are_read_in_other_songs(codec: RootCodec) -> None:
    frames = collect(codec).frames()
    assert set(frames.song) == set(range(6))  # nothing is known of the last one
    assert (frames.bass == (frames.root + 7) % 12).all()
    report = harmony_report(frames)
    assert report.root.two_layers > 0.9
    assert report.bass.two_layers > 0.9
    assert report.root.frames == len(frames.root) == 6 * -(-codec.num_frames(6 * 44100) // 4)


def test_the_codes_of_the_bass_are_not_read(codec: RootCodec) -> None:
    codec.source = BASS
    figures = harmony_report(collect(codec).frames()).root
    assert figures.two_layers < 0.25


def test_frames_are_drawn_evenly_from_songs(
    codec: RootCodec, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stage1_vqvae.harmony_probe.MOST_FRAMES", 70)
    frames = collect(codec).frames()
    assert np.bincount(frames.song).max() <= 10
    assert np.bincount(frames.song).min() >= 9


def test_songs_of_which_nothing_is_known_are_not_encoded(
    codec: RootCodec, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(codec, "encode", None)
    collector = HarmonyCollector(codec, 1)
    collector.add(np.zeros((2, 44100), np.float32), SongFacts(), start=0.0)
    assert len(collector.frames().song) == 0
    assert harmony_report(collector.frames()).root.songs == 0
