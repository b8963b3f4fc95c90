"""What is known of a song is typed once, when song.json is read, and nothing is lost on the way."""

import copy
import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from shared.errors import UserError
from shared.music.chord import Chord
from shared.music.notes import Note
from shared.music.song_facts import SongChord, SongFacts, read_song_facts
from shared.songs.augment import Variation, vary_facts

SONG: dict[str, Any] = {
    "tempo": 96.5,
    "time_signature": [6, 8],
    "key": "G# minor",
    "duration": 4.0,
    "style": "ballad",
    "beats": [0.0, 0.6, 1.2],
    "downbeats": [0.0, 1.2],
    "chords": [
        {"start": 0.0, "end": 1.2, "root": None, "quality": None, "symbol": "N"},
        {
            "start": 1.2,
            "end": 2.4,
            "root": 11,
            "quality": "min7",
            "bass": 2,
            "pitch_classes": [11, 2, 6, 9],
            "symbol": "Bm7/D",
            "mood": "dark",
        },
    ],
    "bass_notes": [
        {"onset": 0.6, "duration": 0.3, "pitch": 38, "finger": 2},
        {"onset": 0.9, "duration": 0.2, "pitch": 41, "velocity": 70},
        {"onset": 1.2, "duration": 0.2, "pitch": 41, "velocity": 96},
        {"onset": 1.5, "duration": 0.2, "pitch": 41, "velocity": None},
    ],
    "bass_program": 33,
    "composer": {"name": "somebody"},
}


NOTE = {"onset": 0, "duration": 1, "pitch": 40}


def test_every_fact_has_its_type() -> None:
    facts = SongFacts.from_dict(SONG, "song.json")
    assert (facts.tempo, facts.meter, facts.key) == (96.5, (6, 8), "G# minor")
    assert (facts.duration, facts.style) == (4.0, "ballad")
    assert (facts.beats, facts.downbeats) == ((0.0, 0.6, 1.2), (0.0, 1.2))
    silent, chord = facts.chords
    assert silent == SongChord(0.0, 1.2, symbol="N")
    assert chord == SongChord(1.2, 2.4, 11, "min7", 2, (11, 2, 6, 9), "Bm7/D")
    assert facts.bass_notes == (
        Note(0.6, 0.3, 38, 96),
        Note(0.9, 0.2, 41, 70),
        Note(1.2, 0.2, 41, 96),
        Note(1.5, 0.2, 41, 96),
    )
    assert facts.bass_program == 33


def test_what_is_written_again_is_what_was_read() -> None:
    assert SongFacts.from_dict(SONG, "song.json").to_dict() == SONG


def test_a_song_that_says_nothing_knows_nothing() -> None:
    nothing: dict[str, Any] = dict.fromkeys(SONG)
    for content in ({}, nothing):
        facts = SongFacts.from_dict(content, "song.json")
        assert (facts.tempo, facts.meter, facts.key, facts.bass_notes) == (None,) * 4
        assert (facts.beats, facts.downbeats, facts.chords) == ((), (), ())
        assert facts.to_dict() == content
        assert vary_facts(facts, Variation(3, 1.2)).to_dict() == content


def test_no_notes_are_not_unknown_notes() -> None:
    facts = SongFacts.from_dict({"bass_notes": []}, "song.json")
    assert facts.bass_notes == ()
    assert facts.to_dict() == {"bass_notes": []}


def test_a_velocity_is_written_where_it_is_not_the_default() -> None:
    notes = (Note(0, 1, 40, 96), Note(1, 1, 41, 1), Note(2, 1, 42, 127))
    written = SongFacts(bass_notes=notes, bass_program=0).to_dict()
    assert [note.get("velocity") for note in written["bass_notes"]] == [None, 1, 127]
    assert "velocity" not in written["bass_notes"][0]
    again = SongFacts.from_dict(json.loads(json.dumps(written)), "song.json")
    assert (again.bass_notes, again.bass_program) == (notes, 0)


