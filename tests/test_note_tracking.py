"""The pitch tracker: a bass that plays known notes is found to play these notes."""

import itertools
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pytest

from shared.music.note_tracking import segment_notes, track_bass_notes
from shared.music.notes import Note, NoteVocabulary, notes_to_tokens, tokens_to_notes
from shared.music.pitch import PitchTrack, track_pitch

FRAME_RATE = 44_100 / 1024
RATE = 22_050
STEP = 0.025  # s per frame of the tracks made here


def play(
    notes: Sequence[Note], seconds: float, rate: int, tuning: float = 0.0
) -> npt.NDArray[np.float32]:
    """Play a plucked line of decaying harmonics `[2, N]`; velocity 96 is a peak of about 0.4."""
    audio = np.zeros(round(seconds * rate), np.float32)
    for note in notes:
        start, length = round(note.onset * rate), round(note.duration * rate)
        time = np.arange(min(length, len(audio) - start)) / rate
        frequency = 440 * 2 ** ((note.pitch + tuning - 69) / 12)
        tone = sum(np.sin(2 * np.pi * k * frequency * time) / k**1.5 for k in range(1, 9))
        release = np.minimum(1, (note.duration - time) / 0.01)
        level = 0.2 * note.velocity / 96
        audio[start : start + len(time)] += level * np.exp(-2 * time) * release * tone
    return np.stack([audio, audio])


def line_of(*pitches: float | None, attacks: Sequence[float] = ()) -> PitchTrack:
    """A pitch track of frames of STEP s, None where there is no pitch."""
    pitch = np.array([np.nan if each is None else float(each) for each in pitches])
    times = np.arange(len(pitch), dtype=np.float64) * STEP
    sure = np.ones(len(pitch))
    return PitchTrack(times, pitch, sure, np.isnan(pitch), np.array(attacks, np.float64))


@pytest.mark.parametrize(("rate", "tuning"), [(44_100, 0.0), (48_000, 0.35)])
def test_a_known_line_is_found(rate: int, tuning: float) -> None:
    pitches = [28, 28, 35, 40, 33, 45, 31, 26, 38, 38]
    notes = [Note(0.3 + 0.4 * i, 0.36, pitch) for i, pitch in enumerate(pitches)]
    num_frames = round(5 * FRAME_RATE)
    found = track_bass_notes(play(notes, 5.0, rate, tuning), rate, num_frames, FRAME_RATE)
    assert found.tokens.shape == found.confidence.shape == (num_frames,)
    line = tokens_to_notes(found.tokens, FRAME_RATE)
    assert [note.pitch for note in line] == pitches
    np.testing.assert_allclose([n.onset for n in line], [n.onset for n in notes], atol=0.05)
    np.testing.assert_allclose([n.duration for n in line], 0.36, atol=0.08)
    truth = NoteVocabulary.pitches(notes_to_tokens(notes, num_frames, FRAME_RATE))
    assert found.confidence[truth >= 0].mean() > 0.3


def test_the_lowest_and_the_highest_notes_of_a_bass_are_found() -> None:
    notes = [Note(0.8 * i, 0.75, pitch) for i, pitch in enumerate((23, 70, 24, 67))]
    found = segment_notes(track_pitch(play(notes, 3.2, RATE), RATE, FRAME_RATE))
    assert [note.pitch for note in found] == [23, 70, 24, 67]


def test_soft_notes_are_notes_and_noise_is_none() -> None:
    """20 dB below the loud notes a note counts; 50 dB below, nothing does."""
    loud, soft, noise = Note(0.0, 0.45, 40, 96), Note(0.5, 0.45, 43, 10), Note(1.0, 0.9, 45)
    audio = play([loud, soft], 2.0, RATE) + 0.003 * play([noise], 2.0, RATE)
    track = track_pitch(audio, RATE, FRAME_RATE)
    assert [note.pitch for note in segment_notes(track)] == [40, 43]
    assert not track.quiet[track.times < 0.4].any()
    assert track.quiet[(track.times > 1.1) & (track.times < 1.9)].all()
    assert (track.confidence[track.quiet] == 1).all()


