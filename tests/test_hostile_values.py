"""Values that no right input has: each ends in one sentence, or is read for what it is."""

import json
import os
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

import cli
from benchmarks.fuzz_readers import small_soundfont
from shared.band.dataset import make_dataset
from shared.band.recording.render import SAMPLE_RATE, Orchestra
from shared.band.scores.score import Part
from shared.band.songbook.progressions import read_songbook
from shared.commands import LONGEST_SENTENCE, one_line
from shared.errors import UserError
from shared.music.notes import Note
from shared.training.run_log import RunLog
from shared.training.run_record import settings_of
from stage2_prior.chord_line import read_chord_file
from stage2_prior.sampling import SamplingSettings
from stage2_prior.studio.json_values import number, parse_object

NESTED = "[" * 100_000 + "]" * 100_000


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("seed", 10**20, "the seed is 10{20}, but it must be from 0 to 9223372036854775807"),
        ("seed", -1, "the seed is -1, but"),
        ("candidates", 10**8, "100000000 candidates are asked for: give a number from 1 to 1024"),
    ],
)
def test_numbers_beyond_what_can_be_computed(name: str, value: int, sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        SamplingSettings(**{name: value})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"seed": -1}, "seed is -1: give a number from 0 to 9223372036854775807"),
        ({"songs": 10**11}, "songs is 100000000000: give a number from 0 to 1000000"),
        ({"workers": 10**7}, "workers is 10000000: give a number from 1 to 1000"),
        ({"seconds": 1e300}, r"seconds is 1e\+300: give a number from 8 to 1800"),
        ({"seconds": float("nan")}, "seconds is nan: give a number from 8 to 1800"),
    ],
)
def test_data_sets_of_no_end(tmp_path: Path, values: dict[str, Any], sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        make_dataset(tmp_path / "out", **{"songs": 1, "seed": 0, **values})
    assert not (tmp_path / "out").exists()


def test_a_chord_file_of_comments_names_no_chord(tmp_path: Path) -> None:
    path = tmp_path / "a.lab"
    path.write_text("# nothing\n")
    with pytest.raises(UserError, match=r"names no chord within the 8\.0 s"):
        read_chord_file(path, 8.0)


def test_a_chord_file_whose_name_cannot_exist() -> None:
    with pytest.raises(UserError, match="cannot read the chord file"):
        read_chord_file(Path("a\0.lab"), 8.0)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"bars": [["@inf", 4]]}, "bars hold inf where a number should be"),
        ({"chords": [["@inf", "A:min"]]}, "chords hold inf where a number should be"),
        ({"tempo": "@nan"}, "tempo hold nan where a number should be"),
        ({"sections": [["@inf", "verse"]]}, r"sections are not a list of \[bar, name\]"),
    ],
)
def test_infinite_progressions(tmp_path: Path, change: dict[str, Any], sentence: str) -> None:
    song = {"meter": "4/4", "bars": [[8, 4]], "chords": [[32, "A:min"]]} | change
    text = json.dumps(song).replace('"@inf"', "Infinity").replace('"@nan"', "NaN")
    (tmp_path / "songs.jsonl").write_text(text + "\n")
    with pytest.raises(UserError, match=sentence):
        read_songbook(tmp_path / "songs.jsonl")


def test_json_that_nests_too_deeply(tmp_path: Path) -> None:
    (tmp_path / "songs.jsonl").write_text(NESTED + "\n")
    with pytest.raises(UserError, match="it is not a JSON object"):
        read_songbook(tmp_path / "songs.jsonl")
    with pytest.raises(UserError, match="something that is not JSON"):
        parse_object(NESTED.encode())
    out = tmp_path / "out"
    (out / "train" / "a").mkdir(parents=True)
    (out / "dataset.json").write_text(NESTED)
    with pytest.raises(UserError, match="already holds songs"):
        make_dataset(out, songs=1, seed=0)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 10**400, True, "1", None])
def test_a_page_cannot_send_such_a_number(value: Any) -> None:
    with pytest.raises(UserError, match="the level must be a number from 0 to 1"):
        number(value, "level", 0, 1)


def test_a_log_with_letters_that_are_none(tmp_path: Path) -> None:
    (tmp_path / "metrics.jsonl").write_text('{"step": 1, "\\ud800": 1}\n')
    log = RunLog(tmp_path, 1)
    log.save()
    log.close()
    assert (tmp_path / "metrics.csv").read_text() == "step,?\n1,1\n"


