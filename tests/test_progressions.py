"""Chord progressions of real songs, from JSON lines and from text."""

import json
from pathlib import Path
from typing import Any

import pytest

from shared.band.composing.harmony import MODES
from shared.band.songbook.chord_keys import complete_key
from shared.band.songbook.progressions import (
    METERS,
    ChordSpan,
    Progression,
    read_songbook,
)
from shared.errors import UserError
from shared.music.chord_notation import ChordName

SONG: dict[str, Any] = {
    "id": "x-1", "src": "x", "lic": "CC0-1.0", "th": "abc", "meter": "4/4", "tempo": 90,
    "key": "A:min", "style": "pop", "bars": [[8, 4]],
    "chords": [[8, "A:min"], [8, "F:maj"], [8, "C:maj/3"], [8, "G:7"]],
    "sections": [[0, "verse"], [4, "chorus"]],
}  # fmt: skip


def read(tmp_path: Path, **changes: Any) -> Progression:
    path = tmp_path / "songs.jsonl"
    path.write_text(json.dumps(SONG | changes) + "\n")
    (song,) = read_songbook(path).songs
    return song


def reason(tmp_path: Path, **changes: Any) -> str:
    path = tmp_path / "songs.jsonl"
    path.write_text(json.dumps(SONG) + "\n" + json.dumps(SONG | changes) + "\n")
    songbook = read_songbook(path)
    (left_out,) = songbook.left_out
    assert left_out.name == f"{path}, line 2"
    assert len(songbook.songs) == 1
    assert "\n" not in left_out.reason
    return left_out.reason


def text_song(tmp_path: Path, text: str) -> Progression:
    path = tmp_path / "mine.txt"
    path.write_text(text)
    (song,) = read_songbook(path).songs
    return song


def test_a_song_of_json(tmp_path: Path) -> None:
    song = read(tmp_path)
    assert (song.meter, song.tempo, song.bars, song.beats_per_bar) == ("4/4", 90.0, 8, 4)
    assert (song.tonic, song.mode) == (9, "minor")
    assert (song.name, song.title, song.licence, song.style) == ("x-1", "abc", "CC0-1.0", "pop")
    assert song.sections == ((0, "verse"), (4, "chorus"))
    assert song.chords[2] == ChordSpan(16.0, 24.0, ChordName(0, "maj", 4))


def test_an_irregular_bar_cuts_the_song(tmp_path: Path) -> None:
    """A pick-up bar, eight bars, a bar of two beats, ten bars: the ten stay."""
    chords = [[1, "E:7"], [32, "A:min"], [2, "E:7"], [20, "C:maj"], [20, "F:maj"]]
    song = read(
        tmp_path,
        bars=[[1, 1], [8, 4], [1, 2], [10, 4]],
        chords=chords,
        sections=[[0, "intro"], [6, "verse"], [14, "chorus"]],
    )
    assert song.bars == 10
    assert song.chords[0] == ChordSpan(0.0, 20.0, ChordName(0, "maj", 0))
    assert song.sections == ((0, "verse"), (4, "chorus"))


@pytest.mark.parametrize(
    ("meter", "bars", "expected"),
    [
        ("2/2", [[8, 2]], ("4/4", 8, 180.0)),
        ("2/4", [[17, 2]], ("4/4", 8, 90.0)),
        ("6/4", [[4, 6]], ("3/4", 8, 90.0)),
        ("6/8", [[8, 2]], ("6/8", 8, 90.0)),
        ("12/8", [[8, 4]], ("12/8", 8, 90.0)),
        ("6/8", [[8, 4]], ("12/8", 8, 90.0)),
    ],
)
def test_meters(
    tmp_path: Path, meter: str, bars: list[list[int]], expected: tuple[str, int, float]
) -> None:
    beats = sum(count * length for count, length in bars)
    song = read(tmp_path, meter=meter, bars=bars, chords=[[beats, "C:maj"]], sections=[])
    assert (song.meter, song.bars, song.tempo) == expected
    assert song.chords[-1].end == song.bars * METERS[song.meter]


def test_fractions_of_a_beat_meet_the_grid(tmp_path: Path) -> None:
    song = read(
        tmp_path,
        meter="6/8",
        bars=[[8, 2]],
        chords=[[0.667, "C:maj"], [0.667, "F:maj"], [0.666, "G:maj"], [14, "C:maj"]],
        sections=[],
    )
    starts = [span.start for span in song.chords]
    assert starts == pytest.approx([0.0, 2 / 3, 4 / 3, 2.0])


