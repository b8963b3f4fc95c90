"""Times and ranges of time as people write them, such as `0:30-0:45`, and the frames they cover."""

import re
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from shared.errors import UserError

_TIME = re.compile(r"(?:(?:(\d{1,6}):)?(\d{1,6}):)?(\d{1,6}(?:\.\d+)?)", re.ASCII)


@dataclass(frozen=True)
class TimeRange:
    """The times from `start` until before `stop`, in seconds.

    Raises:
        UserError: the range does not end after it begins, or begins before 0.
    """

    start: float
    stop: float

    def __post_init__(self) -> None:
        """Check the order of the times."""
        if not 0 <= self.start < self.stop:
            raise UserError(
                f"there is no time range from {self.start:g} s to {self.stop:g} s: "
                "it must begin at 0 or later and end after that"
            )

    def __str__(self) -> str:
        """Return the range as `parse` reads it, to the millisecond."""
        return f"{clock(self.start)}-{clock(self.stop)}"

    @classmethod
    def parse(cls, text: str) -> "TimeRange":
        """Read `30-45`, `0:30-0:45` or `0:30.5-1:02:03`.

        Raises:
            UserError: the text is none of these, or the range ends before it begins.
        """
        times = text.split("-")
        if len(times) != 2:
            raise UserError(f"'{text}' is not a time range: write it as 0:30-0:45")
        start, stop = map(parse_time, times)
        if start >= stop:
            raise UserError(f"the time range {text} does not end after it begins: swap its times")
        return cls(start, stop)


def frames_within(
    ranges: Iterable[TimeRange], num_frames: int, frame_rate: float
) -> npt.NDArray[np.bool_]:
    """Return which frames `[num_frames]` are in any of the ranges. Frame t is at t / frame_rate s.

    Raises:
        UserError: a range contains no frame, because it begins after the last one or is too short.
    """
    times = np.arange(num_frames) / frame_rate
    within = np.zeros(num_frames, np.bool_)
    for each in ranges:
        inside = (times >= each.start) & (times < each.stop)
        if not inside.any():
            raise UserError(
                f"the time range {each} contains no frame of the song, whose last frame is at "
                f"{clock(times[-1])}: choose a longer range within the song"
            )
        within |= inside
    return within


def parse_time(text: str) -> float:
    """Read `45`, `0:45` or `1:02:03.5` as seconds.

    Raises:
        UserError: the text is none of these.
    """
    match = _TIME.fullmatch(text.strip())
    if match is None:
        raise UserError(f"'{text}' is not a time: write it as 0:30, or as seconds")
    hours, minutes, seconds = (float(part or 0) for part in match.groups())
    return 3600 * hours + 60 * minutes + seconds


def clock(seconds: float) -> str:
    """Write seconds as `parse_time` reads them, such as `1:02.5`, to the millisecond."""
    minutes, rest = divmod(round(seconds, 3), 60)
    return f"{int(minutes)}:{rest:06.3f}".rstrip("0").rstrip(".")
