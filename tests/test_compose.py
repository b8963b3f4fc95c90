"""The composer: what its language says, and what holds for every song it writes."""

import hashlib
import json
from bisect import bisect_right
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from shared.band.composing import harmony
from shared.band.composing.basslines import HIGHEST, LOWEST, RULES, BassPlan, bass_line
from shared.band.composing.comping import CompPlan, voice
from shared.band.composing.compose import compose
from shared.band.composing.form import LEVELS, plan_form
from shared.band.composing.grooves import DRUM_KEYS, STROKES
from shared.band.composing.harmony import MODES, read_numeral, read_progression
from shared.band.composing.pattern import Pattern, Step, parse_pattern
from shared.band.composing.performance import Clock, perform
from shared.band.composing.style import Style, find_style, styles
from shared.band.composing.timeline import Event, Span, Timeline
from shared.band.scores.score import Score
from shared.errors import UserError
from shared.music.chord import Chord
from shared.music.notes import Note
from shared.sources import SOURCES


@pytest.fixture(scope="module")
def songs() -> list[Score]:
    """One song in each style, and forty of styles the seed chose."""
    return [compose(1, style) for style in styles()] + [compose(seed) for seed in range(40)]


def _sounding(score: Score, time: float) -> int | None:
    """The bass pitch just after `time` (s), or None in a rest."""
    onsets = [note.onset for note in score.bass_notes]
    index = bisect_right(onsets, time + 0.035) - 1
    note = score.bass_notes[index]
    return note.pitch if index >= 0 and note.end > time + 0.04 else None


def _chord_at(score: Score, time: float) -> Chord:
    starts = [chord.start for chord in score.chords]
    return score.chords[bisect_right(starts, time + 1e-6) - 1]


# The languages


def test_pattern_steps_and_holds() -> None:
    pattern = parse_pattern("x-.X|--o.", 2)
    assert pattern.beats == 4
    assert pattern.steps == (Step(0.0, 1.0, "x"), Step(1.5, 1.5, "X"), Step(3.0, 0.5, "o"))
    assert pattern.in_bar(1, 2) == (Step(1.0, 0.5, "o"),)
    assert parse_pattern("--R-", 4).carry == 2.0


@pytest.mark.parametrize(
    ("token", "mode", "colour", "expected"),
    [
        ("I", "major", "triad", (0, "maj", 0)),
        ("V7/ii", "major", "triad", (9, "dom7", 9)),
        ("V^3", "major", "triad", (7, "maj", 11)),
        ("IV@5", "major", "triad", (5, "maj", 7)),
        ("ii", "major", "seventh", (2, "min7", 2)),
        ("IV", "dorian", "seventh", (5, "dom7", 5)),
        ("bVII", "minor", "triad", (10, "maj", 10)),
        ("#IVo7", "mixolydian", "dominant", (6, "dim7", 6)),
        ("iim7b5", "minor", "seventh", (2, "hdim7", 2)),
        ("i", "phrygian", "power", (0, "power", 0)),
    ],
)
def test_numerals(token: str, mode: str, colour: str, expected: tuple[int, str, int]) -> None:
    chord = read_numeral(token, mode, colour)
    assert (chord.root, chord.quality, chord.bass) == expected


def test_walks_and_spice_stay_readable() -> None:
    rng = np.random.default_rng(0)
    for mode in MODES:
        for _ in range(50):
            text = harmony.walk_progression(rng, mode, 4, 0.3)
            text = harmony.spice(rng, text, mode, 1.0)
            assert len(read_progression(text, mode, "seventh")) == 4


# The players


def _timeline(text: str, beats: int = 4, tonic: int = 0) -> Timeline:
    bars = read_progression(text, "major", "triad")
    spans = []
    for number, bar in enumerate(bars):
        length = beats / len(bar)
        for i, chord in enumerate(bar):
            start = number * beats + i * length
            spans.append(Span(start, start + length, chord, tonic))
    return Timeline(tuple(spans), "major")


def _bass(text: str, timeline: Timeline, bars: int, beats: int = 4) -> list[Event]:
    plan = BassPlan(text, 28, 1.0, -1, 0.0, 0.0, 0.5)
    pattern = None if text in RULES else parse_pattern(text, beats)
    rng = np.random.default_rng(0)
    return bass_line(rng, plan, pattern, timeline, 0.0, float(bars * beats), beats)


def test_bass_pattern_follows_the_chords() -> None:
    events = _bass("R---5---8---a---", _timeline("I | IV"), 2)
    # C G C, E into F; F C F, and F again where nothing follows.
    assert [event.pitch for event in events] == [36, 43, 48, 28, 29, 36, 41, 29]


