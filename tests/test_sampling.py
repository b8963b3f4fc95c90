"""Writing a line: what is given is kept, wishes come true, and a seed decides the rest."""

from typing import Any

import numpy as np
import pytest
import torch

from shared.config import load_config
from shared.errors import UserError
from shared.music.bar_grid import STEPS, BarGrid
from shared.music.bar_tracking import BarHints
from shared.music.chord import Chord
from shared.music.notes import Note, NoteVocabulary, notes_to_tokens, tokens_to_notes
from stage2_prior import performance, sampling
from stage2_prior.composer.grid_notes import MAY_BEGIN, GridNotes
from stage2_prior.composer.sampling import E1, G3
from stage2_prior.config import PRESETS, PriorConfig
from stage2_prior.harmony import Harmony
from stage2_prior.heard_song import HeardSong, SongEvidence
from stage2_prior.model import Prior
from stage2_prior.own_bass import OwnBass
from stage2_prior.performer.sampling import FREE
from stage2_prior.sampling import (
    GeneratedBass,
    SamplingSettings,
    Wishes,
    generate,
)
from stage2_prior.sampling_defaults import SamplingDefaults
from tests.toy_songs import FORMAT

RATE = FORMAT.frame_rate
FRAMES = 340  # 7.9 s
GRID = BarGrid(np.linspace(0, 8.5, 18), np.arange(0, 18, 4))
FAST = {"candidates": 1, "note_guidance": 1.0}


@pytest.fixture(scope="module")
def prior() -> Prior:
    torch.manual_seed(0)
    config = load_config(PriorConfig, PRESETS, "tiny").model
    prior = Prior(config, FORMAT, "test").eval()
    with torch.no_grad():
        for parameter in prior.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return prior.requires_grad_(False)


def song(frames: int = FRAMES) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 64, (4, 8, frames))


def written(
    prior: Prior,
    wishes: Wishes | None = None,
    evidence: SongEvidence | None = None,
    frames: int = FRAMES,
    **changes: Any,
) -> GeneratedBass:
    """A line on bars that are known, unless other evidence is given."""
    chosen = SamplingSettings(**(FAST | changes))
    return generate(prior, song(frames), chosen, wishes, evidence or SongEvidence(grid=GRID))


def settings(**changes: Any) -> SamplingSettings:
    return SamplingSettings(**changes)


def given_line(frames: int = FRAMES) -> np.ndarray:
    """Note tokens and codes `[9, T]` of some bass."""
    chance = np.random.default_rng(1)
    notes = [Note(t, 0.3, int(chance.integers(30, 50))) for t in np.arange(0.1, 8, 0.45)]
    tokens = notes_to_tokens(notes, frames, RATE)
    return np.concatenate((tokens[None], chance.integers(0, 64, (8, frames)))).astype(np.int64)


def same(first: GeneratedBass, second: GeneratedBass) -> bool:
    return np.array_equal(first.codes, second.codes) and np.array_equal(first.notes, second.notes)


def positions(line: GeneratedBass, start: float = 0.0, end: float = np.inf) -> np.ndarray:
    """Where on the grid the notes between two times begin."""
    onsets = [note.onset for note in line.played if start <= note.onset < end]
    return np.round(line.grid.position_of(onsets), 6)


def test_shapes_and_types(prior: Prior) -> None:
    line = written(prior)
    assert (line.codes.shape, line.codes.dtype) == ((8, FRAMES), np.uint16)
    assert line.codes.max() < 64
    assert (line.notes.shape, line.notes.dtype) == ((FRAMES,), np.uint8)
    assert line.notes.max() < NoteVocabulary.size
    assert line.grid is GRID
    assert line.seconds > 0


def test_the_tokens_are_those_of_the_notes_that_are_played_on_the_grid(prior: Prior) -> None:
    for seed in range(3):
        line = written(prior, seed=seed)
        assert len(line.played) > 3
        assert np.array_equal(line.notes, notes_to_tokens(line.played, FRAMES, RATE))
        assert NoteVocabulary.onsets(line.notes).sum() == len(line.played)
        at = positions(line)
        assert (at == at.round()).all()
        assert MAY_BEGIN[at.astype(int) % STEPS].all()