def test_a_note_sounds_until_it_is_40_db_down() -> None:
    """A note that decays by 17 dB per second is audible for more than two of them."""
    track = track_pitch(play([Note(0.0, 2.0, 40)], 2.1, RATE), RATE, FRAME_RATE)
    (note,) = segment_notes(track)
    assert note.pitch == 40
    assert note.duration == pytest.approx(2.0, abs=0.1)


def test_plucked_notes_of_80_ms_are_notes() -> None:
    """pyin's own defaults find none of them."""
    pitches = [40, 31, 43, 28, 35, 47, 33, 40]
    notes = [Note(0.1 + 0.25 * i, 0.08, pitch) for i, pitch in enumerate(pitches)]
    found = segment_notes(track_pitch(play(notes, 2.2, RATE), RATE, FRAME_RATE))
    assert [note.pitch for note in found] == pitches


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("frames", [1, 2, 4])
def test_the_shortest_recordings_are_tracked(frames: int) -> None:
    line = play([Note(0, 1, 40)], frames / FRAME_RATE, 44_100)
    found = track_bass_notes(line, 44_100, frames, FRAME_RATE)
    assert found.tokens.shape == (frames,)
    assert set(NoteVocabulary.pitches(found.tokens)) <= {-1, 40}


def test_silence_is_a_sure_rest() -> None:
    found = track_bass_notes(np.zeros((2, 44_100), np.float32), 44_100, 43, FRAME_RATE)
    assert not found.tokens.any()
    assert (found.confidence == 1).all()


def test_a_track_is_cut_where_the_pitch_changes_and_where_it_rests() -> None:
    track = line_of(*[40] * 10, *[43] * 10, *[None] * 10, *[43] * 10)
    found = [
        (round(n.onset / STEP), round(n.duration / STEP), n.pitch) for n in segment_notes(track)
    ]
    assert found == [(0, 10, 40), (10, 10, 43), (30, 10, 43)]


def test_an_attack_cuts_a_note_of_one_pitch() -> None:
    track = line_of(*[40] * 30, attacks=[0.0, 0.375])
    found = [(round(n.onset / STEP), round(n.duration / STEP)) for n in segment_notes(track)]
    assert found == [(0, 15), (15, 15)]


def test_a_note_begins_at_its_attack_though_the_pitch_is_found_later() -> None:
    found = segment_notes(line_of(*[None] * 10, *[40] * 20, attacks=[0.2]))  # 50 ms earlier
    assert [round(note.onset / STEP) for note in found] == [8]
    found = segment_notes(line_of(*[None] * 10, *[40] * 20, attacks=[0.1]))  # 150 ms: another's
    assert [round(note.onset / STEP) for note in found] == [10]


def test_the_attack_is_as_sure_as_its_note() -> None:
    notes = [Note(0.5, 1.0, 40)]
    found = track_bass_notes(play(notes, 2.0, RATE), RATE, 86, FRAME_RATE)
    onset = int(np.flatnonzero(NoteVocabulary.onsets(found.tokens))[0])
    middle = round(1.0 * FRAME_RATE)
    assert found.confidence[onset + 1] == pytest.approx(found.confidence[middle], abs=0.05)


def test_errors_of_two_frames_make_no_note() -> None:
    track = line_of(*[40] * 10, 52, 52, *[40] * 10)
    assert [note.pitch for note in segment_notes(track)] == [40]
    assert segment_notes(line_of(*[None] * 10, 40, 40, *[None] * 10)) == []


def test_a_sixteenth_is_a_note() -> None:
    found = segment_notes(line_of(*[40] * 10, *[43] * 5, *[40] * 10))  # 125 ms
    assert [note.pitch for note in found] == [40, 43, 40]


def test_vibrato_is_one_note_and_a_semitone_is_two() -> None:
    vibrato = [40 + 0.6 * np.sin(2 * np.pi * i / 16) for i in range(48)]
    assert [note.pitch for note in segment_notes(line_of(*[40] * 96, *vibrato))] == [40]
    step = line_of(*[40] * 12, *[41] * 12)
    assert [note.pitch for note in segment_notes(step)] == [40, 41]


def test_a_line_in_its_own_tuning_keeps_its_intervals() -> None:
    """A quarter tone above 440 Hz, each pitch lies between two semitones."""
    pitches = list(itertools.chain.from_iterable([p + 0.45] * 12 for p in (40, 45, 41)))
    assert [note.pitch for note in segment_notes(line_of(*pitches))] == [40, 45, 41]
