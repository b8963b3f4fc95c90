"""MIDI files: a bass line survives them, and of a song its bass is taken."""

from pathlib import Path

import pretty_midi
import pytest

from shared.errors import UserError
from shared.music.midi import is_bass, read_midi, write_midi
from shared.music.notes import Note


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
