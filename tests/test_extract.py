"""Extraction of codes: four views, notes, what is skipped, what is refused."""

import errno
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from typer.testing import CliRunner

import cli
from shared.codes.codec import CodeFormat
from shared.codes.manifest import MANIFEST, read_manifest
from shared.codes.song_codes import SUFFIX, SongCodes
from shared.config import load_config
from shared.errors import UserError
from shared.music.notes import NoteVocabulary
from shared.shard import Shard
from shared.songs.augment import Variation
from shared.sound.levels import accompaniment_gain
from shared.sound.separation import separate_mixture
from shared.sources import BASS, SOURCES
from stage1_vqvae import extract
from stage1_vqvae.codec import VQVAECodec
from stage1_vqvae.config import PRESETS, VQVAEConfig
from stage1_vqvae.extract import LOCK_NAME, encode_song, extract_codes
from stage1_vqvae.model import VQVAE


@pytest.fixture(scope="module")
def codec() -> VQVAECodec:
    torch.manual_seed(0)
    config = load_config(VQVAEConfig, PRESETS, "tiny")
    return VQVAECodec(VQVAE(config.model), config, fingerprint="0123456789abcdef")


@pytest.fixture
def data(tmp_path: Path, write_song: Callable[..., Path]) -> Path:
    for name in ("train/one", "valid/two", "test/three"):
        write_song(tmp_path / "data" / name, seconds=1.0)
    notes = [{"onset": 0.25, "duration": 0.5, "pitch": 33}]
    (tmp_path / "data/train/one/song.json").write_text(json.dumps({"bass_notes": notes}))
    return tmp_path / "data"


def stems_of(folder: Path) -> np.ndarray:
    return np.stack([soundfile.read(folder / f"{s}.wav", dtype="float32")[0].T for s in SOURCES])


def test_views_are_what_they_say(data: Path, codec: VQVAECodec, tmp_path: Path) -> None:
    result = extract_codes(data, codec, tmp_path / "codes")
    assert (result.written, result.current) == (3, 0)
    song = SongCodes.load(tmp_path / "codes/train/one.codes.safetensors")
    stems = stems_of(data / "train/one")
    accompaniment = stems.sum(0) - stems[BASS]
    assert np.sqrt(np.square(accompaniment * song.gain).mean()) == pytest.approx(0.1, rel=1e-3)
    rest = stems.sum(0) - separate_mixture(stems.sum(0), codec, ["bass"])[0]
    expected = {
        "without_bass": codec.encode(rest * accompaniment_gain(rest)),
        "mixture": codec.encode(stems.sum(0) * song.gain),
        "accompaniment": codec.encode(accompaniment * song.gain),
        "alone": np.stack([codec.encode(s * song.gain)[i] for i, s in enumerate(stems)]),
    }
    for name, codes in expected.items():
        same = (song.view(name) == codes).mean()
        assert same > 0.995, name  # int16 rounding of the cache may tip a near tie
    assert song.fingerprint == codec.fingerprint
    assert song.num_frames == codec.num_frames(song.num_samples)
    assert song.rms["bass"] == pytest.approx(np.sqrt(np.square(stems[BASS]).mean()), rel=1e-3)


def test_notes_come_from_song_json_else_from_the_stem(
    data: Path, codec: VQVAECodec, tmp_path: Path
) -> None:
    extract_codes(data, codec, tmp_path / "codes")
    known = SongCodes.load(tmp_path / "codes/train/one.codes.safetensors")
    assert known.notes is not None
    assert known.note_confidence is not None
    struck = np.flatnonzero(known.notes == NoteVocabulary.onset(33))
    assert struck.tolist() == [round(0.25 * codec.frame_rate)]
    assert known.note_confidence.min() == 1
    song = SongCodes.load(tmp_path / "codes/valid/two.codes.safetensors")
    assert song.notes is not None
    assert song.song is None
    assert song.notes.shape == (song.num_frames,)


