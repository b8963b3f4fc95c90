"""What the server asks of the worker: small messages that name files of a session."""

from dataclasses import dataclass, field
from pathlib import Path

from shared.music.notes import Note
from shared.times import TimeRange
from stage2_prior.studio.options import TakeOptions


@dataclass(frozen=True)
class OpenSong:
    """Open a song: take its bass out, and find its bars and chords.

    Attributes:
        session: the folder of the session.
        upload: the file that was uploaded.
        name: the name that the user knows it by.
        most_seconds: a longer song is refused.
        remove_bass: whether to take its bass out; None takes it out if there is one.
    """

    session: Path
    upload: Path
    name: str
    most_seconds: float
    remove_bass: bool | None = None


@dataclass(frozen=True)
class MakeTake:
    """Make a take.

    Without a parent, a new line is written for the whole song. With a parent, everything outside
    the ranges stays as it is in the parent, bit by bit. Notes that are given are performed; bars
    in which they differ from the parent's are added to the ranges.

    Attributes:
        session: the folder of the session.
        number: the number of the take, which also seeds it.
        parent: the take that it is made of, or None.
        ranges: the ranges of time to write anew.
        notes: the notes of the whole line, or None where they are to be composed.
        options: how it is composed and performed.
    """

    session: Path
    number: int
    parent: int | None = None
    ranges: tuple[TimeRange, ...] = ()
    notes: tuple[Note, ...] | None = None
    options: TakeOptions = field(default_factory=TakeOptions)


Order = OpenSong | MakeTake


@dataclass(frozen=True)
class Progress:
    """The worker has begun a step.

    Attributes:
        step: what it does now, such as "taking the bass out".
        done: the share of the work that is done, from 0 to 1.
    """

    step: str
    done: float


@dataclass(frozen=True)
class Finished:
    """The worker has done what was ordered."""


@dataclass(frozen=True)
class Failed:
    """The worker cannot do what was ordered.

    Attributes:
        problem: one sentence for the user, without a path of this machine.
    """

    problem: str


Report = Progress | Finished | Failed
