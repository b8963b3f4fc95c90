"""Draw pictures without a display. Times are in seconds, and levels in dB below the loudest."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import PatchCollection
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from shared.atomic import atomic_path
from shared.music.notes import Note

MAX_COLUMNS = 1600  # of a spectrogram; a picture has no more pixels for them
ROWS = 240  # of a spectrogram
RANGE_DB = 70  # levels below the loudest that are shown
NOTE_COLOUR = "#1f77b4"
STYLE: dict[str, Any] = {"dpi": 120, "layout": "constrained"}


def new_figure(rows: int, height: float, width: float = 11.0) -> tuple[Figure, list[Axes]]:
    """Make a figure of `rows` axes, each `height` inches tall, that share their time axis."""
    figure = Figure(figsize=(width, rows * height + 0.8), **STYLE)
    FigureCanvasAgg(figure)
    return figure, list(figure.subplots(rows, 1, sharex=True, squeeze=False)[:, 0])


def save_figure(figure: Figure, path: Path) -> None:
    """Write a PNG, which appears whole or not at all."""
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format="png")


def save_generation_picture(
    path: Path,
    song: npt.NDArray[np.float32],
    bass: npt.NDArray[np.float32],
    sample_rate: int,
    notes: Sequence[Note],
    title: str = "",
) -> None:
    """Write a PNG of what `generate-bass` did, in three rows on one time axis.

    The rows are the spectrograms of the song without bass and of the new bass, both given as audio
    `[C, N]`, and the notes of the new bass as a piano roll.
    """
    figure, (song_axis, bass_axis, notes_axis) = new_figure(rows=3, height=2.3)
    draw_spectrogram(song_axis, song, sample_rate, 40, min(16_000, sample_rate / 2), 4096)
    draw_spectrogram(bass_axis, bass, sample_rate, 25, min(2000, sample_rate / 2), 8192)
    draw_notes(notes_axis, notes)
    song_axis.set_title("song without bass", loc="left")
    bass_axis.set_title("new bass", loc="left")
    notes_axis.set_title("notes of the new bass", loc="left")
    notes_axis.set_xlabel("time (s)")
    notes_axis.set_xlim(0, max(song.shape[1] / sample_rate, 1e-3))
    if title:
        figure.suptitle(title, x=0.01, ha="left", fontweight="bold")
    save_figure(figure, path)


def draw_spectrogram(
    axis: Axes,
    audio: npt.NDArray[np.float32],
    sample_rate: int,
    low: float,
    high: float,
    n_fft: int,
) -> None:
    """Draw the levels of audio `[C, N]` over time and frequency, from `low` to `high` Hz.

    The frequency axis is logarithmic. Longer windows (`n_fft` samples) resolve pitches better and
    times worse.
    """
    mono = audio.mean(0)
    mono = np.pad(mono, (n_fft // 2, n_fft // 2 + max(0, n_fft - len(mono))))
    hop = max(n_fft // 16, -(-audio.shape[1] // MAX_COLUMNS))
    frames = np.lib.stride_tricks.sliding_window_view(mono, n_fft)[::hop]
    window = np.hanning(n_fft).astype(np.float32)
    wanted = np.geomspace(low, high, ROWS)
    bins = wanted * n_fft / sample_rate
    power = np.stack(
        [
            np.interp(bins, np.arange(n_fft // 2 + 1), np.abs(np.fft.rfft(frame * window)) ** 2)
            for frame in frames
        ],
        axis=1,
    )
    levels = 10 * np.log10(np.maximum(power, 1e-20) / max(power.max(), 1e-12))
    seconds = len(frames) * hop / sample_rate
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


def draw_notes(axis: Axes, notes: Sequence[Note]) -> None:
    """Draw notes as a piano roll, with the names of some pitches on the axis."""
    bars = [Rectangle((n.onset, n.pitch - 0.45), n.duration, 0.9) for n in notes]
    axis.add_collection(
        PatchCollection(bars, facecolor=NOTE_COLOUR, edgecolor="white", linewidth=0.4)
    )
    pitches = [note.pitch for note in notes] or [28, 43]
    low, high = min(pitches) - 2, max(pitches) + 2
    axis.set_ylim(low, high)
    names = {0: "C", 4: "E", 7: "G", 9: "A"}
    ticks = [pitch for pitch in range(low, high + 1) if pitch % 12 in names]
    axis.set_yticks(ticks, [f"{names[pitch % 12]}{pitch // 12 - 1}" for pitch in ticks])
    axis.grid(axis="y", color="0.9")
    axis.set_axisbelow(True)
    axis.set_ylabel("pitch")
