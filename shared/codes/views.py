"""Show a song's codes: tables for the terminal, and a picture of every code over time."""

from pathlib import Path

import numpy as np
from rich.table import Table

from shared.codes.song_codes import SongCodes
from shared.errors import UserError
from shared.metrics import code_usage, count_codes
from shared.music.notes import tokens_to_notes
from shared.plots import drawable, new_figure, save_figure
from shared.times import clock


def summary_table(song: SongCodes) -> Table:
    """Return a table of what the file holds, one fact in each row."""
    table = Table(title=song.track, show_header=False, title_justify="left")
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    samples = f"{song.num_samples} samples at {song.sample_rate} Hz"
    table.add_row("length", f"{song.duration:.2f} s, {samples}")
    table.add_row("frames", f"{song.num_frames}, {song.frame_rate:.2f} per second")
    table.add_row("codebooks", f"{song.num_codebooks} for each source")
    table.add_row("views", ", ".join(song.views))
    table.add_row("split", song.split)
    table.add_row("codec", song.fingerprint)
    table.add_row("gain", f"{song.gain:.3f}")
    if song.notes is not None and song.note_confidence is not None:
        count = len(tokens_to_notes(song.notes, song.frame_rate))
        trust = float(song.note_confidence.mean())
        table.add_row("bass notes", f"{count}, mean confidence {trust:.2f}")
    else:
        table.add_row("bass notes", "unknown")
    table.add_row("song facts", ", ".join(song.song) if song.song else "none")
    return table


def sources_table(song: SongCodes, view: str) -> Table:
    """Return a table of each source's level and of how a view uses its codebooks, on average."""
    codes = song.view(view)
    seen = int(codes.max()) + 1  # The file does not state how many entries a codebook has.
    usage = code_usage(count_codes(codes, seen))
    table = Table(title=f"view '{view}'", title_justify="left")
    table.add_column("source")
    for heading in ("level dBFS", "perplexity", "entries used", "bits/s"):
        table.add_column(heading, justify="right")
    for row, source in enumerate(song.sources):
        level = song.rms[source]
        table.add_row(
            source,
            f"{20 * np.log10(level):.1f}" if level > 0 else "silent",
            f"{usage.perplexity[row].mean():.1f}",
            f"{seen * usage.usage[row].mean():.1f}",
            f"{usage.entropy[row].sum() * song.frame_rate:.0f}",
        )
    return table


def frames_table(song: SongCodes, view: str, start: float = 0.0, num_frames: int = 16) -> Table:
    """Return a table of the codes from `start` seconds on.

    It has a row for each codebook of each source and a column for each frame.

    Raises:
        UserError: `start` is after the end of the song.
    """
    first = round(start * song.frame_rate)
    if first >= song.num_frames:
        raise UserError(
            f"{clock(start)} is after the end of '{song.track}', which lasts "
            f"{song.duration:.2f} s: choose an earlier start"
        )
    last = min(first + num_frames, song.num_frames)
    title = f"view '{view}', {first / song.frame_rate:.2f} to {last / song.frame_rate:.2f} s"
    table = Table(title=title, title_justify="left", padding=(0, 0, 0, 1))
    table.add_column("source")
    table.add_column("codebook", justify="right")
    for frame in range(first, last):
        table.add_column(str(frame), justify="right")
    for source, rows in zip(song.sources, song.view(view), strict=True):
        for codebook, row in enumerate(rows):
            # The first row of a source shows its name, and a line follows its last row.
            name = source if codebook == 0 else ""
            values = [str(code) for code in row[first:last].tolist()]
            end = codebook == len(rows) - 1
            table.add_row(name, str(codebook), *values, end_section=end)
    return table


def save_codes_picture(path: Path, song: SongCodes, view: str) -> None:
    """Write a PNG in which every code is a coloured cell over time.

    Each source is a strip, and each of its codebooks a row of it. Equal colours in a row are equal
    codes, but similar colours are not similar codes.
    """
    codes = song.view(view)
    figure, axes = new_figure(rows=len(song.sources), height=1.3)
    top = max(int(codes.max()), 1)
    image = None
    for axis, source, rows in zip(axes, song.sources, codes, strict=True):
        image = axis.imshow(
            rows,
            aspect="auto",
            interpolation="nearest",
            cmap="turbo",
            vmin=0,
            vmax=top,
            extent=(0, song.num_frames / song.frame_rate, len(rows) - 0.5, -0.5),
        )
        axis.set_ylabel(drawable(source), parse_math=False)
        axis.set_yticks([0, len(rows) - 1])
    title = drawable(f"{song.track} - codes of view '{view}'")
    axes[0].set_title(title, loc="left", parse_math=False)
    axes[-1].set_xlabel("time (s)")
    if image is not None:
        figure.colorbar(image, ax=list(axes), label="code", pad=0.01, fraction=0.03)
    save_figure(figure, path)
