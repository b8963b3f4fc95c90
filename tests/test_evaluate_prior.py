"""A whole `evaluate-prior` of an untrained prior, and which measurement goes where."""

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import soundfile
import torch

from shared.codes.codec import CodeFormat
from shared.codes.manifest import write_manifest
from shared.codes.song_codes import SongCodes
from shared.config import load_config
from shared.console import progress
from shared.errors import UserError
from shared.music.bar_grid import BarGrid
from shared.music.bass_metrics import BassFigures
from shared.music.chord import Chord
from shared.music.line_form import UNKNOWN_FORM
from shared.music.notes import Note, notes_to_tokens
from shared.song_figures import comparison_table, read_reports
from shared.sources import SOURCES
from stage1_vqvae.codec import VQVAECodec
from stage1_vqvae.config import PRESETS as VQVAE_PRESETS
from stage1_vqvae.config import VQVAEConfig
from stage1_vqvae.model import VQVAE
from stage2_prior import evaluate
from stage2_prior.baselines import LAST_BARS, NAIVE, ROOTS
from stage2_prior.bass_sound import PlainSound
from stage2_prior.clip_measurements import JudgedLine
from stage2_prior.clip_sampler import ClipSampler, HeardLine
from stage2_prior.clips import Clip, load_clips
from stage2_prior.config import PRESETS, PriorConfig
from stage2_prior.evaluate import NamedPrior, evaluate_prior
from stage2_prior.frechet import BANDS
from stage2_prior.likelihood import Likelihood, NoteBits
from stage2_prior.listener.accuracy import ListeningAccuracy
from stage2_prior.model import Prior
from stage2_prior.naive.network import NaivePrior, NaiveSizes
from stage2_prior.naive.sampling import sample_codes
from stage2_prior.sampling import SamplingSettings
from stage2_prior.sampling_defaults import SamplingDefaults

RATE = 44100
SECONDS = 4.5
ANNOTATIONS: dict[str, Any] = {
    "tempo": 120.0,
    "beats": [i * 0.5 for i in range(13)],
    "downbeats": [0.0, 2.0, 4.0, 6.0],
    "chords": [{"start": 0.0, "end": 6.0, "root": 9, "bass": 9, "pitch_classes": [9, 0, 4]}],
    "bass_notes": [{"onset": 2.0 * i, "duration": 2.0, "pitch": 33} for i in range(3)],
}

WriteSong = Callable[..., Path]


@pytest.fixture(scope="module")
def codec() -> VQVAECodec:
    torch.manual_seed(0)
    config = load_config(VQVAEConfig, VQVAE_PRESETS, "tiny", overrides=["model.hop=2048"])
    return VQVAECodec(VQVAE(config.model), config, fingerprint="test")


@pytest.fixture(scope="module")
def prior(codec: VQVAECodec) -> Prior:
    torch.manual_seed(0)
    config = load_config(PriorConfig, PRESETS, "tiny").model
    tuned = SamplingDefaults(guidance=2.5)
    return Prior(config, CodeFormat.of(codec), "untrained", tuned).eval()


def named(prior: Prior, name: str = "mine", **given: Any) -> NamedPrior:
    return NamedPrior(name, prior, SamplingSettings.of(prior, **{"candidates": 2, **given}))


