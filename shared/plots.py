"""Pictures, drawn without a display. Times are in seconds, levels in dB below the loudest."""

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
from shared.notes import Note

N_FFT = 4096
MAX_COLUMNS = 1600  # of a spectrogram; more could not be told apart on the page
RANGE_DB = 70
NOTE_COLOUR = "#1f77b4"
STYLE: dict[str, Any] = {"dpi": 120, "layout": "constrained"}


def new_figure(rows: int, height: float, width: float = 11.0) -> tuple[Figure, list[Axes]]:
    """A figure of so many rows on one time axis, each `height` inches tall."""
    figure = Figure(figsize=(width, rows * height + 0.8), **STYLE)
    FigureCanvasAgg(figure)
    return figure, list(figure.subplots(rows, 1, sharex=True, squeeze=False)[:, 0])


def save_figure(figure: Figure, path: Path) -> None:
    """Write a PNG atomically."""
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
    """A PNG of what `generate-bass` did, in three rows on one time axis.

    The song without bass and the new bass as spectrograms, audio `[C, N]` both, and the note stream
    the bass followed as a piano roll.
    """
    figure, (song_axis, bass_axis, notes_axis) = new_figure(rows=3, height=2.3)
    draw_spectrogram(song_axis, song, sample_rate, 40, min(16_000, sample_rate / 2))
    draw_spectrogram(bass_axis, bass, sample_rate, 25, min(2000, sample_rate / 2))
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
    axis: Axes, audio: npt.NDArray[np.float32], sample_rate: int, low: float, high: float
) -> None:
    """Audio `[C, N]` as levels over time and frequency, `low` to `high` Hz on a log axis."""
    mono = audio.mean(0)
    mono = np.pad(mono, (N_FFT // 2, N_FFT // 2 + max(0, N_FFT - len(mono))))
    hop = max(N_FFT // 8, -(-audio.shape[1] // MAX_COLUMNS))
    frames = np.lib.stride_tricks.sliding_window_view(mono, N_FFT)[::hop]
    window = np.hanning(N_FFT).astype(np.float32)
    power = np.stack([np.square(np.abs(np.fft.rfft(frame * window))) for frame in frames], axis=1)

    frequencies = np.fft.rfftfreq(N_FFT, 1 / sample_rate)
    rows = np.flatnonzero((frequencies >= low) & (frequencies <= high))
    loudest = power[rows].max(initial=0.0)
    levels = 10 * np.log10(np.maximum(power[rows], 1e-20) / max(loudest, 1e-12))
    times = np.arange(len(frames)) * hop / sample_rate
    axis.set_facecolor("black")
    axis.pcolormesh(
        times,
        frequencies[rows],
        levels,
        cmap="magma",
        vmin=-RANGE_DB,
        vmax=0,
        shading="nearest",
        rasterized=True,
    )
    axis.set_yscale("log")
    axis.set_ylim(low, high)
    ticks = [tick for tick in (50, 100, 200, 500, 1000, 2000, 5000, 10_000) if low <= tick <= high]
    axis.set_yticks(ticks, [f"{tick // 1000}k" if tick >= 1000 else str(tick) for tick in ticks])
    axis.minorticks_off()
    axis.set_ylabel("Hz")


def draw_notes(axis: Axes, notes: Sequence[Note]) -> None:
    """A piano roll: one bar a note, a line at every C, a little air above and below."""
    bars = [Rectangle((n.onset, n.pitch - 0.45), n.duration, 0.9) for n in notes]
    axis.add_collection(
        PatchCollection(bars, facecolor=NOTE_COLOUR, edgecolor="white", linewidth=0.4)
    )
    pitches = [note.pitch for note in notes] or [28, 43]
    axis.set_ylim(min(pitches) - 2, max(pitches) + 2)
    low, high = min(pitches) - 2, max(pitches) + 2
    # C alone where the range is wide, the white keys C, E, G and A where it is narrow.
    names = {0: "C", 4: "E", 7: "G", 9: "A"}
    ticks = [pitch for pitch in range(low, high + 1) if pitch % 12 in names]
    axis.set_yticks(ticks, [f"{names[pitch % 12]}{pitch // 12 - 1}" for pitch in ticks])
    axis.grid(axis="y", color="0.9")
    axis.set_axisbelow(True)
    axis.set_ylabel("pitch")