def test_bass_sixth_belongs_to_major_chords() -> None:
    events = _bass("R---3---5---6---", _timeline("V7 | ii"), 2)
    assert [event.pitch for event in events] == [31, 35, 38, 40, 38, 41, 45, 45]


def test_bass_restrikes_where_the_chord_changes() -> None:
    events = _bass("R---------------", _timeline("I V | V^3"), 2)
    assert [(event.beat, event.pitch % 12) for event in events] == [(0, 0), (2, 7), (4, 11)]


def test_anticipated_bass_states_the_next_chord() -> None:
    events = _bass("------v-----n---", _timeline("I | IV"), 2)
    assert [(event.beat, event.pitch % 12) for event in events][:4] == [
        (0, 0), (1.5, 7), (3, 5), (5.5, 0),
    ]  # fmt: skip
    assert events[2].length == 2.5


def test_walking_bass_leads_by_step() -> None:
    timeline = _timeline("I | IV | V | I")
    events = _bass("walk", timeline, 4)
    assert len(events) == 16
    for bar in range(3):
        assert events[4 * bar].pitch % 12 == timeline.at(4.0 * bar).bass
        assert abs(events[4 * bar + 3].pitch - events[4 * bar + 4].pitch) <= 2


def test_voicings_hold_root_and_third_and_move_little() -> None:
    plan = CompPlan("hold", "close", 60, 3, 1.0, False, 0.0, Pattern(4, ()))
    previous: tuple[int, ...] = ()
    for numeral in ("I", "vi", "IV", "V7"):
        span = Span(0, 4, read_numeral(numeral, "major"), 0)
        stack = voice(span, plan, previous)
        assert {span.tones[0], span.tones[1]} <= {pitch % 12 for pitch in stack}
        if previous:
            assert abs(np.mean(stack) - np.mean(previous)) < 6
        previous = stack


def test_swing_gives_the_first_half_more_time() -> None:
    clock = Clock(60.0, 2 / 3)
    assert [clock.seconds(beat) for beat in (0, 0.5, 1, 1.25)] == pytest.approx(
        [0, 2 / 3, 1, 4 / 3], abs=1e-6
    )


def played(
    *events: Event, humanise: float = 0.0, drag: float = 0.0, monophonic: bool = False
) -> tuple[Note, ...]:
    rng = np.random.default_rng(0)
    return perform(rng, Clock(120.0), list(events), humanise, drag, monophonic)[0]


def test_without_human_timing_notes_are_where_they_are_written() -> None:
    notes = played(Event(1.0, 2.0, 43, 0.7), Event(0.0, 1.0, 40, 0.7))
    assert [(note.onset, note.pitch) for note in notes] == [(0.0, 40), (0.5, 43)]
    assert [note.duration for note in notes] == pytest.approx([0.498, 0.998])
    assert all(75 < note.velocity < 105 for note in notes)


def test_human_timing_strays_by_as_much_as_asked() -> None:
    events = [Event(float(beat), 0.5, 40, 0.7) for beat in range(1, 400)]
    notes = played(*events, humanise=5.0, drag=8.0)
    off = np.array([1000 * (note.onset - beat / 2) for beat, note in enumerate(notes, 1)])
    assert np.mean(off) == pytest.approx(8.0, abs=0.8)
    assert np.std(off) == pytest.approx(5.0, abs=0.8)
    assert np.abs(off - 8.0).max() < 15.001


def test_the_notes_of_a_chord_stray_together() -> None:
    events = [Event(float(b), 0.5, pitch, 0.7) for b in range(1, 100) for pitch in (60, 64)]
    onsets = np.array([note.onset for note in played(*events, humanise=5.0)]).reshape(-1, 2)
    apart = 1000 * np.diff(onsets, axis=1)
    assert 0.1 < np.std(apart) < 3.0


def test_a_note_ends_where_its_string_is_played_again() -> None:
    events = (Event(0.0, 4.0, 40, 0.7), Event(1.0, 4.0, 43, 0.7), Event(2.0, 1.0, 40, 0.7))
    assert [note.end for note in played(*events)] == pytest.approx([0.998, 2.498, 1.498])
    line = played(*events, monophonic=True)
    assert [note.end for note in line] == pytest.approx([0.498, 0.998, 1.498])


def test_slides_are_brief_and_land_on_the_note() -> None:
    events = [Event(0.0, 2.0, 40, 0.8, slide=-2.0)]
    notes, bends = perform(np.random.default_rng(0), Clock(120.0), events, 0.0)
    assert bends[0].time == notes[0].onset
    assert (bends[0].semitones, bends[-1].semitones) == (-2.0, 0.0)
    assert bends[-1].time - notes[0].onset < 0.1 * notes[0].duration


