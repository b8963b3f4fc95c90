"""Draw pictures without a display. Times are in seconds, and levels in dB below the loudest."""

import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from scipy.fft import rfft

from shared.atomic import atomic_path
from shared.music.bar_grid import BarGrid
from shared.music.chord import Chord
from shared.music.notes import Note
from shared.piano_roll import draw_bars, draw_chords, draw_notes
from shared.sound.sliced import SlicedSamples

MAX_COLUMNS = 1600  # of a spectrogram; a picture has no more pixels for them
ROWS = 240  # of a spectrogram
COLUMNS_AT_ONCE = 16  # of a spectrogram are computed together
RANGE_DB = 70  # levels below the loudest that are shown
SPECTROGRAM_INCHES, ROLL_INCHES = 2.3, 1.7
ROW_SECONDS, MAX_ROWS = 30.0, 8  # of a piano roll
STYLE: dict[str, Any] = {"dpi": 120, "layout": "constrained"}


def new_figure(rows: int, height: float, width: float = 11.0) -> tuple[Figure, list[Axes]]:
    """Make a figure of `rows` axes, each `height` inches tall, that share their time axis."""
    figure = Figure(figsize=(width, rows * height + 0.8), **STYLE)
    FigureCanvasAgg(figure)
    return figure, list(figure.subplots(rows, 1, sharex=True, squeeze=False)[:, 0])


def drawable(name: str) -> str:
    """Return a name of a file as a font can draw it: bytes that are no text become question marks.

    Draw it with `parse_math=False`, because matplotlib reads what is between two `$` as a formula.
    """
    return name.encode("utf-8", "replace").decode()


def save_figure(figure: Figure, path: Path) -> None:
    """Write a PNG, which appears whole or not at all."""
    with atomic_path(path) as temporary, warnings.catch_warnings():
        # Letters that the font lacks are drawn as boxes.
        warnings.filterwarnings("ignore", message=".*[Gg]lyph")
        figure.savefig(temporary, format="png")


def save_generation_picture(
    path: Path,
    song: SlicedSamples,
    bass: SlicedSamples,
    sample_rate: int,
    notes: Sequence[Note],
    title: str = "",
    grid: BarGrid | None = None,
    chords: Sequence[Chord] = (),
) -> None:
    """Write a PNG of what `generate-bass` did.

    The upper rows are the spectrograms of the song without bass and of the new bass, both given as
    audio `[C, N]`. Below are the notes of the new bass as a piano roll, with the beats, the bars
    and the chords of the song where they are known. The piano roll of a longer song goes on from
    row to row, and a row begins with a bar.
    """
    seconds = max(song.shape[1] / sample_rate, 1e-3)
    rows = _row_edges(seconds, grid)
    heights = [SPECTROGRAM_INCHES] * 2 + [ROLL_INCHES if len(rows) > 1 else 2.6] * len(rows)
    figure = Figure(figsize=(11.0, sum(heights) + 0.8), **STYLE)
    FigureCanvasAgg(figure)
    axes = list(figure.subplots(len(heights), 1, squeeze=False, height_ratios=heights)[:, 0])
    draw_spectrogram(axes[0], song, sample_rate, 40, min(16_000, sample_rate / 2), 4096)
    draw_spectrogram(axes[1], bass, sample_rate, 25, min(2000, sample_rate / 2), 8192)
    axes[0].set_title("song without bass", loc="left")
    axes[1].set_title("new bass", loc="left")
    axes[2].set_title("notes of the new bass", loc="left", pad=18 if chords else None)
    for axis in axes[:2]:
        axis.set_xlim(0, seconds)
    for axis, (start, stop) in zip(axes[2:], rows, strict=True):
        axis.set_xlim(start, stop)
        draw_notes(axis, notes)
        if grid is not None:
            draw_bars(axis, grid)
        draw_chords(axis, chords)
    axes[-1].set_xlabel("time (s)")
    if title:
        figure.suptitle(drawable(title), x=0.01, ha="left", fontweight="bold", parse_math=False)
    save_figure(figure, path)


