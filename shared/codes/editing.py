"""Edits of a song's codes: each returns new SongCodes and leaves the old ones alone.

An edit changes the named sources in every view, and the note stream with the bass. Times are
seconds, and fall into the nearest frame.
"""

import math
from collections.abc import Sequence
from dataclasses import replace as copy_with

import numpy as np
import numpy.typing as npt

from shared.codes.codec import Codec
from shared.codes.song_codes import SongCodes, require_codec, require_fingerprint
from shared.errors import UserError
from shared.music.notes import NoteVocabulary
from shared.sources import BASS, SOURCES


def mute(song: SongCodes, source: str, codec: Codec) -> SongCodes:
    """Put the codes of silence in place of a source. `codec` says what silence is."""
    require_codec(song, codec)
    silence = codec.encode(np.zeros((2, song.num_samples), np.float32))
    row = song.source_index(source)
    views = {name: _with_rows(codes, [row], silence[[row]]) for name, codes in song.views.items()}
    edited = copy_with(song, views=views, rms=song.rms | {source: 0.0})
    if source != SOURCES[BASS]:
        return edited
    return copy_with(
        edited,
        notes=np.full(song.num_frames, NoteVocabulary.REST, np.uint8),
        note_confidence=np.ones(song.num_frames, np.float32),
        song=_without_bass_notes(song),
    )


def replace(song: SongCodes, source: str, donor: SongCodes) -> SongCodes:
    """Take a source from the beginning of another song, which must be at least as long."""
    if donor.num_frames < song.num_frames:
        raise UserError(
            f"'{donor.track}' lasts {_duration(donor):.2f} s and '{song.track}' "
            f"{_duration(song):.2f} s: splice a time range instead of replacing the whole source"
        )
    return _splice(song, donor, [source], 0, song.num_frames, 0)


def splice(
    song: SongCodes,
    donor: SongCodes,
    start: float,
    end: float,
    at: float | None = None,
    sources: Sequence[str] | None = None,
) -> SongCodes:
    """Write the donor's `start` to `end` over the song from `at` on (None: from `start` on).

    sources: which ones (None: all). The song keeps its length. It may be its own donor.
    """
    first, last = _frames(donor, start, end)
    at = start if at is None else at
    into, _ = _frames(song, at, at + (end - start))
    return _splice(song, donor, sources or song.sources, first, last, into)


def shift(
    song: SongCodes,
    seconds: float,
    start: float = 0.0,
    end: float | None = None,
    sources: Sequence[str] | None = None,
) -> SongCodes:
    """Move what sounds from `start` to `end` (None: the song's end) later, or earlier if negative.

    What leaves the range at one end comes in at the other, so nothing outside it changes.
    sources: which ones (None: all).
    """
    first, last = _frames(song, start, _duration(song) if end is None else end)
    frames = round(seconds * song.frame_rate)
    order = np.arange(song.num_frames)
    order[first:last] = np.roll(order[first:last], frames)
    names = sources or song.sources
    rows = [song.source_index(name) for name in names]
    views = {
        name: _with_rows(codes, rows, codes[rows][..., order]) for name, codes in song.views.items()
    }
    edited = copy_with(song, views=views)
    if SOURCES[BASS] not in names:
        return edited
    return copy_with(
        edited,
        notes=None if song.notes is None else song.notes[order],
        note_confidence=None if song.note_confidence is None else song.note_confidence[order],
        song=_without_bass_notes(song),
    )


def _splice(
    song: SongCodes, donor: SongCodes, names: Sequence[str], first: int, last: int, into: int
) -> SongCodes:
    _require_compatible(song, donor)
    rows = [song.source_index(name) for name in names]
    here, there = slice(into, into + last - first), slice(first, last)
    views = {}
    for name, codes in song.views.items():
        views[name] = codes.copy()
        views[name][rows, :, here] = donor.view(name)[rows, :, there]
    share = (last - first) / song.num_frames
    level = donor.gain / song.gain  # decoded audio is divided by the song's own gain
    rms = song.rms | {
        name: math.hypot(
            song.rms[name] * math.sqrt(1 - share), donor.rms[name] * level * math.sqrt(share)
        )
        for name in names
    }
    edited = copy_with(song, views=views, rms=rms)
    if SOURCES[BASS] not in names:
        return edited

    def spliced(own: npt.NDArray | None, other: npt.NDArray | None) -> npt.NDArray | None:
        if own is None or other is None:
            return None
        own = own.copy()
        own[here] = other[there]
        return own

    return copy_with(
        edited,
        notes=spliced(song.notes, donor.notes),
        note_confidence=spliced(song.note_confidence, donor.note_confidence),
        song=_without_bass_notes(song),
    )


def _with_rows(
    codes: npt.NDArray[np.uint16], rows: list[int], values: npt.NDArray[np.uint16]
) -> npt.NDArray[np.uint16]:
    codes = codes.copy()
    codes[rows] = values
    return codes


def _without_bass_notes(song: SongCodes) -> dict | None:
    """The song's facts, less the notes of the bass that is no longer played."""
    if song.song is None:
        return None
    return {name: fact for name, fact in song.song.items() if name != "bass_notes"}


def _require_compatible(song: SongCodes, donor: SongCodes) -> None:
    require_fingerprint(donor.fingerprint, song.fingerprint, f"codes of '{donor.track}'")
    if donor.views.keys() != song.views.keys():
        raise UserError(
            f"'{donor.track}' has the views {', '.join(donor.views)}, '{song.track}' has "
            f"{', '.join(song.views)}: extract both with one version of extract-codes"
        )


def _duration(song: SongCodes) -> float:
    return song.num_frames / song.frame_rate


def _frames(song: SongCodes, start: float, end: float) -> tuple[int, int]:
    """First frame of a time range, and the frame after its last."""
    first, last = round(start * song.frame_rate), round(end * song.frame_rate)
    if not 0 <= first < last <= song.num_frames:
        raise UserError(
            f"the range {start:g} to {end:g} s does not lie in '{song.track}', which lasts "
            f"{_duration(song):.2f} s: choose a start before the end, within the song"
        )
    return first, last