def test_form_fills_the_bars_asked_for() -> None:
    rng = np.random.default_rng(0)
    for seconds in (2.0, 20.0, 300.0):
        sections = plan_form(rng, ("intro:4 verse:8 chorus:8",), 2.0, seconds, 0.2)
        assert sum(section.bars for section in sections) == seconds / 2
        for before, after in pairwise(sections):
            assert after.first_bar == before.first_bar + before.bars


# The styles


@pytest.mark.parametrize("style", styles().values(), ids=lambda style: style.name)
def test_style_files_speak_the_language(style: Style) -> None:
    assert set(style.modes) <= set(MODES)
    assert set(style.progressions) <= set(MODES)
    for mode, texts in style.progressions.items():
        for text in texts:
            for colour in style.colours:
                read_progression(text, mode, colour)
    for form in style.forms:
        assert {item.split(":")[0] for item in form.split()} <= set(LEVELS)
    assert {groove.meter for groove in style.grooves} == set(style.meters)
    for meter, rule in style.meters.items():
        assert 60 <= rule.tempo[0] <= rule.tempo[1] <= 180
        count, unit = (int(part) for part in meter.split("/"))
        per_bar = {"4": 4 * count, "8": 2 * count}[str(unit)]
        drums = [text for g in style.grooves if g.meter == meter for text in g.voices.values()]
        basses = [text for g in style.grooves if g.meter == meter for text in g.bass]
        comps = [text for comp in style.comps for text in comp.patterns.get(meter, ())]
        for text in (*drums, *basses, *comps):
            if text not in RULES:
                assert all(per_bar % len(bar) == 0 for bar in text.split("|")), text
        assert set("".join(drums)) <= {*STROKES, *".-|"}
        assert set("".join(text for text in basses if text not in RULES)) <= set("R8v3567anx.-|")
        assert set("".join(text for text in comps if text not in RULES)) <= set("xXorf12345.-|")
    followed = any("lock" in texts for comp in style.comps for texts in comp.patterns.values())
    for groove in style.grooves:
        assert "kick" in groove.voices or not (followed or "lock" in groove.bass)
    assert {voice for groove in style.grooves for voice in groove.voices} <= set(DRUM_KEYS)
    programs = [*style.bass_programs, *style.lead.programs, *style.drum_program]
    programs += [program for comp in style.comps for program in comp.programs]
    assert all(0 <= program <= 127 for program in programs)


def test_there_are_styles_for_all_meters() -> None:
    assert len(styles()) >= 12
    meters = {meter for style in styles().values() for meter in style.meters}
    assert meters == {"4/4", "3/4", "6/8", "12/8"}


def test_bad_wishes_are_refused() -> None:
    with pytest.raises(UserError, match="no style 'polka'"):
        compose(0, "polka")
    with pytest.raises(UserError, match="positive"):
        compose(0, seconds=0.0)
    assert find_style("rock").name == "rock"


# The songs

# The songs of seed 1. Where one of them changes, `make-dataset` no longer makes its earlier data
# sets.
DIGESTS = {
    "ballad": "9547c083", "blues": "707c0f06", "bossa": "88e6e005", "country": "26d3f6c3",
    "disco": "e70ada4f", "dnb": "c0b6a373", "folk": "41b1ffdb", "funk": "4cbc92eb",
    "hiphop": "323cdc01", "house": "caeb4c45", "latin": "c40bdbd1", "metal": "1b49fde0",
    "pop": "fa5d6090", "punk": "9628a51a", "reggae": "84a930f1", "rock": "fac6f630",
    "soul": "0b4ecf56", "swing": "dff5e56e", "synthwave": "9f960400",
}  # fmt: skip


def digest(score: Score) -> str:
    """A hash of everything that a score says, with times in ms."""
    parts = [
        [
            *(part.source, part.name, part.program, part.is_drum),
            [[round(n.onset, 3), round(n.duration, 3), n.pitch, n.velocity] for n in part.notes],
            [[round(bend.time, 3), bend.semitones] for bend in part.bends],
        ]
        for part in score.parts
    ]
    chords = [[round(c.start, 3), c.root, c.quality, c.bass] for c in score.chords]
    head = [score.style, round(score.tempo, 3), score.time_signature, score.key]
    return hashlib.sha256(json.dumps([*head, chords, parts]).encode()).hexdigest()[:8]


def test_a_seed_gives_the_song_that_it_always_gave(songs: list[Score]) -> None:
    assert {score.style: digest(score) for score in songs[: len(DIGESTS)]} == DIGESTS


@pytest.mark.parametrize(("style", "least", "most"), [("swing", 0.58, 0.7), ("house", 0.45, 0.55)])
def test_offbeats_are_swung_where_the_style_swings(style: str, least: float, most: float) -> None:
    score = compose(1, style)
    beat = 60.0 / score.tempo
    places = np.array([n.onset / beat % 1 for p in score.parts if p.is_drum for n in p.notes])
    offbeats = places[(places > 0.4) & (places < 0.75)]
    assert len(offbeats) > 20
    assert least < np.median(offbeats) < most