def test_skips_what_is_current(data: Path, codec: VQVAECodec, tmp_path: Path) -> None:
    out = tmp_path / "codes"
    extract_codes(data, codec, out)
    (out / "valid/two.codes.safetensors").write_bytes(b"damaged")
    (out / "test/three.codes.safetensors").unlink()
    again = extract_codes(data, codec, out)
    assert (again.written, again.current) == (2, 1)
    manifest = read_manifest(out)
    assert manifest.format == CodeFormat.of(codec)
    names = ("test/three", "train/one", "valid/two")
    assert tuple(manifest.files) == tuple(out / f"{name}.codes.safetensors" for name in names)


def test_songs_whose_audio_is_gone_are_kept_if_asked(
    data: Path, codec: VQVAECodec, tmp_path: Path
) -> None:
    """Data that is rendered in parts, each of which is deleted once it is encoded."""
    out = tmp_path / "codes"
    names = ("test/three", "train/one", "valid/two")
    for name in names:
        part = tmp_path / name.replace("/", "-")
        shutil.copytree(data / name, part / name)
        extract_codes(part, codec, out, add=True)
        shutil.rmtree(part)
    assert tuple(read_manifest(out).files) == tuple(
        out / f"{name}.codes.safetensors" for name in names
    )
    only = tmp_path / "only"
    shutil.copytree(data / "train", only / "train")
    extract_codes(only, codec, out)
    assert tuple(read_manifest(out).files) == (out / "train/one.codes.safetensors",)


