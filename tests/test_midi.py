"""MIDI files: a bass line survives them, and of a song its bass is taken."""

from pathlib import Path
from typing import Any

import mido
import numpy as np
import pretty_midi
import pytest
import symusic

from shared.errors import UserError
from shared.music.bar_grid import BarGrid
from shared.music.chord import Chord
from shared.music.midi import MidiScore, is_bass, read_midi, write_midi
from shared.music.notes import Note

C_MINOR, A_FLAT = (0, "min", 0), (8, "maj", 8)


def write_song(path: Path, *tracks: tuple[int, str, bool, int]) -> None:
    """Write a MIDI file of tracks `(program, name, is_drum, pitch)`, each of one note."""
    song = pretty_midi.PrettyMIDI()
    for program, name, is_drum, pitch in tracks:
        track = pretty_midi.Instrument(program, is_drum, name)
        track.notes.append(pretty_midi.Note(100, pitch, 0, 1))
        song.instruments.append(track)
    song.write(str(path))


def test_a_line_survives_a_file(tmp_path: Path) -> None:
    notes = [Note(0.5, 0.25, 40), Note(1.0, 1.5, 43, velocity=70)]
    write_midi(tmp_path / "line.mid", notes, tempo=97.0)
    for before, after in zip(notes, read_midi(tmp_path / "line.mid"), strict=True):
        assert after.onset == pytest.approx(before.onset, abs=2e-3)
        assert after.duration == pytest.approx(before.duration, abs=4e-3)
        assert (after.pitch, after.velocity) == (before.pitch, before.velocity)


def test_a_written_line_is_one_track_of_fingered_bass_in_the_songs_tempo(tmp_path: Path) -> None:
    write_midi(tmp_path / "line.mid", [Note(0.5, 0.25, 40)], tempo=97.0)
    midi = pretty_midi.PrettyMIDI(str(tmp_path / "line.mid"))
    (track,) = midi.instruments
    assert (track.program, track.is_drum) == (33, False)
    assert [note.pitch for note in track.notes] == [40]
    assert midi.get_tempo_changes()[1].tolist() == pytest.approx([97.0], abs=0.01)


def drifting_score(seed: int) -> MidiScore:
    """Ninety beats of a tempo that drifts; the song begins anywhere in a bar."""
    random = np.random.default_rng(seed)
    beats = np.cumsum(0.5 + 0.05 * np.sin(np.arange(90) / 9) + random.normal(0, 0.005, 90))
    beats -= beats[2] - random.uniform(0.02, 0.5)
    return MidiScore(BarGrid(beats, np.arange(seed % 4, 90, 3 + seed % 2)))


@pytest.mark.parametrize("seed", range(6))
def test_three_readers_hear_the_notes_where_they_are(tmp_path: Path, seed: int) -> None:
    score = drifting_score(seed)
    random = np.random.default_rng(seed)
    onsets = np.sort(random.choice(np.arange(4, 400), 60, replace=False)) / 10
    line = [
        Note(float(onset), 0.08, int(random.integers(28, 55)), int(random.integers(1, 128)))
        for onset in onsets
    ]
    path = tmp_path / "line.mid"
    write_midi(path, line, score, "played")
    expected = [(note.onset, note.end, note.pitch, note.velocity) for note in line]
    (track,) = pretty_midi.PrettyMIDI(str(path)).instruments
    np.testing.assert_allclose(
        [(note.start, note.end, note.pitch, note.velocity) for note in track.notes],
        expected,
        atol=1e-3,
    )
    score_of_symusic: Any = symusic.Score.from_file(path)
    notes = score_of_symusic.to("second").tracks[0].notes
    np.testing.assert_allclose(
        [(note.start, note.end, note.pitch, note.velocity) for note in notes], expected, atol=1e-3
    )
    now, heard = 0.0, []
    for message in mido.MidiFile(path):  # in seconds
        now += message.time
        if message.type == "note_on":
            heard.append(now)
    np.testing.assert_allclose(heard, onsets, atol=1e-3)


