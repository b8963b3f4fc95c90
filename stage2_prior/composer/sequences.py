"""Cut training windows for the composer from songs on their grids.

Item i of the batch of a step depends only on (seed, step, i), so neither the number of processes
nor resuming changes the training data.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from shared.config import Fraction, Range
from shared.music.bar_grid import STEPS, BarGrid
from stage2_prior.composer.features import ONSET, PITCH, REST, ROOT, TONES, transpose
from stage2_prior.composer.grid_notes import HIGHEST, LOWEST, GridNotes
from stage2_prior.composer.steps import LineSteps

TRANSPOSITIONS = range(-6, 6)  # semitones
COMMON_BAR = 4 * STEPS

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class VaryingConfig:
    """How songs are varied in training."""

    transpose: bool = True  # into a random key
    hide_song: Fraction = 0.12  # chance that all features are hidden, which guidance needs
    # Probabilities are raised to a power from 1 minus this to 1 and normalised again, because the
    # listener is surer of the songs that it was trained on than of others.
    soften: Annotated[float, Range(0, 0.95)] = 0.6


@dataclass(frozen=True, eq=False)
class ComposedSong:
    """A song as the composer learns from it.

    Attributes:
        track: the name of the song.
        split: "train", "valid" or "test".
        features: what the listener hears `[V, P, FEATURES]`, in V variations.
        place: how far each position is into its bar `[P]`.
        bar_starts: the positions at which bars begin.
        notes: the line.
        position_seconds: the mean length of a position.
    """

    track: str
    split: str
    features: npt.NDArray[np.float16]
    place: npt.NDArray[np.int64]
    bar_starts: npt.NDArray[np.int64]
    notes: GridNotes
    position_seconds: float

    @classmethod
    def of(
        cls, track: str, split: str, features: Array, grid: BarGrid, notes: GridNotes
    ) -> "ComposedSong":
        """Put a song together from what was heard on its grid `[V, P, FEATURES]` and its line."""
        positions = grid.positions
        starts = STEPS * grid.bar_starts
        return cls(
            track=track,
            split=split,
            features=features.astype(np.float16),
            place=grid.place_in_bar(np.arange(positions)),
            bar_starts=starts[starts < positions],
            notes=notes,
            position_seconds=float(grid.beats[-1] - grid.beats[0]) / positions,
        )

    @property
    def positions(self) -> int:
        """The number of positions P."""
        return len(self.place)

    @property
    def seconds(self) -> float:
        """The length of the grid in seconds."""
        return self.positions * self.position_seconds


def window(
    song: ComposedSong, start: int, positions: int, version: int = 0, semitones: int = 0
) -> dict[str, Array]:
    """Cut a window out of a song.

    Args:
        song: the song.
        start: the first position.
        positions: the largest number of positions.
        version: which variation of the features to take.
        semitones: the key to move it to, relative to its own. A line that would leave the range is
            moved by an octave.

    Returns:
        `features` `[P, FEATURES]`, `place` `[P]`, and the arrays of LineSteps `[N]`.
    """
    stop = min(song.positions, start + positions)
    notes = song.notes.between(start, stop)
    pitch = notes.pitch + semitones
    if len(pitch) and pitch.min() < LOWEST:
        pitch = pitch + 12
    if len(pitch) and pitch.max() > HIGHEST:
        pitch = pitch - 12
    kept = (pitch >= LOWEST) & (pitch <= HIGHEST)
    moved = GridNotes(notes.onset - start, notes.length, pitch, notes.loudness).select(kept)
    features = transpose(song.features[version, start:stop].astype(np.float32), semitones)
    steps = LineSteps.of(moved, stop - start)
    return {"features": features, "place": song.place[start:stop], **vars(steps)}


def soften(features: Array, power: float) -> Array:
    """Raise probabilities `[P, FEATURES]` to a power, and normalise the result."""
    softer = features**power
    sounding = 1 - features[:, [REST]]
    result = features.copy()
    result[:, PITCH] = sounding * softer[:, PITCH] / (softer[:, PITCH].sum(1, keepdims=True) + 1e-6)
    result[:, ROOT] = softer[:, ROOT] / (softer[:, ROOT].sum(1, keepdims=True) + 1e-6)
    for part in (TONES, slice(ONSET, ONSET + 1)):
        opposite = (1 - features[:, part]).clip(0) ** power
        result[:, part] = softer[:, part] / (softer[:, part] + opposite + 1e-6)
    outside = features[:, ROOT].sum(1) == 0
    result[outside] = 0
    return result


def collate(windows: Sequence[dict[str, Array]]) -> dict[str, Tensor]:
    """Pad windows to the length of the longest, and stack them as tensors `[B, ...]`."""
    positions = -(-max(len(each["place"]) for each in windows) // STEPS) * STEPS
    names = LineSteps.__dataclass_fields__.keys()
    lines = [LineSteps(**{name: each[name] for name in names}) for each in windows]
    steps = max(1, max(len(line.cursor) for line in lines))
    columns: dict[str, list[Array]] = {name: [] for name in ("features", "place", *names)}
    for each, line in zip(windows, lines, strict=True):
        after = positions - len(each["place"])
        columns["features"].append(np.pad(each["features"], ((0, after), (0, 0))))
        columns["place"].append(np.pad(each["place"], (0, after)))
        for name, values in vars(line.padded(steps)).items():
            columns[name].append(values)
    stacked = {name: torch.from_numpy(np.stack(arrays)) for name, arrays in columns.items()}
    stacked["positions"] = torch.tensor([len(each["place"]) for each in windows])
    return stacked


class ComposingSequences:
    """Random windows of songs, in random keys, some without what the listener hears."""

    def __init__(self, songs: Sequence[ComposedSong], bars: int, varying: VaryingConfig) -> None:
        """Prepare to cut windows of as many bars of four beats."""
        self.songs, self.varying = songs, varying
        self.longest = bars * COMMON_BAR
        self.ends = np.cumsum([song.positions for song in songs])

    def batch(self, seed: int, step: int, items: range) -> dict[str, Tensor]:
        """Make some items of the batch of a step: `collate`, and `hidden` `[B]`."""
        chances = [np.random.default_rng((seed, step, i)) for i in items]
        batch = collate([self._item(chance) for chance in chances])
        hidden = [chance.random() < self.varying.hide_song for chance in chances]
        return {**batch, "hidden": torch.tensor(hidden)}

    def _item(self, chance: np.random.Generator) -> dict[str, Array]:
        song = self.songs[np.searchsorted(self.ends, chance.integers(self.ends[-1]), side="right")]
        fitting = song.bar_starts[song.bar_starts <= song.positions - self.longest]
        starts = fitting if len(fitting) else song.bar_starts[: max(1, len(song.bar_starts) // 4)]
        start = int(chance.choice([0, *starts.tolist()]))
        semitones = int(chance.choice(TRANSPOSITIONS)) if self.varying.transpose else 0
        version = int(chance.integers(len(song.features)))
        item = window(song, start, self.longest, version, semitones)
        power = 1 - self.varying.soften * chance.random()
        return item | {"features": soften(item["features"], power)}
