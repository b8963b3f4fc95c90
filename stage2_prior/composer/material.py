"""Songs as the composer learns from them: what the listener hears, on the bars of the song."""

from collections.abc import Iterable, Sequence

import numpy as np

from shared.codes.song_codes import SongCodes
from shared.music.bar_grid import BarGrid
from shared.music.bar_tracking import track_bars
from shared.music.known_grid import grid_of_facts
from shared.music.notes import Note, tokens_to_notes
from stage2_prior.composer.features import Hearing, listen
from stage2_prior.composer.grid_notes import GridNotes
from stage2_prior.composer.sequences import ComposedSong
from stage2_prior.listener.network import Listener
from stage2_prior.listener.sequences import WITHOUT_BASS, View, known_views

# A training song is heard with some of its codes hidden, a share from 0 to the first number, and
# without each source with the chance of the second. Otherwise the listener, which has learned these
# songs, would be far surer of them than of other songs.
HIDDEN_CODES, HIDDEN_SOURCE = 0.35, 0.1


def composed_song(
    song: SongCodes, listener: Listener, hearings: int, views: Sequence[View] = WITHOUT_BASS
) -> ComposedSong | None:
    """Let the listener hear a song, and put its line on the bars.

    Bars that song.json does not know are found by the listener, and notes by the pitch tracker.

    Args:
        song: the codes of the song.
        listener: a listener in eval mode.
        hearings: how often it hears the song, each time with other codes hidden. A song that is not
            for training is heard once, as it is.
        views: the views of the song, which are heard in turn.

    Returns:
        The song; None where nothing is known of its line.
    """
    notes = known_line(song)
    if notes is None:
        return None
    training = song.split == "train"
    heard = list(_hearings(song, listener, hearings if training else 1, training, views))
    grid = known_or_tracked_grid(song, heard[0])
    features = np.stack([each.on_grid(grid) for each in heard])
    line = GridNotes.quantise(notes, grid)
    return ComposedSong.of(song.track, song.split, features, grid, line)


def known_line(song: SongCodes) -> list[Note] | None:
    """Return the notes of the bass from song.json, or else those that were tracked."""
    if song.facts.bass_notes is not None:
        return list(song.facts.bass_notes)
    if song.notes is None or song.note_confidence is None:
        return None
    return tokens_to_notes(song.notes, song.frame_rate)


def known_or_tracked_grid(song: SongCodes, heard: Hearing) -> BarGrid:
    """Return the bars of a song from song.json, or else those that the listener hears."""
    known = grid_of_facts(song.facts, song.duration)
    if known is not None:
        return known
    beat, downbeat = heard.beats.T.astype(np.float64)
    return track_bars(beat, downbeat, heard.frame_rate, song.duration)


def _hearings(
    song: SongCodes, listener: Listener, count: int, hide: bool, wanted: Sequence[View]
) -> Iterable[Hearing]:
    views = known_views(song, wanted)
    chance = np.random.default_rng(sum(song.track.encode()))
    for index in range(count):
        codes = song.view(views[index % len(views)])
        hidden = None
        if hide:
            hidden = chance.random(codes.shape) < chance.random() * HIDDEN_CODES
            hidden[chance.random(len(codes)) < HIDDEN_SOURCE] = True
        yield listen(listener, codes, hidden)