@pytest.mark.parametrize("seed", range(6))
def test_the_bars_of_the_file_are_those_of_the_song(tmp_path: Path, seed: int) -> None:
    score = drifting_score(seed)
    write_midi(tmp_path / "line.mid", [Note(0.5, 44.0, 40)], score)
    midi = pretty_midi.PrettyMIDI(str(tmp_path / "line.mid"))
    downbeats = score.grid.downbeats
    expected = downbeats[(downbeats > 0.01) & (downbeats < 44)]
    found = midi.get_downbeats()
    np.testing.assert_allclose(found[found > 0.01][: len(expected)], expected, atol=1e-3)
    beats = midi.get_beats()[-20:]
    distances = np.abs(score.grid.beats - beats[:, None]).min(1)
    assert distances.max() < 1e-3


def test_notes_are_moved_to_the_grid_and_stay_a_line(tmp_path: Path) -> None:
    score = MidiScore(BarGrid(0.6 * np.arange(20, dtype=np.float64), np.arange(0, 20, 4)))
    # A position lasts 50 ms.
    line = [
        Note(0.02, 0.3, 40, 50),  # a little late
        Note(0.36, 0.26, 41, 60),  # early, and longer than the time to the next note
        Note(0.58, 0.01, 42, 70),  # shorter than a position
        Note(0.61, 0.2, 43, 80),  # at the position of the note before, and longer
        Note(2.4, 0.625, 44, 90),
    ]
    write_midi(tmp_path / "line.mid", line, score)
    assert [
        (round(note.onset / 0.05, 2), round(note.duration / 0.05, 2), note.pitch, note.velocity)
        for note in read_midi(tmp_path / "line.mid")
    ] == [(0, 6, 40, 50), (7, 5, 41, 60), (12, 4, 43, 80), (48, 12, 44, 90)]


def test_both_timings_are_two_tracks_of_which_one_is_read(tmp_path: Path) -> None:
    score = MidiScore(BarGrid(0.6 * np.arange(20, dtype=np.float64), np.arange(0, 20, 4)))
    line = [Note(0.61, 0.25, 40), Note(1.22, 0.25, 40)]
    write_midi(tmp_path / "line.mid", line, score, "both")
    tracks = pretty_midi.PrettyMIDI(str(tmp_path / "line.mid")).instruments
    assert [(track.name, track.program) for track in tracks] == [
        ("bass", 33),
        ("bass (as played)", 33),
    ]
    starts = [[note.start for note in track.notes] for track in tracks]
    np.testing.assert_allclose(starts, [[0.6, 1.2], [0.61, 1.22]], atol=1e-3)
    assert [note.onset for note in read_midi(tmp_path / "line.mid")] == pytest.approx([0.6, 1.2])
    write_midi(tmp_path / "played.mid", line, score, "played")
    (played,) = pretty_midi.PrettyMIDI(str(tmp_path / "played.mid")).instruments
    assert played.name == "bass"


def test_a_score_writes_meter_key_and_chords(tmp_path: Path) -> None:
    grid = BarGrid(0.5 * np.arange(15, dtype=np.float64), np.array([0, 4, 7, 11]))
    chords = (
        Chord(0, 1, *C_MINOR),
        Chord(1.01, 2, *A_FLAT),
        Chord(3.5, 5.0, *C_MINOR),
    )
    write_midi(tmp_path / "line.mid", [], MidiScore(grid, "G# minor", chords))
    written: Any = symusic.Score.from_file(tmp_path / "line.mid")
    midi = written.to("quarter")
    signatures = [(s.time, s.numerator, s.denominator) for s in midi.time_signatures]
    assert signatures == [(0, 4, 4), (4, 3, 4), (7, 4, 4)]
    assert [(marker.time, marker.text) for marker in midi.markers] == [
        (0, "Cm"),
        (2, "Ab"),
        (4, "N.C."),
        (7, "Cm"),
    ]
    (key,) = pretty_midi.PrettyMIDI(str(tmp_path / "line.mid")).key_signature_changes
    assert pretty_midi.key_number_to_key_name(key.key_number) == "G# minor"
    assert len(midi.tempos) == 1


