"""How much of a job is done, and how long the rest takes."""

from itertools import pairwise

import pytest

from shared.estimate import USUAL_SONG, Estimate, Step
from stage2_prior.steps import EACH as EACH_SONG
from stage2_prior.steps import steps_of

ONCE = [Step("load", 4.0)]
EACH = [Step("read", 1.0, 0.1), Step("write", 2.0, 0.2)]


class Clock:
    """A clock that is set by hand."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_the_cost_of_a_step_grows_with_the_song() -> None:
    assert Step("read", 1.0, 0.1).cost(60) == pytest.approx(7.0)


def test_at_first_nothing_is_done_and_everything_is_ahead(clock: Clock) -> None:
    estimate = Estimate(ONCE, EACH, clock)
    estimate.begin("load")
    assert estimate.share == 0
    assert estimate.left == pytest.approx(4 + 3 + 0.3 * USUAL_SONG)


def test_a_machine_that_is_half_as_fast_takes_twice_as_long(clock: Clock) -> None:
    estimate = Estimate([Step("load", 1000.0)], [Step("write", 1000.0)], clock)
    estimate.begin("load")
    clock.now += 2000
    estimate.begin_song()
    estimate.begin("write", 60)
    assert estimate.share == pytest.approx(0.5)
    assert estimate.left == pytest.approx(2000, rel=0.01)


def test_within_a_step_it_never_stands_still_and_never_arrives(clock: Clock) -> None:
    estimate = Estimate(ONCE, EACH, clock)
    estimate.begin("load")
    shares = []
    for _ in range(20):
        clock.now += 1
        shares.append(estimate.share)
    assert all(later > earlier for earlier, later in pairwise(shares))
    assert shares[-1] < 4 / (4 + 3 + 0.3 * USUAL_SONG)


def test_the_share_never_falls_when_the_song_is_longer_than_expected(clock: Clock) -> None:
    estimate = Estimate(ONCE, EACH, clock)
    estimate.begin("load")
    estimate.begin_song()
    estimate.begin("read")
    clock.now += 10
    before = estimate.share
    estimate.begin("write", 6000)
    assert estimate.share >= before
    assert estimate.left == pytest.approx(0.5 * (2 + 0.2 * 6000))  # the machine is fast


def test_several_songs_are_ahead_and_failed_ones_are_over(clock: Clock) -> None:
    estimate = Estimate([], EACH, clock)
    estimate.expect(4)
    estimate.begin_song()
    estimate.begin("read")
    estimate.begin("write", 10)
    song = 3 + 0.3 * 10
    assert estimate._ahead() == pytest.approx(2 + 0.2 * 10 + 3 * song)
    estimate.begin_song()  # the first one is over, however far it came
    assert estimate._ahead() == pytest.approx(3 * song)
    for _ in range(2):
        estimate.begin_song()
    estimate.begin("read")
    estimate.begin("write")
    clock.now += 1e6
    assert estimate.share == pytest.approx(0.999)
    assert estimate.left < 1


def test_an_unknown_step_costs_nothing(clock: Clock) -> None:
    estimate = Estimate(ONCE, EACH, clock)
    estimate.begin("dance")
    clock.now += 5
    assert estimate.share == 0
    assert estimate.elapsed == 5


def test_takes_repeat_the_last_steps() -> None:
    names = [step.name for step in steps_of(3)]
    assert names == [step.name for step in EACH_SONG] + 2 * [step.name for step in EACH_SONG[-3:]]
    assert steps_of(1) == EACH_SONG
    assert len(steps_of(10**9)) == len(steps_of(64))
