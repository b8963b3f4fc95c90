"""Data sets of real songs' progressions: names, splits, licences, and runs that are interrupted."""

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

import cli
from shared.band.dataset import MANIFEST, make_dataset
from shared.band.mma import mma_library
from shared.band.song_jobs import chord_jobs, composed_jobs, even_choice
from shared.band.songbook.progressions import ChordSpan, Progression, read_songbooks
from shared.errors import UserError
from shared.music.chord_notation import read_symbol
from shared.music.song_facts import read_song_facts
from shared.shard import Shard
from tests.test_band_dataset import content_of, stop_after

SPLITS = (0.8, 0.1, 0.1)
SONG: dict[str, Any] = {
    "src": "my songs", "lic": "CC0-1.0", "meter": "4/4", "tempo": 120, "key": "A:min",
    "style": "pop", "bars": [[8, 4]],
    "chords": [[4, "A:min"], [4, "F:maj"], [4, "C:maj"], [4, "G:7"]] * 2,
}  # fmt: skip
ROOTS = (9, 5, 0, 7)


def write_songs(path: Path, *names: str, damaged: str = "") -> Path:
    lines = [json.dumps({**SONG, "id": name, "th": name[0]}) for name in names]
    path.write_text("\n".join([*lines, damaged]) + "\n")
    return path


def arguments(chords: Path) -> dict[str, Any]:
    return {"songs": 1, "seed": 3, "seconds": 10.0, "chords": [chords]}