def test_eighths_may_be_the_beats(tmp_path: Path) -> None:
    grid = BarGrid(0.2 * np.arange(37, dtype=np.float64), np.arange(0, 37, 6), beat_unit=8)
    write_midi(tmp_path / "line.mid", [Note(1.2, 0.2, 40)], MidiScore(grid))
    midi = pretty_midi.PrettyMIDI(str(tmp_path / "line.mid"))
    (signature,) = midi.time_signature_changes
    assert (signature.numerator, signature.denominator) == (6, 8)
    assert midi.get_tempo_changes()[1].tolist() == pytest.approx([150.0])
    assert midi.instruments[0].notes[0].start == pytest.approx(1.2)


def test_a_note_ends_where_its_pitch_begins_again(tmp_path: Path) -> None:
    write_midi(tmp_path / "line.mid", [Note(0.5, 1.0, 40), Note(1.0, 1.0, 40)])
    lengths = [note.duration for note in read_midi(tmp_path / "line.mid")]
    assert lengths == pytest.approx([0.5, 1.0])


@pytest.mark.parametrize(
    ("program", "name", "expected"),
    [
        (32, "", True),
        (39, "Lead", True),
        (31, "", False),
        (40, "Violin", False),
        (0, "Bass", True),
        (0, "E-Bass", True),
        (0, "BASS GUITAR", True),
        (0, "bass_2", True),
        (0, "Bass2", True),
        (81, "RiffBass", True),
        (81, "BassHard", True),
        (0, "EBass", True),
        (0, "Walk-Sus", True),
        (70, "Bassoon", False),
        (70, "BASSOON", False),
        (48, "Contrabass section", False),
        (0, "Bass Drum", False),
        (0, "BassDrum 1", False),
        (0, "bass drums", False),
        (61, "Brass", False),
        (0, "Sidewalk", False),
        (0, "Piano", False),
    ],
)
def test_which_track_is_the_bass(program: int, name: str, expected: bool) -> None:
    assert is_bass(pretty_midi.Instrument(program, name=name)) == expected
    assert not is_bass(pretty_midi.Instrument(program, is_drum=True, name=name))


def test_of_a_song_the_bass_is_taken(tmp_path: Path) -> None:
    song = tmp_path / "song.mid"
    write_song(song, (0, "", False, 72), (33, "", False, 40), (0, "Kit", True, 36))
    assert [note.pitch for note in read_midi(song)] == [40]
    write_song(
        song, (70, "Bassoon", False, 60), (0, "Bass Drum", False, 35), (0, "Bass", False, 41)
    )
    assert [note.pitch for note in read_midi(song)] == [41]


def test_where_no_track_is_the_bass_all_but_the_drums_are_taken(tmp_path: Path) -> None:
    song = tmp_path / "song.mid"
    write_song(song, (0, "Piano", False, 45), (0, "Flute", False, 43), (0, "Kit", True, 36))
    assert [note.pitch for note in read_midi(song)] == [43, 45]


def test_a_bad_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="there is no MIDI file"):
        read_midi(tmp_path / "missing.mid")
    (tmp_path / "text.mid").write_text("not midi")
    write_midi(tmp_path / "line.mid", [Note(0.5, 0.25, 40)])
    (tmp_path / "cut.mid").write_bytes((tmp_path / "line.mid").read_bytes()[:-8])
    for name in ("text.mid", "cut.mid"):
        with pytest.raises(UserError, match=rf"{name}, because it is not a readable MIDI file"):
            read_midi(tmp_path / name)
    write_midi(tmp_path / "empty.mid", [])
    with pytest.raises(UserError, match="holds no notes"):
        read_midi(tmp_path / "empty.mid")


@pytest.mark.parametrize("signature", [b"\x01\x02", b"\xff\xff", b"\x08\x00", b"\x80\x01"])
def test_a_key_signature_that_does_not_exist_is_passed_over(
    tmp_path: Path, signature: bytes
) -> None:
    path = tmp_path / "line.mid"
    grid = BarGrid(np.linspace(0, 8, 17), np.arange(0, 17, 4))
    write_midi(path, [Note(0.5, 0.25, 40)], MidiScore(grid, "E minor"))
    content = path.read_bytes()
    assert content.count(b"\xff\x59\x02\x01\x01") == 1
    path.write_bytes(content.replace(b"\xff\x59\x02\x01\x01", b"\xff\x59\x02" + signature))
    (note,) = read_midi(path)
    assert (note.pitch, note.onset) == (40, pytest.approx(0.5, abs=0.01))
