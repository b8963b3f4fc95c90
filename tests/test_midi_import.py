"""MIDI files as songs: roles, beats, chords, and files that cannot be used."""

import json
import struct
import time
import tracemalloc
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pretty_midi
import pytest

from shared.band.dataset import make_dataset
from shared.band.scores.midi_import import read_midi_score
from shared.band.scores.score import Part, Score, lowest_voice
from shared.band.song_jobs import find_midi_files, song_title
from shared.errors import UserError
from shared.music.notes import Note

BAR = 2.0  # 120 beats a minute, 4/4
PROGRESSION = ((9, "min"), (5, "maj"), (0, "maj"), (7, "maj"))


def instrument(
    program: int, name: str, notes: Sequence[tuple[int, float, float]], is_drum: bool = False
) -> pretty_midi.Instrument:
    track = pretty_midi.Instrument(program, is_drum, name)
    track.notes = [pretty_midi.Note(100, pitch, start, end) for pitch, start, end in notes]
    return track


def write_song(path: Path, bars: int = 8, leave_out: str = "") -> None:
    """Am F C G, a bar each: bass roots, piano triads, a lead and drums."""
    bass: list[tuple[int, float, float]] = []
    piano, lead, drums = list(bass), list(bass), list(bass)
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


def test_roles_beats_and_chords_are_read(tmp_path: Path) -> None:
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


def test_a_bass_is_known_by_its_name_but_a_bass_drum_is_not(tmp_path: Path) -> None:
    for name, source in (("E-Bass", "bass"), ("Bass Drum", "other"), ("Brass", "other")):
        write_song(tmp_path / "song.mid")
        midi = pretty_midi.PrettyMIDI(str(tmp_path / "song.mid"))
        midi.instruments.append(instrument(60, name, [(40, 0.0, 1.0)]))
        midi.write(str(tmp_path / "song.mid"))
        score = read_midi_score(tmp_path / "song.mid")
        assert next(part for part in score.parts if part.name == name).source == source


def test_a_long_song_is_cut_at_the_bar_in_which_the_bass_begins(tmp_path: Path) -> None:
    write_song(tmp_path / "song.mid", bars=16)
    midi = pretty_midi.PrettyMIDI(str(tmp_path / "song.mid"))
    bass = next(track for track in midi.instruments if track.program == 33)
    bass.notes = [note for note in bass.notes if note.start >= 2 * BAR]
    midi.write(str(tmp_path / "song.mid"))
    score = read_midi_score(tmp_path / "song.mid", seconds=12.0)
    assert score.duration == pytest.approx(12.0)
    assert score.bass_notes[0].onset == pytest.approx(0.0, abs=1e-3)
    assert score.chords[0].root == PROGRESSION[2][0]


def edited(path: Path, edit: Callable[[pretty_midi.PrettyMIDI], None]) -> Score:
    """Write the song, let `edit` change it, and read it as a score."""
    write_song(path)
    midi = pretty_midi.PrettyMIDI(str(path))
    edit(midi)
    midi.write(str(path))
    return read_midi_score(path)


def part_of(score: Score, source: str) -> Part:
    return next(part for part in score.parts if part.source == source)


def test_notes_keep_pitch_time_and_velocity(tmp_path: Path) -> None:
    write_song(tmp_path / "song.mid")
    notes = part_of(read_midi_score(tmp_path / "song.mid"), "bass").notes
    assert [note.pitch for note in notes[:8]] == [45] * 4 + [41] * 4
    assert {note.velocity for note in notes} == {100}
    assert [note.onset for note in notes[:4]] == pytest.approx([0, 0.5, 1, 1.5], abs=2e-3)
    assert [note.duration for note in notes[:4]] == pytest.approx([0.4] * 4, abs=4e-3)