@pytest.fixture(scope="module")
def chords(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two songs, and a damaged one."""
    folder = tmp_path_factory.mktemp("chords")
    return write_songs(folder / "songs.jsonl", "a one", "b", damaged='{"meter": "4/4"}')


@pytest.fixture(scope="module")
def dataset(chords: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data set of an uninterrupted run. Do not write into it."""
    out = tmp_path_factory.mktemp("dataset")
    report = make_dataset(out, **arguments(chords))
    assert {name.split("/")[1] for name in report.songs} == {"band-00000", "a_one", "b"}
    (dropped,) = report.dropped
    assert dropped.name == f"{chords}, line 3"
    assert dropped.reason == "it has no list of chords"
    return out


def test_a_song_has_its_chords_transposed_and_its_licence(dataset: Path) -> None:
    for name in ("a_one", "b"):
        (path,) = dataset.glob(f"*/{name}/song.json")
        facts = read_song_facts(path)
        assert facts.content["source"] == "my songs"
        assert facts.content["licence"] == "CC0-1.0"
        assert facts.content["sung_vocals"] is False
        changes = [facts.chords[0]]
        for chord in facts.chords[1:]:
            if chord.root != changes[-1].root:
                changes.append(chord)
        shift = (changes[0].root or 0) - ROOTS[0]
        assert [chord.root for chord in changes[:3]] == [(r + shift) % 12 for r in ROOTS[:3]]
        assert facts.bass_notes
    (composed,) = dataset.glob("*/band-00000/song.json")
    content = json.loads(composed.read_text())
    assert content["sung_vocals"] is False
    assert not {"source", "licence", "singers"} & set(content)


def test_an_interrupted_run_goes_on_to_the_same_bytes(
    dataset: Path, chords: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        stop_after(patch, 2, KeyboardInterrupt)
        with pytest.raises(KeyboardInterrupt):
            make_dataset(tmp_path, **arguments(chords))
    begun = stop_after(monkeypatch, 3, AssertionError)
    report = make_dataset(tmp_path, **arguments(chords))
    assert begun == ["b"]
    assert (len(report.songs), report.kept, len(report.dropped)) == (3, 2, 1)
    assert content_of(tmp_path) == content_of(dataset)


def test_two_workers_write_the_same_as_one(dataset: Path, chords: Path, tmp_path: Path) -> None:
    make_dataset(tmp_path, **arguments(chords), workers=2)
    assert content_of(tmp_path) == content_of(dataset)


def test_a_song_depends_on_the_seed_and_its_name_alone(dataset: Path, tmp_path: Path) -> None:
    other = write_songs(tmp_path / "other.jsonl", "c", "b")
    make_dataset(tmp_path / "out", songs=0, seed=3, seconds=10.0, chords=[other])
    (first,), (second,) = (list(folder.glob("*/b")) for folder in (dataset, tmp_path / "out"))
    assert first.parent.name == second.parent.name
    assert content_of(first) == content_of(second)


def test_changed_files_and_numbers_are_refused(dataset: Path, chords: Path, tmp_path: Path) -> None:
    before = content_of(dataset)
    changed = write_songs(tmp_path / "songs.jsonl", "a one", "b", "c")
    with pytest.raises(UserError, match="another value of chords: give"):
        make_dataset(dataset, **arguments(changed))
    with pytest.raises(UserError, match="another value of chord_songs: give"):
        make_dataset(dataset, **arguments(chords), chord_songs=1)
    assert content_of(dataset) == before
    (recorded,) = json.loads((dataset / MANIFEST).read_text())["chords"]
    assert recorded["name"] == "songs.jsonl"
    assert len(recorded["sha256"]) == 64


def song(name: str, title: str | None) -> Progression:
    chords = (ChordSpan(0.0, 32.0, read_symbol("Am")),)
    return Progression(name, "4/4", 100.0, 9, "minor", chords, title=title)


def test_versions_of_a_song_are_in_one_split() -> None:
    songs = [song(f"{version} {title}", f"t{title}") for title in range(300) for version in "abc"]
    jobs = chord_jobs(songs, 0, SPLITS)
    of_titles: dict[str | None, set[str]] = {}
    for each, job in zip(songs, jobs, strict=True):
        of_titles.setdefault(each.title, set()).add(job.split)
    assert all(len(splits) == 1 for splits in of_titles.values())
    shares = [sum(job.split == name for job in jobs) / 900 for name in ("train", "valid", "test")]
    assert shares == pytest.approx(SPLITS, abs=0.07)
    assert [job.split for job in chord_jobs(songs[:9], 7, SPLITS)] == [j.split for j in jobs[:9]]
    assert {job.split for job in chord_jobs(songs, 0, (0.0, 0.0, 1.0))} == {"test"}
    unnamed = [song(name, None) for name in "abcdefgh"]
    assert len({job.split for job in chord_jobs(unnamed, 0, (0.4, 0.3, 0.3))}) > 1


def test_no_two_songs_have_one_name() -> None:
    songs = [song("band-00000", "x"), song("My song!", "y"), song("my/song", "z")]
    others = composed_jobs(1, 0, None, SPLITS)
    jobs = chord_jobs(songs, 0, SPLITS, others)
    assert [job.name for job in jobs] == ["band-00000_", "My_song", "my_song_"]
    assert len({job.seed for job in jobs}) == 3
    assert [job.progression for job in jobs] == songs


def test_some_songs_are_chosen_at_even_distances() -> None:
    songs = [song(str(number), None) for number in range(100)]
    assert [each.name for each in even_choice(songs, 4)] == ["12", "37", "62", "87"]
    assert even_choice(songs, None) == even_choice(songs, 100) == even_choice(songs, 999) == songs


def test_a_song_that_is_given_twice_is_made_once(chords: Path) -> None:
    book = read_songbooks([chords, chords.parent])
    assert [each.name for each in book.songs] == ["a one", "b"]
    assert [left.reason for left in book.left_out if "line" not in left.name] == [
        "it is given twice"
    ] * 2


def test_mistakes_are_told_before_anything_is_written(
    chords: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    empty = write_songs(tmp_path / "empty.jsonl", damaged="no JSON")
    out = tmp_path / "out"
    for change, words in (
        ({"chords": [empty]}, r"empty\.jsonl, line 1: it is not a JSON object"),
        ({"chords": [tmp_path / "none.jsonl"]}, r"cannot read .*none\.jsonl"),
        ({"chord_songs": 0}, "chord_songs is 0: give 1 or more"),
        ({"chord_songs": 1, "chords": []}, "give chords too"),
        ({"voice": 1.5}, r"voice is 1\.5: give a share"),
        ({"voice": -0.1}, r"voice is -0\.1: give a share"),
        ({"voice": float("nan")}, "voice is nan: give a share"),
    ):
        with pytest.raises(UserError, match=words):
            make_dataset(out, **{**arguments(chords), **change})
    monkeypatch.setattr(mma_library, "installed", lambda: False)
    with pytest.raises(UserError, match="mma is not installed; install Debian's package mma"):
        make_dataset(out, **arguments(chords), mma=True)
    assert not out.exists()


def test_options_reach_the_data_set(monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[Any] = []

    def record(*values: Any) -> None:
        given.extend(values)
        raise UserError("enough")

    monkeypatch.setattr("shared.band.dataset.make_dataset", record)
    words = "make-dataset --out x --chords a.jsonl --chords b --chord-songs 3"
    words += " --voice 0.25 --records 0.5 --shard 2/3"
    result = CliRunner().invoke(cli.app, words.split())
    assert result.stderr == "error: enough\n"
    assert given[:2] == [Path("x"), 100]
    assert given[-5:] == [[Path("a.jsonl"), Path("b")], 3, 0.25, 0.5, Shard(2, 3)]
