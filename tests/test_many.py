"""Several songs: which ones are meant, how their files are called, and what one failure leaves."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from shared.atomic import NoSpaceError
from shared.errors import UserError
from shared.estimate import Estimate
from shared.reporting import Reporter, Result
from stage2_prior.many import HEADING, find_songs, names_of, write_songs


def touch(folder: Path, *names: str) -> list[Path]:
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / name for name in names]
    for path in paths:
        path.touch()
    return paths


def test_a_folder_stands_for_its_songs_but_not_for_what_was_written_there(tmp_path: Path) -> None:
    songs = touch(tmp_path, "a.wav", "b.MP3", "c.stem.mp4", "d.bass.wav")
    touch(tmp_path, "a.bass.wav", "a.mix.wav", "a.backing.flac", "a.json", "a.mid", "a.png")
    touch(tmp_path, ".hidden.wav", "notes.txt")
    touch(tmp_path / "deeper", "e.wav")
    assert find_songs([str(tmp_path)]) == songs


def test_files_and_patterns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    touch(tmp_path, "a.wav", "b.wav", "b.flac", "x[1].wav")
    touch(tmp_path / "deeper", "c.wav")
    assert [path.name for path in find_songs([f"{tmp_path}/?.wav"])] == ["a.wav", "b.wav"]
    assert len(find_songs([f"{tmp_path}/**/*.wav"])) == 4
    assert find_songs([f"{tmp_path}/x[1].wav"]) == [tmp_path / "x[1].wav"]
    assert find_songs(["missing.wav"]) == [Path("missing.wav")]  # refused when it is read
    monkeypatch.chdir(tmp_path)
    twice = ["b.wav", str(tmp_path / "a.wav"), "*.wav"]
    assert [path.name for path in find_songs(twice)] == ["b.wav", "a.wav", "x[1].wav"]


def test_what_stands_for_no_song_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="holds no songs"):
        find_songs([str(tmp_path)])
    with pytest.raises(UserError, match=r"no audio file is called .*\*\.wav"):
        find_songs([f"{tmp_path}/*.wav"])


def test_songs_of_one_name_get_different_files(tmp_path: Path) -> None:
    one = touch(tmp_path / "one", "mix.wav", "solo.wav")
    two = touch(tmp_path / "two", "MIX.wav", "a.wav", "a.flac")
    same = touch(tmp_path / "other" / "one", "mix.wav")
    names = names_of([*one, *two, *same])
    assert list(names.values()) == [
        "one - mix (1)",
        "solo",
        "two - MIX",
        "a.wav",
        "a.flac",
        "one - mix (6)",
    ]


class Recorder(Reporter):
    """Keeps what it is told."""

    def __init__(self) -> None:
        super().__init__(Estimate([], []))
        self.told: list[Any] = []

    def result(self, result: Result) -> None:
        self.told.append(result.song.name)

    def failed(self, song: Path, error: str) -> None:
        self.told.append((song.name, error))

    def table(self, heading: Any, rows: Any) -> None:
        self.told.append([heading, *rows])


def write(song: Path, name: str | None) -> Any:
    """Stands for the models, to which two songs do harm."""
    if song.name == "bad.wav":
        raise UserError(f"{song.name} is empty; copy it again")
    if song.name == "defect.wav":
        raise ZeroDivisionError
    if song.name == "full.wav":
        raise NoSpaceError("no space left in out")
    rows = {"tempo": "96.0 beats per minute", "key": "A minor", "new bass": "8 notes, E1-G2"}
    files = {"bass": Path(f"{name}.bass.wav"), "midi": Path(f"{name}.mid")}
    summary = SimpleNamespace(rows=rows)
    return [SimpleNamespace(result=Result(song, files, rows), files=files, summary=summary)]


def test_one_failure_does_not_stop_the_rest(capsys: pytest.CaptureFixture[str]) -> None:
    reporter = Recorder()
    songs = [Path(name) for name in ("a.wav", "bad.wav", "defect.wav", "b.wav")]
    outcomes = write_songs(songs, write, reporter, names_of(songs))
    defect = "a defect of the program (ZeroDivisionError, shown above)"
    empty = "bad.wav is empty; copy it again"
    assert [outcome.error for outcome in outcomes] == [None, empty, defect, None]
    *told, table = reporter.told
    assert told == ["a.wav", ("bad.wav", empty), ("defect.wav", defect), "b.wav"]
    assert table == [
        HEADING,
        ["a.wav", "96.0", "A minor", "8 notes, E1-G2", "2 files"],
        ["bad.wav", "", "", "", f"failed: {empty}"],
        ["defect.wav", "", "", "", f"failed: {defect}"],
        ["b.wav", "96.0", "A minor", "8 notes, E1-G2", "2 files"],
    ]
    assert "ZeroDivisionError" in capsys.readouterr().err


def test_songs_of_one_name_are_told_apart_in_the_table() -> None:
    reporter = Recorder()
    songs = [Path("x", "one", "mix.wav"), Path("x", "two", "mix.wav"), Path("x", "two", "b.wav")]
    write_songs(songs, write, reporter, names_of(songs))
    *_, table = reporter.told
    assert [row[0] for row in table[1:]] == ["one/mix.wav", "two/mix.wav", "b.wav"]


def test_a_full_disk_stops_all() -> None:
    with pytest.raises(NoSpaceError):
        write_songs([Path("full.wav"), Path("a.wav")], write, Recorder())


def test_a_single_song_fails_as_the_command_does() -> None:
    for name, error in (("bad.wav", UserError), ("defect.wav", ZeroDivisionError)):
        with pytest.raises(error):
            write_songs([Path(name)], write, Recorder())
    reporter = Recorder()
    write_songs([Path("a.wav")], write, reporter)
    assert reporter.told == ["a.wav"]
