"""Real songs' progressions as the built-in band plays them."""

from bisect import bisect_right
from dataclasses import replace

import numpy as np
import pytest

from shared.band.composing.arrangement import Chart, play_chart
from shared.band.composing.form import LEVELS
from shared.band.composing.style import find_style, styles
from shared.band.composing.walking import walk_pitches
from shared.band.scores.score import Score
from shared.band.songbook.charts import lay_out, progression_bar, section_name
from shared.band.songbook.genres import choose_style, suits
from shared.band.songbook.progressions import METERS, ChordSpan, Progression
from shared.errors import UserError
from shared.music.chord_notation import ChordName, read_symbol
from shared.sources import SOURCES

BLUES = "C7 F7 C7 C7 F7 F7 C7 A7b9 Dm7 G7 C7 G7/F"
SONG = "Am F C G/B Am F C E7 F G Am Am F G C E7"


def progression(
    symbols: str, meter: str = "4/4", tempo: float | None = 100.0, style: str | None = None
) -> Progression:
    """A bar a symbol."""
    beats = METERS[meter]
    chords = tuple(
        ChordSpan(float(i * beats), float((i + 1) * beats), read_symbol(symbol))
        for i, symbol in enumerate(symbols.split())
    )
    return Progression("song", meter, tempo, 9, "minor", chords, style=style)


def lay(song: Progression, seed: int = 1, **options: object) -> Chart:
    return lay_out(np.random.default_rng(seed), song, **options)  # type: ignore[arg-type]


def play(chart: Chart, seed: int = 2) -> Score:
    return play_chart(np.random.default_rng(seed), chart)


def test_the_chords_are_those_of_the_song() -> None:
    score = play(lay(progression(SONG), transpose=0))
    wanted = SONG.split()
    assert [chord.symbol for chord in score.chords[: len(wanted)]] == wanted
    assert score.chords[-1].symbol == "Am"
    assert score.key == "A minor"
    assert score.tempo == 100.0
    assert {part.source for part in score.parts} == set(SOURCES)


def test_every_downbeat_has_its_bass() -> None:
    score = play(lay(progression(SONG), seed=3))
    onsets = [note.onset for note in score.bass_notes]
    sounding = 0
    for chord in score.chords:
        note = score.bass_notes[bisect_right(onsets, chord.start + 0.05) - 1]
        if note.end > chord.start + 0.05:
            sounding += 1
            assert note.pitch % 12 == chord.bass
    assert sounding > len(score.chords) / 2


def test_transposed_as_asked_or_at_random() -> None:
    song = progression(SONG)
    plain, raised = lay(song, transpose=0), lay(song, transpose=3)
    for low, high in zip(plain.timeline.spans, raised.timeline.spans, strict=True):
        assert (low.root + 3) % 12 == high.root
        assert (low.bass + 3) % 12 == high.bass
        assert low.quality == high.quality
    assert len({lay(song, seed=seed).setting.tonic for seed in range(60)}) == 12


def test_the_chart_depends_on_the_seed_alone() -> None:
    song = progression(BLUES, style="swing")
    assert play(lay(song)) == play(lay(song))
    assert play(lay(song)) != play(lay(song, seed=4))


@pytest.mark.parametrize("seconds", [12.0, 60.0, 150.0])
def test_repeated_or_cut_to_the_wanted_length(seconds: float) -> None:
    chart = lay(progression(BLUES), seconds=seconds)
    bar = chart.setting.beats_per_bar * 60.0 / chart.setting.tempo
    assert abs(play(chart).duration - seconds) <= bar + 1e-6
    first = 0
    for section in chart.sections:
        assert section.first_bar == first
        first += section.bars
    assert chart.bars == first


def test_a_chorus_is_repeated_whole() -> None:
    chart = lay(progression(BLUES, tempo=170.0), style="swing", transpose=0)
    assert chart.bars % 12 == 0
    assert chart.bars * 4 * 60 / chart.setting.tempo >= 32
    roots = [span.root for span in chart.timeline.spans]
    assert roots[:12] == roots[12:24]


def test_sections_have_the_songs_names() -> None:
    song = replace(
        progression(SONG),
        sections=((2, "verse two"), (6, "pre-chorus"), (8, "main theme"), (12, "x")),
    )
    sections = lay(song).sections
    assert [(s.name, s.first_bar, s.bars) for s in sections][:5] == [
        ("intro", 0, 2), ("verse", 2, 4), ("pre", 6, 2), ("head", 8, 4), ("verse", 12, 4),
    ]  # fmt: skip
    assert {section_name(word) for word in ("fadeout", "coda", "Outro")} == {"outro"}
    assert section_name("whatever") in LEVELS


