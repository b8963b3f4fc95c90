"""What is known of a song that was opened, as a JSON file between the worker and the server."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from shared.json_files import write_json
from shared.music.bar_grid import BarGrid
from shared.music.chord import Chord
from shared.times import TimeRange

FACTS_FILE = "song.json"
ORIGINAL_FILE, BACKING_FILE, CODES_FILE = "original.wav", "backing.wav", "codes.npz"
WORD_SIZE = "PCM_24"  # of the sounds of a session and of its takes
SHORTEST_BAR = 0.05  # s; what is left of a bar at an end of the song is no bar if it is shorter


@dataclass(frozen=True, eq=False)
class SongFacts:
    """What is known of a song.

    Attributes:
        sample_rate: in Hz.
        samples: its length.
        bass_removed: whether it had a bass, which was taken out.
        loudness: its loudness in LUFS; None for silence.
        gain: what the level of its accompaniment is multiplied by before it is encoded.
        end: when its sound has ended, in seconds; None where that is at its last frame.
        grid: its beats and bars.
        heard: the chords that were heard.
        recognised: the chords that a recogniser names; None where there is none.
        key: its key; None where it is not known.
        chord_line: the chords that were heard as text that can be edited and played.
    """

    sample_rate: int
    samples: int
    bass_removed: bool
    loudness: float | None
    gain: float
    end: float | None
    grid: BarGrid
    heard: tuple[Chord, ...]
    recognised: tuple[Chord, ...] | None
    key: str | None
    chord_line: str

    @property
    def seconds(self) -> float:
        """The length of the song."""
        return self.samples / self.sample_rate

    @property
    def bars(self) -> list[TimeRange]:
        """The bars of the song, which cover it from its beginning to its end."""
        starts = self.grid.downbeats
        inside = starts[(starts > SHORTEST_BAR) & (starts < self.seconds - SHORTEST_BAR)]
        edges = [0.0, *inside.tolist(), self.seconds]
        return [TimeRange(*edge) for edge in pairwise(edges)]

    @property
    def first_bar(self) -> int:
        """The number of the first bar: 0 for a pickup."""
        return int(self.grid.downbeats[0] <= SHORTEST_BAR)

    def save(self, folder: Path) -> None:
        """Write the facts into the folder of a session."""
        content = {
            **{name: value for name, value in vars(self).items() if name != "grid"},
            "grid": {
                "beats": self.grid.beats.tolist(),
                "bar_starts": self.grid.bar_starts.tolist(),
                "beat_unit": self.grid.beat_unit,
            },
            "heard": [asdict(chord) for chord in self.heard],
            "recognised": None
            if self.recognised is None
            else [asdict(chord) for chord in self.recognised],
        }
        write_json(folder / FACTS_FILE, content)

    @classmethod
    def load(cls, folder: Path) -> SongFacts:
        """Read what `save` wrote."""
        content: dict[str, Any] = json.loads((folder / FACTS_FILE).read_text(encoding="utf-8"))
        grid, recognised = content["grid"], content["recognised"]
        return cls(
            **content
            | {
                "grid": BarGrid(
                    np.asarray(grid["beats"], np.float64),
                    np.asarray(grid["bar_starts"], np.int64),
                    grid["beat_unit"],
                ),
                "heard": tuple(Chord(**each) for each in content["heard"]),
                "recognised": None
                if recognised is None
                else tuple(Chord(**each) for each in recognised),
            }
        )

    def for_page(self) -> dict[str, Any]:
        """Return what a page shows of the song. Times are in seconds."""
        return {
            "seconds": self.seconds,
            "sampleRate": self.sample_rate,
            "bassRemoved": self.bass_removed,
            "loudness": self.loudness,
            "tempo": round(self.grid.tempo, 1),
            "meter": "{}/{}".format(*self.grid.meter),
            "key": self.key,
            "beats": self.grid.beats.tolist(),
            "bars": [[bar.start, bar.stop] for bar in self.bars],
            "firstBar": self.first_bar,
            "chords": chords_for_page(self.heard),
            "chordLine": self.chord_line,
        }


def chords_for_page(chords: tuple[Chord, ...]) -> list[list[float | str]]:
    """Write chords as `[start, end, symbol]`."""
    return [[chord.start, chord.end, chord.symbol] for chord in chords]