@pytest.mark.parametrize("frames", [1, 3, 50, 120])
def test_songs_of_any_length_on_bars_that_are_found(prior: Prior, frames: int) -> None:
    line = written(prior, evidence=SongEvidence(), frames=frames)
    assert line.codes.shape == (8, frames)
    assert line.grid.beats[0] <= 0
    assert line.grid.beats[-1] >= frames / RATE - 1e-6
    assert all(0 <= note.onset < frames / RATE and note.duration > 0 for note in line.played)


def test_a_line_begins_with_the_song(prior: Prior) -> None:
    early = SongEvidence(grid=BarGrid(np.linspace(-1.7, 8.3, 21), np.arange(0, 21, 4)))
    for seed in range(3):
        line = written(prior, evidence=early, seed=seed, note_temperature=2.0, guidance=0.0)
        at = positions(line)
        assert at == pytest.approx(at.round())
        assert (np.diff(at) >= 2).all()
        assert line.played[0].onset >= 0


def test_the_first_chord_opens_a_song_that_begins_just_after_its_beat(prior: Prior) -> None:
    early = BarGrid(np.linspace(-0.1, 8.4, 18), np.arange(0, 18, 4))
    wishes = Wishes(harmony=Harmony.parse("A"))
    for seed in range(3):
        line = written(prior, wishes, SongEvidence(grid=early), seed=seed)
        assert line.played[0].onset == 0
        assert line.played[0].duration > 0
        assert line.played[0].pitch % 12 == 9
        assert NoteVocabulary.PITCH_CLASSES[line.notes[0]] == 9


@pytest.mark.parametrize("end", [0.0, 3.1, 6.0])
def test_the_line_ends_with_the_song(prior: Prior, end: float) -> None:
    for harmony in ("auto", "C F"):
        wishes = Wishes(harmony=Harmony.parse(harmony))
        line = written(prior, wishes, SongEvidence(grid=GRID, end=end))
        position = 1 / (2 * STEPS)  # s
        assert all(note.onset < end and note.end <= end + 2 * position for note in line.played)
        assert bool(line.played) == (end > 0)
        assert not line.notes[int((end + 2 * position) * RATE) + 1 :].any()
    assert written(prior).played[-1].onset > 6


def test_a_seed_repeats_a_line(prior: Prior) -> None:
    first, again, other = (written(prior, seed=seed, candidates=2) for seed in (1, 1, 2))
    assert same(first, again)
    assert first.played == again.played
    assert not np.array_equal(first.notes, other.notes)
    assert (first.codes == other.codes).mean() < 0.6


@pytest.mark.parametrize("stream", ["notes", "codes"])
def test_notes_and_codes_have_temperatures_of_their_own(prior: Prior, stream: str) -> None:
    own, other = ("note_temperature", "temperature")
    if stream == "codes":
        own, other = other, own
    wishes = Wishes(fixed=given_line())
    assert wishes.fixed is not None
    wishes.fixed[0 if stream == "notes" else slice(1, 9)] = FREE  # only one of them is free

    def sampled(seed: int, **temperatures: Any) -> GeneratedBass:
        return written(prior, wishes, seed=seed, **temperatures)

    cold, warm = {own: 0.0, other: 1.0}, {own: 1.0, other: 0.0}
    assert same(sampled(1, **cold), sampled(2, **cold))
    assert not same(sampled(1, **warm), sampled(2, **warm))


def test_the_candidate_that_fits_best_is_performed(prior: Prior) -> None:
    line = written(prior, candidates=6)
    assert len(line.fits) == 6
    assert list(line.fits) == sorted(line.fits, reverse=True)
    assert line.fits[0] > line.fits[-1]
    assert line.rank == 0
    alone = [written(prior, candidates=1, seed=seed).fits[0] for seed in range(6)]
    assert line.fits[0] > np.mean(alone)


def test_guidance_follows_the_song_more(prior: Prior) -> None:
    def gain(guidance: float) -> float:
        lines = [written(prior, guidance=guidance, seed=seed) for seed in range(8)]
        ratios = [line.log_prob_conditional - line.log_prob_unconditional for line in lines]
        return float(np.mean(ratios))

    assert gain(4.0) > gain(1.0) > gain(0.0)


