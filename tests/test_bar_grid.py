import numpy as np
import pytest

from shared.errors import UserError
from shared.music.bar_grid import STEPS, BarGrid


def test_a_grid_reaches_from_the_beginning_to_the_end_of_a_song() -> None:
    grid = BarGrid.of([1.25, 1.75, 2.25, 2.75], [1.75], 4.1)
    assert grid.beats[0] <= 0
    assert grid.beats[-1] >= 4.1
    np.testing.assert_allclose(np.diff(grid.beats), 0.5)
    assert 1.75 in grid.downbeats
    assert grid.tempo == pytest.approx(120)


def test_bars_go_on_before_and_after_the_known_downbeats() -> None:
    beats = 0.5 * np.arange(3, 20)
    grid = BarGrid.of(beats.tolist(), beats[[2, 5, 8]].tolist(), 12)
    np.testing.assert_allclose(grid.downbeats, 1.0 + 1.5 * np.arange(8))
    assert grid.meter == (3, 4)


def test_positions_and_times_are_inverse_also_where_the_tempo_changes_and_outside() -> None:
    grid = BarGrid(np.array([0.0, 0.5, 1.1, 1.4]), np.array([0]))
    positions = np.array([-6, 0, 6, 12, 18, 30, 36, 48])
    np.testing.assert_allclose(grid.time_of(positions), [-0.25, 0, 0.25, 0.5, 0.8, 1.25, 1.4, 1.7])
    np.testing.assert_allclose(grid.position_of(grid.time_of(positions)), positions, atol=1e-9)


def test_places_count_from_the_bar_and_a_pickup_is_the_end_of_a_bar() -> None:
    grid = BarGrid(np.arange(0, 6, 0.5), np.array([1, 5, 9]))
    assert grid.bar_of([0, STEPS, 5 * STEPS - 1, 5 * STEPS]).tolist() == [-1, 0, 0, 1]
    assert grid.place_in_bar([0, STEPS, 5 * STEPS - 1, 5 * STEPS]).tolist() == [
        3 * STEPS,
        0,
        4 * STEPS - 1,
        0,
    ]


def test_without_downbeats_bars_have_four_beats() -> None:
    assert BarGrid.of([0, 0.5, 1.0], [], 6).beats_per_bar == 4


@pytest.mark.parametrize(("beats", "starts"), [([0.0], [0]), ([0.0, 0.0], [0]), ([0.0, 1.0], [])])
def test_beats_that_make_no_grid_are_refused(beats: list[float], starts: list[int]) -> None:
    with pytest.raises(UserError, match="a grid of bars"):
        BarGrid(np.array(beats), np.array(starts, np.int64))
