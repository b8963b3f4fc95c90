"""Lines whose figures are known by construction."""

from dataclasses import replace

import numpy as np
import pytest

from shared.music import bass_metrics
from shared.music.bass_metrics import BassFigures, judge_bass, match_onsets, pitch_class_share
from shared.music.notes import Note
from shared.music.pitch import PitchTrack
from shared.music.song_facts import SongChord, SongFacts

RATE = 22_050
BEAT = 0.5
ROOTS = [9, 5, 0, 7]  # Am F C G, a bar each


QUALITIES = ["min", "maj", "maj", "maj"]
SONG = SongFacts(
    beats=tuple(BEAT * i for i in range(17)),
    downbeats=tuple(2.0 * bar for bar in range(4)),
    chords=tuple(
        SongChord(2.0 * bar, 2.0 * bar + 2.0, root, quality)
        for bar, (root, quality) in enumerate(zip(ROOTS, QUALITIES, strict=True))
    ),
    bass_notes=tuple(Note(BEAT * i, 0.4, 40) for i in range(16)),
)


def play(pitches: list[int], delay: float = 0.0) -> np.ndarray:
    """A pitch a beat, each a plucked sine with two overtones `[1, N]`."""
    audio = np.zeros(round(len(pitches) * BEAT * RATE), np.float32)
    time = np.arange(round(0.42 * RATE)) / RATE
    for index, pitch in enumerate(pitches):
        frequency = 440 * 2 ** ((pitch - 69) / 12)
        tone = sum(np.sin(2 * np.pi * k * frequency * time) / k for k in (1, 2, 3))
        start = max(0, round((index * BEAT + delay) * RATE))
        stop = min(len(audio), start + len(time))
        plucked = 0.3 * tone * np.exp(-3 * time) * np.minimum(1, (0.42 - time) / 0.05)
        audio[start:stop] = plucked[: stop - start]
    return audio[None]


def bar_of(*steps: int) -> list[int]:
    """Each bar's root in the low octave, moved by one step a beat."""
    return [28 + (root - 28) % 12 + step for root in ROOTS for step in steps]


def test_a_line_of_roots_is_right_in_everything() -> None:
    figures = judge_bass(play(bar_of(0, 0, 7, 12)), RATE, SONG)
    assert figures.root_on_downbeats == 1.0
    assert figures.chord_tones == 1.0
    assert figures.grid_f1 == 1.0
    assert figures.onset_f1 == 1.0
    assert figures.num_notes == 16
    assert (figures.lowest, figures.highest) == (29, 48)
    assert figures.voiced_share > 0.7
    assert -20 < figures.rms_db < -10


def test_a_line_a_tritone_off_is_wrong_in_harmony_only() -> None:
    figures = judge_bass(play(bar_of(6, 6, 6, 6)), RATE, SONG)
    assert figures.root_on_downbeats == 0.0
    assert figures.chord_tones == 0.0
    assert figures.onset_f1 == 1.0


def test_half_of_the_notes_wrong_is_a_half() -> None:
    figures = judge_bass(play(bar_of(0, 6, 7, 1)), RATE, SONG)
    assert figures.root_on_downbeats == 1.0
    assert figures.chord_tones == pytest.approx(0.5, abs=0.07)


def test_a_late_line_misses_grid_and_notes() -> None:
    figures = judge_bass(play(bar_of(0, 0, 0, 0), delay=0.0625), RATE, SONG)
    assert figures.grid_f1 < 0.2
    assert figures.onset_f1 < 0.2
    assert figures.chord_tones == 1.0


def test_an_offbeat_sixteenth_is_on_the_grid_though_not_on_the_notes() -> None:
    figures = judge_bass(play(bar_of(0, 0, 0, 0), delay=0.125), RATE, SONG)
    assert figures.grid_f1 > 0.9
    assert figures.onset_f1 < 0.2


