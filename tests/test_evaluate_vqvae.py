"""Evaluation and ablation: the files they leave, and figures of codecs whose figures are known."""

import json
import tracemalloc
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from shared.config import load_config
from shared.errors import UserError
from shared.music.song_facts import SongFacts
from shared.song_figures import read_reports
from shared.songs.cache import CachedSong, build_cache
from shared.sound.masking import HOP
from shared.sound.samples import rms
from shared.sources import BASS, SOURCES
from stage1_vqvae.ablate import ablate, variants
from stage1_vqvae.bass_report import BassCollector
from stage1_vqvae.bss_eval import bss_eval, load_museval
from stage1_vqvae.codec import VQVAECodec, load_codec
from stage1_vqvae.compare import compare_codecs
from stage1_vqvae.config import PRESETS, VQVAEConfig
from stage1_vqvae.embedding_report import SourceVectors, VectorCollector, embedding_report
from stage1_vqvae.evaluate import VQVAEReport, evaluate_vqvae, soft_and_hard, source_codes
from stage1_vqvae.harmony_probe import HarmonyCollector
from stage1_vqvae.quantizer import softness
from stage1_vqvae.sdr_table import PAPER, SdrRow, sdr_table
from stage1_vqvae.train import train_vqvae
from tests.conftest import WriteSong

Evaluated = tuple[VQVAEReport, Path]


