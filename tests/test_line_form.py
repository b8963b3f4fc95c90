"""Lines whose form is known by construction."""

from collections.abc import Sequence
from dataclasses import astuple

import numpy as np
import pytest

from shared.music.line_form import (
    UNKNOWN_FORM,
    Range,
    Rhythm,
    bar_rhythms,
    disagreement,
    measure_form,
    repetition,
)
from shared.music.notes import Note
from shared.music.pitch import PitchTrack
from shared.music.song_facts import SongFacts

SECONDS = 8.0
FRAMES = np.arange(801) / 100
SONG = SongFacts(
    beats=tuple(0.5 * beat for beat in range(17)),
    downbeats=(0.0, 2.0, 4.0, 6.0),
    bass_notes=(Note(0.0, 0.4, 40), Note(2.0, 0.4, 40)),
)


def track_of(notes: Sequence[Note], shift: float = 0.0) -> PitchTrack:
    """The pitch of a sound that has exactly these notes, `shift` semitones higher."""
    pitch = np.full(len(FRAMES), np.nan)
    for note in notes:
        pitch[(note.onset <= FRAMES) & (note.end > FRAMES)] = note.pitch + shift
    quiet = np.isnan(pitch)
    return PitchTrack(FRAMES, pitch, np.ones(len(FRAMES)), quiet, np.empty(0))


def notes_at(*onsets: float, length: float = 0.1, pitch: int = 40) -> list[Note]:
    return [Note(onset, length, pitch) for onset in onsets]


def test_short_notes_leaps_and_the_range_are_counted() -> None:
    notes = [
        Note(0.0, 0.079, 28),
        Note(0.5, 0.081, 40),  # an octave is no wide leap
        Note(1.0, 0.4, 27),  # a leap of 13 semitones, to a note below the range
        Note(1.5, 0.4, 55),
        Note(7.95, 0.05, 56),  # the end cuts it off
    ]
    form = measure_form(notes, track_of(notes), SECONDS, SONG)
    assert form.short_notes == 1 / 4
    assert form.wide_leaps == 2 / 4
    assert form.outside_range == 2 / 5
    wide = measure_form(notes, track_of(notes), SECONDS, SONG, allowed=Range(27, 56))
    assert wide.outside_range == 0


def test_onsets_of_notes_are_compared_with_those_of_the_true_bass() -> None:
    notes = notes_at(0.04, 1.0, 2.06)
    form = measure_form(notes, track_of(notes), SECONDS, SONG)
    assert form.note_onset_f1 == pytest.approx(2 * 1 / (3 + 2))
    later = measure_form(notes_at(0.04), track_of([]), 4.0, SONG, start=2.0)
    assert later.note_onset_f1 == 1.0
    begun_before = measure_form([Note(-0.5, 1, 40)], track_of([]), SECONDS, SONG)
    assert begun_before.note_onset_f1 == 0.0


def test_what_cannot_be_counted_is_nan() -> None:
    form = measure_form([], track_of([]), SECONDS, SongFacts())
    assert np.isnan(astuple(form)).all()
    assert np.isnan(astuple(UNKNOWN_FORM)).all()
    assert np.isnan(measure_form(notes_at(1.0), track_of([]), SECONDS, SongFacts()).repetition)


def test_a_rhythm_is_rounded_to_the_division_that_fits() -> None:
    """A beat is half a second, and a position 42 ms."""

    def first_bar(*onsets: float) -> set[int]:
        rhythms = bar_rhythms(np.array(onsets), SONG, 0.0, SECONDS)
        assert len(rhythms) == 4
        return {place for place in rhythms[0] if place >= 0}

    assert first_bar(0.01, 0.26, 0.6, 1.13) == {0, 6, 15, 27}
    assert first_bar(0.01, 0.34, 0.67, 1.16) == {0, 8, 16, 28}
    assert first_bar(-0.04, 1.92) == {0, 45}
    assert first_bar(1.95) == set()  # it belongs to the second bar


def test_only_whole_bars_have_a_rhythm() -> None:
    onsets = np.array([0.0, 2.5, 4.5])
    assert len(bar_rhythms(onsets, SONG, 0.1, 5.9)) == 1
    (rhythm,) = bar_rhythms(onsets, SONG, 2.0, 4.0)
    assert rhythm == {12, -48}
    assert bar_rhythms(onsets, SongFacts(), 0.0, SECONDS) == []