def test_a_record_whose_settings_are_none(tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text('{"starts": [{"settings": "many"}]}')
    with pytest.raises(UserError, match=r"run\.json holds no settings"):
        settings_of(tmp_path)


# SoundFonts. The synthesiser would end the process for most of these, or never end.


def play(path: Path) -> np.ndarray:
    with Orchestra([path]) as orchestra:
        part = Part("bass", "bass", 33, False, (Note(0.0, 0.2, 40),))
        return orchestra.play(part, 0, SAMPLE_RATE // 4)


def soundfont(
    tmp_path: Path, list_name: bytes, at: int, content: bytes, compressed: bool = False
) -> Path:
    """Write the small SoundFont with some bytes of one of its lists replaced."""
    data = bytearray(small_soundfont(compressed))
    start = data.index(list_name) + 8 + at
    data[start : start + len(content)] = content
    path = tmp_path / "a.sf2"
    path.write_bytes(data)
    return path


def test_the_small_soundfont_plays(tmp_path: Path) -> None:
    sound = play(soundfont(tmp_path, b"shdr", 0, b""))
    assert np.abs(sound).max() > 0.01


BOUNDS = struct.Struct("<IIII")


@pytest.mark.parametrize(
    ("list_name", "at", "content"),
    [
        (b"igen", 2, b"\x09\x00"),  # a way to loop that does not exist
        (b"igen", 6, b"\x07\x00"),  # a sample that does not exist
        (b"igen", 0, struct.pack("<Hh", 12, -1)),  # a sample that ends before it begins
        (b"igen", 0, struct.pack("<Hh", 4, 32767)),  # one that begins beyond the end
        (b"shdr", 20, BOUNDS.pack(0, 2**32 - 1, 0, 255)),
        (b"shdr", 20, BOUNDS.pack(10, 200, 0, 100)),  # a loop before the sample
        (b"shdr", 20, BOUNDS.pack(0, 255, 100, 100)),  # a loop of nothing
        (b"shdr", 36, struct.pack("<I", 0)),  # no sample rate
        (b"shdr", 36, struct.pack("<I", 2**32 - 1)),
        (b"inst", 20, b"\xff\xff"),  # zones that do not exist
        (b"ibag", 0, b"\xff\xff"),
        (b"pgen", 2, b"\xff\x00"),  # an instrument that does not exist
    ],
)
def test_a_damaged_soundfont_is_refused(
    tmp_path: Path, list_name: bytes, at: int, content: bytes
) -> None:
    with pytest.raises(UserError, match=r"the soundfont .*a\.sf2 is damaged"):
        play(soundfont(tmp_path, list_name, at, content))


@pytest.mark.parametrize("cut", [(0, 32767), (4, 1), (1, -6000), (12, -1)])
def test_a_compressed_sample_is_played_as_a_whole(tmp_path: Path, cut: tuple[int, int]) -> None:
    assert len(small_soundfont(compressed=True)) < 6000  # bytes for 51,200 samples
    none = play(soundfont(tmp_path, b"igen", 0, struct.pack("<Hh", 59, 0), compressed=True))
    sound = play(soundfont(tmp_path, b"igen", 0, struct.pack("<Hh", *cut), compressed=True))
    assert np.abs(sound).max() > 0.01
    np.testing.assert_array_equal(sound, none)


def test_a_compressed_sample_beyond_the_end_of_the_file_is_refused(tmp_path: Path) -> None:
    beyond = struct.pack("<I", 2**31)
    with pytest.raises(UserError, match=r"the soundfont .*a\.sf2 is damaged"):
        play(soundfont(tmp_path, b"shdr", 24, beyond, compressed=True))


def test_generators_that_do_not_exist_are_ignored(tmp_path: Path) -> None:
    whole = play(soundfont(tmp_path, b"shdr", 0, b""))
    # In place of a loop of nothing but the whole sample, whose absence is heard.
    odd = play(soundfont(tmp_path, b"igen", 0, struct.pack("<Hh", 1000, 1)))
    unlooped = play(soundfont(tmp_path, b"igen", 0, struct.pack("<Hh", 54, 0)))
    np.testing.assert_array_equal(odd, unlooped)
    assert not np.array_equal(odd, whole)


# Names and texts in the terminal.


def test_a_sentence_is_one_short_line() -> None:
    assert one_line("a\nb\0c\x1b[31md é 曲") == r"a\nb\x00c\x1b[31md é 曲"
    long = one_line("x" * 10**6)
    assert LONGEST_SENTENCE < len(long) < LONGEST_SENTENCE + 10


def test_a_long_text_is_not_printed_whole() -> None:
    result = CliRunner().invoke(
        cli.app, ["generate-bass", "--song", "a.wav", "--meter", "9" * 10**5]
    )
    assert result.exit_code == 2
    assert len(result.stderr.splitlines()[-1]) < LONGEST_SENTENCE + 100


NAMES = [b"a\nb.wav", b"[red]a[/blue].wav", b"-x.wav", b"\xff\xfe.wav", "曲 $x^$ é.wav".encode()]
PRINTING = """
import sys
from shared.commands import _print_any_name
from shared.console import err_console
_print_any_name()
print(sys.argv[1])
err_console.print(sys.argv[1])
"""


@pytest.mark.parametrize("encoding", ["utf-8", "ascii"])
@pytest.mark.parametrize("name", NAMES, ids=range(len(NAMES)))
def test_any_name_of_a_file_is_printed(name: bytes, encoding: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PRINTING, name],
        capture_output=True,
        env={**os.environ, "PYTHONIOENCODING": encoding, "PYTHONUTF8": "0", "LC_ALL": "C.UTF-8"},
    )
    assert done.returncode == 0, done.stderr
    is_text = encoding == "utf-8" or name.isascii() or b"\xff" in name
    expected = name if is_text else rb"\u66f2 $x^$ \xe9.wav"
    assert done.stdout == expected + b"\n"
    assert done.stderr == expected + b"\n"
