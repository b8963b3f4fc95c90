"""The judgement of a prior: its parts on known answers, and a whole run on an untrained one."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from shared.codes.codec import CodeFormat
from shared.codes.manifest import write_manifest
from shared.codes.song_codes import SongCodes
from shared.config import load_config
from shared.errors import UserError
from shared.music.bass_metrics import BassFigures
from shared.music.notes import Note, NoteVocabulary, notes_to_tokens
from shared.sources import SOURCES
from stage1_vqvae.codec import VQVAECodec
from stage1_vqvae.config import PRESETS as VQVAE_PRESETS
from stage1_vqvae.config import VQVAEConfig
from stage1_vqvae.model import VQVAE
from stage2_prior.bootstrap import bootstrap_mean
from stage2_prior.clip_measurements import JudgedSound, pitch_match_share, shifted_by_a_bar
from stage2_prior.clips import Clip, load_clips, mixed_clips
from stage2_prior.config import PRESETS, PriorConfig
from stage2_prior.evaluate import evaluate_prior
from stage2_prior.frechet import BANDS, embed, frechet_distance
from stage2_prior.likelihood import song_likelihood
from stage2_prior.model import Prior
from stage2_prior.report_sections import bass_removal_section
from stage2_prior.sampling import FREE, SamplingSettings
from stage2_prior.sequences import SongTokens

RATE = 44100
SECONDS = 5.0
ANNOTATIONS = {
    "tempo": 120.0,
    "beats": [i * 0.5 for i in range(13)],
    "downbeats": [0.0, 2.0, 4.0, 6.0],
    "chords": [
        {
            "start": 0.0,
            "end": 6.0,
            "root": 9,
            "quality": "min",
            "bass": 9,
            "pitch_classes": [9, 0, 4],
        }
    ],
    "bass_notes": [{"onset": 2.0 * i, "duration": 2.0, "pitch": 33} for i in range(3)],
}


@pytest.fixture(scope="module")
def codec() -> VQVAECodec:
    torch.manual_seed(0)
    config = load_config(VQVAEConfig, VQVAE_PRESETS, "tiny", overrides=["model.hop=2048"])
    return VQVAECodec(VQVAE(config.model), config, fingerprint="test")


@pytest.fixture(scope="module")
def prior(codec: VQVAECodec) -> Prior:
    torch.manual_seed(0)
    config = load_config(PriorConfig, PRESETS, "tiny").model
    return Prior(config, CodeFormat.of(codec), fingerprint="untrained").eval()


def make_song(codec: VQVAECodec, name: str, split: str = "test", seconds: float = 6.0) -> SongCodes:
    rng = np.random.default_rng(len(name))
    samples = round(seconds * RATE)
    frames = codec.num_frames(samples)
    shape = (len(SOURCES), codec.num_codebooks, frames)
    views = {
        view: rng.integers(0, codec.cardinality, shape).astype(np.uint16)
        for view in ("accompaniment", "alone")
    }
    return SongCodes(
        track=name,
        split=split,
        sources=SOURCES,
        sample_rate=RATE,
        hop=codec.hop,
        num_samples=samples,
        fingerprint=codec.fingerprint,
        gain=2.0,
        rms=dict.fromkeys(SOURCES, 0.1),
        views=views,
        notes=notes_to_tokens([Note(0.0, 6.0, 33)], frames, codec.frame_rate),
        note_confidence=np.ones(frames, np.float32),
        song=ANNOTATIONS,
    )


@pytest.fixture(scope="module")
def codes(codec: VQVAECodec, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two test songs, one that is too short, one of another split, one that is left over."""
    folder = tmp_path_factory.mktemp("codes")
    songs = [
        make_song(codec, "a"),
        make_song(codec, "bb"),
        make_song(codec, "short", seconds=2.0),
        make_song(codec, "training", split="train"),
    ]
    files = [folder / song.split / f"{song.track}.codes.safetensors" for song in songs]
    for song, file in zip(songs, files, strict=True):
        song.save(file)
    write_manifest(folder, CodeFormat.of(codec), files)
    songs[0].save(folder / "test" / "left over.codes.safetensors")
    return folder