def test_given_notes_and_codes_are_kept_and_gaps_are_filled(prior: Prior) -> None:
    bass = given_line()
    fixed = bass.copy()
    fixed[:, 100:220] = FREE
    kept = np.r_[0:100, 220:FRAMES]
    for seed in range(3):
        line = written(prior, Wishes(fixed=fixed), seed=seed)
        assert np.array_equal(line.codes[:, kept], bass[1:, kept])
        assert np.array_equal(line.notes[kept], bass[0, kept])
        assert (line.codes[:, 100:220] != bass[1:, 100:220]).mean() > 0.5
        new = [note for note in line.played if 100 <= note.onset * RATE < 220]
        assert new
        assert all(note.end * RATE <= 220 + 0.1 * RATE for note in new)


def test_the_given_notes_are_among_those_that_are_played(prior: Prior) -> None:
    fixed = np.full((9, FRAMES), FREE)
    fixed[0, 100:220] = given_line()[0, 100:220]
    line = written(prior, Wishes(fixed=fixed))
    masked = np.where(fixed[0] == FREE, NoteVocabulary.REST, fixed[0])
    assert set(tokens_to_notes(masked, RATE)) <= set(line.played)
    assert np.array_equal(line.notes[100:220], fixed[0, 100:220])
    others = [note for note in line.played if not 100 <= note.onset * RATE < 220]
    assert len(others) > 2


def test_nothing_to_write(prior: Prior) -> None:
    line = written(prior, Wishes(fixed=given_line()))
    assert np.array_equal(line.codes, given_line()[1:])
    assert np.array_equal(line.notes, given_line()[0])
    assert line.log_prob_conditional == line.log_prob_unconditional == 0


def test_a_line_continues_what_leads_to_it(prior: Prior, monkeypatch: pytest.MonkeyPatch) -> None:
    played: dict[str, Any] = {}
    perform = performance.perform

    def recorded(performer: Any, notes: np.ndarray, settings: Any, **rest: Any) -> np.ndarray:
        played.update(rest, notes=notes)
        return perform(performer, notes, settings, **rest)

    monkeypatch.setattr(performance, "perform", recorded)
    lead = given_line()[:, :60]
    led = written(prior, Wishes(lead=lead, tone=3))
    assert np.array_equal(played["notes"], np.concatenate((lead[0], led.notes)))
    assert np.array_equal(played["fixed"][:, :60], lead[1:])
    assert (played["fixed"][:, 60:] == FREE).all()
    assert (played["loudness"][:60] == -1).all()
    assert played["tone"] == 3
    plain = written(prior, Wishes(tone=3))
    assert led.codes.shape == plain.codes.shape == (8, FRAMES)
    assert np.array_equal(led.notes, plain.notes)
    assert not np.array_equal(led.codes, plain.codes)


@pytest.mark.parametrize("text", ["Am", "C/E | F G", "Dm7 N Bb"])
def test_every_chord_that_is_given_opens_on_its_bass(prior: Prior, text: str) -> None:
    for seed in range(2):
        line = written(prior, Wishes(harmony=Harmony.parse(text)), seed=seed)
        assert len(line.chords) >= 2
        onsets = {round(note.onset, 6): note.pitch for note in line.played}
        for chord in line.chords:
            assert onsets[round(chord.start, 6)] % 12 == chord.bass
            inside = [n for n in line.played if chord.start <= n.onset < chord.end - 1e-6]
            assert all(note.pitch % 12 in (*chord.pitch_classes, chord.bass) for note in inside)
            if chord.end in {other.start for other in line.chords}:
                assert all(note.end <= chord.end + 1e-6 for note in inside)