def test_same_seed_same_song_other_seed_another() -> None:
    assert compose(7) == compose(7)
    assert compose(7, "funk", 20.0) == compose(7, "funk", 20.0)
    assert len({json.dumps(compose(seed, seconds=8.0).facts.to_dict()) for seed in range(20)}) == 20


def test_every_song_is_well_formed(songs: list[Score]) -> None:
    for score in songs:
        assert 30 <= score.duration <= 180
        beats, downbeats = score.beats, score.downbeats
        assert beats[0] == 0.0
        assert all(a < b for a, b in pairwise(beats))
        assert set(downbeats) <= set(beats)
        assert score.chords[0].start == 0.0
        assert all(a.end == b.start for a, b in pairwise(score.chords))
        assert score.chords[-1].end == pytest.approx(score.duration - 1.0)
        assert {part.source for part in score.parts} == set(SOURCES)
        for part in score.parts:
            assert part.is_drum == (part.source == "drums")
            onsets = [note.onset for note in part.notes]
            assert onsets == sorted(onsets)
            for note in part.notes:
                assert 0 <= note.pitch <= 127
                assert 1 <= note.velocity <= 127
                assert note.onset >= 0.0
                assert note.duration > 0.0
                assert note.end < score.duration
            last: dict[int, float] = {}
            for note in part.notes:
                assert note.onset >= last.get(note.pitch, 0.0)
                last[note.pitch] = note.end


def test_bass_is_monophonic_and_in_range(songs: list[Score]) -> None:
    for score in songs:
        assert all(LOWEST <= note.pitch <= HIGHEST for note in score.bass_notes)
        assert all(a.end <= b.onset for a, b in pairwise(score.bass_notes))


def test_bass_states_the_chord_on_downbeats(songs: list[Score]) -> None:
    struck = [
        (pitch % 12, _chord_at(score, time))
        for score in songs
        for time in score.downbeats
        if (pitch := _sounding(score, time)) is not None
    ]
    assert np.mean([pitch in chord.pitch_classes for pitch, chord in struck]) > 0.97
    assert np.mean([pitch == chord.root for pitch, chord in struck]) > 0.9


def test_accompaniment_states_the_root(songs: list[Score]) -> None:
    """Without it nobody could learn the bass from the rest of the band."""
    shares = []
    for score in songs:
        notes = [n for p in score.parts if p.source == "other" for n in p.notes]
        starts = np.array([chord.start for chord in score.chords])
        sounding: dict[int, set[int]] = {}
        for note in notes:
            index = int(np.searchsorted(starts, note.onset + 0.05)) - 1
            sounding.setdefault(max(index, 0), set()).add(note.pitch % 12)
        stated = [chord.root in sounding.get(i, set()) for i, chord in enumerate(score.chords)]
        shares.append(np.mean(stated))
    assert np.mean(shares) > 0.9


def test_drums_hit_the_beats(songs: list[Score]) -> None:
    """Strokes meant for a beat come within 20 ms of it; all others are far from any."""
    for score in songs:
        beats = np.array(score.beats)
        strokes = np.array([n.onset for p in score.parts if p.is_drum for n in p.notes])
        error = np.abs(strokes[:, None] - beats[None]).min(axis=1)
        grid = np.diff(beats).min() / 8
        assert np.all((error < 0.02) | (error > grid)), score.style


def test_length_as_asked() -> None:
    for style in styles():
        score = compose(5, style, seconds=20.0)
        bar = score.downbeats[1] - score.downbeats[0]
        assert abs(score.duration - 20.0) <= bar


def test_bass_rhythms_and_keys_differ() -> None:
    many = [compose(seed, seconds=10.0) for seed in range(150)]
    rhythms = set()
    for score in many:
        beat = score.beats[1]
        rhythms.add(tuple(round(note.onset / beat * 12) for note in score.bass_notes))
    assert len(rhythms) > 110
    assert len({score.key for score in many}) > 30
    assert len({score.chords[-1].root for score in many}) == 12


def test_song_json_is_plain_and_complete() -> None:
    score = replace(compose(3, "pop"), style="pop")
    song = json.loads(json.dumps(score.facts.to_dict()))
    assert list(song) == [
        "tempo", "time_signature", "key", "duration", "style", "beats", "downbeats", "chords",
        "bass_notes", "bass_program",
    ]  # fmt: skip
    assert len(song["bass_notes"]) == len(score.bass_notes)
    assert set(song["chords"][0]) == {
        "start", "end", "root", "quality", "bass", "pitch_classes", "symbol",
    }  # fmt: skip