def test_a_whole_evaluation(codes: Path, codec: VQVAECodec, prior: Prior, tmp_path: Path) -> None:
    settings = SamplingSettings(seed=3)
    report = evaluate_prior(codes, codec, prior, tmp_path, seconds=SECONDS, settings=settings)
    assert {path.name for path in tmp_path.iterdir()} == {
        f"report.{e}" for e in ("json", "md", "png")
    }
    assert report.songs == ("a", "bb")
    assert [row.name for row in report.comparison] == [
        "silence",
        "another song's bass",
        "true bass, a bar late",
        "generated",
        "true bass, from its codes",
    ]
    assert report.comparison[0].figures["voiced_share"].mean == 0
    assert report.comparison[-1].frechet == pytest.approx(0, abs=1e-6)
    assert [section.name for section in report.sections] == [
        "Codec",
        "Encoder",
        "Next code",
        "Given notes",
        "Continuation",
        "Generation",
        "Guidance",
    ]
    read = json.loads((tmp_path / "report.json").read_text())
    assert read["settings"]["seed"] == 3
    for condition in ("conditional", "unconditional", "shuffled"):
        assert read["likelihood"][f"bits per code {condition}"]["songs"] == 2
    page = (tmp_path / "report.md").read_text()
    assert "another song's bass" in page
    assert "log-mel" in page
    assert f"at most 4 windows of {prior.config.window_seconds:g} s a song" in page
    assert "within 6 dB of 'true bass, from its codes'" in page


def test_songs_with_a_bass_in_them_are_judged_too(
    codes: Path, codec: VQVAECodec, prior: Prior, write_song, tmp_path: Path
) -> None:
    for name in ("a", "bb"):
        write_song(tmp_path / "songs" / "test" / name, seconds=6.0)
    report = evaluate_prior(
        codes, codec, prior, tmp_path / "out", seconds=SECONDS, data=tmp_path / "songs"
    )
    assert [row.name for row in report.comparison][3:] == [
        "generated",
        "generated, bass removed from the mixture",
        "true bass, from its codes",
        "true bass",
    ]
    stem = report.comparison[-1]
    assert stem.frechet == pytest.approx(0, abs=1e-6)
    assert stem.figures["rms_db"].mean == pytest.approx(20 * np.log10(0.2 / 2**0.5), abs=0.1)
    sections = {section.name: section.figures for section in report.sections}
    assert list(sections)[-2:] == ["Bass removal", "Guidance"]
    assert "chord tones, difference" in sections["Bass removal"]
    assert "clips within 6 dB of 'true bass'" in sections["Generation"]


def test_songs_other_than_those_of_the_codes(
    codes: Path, codec: VQVAECodec, write_song, tmp_path: Path
) -> None:
    clips = load_clips(codes, codec, "test", 2, SECONDS)
    write_song(tmp_path / "test" / "a", seconds=6.0)
    write_song(tmp_path / "train" / "bb", seconds=6.0)
    with pytest.raises(UserError, match="holds no song 'bb' in the split 'test'"):
        mixed_clips(clips, tmp_path, codec)
    write_song(tmp_path / "test" / "bb", seconds=5.9)
    with pytest.raises(UserError, match="holds another song 'bb'"):
        mixed_clips(clips, tmp_path, codec)


def test_what_taking_the_bass_out_costs_is_a_difference_song_by_song() -> None:
    def judged(*roots: float) -> list[JudgedSound]:
        figures = [BassFigures(root, 0.5, np.nan, 0, 0, 0, 0, 0, 0) for root in roots]
        return [JudgedSound(each, np.empty((0, BANDS))) for each in figures]

    lines = {
        "generated": judged(0.2, 0.9, 0.5),
        "generated, bass removed from the mixture": judged(0.1, 0.8, 0.4),
    }
    figures = bass_removal_section(lines, [True, False, True]).figures
    root = figures["root on downbeats, difference"]
    assert (root.low, root.mean, root.high) == pytest.approx((-0.1, -0.1, -0.1))
    assert figures["chord tones, difference"].mean == 0
    assert figures["grid f1, difference"].songs == 0
    assert figures["songs in which a bass was found"].mean == pytest.approx(2 / 3)


def test_an_untrained_prior_knows_nothing(codec: VQVAECodec, prior: Prior) -> None:
    song, other = (SongTokens.of(make_song(codec, name)) for name in ("a", "bb"))
    bits = song_likelihood(prior, song, other)
    per_second = prior.format.frame_rate * (
        np.log2(NoteVocabulary.size) + codec.num_codebooks * np.log2(codec.cardinality)
    )
    own = bits.bits["conditional"]
    assert own.per_second == pytest.approx(per_second, rel=0.3)
    assert own.per_code == pytest.approx(np.log2(codec.cardinality), rel=0.3)
    assert len(bits.code_accuracy) == codec.num_codebooks
    assert bits.bits["shuffled"] != own != bits.bits["unconditional"]
    same = song_likelihood(prior, song, song).bits
    assert same["shuffled"].per_second == pytest.approx(same["conditional"].per_second)


