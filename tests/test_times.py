"""Times and ranges of time as people write them, and the frames they cover."""

import numpy as np
import pytest

from shared.errors import UserError
from shared.times import TimeRange, clock, frames_within, parse_time


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


@pytest.mark.parametrize(
    "text", ["", "12", "0:30", "a-b", "0:30-", "-5-3", "0:30-0:45-0:50", "0-9999999"]
)
def test_what_is_no_range(text: str) -> None:
    with pytest.raises(UserError, match="is not a time"):
        TimeRange.parse(text)


@pytest.mark.parametrize("text", ["0:45-0:30", "1-1"])
def test_a_range_must_have_a_length(text: str) -> None:
    with pytest.raises(UserError, match="does not end after it begins: swap"):
        TimeRange.parse(text)


@pytest.mark.parametrize(("start", "stop"), [(1, 1), (2, 1), (-1, 1), (0, float("nan"))])
def test_a_range_in_code_is_checked_too(start: float, stop: float) -> None:
    with pytest.raises(UserError, match="must begin at 0 or later and end after that"):
        TimeRange(start, stop)


def test_a_range_prints_as_it_is_read() -> None:
    for text in ("0:30-0:45", "0:00-1:02.5", "61:00-62:00"):
        assert TimeRange.parse(str(TimeRange.parse(text))) == TimeRange.parse(text)
    assert str(TimeRange(30, 62.5)) == "0:30-1:02.5"


def test_frames_of_ranges_are_joined() -> None:
    within = frames_within([TimeRange(0, 0.2), TimeRange(0.15, 0.3)], 10, 10.0)
    np.testing.assert_array_equal(np.flatnonzero(within), [0, 1, 2])
    assert not frames_within([], 10, 10.0).any()
    assert frames_within([TimeRange(0.8, 99)], 10, 10.0).sum() == 2


@pytest.mark.parametrize("span", [TimeRange(2, 3), TimeRange(0.91, 0.95)])
def test_a_range_without_a_frame(span: TimeRange) -> None:
    with pytest.raises(UserError, match=r"contains no frame .* whose last frame is at 0:00\.9"):
        frames_within([span], 10, 10.0)


def test_times_are_read_and_written() -> None:
    assert [parse_time(text) for text in ("45", "0:45", " 1:02:03.5 ", "90.25")] == [
        45, 45, 3723.5, 90.25,
    ]  # fmt: skip
    assert [clock(time) for time in (0, 45, 62.5, 3723.5, 0.0004)] == [
        "0:00", "0:45", "1:02.5", "62:03.5", "0:00",
    ]  # fmt: skip
    for text in ("", "-1", "1:2:3:4", "1e3", "٣"):
        with pytest.raises(UserError, match="is not a time: write it as 0:30"):
            parse_time(text)
