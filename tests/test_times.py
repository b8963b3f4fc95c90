import numpy as np
import pytest

from shared.errors import UserError
from shared.times import TimeRange, frames_within


@pytest.mark.parametrize(
    ("text", "start", "stop"),
    [
        ("0:30-0:45", 30, 45),
        ("30-45.5", 30, 45.5),
        (" 1:02 - 1:02:03 ", 62, 3723),
        ("0-0.25", 0, 0.25),
    ],
)
def test_ranges_as_people_write_them(text: str, start: float, stop: float) -> None:
    assert TimeRange.parse(text) == TimeRange(start, stop)


@pytest.mark.parametrize("text", ["", "12", "0:30", "a-b", "0:30-", "-5-3", "0:30-0:45-0:50"])
def test_what_is_no_range(text: str) -> None:
    with pytest.raises(UserError, match="is not a time"):
        TimeRange.parse(text)


@pytest.mark.parametrize("text", ["0:45-0:30", "1-1"])
def test_a_range_must_have_a_length(text: str) -> None:
    with pytest.raises(UserError, match="ends before it begins"):
        TimeRange.parse(text)


def test_a_range_prints_as_it_is_read() -> None:
    for text in ("0:30-0:45", "0:00-1:02.5", "61:00-62:00"):
        assert TimeRange.parse(str(TimeRange.parse(text))) == TimeRange.parse(text)
    assert str(TimeRange(30, 62.5)) == "0:30-1:02.5"


def test_frames_of_ranges_are_joined() -> None:
    within = frames_within([TimeRange(0, 0.2), TimeRange(0.15, 0.3)], 10, 10.0)
    np.testing.assert_array_equal(np.flatnonzero(within), [0, 1, 2])
    assert not frames_within([], 10, 10.0).any()
    assert frames_within([TimeRange(0.8, 99)], 10, 10.0).sum() == 2


def test_a_range_after_the_song() -> None:
    with pytest.raises(UserError, match="a song of 0:01"):
        frames_within([TimeRange(2, 3)], 10, 10.0)
