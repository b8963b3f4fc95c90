"""Chord progressions of real songs, read from JSON lines or from plain text.

A beat is the felt pulse, as in Score. A song's bars are of one length; a song whose bars are not is
cut to its longest stretch whose bars are.

JSON lines: an object a song with `chords` (a list of [beats, chord], chords in Harte's notation),
`bars` (a list of [how many, beats of each]) and `meter`; and where they are known, `id`, `src`,
`lic`, `th` (a hash of the title), `tempo`, `key` (`A:min`, `A`, or `sig:N` with N sharps), `style`
and `sections` (a list of [bar, name]).

Plain text: one song a file. Bars are separated by `|`; a bar's chords share it evenly, `/` holds a
chord for one more share, `%` repeats the bar before, `N` is no chord. A first line such as
`meter 4/4 tempo 96 key Am style swing` and lines such as `[verse]` are optional:

    meter 4/4 tempo 96 key Am
    [verse]
    Am | F G | % | N
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from shared.band.songbook.chord_keys import complete_key
from shared.errors import UserError
from shared.music.chord_notation import ChordName, read_harte, read_symbol

LEAST_BARS = 8
# Felt beats of a bar of each meter that the band plays.
METERS = {"4/4": 4, "3/4": 3, "6/8": 2, "12/8": 4}
_MOST = 100_000  # beats of a chord, or bars
_TICKS = 72  # a beat; the lengths in the files are rounded to thousandths
_TEXT_SUFFIXES, _JSON_SUFFIXES = (".txt", ".chords"), (".jsonl", ".json")


@dataclass(frozen=True, slots=True)
class ChordSpan:
    """A chord from beat `start` to beat `end`; `chord` is None where there is none."""

    start: float
    end: float
    chord: ChordName | None


@dataclass(frozen=True)
class Progression:
    """A song's chords, without gaps from beat 0 to the end of its last bar.

    Attributes:
        name: what the file calls the song.
        meter: one of METERS.
        tempo: felt beats a minute; None where it is not known.
        tonic: a pitch class.
        mode: a key of `harmony.MODES`.
        chords: in order.
        sections: (bar, name) in order; empty where they are not known.
        title: a hash that versions of one song share, or None.
        source: what the song was taken from, in the file's words.
        licence: in the file's words.
        style: in the file's words, or None.
    """

    name: str
    meter: str
    tempo: float | None
    tonic: int
    mode: str
    chords: tuple[ChordSpan, ...]
    sections: tuple[tuple[int, str], ...] = ()
    title: str | None = None
    source: str = ""
    licence: str = ""
    style: str | None = None

    @property
    def beats_per_bar(self) -> int:
        """How many felt beats a bar has."""
        return METERS[self.meter]

    @property
    def bars(self) -> int:
        """How many bars the song has."""
        return round(self.chords[-1].end / self.beats_per_bar)


@dataclass(frozen=True)
class LeftOut:
    """A song that is not used, by its file and line, and the reason as a sentence."""

    name: str
    reason: str


@dataclass(frozen=True)
class Songbook:
    """The progressions of some files, and the songs that were left out."""

    songs: tuple[Progression, ...]
    left_out: tuple[LeftOut, ...]


def read_songbook(path: Path) -> Songbook:
    """Read the progressions of a file, or of all files of a folder (.jsonl, .json, .txt, .chords).

    A song that is damaged, or in a meter that the band does not play, is left out and named with
    its file and line.

    Raises:
        UserError: no song is left, or a file cannot be read.
    """
    songs: list[Progression] = []
    left_out: list[LeftOut] = []
    for file in chord_files(path):
        for name, found in _read_file(file):
            if isinstance(found, Progression):
                songs.append(found)
            else:
                left_out.append(LeftOut(name, found))
    if not songs:
        why = f"; {left_out[0].name}: {left_out[0].reason}" if left_out else ""
        raise UserError(f"{path} holds no chord progression that can be played{why}")
    return Songbook(tuple(songs), tuple(left_out))


def read_songbooks(paths: Sequence[Path]) -> Songbook:
    """Read the progressions of several files or folders. A song that is given twice is left out.

    Raises:
        UserError: see read_songbook.
    """
    songs: dict[Progression, None] = {}
    left_out: list[LeftOut] = []
    for book in map(read_songbook, paths):
        left_out += book.left_out
        left_out += [
            LeftOut(song.name, "it is given twice") for song in book.songs if song in songs
        ]
        songs |= dict.fromkeys(book.songs)
    return Songbook(tuple(songs), tuple(left_out))


def chord_files(path: Path) -> list[Path]:
    """Return the file itself, or the files of a folder that may hold progressions, sorted."""
    if not path.is_dir():
        return [path]
    suffixes = (*_TEXT_SUFFIXES, *_JSON_SUFFIXES)
    found = sorted(file for file in path.rglob("*") if file.suffix.lower() in suffixes)
    # A note about the files is not a song.
    return [file for file in found if file.stem.lower() not in ("readme", "license", "licence")]


def _read_file(file: Path) -> Iterator[tuple[str, Progression | str]]:
    """Yield the name of each song, and the song or the reason why it is left out."""
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not text in UTF-8"
        raise UserError(f"cannot read {file} ({reason})") from error
    if file.suffix.lower() in _JSON_SUFFIXES or text.lstrip().startswith("{"):
        for number, line in enumerate(text.splitlines(), start=1):
            if line.strip():
                name = f"{file}, line {number}"
                yield name, _or_reason(_read_json, line, f"{file.stem}-{number}")
    else:
        yield str(file), _or_reason(_read_text, text, file.stem)


def _or_reason(read: Callable[[str, str], Progression], text: str, name: str) -> Progression | str:
    try:
        return read(text, name)
    except UserError as error:
        return str(error)


# JSON lines


def _read_json(line: str, name: str) -> Progression:
    try:
        song = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise UserError("it is not a JSON object") from error
    if not isinstance(song, dict):
        raise UserError("it is not a JSON object")
    meter = str(song.get("meter"))
    if not re.fullmatch(r"\d+/\d+", meter):
        raise UserError(f"its meter {song.get('meter')!r} is not one such as 4/4")
    chords = [(ticks, read_harte(str(symbol))) for ticks, symbol in _pairs(song, "chords")]
    runs = [
        (int(_number(count, "bars")), ticks) for ticks, count in _pairs(song, "bars", swap=True)
    ]
    length = sum(ticks for ticks, _ in chords)
    if abs(length - sum(count * ticks for count, ticks in runs)) > _TICKS / 2:
        raise UserError("its bars and its chords do not last equally long")
    tempo = song.get("tempo")
    if tempo is not None and not 0 < _number(tempo, "tempo") < 1000:
        raise UserError(f"its tempo {tempo} is not a number of beats a minute")
    stretch = _longest_stretch(runs, meter)
    spans = _cut(chords, stretch)
    sections = _shift_sections(_sections(song), runs, stretch)
    key = song.get("key")
    progression = _assemble(
        name=str(song.get("id") or name),
        meter=stretch.meter,
        tempo=None if tempo is None else float(tempo) * stretch.faster,
        key=None if key is None else str(key),
        spans=spans,
        sections=sections,
    )
    return replace(
        progression,
        title=_text_or_none(song, "th"),
        source=str(song.get("src") or ""),
        licence=str(song.get("lic") or ""),
        style=_text_or_none(song, "style"),
    )


def _number(value: Any, what: str) -> float:
    # nan fails the comparison
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) <= _MOST:
        raise UserError(f"its {what} hold {value!r} where a number should be")
    return float(value)


def _text_or_none(song: dict[str, Any], key: str) -> str | None:
    value = song.get(key)
    return None if value is None else str(value)


def _pairs(song: dict[str, Any], key: str, swap: bool = False) -> list[tuple[int, Any]]:
    """Read a list of [beats, value], or of [value, beats] with `swap`, as (ticks, value)."""
    items = song.get(key)
    if not isinstance(items, list) or not items:
        raise UserError(f"it has no list of {key}")
    pairs = []
    for item in items:
        if not isinstance(item, list) or len(item) != 2:
            raise UserError(f"its {key} hold {item!r} where a pair should be")
        beats, value = reversed(item) if swap else item
        ticks = round(_number(beats, key) * _TICKS)
        if ticks <= 0:
            raise UserError(f"its {key} hold a length of {beats} beats")
        pairs.append((ticks, value))
    return pairs


def _sections(song: dict[str, Any]) -> list[tuple[int, str]]:
    items = song.get("sections") or []
    try:
        return sorted((int(bar), str(section)) for bar, section in items)
    except (TypeError, ValueError, OverflowError) as error:
        raise UserError("its sections are not a list of [bar, name]") from error


@dataclass(frozen=True)
class _Stretch:
    """Bars of one length: from tick `start` to tick `end`, the first of them number `first`.

    They are played in `meter`, at `faster` times as many beats; each of them makes `bars` bars of
    the meter.
    """

    start: int
    end: int
    first: int
    meter: str
    faster: int
    bars: float


# What unit of the meter and felt beats of a bar are played as: (meter, faster, bars of it).
_PLAYED_AS = {
    ("4", 4): ("4/4", 1, 1.0), ("4", 3): ("3/4", 1, 1.0), ("4", 2): ("4/4", 1, 0.5),
    ("4", 6): ("3/4", 1, 2.0), ("2", 2): ("4/4", 2, 1.0), ("8", 2): ("6/8", 1, 1.0),
    ("8", 4): ("12/8", 1, 1.0),
}  # fmt: skip


def _longest_stretch(runs: list[tuple[int, int]], meter: str) -> _Stretch:
    """Find the longest run of bars that can be played, of at least LEAST_BARS bars."""
    unit = meter.split("/")[1]
    found: list[_Stretch] = []
    start = first = 0
    for count, ticks in runs:
        played = _PLAYED_AS.get((unit, ticks // _TICKS)) if ticks % _TICKS == 0 else None
        if played is not None:
            whole = count - count % 2 if played[2] < 1 else count
            if whole * played[2] >= LEAST_BARS:
                found.append(_Stretch(start, start + whole * ticks, first, *played))
        start += count * ticks
        first += count
    if found:
        return max(found, key=lambda stretch: stretch.end - stretch.start)
    if not any((unit, ticks // _TICKS) in _PLAYED_AS for _, ticks in runs):
        raise UserError(f"its meter {meter} is not one of {', '.join(METERS)}")
    raise UserError(f"it has no {LEAST_BARS} bars of one length on end")


def _cut(
    chords: Sequence[tuple[int, ChordName | None]], stretch: _Stretch
) -> list[tuple[int, int, ChordName | None]]:
    """Cut out the chords of a stretch, on halves (in x/8, thirds) of the beat from tick 0 on."""
    grid = _TICKS // 3 if stretch.meter.endswith("/8") else _TICKS // 2
    spans: list[tuple[int, int, ChordName | None]] = []
    at = 0
    for ticks, chord in chords:
        edges = [
            (min(max(tick, stretch.start), stretch.end) - stretch.start) * stretch.faster
            for tick in (at, at + ticks)
        ]
        at += ticks
        start, end = (round(edge / grid) * grid for edge in edges)
        if start == end:
            continue
        if spans and spans[-1][2] == chord:
            spans[-1] = (spans[-1][0], end, chord)
        else:
            spans.append((start, end, chord))
    return spans


def _shift_sections(
    sections: list[tuple[int, str]], runs: list[tuple[int, int]], stretch: _Stretch
) -> list[tuple[int, str]]:
    """Count sections in bars of the stretch; one that began before it begins with it."""
    shifted: dict[int, str] = {}
    for bar, name in sections:
        place = (bar - stretch.first) * stretch.bars
        if place != int(place):
            continue  # between two bars that are played as one
        shifted[max(0, int(place))] = name
    return sorted(shifted.items())


# Plain text


def _read_text(text: str, name: str) -> Progression:
    meter, tempo, key, style = "4/4", None, None, None
    bars: list[list[str]] = []
    sections: list[tuple[int, str]] = []
    chords: list[tuple[int, ChordName | None]] = []
    began = False
    for number, raw in enumerate(text.splitlines(), start=1):
        line = raw.strip()
        if not line or line.startswith("#"):
            continue
        words = line.split()
        if not began and words[0].lower() in ("meter", "tempo", "key", "style"):
            meter, tempo, key, style = _read_header(words, number, (meter, tempo, key, style))
            continue
        began = True
        if line.startswith("["):
            if not line.endswith("]"):
                raise UserError(f"line {number}: write a section's name as [verse]")
            sections.append((len(bars), line[1:-1].strip().lower()))
            continue
        for bar in line.split("|"):
            if bar.strip():
                bars.append(_read_bar(bar.split(), bars, number))
                chords += _share(bars[-1], METERS[meter], number)
    if not bars:
        raise UserError("it has no bar of chords")
    beats = METERS[meter] * _TICKS
    stretch = _Stretch(0, len(bars) * beats, 0, meter, 1, 1.0)
    kept = [(bar, title) for bar, title in sections if bar < len(bars)]
    progression = _assemble(name, meter, tempo, key, _cut(chords, stretch), kept)
    return replace(progression, source="text", style=style)


_Header = tuple[str, float | None, str | None, str | None]


def _read_header(words: list[str], number: int, header: _Header) -> _Header:
    """Read a header such as `meter 3/4 tempo 96 key Am style swing`, or a part of it."""
    meter, tempo, key, style = header
    if len(words) % 2:
        raise UserError(f"line {number}: each of meter, tempo, key and style needs a value")
    for word, value in zip(words[::2], words[1::2], strict=True):
        match word.lower():
            case "meter" if value in METERS:
                meter = value
            case "meter":
                raise UserError(
                    f"line {number}: the meter {value} is not one of {', '.join(METERS)}"
                )
            case "tempo" if re.fullmatch(r"\d+(\.\d+)?", value) and 0 < float(value) < 1000:
                tempo = float(value)
            case "tempo":
                raise UserError(
                    f"line {number}: the tempo {value} is not a number of beats a minute"
                )
            case "key":
                key = value
            case "style":
                style = value
            case _:
                raise UserError(f"line {number}: {word} is none of meter, tempo, key and style")
    return meter, tempo, key, style


def _read_bar(symbols: list[str], before: list[list[str]], number: int) -> list[str]:
    if symbols == ["%"]:
        if not before:
            raise UserError(f"line {number}: there is no bar before % to repeat")
        return before[-1]
    return symbols


def _share(symbols: list[str], beats: int, number: int) -> list[tuple[int, ChordName | None]]:
    """Lay the chords of a bar on whole beats where there are enough, the longer parts first."""
    count = len(symbols)
    if count > 2 * beats:
        raise UserError(f"line {number}: {count} chords are too many for one bar")
    cuts = [
        -(-i * beats // count) * _TICKS if count <= beats else i * beats * _TICKS // count
        for i in range(count + 1)
    ]
    shared: list[tuple[int, ChordName | None]] = []
    for symbol, start, end in zip(symbols, cuts, cuts[1:], strict=False):
        if symbol in ("/", "."):
            if not shared:
                raise UserError(
                    f"line {number}: a bar begins with a chord or with %, not with {symbol}"
                )
            chord = shared[-1][1]
        else:
            try:
                chord = read_symbol(symbol)
            except UserError as error:
                raise UserError(f"line {number}: {error}") from error
        shared.append((end - start, chord))
    return shared


# Both


def _assemble(
    name: str,
    meter: str,
    tempo: float | None,
    key: str | None,
    spans: list[tuple[int, int, ChordName | None]],
    sections: list[tuple[int, str]],
) -> Progression:
    """Make a progression in its key, without the silent bars at its start and end."""
    bar = METERS[meter] * _TICKS
    sounding = [span for span in spans if span[2] is not None]
    if not sounding:
        raise UserError("it has no chords")
    first = sounding[0][0] // bar
    end = -(-sounding[-1][1] // bar) * bar
    chords = tuple(
        ChordSpan(
            (max(start, first * bar) - first * bar) / _TICKS,
            (min(stop, end) - first * bar) / _TICKS,
            chord,
        )
        for start, stop, chord in spans
        if stop > first * bar and start < end
    )
    moved: dict[int, str] = {}
    for number, section in sections:
        if number * bar < end:
            moved[max(0, number - first)] = section
    lengths = [(span.chord, span.end - span.start) for span in chords if span.chord is not None]
    tonic, mode = complete_key(lengths, **_read_key(key))
    return Progression(name, meter, tempo, tonic, mode, chords, tuple(sorted(moved.items())))


def _read_key(key: str | None) -> dict[str, Any]:
    """Turn `A:min`, `Am`, `A` or `sig:-3` into arguments of complete_key."""
    if key is None:
        return {}
    signature = re.fullmatch(r"sig:(-?\d+)", key)
    if signature:
        return {"sharps": int(signature[1])}
    match = re.fullmatch(r"([A-G][#b]*)(?::?(maj|major|min|minor|m))?", key)
    if match is None:
        raise UserError(f"its key {key!r} is not one such as A, Am, A:min or sig:3")
    root = read_symbol(match[1])
    assert root is not None
    minor = (
        None if match[2] is None else match[2].startswith("m") and not match[2].startswith("maj")
    )
    return {"tonic": root.root, "minor": minor}