@pytest.mark.parametrize(("pitch", "start", "share"), [(40, 0.0, 1), (52, 2.0, 1), (41, 0.0, 0)])
def test_the_pitch_class_is_compared_while_a_note_of_the_songs_own_bass_lasts(
    monkeypatch: pytest.MonkeyPatch, pitch: int, start: float, share: float
) -> None:
    times = np.arange(350) / 43
    sounding = (times + start) % BEAT < 0.45
    track = PitchTrack(
        times, np.where(sounding, pitch + 0.3, np.nan), times, ~sounding, np.empty(0)
    )
    assert pitch_class_share(track, SONG.bass_notes or (), start) == share
    monkeypatch.setattr(bass_metrics, "track_pitch", lambda *_: track)
    samples = np.zeros((1, 8 * RATE), np.float32)
    assert judge_bass(samples, RATE, SONG, start).pitch_class == share
    halved = PitchTrack(times, np.where(times < 4, pitch, np.nan), times, ~sounding, np.empty(0))
    assert judge_bass(samples, RATE, SONG, track=halved).pitch_class == pytest.approx(
        0.5 * (pitch % 12 == 4), abs=0.02
    )
    assert np.isnan(judge_bass(samples, RATE, SongFacts(), start).pitch_class)


def judge_onsets(
    monkeypatch: pytest.MonkeyPatch, onsets: list[float], song: SongFacts = SONG
) -> BassFigures:
    """Judge a line without pitch whose attacks are at exactly these times (s)."""
    times = np.arange(350) / 43
    nothing = np.full(len(times), np.nan)
    track = PitchTrack(times, nothing, nothing, np.isnan(nothing), np.array(onsets))
    monkeypatch.setattr(bass_metrics, "track_pitch", lambda *_: track)
    return judge_bass(np.zeros((1, 8 * RATE), np.float32), RATE, song)


@pytest.mark.parametrize(
    ("late", "on_grid"), [(0.0, True), (0.03, True), (-0.03, True), (0.033, False), (-0.033, False)]
)
def test_the_grid_allows_a_quarter_of_a_sixteenth(
    monkeypatch: pytest.MonkeyPatch, late: float, on_grid: bool
) -> None:
    """A sixteenth is 125 ms, so that 31 ms are allowed."""
    figures = judge_onsets(monkeypatch, [0.5 + late, 1.125 + late, 3.25 + late])
    assert figures.grid_f1 == float(on_grid)


@pytest.mark.parametrize(("late", "on_grid"), [(0.049, True), (0.051, False)])
def test_the_grid_allows_50_ms_at_most(
    monkeypatch: pytest.MonkeyPatch, late: float, on_grid: bool
) -> None:
    slow = replace(SONG, beats=tuple(1.0 * i for i in range(8)), downbeats=(0.0, 4.0))
    assert judge_onsets(monkeypatch, [1 + late, 2.25 + late], slow).grid_f1 == float(on_grid)


def test_a_grid_point_is_for_one_onset(monkeypatch: pytest.MonkeyPatch) -> None:
    figures = judge_onsets(monkeypatch, [1.0, 1.01, 2.0])
    assert figures.grid_f1 == pytest.approx(2 * 2 / (3 + 2))


@pytest.mark.parametrize(("late", "f1"), [(0.049, 1.0), (0.051, 0.0)])
def test_an_onset_may_be_50_ms_from_the_songs_own(
    monkeypatch: pytest.MonkeyPatch, late: float, f1: float
) -> None:
    onsets = [BEAT * i + late for i in range(16)]
    assert judge_onsets(monkeypatch, onsets).onset_f1 == f1


def test_in_six_eight_a_beat_has_three_eighths() -> None:
    beats = tuple(1.5 * i for i in range(6))
    song = replace(SONG, meter=(6, 8), beats=beats, downbeats=beats[::2])
    audio = play(bar_of(0, 0, 0, 0))  # an eighth every 0.5 s
    assert judge_bass(audio, RATE, song).grid_f1 == 1.0


@pytest.mark.parametrize(("late", "right"), [(0.06, 1.0), (0.2, 0.0)])
def test_a_root_is_looked_for_just_after_the_downbeat(late: float, right: float) -> None:
    assert judge_bass(play(bar_of(0, 6, 6, 6), late), RATE, SONG).root_on_downbeats == right