def test_another_key_and_tempo_keep_velocity_and_program() -> None:
    facts = vary_facts(SongFacts.from_dict(SONG, "song.json"), Variation(2, 1.25))
    assert [note.velocity for note in facts.bass_notes or ()] == [96, 70, 96, 96]
    written = facts.to_dict()
    velocities = [note.get("velocity", "none") for note in written["bass_notes"]]
    assert velocities == ["none", 70, 96, None]
    assert written["bass_program"] == 33


def test_facts_are_written_without_a_file_to_write_over() -> None:
    chord = Chord(0.0, 2.0, 0, "maj", 4)
    facts = SongFacts(tempo=120.0, chords=(SongChord.of(chord),), bass_notes=(Note(0, 1, 40),))
    assert facts.to_dict() == {
        "tempo": 120.0,
        "chords": [
            {
                "start": 0.0,
                "end": 2.0,
                "root": 0,
                "quality": "maj",
                "bass": 4,
                "pitch_classes": [0, 4, 7],
                "symbol": "C/E",
            }
        ],
        "bass_notes": [{"onset": 0, "duration": 1, "pitch": 40}],
    }


@pytest.mark.parametrize(
    ("chord", "lowest", "tones"),
    [
        (SongChord(0, 1, 9, "min"), 9, {9, 0, 4}),
        (SongChord(0, 1, 9, "min", bass=7), 7, {9, 0, 4, 7}),
        (SongChord(0, 1, 9, "of its own", 2, (9, 1)), 2, {9, 1, 2}),
        (SongChord(0, 1, 9, "of its own"), 9, set()),
        (SongChord(0, 1), None, set()),
    ],
)
def test_the_tones_of_a_chord(chord: SongChord, lowest: int | None, tones: set[int]) -> None:
    assert chord.lowest == lowest
    assert chord.tones == tones


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"tempo": "fast"}, r"'tempo' in the/song\.json is \"fast\", but it must be a number of"),
        ({"tempo": math.nan}, "'tempo' .* is NaN"),
        ({"tempo": 0}, "'tempo' .* is 0"),
        ({"tempo": True}, "'tempo' .* is true"),
        ({"time_signature": [4]}, "'time_signature' .* two whole numbers"),
        ({"time_signature": [4, 0]}, "'time_signature' .* two whole numbers"),
        ({"key": "H minor"}, "'key' .* must be a key, such as 'G# minor'"),
        ({"key": 3}, "'key' .* must be a text"),
        ({"duration": -1}, "'duration' .* seconds from 0"),
        ({"beats": 4}, "'beats' .* must be a list"),
        ({"beats": [0, None]}, r"'beats\[1\]' .* is null"),
        ({"beats": [0, math.inf]}, r"'beats\[1\]' .* is Infinity"),
        ({"beats": [0, 10**400]}, r"'beats\[1\]' .* seconds from 0"),
        ({"beats": [-2, 1]}, r"'beats\[0\]' .* is -2"),
        ({"downbeats": [1, 3, 2]}, r"'downbeats\[2\]' .* at 2 s, not later than .* 3 s: sort"),
        ({"beats": [1, 1]}, r"'beats\[1\]' .* sort"),
        ({"chords": {"start": 0}}, "'chords' .* must be a list"),
        ({"chords": ["Am"]}, r"'chords\[0\]' .* is \"Am\", but it must be a JSON object"),
        ({"chords": [{"end": 1}]}, r"'chords\[0\]' .* has no 'start'"),
        ({"chords": [{"start": 2, "end": 1}]}, r"'chords\[0\]\.end' .* at least its start, 2"),
        ({"chords": [{"start": 2, "end": 3}, {"start": 1, "end": 2}]}, r"'chords\[1\]' .* sort"),
        ({"chords": [{"start": 0, "end": 1, "root": 12}]}, r"'chords\[0\]\.root' .* 0 to 11"),
        ({"chords": [{"start": 0, "end": 1, "root": 1.5}]}, r"'chords\[0\]\.root' .* 0 to 11"),
        ({"chords": [{"start": 0, "end": 1, "pitch_classes": [0, "E"]}]}, r"pitch_classes' .* 0"),
        ({"bass_notes": [{"onset": 0, "duration": 1}]}, r"'bass_notes\[0\]' .* has no 'pitch'"),
        ({"bass_notes": [{"onset": 0, "duration": 1, "pitch": 128}]}, r"pitch' .* 0 to 127"),
        ({"bass_notes": [{"onset": 0, "duration": None, "pitch": 40}]}, r"duration' .* is null"),
        ({"bass_notes": [{**NOTE, "velocity": 0}]}, r"'bass_notes\[0\]\.velocity' .* 1 to 127"),
        ({"bass_notes": [{**NOTE, "velocity": 128}]}, r"velocity' .* is 128, .* 1 to 127"),
        ({"bass_notes": [{**NOTE, "velocity": 64.5}]}, r"velocity' .* whole number"),
        ({"bass_program": -1}, r"'bass_program' .* is -1, .* 0 to 127"),
        ({"bass_program": 128}, r"'bass_program' .* 0 to 127"),
        ({"bass_program": "Bass"}, r"'bass_program' .* General MIDI program"),
    ],
)
def test_a_wrong_value_is_named_with_file_and_key(change: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message) as refusal:
        SongFacts.from_dict({**SONG, **change}, "the/song.json")
    assert "the/song.json" in str(refusal.value)
    assert len(str(refusal.value)) < 250


