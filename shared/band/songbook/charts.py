"""Turn a real song's progression into a chart.

The chart has a style, a tempo and a form that suit the song, and its chords in a key of its own.
The band plays it as it plays the songs that it composes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from shared.band.composing.arrangement import TAIL, Chart
from shared.band.composing.form import LEVELS, LONGEST, SHORTEST, Section
from shared.band.composing.harmony import RelativeChord
from shared.band.composing.material import Setting, choose_compers, choose_setting, write_materials
from shared.band.composing.style import find_style
from shared.band.composing.timeline import Span, Timeline
from shared.band.songbook.genres import choose_style, play_tempo
from shared.band.songbook.progressions import Progression
from shared.errors import UserError
from shared.music.chord import QUALITIES
from shared.music.chord_notation import ChordName

GROUP = 8  # bars of a section, where the progression names none
# What annotators call a section -> the name it goes by here. The first word that occurs counts.
_SECTION_WORDS = (
    ("pre", "pre"), ("chorus", "chorus"), ("refrain", "chorus"), ("verse", "verse"),
    ("intro", "intro"), ("outro", "outro"), ("fade", "outro"), ("coda", "outro"),
    ("ending", "outro"), ("bridge", "bridge"), ("solo", "solo"), ("inter", "solo"),
    ("instr", "solo"), ("trans", "pre"), ("build", "build"), ("break", "break"), ("drop", "drop"),
    ("theme", "head"), ("head", "head"),
)  # fmt: skip
# Names of the different groups of bars of a song without named sections, in order of appearance.
_GROUP_NAMES = ("verse", "chorus", "bridge")
# Chances that a repeated chorus is played as a solo, and that the band rests where there is no
# chord.
_SOLO, _RESTS = 0.5, 0.5


@dataclass(frozen=True)
class ChordTimeline(Timeline):
    """A timeline whose scale follows foreign chords: their tones replace those a semitone away."""

    def scale(self, beat: float) -> tuple[int, ...]:
        """Return the pitch classes of the key at `beat`, changed to fit the chord."""
        key, tones = super().scale(beat), self.at(beat).tones
        foreign = [tone for tone in tones if tone not in key]
        clashing = {(tone + step) % 12 for tone in foreign for step in (-1, 1)} - set(tones)
        return tuple(sorted({*key, *foreign} - clashing))


# A bar: (first beat, last beat, chord) from the bar's start.
_Bar = tuple[tuple[float, float, ChordName | None], ...]


def lay_out(
    rng: np.random.Generator,
    progression: Progression,
    seconds: float | None = None,
    style: str | None = None,
    transpose: int | None = None,
) -> Chart:
    """Choose a style, a tempo and a form for a progression, and write what the band plays.

    A progression that is too short is repeated. Of one that is too long, a part is kept that begins
    with a section.

    Args:
        rng: the source of all chance.
        progression: the song.
        seconds: the wanted length, which is kept to within a bar; without it the progression is
            played once, but for no less than 32 and no more than 168 s.
        style: a style's name; None chooses one that suits the song.
        transpose: in semitones; None draws the key.

    Raises:
        UserError: the style is unknown or does not have the progression's meter, or the length is
            not positive.
    """
    if seconds is not None and not seconds > 0:
        raise UserError(f"a song cannot last {seconds} s; ask for a positive number of seconds")
    meter = progression.meter
    if style is None:
        kind, tempo = choose_style(rng, progression.style, meter, progression.tempo)
    else:
        kind = find_style(style)
        if meter not in kind.meters:
            known = ", ".join(kind.meters)
            raise UserError(f"the style {style} has no {meter} (it has {known}); choose another")
        tempo = play_tempo(rng, kind, meter, progression.tempo)
    # The style's own meters, modes and tempos are not what this song is about.
    only = replace(kind, meters={meter: kind.meters[meter]}, modes={progression.mode: 1.0})
    drawn = choose_setting(rng, only)
    shift = int(rng.integers(12)) if transpose is None else transpose
    setting = replace(drawn, style=kind, tempo=tempo, tonic=(progression.tonic + shift) % 12)
    bars, sections = _form(rng, progression, setting, seconds)
    spans, rests = _write_chords(
        rng, [progression_bar(progression, bar) for bar in bars], setting, shift
    )
    spans.append(_closing_span(progression, setting, shift, len(bars)))
    timeline = ChordTimeline(tuple(spans), setting.mode)
    compers = choose_compers(rng, kind)
    # The chords are in the timeline.
    materials = write_materials(rng, setting, sections, compers, chords={})
    return Chart(setting, sections, timeline, compers, materials, tuple(rests))


def progression_bar(progression: Progression, number: int) -> _Bar:
    """Return the chords of bar `number`, from 0, with beats counted from its start."""
    beats = progression.beats_per_bar
    first = number * beats
    return tuple(
        (max(span.start - first, 0.0), min(span.end - first, float(beats)), span.chord)
        for span in progression.chords
        if span.start < first + beats - 1e-6 and span.end > first + 1e-6
    )


def _form(
    rng: np.random.Generator, progression: Progression, setting: Setting, seconds: float | None
) -> tuple[list[int], tuple[Section, ...]]:
    """Return the numbers of the bars in the order in which they are played, and their sections."""
    bar_seconds = setting.beats_per_bar * 60.0 / setting.tempo
    total = progression.bars
    written = list(_written_sections(progression))
    named = bool(progression.sections)
    if seconds is None:
        passes = max(1, int(np.ceil(SHORTEST / bar_seconds / total)))
        wanted = max(1, min(passes * total, int(LONGEST / bar_seconds)))
    else:
        wanted = max(1, round((seconds - TAIL) / bar_seconds) - 1)
    first = 0
    if total > wanted:
        starts = [i for i, (_, bar, _) in enumerate(written) if total - bar >= wanted]
        first = int(rng.choice(starts))
    queue = [written[first:]]
    while sum(bars for part in queue for _, _, bars in part) < wanted:
        solo = not named and len(queue) % 2 == 1 and rng.random() < _SOLO
        queue.append([("solo", bar, bars) for _, bar, bars in written] if solo else written)
    order: list[int] = []
    sections: list[Section] = []
    for name, bar, bars in (section for part in queue for section in part):
        bars = min(bars, wanted - len(order))
        if bars > 0:
            sections.append(Section(name, len(order), bars))
            order += range(bar, bar + bars)
    return order, tuple(sections)


def _written_sections(progression: Progression) -> Iterator[tuple[str, int, int]]:
    """Yield the name, the first bar and the bars of each section, or of groups of bars."""
    total = progression.bars
    if progression.sections:
        starts = [bar for bar, _ in progression.sections]
        names = [section_name(name) for _, name in progression.sections]
        if starts[0] > 0:
            starts, names = [0, *starts], ["intro", *names]
        for name, start, end in zip(names, starts, [*starts[1:], total], strict=True):
            if end > start:
                yield name, start, end - start
        return
    # Groups with the same chords are the same section.
    known: dict[tuple[_Bar, ...], str] = {}
    for start in range(0, total, GROUP):
        end = min(start + GROUP, total)
        bars = tuple(progression_bar(progression, bar) for bar in range(start, end))
        # A second ending changes the last two bars.
        key = bars[: GROUP - 2]
        if key not in known:
            known[key] = _GROUP_NAMES[len(known) % len(_GROUP_NAMES)]
        yield known[key], start, end - start


def section_name(words: str) -> str:
    """Return the name in form.LEVELS for what annotators call a section; "verse" by default."""
    lowered = words.lower()
    if lowered in LEVELS:
        return lowered
    return next((name for word, name in _SECTION_WORDS if word in lowered), "verse")


def _write_chords(
    rng: np.random.Generator, bars: list[_Bar], setting: Setting, shift: int
) -> tuple[list[Span], list[tuple[float, float]]]:
    """Return spans without gaps, and the rests.

    Where there is no chord, the one before goes on, or at the start the one after begins early. If
    this lasts for a bar or more, the band may rest.
    """
    beats = setting.beats_per_bar
    pieces = [
        (number * beats + start, number * beats + end, chord)
        for number, bar in enumerate(bars)
        for start, end, chord in bar
    ]
    current = next(chord for _, _, chord in pieces if chord is not None)
    spans: list[Span] = []
    silent: list[tuple[float, float]] = []
    for start, end, chord in pieces:
        if chord is None:
            if silent and silent[-1][1] == start:
                start_of_rest, _ = silent.pop()
            else:
                start_of_rest = start
            silent.append((start_of_rest, end))
        else:
            current = chord
        spans.append(
            Span(start, end, _relative(current.transposed(shift), setting.tonic), setting.tonic)
        )
    rests = [(a, b) for a, b in silent if b - a >= beats and rng.random() < _RESTS]
    return spans, rests


def _relative(chord: ChordName, tonic: int) -> RelativeChord:
    return RelativeChord((chord.root - tonic) % 12, chord.quality, (chord.bass - tonic) % 12)


def _closing_span(progression: Progression, setting: Setting, shift: int, bars: int) -> Span:
    """Return the tonic chord of the closing bar, in the quality that it mostly has in the song."""
    minor = 3 in QUALITIES[setting.home.quality][0]
    lengths: dict[str, float] = {"min" if minor else "maj": 0.0}
    for span in progression.chords:
        if span.chord is not None and (span.chord.root + shift) % 12 == setting.tonic:
            quality = span.chord.quality
            lengths[quality] = lengths.get(quality, 0.0) + span.end - span.start
    quality = max(lengths, key=lambda name: lengths[name])
    start = float(bars * setting.beats_per_bar)
    chord = RelativeChord(0, quality, 0)
    return Span(start, start + setting.beats_per_bar, chord, setting.tonic)
