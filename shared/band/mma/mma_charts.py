"""Let MMA play a chart's bass, drums and accompaniment. The built-in band plays the lead.

The chart's chords are spelled out for MMA tone by tone, so that it plays exactly what the song's
labels say, slash basses included. The sections take turns with the grooves of one family, with
fills between them. MMA's walking basses move at random up and down a scale, and get pitches here
that lead from chord to chord. Human timing and touch are added, because many of MMA's grooves are
mechanical. MMA plays at whole tempi only; the times of its notes are scaled to the chart's tempo.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from shared.band.composing.arrangement import LOUDNESS, Chart, play_chart
from shared.band.composing.grooves import DRUM_KEYS
from shared.band.composing.harmony import RelativeChord
from shared.band.composing.performance import GAP
from shared.band.composing.timeline import Span
from shared.band.composing.walking import walk_pitches
from shared.band.mma.mma_library import Family, GrooveFile, family, files_for, run_mma
from shared.band.scores.midi_import import read_parts
from shared.band.scores.score import Part, PitchBend, Score
from shared.band.songbook.genres import suits
from shared.errors import UserError
from shared.music.chord import NOTE_NAMES, QUALITIES
from shared.music.notes import Note
from shared.scratch import ScratchFolder

_TRIES = 8
# A file of grooves that suits the chart's style is more probable by this factor.
_SUITED = 6.0
_FILL, _INTRO = 0.5, 0.5
# The least shares of the bars that must have a bass note, and drums.
_BASS_BARS, _DRUM_BARS = 0.5, 0.5
# The least shares of the bass notes that must belong to their chords, and of those on downbeats
# that must be the bass of their chords.
_CHORD_TONES, _STATED = 0.45, 0.15
_BASS_TRACK = re.compile(r"bass|walk", re.IGNORECASE)
_BASS_PROGRAMS = (*range(32, 40), 43, 58)  # basses, contrabass, tuba
_LOWEST, _HIGHEST = 26, 60
_LOW, _HIGH = 31, 49  # where the middle of a line may lie
# Degrees of a scale -> semitones above the root that may stand for them, the usual first.
_DEGREES = ((0,), (2, 1), (4, 3, 5, 2), (5, 6), (7, 6, 8), (9, 8), (10, 11, 9))
_STROKE = 0.1  # seconds of a drum's note
_SWUNG, _STRAIGHT = 0.64, 0.5


def play_chart_with_mma(rng: np.random.Generator, chart: Chart, groove: str | None = None) -> Score:
    """Let MMA play bass, drums and accompaniment of a chart, and the built-in band the lead.

    Args:
        rng: the source of all chance.
        chart: the song.
        groove: a file of MMA's library, such as `stdlib/swing`; by default one is drawn that plays
            the chart's meter and tempo, and more often one that suits its style.

    Raises:
        UserError: MMA is missing, the file is not in its library or does not play the meter, or no
            groove could be played.
    """
    meter, tempo = chart.setting.meter, chart.setting.tempo
    files = files_for(meter, tempo)
    if groove is not None:
        files = _named(groove, meter, files)
    elif not files:
        raise UserError(f"mma has no groove in {meter}")
    weights = np.array(
        [_SUITED if suits(_words(f), chart.setting.style) else 1.0 for f, _ in files]
    )
    tries = min(_TRIES, len(files))
    order = rng.choice(len(files), tries, replace=False, p=weights / weights.sum())
    reason = ""
    for index in order:
        file, felt = files[int(index)]
        try:
            parts, main = _play(rng, chart, family(file), felt)
        except UserError as error:
            reason = str(error)
            continue
        return _with_lead(rng, chart, parts, f"mma {file.path}:{main}")
    raise UserError(f"mma could not play {tries} of its grooves; the last: {reason}")


def _named(
    groove: str, meter: str, files: Sequence[tuple[GrooveFile, int]]
) -> tuple[tuple[GrooveFile, int], ...]:
    found = [pair for pair in files if pair[0].path == groove]
    if not found:  # It may be meant for other tempi.
        found = [(f, f.meters[meter]) for f, _ in files_for(meter) if f.path == groove]
    if not found:
        raise UserError(f"mma's library has no {groove} with bass and drums in {meter}")
    return tuple(found)


def _words(file: GrooveFile) -> str:
    """Return the words in the name of a file, which describe its style."""
    return re.sub(r"[\d_\-.]+", " ", file.path.split("/")[1])


def _play(
    rng: np.random.Generator, chart: Chart, grooves: Family, felt: int
) -> tuple[tuple[Part, ...], str]:
    """Return the parts that MMA plays, and the name of the groove that it mostly plays."""
    if not grooves.carrying:
        raise UserError(f"{grooves.file.path} has no groove with bass and drums")
    names = [str(name) for name in rng.choice(grooves.carrying, 3)]
    speed = grooves.file.beats / felt
    # Sections of one energy share a groove; half of the time all do.
    levels = [names[1]] * 3 if rng.random() < 0.5 else names
    text = write_mma(chart, grooves, felt, levels, rng)
    with ScratchFolder("mma") as folder:
        source, midi = Path(folder, "chart.mma"), Path(folder, "chart.mid")
        source.write_text(text)
        run_mma(Path(folder), "-m", "4000", "-f", str(midi), str(source))
        if not midi.exists():
            raise UserError(f"mma wrote nothing for {grooves.file.path}")
        stretch = _whole_tempo(chart, speed) / (chart.setting.tempo * speed)
        parts = read_parts(midi, end=_seconds(chart, (chart.bars + 1) * _beats(chart)) / stretch)
    parts = _by_source(rng, chart, [part.stretched(stretch) for part in parts])
    _check(chart, parts)
    parts = tuple(_expressed(rng, chart, part) for part in parts)
    return tuple(_closed(chart, part) for part in parts), levels[1]


# The chart in MMA's language


def write_mma(
    chart: Chart, grooves: Family, felt: int, levels: Sequence[str], rng: np.random.Generator
) -> str:
    """Write the chart as MMA's text.

    Args:
        chart: the song.
        grooves: a family of MMA's grooves.
        felt: how many of the chart's beats one of MMA's bars has.
        levels: names of three grooves, for sections of level 0, 1 and 2.
        rng: the source of all chance.
    """
    file = grooves.file
    speed = file.beats / felt
    lines = [f"RndSeed {int(rng.integers(1, 2**31))}"]
    types: dict[str, str] = {}
    bars: list[str] = []
    per_bar = _beats(chart) // felt
    for section in chart.sections:
        name = levels[section.level]
        if section.name == "intro" and grooves.intros and rng.random() < _INTRO:
            name = str(rng.choice(grooves.intros))
        bars.append(f"Groove {file.path}:{name}")
        for number in range(section.bars):
            last = number == section.bars - 1
            if last and section.bars >= 4 and grooves.fills and rng.random() < _FILL:
                bars.append(f"Groove {file.path}:{rng.choice(grooves.fills)}")
            first = (section.first_bar + number) * _beats(chart)
            for part in range(per_bar):
                start = float(first + part * felt)
                bars.append(_bar(chart, start, start + felt, speed, types))
    bars.append(f"Groove {file.path}:{levels[1]}")
    start = float(chart.bars * _beats(chart))
    bars += [
        _bar(chart, start + i * felt, start + (i + 1) * felt, speed, types) for i in range(per_bar)
    ]
    lines += [f"DefChord {name} {spelling}" for spelling, name in types.items()]
    # A few files set a tempo of their own when they are read.
    lines += [f"Groove {file.path}:{levels[1]}", f"Tempo {_whole_tempo(chart, speed)}"]
    return "\n".join([*lines, *bars]) + "\n"


def _bar(chart: Chart, start: float, end: float, speed: float, types: dict[str, str]) -> str:
    """Write a bar of chords with the beats that they start on; `z` silences all but the drums."""
    items: list[str] = []
    for span in chart.timeline.between(start, end):
        rested = any(a - 1e-6 <= span.start < b - 1e-6 for a, b in chart.rests)
        symbol = "z"
        if not rested:
            spelling = spell_chord(span.chord, chart.timeline.scale(span.start), span.tonic)
            kind = types.setdefault(spelling, f"q{len(types)}")
            symbol = NOTE_NAMES[span.bass] + kind
        place = 1 + (span.start - start) * speed
        items.append(symbol if not items else f"{symbol}@{place:.4f}")
    return "1 " + " ".join(items)


def spell_chord(chord: RelativeChord, scale: Sequence[int], tonic: int) -> str:
    """Write a chord's tones and its scale, in semitones above its bass, for MMA's DefChord.

    MMA's basses read the scale: its first note is their root (here the bass of the chord, slash or
    not), and its fifth note is their fifth. `scale` holds the pitch classes that suit the chord,
    over which the chord's own tones take precedence.
    """
    bass = (tonic + chord.bass) % 12
    above = (chord.bass - chord.root) % 12
    steps = QUALITIES[chord.quality][0]
    local = {(pitch_class - bass) % 12 for pitch_class in scale}
    if above:
        tones = sorted((step - above) % 12 for step in steps)
        degrees = _slash_degrees(tones, local)
    else:
        degrees = [
            next((c for c in candidates if c in steps), None)
            or next((c for c in candidates if c in local), candidates[0])
            for candidates in _DEGREES
        ]
        third = next((step for step in (4, 3) if step in steps), 0)
        # Ninths lie above the seventh.
        tones = sorted(s + 12 if 0 < s < 4 and third and s != third else s for s in steps)
    if len(tones) < 3:
        tones.append(tones[0] + 12)
    return f"({','.join(map(str, tones))}) ({','.join(map(str, degrees))})"


def _slash_degrees(tones: Sequence[int], local: Iterable[int]) -> list[int]:
    """Return the seven degrees above a slash bass.

    The third and the fifth degree are tones of the chord, and the others belong to the scale.
    """
    chord = [tone for tone in tones if tone]
    every = sorted({*local, *chord} - {0})

    def near(choices: Sequence[int], interval: int) -> int:
        return min(choices, key=lambda tone: abs(tone - interval))

    return [0, near(every, 2), near(chord, 4), near(every, 5), near(chord, 7), near(every, 9),
            near(every, 10)]  # fmt: skip


def _whole_tempo(chart: Chart, speed: float) -> int:
    """Return the tempo that MMA plays at, which must be a whole number of beats a minute."""
    return round(chart.setting.tempo * speed)


# From MMA's MIDI to parts


def _by_source(rng: np.random.Generator, chart: Chart, parts: Sequence[Part]) -> tuple[Part, ...]:
    """Give MMA's tracks their sources, and join them to one bass, one kit and the accompaniment.

    Tracks with the program of a bass are the bass. If there is none, it is the lowest track that is
    called Bass or Walk. All other pitched tracks accompany.
    """
    drums = [part for part in parts if part.is_drum]
    pitched = [part for part in parts if not part.is_drum]
    called = [part for part in pitched if _BASS_TRACK.search(part.name)]
    basses = [part for part in pitched if part.program in _BASS_PROGRAMS]
    basses = basses or sorted(called, key=_middle)[:1]
    tracks: dict[tuple[str, int], list[Part]] = {}
    for part in parts:
        if not part.is_drum and part not in basses:
            tracks.setdefault((part.name.lower(), part.program), []).append(part)
    found = [_joined("other", name, together) for (name, _), together in sorted(tracks.items())]
    if drums:
        kit = _joined("drums", "drums", drums)
        strokes = (replace(note, duration=max(note.duration, _STROKE)) for note in kit.notes)
        found.append(replace(kit, notes=tuple(strokes)))
    if basses:
        found.append(_one_bass(rng, chart, basses))
    return tuple(found)


def _joined(source: str, name: str, parts: Sequence[Part]) -> Part:
    """Join several parts into one, which has the program with the most notes."""
    notes = sorted((n for part in parts for n in part.notes), key=lambda n: (n.onset, n.pitch))
    bends: list[PitchBend] = sorted((b for p in parts for b in p.bends), key=lambda b: b.time)
    most = max(parts, key=lambda part: len(part.notes))
    return Part(source, name, most.program, most.is_drum, tuple(notes), tuple(bends))


def _one_bass(rng: np.random.Generator, chart: Chart, parts: Sequence[Part]) -> Part:
    """Join the bass tracks: in each bar the track with the most notes in the song is taken."""
    bar = _seconds(chart, _beats(chart))
    played: dict[int, Part] = {}
    for part in sorted(parts, key=lambda part: -len(part.notes)):
        for note in part.notes:
            played.setdefault(int((note.onset + 0.02) / bar), part)
    kept = [
        replace(
            part, notes=tuple(n for n in part.notes if played[int((n.onset + 0.02) / bar)] is part)
        )
        for part in parts
    ]
    walks = sum(len(p.notes) for p in kept if p.name.lower().startswith("walk"))
    line = _joined("bass", "bass", kept)
    if walks > len(line.notes) / 2:
        return _walking(rng, chart, line)
    shift = 12 * ((_middle(line) < _LOW) - (_middle(line) > _HIGH))
    notes = [replace(note, pitch=_folded(note.pitch + shift)) for note in line.notes]
    program = line.program
    if program not in _BASS_PROGRAMS:
        program = int(rng.choice(chart.setting.style.bass_programs))
    return replace(line, program=program, notes=tuple(_one_voice(chart, notes)))


def _one_voice(chart: Chart, notes: Sequence[Note]) -> list[Note]:
    """Keep one of the notes that begin together: the bass of the chord, or else the lowest."""
    line: list[Note] = []
    for note in sorted(notes, key=lambda note: note.onset):
        if line and note.onset - line[-1].onset < 0.03:
            bass = _span_at(chart, note.onset).bass
            line[-1] = min(line[-1], note, key=lambda n: (n.pitch % 12 != bass, n.pitch))
            continue
        if line:
            last = line[-1]
            line[-1] = replace(last, duration=min(last.duration, note.onset - GAP - last.onset))
        line.append(note)
    return line


def _span_at(chart: Chart, onset: float) -> Span:
    """Return the chord that a note at `onset` (s) belongs to; it may come a little early."""
    return chart.timeline.at((onset + 0.05) * chart.setting.tempo / 60.0)


def _middle(part: Part) -> float:
    return float(np.median([note.pitch for note in part.notes]))


def _walking(rng: np.random.Generator, chart: Chart, line: Part) -> Part:
    """Give a line, which has one note at a time, the pitches of a walking bass."""
    first = {round(note.onset, 2): note for note in reversed(line.notes)}
    notes = [first[onset] for onset in sorted(first)]
    beats = [note.onset * chart.setting.tempo / 60.0 for note in notes]
    low = int(rng.choice(chart.setting.style.bass_low))
    pitches = walk_pitches(rng, chart.timeline, beats, low)
    return replace(
        line,
        notes=tuple(replace(note, pitch=p) for note, p in zip(notes, pitches, strict=True)),
        bends=(),
    )


def _folded(pitch: int) -> int:
    """Move a pitch by octaves into the range of a bass."""
    while pitch > _HIGHEST:
        pitch -= 12
    while pitch < _LOWEST:
        pitch += 12
    return pitch


def _check(chart: Chart, parts: Sequence[Part]) -> None:
    """Raise UserError where the bass or the drums hardly play, or the bass in another key."""
    bar = _beats(chart) * 60.0 / chart.setting.tempo
    for source, least in (("bass", _BASS_BARS), ("drums", _DRUM_BARS)):
        onsets = [n.onset for part in parts if part.source == source for n in part.notes]
        if len({int((onset + 0.02) / bar) for onset in onsets}) < least * chart.bars:
            raise UserError(f"the groove has hardly any {source}")
    basses = [n for part in parts if part.source == "bass" for n in part.notes]
    spans = [_span_at(chart, note.onset) for note in basses]
    fitting = [n.pitch % 12 in (*s.tones, s.bass) for n, s in zip(basses, spans, strict=True)]
    firsts = [
        note.pitch % 12 == span.bass
        for note, span in zip(basses, spans, strict=True)
        if abs(note.onset / bar - round(note.onset / bar)) * bar < 0.06
    ]
    if np.mean(fitting) < _CHORD_TONES or sum(firsts) < _STATED * len(firsts):
        raise UserError("the groove's bass does not follow the chords")


def _expressed(rng: np.random.Generator, chart: Chart, part: Part) -> Part:
    """Adapt a part to the loudness of its sections, and vary its timing and velocities.

    The notes of a chord stray together. No note outlasts the next one of its pitch.
    """
    spread = rng.uniform(1.0, 6.0) / 1000.0
    drag = 0.0 if part.is_drum else float(np.clip(rng.normal(0.0, 0.003), -0.008, 0.008))
    times = np.array([note.onset for note in part.notes])
    groups = np.cumsum(np.diff(times, prepend=times[0]) > 0.012)
    stray = np.clip(rng.standard_normal(groups[-1] + 1), -2.5, 2.5)[groups] * spread + drag
    touch = rng.normal(0.0, 4.0, len(times))
    ends = [_seconds(chart, (s.first_bar + s.bars) * _beats(chart)) for s in chart.sections]
    sections = np.searchsorted(np.array(ends) - 0.02, times, side="right")
    louder = [LOUDNESS[section.level] for section in chart.sections] + [LOUDNESS[-1]]
    notes = [
        Note(
            max(note.onset + float(late), 0.0),
            note.duration,
            note.pitch,
            int(np.clip(round(note.velocity * louder[min(place, len(louder) - 1)] + hit), 1, 127)),
        )
        for note, late, place, hit in zip(part.notes, stray, sections, touch, strict=True)
    ]
    return replace(part, notes=tuple(_shortened(notes)))


def _shortened(notes: list[Note]) -> list[Note]:
    following: dict[int, float] = {}
    shortened = []
    for note in sorted(notes, key=lambda note: note.onset, reverse=True):
        limit = following.get(note.pitch, note.end) - GAP
        following[note.pitch] = note.onset
        duration = min(note.duration, limit - note.onset)
        if duration > GAP:  # not two strokes at once
            shortened.append(replace(note, duration=duration))
    return sorted(shortened, key=lambda note: (note.onset, note.pitch))


def _closed(chart: Chart, part: Part) -> Part:
    """End the part in the closing bar: what begins the bar is held, and nothing follows."""
    start = _seconds(chart, chart.bars * _beats(chart))
    beat = 60.0 / chart.setting.tempo
    length = 0.9 * _beats(chart) * beat
    kept = [note for note in part.notes if note.onset < start - 0.03]
    held = [note for note in part.notes if start - 0.03 <= note.onset < start + 0.3 * beat]
    if part.is_drum:
        strokes = {DRUM_KEYS["kick"]: 110, DRUM_KEYS["crash"]: 105}
        held = [note for note in held if note.pitch not in strokes]
        held += [Note(start, _STROKE, key, velocity) for key, velocity in strokes.items()]
    elif part.source == "bass":
        near = held[0].pitch if held else (kept[-1].pitch if kept else 40)
        root = chart.timeline.at(float(chart.bars * _beats(chart))).bass
        pitch = _folded(near - 6 + (root - (near - 6)) % 12)
        held = [Note(start, length, pitch, held[0].velocity if held else 90)]
        kept = [replace(n, duration=min(n.duration, start - GAP - n.onset)) for n in kept]
    else:
        held = [replace(note, duration=length) for note in held]
    return replace(part, notes=tuple(_shortened(kept + held)))


def _with_lead(
    rng: np.random.Generator, chart: Chart, parts: tuple[Part, ...], style: str
) -> Score:
    """Add the voice and the solo of the built-in band, which swing where the drums do."""
    drums = [note.onset for part in parts if part.is_drum for note in part.notes]
    straight = chart.setting.compound or not _swings(drums, chart)
    setting = replace(chart.setting, swing=_STRAIGHT if straight else _SWUNG)
    setting = replace(setting, style=replace(setting.style, swing_unit=1.0))
    own = play_chart(rng, replace(chart, setting=setting))
    lead = tuple(part for part in own.parts if part.source == "vocals" or part.name == "solo")
    return replace(own, style=style, parts=(*lead, *parts))


def _swings(onsets: Sequence[float], chart: Chart) -> bool:
    """Whether the strokes between the beats lie nearer to a triplet than to an eighth."""
    places = (np.array(onsets) * chart.setting.tempo / 60.0) % 1.0
    late = np.count_nonzero(np.abs(places - 2 / 3) < 0.06)
    return bool(late > np.count_nonzero(np.abs(places - 0.5) < 0.06))


def _beats(chart: Chart) -> int:
    return chart.setting.beats_per_bar


def _seconds(chart: Chart, beat: float) -> float:
    return beat * 60.0 / chart.setting.tempo
