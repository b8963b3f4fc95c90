"""The bars, the key and the chords of a song, as JSON files say them."""

from typing import Any

from shared.music.bar_grid import BarGrid
from shared.music.chord import Chord
from shared.music.lead_sheet import lead_sheet


def music_figures(grid: BarGrid, chords: tuple[Chord, ...], key: str | None) -> dict[str, Any]:
    """Describe the bars, the key and the chords of a song. Times are in seconds."""
    return {
        "tempo": round(grid.tempo, 2),
        "meter": list(grid.meter),
        "key": key,
        "beats": grid.beats.round(4).tolist(),
        "downbeats": grid.downbeats.round(4).tolist(),
        "chords": [
            {"start": round(chord.start, 4), "end": round(chord.end, 4), "symbol": chord.symbol}
            for chord in chords
        ],
        "lead_sheet": lead_sheet(chords, grid) if chords else None,
    }
