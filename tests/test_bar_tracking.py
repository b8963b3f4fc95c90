from typing import Any

import numpy as np
import pytest

from shared.errors import UserError
from shared.music.bar_grid import BarGrid
from shared.music.bar_tracking import BarHints, parse_meter, track_bars
from shared.music.beat_metrics import beat_f1
from shared.music.beat_refinement import ONSET_REACH, move_to_onsets
from shared.music.known_grid import grid_of_facts
from shared.music.onset_envelope import OnsetEnvelope, onset_envelope
from shared.music.song_facts import SongFacts
from tests.beat_simulation import FRAME_RATE, Song, random_song, simulate


def tracked(song: Song, hints: BarHints | None = None) -> BarGrid:
    return track_bars(song.beat, song.downbeat, FRAME_RATE, song.duration, hints)


def f1(song: Song, grid: BarGrid) -> tuple[float, float]:
    """The F-measures of the beats and of the downbeats, from the first to the last true beat."""
    beats, downbeats = (
        times[(times > song.beats[0] - 0.1) & (times < song.beats[-1] + 0.1)]
        for times in (grid.beats, grid.downbeats)
    )
    return beat_f1(beats, song.beats), beat_f1(downbeats, song.downbeats)


@pytest.mark.parametrize("bpm", [45, 60, 96, 133, 210])
@pytest.mark.parametrize("meter", [2, 3, 4, 5, 6, 7])
def test_clear_activations_give_every_beat_and_bar(bpm: float, meter: int) -> None:
    song = simulate(bpm=bpm, meter=meter, pickup=1, duration=40)
    grid = tracked(song)
    assert f1(song, grid) == (1, 1)
    assert grid.meter == (meter, 4)
    assert grid.tempo == pytest.approx(bpm, rel=0.005)
    assert grid.beats[0] <= 0
    assert grid.beats[-1] >= song.duration


# Each error of a network by itself.
TROUBLES: dict[str, dict[str, Any]] = {
    "jitter": {"jitter": 0.02, "noise": 0.02},
    "missing beats": {"missing": 0.3},
    "false peaks": {"false_peaks": 0.6, "noise": 0.02},
    "drift": {"drift": 0.05},
    "long gap": {"gap": (20.0, 32.0)},
    "gap and drift": {"gap": (20.0, 28.0), "drift": 0.05},
    "half-tempo peaks": {"weak_beats": 0.45},
    "double-tempo peaks": {"offbeats": 0.15},
    "waltz": {"meter": 3, "jitter": 0.01, "noise": 0.04, "missing": 0.1},
    "five": {"meter": 5, "jitter": 0.01, "noise": 0.04, "missing": 0.1},
    "six-eight felt in two": {"meter": 2, "bpm": 70.0, "offbeats": 0.1, "noise": 0.03},
}


@pytest.mark.parametrize("trouble", TROUBLES)
def test_beats_are_found_in_spite_of(trouble: str) -> None:
    song = simulate(**{"seed": 1, "duration": 60.0, "pickup": 1, **TROUBLES[trouble]})
    beats, downbeats = f1(song, tracked(song))
    assert beats >= 0.99
    assert downbeats >= 0.97


def test_songs_with_all_errors_at_once_are_found_if_the_tempo_is_known() -> None:
    scores = []
    for seed in range(8):
        song = random_song(seed)
        bpm = 60 / float(np.median(np.diff(song.beats)))
        scores.append(f1(song, tracked(song, BarHints(bpm=bpm))))
    beats, downbeats = np.mean(scores, axis=0)
    assert beats > 0.95
    assert downbeats > 0.85


@pytest.mark.parametrize("seed", range(4))
def test_the_tempo_never_jumps(seed: int) -> None:
    gaps = np.diff(tracked(random_song(100 + seed)).beats)
    assert np.abs(np.diff(np.log(gaps))).max() < 0.15
    assert gaps.max() / gaps.min() < 1.7


@pytest.mark.parametrize("level", [0.0, 0.3, 1.0])
def test_flat_activations_give_an_even_grid(level: float) -> None:
    flat = np.full(1000, level)
    grid = track_bars(flat, flat, FRAME_RATE, 23.2)
    np.testing.assert_allclose(grid.beats[:-1], 0.5 * np.arange(len(grid.beats) - 1))
    assert grid.bar_starts.tolist() == list(range(0, len(grid.beats), 4))

    grid = track_bars(flat, flat, FRAME_RATE, 23.2, BarHints(90, 1.25, (3, 4)))
    assert grid.tempo == pytest.approx(90)
    assert grid.downbeats[0] == pytest.approx(1.25)
    assert set(np.diff(grid.bar_starts)) == {3}