def test_volume_and_expression_are_velocity(tmp_path: Path) -> None:
    """100 is the usual volume and 127 the usual expression; what becomes inaudible is left out."""

    def edit(midi: pretty_midi.PrettyMIDI) -> None:
        midi.instruments[0].control_changes = [
            pretty_midi.ControlChange(7, 50, 2.0),
            pretty_midi.ControlChange(7, 100, 4.0),
            pretty_midi.ControlChange(11, 64, 4.0),
            pretty_midi.ControlChange(7, 0, 6.0),
            pretty_midi.ControlChange(1, 90, 0.0),
        ]

    notes = part_of(edited(tmp_path / "song.mid", edit), "bass").notes
    assert [note.velocity for note in notes] == [100] * 4 + [50] * 4 + [50] * 4
    assert max(note.onset for note in notes) < 6.0


@pytest.mark.parametrize(
    ("controls", "semitones"),
    [
        ([], 1.0),
        ([(101, 0), (100, 0), (6, 12)], 6.0),
        ([(101, 0), (100, 1), (6, 12)], 1.0),  # that is fine tuning
        ([(101, 0), (100, 0), (6, 100)], 1.0),  # more than two octaves: not believed
    ],
)
def test_pitch_bends_have_the_range_that_the_file_sets(
    tmp_path: Path, controls: list[tuple[int, int]], semitones: float
) -> None:
    def edit(midi: pretty_midi.PrettyMIDI) -> None:
        bass = midi.instruments[0]
        bass.control_changes = [
            pretty_midi.ControlChange(number, value, 0.1 + 0.01 * i)
            for i, (number, value) in enumerate(controls)
        ]
        bass.pitch_bends = [pretty_midi.PitchBend(4096, 1.0), pretty_midi.PitchBend(0, 1.5)]

    bends = part_of(edited(tmp_path / "song.mid", edit), "bass").bends
    assert [bend.semitones for bend in bends] == [semitones, 0.0]
    assert [bend.time for bend in bends] == pytest.approx([1.0, 1.5], abs=2e-3)


def test_drums_that_no_kit_has_are_left_out(tmp_path: Path) -> None:
    def edit(midi: pretty_midi.PrettyMIDI) -> None:
        kit = next(track for track in midi.instruments if track.is_drum)
        kit.notes.append(pretty_midi.Note(100, 5, 0.5, 0.6))

    drums = part_of(edited(tmp_path / "song.mid", edit), "drums")
    assert {note.pitch for note in drums.notes} == {36, 38}
    assert drums.is_drum


def test_in_six_eight_a_beat_is_a_dotted_quarter(tmp_path: Path) -> None:
    def edit(midi: pretty_midi.PrettyMIDI) -> None:
        midi.time_signature_changes = [pretty_midi.TimeSignature(6, 8, 0.0)]

    score = edited(tmp_path / "song.mid", edit)
    assert score.time_signature == (6, 8)
    assert score.tempo == pytest.approx(80.0, abs=0.01)
    assert np.allclose(np.diff(score.beats), 0.75, atol=2e-3)
    assert np.allclose(np.diff(score.downbeats), 1.5, atol=2e-3)


def absurd_midi(tempo: int, ticks: int, resolution: int, signature: bytes = b"\4\2") -> bytes:
    """A MIDI file of a few bytes: a bass note of `ticks` ticks and a drum.

    The tempo is in microseconds per quarter; the signature is numerator and log2 of denominator.
    """

    def variable(number: int) -> bytes:
        groups = [number & 127]
        while number := number >> 7:
            groups.append(128 | (number & 127))
        return bytes(reversed(groups))

    events = (
        b"\0\xff\x51\3" + tempo.to_bytes(3, "big") + b"\0\xff\x58\4" + signature + b"\x18\x08"
        b"\0\xc0\x21\0\x90\x28\x64" + variable(ticks) + b"\x80\x28\0"
        b"\0\x99\x24\x64\x60\x89\x24\0\0\xff\x2f\0"
    )
    header = b"MThd" + struct.pack(">IHHH", 6, 0, 1, resolution)
    return header + b"MTrk" + struct.pack(">I", len(events)) + events


