"""Bars, tempi and ticks of a MIDI file fit the audio of a song."""

import numpy as np
import pytest

from shared.errors import UserError
from shared.music.bar_grid import STEPS, BarGrid
from shared.music.tempo_map import TICKS_PER_QUARTER, TempoMap


def even_grid(first_downbeat: float, period: float = 0.5, meter: int = 4) -> BarGrid:
    """A grid of even beats whose bars begin at `first_downbeat`, and later ones."""
    beats = first_downbeat + period * np.arange(40)
    return BarGrid.of(beats.tolist(), beats[::meter].tolist(), float(beats[-1]))


def test_a_song_that_begins_with_a_bar_has_one_tempo_and_no_pickup() -> None:
    ticking = TempoMap.of(even_grid(0.0, period=60 / 97))
    assert set(ticking.tempi.tolist()) == {round(60e6 / 97)}
    assert not ticking.has_pickup
    assert [(bar.tick, bar.beats, bar.unit) for bar in ticking.bars[:2]] == [
        (0, 4, 4),
        (4 * TICKS_PER_QUARTER, 4, 4),
    ]
    assert ticking.bars[1].start == pytest.approx(240 / 97, abs=1e-4)


@pytest.mark.parametrize(
    ("beats_before", "signature"),
    [
        (1.0, (1, 4)),
        (3.0, (3, 4)),
        (2.3, (2, 4)),
        (2.7, (3, 4)),
        (3.9, (4, 4)),
        (0.5, (1, 4)),
        (0.4, (1, 8)),
        (0.25, (1, 16)),
        (0.1, (1, 32)),
        (0.04, (1, 64)),
        (0.03, None),
        (0.0, None),
    ],
)
def test_the_first_bar_holds_the_beats_before_the_first_downbeat(
    beats_before: float, signature: tuple[int, int] | None
) -> None:
    ticking = TempoMap.of(even_grid(0.5 * beats_before))
    first = ticking.bars[0]
    assert ticking.has_pickup == (signature is not None)
    assert (first.beats, first.unit) == (signature or (4, 4))
    assert (first.tick, first.start) == (0, 0)
    # The next bar line, and every later one, is at its own time.
    whole = ticking.bars[1:]
    expected = 0.5 * beats_before + 2.0 * np.arange(not ticking.has_pickup, 10)
    np.testing.assert_allclose([bar.start for bar in whole[:9]], expected[:9], atol=3e-4)
    assert np.diff([bar.tick for bar in whole]).tolist() == [4 * TICKS_PER_QUARTER] * (
        len(whole) - 1
    )
    # No tempo is more than twice or less than half that of the song.
    assert ticking.tempi.min() >= 250_000 - 1
    assert ticking.tempi.max() <= 1_000_000 + 1


def test_the_tempo_is_wrong_for_as_few_positions_as_possible() -> None:
    ticking = TempoMap.of(even_grid(0.5 * 3.9))
    # A tenth of a beat is missing, which is 1.2 positions: three positions are played fast.
    assert ticking.ticks[1] == 3 * TICKS_PER_QUARTER / STEPS
    np.testing.assert_allclose(ticking.seconds[1], 0.5 * 1.8 / STEPS, atol=1e-4)


@pytest.mark.parametrize("unit", [2, 4, 8, 16])
def test_positions_and_times_agree_on_any_grid(unit: int) -> None:
    random = np.random.default_rng(unit)
    for _ in range(50):
        beats = np.cumsum(random.uniform(0.25, 0.9, 60)) * 4 / unit
        beats -= beats[random.integers(0, 3)] + random.choice([0.0, 0.01, 0.1, 0.2])
        grid = BarGrid(beats, np.arange(random.integers(0, 5), 60, random.integers(2, 5)), unit)
        ticking = TempoMap.of(grid)
        places = np.arange(grid.positions)
        ticks, times = ticking.ticks_of(places), grid.time_of(places)
        assert (np.diff(ticks) >= 0).all()
        heard = times > 0.9 / 32  # after a bar line that may be moved to the beginning
        np.testing.assert_allclose(ticking.seconds_at(ticks)[heard], times[heard], atol=6e-4)
        seconds = random.uniform(0, 8, 100)
        back = ticking.seconds_at(ticking.ticks_at(seconds))
        np.testing.assert_allclose(back, seconds, atol=0.5 * ticking.tempi.max() / 960e6 + 1e-9)
        starts = [bar.start for bar in ticking.bars[1:]]
        distances = np.abs(grid.downbeats[:, None] - starts).min(0)
        assert distances.max() < 6e-4


def test_time_goes_on_after_the_last_beat_and_stops_before_the_first() -> None:
    ticking = TempoMap.of(even_grid(0.0))
    late = ticking.grid.beats[-1] + 3.0
    assert ticking.seconds_at(ticking.ticks_at(late)) == pytest.approx(late, abs=1e-3)
    assert ticking.ticks_at(-1.0) == 0
    assert ticking.ticks_of(-STEPS) == 0


def test_meters_may_change_and_a_last_bar_that_is_cut_keeps_its_meter() -> None:
    grid = BarGrid(0.5 * np.arange(14, dtype=np.float64), np.array([0, 4, 7, 11]))
    assert [bar.beats for bar in TempoMap.of(grid).bars] == [4, 3, 4, 4]


def test_a_song_in_which_no_bar_begins_has_bars_all_the_same() -> None:
    grid = BarGrid(0.5 * np.arange(-6, 3, dtype=np.float64), np.array([0, 4]))
    (pickup, whole) = TempoMap.of(grid).bars
    assert (pickup.beats, whole.beats, whole.start) == (2, 4, pytest.approx(1.0))


@pytest.mark.parametrize(("period", "unit"), [(0.5, 3), (40.0, 4)])
def test_a_grid_that_midi_cannot_hold_is_refused(period: float, unit: int) -> None:
    with pytest.raises(UserError, match="MIDI"):
        TempoMap.of(BarGrid(period * np.arange(5, dtype=np.float64), np.array([0]), unit))
