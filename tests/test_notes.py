"""Notes survive tokens and MIDI; a bass that plays known notes is heard as those notes."""

import numpy as np
import pytest

from shared.errors import UserError
from shared.music.midi import read_midi, write_midi
from shared.music.note_tracking import track_bass_notes
from shared.music.notes import Note, NoteVocabulary, notes_to_tokens, tokens_to_notes

FRAME_RATE = 44_100 / 1024


def play(notes: list[Note], seconds: float, rate: int, tuning: float = 0.0) -> np.ndarray:
    """A plucked line `[2, N]`: decaying harmonics."""
    audio = np.zeros(round(seconds * rate), np.float32)
    for note in notes:
        start, length = round(note.onset * rate), round(note.duration * rate)
        time = np.arange(min(length, len(audio) - start)) / rate
        frequency = 440 * 2 ** ((note.pitch + tuning - 69) / 12)
        tone = sum(np.sin(2 * np.pi * k * frequency * time) / k**1.5 for k in range(1, 9))
        release = np.minimum(1, (note.duration - time) / 0.01)
        audio[start : start + len(time)] += 0.2 * np.exp(-2 * time) * release * tone
    return np.stack([audio, audio])


def test_every_token_means_one_thing():
    assert NoteVocabulary.size == 97
    tokens = np.arange(NoteVocabulary.size)
    pitches, onsets = NoteVocabulary.pitches(tokens), NoteVocabulary.onsets(tokens)
    assert pitches[0] == -1
    assert not onsets[0]
    for token in range(1, NoteVocabulary.size):
        name = NoteVocabulary.onset if onsets[token] else NoteVocabulary.sustain
        assert name(int(pitches[token])) == token
    assert (pitches[1], pitches[-1]) == (NoteVocabulary.LOW, NoteVocabulary.HIGH)


@pytest.mark.parametrize(("pitch", "folded"), [(22, 34), (11, 23), (71, 59), (96, 60), (40, 40)])
def test_pitches_fold_by_octaves(pitch, folded):
    assert NoteVocabulary.fold(pitch) == folded


def test_notes_survive_tokens():
    notes = [Note(0, 4 / FRAME_RATE, 40), Note(4 / FRAME_RATE, 1 / FRAME_RATE, 40),
             Note(9 / FRAME_RATE, 3 / FRAME_RATE, 23)]  # fmt: skip
    tokens = notes_to_tokens(notes, 12, FRAME_RATE)
    assert tokens.dtype == np.uint8
    assert tokens.tolist() == [36, 35, 35, 35, 36, 0, 0, 0, 0, 2, 1, 1]
    assert tokens_to_notes(tokens, FRAME_RATE) == notes


def test_a_later_onset_cuts_and_the_lowest_of_a_chord_stays():
    tokens = notes_to_tokens([Note(0, 10, 40), Note(2, 1, 45), Note(2, 5, 52)], 6, 1.0)
    assert NoteVocabulary.pitches(tokens).tolist() == [40, 40, 45, -1, -1, -1]


def test_short_notes_get_a_frame_and_those_outside_are_left_out():
    tokens = notes_to_tokens([Note(1, 0.01, 40), Note(9, 1, 40), Note(-3, 1, 40)], 3, 1.0)
    assert NoteVocabulary.pitches(tokens).tolist() == [-1, 40, -1]


def test_a_held_pitch_that_nothing_struck_is_a_note():
    sustain = NoteVocabulary.sustain
    notes = tokens_to_notes([sustain(40), sustain(40), sustain(43), 0], 1.0)
    assert notes == [Note(0, 2, 40), Note(2, 1, 43)]


def test_midi_round_trip(tmp_path):
    notes = [Note(0.5, 0.25, 40), Note(1.0, 1.5, 43, velocity=70)]
    write_midi(tmp_path / "line.mid", notes, tempo=97.0)
    for before, after in zip(notes, read_midi(tmp_path / "line.mid"), strict=True):
        assert after.onset == pytest.approx(before.onset, abs=2e-3)
        assert after.duration == pytest.approx(before.duration, abs=4e-3)
        assert (after.pitch, after.velocity) == (before.pitch, before.velocity)


def test_midi_takes_the_bass_of_a_song(tmp_path):
    import pretty_midi

    song = pretty_midi.PrettyMIDI()
    for program, drum, pitch in ((0, False, 72), (33, False, 40), (0, True, 36)):
        part = pretty_midi.Instrument(program, is_drum=drum)
        part.notes.append(pretty_midi.Note(100, pitch, 0, 1))
        song.instruments.append(part)
    song.write(str(tmp_path / "song.mid"))
    assert [note.pitch for note in read_midi(tmp_path / "song.mid")] == [40]


def test_bad_midi_is_refused(tmp_path):
    with pytest.raises(UserError, match="there is no MIDI file"):
        read_midi(tmp_path / "missing.mid")
    (tmp_path / "text.mid").write_text("not midi")
    with pytest.raises(UserError, match="cannot read"):
        read_midi(tmp_path / "text.mid")
    write_midi(tmp_path / "empty.mid", [])
    with pytest.raises(UserError, match="holds no notes"):
        read_midi(tmp_path / "empty.mid")


@pytest.mark.parametrize(("rate", "tuning"), [(44_100, 0.0), (48_000, 0.35)])
def test_a_known_line_is_heard(rate, tuning):
    pitches = [28, 28, 35, 40, 33, 45, 31, 26, 38, 38]
    notes = [Note(0.3 + 0.4 * i, 0.36, pitch) for i, pitch in enumerate(pitches)]
    num_frames = round(5 * FRAME_RATE)
    heard = track_bass_notes(play(notes, 5.0, rate, tuning), rate, num_frames, FRAME_RATE)
    assert heard.tokens.shape == heard.confidence.shape == (num_frames,)

    truth = NoteVocabulary.pitches(notes_to_tokens(notes, num_frames, FRAME_RATE))
    assert np.mean(NoteVocabulary.pitches(heard.tokens)[truth >= 0] == truth[truth >= 0]) > 0.9
    onsets = [note.onset for note in tokens_to_notes(heard.tokens, FRAME_RATE)]
    assert len(onsets) == len(notes)
    np.testing.assert_allclose(onsets, [note.onset for note in notes], atol=0.05)
    assert heard.confidence[truth >= 0].mean() > 0.3


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("frames", [1, 2, 4])
def test_the_shortest_recordings_are_heard(frames):
    line = play([Note(0, 1, 40)], frames / FRAME_RATE, 44_100)
    heard = track_bass_notes(line, 44_100, frames, FRAME_RATE)
    assert heard.tokens.shape == (frames,)
    assert set(NoteVocabulary.pitches(heard.tokens)) <= {-1, 40}


def test_silence_is_a_sure_rest():
    heard = track_bass_notes(np.zeros((2, 44_100), np.float32), 44_100, 43, FRAME_RATE)
    assert not heard.tokens.any()
    assert (heard.confidence == 1).all()
