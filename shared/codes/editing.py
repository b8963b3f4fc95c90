"""Edit the codes of a song: silence, replace, splice and shift sources.

Each function returns new SongCodes and leaves the old ones alone. An edit changes the named sources
in every view, and the note stream with the bass. Times are seconds and are rounded to the nearest
frame.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from dataclasses import replace as copy_with
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from shared.codes.codec import Codec
from shared.codes.song_codes import SongCodes, require_codec, require_fingerprint
from shared.console import err_console
from shared.errors import UserError
from shared.music.notes import NoteVocabulary
from shared.outputs import require_free
from shared.sources import BASS, SOURCES
from shared.times import TimeRange, parse_time


@dataclass(frozen=True)
class CodeEdits:
    """The edits of the command `codes edit`, as the user writes them.

    Attributes:
        mute: sources to silence.
        replace: `SOURCE=FILE`; take a source from another codes file.
        splice: `FROM-TO`; copy this range of time.
        donor: the codes file that `splice` copies from; None for the song itself.
        at: the time that `splice` copies to; None for the same place.
        shift: by how many seconds to move what sounds later.
        within: `FROM-TO`; what `shift` moves; None for the whole song.
        sources: what `splice` and `shift` change; None for all sources.

    Raises:
        UserError: there is no edit, or a value that belongs to an edit that is not there.
    """

    mute: Sequence[str] = ()
    replace: Sequence[str] = ()
    splice: str | None = None
    donor: Path | None = None
    at: str | None = None
    shift: float | None = None
    within: str | None = None
    sources: Sequence[str] | None = None

    def __post_init__(self) -> None:
        """Check that every value takes part in an edit."""
        if not (self.mute or self.replace) and self.splice is None and self.shift is None:
            raise UserError("there is nothing to edit: give --mute, --replace, --splice or --shift")
        either = self.splice if self.shift is None else self.shift
        for option, value, edit, given in (
            ("--donor", self.donor, "--splice", self.splice),
            ("--at", self.at, "--splice", self.splice),
            ("--within", self.within, "--shift", self.shift),
            ("--sources", self.sources, "--splice or --shift", either),
        ):
            if value is not None and given is None:
                raise UserError(f"{option} has no effect without {edit}: add that, or leave it out")


def edit_file(
    file: Path,
    out: Path,
    edits: CodeEdits,
    load_codec: Callable[[], Codec],
    force: bool = False,
) -> None:
    """Make edits of a codes file in the order mute, replace, splice, shift, and write the result.

    `load_codec` loads the codec of the codes. It is called only where silence has to be encoded.
    `force` replaces a file that exists.

    Raises:
        UserError: a file cannot be read or written or would be replaced, or an edit does not fit
            the song.
    """
    donors = [*_replacements(edits.replace).values(), *([edits.donor] if edits.donor else [])]
    require_free([out], [file, *donors], force)
    song = SongCodes.load(file)
    for source in edits.mute:
        song = mute(song, source, load_codec())
    for source, path in _replacements(edits.replace).items():
        song = _replace_from_file(song, source, path, load_codec)
    if edits.splice is not None:
        donor = song if edits.donor is None else SongCodes.load(edits.donor)
        at = None if edits.at is None else parse_time(edits.at)
        song = splice(song, donor, TimeRange.parse(edits.splice), at, edits.sources)
    if edits.shift is not None:
        within = None if edits.within is None else TimeRange.parse(edits.within)
        song = shift(song, edits.shift, within, edits.sources)
    song.save(out)


def mute(song: SongCodes, source: str, codec: Codec) -> SongCodes:
    """Write the codes of silence, as `codec` encodes it, over a source.

    Raises:
        UserError: the song has no such source, or its codes are not the codec's.
    """
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


def replace(
    song: SongCodes, source: str, donor: SongCodes, codec: Codec | None = None
) -> SongCodes:
    """Take a source from the beginning of another song.

    The end of a longer donor is left out. After the end of a shorter donor the source is silent;
    `codec` is needed then, because it says what the codes of silence are.

    Raises:
        UserError: a song has no such source, the songs come from different codecs, or the donor is
            shorter and there is no codec.
    """
    _require_compatible(song, donor)
    if donor.num_frames < song.num_frames:
        if codec is None:
            raise UserError(
                f"'{donor.track}' is shorter than '{song.track}', so the rest must be silent: "
                "give the codec that encodes the silence"
            )
        song = mute(song, source, codec)
    return _copy(song, donor, [source], 0, 0, min(song.num_frames, donor.num_frames))


def splice(
    song: SongCodes,
    donor: SongCodes,
    span: TimeRange,
    at: float | None = None,
    sources: Sequence[str] | None = None,
) -> SongCodes:
    """Copy a range of the donor over the song from `at` on, or to the same place.

    `sources` names what is copied; None copies all sources. The song keeps its length. It may be
    its own donor.

    Raises:
        UserError: a range does not lie in its song, a source is unknown, or the songs come from
            different codecs.
    """
    first, _ = _frames(donor, span)
    into = span if at is None else TimeRange(at, at + span.stop - span.start)
    target, last = _frames(song, into)
    # Two ranges of one length in seconds can be rounded to lengths that differ by a frame.
    count = min(last - target, donor.num_frames - first)
    return _copy(song, donor, sources or song.sources, first, target, count)


def shift(
    song: SongCodes,
    seconds: float,
    within: TimeRange | None = None,
    sources: Sequence[str] | None = None,
) -> SongCodes:
    """Move what sounds in a range later, or earlier where `seconds` is negative.

    What leaves the range at one end enters it at the other, so that nothing outside changes. None
    for `within` is the whole song, and None for `sources` all sources.

    Raises:
        UserError: the range does not lie in the song, a source is unknown, or `seconds` is not
            finite.
    """
    if not math.isfinite(seconds):
        raise UserError(f"nothing can be shifted by {seconds} s: give a number of seconds")
    first, last = (0, song.num_frames) if within is None else _frames(song, within)
    order = np.arange(song.num_frames)
    order[first:last] = np.roll(order[first:last], round(seconds * song.frame_rate))
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


def _replacements(texts: Sequence[str]) -> dict[str, Path]:
    """Read several "SOURCE=FILE", each of another source."""
    paths: dict[str, Path] = {}
    for text in texts:
        source, separator, path = text.partition("=")
        if not separator:
            raise UserError(f"--replace '{text}' is not SOURCE=FILE: write it as bass=other")
        if source in paths:
            raise UserError(f"--replace names {source} more than once: name each source once")
        paths[source] = Path(path)
    return paths


def _replace_from_file(
    song: SongCodes, source: str, path: Path, load_codec: Callable[[], Codec]
) -> SongCodes:
    """Replace a source, and tell on stderr what becomes of a donor of another length."""
    donor = SongCodes.load(path)
    lengths = (
        f"'{donor.track}' lasts {donor.duration:.2f} s and '{song.track}' {song.duration:.2f} s"
    )
    if donor.num_frames < song.num_frames:
        replaced = replace(song, source, donor, load_codec())
        err_console.print(f"{lengths}: the rest of the {source} is silent", markup=False)
        return replaced
    if donor.num_frames > song.num_frames:
        err_console.print(f"{lengths}: the end of its {source} is left out", markup=False)
    return replace(song, source, donor)


def _copy(
    song: SongCodes, donor: SongCodes, names: Sequence[str], first: int, target: int, count: int
) -> SongCodes:
    """Copy `count` frames of the donor from frame `first` on over the song from `target` on."""
    _require_compatible(song, donor)
    rows = [song.source_index(name) for name in names]
    here, there = slice(target, target + count), slice(first, first + count)
    views = {}
    for name, codes in song.views.items():
        views[name] = codes.copy()
        views[name][rows, :, here] = donor.view(name)[rows, :, there]
    share = count / song.num_frames
    level = donor.gain / song.gain  # Decoded audio is divided by the song's own gain.
    rms = song.rms | {
        name: math.hypot(
            song.rms[name] * math.sqrt(1 - share), donor.rms[name] * level * math.sqrt(share)
        )
        for name in names
    }
    edited = copy_with(song, views=views, rms=rms)
    if SOURCES[BASS] not in names:
        return edited

    def copied(own: npt.NDArray | None, other: npt.NDArray | None) -> npt.NDArray | None:
        if own is None or other is None:
            return None
        own = own.copy()
        own[here] = other[there]
        return own

    return copy_with(
        edited,
        notes=copied(song.notes, donor.notes),
        note_confidence=copied(song.note_confidence, donor.note_confidence),
        song=_without_bass_notes(song),
    )


def _with_rows(
    codes: npt.NDArray[np.uint16], rows: list[int], values: npt.NDArray[np.uint16]
) -> npt.NDArray[np.uint16]:
    codes = codes.copy()
    codes[rows] = values
    return codes


def _without_bass_notes(song: SongCodes) -> dict[str, Any] | None:
    """Return the song's facts without the notes of the bass, which are no longer true."""
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


def _frames(song: SongCodes, span: TimeRange) -> tuple[int, int]:
    """Return the first frame of a range and the frame after its last."""
    first, last = round(span.start * song.frame_rate), round(span.stop * song.frame_rate)
    end = round(song.duration * song.frame_rate)
    if last > end or first >= end:
        raise UserError(
            f"the time range {span} does not lie in '{song.track}', which lasts "
            f"{song.duration:.2f} s: choose a range within the song"
        )
    if first == last:
        raise UserError(
            f"the time range {span} is shorter than a frame of {1000 / song.frame_rate:.0f} ms: "
            "choose a longer one"
        )
    return first, song.num_frames if last == end else last
