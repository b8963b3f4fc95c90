"""What the user wants of the harmony: that it is heard, left alone, or given."""

from dataclasses import dataclass
from enum import Enum

from shared.errors import require
from shared.music.bar_grid import BarGrid
from shared.music.chord import Chord
from stage2_prior.chord_line import names_file, read_chords, read_progression

_MOST_A_BAR = 16  # before the metre is known


class HarmonySource(Enum):
    """Where the chords come from that weigh the choice of notes."""

    AUTO = "auto"  # they are heard in the song
    OFF = "off"  # none do
    GIVEN = "given"  # the user writes them


@dataclass(frozen=True)
class Harmony:
    """The user's choice.

    Attributes:
        source: where the chords come from.
        chords: the progression or the name of a chord file, where they are given (chord_line.py).
    """

    source: HarmonySource = HarmonySource.AUTO
    chords: str | None = None

    def __post_init__(self) -> None:
        """Check that there are chords if, and only if, they are given."""
        require(
            (self.chords is not None) == (self.source is HarmonySource.GIVEN),
            "chords are written where, and only where, the harmony is given",
        )

    @classmethod
    def parse(cls, text: str) -> "Harmony":
        """Read `auto`, `off`, a progression such as `Cm | Ab Eb | Bb`, or a chord file's name.

        Raises:
            UserError: the progression cannot be read.
        """
        if text in (HarmonySource.AUTO.value, HarmonySource.OFF.value):
            return cls(HarmonySource(text))
        if not names_file(text):
            read_progression(text, _MOST_A_BAR)
        return cls(HarmonySource.GIVEN, text)

    def given_chords(self, grid: BarGrid, duration: float) -> tuple[Chord, ...] | None:
        """Return the chords that are given, placed in the song; None where none are given.

        Args:
            grid: the beats and bars of the song.
            duration: the length of the song in seconds.

        Raises:
            UserError: the chords cannot be read.
        """
        return None if self.chords is None else read_chords(self.chords, grid, duration)