@pytest.fixture(scope="module", autouse=True)
def _few_vectors() -> Iterator[None]:
    """The nearest neighbours and the t-SNE of 2,000 vectors take seconds."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("stage1_vqvae.embedding_report.FRAMES_PER_SOURCE", 40)
        yield


@pytest.fixture
def no_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    """t-SNE takes most of the time of a short evaluation."""
    monkeypatch.setattr("stage1_vqvae.evaluate.draw_tsne", lambda points, path: None)


@pytest.fixture(scope="module")
def config() -> VQVAEConfig:
    return load_config(VQVAEConfig, PRESETS, "tiny")


@pytest.fixture(scope="module")
def run(stem_folder: Path, config: VQVAEConfig, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("vqvae")
    train_vqvae(stem_folder, out, config, device="cpu")
    return out


@pytest.fixture(scope="module")
def evaluated(stem_folder: Path, run: Path, tmp_path_factory: pytest.TempPathFactory) -> Evaluated:
    out = tmp_path_factory.mktemp("evaluation")
    return evaluate_vqvae(stem_folder, run, out), out


def test_it_leaves_these_files(evaluated: Evaluated) -> None:
    _, out = evaluated
    assert sorted(p.name for p in out.iterdir()) == ["report.json", "report.md", "tsne.png"]
    assert (out / "tsne.png").read_bytes().startswith(b"\x89PNG")


def test_the_report_holds_all_rows(evaluated: Evaluated) -> None:
    report, out = evaluated
    assert [row.name for row in report.rows] == ["decoded", "masked", "floor", "ceiling"]
    assert (report.split, report.songs, report.seconds) == ("test", ("four",), 2.0)
    assert report.museval == ()
    content = json.loads((out / "report.json").read_text())
    assert content["rows"][0]["mean"] == pytest.approx(report.row("decoded").mean)
    assert content["soft_minus_hard"] == pytest.approx(report.soft - report.hard)
    text = (out / "report.md").read_text()
    for word in ("decoded", "masked", "floor", "ceiling", "paper: full", "1.31", "bit/s", *SOURCES):
        assert word in text


def test_the_report_has_the_figures_of_each_song(evaluated: Evaluated) -> None:
    report, out = evaluated
    figures = report.by_song["codec"]
    assert (figures.part, figures.songs) == ("split test, whole songs", ("four",))
    assert read_reports([out]) == {"codec": figures}
    for kind in ("decoded", "masked"):  # of one song, the median over songs is its own
        row = report.row(kind)
        assert figures.values[f"{kind}: SDR, dB"] == pytest.approx((row.mean,))
        for source in SOURCES:
            assert figures.values[f"{kind}: SDR of {source}, dB"] == (row.sdr[source],)


def test_codecs_are_put_on_one_table(
    evaluated: Evaluated, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    report, _ = evaluated
    calls = []

    def evaluate(data: Path, path: Path | None, out: Path, *given: Any, **named: Any) -> Any:
        calls.append((data, path, out, given, named))
        better = {
            figure: tuple(value + (named["name"] == "new") for value in column)
            for figure, column in report.by_song["codec"].values.items()
        }
        figures = replace(report.by_song["codec"], values=better)
        return replace(report, by_song={named["name"]: figures})

    monkeypatch.setattr("stage1_vqvae.compare.evaluate_vqvae", evaluate)
    codecs = {"old": None, "new": tmp_path / "run"}
    text = compare_codecs(tmp_path, codecs, tmp_path / "out", "valid", 3, 1.0, device="cpu")
    assert [call[:3] for call in calls] == [
        (tmp_path, None, tmp_path / "out" / "old"),
        (tmp_path, tmp_path / "run", tmp_path / "out" / "new"),
    ]
    assert all(call[3] == ("valid", 3, 1.0, False) for call in calls)
    for row in ("old: decoded", "new: masked", "floor", "paper: full"):
        assert f"| {row} |" in text
    sdr = next(line for line in text.splitlines() if line.startswith("| decoded: SDR, dB"))
    assert sdr.endswith("| 1.00 [1.00, 1.00] |")
    assert (tmp_path / "out" / "report.md").read_text() == text
    assert list(read_reports([tmp_path / "out"])) == ["old", "new"]
    with pytest.raises(UserError, match="label 'a/b' cannot name a folder"):
        compare_codecs(tmp_path, {"a/b": None, "c": None}, tmp_path / "out")


def test_the_report_has_the_sections_of_harmony_and_bass(evaluated: Evaluated) -> None:
    """Nothing is known of the harmony of this song."""
    report, out = evaluated
    assert report.harmony.root.songs == 0
    assert report.bass.songs == 1
    content = json.loads((out / "report.json").read_text())
    assert content["harmony"]["root"] == {
        "linear": None, "two_layers": None, "chance": None, "songs": 0, "frames": 0,
    }  # fmt: skip
    (row,) = content["bass"]["rows"]
    assert row["name"] == "decoder"
    assert [band["low"] for band in row["sound"]["bands"]] == [30, 120, 400, 1000, 3000]
    text = (out / "report.md").read_text()
    assert "The root of the chord is known in 0 songs." in text
    assert "| decoder | " in text
    assert text.endswith(" |\n")


def test_harmony_is_read_and_the_bass_is_heard_where_the_song_is_measured(
    run: Path, write_song: WriteSong, tmp_path: Path, no_picture: None
) -> None:
    """The chord and the note are those of the middle, and the song without bass has no row."""
    for name in ("train/a", "valid/b", "test/c", "test/d", "test/e", "test/f"):
        silent = {"bass": np.zeros((88200, 2), np.float32)} if name == "test/f" else {}
        folder = write_song(tmp_path / "data" / name, seconds=2.0, **silent)
        facts = {
            "chords": [
                {"start": 0.0, "end": 0.5, "root": 1},
                {"start": 0.5, "end": 1.5, "root": 2},
            ],
            "bass_notes": [{"onset": 0.0, "duration": 0.5, "pitch": 40}],
        }
        (folder / "song.json").write_text(json.dumps(facts))
    report = evaluate_vqvae(tmp_path / "data", run, tmp_path / "out", seconds=1.0)
    assert report.harmony.root.songs == 4
    assert report.harmony.root.chance == report.harmony.root.linear == 1  # all have the root 2
    assert report.harmony.bass.songs == 0
    assert report.bass.songs == 3


def test_a_bass_decoder_gives_a_second_row(
    run: Path, stem_folder: Path, tmp_path: Path, no_picture: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Silence:
        def decode(self, codes: np.ndarray, notes: None, num_samples: int) -> np.ndarray:
            assert codes.shape == (2, load_codec(run).num_frames(num_samples))
            return np.zeros((2, num_samples), np.float32)

    def load(path: Path, codec: VQVAECodec, device: str) -> Silence:
        assert path == tmp_path / "bass"
        return Silence()

    monkeypatch.setattr("stage1_vqvae.evaluate.load_bass_decoder", load)
    bass = tmp_path / "bass"
    report = evaluate_vqvae(stem_folder, run, tmp_path / "out", seconds=1.0, bass_decoder=bass)
    assert [row.name for row in report.bass.rows] == ["decoder", "bass decoder"]
    assert report.bass.rows[1].sound.onset_f1 == 0


def test_both_sections_have_the_level_at_which_songs_are_encoded(
    run: Path, stem_folder: Path, tmp_path: Path, no_picture: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The accompaniment is read as a whole, and of a long bass only the middle is heard."""
    monkeypatch.setattr("stage1_vqvae.evaluate.LONGEST_SECONDS", 0.5)
    added: dict[type, tuple[np.ndarray, float]] = {}

    def add(collector: object, audio: np.ndarray, facts: SongFacts, start: float) -> None:
        added[type(collector)] = audio, start

    monkeypatch.setattr(HarmonyCollector, "add", add)
    monkeypatch.setattr(BassCollector, "add", add)
    evaluate_vqvae(stem_folder, run, tmp_path, seconds=1.0)
    stems = build_cache(stem_folder).split("test")[0].read_all(22050, 44100)
    accompaniment, start = added[HarmonyCollector]
    gain = 0.1 / rms(stems.sum(0) - stems[BASS])
    assert start == 0.5
    assert accompaniment == pytest.approx(gain * (stems.sum(0) - stems[BASS]), abs=1e-5)
    bass, start = added[BassCollector]
    assert start == 0.75
    assert bass == pytest.approx(gain * stems[BASS][:, 11025:33075], abs=1e-5)