def test_a_note_that_comes_before_its_chord_belongs_to_it() -> None:
    figures = judge_bass(play(bar_of(0, 0, 0, 0), delay=-0.06), RATE, SONG)
    assert figures.chord_tones == 1.0


@pytest.mark.parametrize(("onset", "duration"), [(1.6, 1.0), (1.9, 0.09)])
def test_a_note_belongs_to_the_chord_that_it_begins_in(
    monkeypatch: pytest.MonkeyPatch, onset: float, duration: float
) -> None:
    """E belongs to Am, which ends at 2 s, and not to F: neither a long E nor one that is over."""
    times = np.arange(800) / 100
    pitch = np.where((times >= onset) & (times < onset + duration), 40.0, np.nan)
    track = PitchTrack(times, pitch, np.ones(800), np.isnan(pitch), np.array([onset]))
    monkeypatch.setattr(bass_metrics, "track_pitch", lambda *_: track)
    assert judge_bass(np.zeros((1, 8 * RATE), np.float32), RATE, SONG).chord_tones == 1.0


def test_a_clip_is_judged_where_it_lies() -> None:
    audio = play(bar_of(0, 0, 0, 0))[:, 2 * RATE : 6 * RATE]
    assert judge_bass(audio, RATE, SONG, start=2.0).root_on_downbeats == 1.0
    assert judge_bass(audio, RATE, SONG, start=0.0).root_on_downbeats == 0.0
    assert judge_bass(audio, RATE, SONG, start=2.0).chord_tones == 1.0


def test_a_clip_that_begins_off_the_grid_is_judged_on_the_songs_grid() -> None:
    start = 1.94
    audio = play(bar_of(0, 0, 0, 0))[:, round(start * RATE) : 6 * RATE]
    figures = judge_bass(audio, RATE, SONG, start)
    assert (figures.grid_f1, figures.onset_f1) == (1.0, 1.0)


def test_the_bass_of_a_slash_chord_is_right() -> None:
    chords = tuple(replace(chord, bass=((chord.root or 0) + 2) % 12) for chord in SONG.chords)
    figures = judge_bass(play(bar_of(2, 2, 2, 2)), RATE, replace(SONG, chords=chords))
    assert (figures.root_on_downbeats, figures.chord_tones) == (1.0, 1.0)


def test_a_chord_that_nobody_could_name_is_left_out() -> None:
    first = replace(SONG.chords[0], root=None, quality=None)
    song = replace(SONG, chords=(first, *SONG.chords[1:]))
    line = [*[34] * 4, *bar_of(0, 0, 0, 0)[4:]]  # wrong notes in the first bar
    figures = judge_bass(play(line), RATE, song)
    assert (figures.root_on_downbeats, figures.chord_tones) == (1.0, 1.0)


def test_a_chord_of_unknown_tones_still_has_a_root() -> None:
    chords = tuple(replace(chord, quality="of its own") for chord in SONG.chords)
    figures = judge_bass(play(bar_of(0, 0, 0, 0)), RATE, replace(SONG, chords=chords))
    assert figures.root_on_downbeats == 1.0
    assert np.isnan(figures.chord_tones)


def test_silence_scores_nothing() -> None:
    figures = judge_bass(np.zeros((2, 8 * RATE), np.float32), RATE, SONG)
    assert (figures.root_on_downbeats, figures.chord_tones) == (0, 0)
    assert (figures.grid_f1, figures.onset_f1) == (0, 0)
    assert (figures.voiced_share, figures.num_notes, figures.rms_db) == (0, 0, -120)


def test_what_the_song_does_not_say_is_nan() -> None:
    figures = judge_bass(play(bar_of(0, 0, 0, 0)), RATE, SongFacts())
    for name in ("root_on_downbeats", "chord_tones", "grid_f1", "onset_f1"):
        assert np.isnan(getattr(figures, name))
    assert figures.num_notes == 16


def test_onsets_match_one_to_one() -> None:
    reference, found = np.array([1.0, 1.04, 2.0]), np.array([0.96, 1.05, 1.06, 2.1])
    assert match_onsets(reference, found, 0.05) == 2
    assert match_onsets(reference, found, 0.2) == 3
    assert match_onsets(reference, np.array([]), 0.05) == 0
