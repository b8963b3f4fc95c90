"""One song of a data set as a picture: four spectrograms, chords above, beats drawn over."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from scipy.signal import stft

from shared.atomic import atomic_path
from shared.audio import read_audio
from shared.errors import UserError
from shared.sources import SOURCES

_RANGE_DB = 70.0


def draw_song(song: Path, path: Path, start: float = 0.0, seconds: float = 16.0) -> None:
    """Draw `seconds` of a song folder from `start` as a PNG; the bass's notes lie over its spectrogram.

    Raises UserError when the folder has no song.json or no stems.
    """
    try:
        labels = json.loads((song / "song.json").read_text())
    except OSError as error:
        raise UserError(
            f"{song} holds no song.json; name a song that make-dataset wrote"
        ) from error
    end = min(start + seconds, labels["duration"])
    figure = Figure(figsize=(12, 9), layout="constrained")
    panels = figure.subplots(len(SOURCES), 1, sharex=True)
    for source, panel in zip(SOURCES, panels, strict=True):
        files = sorted(song.glob(f"{source}.*"))
        if not files:
            raise UserError(f"{song} has no {source} stem; name a song that make-dataset wrote")
        audio = read_audio(files[0])
        first, last = (round(time * audio.sample_rate) for time in (start, end))
        mono = audio.samples[:, first:last].mean(axis=0)
        frequencies, times, spectrum = stft(mono, audio.sample_rate, nperseg=4096, noverlap=3072)
        level = 20 * np.log10(np.abs(spectrum) + 1e-6)
        top = max(level.max(), -60.0)
        panel.pcolormesh(
            times + start,
            frequencies[1:],
            level[1:],
            vmin=top - _RANGE_DB,
            vmax=top,
            cmap="magma",
            rasterized=True,
        )
        panel.set(yscale="log", ylabel=f"{source} (Hz)", xlim=(start, end))
        panel.set_ylim((30, 1000) if source == "bass" else (60, 16000))
        for name, style in (("beats", (0.5, 0.35)), ("downbeats", (1.0, 0.8))):
            for time in labels[name]:
                panel.axvline(time, color="white", linewidth=style[0], alpha=style[1])
        if source == "bass":
            for note in labels["bass_notes"]:
                hertz = 440.0 * 2.0 ** ((note["pitch"] - 69) / 12)
                panel.plot(
                    [note["onset"], note["onset"] + note["duration"]],
                    [hertz, hertz],
                    color="cyan",
                    linewidth=1.2,
                )
    for chord in labels["chords"]:
        if start <= chord["start"] < end - 0.2:
            panels[0].annotate(
                chord["symbol"],
                (chord["start"], 1.02),
                xycoords=("data", "axes fraction"),
                fontsize=8,
            )
    panels[0].set_title(
        f"{labels['style']}, {labels['key']}, {labels['tempo']:.0f} beats/min", pad=18
    )
    panels[-1].set_xlabel("seconds")
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=80, format="png")