def test_floor_and_ceiling_enclose_any_mask(evaluated: Evaluated) -> None:
    """The ideal mask is better than the mixture, and than the mask of an untrained codec."""
    report, _ = evaluated
    floor, masked, ceiling = (report.row(name) for name in ("floor", "masked", "ceiling"))
    for source in SOURCES:
        assert ceiling.sdr[source] > floor.sdr[source]
        assert ceiling.sdr[source] > masked.sdr[source]


def floor_of(stems: np.ndarray) -> list[float]:
    """The SDR of the mixture as the estimate of every source, written out."""
    stems = stems.astype(np.float64)
    seconds = stems.shape[-1] // 44100
    signal, error = (
        np.square(x[..., : seconds * 44100]).reshape(4, 2, seconds, 44100).sum((1, 3))
        for x in (stems, stems.sum(0) - stems)
    )
    return [float(sdr) for sdr in np.median(10 * np.log10(signal / error), axis=1)]


def test_the_floor_is_the_mixture(evaluated: Evaluated, stem_folder: Path) -> None:
    row = evaluated[0].row("floor")
    stems = build_cache(stem_folder).split("test")[0].read_all()
    assert [row.sdr[source] for source in SOURCES] == pytest.approx(floor_of(stems))


def test_decoding_from_codes_is_measured_on_whole_short_songs(evaluated: Evaluated) -> None:
    report, _ = evaluated
    assert report.hard == pytest.approx(report.row("decoded").mean)


def test_seconds_and_songs_are_limited(
    stem_folder: Path, run: Path, tmp_path: Path, no_picture: None
) -> None:
    report = evaluate_vqvae(stem_folder, run, tmp_path, "train", songs=1, seconds=1.0)
    assert (len(report.songs), report.seconds) == (1, 1.0)
    middle = build_cache(stem_folder).split("train")[0].read_all(22050, 44100)
    assert list(report.row("floor").sdr.values()) == pytest.approx(floor_of(middle))


def test_memory_does_not_grow_with_the_number_of_songs(
    run: Path, write_song: WriteSong, tmp_path: Path, no_picture: None
) -> None:
    for name in ("train/a", "valid/b", "test/c", "test/d", "test/e", "test/f"):
        write_song(tmp_path / "data" / name, seconds=1.0)

    def peak(songs: int) -> int:
        """Bytes that Python and numpy had allocated at most."""
        tracemalloc.start()
        evaluate_vqvae(tmp_path / "data", run, tmp_path / "out", songs=songs)
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return most

    evaluate_vqvae(tmp_path / "data", run, tmp_path / "out", songs=1)  # imports librosa, for one
    stems_of_a_song = 4 * 2 * 44100 * 4
    assert peak(4) - peak(1) < stems_of_a_song / 4