def contents(folder: Path) -> dict[str, bytes]:
    files = [path for path in folder.rglob("*") if path.is_file() and path.name != LOCK_NAME]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def test_parts_together_are_the_whole(
    data: Path, codec: VQVAECodec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In any order; and a part that was killed is finished when it is run again."""
    variations = [Variation(), Variation(semitones=1)]
    extract_codes(data, codec, tmp_path / "whole", variations)
    out = tmp_path / "parts"
    first = extract_codes(data, codec, out, variations, shard=Shard(3, 3))
    assert (first.written, first.current) == (1, 0)
    assert len(read_manifest(out).files) == 1
    encode = extract.encode_song

    def killed(song: Any, *given: Any) -> SongCodes:
        if song.name == "three":
            raise KeyboardInterrupt
        return encode(song, *given)

    with monkeypatch.context() as patch:
        patch.setattr(extract, "encode_song", killed)
        with pytest.raises(KeyboardInterrupt):
            extract_codes(data, codec, out, variations, shard=Shard(1, 3))
    again = extract_codes(data, codec, out, variations, shard=Shard(1, 3))
    assert (again.written, again.current) == (1, 1)
    extract_codes(data, codec, out, variations, shard=Shard(2, 3))
    assert contents(out) == contents(tmp_path / "whole")


def test_an_edited_song_json_is_read_again(data: Path, codec: VQVAECodec, tmp_path: Path) -> None:
    out, file = tmp_path / "codes", data / "train/one/song.json"
    variations = [Variation(), Variation(semitones=2)]
    extract_codes(data, codec, out, variations)
    assert extract_codes(data, codec, out, variations).written == 0
    notes = [{"onset": 0.25, "duration": 0.5, "pitch": 40}]
    file.write_text(json.dumps({"bass_notes": notes}))
    assert extract_codes(data, codec, out, variations).written == 2  # the song, and its variation
    for name, pitch in (("one", 40), ("one@+2", 42)):
        tokens = SongCodes.load(out / f"train/{name}.codes.safetensors").notes
        assert tokens is not None
        assert NoteVocabulary.onset(pitch) in tokens


def test_variations_are_for_training_songs_only(
    data: Path, codec: VQVAECodec, tmp_path: Path
) -> None:
    out = tmp_path / "codes"
    extract_codes(data, codec, out, [Variation(), Variation(semitones=2)])
    names = sorted(str(p.relative_to(out)) for p in out.rglob("*.safetensors"))
    assert names == [
        "test/three.codes.safetensors",
        "train/one.codes.safetensors",
        "train/one@+2.codes.safetensors",
        "valid/two.codes.safetensors",
    ]
    plain = SongCodes.load(out / "train/one.codes.safetensors")
    moved = SongCodes.load(out / "train/one@+2.codes.safetensors")
    assert moved.song is not None
    assert moved.song["bass_notes"][0]["pitch"] == 35
    same = moved.view("alone") == plain.view("alone")
    assert same[SOURCES.index("drums")].mean() > 0.9  # only their gain differs a little
    assert same[BASS].mean() < 0.9


UNKNOWN: dict[str, Any] = {
    "tempo": None,
    "key": "G# minor",
    "beats": None,
    "chords": [{"start": 0.0, "end": 1.0, "root": 8, "quality": "min", "bass": None}],
    "bass_notes": None,
}


@pytest.mark.parametrize("content", [UNKNOWN, UNKNOWN | {"chords": None}])
def test_a_song_whose_facts_are_partly_unknown_is_transposed(
    data: Path, codec: VQVAECodec, tmp_path: Path, content: dict[str, Any]
) -> None:
    (data / "train/one/song.json").write_text(json.dumps(content))
    extract_codes(data, codec, tmp_path / "codes", [Variation(), Variation(semitones=2)])
    plain = SongCodes.load(tmp_path / "codes/train/one.codes.safetensors")
    assert plain.song == content
    assert plain.notes is not None  # found by the tracker
    moved = SongCodes.load(tmp_path / "codes/train/one@+2.codes.safetensors")
    assert moved.song is not None
    assert (moved.song["tempo"], moved.song["key"]) == (None, "Bb minor")
    assert [chord.root for chord in moved.facts.chords] == [10] * len(content["chords"] or ())


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", r"cannot read .*valid/two/song\.json"),
        ('{"tempo": NaN}', r"'tempo' in .*valid/two/song\.json is NaN"),
        (
            '{"bass_notes": [{"onset": 0}]}',
            r"'bass_notes\[0\]' in .*two/song\.json has no 'duration'",
        ),
    ],
)
def test_a_song_with_a_bad_song_json_is_named_and_the_others_are_encoded(
    data: Path, codec: VQVAECodec, tmp_path: Path, content: str, message: str
) -> None:
    (data / "valid/two/song.json").write_text(content)
    done = extract_codes(data, codec, tmp_path / "codes")
    assert (done.written, done.current) == (2, 0)
    (failed,) = done.failed
    assert failed.name == "valid/two"
    assert re.search(message, failed.reason)


def listed(out: Path) -> list[str]:
    return [name.removesuffix(SUFFIX) for name in read_manifest(out).files.names]


def test_all_but_the_defective_songs_are_encoded_and_a_rerun_tries_only_these(
    data: Path,
    codec: VQVAECodec,
    tmp_path: Path,
    write_song: Callable[..., Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """They are listed by name with their reasons, and once they are mended they are encoded."""
    out, noise = tmp_path / "codes", b"no audio file"
    (write_song(data / "train/noise") / "drums.wav").write_bytes(noise)
    write_song(data / "train/short", seconds=1.0)
    soundfile.write(data / "train/short/bass.wav", np.zeros((3 * 44100, 2)), 44100)
    (write_song(data / "valid/half") / "other.wav").unlink()
    variations = [Variation(), Variation(semitones=1)]
    done = extract_codes(data, codec, out, variations)
    assert (done.written, done.current) == (4, 0)
    assert [song.name for song in done.failed] == ["train/noise", "train/short", "valid/half"]
    reasons = ("drums.wav", "differ in length: bass 132300", "half has no other stem")
    for song, reason in zip(done.failed, reasons, strict=True):
        assert reason in song.reason
    encoded = ["test/three", "train/one", "train/one@+1", "valid/two"]
    assert listed(out) == encoded
    assert sorted(contents(out)) == sorted([f"{name}{SUFFIX}" for name in encoded] + [MANIFEST])
    for name in ("train/noise", "train/short"):
        write_song(data / name)
    seen = []

    def encode(song: Any, *given: Any) -> SongCodes:
        seen.append(song.name)
        return encode_song(song, *given)

    monkeypatch.setattr(extract, "encode_song", encode)
    again = extract_codes(data, codec, out, variations)
    assert seen == ["noise", "noise", "short", "short"]
    assert (again.written, again.current) == (4, 4)
    assert [song.name for song in again.failed] == ["valid/half"]


def test_codes_that_a_song_had_before_it_failed_are_not_listed(
    data: Path, codec: VQVAECodec, tmp_path: Path
) -> None:
    out = tmp_path / "codes"
    extract_codes(data, codec, out)
    (data / "train/one/song.json").write_text("{")
    for add in (False, True):
        done = extract_codes(data, codec, out, add=add)
        assert ([song.name for song in done.failed], done.current) == (["train/one"], 2)
        assert listed(out) == ["test/three", "valid/two"]


def test_a_song_at_which_the_program_fails_does_not_stop_the_others(
    data: Path,
    codec: VQVAECodec,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def encode(song: Any, *given: Any) -> SongCodes:
        if song.name == "one":
            raise ZeroDivisionError
        return encode_song(song, *given)

    monkeypatch.setattr(extract, "encode_song", encode)
    done = extract_codes(data, codec, tmp_path / "codes")
    assert [str(song) for song in done.failed] == [
        "train/one: a defect of the program (ZeroDivisionError, shown above)"
    ]
    assert "ZeroDivisionError" in capsys.readouterr().err
    assert listed(tmp_path / "codes") == ["test/three", "valid/two"]


def test_parts_divide_the_work_in_the_same_way_whatever_fails(
    data: Path, codec: VQVAECodec, tmp_path: Path
) -> None:
    (data / "train/one/song.json").write_text("{")
    parts = [
        extract_codes(data, codec, tmp_path / "codes", shard=Shard(number, 3))
        for number in (1, 2, 3)
    ]
    assert [part.written for part in parts] == [0, 1, 1]
    assert [len(part.failed) for part in parts] == [1, 0, 0]
    assert listed(tmp_path / "codes") == ["test/three", "valid/two"]


def test_a_full_disk_stops_the_extraction(
    data: Path, codec: VQVAECodec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def encode(*_: Any) -> SongCodes:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(extract, "encode_song", encode)
    with pytest.raises(OSError, match="No space left"):
        extract_codes(data, codec, tmp_path / "codes")


def test_the_command_ends_with_1_and_lists_what_failed(
    data: Path, codec: VQVAECodec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stage1_vqvae.codec.load_codec", lambda *_: codec)
    out = tmp_path / "codes"
    arguments = ["extract-codes", "--data", str(data), "--out", str(out)]
    (data / "valid/two/bass.wav").write_bytes(b"")
    failed = CliRunner().invoke(cli.app, arguments)
    assert failed.exit_code == 1
    assert failed.stdout == f"{out / MANIFEST}: 2 written, 0 already there, 1 failed\n"
    assert failed.stderr == (
        f"failed valid/two: {data}/valid/two/bass.wav is empty (0 bytes); copy or export it again\n"
    )
    shutil.copy(data / "valid/two/drums.wav", data / "valid/two/bass.wav")
    mended = CliRunner().invoke(cli.app, arguments)
    assert (mended.exit_code, mended.stderr) == (0, "")
    assert mended.stdout == f"{out / MANIFEST}: 1 written, 2 already there, 0 failed\n"


def test_refuses_to_mix_codecs(data: Path, codec: VQVAECodec, tmp_path: Path) -> None:
    out = tmp_path / "codes"
    extract_codes(data, codec, out)
    other = VQVAECodec(codec.model, load_config(VQVAEConfig, PRESETS, "tiny"), "another")
    with pytest.raises(UserError, match=r"0123456789abcdef.*another"):
        extract_codes(data, other, out)
