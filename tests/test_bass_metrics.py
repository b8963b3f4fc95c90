"""Lines whose figures are known by construction."""

import numpy as np
import pytest

from shared.music.bass_metrics import judge_bass, match_onsets

RATE = 22_050
BEAT = 0.5
ROOTS = [9, 5, 0, 7]  # Am F C G, a bar each


def make_song() -> dict:
    qualities = [(0, 3, 7), (0, 4, 7), (0, 4, 7), (0, 4, 7)]
    return {
        "beats": [BEAT * i for i in range(17)],
        "downbeats": [2.0 * bar for bar in range(4)],
        "chords": [
            {
                "start": 2.0 * bar,
                "end": 2.0 * bar + 2.0,
                "root": root,
                "bass": root,
                "pitch_classes": [(root + step) % 12 for step in steps],
            }
            for bar, (root, steps) in enumerate(zip(ROOTS, qualities, strict=True))
        ],
        "bass_notes": [{"onset": BEAT * i, "duration": 0.4, "pitch": 40} for i in range(16)],
    }


def play(pitches: list[int], delay: float = 0.0) -> np.ndarray:
    """A pitch a beat, each a plucked sine with two overtones `[1, N]`."""
    audio = np.zeros(round(len(pitches) * BEAT * RATE), np.float32)
    time = np.arange(round(0.42 * RATE)) / RATE
    for index, pitch in enumerate(pitches):
        frequency = 440 * 2 ** ((pitch - 69) / 12)
        tone = sum(np.sin(2 * np.pi * k * frequency * time) / k for k in (1, 2, 3))
        start = round((index * BEAT + delay) * RATE)
        stop = min(len(audio), start + len(time))
        plucked = 0.3 * tone * np.exp(-3 * time) * np.minimum(1, (0.42 - time) / 0.05)
        audio[start:stop] = plucked[: stop - start]
    return audio[None]


def bar_of(*steps: int) -> list[int]:
    """Each bar's root in the low octave, moved by one step a beat."""
    return [28 + (root - 28) % 12 + step for root in ROOTS for step in steps]


def test_a_line_of_roots_is_right_in_everything():
    figures = judge_bass(play(bar_of(0, 0, 7, 12)), RATE, make_song())
    assert figures.root_on_downbeats == 1.0
    assert figures.chord_tones == 1.0
    assert figures.grid_f1 == 1.0
    assert figures.onset_f1 == 1.0
    assert figures.num_notes == 16
    assert (figures.lowest, figures.highest) == (29, 48)
    assert figures.voiced_share > 0.7
    assert -20 < figures.rms_db < -10


def test_a_line_a_tritone_off_is_wrong_in_harmony_only():
    figures = judge_bass(play(bar_of(6, 6, 6, 6)), RATE, make_song())
    assert figures.root_on_downbeats == 0.0
    assert figures.chord_tones == 0.0
    assert figures.onset_f1 == 1.0


def test_half_of_the_notes_wrong_is_a_half():
    figures = judge_bass(play(bar_of(0, 6, 7, 1)), RATE, make_song())
    assert figures.root_on_downbeats == 1.0
    assert figures.chord_tones == pytest.approx(0.5, abs=0.07)


def test_a_late_line_misses_grid_and_notes():
    figures = judge_bass(play(bar_of(0, 0, 0, 0), delay=0.0625), RATE, make_song())
    assert figures.grid_f1 < 0.2
    assert figures.onset_f1 < 0.2
    assert figures.chord_tones == 1.0


def test_an_offbeat_sixteenth_is_on_the_grid_though_not_on_the_notes():
    figures = judge_bass(play(bar_of(0, 0, 0, 0), delay=0.125), RATE, make_song())
    assert figures.grid_f1 > 0.9
    assert figures.onset_f1 < 0.2


def test_in_six_eight_a_beat_has_three_eighths():
    song = make_song() | {"time_signature": [6, 8], "beats": [1.5 * i for i in range(6)]}
    song["downbeats"] = song["beats"][::2]
    audio = play(bar_of(0, 0, 0, 0))  # an eighth every 0.5 s
    assert judge_bass(audio, RATE, song).grid_f1 == 1.0


def test_a_clip_is_judged_where_it_lies():
    audio = play(bar_of(0, 0, 0, 0))[:, 2 * RATE : 6 * RATE]
    assert judge_bass(audio, RATE, make_song(), start=2.0).root_on_downbeats == 1.0
    assert judge_bass(audio, RATE, make_song(), start=0.0).root_on_downbeats == 0.0


def test_the_bass_of_a_slash_chord_is_right():
    song = make_song()
    for chord in song["chords"]:
        chord["bass"] = (chord["root"] + 2) % 12
    figures = judge_bass(play(bar_of(2, 2, 2, 2)), RATE, song)
    assert (figures.root_on_downbeats, figures.chord_tones) == (1.0, 1.0)


def test_silence_scores_nothing():
    figures = judge_bass(np.zeros((2, 8 * RATE), np.float32), RATE, make_song())
    assert (figures.root_on_downbeats, figures.chord_tones) == (0, 0)
    assert (figures.grid_f1, figures.onset_f1) == (0, 0)
    assert (figures.voiced_share, figures.num_notes, figures.rms_db) == (0, 0, -120)


def test_what_the_song_does_not_say_is_nan():
    figures = judge_bass(play(bar_of(0, 0, 0, 0)), RATE, {})
    for name in ("root_on_downbeats", "chord_tones", "grid_f1", "onset_f1"):
        assert np.isnan(getattr(figures, name))
    assert figures.num_notes == 16


def test_onsets_match_one_to_one():
    reference, heard = np.array([1.0, 1.04, 2.0]), np.array([0.96, 1.05, 1.06, 2.1])
    assert match_onsets(reference, heard, 0.05) == 2
    assert match_onsets(reference, heard, 0.2) == 3
    assert match_onsets(reference, np.array([]), 0.05) == 0