@pytest.mark.parametrize("content", [None, [], "song", 3])
def test_the_content_is_an_object(content: Any) -> None:
    with pytest.raises(UserError, match=r"the content in song\.json .* must be a JSON object"):
        SongFacts.from_dict(content, "song.json")


def test_a_beat_just_before_the_beginning_is_at_the_beginning() -> None:
    """Data sets of an earlier version have such beats, by rounding."""
    assert SongFacts.from_dict({"beats": [-1e-6, 0.5]}, "song.json").beats == (0.0, 0.5)


def _places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Every place in a JSON value that another value can be put in."""
    items = value.items() if isinstance(value, dict) else enumerate(value)
    for key, item in items:
        yield (*path, key)
        if isinstance(item, dict | list):
            yield from _places(item, (*path, key))


def _replaced(path: tuple[Any, ...], value: Any) -> dict[str, Any]:
    song = copy.deepcopy(SONG)
    place: Any = song
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    return song


STRANGE: tuple[Any, ...] = (
    *(None, True, 0, -1, 7, 1e308, -1e308, 10**400, math.nan, math.inf, 0.5),
    *("", "C", "x", [], [None], [[]], {}, {"start": 0}),
)


def test_whatever_stands_in_the_file_is_refused_in_a_sentence_or_can_be_used() -> None:
    refusals, used = [], 0
    for path in _places(SONG):
        for value in STRANGE:
            try:
                facts = SongFacts.from_dict(_replaced(path, value), "song.json")
            except UserError as error:
                refusals.append(str(error))
                continue
            varied = vary_facts(facts, Variation(12, 0.5))
            again = SongFacts.from_dict(json.loads(json.dumps(varied.to_dict())), "codes")
            assert again.chords == varied.chords
            used += 1
    assert len(refusals) > 300
    assert all("song.json" in refusal for refusal in refusals)
    assert used > 100


def test_the_file_is_read(tmp_path: Path) -> None:
    path = tmp_path / "song.json"
    path.write_text(json.dumps(SONG))
    assert read_song_facts(path) == SongFacts.from_dict(SONG, str(path))
    for text in ("{", "[" * 100_000, "\udcff"):
        path.write_bytes(text.encode(errors="surrogateescape"))
        with pytest.raises(UserError, match=rf"cannot read {path}"):
            read_song_facts(path)
    with pytest.raises(UserError, match=r"cannot read .*missing\.json"):
        read_song_facts(tmp_path / "missing.json")
