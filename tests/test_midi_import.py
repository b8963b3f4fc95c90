"""MIDI files as songs: roles, beats, chords, and files that cannot be used."""

import json
from pathlib import Path

import numpy as np
import pretty_midi
import pytest

from shared.band.dataset import make_dataset
from shared.band.midi_import import read_midi_score
from shared.band.score import lowest_voice
from shared.band.song_jobs import find_midi_files, song_title
from shared.errors import UserError
from shared.music.notes import Note

BAR = 2.0  # 120 beats a minute, 4/4
PROGRESSION = ((9, "min"), (5, "maj"), (0, "maj"), (7, "maj"))


def instrument(program: int, name: str, notes, is_drum: bool = False) -> pretty_midi.Instrument:
    track = pretty_midi.Instrument(program, is_drum, name)
    track.notes = [pretty_midi.Note(100, pitch, start, end) for pitch, start, end in notes]
    return track


def write_song(path: Path, bars: int = 8, leave_out: str = "") -> None:
    """Am F C G, a bar each: bass roots, piano triads, a lead and drums."""
    bass, piano, lead, drums = [], [], [], []
    for bar in range(bars):
        root, quality = PROGRESSION[bar % 4]
        start = bar * BAR
        bass += [(36 + root, start + beat * 0.5, start + beat * 0.5 + 0.4) for beat in range(4)]
        third = 4 if quality == "maj" else 3
        piano += [(60 + root + step, start, start + BAR) for step in (0, third, 7)]
        lead += [(72 + root, start, start + 1.0)]
        drums += [(36, start, start + 0.1), (38, start + 1.0, start + 1.1)]
    midi = pretty_midi.PrettyMIDI(initial_tempo=120.0)
    midi.instruments = [
        track
        for track in (
            instrument(33, "low", bass),
            instrument(0, "Piano", piano),
            instrument(73, "Lead flute", lead),
            instrument(0, "Kit", drums, is_drum=True),
        )
        if track.name != leave_out
    ]
    midi.write(str(path))


def test_roles_beats_and_chords_are_read(tmp_path):
    write_song(tmp_path / "song.mid")
    score = read_midi_score(tmp_path / "song.mid")
    assert {part.name: part.source for part in score.parts} == {
        "low": "bass",
        "Piano": "other",
        "Lead flute": "vocals",
        "Kit": "drums",
    }
    assert score.tempo == pytest.approx(120.0)
    assert score.time_signature == (4, 4)
    assert score.key in ("A minor", "C major")
    assert np.allclose(np.diff(score.beats), 0.5, atol=1e-3)
    assert np.allclose(np.diff(score.downbeats), BAR, atol=1e-3)
    for bar in range(7):
        chord = next(c for c in score.chords if c.start <= bar * BAR + 0.1 < c.end)
        assert (chord.root, chord.quality) == PROGRESSION[bar % 4]
    ends = [chord.end for chord in score.chords]
    assert [chord.start for chord in score.chords] == [0.0, *ends[:-1]]
    assert ends[-1] == pytest.approx(score.duration)


def test_a_bass_is_known_by_its_name_but_a_bass_drum_is_not(tmp_path):
    for name, source in (("E-Bass", "bass"), ("Bass Drum", "other"), ("Brass", "other")):
        write_song(tmp_path / "song.mid")
        midi = pretty_midi.PrettyMIDI(str(tmp_path / "song.mid"))
        midi.instruments.append(instrument(60, name, [(40, 0.0, 1.0)]))
        midi.write(str(tmp_path / "song.mid"))
        score = read_midi_score(tmp_path / "song.mid")
        assert next(part for part in score.parts if part.name == name).source == source


def test_a_long_song_is_cut_at_the_bar_in_which_the_bass_begins(tmp_path):
    write_song(tmp_path / "song.mid", bars=16)
    midi = pretty_midi.PrettyMIDI(str(tmp_path / "song.mid"))
    bass = next(track for track in midi.instruments if track.program == 33)
    bass.notes = [note for note in bass.notes if note.start >= 2 * BAR]
    midi.write(str(tmp_path / "song.mid"))
    score = read_midi_score(tmp_path / "song.mid", seconds=12.0)
    assert score.duration == pytest.approx(12.0)
    assert score.bass_notes[0].onset == pytest.approx(0.0, abs=1e-3)
    assert score.chords[0].root == PROGRESSION[2][0]


def test_the_lowest_voice_of_a_chord_and_a_legato_line():
    chord = [Note(0.0, 1.0, 43, 90), Note(0.01, 1.0, 36, 90), Note(0.5, 0.5, 48, 90)]
    assert [(note.onset, note.pitch) for note in lowest_voice(chord)] == [(0.01, 36)]
    legato = [Note(0.0, 0.55, 40, 90), Note(0.5, 0.5, 43, 90)]
    assert [note.pitch for note in lowest_voice(legato)] == [40, 43]
    assert lowest_voice(legato)[0].duration == pytest.approx(0.5)


def test_titles_of_near_duplicates_are_equal():
    assert song_title(Path("Blue Train (2).mid")) == song_title(Path("blue_train-v3.mid"))
    assert song_title(Path("d_e1m1.mid")) != song_title(Path("d_e1m2.mid"))


def test_a_folder_with_garbage_is_rendered_as_far_as_it_goes(tmp_path):
    folder, out = tmp_path / "midi", tmp_path / "out"
    folder.mkdir()
    write_song(folder / "good.mid")
    write_song(folder / "good 2.mid", bars=9)
    (folder / "copy.mid").write_bytes((folder / "good.mid").read_bytes())
    write_song(folder / "no_drums.mid", leave_out="Kit")
    write_song(folder / "no_bass.mid", leave_out="low")
    write_song(folder / "short.mid", bars=2)
    (folder / "empty.mid").write_bytes(b"")
    (folder / "noise.mid").write_bytes(bytes(range(256)) * 20)
    (folder / "cut.mid").write_bytes((folder / "good.mid").read_bytes()[:300])
    (folder / "text.MID").write_text("this is no music")
    report = make_dataset(out, songs=0, seed=0, midi=folder, seconds=9.0, splits=(0.5, 0.25, 0.25))
    written = {Path(song).name: Path(song).parent.name for song in report.songs}
    assert len(written) == 2
    assert len(set(written.values())) == 1  # one title, one split
    reasons = {Path(drop.name).name: drop.reason for drop in report.dropped}
    assert "no drums" in reasons["no_drums.mid"]
    assert "no bass" in reasons["no_bass.mid"]
    assert "less than 8" in reasons["short.mid"]
    assert any("copy of" in reason for reason in reasons.values())
    for name in ("empty.mid", "noise.mid", "cut.mid", "text.MID"):
        assert "not a readable MIDI file" in reasons[name]
        assert "()" not in reasons[name], "the cause is named"
    labels = json.loads((out / report.songs[0] / "song.json").read_text())
    assert labels["style"] == "midi"
    assert labels["chords"]


def test_a_folder_without_midi_files_is_refused(tmp_path):
    with pytest.raises(UserError, match="no folder"):
        find_midi_files(tmp_path / "none")
    with pytest.raises(UserError, match=r"no \.mid"):
        find_midi_files(tmp_path)