def test_the_bootstrap_covers_the_mean() -> None:
    rng = np.random.default_rng(0)
    covered = 0
    for _ in range(200):
        estimate = bootstrap_mean(rng.normal(1.0, 1.0, 40))
        assert estimate.low <= estimate.mean <= estimate.high
        covered += estimate.low <= 1.0 <= estimate.high
    assert 180 <= covered <= 200
    assert bootstrap_mean([1.0, float("nan"), 3.0]).mean == 2
    assert bootstrap_mean([float("nan")]).songs == 0


def test_frechet_distance_is_that_of_gaussians() -> None:
    rng = np.random.default_rng(0)
    first = rng.normal(0, 1, (20000, 2))
    second = rng.normal(0, 3, (20000, 2)) + np.array([3.0, 0.0])
    # |m1 - m2|^2 + sum over the axes of (s1 - s2)^2
    assert frechet_distance([first], [second]) == pytest.approx(9 + 2 * 4, rel=0.05)
    assert frechet_distance([first], [first]) == pytest.approx(0, abs=1e-9)
    assert np.isnan(frechet_distance([first[:1]], [second]))


def test_an_embedding_a_second() -> None:
    audio = np.random.default_rng(0).normal(0, 0.1, (2, 3 * RATE + 100)).astype(np.float32)
    assert embed(audio, RATE).shape == (3, BANDS)


def test_what_is_sung(codec: VQVAECodec) -> None:
    song = make_song(codec, "a")
    clip = Clip(0, song, 0, codec.num_frames(2 * RATE), 2 * RATE)
    time = np.arange(2 * RATE) / RATE
    low, high = (0.3 * np.sin(2 * np.pi * hertz * time) for hertz in (55.0, 82.41))
    half = np.where(time < 1, low, high)
    audio = np.stack([half, half]).astype(np.float32)
    line = [Note(0.0, 1.0, 33), Note(1.0, 1.0, 40)]
    right = notes_to_tokens(line, clip.frames, codec.frame_rate).astype(np.int64)
    octave = notes_to_tokens([Note(0.0, 2.0, 45)], clip.frames, codec.frame_rate).astype(np.int64)
    assert pitch_match_share(audio, right, clip) > 0.9
    assert pitch_match_share(audio, octave, clip) == pytest.approx(0.5, abs=0.07)
    assert pitch_match_share(0 * audio, right, clip) == 0
    assert np.isnan(pitch_match_share(audio, np.full(clip.frames, FREE), clip))


def test_a_bar_late(codec: VQVAECodec) -> None:
    clip = Clip(0, make_song(codec, "a"), 0, codec.num_frames(5 * RATE), 5 * RATE)
    audio = np.zeros((2, 5 * RATE), np.float32)
    audio[:, 0] = 1
    assert np.flatnonzero(shifted_by_a_bar(audio, clip)[0]).tolist() == [2 * RATE]


def test_clips_come_from_the_middle(codes: Path, codec: VQVAECodec) -> None:
    clips = load_clips(codes, codec, "test", at_most=40, seconds=SECONDS)
    assert [clip.song.track for clip in clips] == ["a", "bb"]
    assert clips[0].start == pytest.approx(0.5, abs=0.05)
    assert clips[0].accompaniment.shape[-1] == clips[0].frames
    assert codec.num_frames(clips[0].num_samples) == clips[0].frames


def test_what_cannot_be_judged(
    codes: Path, codec: VQVAECodec, prior: Prior, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match="0 songs of the split 'valid'"):
        evaluate_prior(codes, codec, prior, tmp_path, split="valid", seconds=SECONDS)
    with pytest.raises(UserError, match="longer than"):
        evaluate_prior(codes, codec, prior, tmp_path, seconds=2.0)
    stranger = Prior(prior.config, replace(prior.format, fingerprint="another"), "test")
    with pytest.raises(UserError, match="another"):
        evaluate_prior(codes, codec, stranger, tmp_path, seconds=SECONDS)
    assert not list(tmp_path.iterdir())
