"""A score as a MIDI file: its notes, bends, beats and bars are where the score has them."""

from pathlib import Path

import numpy as np
import pretty_midi
import pytest

from shared.band.composing.compose import compose
from shared.band.scores.score import Part, PitchBend, Score
from shared.band.scores.score_midi import write_score_midi
from shared.music.chord import Chord
from shared.music.notes import Note


def written(path: Path, score: Score) -> pretty_midi.PrettyMIDI:
    write_score_midi(path, score)
    return pretty_midi.PrettyMIDI(str(path))


def score_with(beats: tuple[float, ...], bends: tuple[PitchBend, ...] = ()) -> Score:
    part = Part("bass", "low", 33, False, (Note(0.5, 0.25, 40, 90), Note(2.0, 1.0, 43, 60)), bends)
    chords = (Chord(0.0, 4.0, 4, "min", 4),)
    return Score("test", 120.0, (4, 4), "E minor", 4.0, beats, beats[::4], chords, (part,))


@pytest.mark.parametrize("unit", [4, 8])
def test_beats_and_bars_are_the_songs_own(tmp_path: Path, unit: int) -> None:
    songs = (compose(seed, "ballad", seconds=12.0) for seed in range(50))
    score = next(song for song in songs if song.time_signature[1] == unit)
    midi = written(tmp_path / "song.mid", score)
    end = midi.get_end_time() - 0.1
    for expected, read in (
        (score.beats, midi.get_beats()),
        (score.downbeats, midi.get_downbeats()),
    ):
        times = [time for time in expected if time < end]
        np.testing.assert_allclose(read[: len(times)], times, atol=0.003)


def test_beats_that_are_not_even_are_tempo_changes(tmp_path: Path) -> None:
    beats = (0.3, 0.8, 1.4, 1.9, 2.5, 3.0, 3.6)
    midi = written(tmp_path / "song.mid", score_with(beats))
    (bass,) = midi.instruments
    assert [note.start for note in bass.notes] == pytest.approx([0.5, 2.0], abs=0.002)
    assert [note.end for note in bass.notes] == pytest.approx([0.75, 3.0], abs=0.002)
    assert [(note.pitch, note.velocity) for note in bass.notes] == [(40, 90), (43, 60)]
    assert (bass.name, bass.program) == ("bass: low", 33)
    assert len(midi.get_tempo_changes()[0]) > 4


def test_bends_are_written_in_a_range_of_two_semitones(tmp_path: Path) -> None:
    beats = tuple(0.5 * i for i in range(8))
    bends = (PitchBend(0.5, -1.0), PitchBend(1.0, 5.0), PitchBend(1.5, 0.0))
    (bass,) = written(tmp_path / "song.mid", score_with(beats, bends)).instruments
    assert [bend.pitch for bend in bass.pitch_bends] == [-4096, 8191, 0]
    assert [bend.time for bend in bass.pitch_bends] == pytest.approx([0.5, 1.0, 1.5], abs=0.002)
