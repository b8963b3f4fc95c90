"""The bar grid of a song whose `song.json` knows the beats."""

from shared.music.bar_grid import BarGrid
from shared.music.bar_tracking import BarHints, beat_unit_of
from shared.music.song_facts import SongFacts


def grid_of_facts(facts: SongFacts, duration: float) -> BarGrid | None:
    """Return the grid of a song, or None if fewer than two beats are known.

    If fewer than two downbeats are known, the time signature says how long the bars are.

    Args:
        facts: what is known of the song.
        duration: of the song, in seconds.
    """
    if len(facts.beats) < 2:
        return None
    downbeats = facts.downbeats
    if len(downbeats) < 2 and facts.meter is not None:
        first = downbeats[0] if downbeats else facts.beats[0]
        nearest = min(range(len(facts.beats)), key=lambda beat: abs(facts.beats[beat] - first))
        downbeats = facts.beats[nearest :: BarHints(meter=facts.meter).beats_per_bar or 4]
    grid = BarGrid.of(facts.beats, downbeats, duration)
    unit = beat_unit_of(facts.meter, grid.beats_per_bar)
    return BarGrid(grid.beats, grid.bar_starts, unit)
