import shutil
from collections import Counter
from pathlib import Path

import pytest
import yaml

from shared.errors import UserError
from shared.songs.tracks import find_tracks, mix_name, musdb_validation_names, split_by_name
from shared.sources import SOURCES


def touch_song(folder: Path, suffix: str = ".wav") -> Path:
    folder.mkdir(parents=True)
    for source in SOURCES:
        (folder / f"{source}{suffix}").touch()
    return folder


def touch_musdb(root: Path, hq: bool) -> None:
    """MUSDB18's layout with its 14 validation songs, 86 more to train and 50 to test."""
    names = {
        "train": sorted(musdb_validation_names()) + [f"Band {i} - Song" for i in range(86)],
        "test": [f"Group {i} - Tune" for i in range(50)],
    }
    for split, songs in names.items():
        for name in songs:
            if hq:
                touch_song(root / split / name)
                (root / split / name / "mixture.wav").touch()
            else:
                (root / split).mkdir(parents=True, exist_ok=True)
                (root / split / f"{name}.stem.mp4").touch()


def names(root: Path) -> dict[str, list[str]]:
    tracks = find_tracks(root)
    return {s: [t.name for t in tracks if t.split == s] for s in ("train", "valid", "test")}


def test_validation_names_are_musdbs(musdb_config: Path) -> None:
    listed = yaml.safe_load(musdb_config.read_text())["validation_tracks"]
    assert musdb_validation_names() == set(listed)
    assert len(listed) == 14


@pytest.mark.parametrize("hq", [False, True])
def test_musdb_is_split_86_14_50(tmp_path: Path, hq: bool) -> None:
    touch_musdb(tmp_path, hq)
    splits = names(tmp_path)
    assert {split: len(songs) for split, songs in splits.items()} == {
        "train": 86,
        "valid": 14,
        "test": 50,
    }
    assert set(splits["valid"]) == musdb_validation_names()


@pytest.mark.skipif(
    not (shutil.which("ffmpeg") and shutil.which("ffprobe")),
    reason="musdb cannot be imported without the programs ffmpeg and ffprobe on PATH",
)
def test_splits_equal_musdbs(tmp_path: Path, stem_mp4: Path) -> None:
    import musdb

    touch_musdb(tmp_path, hq=False)
    few = {"Band 3 - Song", "Band 20 - Song", *sorted(musdb_validation_names())[:3]}
    for path in tmp_path.glob("*/*.stem.mp4"):
        path.unlink()
        if path.name.split(".")[0] in few or "Group 1" in path.name:
            path.symlink_to(stem_mp4)  # musdb probes each file, which takes a second
    ours = names(tmp_path)
    for split in ("train", "valid"):
        theirs = musdb.DB(root=str(tmp_path), subsets="train", split=split)
        assert ours[split] == [track.name for track in theirs]
    assert ours["test"] == [track.name for track in musdb.DB(root=str(tmp_path), subsets="test")]


def test_song_in_any_format_with_its_json(tmp_path: Path) -> None:
    for suffix in (".wav", ".flac", ".ogg", ".mp3", ".m4a"):
        touch_song(tmp_path / "train" / suffix[1:], suffix)
    (tmp_path / "train" / "ogg" / "song.json").touch()
    tracks = {track.name: track for track in find_tracks(tmp_path)}
    assert len(tracks) == 5
    assert tracks["ogg"].song_json == tmp_path / "train" / "ogg" / "song.json"
    assert tracks["wav"].song_json is None
    for track in tracks.values():
        assert track.stems is not None
        assert tuple(track.stems) == SOURCES
        assert all(path.suffix == f".{track.name}" for (path,) in track.stems.values())


def test_names_are_read_in_any_case_and_wav_first(tmp_path: Path) -> None:
    song = touch_song(tmp_path / "song")
    (song / "bass.wav").rename(song / "Bass.WAV")
    (song / "bass.mp3").touch()
    (track,) = find_tracks(tmp_path)
    assert track.stems is not None
    assert [path.name for path in track.stems["bass"]] == ["Bass.WAV"]


