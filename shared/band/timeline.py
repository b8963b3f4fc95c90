"""The harmonic timeline every player reads: which chord sounds at a beat, and which comes next."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass, field

from shared.band.harmony import MODES, RelativeChord
from shared.music.chord import QUALITIES


@dataclass(frozen=True)
class Span:
    """A chord from beat `start` to beat `end`, in a key with tonic `tonic` (pitch class)."""

    start: float
    end: float
    chord: RelativeChord
    tonic: int

    @property
    def root(self) -> int:
        return (self.tonic + self.chord.root) % 12

    @property
    def bass(self) -> int:
        return (self.tonic + self.chord.bass) % 12

    @property
    def quality(self) -> str:
        return self.chord.quality

    @property
    def tones(self) -> tuple[int, ...]:
        """Pitch classes from the root up, without a foreign bass."""
        return tuple((self.root + step) % 12 for step in QUALITIES[self.quality][0])


@dataclass(frozen=True)
class Timeline:
    """Spans without gaps from beat 0."""

    spans: tuple[Span, ...]
    mode: str
    _starts: tuple[float, ...] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_starts", tuple(span.start for span in self.spans))

    def index(self, beat: float) -> int:
        return max(0, bisect_right(self._starts, beat + 1e-6) - 1)

    def at(self, beat: float) -> Span:
        return self.spans[self.index(beat)]

    def between(self, start: float, end: float) -> list[Span]:
        """The spans that overlap [start, end), cut to it."""
        first = self.index(start)
        found = []
        for span in self.spans[first:]:
            if span.start >= end - 1e-6:
                break
            found.append(Span(max(span.start, start), min(span.end, end), span.chord, span.tonic))
        return found

    def scale(self, beat: float) -> tuple[int, ...]:
        """The pitch classes of the key at `beat`."""
        tonic = self.at(beat).tonic
        return tuple((tonic + step) % 12 for step in MODES[self.mode])


@dataclass(frozen=True)
class Event:
    """A note in beats, before timing is humanised. `velocity` 0-1; `slide`: semitones it starts off
    by and bends into the pitch."""

    beat: float
    length: float
    pitch: int
    velocity: float
    slide: float = 0.0

    def louder(self, factor: float) -> Event:
        return Event(self.beat, self.length, self.pitch, self.velocity * factor, self.slide)