def test_silent_bars_at_the_edges_go(tmp_path: Path) -> None:
    song = read(
        tmp_path,
        bars=[[14, 4]],
        chords=[[8, "N"], [32, "C:maj"], [3, "N"], [1, "G:maj"], [12, "N"]],
        sections=[[0, "intro"], [2, "verse"], [13, "outro"]],
    )
    assert song.bars == 9
    assert [span.chord is None for span in song.chords] == [False, True, False]
    assert song.sections == ((0, "verse"),)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"meter": "5/4", "bars": [[8, 5]], "chords": [[40, "C"]]}, "meter 5/4"),
        ({"bars": [[4, 4], [1, 3], [4, 4]], "chords": [[35, "C"]]}, "8 bars of one length"),
        ({"chords": [[32, "C:foo"]]}, "'C:foo'"),
        ({"chords": [[12, "C"]]}, "equally long"),
        ({"chords": [["a", "C"]]}, "'a'"),
        ({"chords": [[32, "N"]]}, "no chords"),
        ({"chords": None}, "no list of chords"),
        ({"tempo": "fast"}, "'fast'"),
        ({"key": "H"}, "'H'"),
        ({"meter": None}, "meter"),
        ({"sections": [3]}, "sections"),
    ],
)
def test_what_is_left_out_has_a_reason(tmp_path: Path, changes: dict[str, Any], said: str) -> None:
    assert said in reason(tmp_path, **changes)


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "songs.jsonl"
    path.write_text('{"id": 3,\n')
    with pytest.raises(UserError, match=r"songs.jsonl, line 1: it is not a JSON object"):
        read_songbook(path)
    with pytest.raises(UserError, match="cannot read"):
        read_songbook(tmp_path / "missing.jsonl")


def test_a_song_of_text(tmp_path: Path) -> None:
    song = text_song(
        tmp_path,
        "meter 4/4 tempo 96 key Am style swing\n# mine\n[verse]\n"
        "Am7 | F G/B | % | N\n[chorus]\n| C / / G | Am F C G |\n",
    )
    assert (song.tempo, song.style, song.tonic, song.mode) == (96.0, "swing", 9, "minor")
    assert song.sections == ((0, "verse"), (4, "chorus"))
    found = [(span.start, span.chord and span.chord.root) for span in song.chords]
    assert found == [
        (0, 9), (4, 5), (6, 7), (8, 5), (10, 7), (12, None), (16, 0), (19, 7), (20, 9), (21, 5),
        (22, 0), (23, 7),
    ]  # fmt: skip


def test_text_shares_a_bar_as_musicians_do(tmp_path: Path) -> None:
    song = text_song(tmp_path, "meter 3/4\nC G | Am F G C F G\n")
    assert [span.start for span in song.chords] == [0, 2, 3, 3.5, 4, 4.5, 5, 5.5]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("C | H7", "line 1: 'H7'"),
        ("meter 5/4\nC", "line 1: the meter 5/4"),
        ("tempo x\nC", "line 1: the tempo x"),
        ("meter\nC", "line 1: each of"),
        ("% | C", "line 1: there is no bar before"),
        ("C\n/ C", "line 2: a bar begins"),
        ("C D E F G A B C D", "line 1: 9 chords"),
        ("[verse\nC", "line 1: write a section's name"),
        ("[verse]", "no bar of chords"),
        ("key H\nC", "its key 'H'"),
    ],
)
def test_damaged_text(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "mine.txt"
    path.write_text(text)
    with pytest.raises(UserError) as raised:
        read_songbook(path)
    assert said in str(raised.value)
    assert str(path) in str(raised.value)


def test_a_folder_of_songs(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text(json.dumps(SONG) + "\n")
    (tmp_path / "b.txt").write_text("C | F | G | C\n")
    (tmp_path / "c.txt").write_text("nothing here\n")
    (tmp_path / "README.txt").write_text("words\n")
    songbook = read_songbook(tmp_path)
    assert [song.name for song in songbook.songs] == ["x-1", "b"]
    assert [left.name for left in songbook.left_out] == [str(tmp_path / "c.txt")]


def test_keys() -> None:
    def chords(*names: tuple[int, str]) -> list[tuple[ChordName, float]]:
        return [(ChordName(root, quality, root), 4.0) for root, quality in names]

    minor = chords((9, "min"), (5, "maj"), (7, "maj"), (9, "min"))
    assert complete_key(minor) == (9, "minor")
    assert complete_key(minor, sharps=0) == (9, "minor")
    major = chords((0, "maj"), (9, "min"), (2, "min"), (7, "dom7"), (0, "maj"))
    assert complete_key(major, sharps=0) == (0, "major")
    blues = chords((0, "dom7"), (5, "dom7"), (0, "dom7"), (7, "dom7"), (0, "dom7"))
    assert complete_key(blues, tonic=0) == (0, "mixolydian")
    assert complete_key(chords((2, "min"), (7, "maj")), tonic=2, minor=True) == (2, "dorian")
    assert complete_key([]) == (0, "major")
    assert all(complete_key(minor, tonic=tonic)[1] in MODES for tonic in range(12))
