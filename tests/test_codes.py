"""The codes file and the manifest: what is written is read again, the rest is refused."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from safetensors import safe_open
from safetensors.numpy import save_file

from shared.codes.codec import CodeFormat
from shared.codes.decoding import decode_file
from shared.codes.manifest import CodeFiles, Manifest, read_manifest, require_format, write_manifest
from shared.codes.song_codes import FORMAT, SongCodes, require_codec, require_fingerprint
from shared.errors import UserError
from shared.music.notes import NoteVocabulary
from shared.sources import SOURCES
from tests.toy_codec import ToyCodec


@pytest.fixture
def song() -> SongCodes:
    random = np.random.default_rng(0)
    return SongCodes(
        track="A - B",
        split="train",
        sources=SOURCES,
        sample_rate=100,
        hop=10,
        num_samples=60,
        fingerprint="toy-1",
        gain=0.5,
        rms=dict.fromkeys(SOURCES, 0.1),
        views={
            view: random.integers(0, 8, (4, 2, 7)).astype(np.uint16)
            for view in ("mixture", "accompaniment", "alone")
        },
        notes=np.arange(7, dtype=np.uint8),
        note_confidence=np.linspace(0, 1, 7, dtype=np.float32),
        song={"tempo": 120.0, "key": "A minor"},
    )


def test_a_saved_song_comes_back(song: SongCodes, tmp_path: Path) -> None:
    path = tmp_path / "song.codes.safetensors"
    song.save(path)
    loaded = SongCodes.load(path)
    for field in dataclasses.fields(SongCodes):
        before, after = getattr(song, field.name), getattr(loaded, field.name)
        if field.name == "views":
            assert before.keys() == after.keys()
            for view in before:
                np.testing.assert_array_equal(after[view], before[view])
        elif isinstance(before, np.ndarray):
            np.testing.assert_array_equal(after, before)
            assert after.dtype == before.dtype
        else:
            assert after == before
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


def test_a_slice_is_saved_in_its_own_order(song: SongCodes, tmp_path: Path) -> None:
    reversed_views = {name: codes[:, ::-1] for name, codes in song.views.items()}
    dataclasses.replace(song, views=reversed_views).save(tmp_path / "r.codes.safetensors")
    loaded = SongCodes.load(tmp_path / "r.codes.safetensors")
    np.testing.assert_array_equal(loaded.view("alone"), song.view("alone")[:, ::-1])


def test_notes_may_be_unknown(song: SongCodes, tmp_path: Path) -> None:
    unknown = dataclasses.replace(song, notes=None, note_confidence=None, song=None)
    unknown.save(tmp_path / "u.codes.safetensors")
    loaded = SongCodes.load(tmp_path / "u.codes.safetensors")
    assert loaded.notes is None
    assert loaded.song is None


def test_readable_without_this_project(song: SongCodes, tmp_path: Path) -> None:
    """The lines docs/codes.md gives."""
    song.save(tmp_path / "song.codes.safetensors")
    with safe_open(tmp_path / "song.codes.safetensors", framework="numpy") as file:
        header = json.loads(file.metadata()["header"])
        codes = file.get_tensor("codes.alone")
    bass = codes[header["sources"].index("bass")]
    np.testing.assert_array_equal(bass, song.view("alone")[1])


def test_sizes_and_rates(song: SongCodes) -> None:
    assert song.frame_rate == 10.0
    assert song.duration == 0.6
    assert song.num_frames == 7
    assert song.num_codebooks == 2
    assert song.source_index("bass") == 1


def test_unknown_view_and_source_are_named(song: SongCodes) -> None:
    with pytest.raises(UserError, match=r"no view 'solo'.*accompaniment"):
        song.view("solo")
    with pytest.raises(UserError, match=r"no source 'guitar'.*vocals"):
        song.source_index("guitar")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"views": {}}, "views are"),
        ({"views": {"solo": np.zeros((4, 2, 7), np.uint16)}}, "views are"),
        ({"views": {"alone": np.zeros((4, 2, 7), np.int64)}}, "int64"),
        ({"views": {"alone": np.zeros((3, 2, 7), np.uint16)}}, "3 sources"),
        ({"views": {"alone": np.zeros((4, 2, 0), np.uint16)}}, "no axis of length 0"),
        ({"notes": np.zeros(6, np.uint8)}, "'notes' is"),
        ({"notes": None}, "come together"),
        ({"notes": np.full(7, NoteVocabulary.size, np.uint8)}, "'notes' hold 97, expected .* 97"),
        ({"note_confidence": np.full(7, 1.01, np.float32)}, "outside 0 to 1"),
        ({"note_confidence": np.full(7, -0.01, np.float32)}, "outside 0 to 1"),
        ({"note_confidence": np.full(7, np.nan, np.float32)}, "outside 0 to 1"),
        ({"track": None}, "'track' is None, expected a text"),
        ({"fingerprint": 3}, "'fingerprint' is 3, expected a text"),
        ({"sample_rate": 44100.0}, "'sample_rate' is 44100.0, expected a whole number above 0"),
        ({"hop": 0}, "'hop' is 0, expected a whole number above 0"),
        ({"num_samples": -5}, "'num_samples' is -5"),
        ({"sources": ("bass", "bass", "drums", "other")}, "expected different names"),
        ({"gain": 0.0}, "'gain' is 0.0, expected a finite number above 0"),
        ({"gain": float("nan")}, "'gain' is nan"),
        ({"gain": "1"}, "'gain' is '1'"),
        ({"rms": {"bass": 0.1}}, "'rms' is .*, expected a level of 0 or more per source"),
        ({"rms": dict.fromkeys(SOURCES, -1.0)}, "'rms' is"),
        ({"rms": None}, "'rms' is None"),
    ],
)
def test_values_that_do_not_fit_are_refused(
    song: SongCodes, change: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(song, **change)


def test_what_is_not_a_codes_file_is_refused(song: SongCodes, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="there is no codes file"):
        SongCodes.load(tmp_path / "missing.codes.safetensors")

    text = tmp_path / "text.codes.safetensors"
    text.write_text("not codes")
    with pytest.raises(UserError, match="cannot read"):
        SongCodes.load(text)

    weights = tmp_path / "model.safetensors"
    save_file({"weight": np.zeros(3)}, weights)
    with pytest.raises(UserError, match="not a codes file"):
        SongCodes.load(weights)

    damaged = tmp_path / "damaged.codes.safetensors"
    save_file({"codes.alone": song.view("alone")}, damaged, {"format": FORMAT, "header": "{}"})
    with pytest.raises(UserError, match="damaged"):
        SongCodes.load(damaged)

    song.save(tmp_path / "song.codes.safetensors")
    cut = tmp_path / "cut.codes.safetensors"
    cut.write_bytes((tmp_path / "song.codes.safetensors").read_bytes()[:-10])
    with pytest.raises(UserError, match="cannot read"):
        SongCodes.load(cut)


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ("[]", "is damaged"),
        ('"song"', "is damaged"),
        ("{}", "it has no 'sources'"),
        ("[" * 100_000, "is damaged"),
        ({"hop": None}, "'hop' is None, expected a whole number"),
        ({"colour": "blue"}, "colour"),
        ({"song": {"tempo": "fast"}}, "'tempo' in its song facts is \"fast\""),
        ({"song": {"chords": 3}}, "'chords' in its song facts is 3"),
        ({"song": []}, "its song facts is \\[\\]"),
    ],
)
def test_a_damaged_header_is_refused_in_one_sentence(
    song: SongCodes, tmp_path: Path, header: str | dict[str, Any], message: str
) -> None:
    path = tmp_path / "song.codes.safetensors"
    song.save(path)
    with safe_open(path, framework="numpy") as file:
        written = json.loads(file.metadata()["header"])
        arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    text = header if isinstance(header, str) else json.dumps(written | header)
    save_file(arrays, path, {"format": FORMAT, "header": text})
    with pytest.raises(UserError, match=message) as caught:
        SongCodes.load(path)
    assert str(caught.value).startswith(f"codes file {path} is damaged (")
    assert str(caught.value).endswith("): extract it again")


def test_equal_songs_are_equal_bytes(song: SongCodes, tmp_path: Path) -> None:
    """With two texts in its header, about every second file would differ."""
    song.save(tmp_path / "first.codes.safetensors")
    expected = (tmp_path / "first.codes.safetensors").read_bytes()
    for _ in range(20):
        song.save(tmp_path / "again.codes.safetensors")
        assert (tmp_path / "again.codes.safetensors").read_bytes() == expected


def test_a_file_of_the_first_form_is_read(song: SongCodes, tmp_path: Path) -> None:
    """It had the format as a text of its own."""
    path = tmp_path / "song.codes.safetensors"
    song.save(path)
    with safe_open(path, framework="numpy") as file:
        header = json.loads(file.metadata()["header"])
        arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    assert header.pop("format") == FORMAT
    save_file(arrays, path, {"format": FORMAT, "header": json.dumps(header)})
    loaded = SongCodes.load(path)
    assert loaded.track == song.track
    np.testing.assert_array_equal(loaded.view("alone"), song.view("alone"))
    save_file(arrays, path, {"format": "song-codes/9", "header": json.dumps(header)})
    with pytest.raises(UserError, match="is not a codes file"):
        SongCodes.load(path)


def test_a_manifest_comes_back(tmp_path: Path) -> None:
    format = CodeFormat.of(ToyCodec())
    files = tuple(tmp_path / split / "song.codes.safetensors" for split in ("test", "train"))
    path = write_manifest(tmp_path, format, files[::-1])
    read = read_manifest(tmp_path)
    names = tuple(file.relative_to(tmp_path).as_posix() for file in files)
    assert read == Manifest(format, CodeFiles(tmp_path, names))
    assert list(read.files) == list(files)
    assert json.loads(path.read_text()) == {
        "sources": list(SOURCES),
        "codebooks": 2,
        "cardinality": 8,
        "sample_rate": 100,
        "hop": 10,
        "fingerprint": "toy-1",
        "files": ["test/song.codes.safetensors", "train/song.codes.safetensors"],
    }


@pytest.mark.parametrize(
    "text", ["{", "[]", "1", '"files"', "{}", '{"files": []}', '{"files": 1}', "[" * 100_000]
)
def test_a_damaged_manifest_is_refused(text: str, tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text(text)
    with pytest.raises(UserError, match=r"manifest\.json is damaged .*: remove it and run extract"):
        read_manifest(tmp_path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"cardinality": 0}, "'cardinality' must be from 1 to 65536, not 0"),
        ({"hop": -10}, "'hop' must be from 1"),
        ({"codebooks": 2.5}, "'codebooks' must be a whole number"),
        ({"sources": "bass"}, "'sources' must be a list"),
        ({"fingerprint": None}, "'fingerprint' must be a text"),
    ],
)
def test_a_manifest_is_checked(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    path = write_manifest(tmp_path, CodeFormat.of(ToyCodec()), [])
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(UserError, match=rf"manifest\.json is damaged \({message}.*run extract"):
        read_manifest(tmp_path)


@pytest.mark.parametrize(
    "name",
    ["/etc/passwd", "../other/a.codes.safetensors", "a/../../b", "", 3, ["x"], ["x", 1, None]],
)
def test_a_manifest_names_no_files_of_others(tmp_path: Path, name: Any) -> None:
    path = write_manifest(tmp_path, CodeFormat.of(ToyCodec()), [])
    path.write_text(json.dumps(json.loads(path.read_text()) | {"files": [name]}))
    with pytest.raises(UserError, match=r"manifest\.json is damaged"):
        read_manifest(tmp_path)


def test_a_folder_without_a_manifest_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no .*manifest\.json: make .* with extract-codes"):
        read_manifest(tmp_path)


def test_songs_must_fit_the_manifest(song: SongCodes) -> None:
    format = CodeFormat.of(ToyCodec())
    assert format.frame_rate == song.frame_rate
    require_format(song, format)
    with pytest.raises(UserError, match=r"'A - B' differ .* in hop, fingerprint: run"):
        require_format(song, dataclasses.replace(format, hop=20, fingerprint="toy-2"))
    with pytest.raises(UserError, match="a codebook has entries 0 to 3"):
        require_format(song, dataclasses.replace(format, cardinality=4))


def test_another_codecs_codes_are_refused_by_name() -> None:
    require_fingerprint("toy-1", "toy-1")
    with pytest.raises(UserError, match=r"codec checkpoint toy-1.*is toy-2"):
        require_fingerprint("toy-1", "toy-2")


def test_codes_must_fit_the_codec(song: SongCodes) -> None:
    with pytest.raises(
        UserError, match=r"have 20 samples per frame at 100 Hz, but .* has 10 at 100"
    ):
        require_codec(dataclasses.replace(song, hop=20), ToyCodec())
    require_codec(song, ToyCodec())
    with pytest.raises(UserError, match="shape"):
        require_codec(dataclasses.replace(song, num_samples=80), ToyCodec())
    song.view("alone")[0, 0, 0] = 8
    with pytest.raises(UserError, match="hold 8, but a codebook has entries 0 to 7"):
        require_codec(song, ToyCodec())


def test_codes_are_decoded_at_the_level_of_the_song(song: SongCodes, tmp_path: Path) -> None:
    file, out = tmp_path / "song.codes.safetensors", tmp_path / "out" / "song.wav"
    song.save(file)
    decode_file(file, out, ToyCodec(), "alone", ["bass"])
    samples, rate = soundfile.read(out, always_2d=True)
    assert (rate, samples.shape) == (100, (60, 2))
    codes = np.repeat(song.view("alone")[1, 0], 10)[:60]
    expected = codes / 32 / 0.5  # the song was encoded at half its level
    np.testing.assert_allclose(samples, np.stack([expected, expected], axis=1), atol=2e-5)

    decode_file(file, out, ToyCodec(), force=True)
    codes = np.repeat(song.view("mixture")[:, 0].sum(0), 10)[:60]
    assert codes.max() > 16  # beyond full scale
    samples, _ = soundfile.read(out, always_2d=True)
    np.testing.assert_allclose(samples[:, 0], codes / codes.max(), atol=5e-5)


def test_codes_of_another_codec_are_not_decoded(song: SongCodes, tmp_path: Path) -> None:
    file, out = tmp_path / "song.codes.safetensors", tmp_path / "song.wav"
    dataclasses.replace(song, fingerprint="toy-2").save(file)
    with pytest.raises(UserError, match=r"codec checkpoint toy-2.*in use is toy-1"):
        decode_file(file, out, ToyCodec())
    assert not out.exists()