def test_groups_of_the_same_chords_are_one_section() -> None:
    a, b = "C Am F G C Am F G", "F F C C D7 D7 G7 G7"
    sections = lay(progression(f"{a} {a[:-4]} G C {b} {a}"), seconds=75).sections
    assert [s.name for s in sections][:4] == ["verse", "verse", "chorus", "verse"]


def test_no_chord_is_held_or_rested() -> None:
    song = progression("N C N N F G C C")
    rested = 0
    for seed in range(12):
        chart = lay(song, seed=seed, transpose=0)
        assert [span.root for span in chart.timeline.spans[:5]] == [0, 0, 0, 0, 5]
        score = play(chart)
        bar = 4 * 60.0 / score.tempo
        for start, end in chart.rests:
            rested += 1
            low, high = start / 4 * bar + 0.05, end / 4 * bar - 0.05
            for part in score.parts:
                if not part.is_drum:
                    assert not any(low < note.onset < high for note in part.notes)
    assert 4 < rested < 80


@pytest.mark.parametrize("meter", list(METERS))
def test_every_meter(meter: str) -> None:
    for seed in range(6):
        chart = lay(progression(BLUES, meter, tempo=None), seed=seed)
        score = play(chart)
        assert meter in chart.setting.style.meters
        assert score.time_signature == tuple(int(n) for n in meter.split("/"))
        assert len(score.beats) == METERS[meter] * len(score.downbeats)
        assert score.chords[-1].end == pytest.approx(score.beats[-1] + 60.0 / score.tempo)


def test_scales_follow_foreign_chords() -> None:
    chart = lay(progression("C E7 Am F Dm G7 C C"), transpose=0)
    assert 7 not in chart.timeline.scale(4.0)  # G yields to the G sharp of E7
    assert {8, 11, 2, 4} <= set(chart.timeline.scale(4.0))
    assert 7 in chart.timeline.scale(0.0)


def test_a_bars_chords() -> None:
    c = ChordName(0, "maj", 0)
    song = Progression("s", "4/4", None, 0, "major", (ChordSpan(0, 6, c), ChordSpan(6, 8, None)))
    assert progression_bar(song, 1) == ((0.0, 2.0, c), (2.0, 4.0, None))


def test_mistakes() -> None:
    with pytest.raises(UserError, match="no style"):
        lay(progression(BLUES), style="nonsense")
    with pytest.raises(UserError, match="has no 6/8"):
        lay(progression(BLUES, "6/8"), style="house")
    with pytest.raises(UserError, match="positive"):
        lay(progression(BLUES), seconds=0)


def test_styles_suit_genre_meter_and_tempo() -> None:
    rng = np.random.default_rng(0)
    for _ in range(40):
        style, tempo = choose_style(rng, "swing", "4/4", 300.0)
        assert tempo == 150.0
        low, high = style.meters["4/4"].tempo
        assert low <= tempo <= high
    assert {choose_style(rng, "folk jigs", "6/8", 90.0)[0].name for _ in range(40)} <= {
        "folk",
        "pop",
    }
    assert choose_style(rng, "house", "6/8", None)[0].meters["6/8"]
    assert len({choose_style(rng, None, "4/4", None)[0].name for _ in range(300)}) == len(styles())
    assert suits("jazzwaltz", find_style("swing"))
    assert not suits("jazzwaltz", find_style("house"))
    assert suits("8Beat", find_style("house"))


def test_a_walking_bass_leads_on() -> None:
    chart = lay(progression(BLUES), seconds=120, transpose=0)
    beats = [float(beat) for beat in range(chart.bars * 4)]
    pitches = walk_pitches(np.random.default_rng(0), chart.timeline, beats, 28)
    assert all(26 <= pitch <= 50 for pitch in pitches)
    stated = [pitches[i] % 12 == chart.timeline.at(beats[i]).bass for i in range(0, len(beats), 4)]
    assert 0.6 < np.mean(stated) < 1.0
    leaps = np.abs(np.diff(pitches))
    assert leaps.mean() < 4.5
    before = [abs(pitches[i] - pitches[i - 1]) for i in range(4, len(beats), 4)]
    assert np.mean(np.array(before) <= 2) > 0.5