@pytest.mark.parametrize(
    ("midi", "reason"),
    [
        (absurd_midi(1, 9_000_000, 1), "it has 9,000,096 beats, more than 30,000"),
        (absurd_midi(500_000, 960 * 20, 960, b"\4\x0f"), "beats, more than 30,000"),
        (absurd_midi(1000, 96 * 10_000, 96), "'tempo' in it is 60000.0.*, but it must be"),
        (absurd_midi(500_000, 960 * 20, 960, b"\x63\2"), r"'time_signature' in it is \[99, 4\]"),
        (absurd_midi(16_000_000, 480 * 120, 480), "it lasts 32 minutes, more than 30"),
    ],
    ids=("beats", "denominator", "tempo", "meter", "length"),
)
def test_an_absurd_tempo_or_meter_is_refused_at_once(
    tmp_path: Path, midi: bytes, reason: str
) -> None:
    (tmp_path / "absurd.mid").write_bytes(midi)
    with pytest.raises(UserError, match=reason):
        read_midi_score(tmp_path / "absurd.mid")


def test_a_microsecond_per_beat_is_dropped_from_a_data_set_with_a_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file of less than 100 bytes asks for nine million beats."""
    spent, peaks = [], []

    def read(path: Path, seconds: float | None) -> Score:
        began = time.process_time()
        tracemalloc.start()
        try:
            return read_midi_score(path, seconds)
        finally:
            peaks.append(tracemalloc.get_traced_memory()[1])
            tracemalloc.stop()
            spent.append(time.process_time() - began)

    monkeypatch.setattr("shared.band.song_folder.read_midi_score", read)
    folder = tmp_path / "midi"
    folder.mkdir()
    (folder / "fast.mid").write_bytes(absurd_midi(1, 9_000_000, 1))
    report = make_dataset(tmp_path / "songs", songs=0, seed=0, midi=folder)
    (dropped,) = report.dropped
    assert Path(dropped.name).name == "fast.mid"
    assert dropped.reason == "it has 9,000,096 beats, more than 30,000"
    assert report.songs == ()
    assert len(peaks) == 1
    assert peaks[0] < 3e8
    assert spent[0] < 10


def test_the_lowest_voice_of_a_chord_and_a_legato_line() -> None:
    chord = [Note(0.0, 1.0, 43, 90), Note(0.01, 1.0, 36, 90), Note(0.5, 0.5, 48, 90)]
    assert [(note.onset, note.pitch) for note in lowest_voice(chord)] == [(0.01, 36)]
    legato = [Note(0.0, 0.55, 40, 90), Note(0.5, 0.5, 43, 90)]
    assert [note.pitch for note in lowest_voice(legato)] == [40, 43]
    assert lowest_voice(legato)[0].duration == pytest.approx(0.5)


def test_the_program_of_the_bass_is_that_of_most_of_its_notes(tmp_path: Path) -> None:
    def edit(midi: pretty_midi.PrettyMIDI) -> None:
        midi.instruments.insert(0, instrument(38, "Bass of the end", [(40, 15.0, 15.4)]))

    score = edited(tmp_path / "song.mid", edit)
    assert {part.program for part in score.parts if part.source == "bass"} == {33, 38}
    assert score.facts.bass_program == score.bass_program == 33
    drums = tuple(part for part in score.parts if part.is_drum)
    assert replace(score, parts=drums).facts.bass_program is None


def test_titles_of_near_duplicates_are_equal() -> None:
    assert song_title(Path("Blue Train (2).mid")) == song_title(Path("blue_train-v3.mid"))
    assert song_title(Path("d_e1m1.mid")) != song_title(Path("d_e1m2.mid"))


def test_a_folder_with_garbage_is_rendered_as_far_as_it_goes(tmp_path: Path) -> None:
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
    assert labels["bass_program"] == 33
    assert {note["velocity"] for note in labels["bass_notes"]} == {100}


def test_a_folder_without_midi_files_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no folder"):
        find_midi_files(tmp_path / "none")
    with pytest.raises(UserError, match=r"no \.mid"):
        find_midi_files(tmp_path)