def save_spectrograms(
    path: Path,
    sounds: Mapping[str, npt.NDArray[np.float32]],
    sample_rate: int,
    low: float,
    high: float,
) -> None:
    """Write a PNG with the spectrogram of each sound `[C, N]` under its title, one below another.

    The frequency axes are logarithmic, from `low` to `high` Hz.
    """
    figure, axes = new_figure(len(sounds), SPECTROGRAM_INCHES)
    for axis, (title, audio) in zip(axes, sounds.items(), strict=True):
        draw_spectrogram(axis, audio, sample_rate, low, min(high, sample_rate / 2), 8192)
        axis.set_title(title, loc="left", parse_math=False)
    axes[-1].set_xlabel("time (s)")
    save_figure(figure, path)


def _row_edges(seconds: float, grid: BarGrid | None) -> list[tuple[float, float]]:
    """Divide a song into rows of at most 30 s, or into MAX_ROWS rows; all are equally long.

    Each row begins with the bar nearest to where it would begin otherwise.
    """
    count = min(int(np.ceil(seconds / ROW_SECONDS)), MAX_ROWS)
    length = seconds / count
    starts = [length * row for row in range(count)]
    if grid is not None and count > 1:
        bars = grid.downbeats[(grid.downbeats > 0) & (grid.downbeats < seconds)]
        nearest = {float(bars[np.abs(bars - start).argmin()]) for start in starts[1:] if len(bars)}
        starts = [0.0, *sorted(nearest)]
        length = max(np.diff([*starts, seconds]))
    return [(start, start + length) for start in starts]


def draw_spectrogram(
    axis: Axes,
    audio: SlicedSamples,
    sample_rate: int,
    low: float,
    high: float,
    n_fft: int,
) -> None:
    """Draw the levels of audio `[C, N]` over time and frequency, from `low` to `high` Hz.

    The frequency axis is logarithmic. Longer windows (`n_fft` samples) resolve pitches better and
    times worse.
    """
    hop = max(n_fft // 16, -(-audio.shape[1] // MAX_COLUMNS))
    window = np.hanning(n_fft).astype(np.float32)
    bins = np.geomspace(low, high, ROWS) * n_fft / sample_rate
    below = bins.astype(np.int64).clip(max=n_fft // 2 - 1)
    share = (bins - below)[:, None]
    columns = []
    for frames in _frames(audio, n_fft, hop):
        spectrum = np.square(np.abs(rfft(frames * window, axis=1))).T
        columns.append((1 - share) * spectrum[below] + share * spectrum[below + 1])
    power = np.concatenate(columns, axis=1)
    levels = 10 * np.log10(np.maximum(power, 1e-20) / max(power.max(), 1e-12))
    seconds = power.shape[1] * hop / sample_rate
    axis.imshow(
        levels,
        aspect="auto",
        origin="lower",
        cmap="magma",
        vmin=-RANGE_DB,
        vmax=0,
        extent=(0, seconds, np.log2(low), np.log2(high)),
    )
    ticks = [tick for tick in (50, 100, 200, 500, 1000, 2000, 5000, 10_000) if low <= tick <= high]
    names = [f"{tick // 1000}k" if tick >= 1000 else str(tick) for tick in ticks]
    axis.set_yticks(np.log2(ticks).tolist(), names)
    axis.set_ylabel("Hz")


def _frames(audio: SlicedSamples, n_fft: int, hop: int) -> Iterator[npt.NDArray[np.float32]]:
    """Yield frames of the mean of all channels, block after block `[n, n_fft]`.

    They are centred at the multiples of `hop`. There are zeros around the sound. Only what is in
    a frame is read, because the frames of a long song are far apart.
    """
    count = 1 + max(audio.shape[1], n_fft) // hop
    for first in range(0, count, COLUMNS_AT_ONCE):
        numbers = range(first, min(first + COLUMNS_AT_ONCE, count))
        yield np.stack([_frame(audio, number * hop - n_fft // 2, n_fft) for number in numbers])


def _frame(audio: SlicedSamples, start: int, n_fft: int) -> npt.NDArray[np.float32]:
    stop = start + n_fft
    mono = audio[:, max(0, start) : max(0, stop)].mean(0)
    before = min(n_fft, max(0, -start))
    return np.pad(mono, (before, n_fft - before - len(mono)))
