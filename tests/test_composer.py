"""Lines become steps and back, sampling agrees with training, and rules hold by construction."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from shared.errors import UserError
from shared.music.bar_grid import STEPS, BarGrid
from shared.music.notes import Note
from stage2_prior.composer.features import FEATURES, PITCH, ROOT, TONES, transpose
from stage2_prior.composer.grid_notes import (
    LENGTHS,
    LOWEST,
    MAY_BEGIN,
    PITCHES,
    GridNotes,
    length_class,
)
from stage2_prior.composer.network import HORIZON, NOTHING, Composer, ComposerConfig
from stage2_prior.composer.read_song import ReadSong
from stage2_prior.composer.sampling import ComposedLine, Rules, compose
from stage2_prior.composer.sequences import (
    ComposedSong,
    ComposingSequences,
    VaryingConfig,
    collate,
    soften,
    window,
)
from stage2_prior.composer.steps import LineSteps
from stage2_prior.sampling_defaults import SamplingDefaults

CONFIG = ComposerConfig(dim=32, heads=2, depth=2, reader_depth=1, choice_dim=8, bars=4)
GRID = BarGrid(np.linspace(0, 8, 17), np.arange(0, 17, 4))
PLAIN = SamplingDefaults(note_temperature=1.0, min_p=0.0, guidance=1.0)


def composer(seed: int = 0) -> Composer:
    torch.manual_seed(seed)
    return Composer(CONFIG).eval()


def heard(positions: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).random((positions, FEATURES)).astype(np.float32)


def line(*notes: tuple[int, int, int, int]) -> GridNotes:
    table = np.array(notes, np.int64).reshape(-1, 4)
    return GridNotes(*table.T)


def written(count: int = 3, rules: Rules | None = None, **settings: Any) -> list[ComposedLine]:
    rules = rules or Rules.of_range(GRID.positions)
    chosen = replace(PLAIN, **settings)
    return compose(composer(), heard(GRID.positions), GRID, rules, chosen, count, seed=1)


def test_notes_move_to_the_nearest_simple_place_and_back_to_the_times_of_the_grid() -> None:
    played = [Note(0.01, 0.2, 40, 80), Note(0.33, 0.1, 43, 100), Note(0.755, 0.3, 38, 90)]
    notes = GridNotes.quantise(played, GRID)
    assert notes.onset.tolist() == [0, 8, 18]  # a beat, a triplet, an eighth
    assert notes.length.tolist() == [5, 2, 7]
    assert notes.loudness.tolist() == [3, 5, 4]
    np.testing.assert_allclose([n.onset for n in notes.played(GRID)], [0, 1 / 3, 0.75])


def test_what_pads_a_song_changes_none_of_its_costs() -> None:
    model = composer()
    short, long = (
        window(
            ComposedSong.of("a", "train", heard(beats * STEPS)[None], grid, line((0, 5, 40, 3))),
            0,
            beats * STEPS,
        )
        for beats, grid in ((3, BarGrid(np.arange(4.0), np.array([0]))), (16, GRID))
    )
    alone = model({**collate([short]), "hidden": torch.tensor([False])})
    beside = model({**collate([short, long]), "hidden": torch.tensor([False, False])})
    for name, nats in alone.items():
        torch.testing.assert_close(beside[name][0, : nats.shape[1]], nats[0], rtol=1e-5, atol=1e-6)


def test_notes_do_not_overlap_and_one_position_has_one_note() -> None:
    played = [Note(0.0, 1.0, 40), Note(0.02, 0.1, 50), Note(0.5, 0.4, 41)]
    notes = GridNotes.quantise(played, GRID)
    assert notes.onset.tolist() == [0, 12]
    assert notes.pitch.tolist() == [40, 41]
    assert notes.end[0] == 12


@pytest.mark.parametrize("seed", range(20))
def test_any_notes_become_a_line_whose_steps_never_go_back(seed: int) -> None:
    chance = np.random.default_rng(seed)
    onsets = np.sort(chance.uniform(-1, 9, 200))
    played = [Note(t, chance.exponential(0.2), int(chance.integers(20, 75))) for t in onsets]
    notes = GridNotes.quantise(played, GRID)
    assert len(notes) > 20
    assert (np.diff(notes.onset) >= LENGTHS[0]).all()
    assert (notes.end[:-1] <= notes.onset[1:]).all()
    assert MAY_BEGIN[notes.onset % STEPS].all()
    steps = LineSteps.of(notes, GRID.positions)
    assert ((steps.gap >= 0) & (steps.gap <= NOTHING)).all()
    begins = steps.pitch >= 0
    np.testing.assert_array_equal((steps.cursor + steps.gap)[begins], notes.onset)


def test_of_notes_too_close_together_the_longest_stays() -> None:
    played = [Note(2 / 24, 0.02, 40), Note(3 / 24, 0.3, 41), Note(0.5, 0.3, 42)]
    notes = GridNotes.quantise(played, GRID)
    assert (notes.onset.tolist(), notes.pitch.tolist()) == ([3, 12], [41, 42])


def test_a_note_before_the_song_begins_with_it() -> None:
    grid = BarGrid(np.linspace(-0.1, 3.9, 9), np.arange(0, 9, 4))
    long, short = (line((0, length, 40, -1)).played(grid)[0] for length in (12, 2))
    assert (long.onset, long.end) == (0, pytest.approx(0.4))
    assert (short.onset, short.end) == (0, pytest.approx(1 / 12))


def test_steps_follow_the_line_and_say_where_nothing_follows() -> None:
    steps = LineSteps.of(line((6, 6, LOWEST, 2), (150, 12, LOWEST + 5, -1)), 192)
    assert steps.cursor.tolist() == [0, 12, 60, 108, 162]
    assert steps.gap.tolist() == [6, NOTHING, NOTHING, 42, NOTHING]
    assert steps.pitch.tolist() == [0, -1, -1, 5, -1]
    assert steps.past_pitch.tolist() == [PITCHES, 0, PITCHES, PITCHES, 5]
    assert steps.past_gap.tolist() == [HORIZON, 6, HORIZON, HORIZON, 42]


def test_every_length_is_the_longest_that_fits() -> None:
    assert LENGTHS[length_class([2, 13, 500])].tolist() == [2, 12, 192]


def test_a_transposed_song_has_the_same_features_elsewhere() -> None:
    features = np.zeros((1, FEATURES), np.float32)
    features[0, [PITCH.start + 10, ROOT.start + 11, TONES.start + 3]] = 1
    moved = transpose(features, 2)
    assert np.flatnonzero(moved[0]).tolist() == [PITCH.start + 12, ROOT.start + 1, TONES.start + 5]
    np.testing.assert_array_equal(transpose(moved, -2), features)


def test_softened_probabilities_stay_probabilities_and_keep_their_order() -> None:
    features = heard(5)
    features[:, ROOT] /= features[:, ROOT].sum(1, keepdims=True)
    softer = soften(features, 0.5)
    np.testing.assert_allclose(softer[:, ROOT].sum(1), 1, atol=1e-4)
    assert (softer[:, ROOT].argmax(1) == features[:, ROOT].argmax(1)).all()
    assert (softer[:, ROOT].max(1) < features[:, ROOT].max(1)).all()
    assert not soften(np.zeros((2, FEATURES), np.float32), 0.5).any()


def song(track: str = "a", notes: GridNotes | None = None) -> ComposedSong:
    notes = notes or line((0, 12, 40, 1), (24, 6, 43, -1), (36, 60, 45, 3))
    return ComposedSong.of(track, "train", heard(GRID.positions)[None], GRID, notes)


def test_a_batch_depends_on_nothing_but_seed_step_and_item() -> None:
    sequences = ComposingSequences([song("a"), song("b")], 2, VaryingConfig(hide_song=0.5))
    whole = sequences.batch(3, 7, range(4))
    again = sequences.batch(3, 7, range(2, 4))
    for name in ("hidden", "positions"):
        torch.testing.assert_close(whole[name][2:], again[name])
    steps = again["cursor"].shape[1]
    torch.testing.assert_close(whole["cursor"][2:, :steps], again["cursor"])


def test_a_window_in_another_key_has_its_line_in_that_key() -> None:
    there = window(song(), 0, 96, semitones=3)
    here = window(song(), 0, 96)
    sounding = here["pitch"] >= 0
    np.testing.assert_array_equal(there["pitch"][sounding], here["pitch"][sounding] + 3)


def test_padding_costs_nothing() -> None:
    model = composer()
    short, long = song(), song(notes=line(*((12 * i, 12, 40, 2) for i in range(16))))
    with torch.no_grad():
        alone = model({**collate([window(short, 0, 192)]), "hidden": torch.tensor([False])})
        both = collate([window(short, 0, 192), window(long, 0, 192)])
        beside = model({**both, "hidden": torch.tensor([False, True])})
    steps = alone["pitch"].shape[1]
    for name in alone:
        torch.testing.assert_close(beside[name][0, :steps], alone[name][0], atol=1e-4, rtol=1e-4)
        assert not beside[name][0, steps:].any()


def test_an_older_checkpoint_whose_weight_of_hearing_is_a_number_is_read() -> None:
    weights = {**composer().state_dict(), "heard_pitch": torch.tensor(0.7)}
    model = composer(seed=1)
    model.load_state_dict(weights)
    assert torch.equal(model.heard_pitch, torch.tensor([0.7]))


def test_sampling_gives_a_line_the_probability_that_training_gives_it() -> None:
    """The sampled line, read as in training, costs what sampling said."""
    rules = Rules.of_range(GRID.positions, LOWEST, LOWEST + PITCHES - 1)
    model = composer()
    with torch.no_grad():
        # All notes are short, because sampling alone knows that none may outlast the song.
        model.length_head.weight.zero_()
        model.length_head.bias.copy_(-1e4 * torch.arange(len(LENGTHS)))
        model.heard_pitch.fill_(2.0)
    features = heard(GRID.positions)
    for made in compose(model, features, GRID, rules, PLAIN, 3, seed=1):
        assert len(made.notes) > 5
        read = ComposedSong.of("x", "valid", features[None], GRID, made.notes)
        batch = collate([window(replace(read, features=features[None]), 0, GRID.positions)])
        for hidden, expected in ((False, made.log_prob), (True, made.log_prob_alone)):
            with torch.no_grad():
                nats = model({**batch, "hidden": torch.tensor([hidden])})
            cost = sum(float(nats[name].sum()) for name in ("onset", "pitch", "length"))
            assert cost == pytest.approx(-expected, rel=1e-4)


def test_a_line_keeps_to_the_grid_the_range_and_the_end() -> None:
    for made in written(5, Rules.of_range(GRID.positions, 40, 47)):
        notes = made.notes
        assert len(notes) > 0
        assert MAY_BEGIN[notes.onset % STEPS].all()
        assert (notes.length >= LENGTHS[0]).all()
        assert (notes.onset[1:] >= notes.end[:-1]).all()
        assert ((notes.pitch >= 40) & (notes.pitch <= 47)).all()
        assert notes.end[-1] <= GRID.positions + LENGTHS[0]


def test_at_a_fast_tempo_notes_last_eighty_milliseconds_all_the_same() -> None:
    fast = BarGrid(np.linspace(0, 4, 17), np.arange(0, 17, 4))  # of 240 beats per minute
    rules = Rules.of_range(fast.positions)
    lines = compose(composer(), heard(fast.positions), fast, rules, PLAIN, 8, seed=1)
    played = [note for made in lines for note in made.notes.played(fast)]
    # Just before the end of the song there is less room.
    durations = [note.duration for note in played if note.onset < 3.9]
    assert len(durations) > 16
    assert min(durations) >= 0.0799


def test_a_seed_repeats_a_line_and_the_best_comes_first() -> None:
    first, second = written(4), written(4)
    np.testing.assert_array_equal(first[0].notes.onset, second[0].notes.onset)
    fits = [each.fit for each in first]
    assert fits == sorted(fits, reverse=True)


def test_given_notes_are_kept_and_the_rest_of_the_closed_part_is_silent() -> None:
    given = line((12, 6, 35, 4), (60, 24, 38, -1))
    open_ = np.ones(GRID.positions, np.bool_)
    open_[:96] = False
    for made in written(3, Rules.of_range(GRID.positions).with_given(given, open_)):
        kept = made.notes.between(0, 96)
        assert kept.onset.tolist() == [12, 60]
        assert kept.length.tolist() == [6, 24]
        assert kept.pitch.tolist() == [35, 38]
        assert len(made.notes) > 2


def test_chords_are_opened_by_their_bass_and_allow_only_their_tones() -> None:
    starts = np.zeros(GRID.positions, np.bool_)
    starts[[0, 96]] = True
    classes = np.zeros((GRID.positions, 12), np.bool_)
    classes[:96, [0, 4, 7]] = True
    classes[96:, [9, 0]] = True
    classes[0], classes[96] = np.arange(12) == 0, np.arange(12) == 9
    rules = Rules.of_range(GRID.positions).with_chords(classes, starts)
    for made in written(6, rules):
        first, second = made.notes.between(0, 96), made.notes.between(96, 192)
        assert (first.onset[0], first.pitch[0] % 12) == (0, 0)
        assert (second.onset[0], second.pitch[0] % 12) == (96, 9)
        assert set((first.pitch % 12).tolist()) <= {0, 4, 7}
        assert set((second.pitch % 12).tolist()) <= {9, 0}
        assert (first.end <= 96).all()


def test_a_range_without_the_tones_of_a_chord_is_refused() -> None:
    starts = np.zeros(GRID.positions, np.bool_)
    classes = np.tile(np.arange(12) == 1, (GRID.positions, 1))
    with pytest.raises(UserError, match="no pitch of a chord"):
        Rules.of_range(GRID.positions, 40, 42).with_chords(classes, starts)
    with pytest.raises(UserError, match="the range of the line"):
        Rules.of_range(GRID.positions, 50, 40)


def test_leaning_decides_where_the_network_does_not() -> None:
    leaning = np.where(np.arange(12) == 5, 0, -50) + np.zeros((GRID.positions, 1))
    for made in written(2, Rules.of_range(GRID.positions).leaning_to(leaning)):
        assert set((made.notes.pitch % 12).tolist()) == {5}


def same_lines(some: list[ComposedLine], others: list[ComposedLine]) -> None:
    for one, other in zip(some, others, strict=True):
        for name in ("onset", "length", "pitch", "loudness"):
            assert getattr(one.notes, name).tolist() == getattr(other.notes, name).tolist()
        assert one.log_prob == pytest.approx(other.log_prob, rel=1e-4)
        assert one.log_prob_alone == pytest.approx(other.log_prob_alone, rel=1e-4)


def test_without_guidance_leaving_out_what_it_compares_with_changes_nothing() -> None:
    """A guidance that differs from 1 by nothing that counts makes the composer compare."""
    same_lines(written(8), written(8, guidance=1 + 1e-9))


def test_leaving_out_lines_that_have_ended_changes_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ending = [written(8, guidance=guidance) for guidance in (1.0, 2.0)]
    monkeypatch.setattr("stage2_prior.composer.sampling.MOST_LASTING", 0.0)
    for lines, guidance in zip(ending, (1.0, 2.0), strict=True):
        assert len({len(line.notes) for line in lines}) > 2  # they end at different steps
        same_lines(lines, written(8, guidance=guidance))


def test_a_song_is_read_in_parts_as_it_is_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    made, end = composer(), GRID.positions
    features = torch.from_numpy(heard(end))
    place = torch.from_numpy(GRID.place_in_bar(np.arange(end)))
    hidden = torch.tensor([False, True])
    both = features.expand(2, -1, -1), place.expand(2, -1), hidden
    ahead = torch.arange(end)[:, None] + torch.arange(HORIZON)
    for size in (4 * STEPS, 12 * STEPS, end):
        monkeypatch.setattr("stage2_prior.composer.read_song.READ_AT_ONCE", size)
        with torch.inference_mode():
            expected = made.reader(*both)
            song = ReadSong(made, features, place, hidden)
            assert (song.versions, song.end) == (2, end)
            torch.testing.assert_close(song.at(torch.arange(end)), expected)
            choices = F.pad(made.onset_choices(expected, place), (0, 0, 0, HORIZON))
            torch.testing.assert_close(song.onset_choices(ahead), choices[:, ahead])
        assert torch.equal(song.heard(ahead[:2, 0])[0], features[:2])
        assert not song.heard(ahead[:2, 0])[1].any()


def test_parts_of_a_song_are_forgotten_behind_all_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = written(8)
    monkeypatch.setattr("stage2_prior.composer.read_song.READ_AT_ONCE", 4 * STEPS)
    held = set()
    choices = ReadSong.onset_choices

    def watched(song: ReadSong, positions: torch.Tensor) -> torch.Tensor:
        found = choices(song, positions)
        first = int(positions.min()) // (4 * STEPS)
        assert min(song._choices) >= min(first, song._last)
        held.add(min(song._choices))
        return found

    monkeypatch.setattr(ReadSong, "onset_choices", watched)
    same_lines(whole, written(8))
    assert len(held) > 2