def test_a_long_song_is_read_in_blocks(
    run: Path,
    stem_folder: Path,
    tmp_path: Path,
    no_picture: None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its stems, mixture and masked estimates are never there as a whole."""
    monkeypatch.setattr("stage1_vqvae.evaluate.SHORT_SECONDS", 0.5)
    longest = 0
    read = CachedSong.read_all

    def spy(song: CachedSong, start: int = 0, length: int | None = None) -> np.ndarray:
        nonlocal longest
        samples = read(song, start, length)
        longest = max(longest, samples.shape[-1])
        return samples

    monkeypatch.setattr(CachedSong, "read_all", spy)
    monkeypatch.setattr("shared.sound.masking.BLOCK", 4 * HOP)
    monkeypatch.setattr("stage1_vqvae.evaluate.BLOCK", 4 * HOP)
    report = evaluate_vqvae(stem_folder, run, tmp_path)
    assert report.seconds == 2.0
    assert longest <= 0.5 * 44100


def test_mistakes(stem_folder: Path, run: Path, tmp_path: Path, write_song: WriteSong) -> None:
    with pytest.raises(UserError, match="at least 1"):
        evaluate_vqvae(stem_folder, run, tmp_path, songs=0)
    with pytest.raises(UserError, match="ask for more"):
        evaluate_vqvae(stem_folder, run, tmp_path, seconds=0.0)
    assert list(tmp_path.iterdir()) == []  # nothing half-written
    for name in ("train/a", "valid/b"):
        write_song(tmp_path / "data" / name)
    with pytest.raises(UserError, match="no song of the split 'test'"):
        evaluate_vqvae(tmp_path / "data", run, tmp_path / "out")
    with pytest.raises(UserError, match="no checkpoint"):
        evaluate_vqvae(stem_folder, tmp_path / "none", tmp_path / "out")
    with pytest.raises(UserError, match="no checkpoint"):
        evaluate_vqvae(stem_folder, run, tmp_path / "out", bass_decoder=tmp_path / "none")
    (write_song(tmp_path / "data/test/c") / "song.json").write_text('{"chords": 1}')
    with pytest.raises(UserError, match=r"'chords' in .*song\.json is 1, but it must be a list"):
        evaluate_vqvae(tmp_path / "data", run, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_source_codes_of_known_counts(run: Path) -> None:
    codec = load_codec(run)  # 2 codebooks of 8
    counts = np.zeros((4, 2, 8), np.int64)
    counts[:, 0] = 5  # all entries alike: 3 bits
    counts[:, 1, 3] = 40  # one entry: 0 bits
    bass = source_codes(codec, counts)["bass"]
    assert bass.raw_bits == pytest.approx(6 * codec.frame_rate)
    assert bass.entropy_bits == pytest.approx(3 * codec.frame_rate)
    assert bass.perplexity == pytest.approx((8, 1))
    assert bass.usage == (1, 1 / 8)


def codec_that_ends(run: Path, **schedule: float) -> VQVAECodec:
    codec = load_codec(run)
    changed = replace(codec.config.quantizer, **schedule)
    return VQVAECodec(codec.model, replace(codec.config, quantizer=changed), codec.fingerprint)


def test_soft_is_what_training_ends_on(run: Path, stem_folder: Path) -> None:
    """Soft vectors come nearer to those of codes as they cool; the hard phase ends on codes."""
    stems = build_cache(stem_folder).split("test")[0].read_all(0, 20_000)

    def lost(**schedule: float) -> float:
        soft, hard = soft_and_hard(codec_that_ends(run, **schedule), stems)
        assert soft.shape == hard.shape == stems.shape
        return float(np.abs(soft - hard).max())

    assert lost(hard_from=1.0, temperature_end=0.3) > 1e-3
    assert lost(hard_from=1.0, temperature_end=1e-6) < 1e-4
    assert lost(hard_from=0.85, temperature_end=0.3) == 0


def test_the_report_says_whether_training_ends_on_codes(evaluated: Evaluated) -> None:
    report, out = evaluated
    assert report.ends_on_codes
    assert report.soft == report.hard
    text = (out / "report.md").read_text()
    assert "Rounding to codes costs 0.00 dB; training ends on codes.\n" in text
    soft = replace(report, ends_on_codes=False, soft=report.hard + 0.25).as_markdown()
    assert "Rounding to codes costs 0.25 dB.\n" in soft


def test_vectors_that_name_their_source_score_best() -> None:
    rng = np.random.default_rng(0)
    source, group = np.repeat(np.arange(4), 30), np.tile([0, 1, 2], 40)
    apart = 10 * np.eye(4, 6)[source] + 0.1 * rng.standard_normal((120, 6))
    report = embedding_report(SourceVectors(apart, source, group))
    assert report.knn_accuracy == 1
    assert report.silhouette > 0.9
    mixed = embedding_report(SourceVectors(rng.standard_normal((120, 6)), source, group))
    assert mixed.knn_accuracy < 0.5
    assert abs(mixed.silhouette) < 0.1


def test_neighbours_in_the_same_song_do_not_count() -> None:
    """A vector that names the song, not the source, must not score."""
    source, group = np.repeat(np.arange(2), 60), np.tile(np.repeat([0, 1], 30), 2)
    own = 10 * np.eye(4)[2 * source + group]  # the source shows within a song only
    song = SourceVectors(
        own + 0.01 * np.random.default_rng(0).standard_normal((120, 4)), source, group
    )
    assert embedding_report(song).knn_accuracy < 0.9


def test_too_few_vectors_are_not_measured() -> None:
    report = embedding_report(SourceVectors(np.zeros((3, 2)), np.arange(3), np.arange(3)))
    assert np.isnan(report.knn_accuracy)
    assert report.frames == 3


def test_silent_stems_give_no_vectors(run: Path, stem_folder: Path) -> None:
    codec = load_codec(run)
    stems = build_cache(stem_folder).split("test")[0].read_all()
    stems[SOURCES.index("vocals")] = 0
    collector = VectorCollector(codec, num_songs=1)
    collector.add(stems, gain=1.0)
    points = collector.points()
    assert set(points.source) == {1, 2, 3}
    assert points.vectors.shape == (len(points.source), 4 * 2 * 4)
    assert set(points.group) == {0, 1}


def test_vectors_are_drawn_evenly_from_songs_each_of_which_is_a_group(
    run: Path, stem_folder: Path
) -> None:
    codec = load_codec(run)
    collector = VectorCollector(codec, num_songs=2)
    for song in build_cache(stem_folder).split("train"):
        collector.add(song.read_all(), gain=1.0)
    points = collector.points()
    for source in range(4):
        groups = points.group[points.source == source]
        assert np.bincount(groups).tolist() == [20, 20]  # 40 vectors of a source in all


def test_museval_gives_the_other_figures() -> None:
    rng = np.random.default_rng(0)
    references = rng.standard_normal((3, 2, 1500)).astype(np.float32)
    references[1] = 0
    figures = bss_eval(load_museval(), references, references + 0.1 * references[::-1], 1000)
    assert set(figures) == {"SIR", "SAR", "ISR"}
    for windows in figures.values():
        assert windows.shape[0] == 3
        assert np.isnan(windows[1]).all()
        assert np.isfinite(windows[[0, 2]]).all()


def test_museval_beside_our_own_figures(
    stem_folder: Path,
    run: Path,
    tmp_path: Path,
    no_picture: None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A stand-in gives the figures, because museval itself needs a minute for this second."""

    class Museval:
        @staticmethod
        def bss_eval(
            references: np.ndarray, estimates: np.ndarray, window: int, hop: int
        ) -> list[np.ndarray]:
            assert references.shape == estimates.shape == (4, 44100, 2)
            assert window == hop == 44100
            return [np.full((4, 1), figure) for figure in (1.0, 2.0, 3.0, 4.0)]  # SDR first

    monkeypatch.setattr("stage1_vqvae.evaluate.load_museval", Museval)
    report = evaluate_vqvae(stem_folder, run, tmp_path, seconds=1.0, museval=True)
    assert {row.name: row.mean for row in report.museval} == {
        f"{estimate}: {kind}": figure
        for estimate in ("decoded", "masked")
        for kind, figure in (("ISR", 2.0), ("SIR", 3.0), ("SAR", 4.0))
    }
    assert "| masked: SIR | 3.00 |" in (tmp_path / "report.md").read_text()


def test_rows_take_the_median_of_medians() -> None:
    windows = ([1.0, 2.0, 9.0], [3.0, 3.0], [20.0])
    scores = [np.tile(each, (4, 1)) for each in windows]
    for score in scores:
        score[1] = np.nan
    row = SdrRow.of("x", scores)
    assert row.sdr["vocals"] == 3
    assert np.isnan(row.sdr["bass"])
    assert row.mean == 3
    assert sdr_table([row]).splitlines()[-1] == "| x | 3.00 | - | 3.00 | 3.00 | 3.00 |"


def test_the_papers_means_are_its_means() -> None:
    assert [row.mean for row in PAPER] == pytest.approx([1.311, 1.280, 0.749], abs=2e-3)
    assert PAPER[0].sdr == {"vocals": 1.270, "bass": 1.761, "drums": 1.403, "other": 0.812}


def test_variants_differ_in_one_thing() -> None:
    full = load_config(VQVAEConfig, PRESETS, "compact")
    listed = variants(full)
    names = [variant.name for variant in listed]
    assert names[:3] == ["full", "without STFT", "without complement"]
    assert len(set(names)) == len({v.folder for v in listed}) == len(listed)
    assert all(v.config != full for v in listed[1:])
    by_name = {variant.name: variant.config for variant in listed}
    assert by_name["without STFT"].loss == replace(full.loss, stft=0.0, magnitude=0.0)
    assert by_name["with free logits"] == replace(
        full, model=replace(full.model, tied_logits=False)
    )
    shared = replace(full.model, shared_codebooks=True)
    assert by_name["with shared codebooks"] == replace(full, model=shared)
    plain = replace(full.remix, gain_low_db=0.0, gain_high_db=0.0, flip=False)
    assert by_name["without gain and flip"] == replace(full, remix=plain)
    alike = replace(full.remix, single_source=0.0)
    assert by_name["without single-source selection"] == replace(full, remix=alike)
    assert by_name["with AdamW"] == replace(full, train=replace(full.train, optimizer="adamw"))
    assert {v.config.train.seed for v in listed} == {full.train.seed}
    assert {v.config.train.steps for v in listed} == {full.train.steps}


def test_what_has_no_effect_is_no_variant() -> None:
    """If every step is straight-through, no mixture is cooled and no noise is faded in."""
    full = load_config(VQVAEConfig, PRESETS, "compact")
    assert full.quantizer.hard_from == 0
    by_name = {variant.name: variant.config for variant in variants(full)}
    assert not {"without usage", "without annealing", "without fading noise in"} & set(by_name)
    # Without the hard phase, the mixtures are soft and noisy throughout.
    soft = by_name["without hard phase"]
    assert soft == replace(full, quantizer=replace(full.quantizer, hard_from=1.0))
    states = [softness(soft.quantizer, step / 10) for step in range(10)]
    assert not any(state.hard for state in states)
    assert states[-1].noise > 0
    free = {variant.name for variant in variants(replace(full, quantizer=soft.quantizer))}
    assert {"without annealing", "without fading noise in"} <= free
    assert "without hard phase" not in free


def test_what_is_used_is_taken_away() -> None:
    full = load_config(VQVAEConfig, PRESETS, "tiny", overrides=["train.steps=100"])
    by_name = {variant.name: variant.config for variant in variants(full)}
    assert by_name["without usage"] == replace(full, loss=replace(full.loss, usage=0.0))
    assert {"without annealing", "without fading noise in", "without hard phase"} <= set(by_name)
    assert not {"with free logits", "with AdamW"} & set(by_name)


def test_the_papers_variants_of_the_paper_preset() -> None:
    paper = load_config(VQVAEConfig, PRESETS, "paper")
    names = [variant.name for variant in variants(paper)]
    assert names[:3] == ["full", "without STFT", "without complement"]
    absent = {
        "without SNR",
        "without usage",
        "without hard phase",
        "with free logits",
        "with shared codebooks",
        "without gain and flip",
        "without single-source selection",
        "with AdamW",
    }
    assert not absent & set(names)


def test_variants_are_measured_on_the_device_asked_for(
    stem_folder: Path, config: VQVAEConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def spy(path: Path, device: str) -> VQVAECodec:
        asked.append(device)
        return load_codec(path)

    monkeypatch.setattr("stage1_vqvae.ablate.load_codec", spy)
    ablate(stem_folder, tmp_path, config, ["full"], songs=1, seconds=1.0, device="auto")
    assert asked == ["auto"]


def test_ablate(
    stem_folder: Path, config: VQVAEConfig, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    only = ["full", "without complement"]
    first = ablate(stem_folder, tmp_path, config, only, seconds=1.0, device="cpu")
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "full", "report.json", "report.md", "without-complement",
    ]  # fmt: skip
    assert [f.row.name for f in first.figures] == only
    assert all(f.perplexity >= 1 for f in first.figures)
    for name, complement in (("full", True), ("without-complement", False)):
        trained = json.loads((tmp_path / name / "model.json").read_text())
        assert trained["config"]["loss"]["complement"] is complement
    text = (tmp_path / "report.md").read_text()
    assert "| without complement |" in text
    assert "paper: without complement" in text
    stamp = (tmp_path / "full" / "model.safetensors").stat().st_mtime_ns
    again = ablate(stem_folder, tmp_path, config, only, seconds=1.0, device="cpu")
    assert again.as_dict() == first.as_dict()
    assert (
        tmp_path / "full" / "model.safetensors"
    ).stat().st_mtime_ns == stamp  # not trained again
    with pytest.raises(UserError, match="no variant 'half' of this recipe: choose from full"):
        ablate(stem_folder, tmp_path, config, ["half"], device="cpu")