@pytest.fixture(scope="module")
def codes(codec: VQVAECodec, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The codes of three test songs."""
    folder = tmp_path_factory.mktemp("codes")
    files = []
    for name in ("a", "bb", "ccc"):
        song = make_song(codec, name)
        files.append(folder / song.split / f"{song.track}.codes.safetensors")
        song.save(files[-1])
    write_manifest(folder, CodeFormat.of(codec), files)
    return folder


def make_song(codec: VQVAECodec, name: str, seconds: float = 6.0) -> SongCodes:
    rng = np.random.default_rng(len(name))
    samples = round(seconds * RATE)
    frames = codec.num_frames(samples)
    shape = (len(SOURCES), codec.num_codebooks, frames)
    return SongCodes(
        track=name,
        split="test",
        sources=SOURCES,
        sample_rate=RATE,
        hop=codec.hop,
        num_samples=samples,
        fingerprint=codec.fingerprint,
        gain=2.0,
        rms=dict.fromkeys(SOURCES, 0.1),
        views={
            view: rng.integers(0, codec.cardinality, shape).astype(np.uint16)
            for view in ("accompaniment", "alone")
        },
        notes=notes_to_tokens([Note(0.0, 6.0, 33)], frames, codec.frame_rate),
        note_confidence=np.ones(frames, np.float32),
        song=ANNOTATIONS,
    )


def test_a_whole_evaluation_with_the_songs_themselves(
    codes: Path,
    codec: VQVAECodec,
    prior: Prior,
    write_song: WriteSong,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(evaluate, "SECTION_CLIPS", 1)
    monkeypatch.setattr(evaluate, "GUIDANCES", (1.0,))
    for name in ("a", "bb", "ccc"):
        write_song(tmp_path / "songs" / "test" / name, seconds=6.0)
    priors = [named(prior)]
    report = evaluate_prior(
        codes,
        codec,
        priors,
        tmp_path / "out",
        songs=2,
        seconds=SECONDS,
        data=tmp_path / "songs",
        save_audio=tmp_path / "listen",
    )
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        "report.json",
        "report.md",
        "report.png",
    }
    assert report.songs == ("a", "bb")
    assert report.sound == {"name": "paper"}
    (figures,) = report.priors
    assert (figures.name, figures.fingerprint, figures.seeds) == ("mine", "untrained", (0, 1))
    assert report.differences == ()
    assert [row.name for row in report.comparison] == [
        "silence",
        "another song's bass",
        "true bass, a bar late",
        "generated",
        "generated, bass removed from the mixture",
        "true bass, from its codes",
        "true bass",
    ]
    assert report.comparison[0].figures["voiced_share"].mean == 0
    stem = report.comparison[-1]
    assert stem.frechet == pytest.approx(0, abs=1e-6)
    assert stem.figures["rms_db"].mean == pytest.approx(20 * np.log10(0.2 / 2**0.5), abs=0.1)
    assert report.comparison[0].figures["repetition"].songs == 0
    assert stem.figures["outside_range"].mean == 0
    assert [row.prior for row in report.comparison].count("mine") == 2
    sections = {section.name: section.figures for section in figures.sections}
    assert list(sections) == [
        "Codec",
        "Listener",
        "Bars",
        "Next code",
        "Given notes",
        "Continuation",
        "Generation",
        "Bass removal",
        "Guidance",
    ]
    assert sections["Bars"]["beats"].songs == 2
    assert "chord tones, difference" in sections["Bass removal"]
    assert "clips within 6 dB of 'true bass'" in sections["Generation"]
    assert list(sections["Given notes"]) == ["note guidance 1", "note guidance 2"]
    read = json.loads((tmp_path / "out" / "report.json").read_text())
    assert set(read) == {
        "split",
        "songs",
        "seconds",
        "codec",
        "sound",
        "priors",
        "comparison",
        "differences",
        "by_song",
    }
    for condition in ("the song", "its bars alone", "another song"):
        figure = f"bits/s of the notes, given {condition}"
        assert read["priors"][0]["likelihood"][figure]["songs"] == 2
    page = (tmp_path / "out" / "report.md").read_text()
    assert "another song's bass" in page
    frames = [codec.num_frames(round(seconds * RATE)) for seconds in (6.0, SECONDS)]
    start = (frames[0] - frames[1]) // 2 * codec.hop
    check_saved_audio(tmp_path / "listen", tmp_path / "songs", start)


def check_saved_audio(folder: Path, songs: Path, start: int) -> None:
    """Check the files of the songs "a" and "bb", whose clips begin at a sample of the songs."""
    ends = ["accompaniment", "true-bass"]
    ends += [f"mine{way}.{kind}" for way in ("", ".bass-removed") for kind in ("bass", "mix")]
    names = [
        f"{number:03d} {name}.{end}.wav" for number, name in enumerate(("a", "bb")) for end in ends
    ]
    assert sorted(path.name for path in folder.iterdir()) == sorted([*names, "figures.json"])
    sounds = {name: soundfile.read(folder / name)[0] for name in names[:4]}
    assert all(sound.shape == (round(SECONDS * RATE), 2) for sound in sounds.values())
    rest, bass, line, mix = sounds.values()
    true = soundfile.read(songs / "test" / "a" / "bass.wav")[0]
    np.testing.assert_allclose(bass, true[start : start + len(bass)], atol=1e-4)
    if np.abs(mix).max() < 0.99:
        np.testing.assert_allclose(mix, rest + line, atol=1e-4)
    content = json.loads((folder / "figures.json").read_text())
    assert [clip["song"] for clip in content["clips"]] == ["a", "bb"]
    assert content["clips"][1]["files"] == names[6:]
    assert content["clips"][0]["lines"]["silence"]["voiced_share"] == 0
    assert content["clips"][0]["lines"]["true bass"]["onset_f1"] is not None


def all_figures(value: float) -> BassFigures:
    figures: dict[str, Any] = dict.fromkeys(BassFigures.__dataclass_fields__, value)
    return BassFigures(**figures)


class Recorded:
    """Replaces everything that takes time, and records for which clip what was measured."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.calls: list[tuple[Any, ...]] = []
        for name, value in (
            ("codec_pitch_match", 0.25),
            ("given_notes_pitch_match", 0.5),
            ("continuation_figures", all_figures(0.1)),
            ("guided_figures", all_figures(0.2)),
            ("equal_codes", 0.75),
        ):
            monkeypatch.setattr(evaluate, name, self.measurement(name, value))
        monkeypatch.setattr(evaluate, "song_likelihood", self.likelihood)
        monkeypatch.setattr(evaluate, "bar_figures", self.bars)
        monkeypatch.setattr(evaluate, "compared_lines", self.lines)
        monkeypatch.setattr(evaluate, "judge_lines", self.judge)
        monkeypatch.setattr(
            evaluate.ClipSampler,
            "sample",
            lambda sampler, clip: f"line {clip.number} of seed {sampler.settings.seed}",
        )
        monkeypatch.setattr(
            evaluate.ClipSampler, "heard", lambda sampler, clip, line: f"sound of {line}"
        )

    def measurement(self, name: str, value: Any) -> Callable[..., Any]:
        def measure(sampler: Any, clip: Clip, *args: Any, **changes: Any) -> Any:
            self.calls.append((name, clip.number, *args, *changes.values()))
            return value

        return measure

    def likelihood(self, prior: Prior, song: Any, other: Any) -> Likelihood:
        self.calls.append(("likelihood", song.track, other.track))
        return Likelihood(
            seconds=1,
            notes=NoteBits(song=0.0, none=1.0, shuffled=2.0),
            codes=1.0,
            codes_alone=2.0,
            code_accuracy=(0.5,),
            listening=ListeningAccuracy(0.5, 0.5, 0.5, 0.5, 0.5, 0.5),
        )

    def bars(self, clips: Any, lines: Any) -> tuple[list[float], list[float]]:
        self.calls.append(("bars", *lines))
        return [0.5] * len(clips), [0.25] * len(clips)

    def lines(self, sampler: Any, clip: Clip, other: Clip, generated: Any) -> dict[str, Any]:
        self.calls.append(("lines", clip.number, other.number, dict(generated)))
        rows = {name: clip.number + 5 * index for index, name in enumerate(generated)}
        return rows | {"truth": clip.number + 10}

    def judge(self, lines: dict[str, int], clip: Clip) -> dict[str, JudgedLine]:
        return {
            name: JudgedLine(all_figures(line / 10), UNKNOWN_FORM, np.zeros((2, BANDS)))
            for name, line in lines.items()
        }


@dataclass
class Steps:
    """How far the progress bar should go, and how far it went."""

    total: int = 0
    advanced: int = 0


def count_steps(monkeypatch: pytest.MonkeyPatch) -> Steps:
    steps = Steps()

    def start(text: str, total: int) -> Any:
        steps.total = total
        return progress(text, total)

    def advance(*_: object) -> None:
        steps.advanced += 1

    monkeypatch.setattr(evaluate, "progress", start)
    monkeypatch.setattr("shared.console.ProgressBar.advance", advance)
    return steps


def test_every_clip_is_measured_and_the_next_one_lends_its_bass_and_accompaniment(
    codes: Path,
    codec: VQVAECodec,
    prior: Prior,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    recorded = Recorded(monkeypatch)
    monkeypatch.setattr(evaluate, "SECTION_CLIPS", 2)
    settings = SamplingSettings(seed=3, note_guidance=1.0)
    steps = count_steps(monkeypatch)
    priors = [NamedPrior("mine", prior, settings)]
    report = evaluate_prior(codes, codec, priors, tmp_path, seconds=SECONDS)
    (measured,) = report.priors
    assert measured.settings is settings
    assert measured.seeds == (3, 4, 5)
    assert steps.advanced == steps.total
    expected: list[tuple[Any, ...]] = [
        *(
            (
                "lines",
                number,
                (number + 1) % 3,
                {"generated": f"sound of line {number} of seed 3"},
            )
            for number in range(3)
        ),
        ("likelihood", "a", "bb"),
        ("likelihood", "bb", "ccc"),
        ("likelihood", "ccc", "a"),
        *(("given_notes_pitch_match", number, 1.0) for number in range(2)),
        *(("guided_figures", n, scale) for scale in (1.0, 3.0, 5.0) for n in range(2)),
        *(("equal_codes", number, f"line {number} of seed 3") for number in range(2)),
        *(("codec_pitch_match", number) for number in range(2)),
        ("bars", *(f"line {number} of seed 3" for number in range(3))),
        *(("continuation_figures", number) for number in range(2)),
    ]
    assert recorded.calls == expected
    rows = {row.name: row.figures["chord_tones"].mean for row in report.comparison}
    assert rows == pytest.approx({"generated": 0.1, "truth": 1.1})
    assert measured.likelihood["bits/s saved against none"].mean == 1
    figures = {
        section.name: next(iter(section.figures.values())).mean for section in measured.sections
    }
    assert figures == pytest.approx(
        {
            "Codec": 0.25,
            "Listener": 0.5,
            "Bars": 0.5,
            "Next code": 0.5,
            "Given notes": 0.5,
            "Continuation": 0.1,
            "Generation": 0.1,
            "Guidance": 0.2,
        }
    )


def test_several_priors_have_a_row_each_and_are_compared_song_by_song(
    codes: Path,
    codec: VQVAECodec,
    prior: Prior,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    recorded = Recorded(monkeypatch)
    steps = count_steps(monkeypatch)
    priors = [named(prior, "A", seed=3), named(prior, "B", seed=7)]
    report = evaluate_prior(codes, codec, priors, tmp_path, songs=2, seconds=SECONDS)
    assert steps.advanced == steps.total
    generated = {
        "generated by A": "sound of line 0 of seed 3",
        "generated by B": "sound of line 0 of seed 7",
    }
    assert ("lines", 0, 1, generated) in recorded.calls
    assert [(row.name, row.prior) for row in report.comparison] == [
        ("generated by A", "A"),
        ("generated by B", "B"),
        ("truth", None),
    ]
    (difference,) = report.differences
    tones = difference.figures["chord_tones"]
    assert difference.name == "B minus A"
    assert (tones.low, tones.mean, tones.high) == pytest.approx((0.5, 0.5, 0.5))
    assert [each.seeds for each in report.priors] == [(3, 4), (7, 8)]
    own = [
        next(section for section in each.sections if section.name == "Generation").figures
        for each in report.priors
    ]
    assert [each["chord tones"].mean for each in own] == pytest.approx([0.05, 0.55])
    assert list(report.by_song) == ["A", "B"]
    by_song = [report.by_song[name].values["chord tones"] for name in "AB"]
    assert [np.mean(values) for values in by_song] == pytest.approx([0.05, 0.55])
    assert report.by_song["A"].songs == report.songs
    assert "| chord tones |" in comparison_table(read_reports([tmp_path]))


def test_simple_lines_are_played_by_the_first_prior(
    codes: Path,
    codec: VQVAECodec,
    prior: Prior,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The lines themselves are the subject of test_baselines.py."""
    recorded = Recorded(monkeypatch)
    played: list[tuple[int, list[Note]]] = []
    grid = BarGrid.of(ANNOTATIONS["beats"], ANNOTATIONS["downbeats"], SECONDS)
    heard = SimpleNamespace(chords=[Chord(0.0, 6.0, 9, "maj", 9)], grid=grid)

    def perform(sampler: Any, clip: Clip, notes: list[Note]) -> str:
        played.append((clip.number, notes))
        return f"simple line {len(played)}"

    monkeypatch.setattr(evaluate.ClipSampler, "perform", perform)
    monkeypatch.setattr(
        evaluate.ClipSampler, "sample", lambda sampler, clip: SimpleNamespace(line=heard)
    )
    monkeypatch.setattr(evaluate.ClipSampler, "heard", lambda sampler, clip, line: "generated")
    report = evaluate_prior(
        codes, codec, [named(prior)], tmp_path, songs=2, seconds=SECONDS, baselines=True
    )
    expected = {ROOTS: "simple line 1", LAST_BARS: "simple line 2", "generated": "generated"}
    assert ("lines", 0, 1, expected) in recorded.calls
    assert [number for number, _ in played] == [0, 0, 1, 1]
    assert {note.pitch for _, notes in played for note in notes} == {33}
    assert [each.name for each in report.differences] == [
        f"mine minus '{ROOTS}'",
        f"mine minus '{LAST_BARS}'",
    ]


def test_a_plain_encoder_decoder_has_a_row_and_is_compared(
    codes: Path,
    codec: VQVAECodec,
    prior: Prior,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    recorded = Recorded(monkeypatch)
    sizes = NaiveSizes(dim=16, heads=2, depth=1, feedforward=1, window_seconds=2.0)
    naive = NaivePrior(sizes, CodeFormat.of(codec)).eval()
    priors = [named(prior, seed=3)]
    report = evaluate_prior(codes, codec, priors, tmp_path, songs=2, seconds=SECONDS, naive=naive)
    assert [each.name for each in report.differences] == [f"mine minus '{NAIVE}'"]
    lines = [call for call in recorded.calls if call[0] == "lines"]
    line = lines[1][3][NAIVE]
    assert list(lines[1][3]) == [NAIVE, "generated"]
    assert line.notes is None
    assert line.sound.shape == (2, round(SECONDS * RATE))
    clip = load_clips(codes, codec, "test", 2, SECONDS)[1]
    codes_of_line = sample_codes(naive, clip.accompaniment, priors[0].settings, 3 + 1)
    sampler = ClipSampler(codec, prior, priors[0].settings, PlainSound(codec))
    np.testing.assert_array_equal(line.sound, sampler.render(clip, codes_of_line).sound)
    other = replace(CodeFormat.of(codec), fingerprint="other")
    with pytest.raises(UserError, match="plain encoder-decoder"):
        evaluate_prior(codes, codec, priors, tmp_path, naive=NaivePrior(sizes, other))


def test_without_stems_the_saved_accompaniment_is_decoded_and_nothing_is_half_written(
    codes: Path,
    codec: VQVAECodec,
    prior: Prior,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    recorded = Recorded(monkeypatch)
    monkeypatch.setattr(evaluate.ClipSampler, "heard", lambda sampler, clip, line: silent(clip))

    def with_truth(sampler: Any, clip: Clip, other: Clip, lines: Any) -> dict[str, HeardLine]:
        return {**lines, "truth": silent(clip)}

    monkeypatch.setattr(evaluate, "compared_lines", with_truth)
    monkeypatch.setattr(
        evaluate,
        "judge_lines",
        lambda lines, clip: recorded.judge({name: clip.number for name in lines}, clip),
    )
    listen = tmp_path / "listen"

    def run() -> None:
        evaluate_prior(
            codes, codec, [named(prior)], tmp_path, songs=2, seconds=SECONDS, save_audio=listen
        )

    monkeypatch.setattr(evaluate, "draw_report", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        run()
    assert not list(listen.iterdir())
    monkeypatch.setattr(evaluate, "draw_report", lambda *_: None)
    run()
    assert len(list(listen.iterdir())) == 2 * 4 + 1
    rest, _ = soundfile.read(listen / "000 a.accompaniment.wav")
    mix, _ = soundfile.read(listen / "000 a.mine.mix.wav")
    assert rest.any()
    np.testing.assert_array_equal(mix, rest)


def silent(clip: Clip) -> HeardLine:
    return HeardLine(np.zeros((2, clip.num_samples), np.float32), [])


def test_what_cannot_be_evaluated(
    codes: Path, codec: VQVAECodec, prior: Prior, tmp_path: Path
) -> None:
    priors = [named(prior)]
    with pytest.raises(UserError, match="0 songs of the split 'valid'"):
        evaluate_prior(codes, codec, priors, tmp_path, split="valid", seconds=SECONDS)
    with pytest.raises(UserError, match="longer than 4 s"):
        evaluate_prior(codes, codec, priors, tmp_path, seconds=4.0)
    with pytest.raises(UserError, match="at least two songs"):
        evaluate_prior(codes, codec, priors, tmp_path, songs=1)
    stranger = Prior(prior.config, replace(prior.format, fingerprint="another"), "test")
    both = [*priors, named(stranger, "stranger")]
    with pytest.raises(UserError, match="'stranger' were made by the codec checkpoint another"):
        evaluate_prior(codes, codec, both, tmp_path, seconds=SECONDS)
    assert not list(tmp_path.iterdir())