def test_the_chords_that_are_heard_weigh_the_notes_unless_that_is_off(
    prior: Prior, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard = (Chord(0.0, 4.0, 1, "maj", 1), Chord(4.0, 8.0, 6, "min", 6))
    monkeypatch.setattr(HeardSong, "chords", lambda _: heard)
    monkeypatch.setattr(sampling, "CHORD_LEANING", 30.0)

    def hits(text: str) -> list[bool]:
        lines = [written(prior, Wishes(harmony=Harmony.parse(text)), seed=seed) for seed in (0, 1)]
        assert all(line.chords == heard for line in lines)
        return [
            note.pitch % 12 in chord.pitch_classes
            for line in lines
            for note in line.played
            for chord in heard
            if chord.start - 1e-6 <= note.onset < chord.end - 1e-6
        ]

    assert all(hits("auto"))
    assert not all(hits("off"))


def test_a_chord_recogniser_weighs_the_roots_that_are_heard(prior: Prior) -> None:
    named = (Chord(0.0, 4.0, 1, "maj", 1), Chord(4.0, 8.1, 6, "min", 6))
    told = written(prior, evidence=SongEvidence(grid=GRID, chords=named)).chords
    assert {chord.root for chord in told if chord.end <= 4} == {1}
    assert {chord.root for chord in told if chord.start >= 4} == {6}
    assert {chord.root for chord in written(prior).chords} != {1, 6}


def test_the_own_bass_of_the_song_weighs_the_roots_that_are_heard(prior: Prior) -> None:
    frames = round(8.1 * prior.format.frame_rate)
    times = np.arange(0, 8.1, 0.02)
    own = OwnBass(times, np.where(times < 4, 37.0, 30.0))
    told = written(prior, evidence=SongEvidence(grid=GRID, own_bass=own), frames=frames).chords
    assert {chord.root for chord in told if chord.end <= 4} == {1}
    assert {chord.root for chord in told if chord.start >= 4} == {6}
    assert {chord.root for chord in written(prior, frames=frames).chords} != {1, 6}


@pytest.mark.parametrize(("lowest", "highest"), [(23, 35), (40, 47), (33, 33)])
def test_the_range_is_kept(prior: Prior, lowest: int, highest: int) -> None:
    line = written(prior, Wishes(lowest=lowest, highest=highest))
    assert line.played
    assert all(lowest <= note.pitch <= highest for note in line.played)


def test_the_usual_range_is_e1_to_g3(prior: Prior) -> None:
    assert (E1, G3) == (28, 55)
    assert all(E1 <= note.pitch <= G3 for note in written(prior).played)


def test_hints_about_the_bars_are_followed(prior: Prior) -> None:
    hints = BarHints(bpm=97, first_downbeat=0.4, meter=(3, 4))
    line = written(prior, Wishes(hints=hints), SongEvidence())
    assert line.grid.tempo == pytest.approx(97, rel=0.05)
    assert line.grid.meter == (3, 4)
    assert line.grid.downbeats[0] == pytest.approx(0.4, abs=0.02)


def test_known_bars_need_no_hints(prior: Prior) -> None:
    line = written(prior, Wishes(hints=BarHints(bpm=97)))
    assert line.grid is GRID


def test_a_source_without_extra_guidance_changes_nothing(prior: Prior) -> None:
    plain = written(prior, temperature=0, note_temperature=0)
    neutral = written(
        prior, temperature=0, note_temperature=0, source_guidance={"drums": 1.0, "other": 1}
    )
    assert same(plain, neutral)
    more = written(prior, temperature=0, note_temperature=0, source_guidance={"drums": 6.0})
    assert more.log_prob_conditional != plain.log_prob_conditional


def test_notes_at_the_edge_of_what_is_given_do_not_reach_into_it() -> None:
    tokens = np.full(FRAMES, FREE)
    tokens[:100] = NoteVocabulary.REST
    tokens[97:100] = NoteVocabulary.onset(40)  # at 2.25 s
    given = sampling._Given.of(tokens, GRID, RATE)
    composed = GridNotes(*np.array([[0, 48, 60], [12, 6, 12], [33, 34, 35], [4, 4, 4]]))
    line = given.with_free_notes(composed, GRID)
    assert [note.pitch for note in line] == [40, 40, 40, 35]
    closed = GRID.time_of(np.flatnonzero(~given.open))
    assert closed.max() == pytest.approx(100 / RATE, abs=1 / 24)


def test_threads_are_given_back(prior: Prior) -> None:
    torch.set_num_threads(2)
    try:
        written(prior, evidence=SongEvidence(), frames=5)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(1)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("temperature", -1.0),
        ("note_temperature", -0.1),
        ("note_guidance", -1.0),
        ("top_k", -1),
        ("top_p", 0.0),
        ("min_p", 1.0),
        ("guidance", -2.0),
        ("candidates", 0),
        ("seed", -1),
    ],
)
def test_settings_out_of_range(field: str, value: float) -> None:
    with pytest.raises(UserError, match=field.replace("_", "[ -]").replace("candidates", "candid")):
        settings(**{field: value})


