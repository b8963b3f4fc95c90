"""Extraction of codes: four views, notes, what is skipped, what is refused."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch

from shared.codes.codec import CodeFormat
from shared.codes.manifest import read_manifest
from shared.codes.song_codes import SongCodes
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
from stage1_vqvae.extract import LOCK_NAME, extract_codes
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
            raise MemoryError
        return encode(song, *given)

    with monkeypatch.context() as patch:
        patch.setattr(extract, "encode_song", killed)
        with pytest.raises(MemoryError):
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
def test_a_bad_song_json_is_refused_before_anything_is_encoded(
    data: Path, codec: VQVAECodec, tmp_path: Path, content: str, message: str
) -> None:
    (data / "valid/two/song.json").write_text(content)
    with pytest.raises(UserError, match=message):
        extract_codes(data, codec, tmp_path / "codes")
    assert not (tmp_path / "codes").exists()


def test_refuses_to_mix_codecs(data: Path, codec: VQVAECodec, tmp_path: Path) -> None:
    out = tmp_path / "codes"
    extract_codes(data, codec, out)
    other = VQVAECodec(codec.model, load_config(VQVAEConfig, PRESETS, "tiny"), "another")
    with pytest.raises(UserError, match=r"0123456789abcdef.*another"):
        extract_codes(data, other, out)