def test_slakhs_name_of_a_split_is_read(tmp_path: Path) -> None:
    for song in ("train/a", "validation/c", "test/d", "omitted/e"):
        touch_song(tmp_path / song)
    assert names(tmp_path) == {"train": ["a"], "valid": ["c"], "test": ["d"]}


def test_split_folders_decide(tmp_path: Path) -> None:
    for song in ("train/a", "train/b", "valid/c", "test/d"):
        touch_song(tmp_path / song)
    assert names(tmp_path) == {"train": ["a", "b"], "valid": ["c"], "test": ["d"]}


def test_train_and_test_without_valid_validates_on_a_tenth(tmp_path: Path) -> None:
    for i in range(20):
        touch_song(tmp_path / "train" / f"song {i}")
    touch_song(tmp_path / "test" / "last")
    splits = names(tmp_path)
    assert splits["test"] == ["last"]
    assert 1 <= len(splits["valid"]) <= 5
    assert len(splits["train"]) + len(splits["valid"]) == 20


def test_split_by_name_is_stable_and_near_its_shares() -> None:
    songs = [Path(f"song {i}") for i in range(1000)]
    whole = split_by_name(songs, valid=0.1, test=0.1)
    where = {song: split for split, members in whole.items() for song in members}
    assert len(where) == 1000
    counts = Counter(where.values())
    assert 70 < counts["valid"] < 130
    assert 70 < counts["test"] < 130
    half = split_by_name(songs[::-2], valid=0.1, test=0.1)
    assert all(where[song] == split for split, members in half.items() for song in members)


@pytest.mark.parametrize(("count", "valid", "test"), [(1, 0, 0), (2, 1, 0), (3, 1, 1), (4, 1, 1)])
def test_small_folders_validate_if_they_can(count: int, valid: int, test: int) -> None:
    splits = split_by_name([Path("abcd"[i]) for i in range(count)], valid=0.1, test=0.1)
    assert len(splits["valid"]) == valid
    assert len(splits["test"]) == test
    assert len(splits["train"]) == count - valid - test


def test_missing_stem_is_named(tmp_path: Path) -> None:
    song = touch_song(tmp_path / "train" / "half")
    (song / "drums.wav").unlink()
    (song / "other.wav").unlink()
    with pytest.raises(UserError, match=r"half has no drums and no other stem"):
        find_tracks(tmp_path)[0].require_whole()


def test_missing_folder(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="there is no folder"):
        find_tracks(tmp_path / "nowhere")


def test_folder_without_stems(tmp_path: Path) -> None:
    (tmp_path / "song").mkdir()
    (tmp_path / "song" / "mixture.wav").touch()
    (tmp_path / "notes.txt").touch()
    with pytest.raises(UserError, match="holds no songs"):
        find_tracks(tmp_path)


def test_two_songs_of_one_name(tmp_path: Path) -> None:
    touch_song(tmp_path / "train" / "song")
    (tmp_path / "train" / "song.stem.mp4").touch()
    with pytest.raises(UserError, match="two songs of one name"):
        find_tracks(tmp_path)


def test_a_broken_link_is_a_missing_stem(tmp_path: Path) -> None:
    song = touch_song(tmp_path / "song")
    (song / "bass.wav").unlink()
    (song / "bass.wav").symlink_to(tmp_path / "nowhere.wav")
    with pytest.raises(UserError, match="has no bass stem"):
        find_tracks(tmp_path)[0].require_whole()


@pytest.mark.parametrize(
    ("file", "name"),
    [("A - B.stem.mp4", "A - B"), ("my.mix.wav", "my.mix"), ("a.stem.wav", "a.stem")],
)
def test_names_of_mixes(file: str, name: str) -> None:
    assert mix_name(Path("songs") / file) == name