@pytest.mark.parametrize("field", ["temperature", "note_temperature", "guidance", "note_guidance"])
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_settings_must_be_finite(field: str, value: float) -> None:
    with pytest.raises(UserError, match=f"{field.replace('_', ' ')} is {value}"):
        settings(**{field: value})


def test_guidance_by_a_source_must_be_finite() -> None:
    with pytest.raises(UserError, match="guidance by drums is nan"):
        SamplingSettings(source_guidance={"drums": float("nan")})


def test_settings_of_a_prior_are_its_own_unless_others_are_given(prior: Prior) -> None:
    tuned = Prior(prior.config, prior.format, "test", SamplingDefaults(guidance=4.5, min_p=0.1))
    chosen = SamplingSettings.of(tuned, seed=3, temperature=None, min_p=0.0, guidance=None)
    assert chosen == SamplingSettings(guidance=4.5, min_p=0.0, seed=3)
    assert SamplingSettings.of(prior) == SamplingSettings()
    with pytest.raises(UserError, match="min-p is 2"):
        SamplingSettings.of(tuned, min_p=2)


@pytest.mark.parametrize(
    ("codes", "message"),
    [
        (song(10)[:3], r"shape \[3, 8, 10\], but the prior reads \[4, 8, frames\]"),
        (song(10)[:, :7], "the prior reads"),
        (song(10)[0], "the prior reads"),
        (song(10)[..., :0], "no frames"),
        (song(10) + 10, r"0\.\.63"),
        (song(10) - 1, r"0\.\.63"),
    ],
)
def test_codes_of_a_song_that_do_not_fit(prior: Prior, codes: np.ndarray, message: str) -> None:
    with pytest.raises(UserError, match=message):
        generate(prior, codes, SamplingSettings())


@pytest.mark.parametrize(
    ("wishes", "message"),
    [
        (Wishes(fixed=given_line(11)), r"shape \[9, 11\], but this song needs \[9, 10\]"),
        (Wishes(fixed=given_line(10)[:8]), "but this song needs"),
        (Wishes(fixed=given_line(10) + 97), "notes that the prior does not know"),
        (Wishes(fixed=given_line(10) - 2), "notes that the prior does not know"),
        (Wishes(lowest=50, highest=40), "the range of the line"),
        (Wishes(lowest=40, highest=42, harmony=Harmony.parse("C")), "no pitch of a chord"),
        (Wishes(hints=BarHints(first_downbeat=60.0)), "the first downbeat is at 60"),
        (Wishes(tone=99), "no tone 99"),
    ],
)
def test_wishes_that_do_not_fit(prior: Prior, wishes: Wishes, message: str) -> None:
    with pytest.raises(UserError, match=message):
        generate(prior, song(10), settings(**FAST), wishes)


def test_given_codes_that_the_prior_does_not_know(prior: Prior) -> None:
    fixed = given_line(10)
    fixed[3, 4] = 64
    with pytest.raises(UserError, match="given codes"):
        generate(prior, song(10), settings(**FAST), Wishes(fixed=fixed))


def test_an_unknown_source_is_named(prior: Prior) -> None:
    with pytest.raises(UserError, match="guitar"):
        written(prior, source_guidance={"guitar": 2.0})


def test_a_source_that_is_not_heard_is_dropped(prior: Prior) -> None:
    without = song()
    without[2] = prior.listener.dropped
    line = generate(prior, without, settings(**FAST), None, SongEvidence(grid=GRID))
    assert line.codes.shape == (8, FRAMES)
