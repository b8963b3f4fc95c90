"""Ranges of time as people write them, `0:30-0:45`, and as the frames they cover."""

import re
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from shared.errors import UserError

_TIME = re.compile(r"(?:(?:(\d+):)?(\d+):)?(\d+(?:\.\d+)?)")


@dataclass(frozen=True)
class TimeRange:
    """From `start` until before `stop`, in s; 0 <= start < stop."""

    start: float
    stop: float

    def __str__(self) -> str:
        return f"{_clock(self.start)}-{_clock(self.stop)}"

    @classmethod
    def parse(cls, text: str) -> "TimeRange":
        """Read `30-45`, `0:30-0:45`, `0:30.5-1:02:03`.

        Raises:
            UserError: it is none of these, or ends before it begins.
        """
        times = text.split("-")
        if len(times) != 2:
            raise UserError(f"'{text}' is not a time range: write it as 0:30-0:45")
        start, stop = map(parse_time, times)
        if start >= stop:
            raise UserError(f"the time range {text} ends before it begins: swap its times")
        return cls(start, stop)


def frames_within(
    ranges: Iterable[TimeRange], num_frames: int, frame_rate: float
) -> npt.NDArray[np.bool_]:
    """Which frames `[num_frames]` lie in any of the ranges; frame t stands at t / frame_rate.

    Raises:
        UserError: a range begins after the last frame.
    """
    times = np.arange(num_frames) / frame_rate
    within = np.zeros(num_frames, np.bool_)
    for each in ranges:
        inside = (times >= each.start) & (times < each.stop)
        if not inside.any():
            raise UserError(
                f"the time range {each} holds nothing of a song of {_clock(num_frames / frame_rate)}"
                ": choose one within the song"
            )
        within |= inside
    return within


def parse_time(text: str) -> float:
    """`45`, `0:45`, `1:02:03.5` -> s.

    Raises:
        UserError: it is none of these.
    """
    match = _TIME.fullmatch(text.strip())
    if match is None:
        raise UserError(f"'{text}' is not a time: write it as 0:30, or as seconds")
    hours, minutes, seconds = (float(part or 0) for part in match.groups())
    return 3600 * hours + 60 * minutes + seconds


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds, 3), 60)
    return f"{int(minutes)}:{rest:06.3f}".rstrip("0").rstrip(".")
