"""A real song's progression as a chart, and the built-in band's arrangement of it.

A chart is what a composer would have written: style, tempo, form and the chords of every bar, in a
key of its own. The band plays it as it plays the songs it composes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from shared.band.chord_notation import ChordName
from shared.band.compose import TAIL, _Band, _cast, _close, _play
from shared.band.form import LEVELS, LONGEST, SHORTEST, Section
from shared.band.genres import choose_style, play_tempo
from shared.band.harmony import RelativeChord
from shared.band.material import Setting, choose_setting, hire, write_materials
from shared.band.performance import Clock
from shared.band.progressions import Progression
from shared.band.score import Part, Score
from shared.band.style import find_style
from shared.band.timeline import Event, Span, Timeline
from shared.errors import UserError
from shared.music.chord import NOTE_NAMES, QUALITIES, Chord

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
# Chances that a repeated chorus is played as a solo, and that the band rests where there is no chord.
_SOLO, _RESTS = 0.5, 0.5


@dataclass(frozen=True)
class ChordTimeline(Timeline):
    """A timeline whose scale follows foreign chords: their tones take the place of the neighbours."""

    def scale(self, beat: float) -> tuple[int, ...]:
        key, tones = super().scale(beat), self.at(beat).tones
        foreign = [tone for tone in tones if tone not in key]
        clashing = {(tone + step) % 12 for tone in foreign for step in (-1, 1)} - set(tones)
        return tuple(sorted({*key, *foreign} - clashing))


@dataclass(frozen=True)
class Chart:
    """A song to be played: `sections` in bars, `timeline` in beats with a closing bar on the tonic.

    In `rests`, pairs of beats, all but the drums are silent. `song` is the progression's name.
    """

    song: str
    setting: Setting
    sections: tuple[Section, ...]
    timeline: Timeline
    rests: tuple[tuple[float, float], ...] = ()

    @property
    def bars(self) -> int:
        """The bars before the closing bar."""
        return self.sections[-1].first_bar + self.sections[-1].bars


# A bar: (first beat, last beat, chord) from the bar's start.
_Bar = tuple[tuple[float, float, ChordName | None], ...]


def lay_out(
    rng: np.random.Generator,
    progression: Progression,
    seconds: float | None = None,
    style: str | None = None,
    transpose: int | None = None,
) -> Chart:
    """Lay a progression out: a style and tempo that suit it, its sections, `seconds` of music.

    A progression that is too short is repeated, of one that is too long a part from the start of a
    section on is kept. Without `seconds` it is played once, but for no less than 32 and no more than
    168 s. `transpose` is in semitones; by default the key is drawn. Raises UserError for an unknown
    style, one that does not have the progression's meter, or a length that is not positive.
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
    return Chart(progression.name, setting, sections, timeline, tuple(rests))


def play_chart(rng: np.random.Generator, chart: Chart) -> Score:
    """The chart as the built-in band plays it."""
    setting, timeline = chart.setting, chart.timeline
    kind, beats, closing = setting.style, setting.beats_per_bar, chart.bars
    compers = hire(rng, kind)
    materials = write_materials(rng, setting, chart.sections, compers)
    band = _Band(tuple([] for _ in compers))
    center = int(rng.integers(kind.lead.center[0], kind.lead.center[1] + 1))
    kit = str(rng.choice(kind.fills))
    for section in chart.sections:
        _play(rng, band, setting, section, materials[section.name], timeline, center, kit)
    if not band.voice:
        band.voice, band.solo = band.solo, []
    for player in (band.bass, band.voice, band.solo, *band.layers):
        player[:] = _rested(player, chart.rests)
    _close(band, timeline, float(closing * beats), beats, materials[chart.sections[-1].name])
    clock = Clock(setting.tempo, setting.swing, kind.swing_unit)
    return score_of(chart, kind.name, clock, _cast(rng, band, setting, compers, clock))


def score_of(chart: Chart, style: str, clock: Clock, parts: tuple[Part, ...]) -> Score:
    """A score of `parts` with the chart's beats, chords and key."""
    setting, beats, bars = chart.setting, chart.setting.beats_per_bar, chart.bars + 1
    count, unit = setting.meter.split("/")
    return Score(
        style=style,
        tempo=setting.tempo,
        time_signature=(int(count), int(unit)),
        key=f"{NOTE_NAMES[setting.tonic]} {setting.mode}",
        duration=clock.seconds(bars * beats) + TAIL,
        beats=tuple(clock.seconds(beat) for beat in range(bars * beats)),
        downbeats=tuple(clock.seconds(bar * beats) for bar in range(bars)),
        chords=tuple(
            Chord(clock.seconds(s.start), clock.seconds(s.end), s.root, s.chord.quality, s.bass)
            for s in chart.timeline.spans
        ),
        parts=parts,
    )


def progression_bar(progression: Progression, number: int) -> _Bar:
    """The chords of bar `number`, from 0, with beats counted from its start."""
    beats = progression.beats_per_bar
    first = number * beats
    return tuple(
        (max(span.start - first, 0.0), min(span.end - first, float(beats)), span.chord)
        for span in progression.chords
        if span.start < first + beats - 1e-6 and span.end > first + 1e-6
    )


def _rested(events: list[Event], rests: tuple[tuple[float, float], ...]) -> list[Event]:
    """The events without those that begin in a rest; the others end where one begins."""
    for start, end in rests:
        events = [
            replace(event, length=min(event.length, start - event.beat))
            if event.beat < start - 1e-6
            else event
            for event in events
            if not start - 1e-6 <= event.beat < end - 1e-6
        ]
    return events


def _form(
    rng: np.random.Generator, progression: Progression, setting: Setting, seconds: float | None
) -> tuple[list[int], tuple[Section, ...]]:
    """The progression's bars in the order in which they are played, and their sections."""
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
    """Name, first bar and bars of each section; groups of bars where the progression names none."""
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
    """The name, one of form.LEVELS, of a section that annotators call `words`; a verse by default."""
    lowered = words.lower()
    if lowered in LEVELS:
        return lowered
    return next((name for word, name in _SECTION_WORDS if word in lowered), "verse")


def _write_chords(
    rng: np.random.Generator, bars: list[_Bar], setting: Setting, shift: int
) -> tuple[list[Span], list[tuple[float, float]]]:
    """Spans without gaps, and the rests. Without a chord the one before goes on (at the start, the
    one after begins early); for a bar or more of it the band may rest."""
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
    """The tonic in the closing bar, in the quality that the song gives it most of the time."""
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