def test_in_six_eight_a_beat_has_six_sixteenths() -> None:
    song = SongFacts(
        meter=(6, 8), beats=tuple(0.9 * beat for beat in range(9)), downbeats=(0.0, 1.8, 3.6, 5.4)
    )
    (rhythm, *_) = bar_rhythms(np.array([0.0, 0.15, 0.3, 1.05]), song, 0.0, 7.2)
    assert rhythm == {0, 2, 4, 14, -24}


def rhythm(*places: int) -> Rhythm:
    return frozenset((*places, -48))


A, B, C, EMPTY = rhythm(0, 24), rhythm(0), rhythm(12), rhythm()


@pytest.mark.parametrize(
    ("bars", "share"),
    [
        ([A, A, A, A], 1.0),
        ([A, B, A, B], 2 / 3),
        ([A, B, C], 0.0),
        ([A, B, C, A], 0.0),  # three bars earlier does not count
        ([A, B, B, C, A], 2 / 4),
        ([A, EMPTY, A], 1.0),  # a bar without onsets is not counted
        ([A, frozenset((0, 24, -36))], 0.0),  # bars of different lengths
    ],
)
def test_repetition(bars: list[Rhythm], share: float) -> None:
    assert repetition(bars) == share


def test_repetition_of_eight_bars_earlier_and_of_too_few_bars() -> None:
    bars = [rhythm(place) for place in range(8)]
    assert repetition([*bars, bars[0]]) == 1 / 8
    assert np.isnan(repetition([A]))
    assert np.isnan(repetition([A, EMPTY]))


def test_a_line_that_repeats_its_bars_does_so_in_every_key_and_with_jitter() -> None:
    rng = np.random.default_rng(0)
    for _ in range(20):
        places = np.sort(rng.choice(16, size=5, replace=False)) * 0.125
        onsets = np.concatenate([2.0 * bar + places for bar in range(4)])
        played = onsets + rng.uniform(-0.02, 0.02, len(onsets))
        notes = [Note(max(0.0, float(onset)), 0.1, 40) for onset in played]
        assert measure_form(notes, track_of([]), SECONDS, SONG).repetition == 1.0


NOTES = [Note(1.0, 1.0, 40), Note(2.0, 1.0, 45), Note(4.0, 1.0, 33)]


@pytest.mark.parametrize(
    ("semitones", "share"),
    [(0.0, 0.0), (12.0, 0.0), (-24.0, 0.0), (0.45, 0.0), (-0.45, 0.0), (0.55, 1.0), (11.4, 1.0)],
)
def test_a_sound_agrees_with_its_notes_within_50_cents_in_any_octave(
    semitones: float, share: float
) -> None:
    assert disagreement(track_of(NOTES, semitones), NOTES) == share


def test_a_sound_during_a_rest_and_a_silent_note_are_contradictions() -> None:
    sounding = track_of([*NOTES, Note(5.5, 1.0, 40)])
    assert disagreement(sounding, NOTES) == pytest.approx(1 / 4, abs=0.005)
    silent = track_of(NOTES[:2])
    assert disagreement(silent, NOTES) == pytest.approx(1 / 3, abs=0.03)


def moved(seconds: float) -> PitchTrack:
    return track_of([Note(note.onset + seconds, note.duration, note.pitch) for note in NOTES])


def test_what_happens_within_46_ms_is_forgiven() -> None:
    assert disagreement(moved(-0.04), NOTES) == disagreement(moved(0.04), NOTES) == 0.0
    assert disagreement(moved(0.2), NOTES) > 0.1


def test_a_loud_frame_without_a_pitch_is_not_counted() -> None:
    track = track_of(NOTES)
    pitch, quiet = track.pitch.copy(), track.quiet.copy()
    attack = (FRAMES >= 1.0) & (FRAMES < 1.2)
    pitch[attack] = np.nan
    noisy = PitchTrack(FRAMES, pitch, track.confidence, quiet, track.onsets)
    assert disagreement(noisy, NOTES) == 0.0
    assert np.isnan(disagreement(track_of([]), []))
