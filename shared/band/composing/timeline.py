"""The timeline of chords that every player reads, and the notes that they play."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass, field, replace

from shared.band.composing.harmony import MODES, RelativeChord
from shared.music.chord import QUALITIES


@dataclass(frozen=True)
class Span:
    """A chord from beat `start` to beat `end`, in a key with the tonic `tonic` (a pitch class)."""

    start: float
    end: float
    chord: RelativeChord
    tonic: int

    @property
    def root(self) -> int:
        """Pitch class of the chord's root."""
        return (self.tonic + self.chord.root) % 12

    @property
    def bass(self) -> int:
        """Pitch class of the chord's lowest note."""
        return (self.tonic + self.chord.bass) % 12

    @property
    def quality(self) -> str:
        """The chord's quality, a key of `shared.music.chord.QUALITIES`."""
        return self.chord.quality

    @property
    def tones(self) -> tuple[int, ...]:
        """Pitch classes from the root up, without a bass note that is foreign to the chord."""
        return tuple((self.root + step) % 12 for step in QUALITIES[self.quality][0])


@dataclass(frozen=True)
class Timeline:
    """The chords of a song as spans without gaps from beat 0 on, and its mode."""

    spans: tuple[Span, ...]
    mode: str
    _starts: tuple[float, ...] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        """Remember where the spans begin, to look them up."""
        object.__setattr__(self, "_starts", tuple(span.start for span in self.spans))

    def index(self, beat: float) -> int:
        """Return the index of the span that sounds at `beat`."""
        return max(0, bisect_right(self._starts, beat + 1e-6) - 1)

    def at(self, beat: float) -> Span:
        """Return the span that sounds at `beat`."""
        return self.spans[self.index(beat)]

    def between(self, start: float, end: float) -> list[Span]:
        """Return the spans that overlap [start, end), cut to it."""
        first = self.index(start)
        found = []
        for span in self.spans[first:]:
            if span.start >= end - 1e-6:
                break
            found.append(replace(span, start=max(span.start, start), end=min(span.end, end)))
        return found

    def scale(self, beat: float) -> tuple[int, ...]:
        """Return the pitch classes of the key at `beat`."""
        tonic = self.at(beat).tonic
        return tuple((tonic + step) % 12 for step in MODES[self.mode])


@dataclass(frozen=True)
class Event:
    """A note in beats, before a human's timing is added.

    Attributes:
        beat: where it begins.
        length: in beats.
        pitch: a MIDI number, or a key of the drum kit.
        velocity: from 0 to 1; louder is allowed before it is clipped.
        slide: how many semitones off the pitch it begins; it then bends into the pitch.
    """

    beat: float
    length: float
    pitch: int
    velocity: float
    slide: float = 0.0

    def louder(self, factor: float) -> Event:
        """Return the same note with `factor` times the velocity."""
        return replace(self, velocity=self.velocity * factor)