def test_silence_of_any_length_gives_a_grid() -> None:
    for frames in (0, 1, 2, 10, 50):
        nothing = np.zeros(frames)
        grid = track_bars(nothing, nothing, FRAME_RATE, frames / FRAME_RATE)
        assert grid.beats[-1] >= frames / FRAME_RATE


def test_a_few_frames_with_peaks_give_a_grid() -> None:
    for frames in range(2, 60, 3):
        peaks = np.zeros(frames)
        peaks[:: max(2, frames // 3)] = 1
        assert len(track_bars(peaks, peaks, FRAME_RATE, frames / FRAME_RATE).beats) >= 2


@pytest.mark.parametrize("factor", [0.5, 1.0, 2.0])
def test_a_tempo_hint_decides_between_the_octaves(factor: float) -> None:
    song = simulate(bpm=100, weak_beats=0.45, offbeats=0.3)
    grid = tracked(song, BarHints(bpm=100 * factor))
    assert grid.tempo == pytest.approx(100 * factor, rel=0.01)


def test_the_tempo_stays_near_a_wrong_hint() -> None:
    grid = tracked(simulate(bpm=100, noise=0.05), BarHints(bpm=130))
    assert grid.tempo == pytest.approx(130, rel=0.05)


@pytest.mark.parametrize("first", [0.0, 0.42, 2.7, 17.123])
def test_the_first_bar_begins_at_the_hint(first: float) -> None:
    song = simulate(seed=2, noise=0.05, jitter=0.01)
    onsets = OnsetEnvelope(np.random.default_rng(0).random(12_000), 200.0)
    hints = BarHints(first_downbeat=first)
    grid = track_bars(song.beat, song.downbeat, FRAME_RATE, song.duration, hints, onsets)
    assert grid.downbeats[0] == pytest.approx(first, abs=1e-9)
    assert (np.diff(grid.beats) > 0).all()
    assert grid.beats_per_bar == 4


@pytest.mark.parametrize(
    ("meter", "beats", "unit"),
    [((3, 4), 3, 4), ((7, 8), 7, 8), ((6, 8), 2, 4), ((12, 8), 4, 4), ((2, 2), 2, 2)],
)
def test_all_bars_have_the_beats_of_the_meter(
    meter: tuple[int, int], beats: int, unit: int
) -> None:
    grid = tracked(simulate(meter=4, noise=0.05), BarHints(meter=meter))
    assert set(np.diff(grid.bar_starts)) == {beats}
    assert grid.beat_unit == unit


@pytest.mark.parametrize(
    "wrong",
    [
        {"bpm": 0},
        {"bpm": 1000},
        {"bpm": float("nan")},
        {"first_downbeat": -0.1},
        {"first_downbeat": float("nan")},
        {"meter": (0, 4)},
        {"meter": (4, 3)},
    ],
)
def test_hints_out_of_range_are_refused(wrong: dict) -> None:
    with pytest.raises(UserError, match="give"):
        BarHints(**wrong)


def test_a_first_downbeat_after_the_end_is_refused() -> None:
    with pytest.raises(UserError, match=r"the song ends at 60\.00 s"):
        tracked(simulate(), BarHints(first_downbeat=61))


def test_activations_that_are_not_finite_or_differ_in_length_are_refused() -> None:
    flat = np.zeros(100)
    with pytest.raises(UserError, match="not finite"):
        track_bars(flat + np.nan, flat, FRAME_RATE, 2)
    with pytest.raises(UserError, match="differ in shape"):
        track_bars(flat, flat[1:], FRAME_RATE, 2)


def test_meters_are_read_as_people_write_them() -> None:
    assert parse_meter("3/4") == (3, 4)
    assert parse_meter(" 12 / 8 ") == (12, 8)
    for text in ("", "3", "3/5", "waltz", "3/4/4", "-3/4", "0/4", "99/4"):
        with pytest.raises(UserError):
            parse_meter(text)


def clicks(times: np.ndarray, duration: float, rate: int) -> np.ndarray:
    """Decaying bursts of noise `[2, N]`."""
    rng = np.random.default_rng(0)
    audio = np.zeros(round(duration * rate), np.float32)
    burst = rng.normal(size=round(0.08 * rate)) * np.exp(
        -np.arange(round(0.08 * rate)) / 0.02 / rate
    )
    for time in times:
        start = round(time * rate)
        audio[start : start + len(burst)] += 0.3 * burst[: len(audio) - start]
    return np.stack((audio, -audio))


@pytest.mark.parametrize("size", [4096, 100])
def test_the_onset_envelope_has_the_mel_bands_of_librosa(
    size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    import librosa

    from shared.music import onset_envelope as module

    monkeypatch.setattr(module, "FRAMES", size)
    audio = clicks(np.arange(0, 4, 0.5), 4.0, 22_050)
    audio += 0.01 * np.random.default_rng(0).standard_normal(audio.shape).astype(np.float32)
    padded = np.pad(audio, ((0, 0), (110, 507)))
    sizes: dict[str, Any] = {"n_fft": 507, "hop_length": 110, "n_mels": 40, "pad_mode": "constant"}
    melspectrogram = librosa.feature.melspectrogram
    bands = [melspectrogram(y=channel, sr=22_050, power=1.0, **sizes) for channel in padded]
    magnitude = np.sqrt(np.square(bands).sum(0, dtype=np.float64))
    flux = np.diff(np.log1p(magnitude / (0.1 * magnitude.max())), axis=1)
    expected = np.maximum(flux, 0).sum(0)[: audio.shape[1] // 110 + 1]
    np.testing.assert_allclose(onset_envelope(audio, 22_050).strength, expected, atol=1e-4)


@pytest.mark.parametrize("rate", [22_050, 44_100, 48_000])
def test_the_onset_envelope_peaks_at_the_attacks(rate: int) -> None:
    attacks = np.array([0.0, 0.5, 1.013, 1.4])
    envelope = onset_envelope(clicks(attacks, 2.0, rate), rate)
    assert envelope.rate == pytest.approx(200, rel=0.01)
    times = np.arange(len(envelope.strength)) / envelope.rate
    for attack in attacks:
        near = np.abs(times - attack) < 0.1
        assert abs(times[near][envelope.strength[near].argmax()] - attack) < 0.008


def test_beats_move_to_the_onsets_and_the_tempo_stays_smooth() -> None:
    true = np.asarray(0.25 + 0.5 * np.arange(40), np.float64)
    off = true + np.random.default_rng(3).normal(0.015, 0.006, len(true))
    envelope = onset_envelope(clicks(true, 21.0, 22_050), 22_050)
    moved = move_to_onsets(off, envelope)
    assert np.abs(moved - true).max() < 0.01
    assert np.diff(moved).std() < 0.5 * np.diff(off).std()
    assert np.abs(moved - off).max() <= ONSET_REACH + 1e-9


def test_beats_stay_where_there_is_no_onset() -> None:
    beats = np.asarray(0.25 + 0.5 * np.arange(60), np.float64)
    silent = OnsetEnvelope(np.zeros(6000), 200.0)
    np.testing.assert_array_equal(move_to_onsets(beats, silent), beats)
    # The first twenty have an onset 15 ms later; the others have none.
    envelope = onset_envelope(clicks(beats[:20] + 0.015, 30.5, 22_050), 22_050)
    shift = move_to_onsets(beats, envelope) - beats
    assert shift[:18] == pytest.approx(np.full(18, 0.015), abs=0.006)
    assert np.abs(shift[36:]).max() < 0.002


def test_the_f_measure_equals_mir_eval() -> None:
    mir_eval_beat = pytest.importorskip("mir_eval.beat")
    rng = np.random.default_rng(5)
    for _ in range(20):
        true = np.sort(rng.uniform(0, 30, rng.integers(1, 60)))
        found = np.sort(np.concatenate((true[::2] + rng.normal(0, 0.06, len(true[::2])), [3.0])))
        assert beat_f1(found, true) == pytest.approx(mir_eval_beat.f_measure(true, found))
    assert beat_f1(np.array([]), true) == 0


def test_the_grid_of_known_beats() -> None:
    beats = tuple(0.2 + 0.5 * i for i in range(20))
    facts = SongFacts(beats=beats, downbeats=beats[1::3], meter=(3, 4))
    grid = grid_of_facts(facts, 12.0)
    assert grid is not None
    assert grid.meter == (3, 4)
    np.testing.assert_allclose(grid.downbeats[:2], [0.7, 2.2])
    assert grid.beats[-1] >= 12

    one_downbeat = grid_of_facts(SongFacts(beats=beats, downbeats=beats[2:3], meter=(5, 4)), 10.0)
    assert one_downbeat is not None
    assert one_downbeat.meter == (5, 4)
    assert beats[2] in one_downbeat.downbeats

    felt_in_two = grid_of_facts(SongFacts(beats=beats, downbeats=beats[::2], meter=(6, 8)), 10.0)
    assert felt_in_two is not None
    assert felt_in_two.meter == (2, 4)
    assert grid_of_facts(SongFacts(beats=beats[:1]), 10.0) is None
