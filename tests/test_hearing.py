"""What the listener hears in a whole song, and what of it is read at the positions of the bars."""

import numpy as np
import pytest
import torch
from scipy.special import logit

from shared.errors import UserError
from shared.music.bar_grid import STEPS, BarGrid
from shared.music.notes import NoteVocabulary
from stage2_prior.composer.features import (
    FEATURES,
    LARGEST_LOWERING,
    ONSET,
    PITCH,
    READ_SECONDS,
    REST,
    ROOT,
    TONES,
    Hearing,
    guided_hearing,
    listen,
    probabilities,
)
from stage2_prior.composer.grid_notes import LOWEST
from stage2_prior.listener.network import Heard, Listener, ListenerConfig
from tests.toy_songs import FORMAT

CONFIG = ListenerConfig(dim=16, heads=2, depth=1, feedforward=1, window_seconds=1)
RATE = FORMAT.frame_rate


@pytest.fixture(scope="module")
def listener() -> Listener:
    torch.manual_seed(0)
    model = Listener(CONFIG, FORMAT).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    return model.requires_grad_(False)


def codes(frames: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 64, (4, 8, frames), dtype=np.uint16)


def heard_alone(listener: Listener, part: np.ndarray) -> Heard:
    return listener(torch.from_numpy(part.astype(np.int64))[None])


def test_probabilities_are_those_of_the_logits() -> None:
    torch.manual_seed(0)
    heard = Heard(*(torch.randn(1, 3, size) for size in (NoteVocabulary.size, 12, 12, 2)))
    features = probabilities(heard)
    note = heard.note[0].softmax(-1).numpy()
    held, struck = (token(LOWEST + 5) for token in (NoteVocabulary.sustain, NoteVocabulary.onset))
    assert features[:, PITCH.start + 5] == pytest.approx(note[:, held] + note[:, struck])
    assert features[:, ONSET] == pytest.approx(note[:, NoteVocabulary.IS_ONSET].sum(1))
    assert features[:, REST] == pytest.approx(note[:, NoteVocabulary.REST])
    assert features[:, PITCH].sum(1) + features[:, REST] == pytest.approx(1)
    assert features[:, ROOT].sum(1) == pytest.approx(1)
    assert features[:, TONES] == pytest.approx(heard.tones[0].sigmoid().numpy())
    assert features.shape == (3, FEATURES)


@pytest.mark.parametrize("frames", [1, 20, 43])
def test_a_song_that_fits_is_heard_in_one_window(listener: Listener, frames: int) -> None:
    assert listener.window == 43
    hearing = listen(listener, codes(frames))
    heard = heard_alone(listener, codes(frames))
    np.testing.assert_allclose(hearing.features, probabilities(heard), atol=1e-6)
    np.testing.assert_allclose(hearing.beats, heard.beats[0].sigmoid(), atol=1e-6)
    assert hearing.frame_rate == RATE


@pytest.mark.parametrize("frames", [44, 64, 65, 150])
def test_a_frame_of_a_longer_song_is_heard_in_the_window_whose_middle_is_nearest(
    listener: Listener, frames: int
) -> None:
    song = codes(frames)
    hearing = listen(listener, song)
    length = listener.window
    starts = [*range(0, frames - length, length // 2), frames - length]
    windows = [heard_alone(listener, song[..., start : start + length]) for start in starts]
    features = [probabilities(each) for each in windows]
    for frame in range(frames):
        owner = min(range(len(starts)), key=lambda i: abs(frame - starts[i] - length / 2))
        inside = frame - starts[owner]
        assert 0 <= inside < length
        np.testing.assert_allclose(hearing.features[frame], features[owner][inside], atol=1e-5)
        expected = windows[owner].beats[0, inside].sigmoid()
        np.testing.assert_allclose(hearing.beats[frame], expected, atol=1e-5)


def test_hidden_codes_are_not_heard(listener: Listener) -> None:
    song, other = codes(60), codes(60)
    hidden = np.zeros(song.shape, np.bool_)
    hidden[3] = hidden[:, 2] = True
    other[hidden] = 63 - other[hidden]
    first, second = (listen(listener, each, hidden) for each in (song, other))
    np.testing.assert_array_equal(first.features, second.features)
    assert not np.allclose(first.features, listen(listener, song).features)


def hearing_of(features: np.ndarray, rate: float = 10.0) -> Hearing:
    return Hearing(features.astype(np.float32), np.zeros((len(features), 2), np.float32), rate)


def test_harmony_is_averaged_from_a_position_on() -> None:
    frames = 400
    rate = 50.0
    features = np.random.default_rng(0).random((frames, FEATURES))
    grid = BarGrid(np.linspace(0, 8, 17), np.arange(0, 17, 4))
    read = hearing_of(features, rate).on_grid(grid)
    assert read.shape == (grid.positions, FEATURES)
    assert read.dtype == np.float32
    count = round(READ_SECONDS * rate)
    others = np.arange(FEATURES) != ONSET
    for position in (0, 7, STEPS, 100, grid.positions - 1):
        first = round(float(grid.time_of(position)) * rate)
        expected = features[first : first + count].mean(0)
        np.testing.assert_allclose(read[position, others], expected[others], atol=1e-5)


def test_an_onset_counts_at_the_positions_near_it() -> None:
    rate = 100.0
    features = np.zeros((200, FEATURES))
    features[100, ONSET] = 0.8
    grid = BarGrid(np.array([0.0, 1.0, 2.0]), np.array([0]))  # a position each 83 ms
    read = hearing_of(features, rate).on_grid(grid)
    assert np.flatnonzero(read[:, ONSET]).tolist() == [STEPS]
    assert read[STEPS, ONSET] == pytest.approx(0.8)
    features = np.roll(features, 3, axis=0)
    assert hearing_of(features, rate).on_grid(grid)[STEPS, ONSET] == pytest.approx(0.8)
    assert hearing_of(np.roll(features, 2, axis=0), rate).on_grid(grid)[STEPS, ONSET] == 0


def test_outside_the_song_nothing_is_read() -> None:
    grid = BarGrid(np.linspace(-0.75, 3.25, 9), np.arange(0, 9, 4))
    read = hearing_of(np.ones((10, FEATURES)), 10.0).on_grid(grid)
    frame = np.round(grid.time_of(np.arange(grid.positions)) * 10)
    inside = (frame >= 0) & (frame < 10)
    assert 0 < inside.sum() < grid.positions
    assert (read[inside] == 1).all()
    assert not read[~inside].any()


def test_a_source_that_is_as_telling_as_it_is_changes_nothing(listener: Listener) -> None:
    plain = listen(listener, codes(60))
    for guidance in ({}, {"drums": 1.0}, {"drums": 1, "vocals": 1.0}):
        guided = guided_hearing(listener, codes(60), guidance)
        np.testing.assert_array_equal(guided.features, plain.features)
        np.testing.assert_array_equal(guided.beats, plain.beats)


def test_a_source_that_tells_nothing_is_left_out(listener: Listener) -> None:
    hidden = np.zeros((4, 8, 60), np.bool_)
    hidden[2] = True
    without = listen(listener, codes(60), hidden)
    guided = guided_hearing(listener, codes(60), {"drums": 0})
    assert FORMAT.sources.index("drums") == 2
    np.testing.assert_allclose(guided.features, without.features.clip(1e-4, 1 - 1e-4), atol=1e-5)
    np.testing.assert_allclose(guided.beats, without.beats, atol=1e-4)


def test_the_log_odds_move_away_from_those_without_the_sources(listener: Listener) -> None:
    guidance = {"drums": 2.5, "other": 0.5}
    whole = listen(listener, codes(30))
    guided = guided_hearing(listener, codes(30), guidance)
    expected = logit(whole.features.astype(np.float64))
    for source, scale in guidance.items():
        hidden = np.zeros((4, 8, 30), np.bool_)
        hidden[FORMAT.sources.index(source)] = True
        without = listen(listener, codes(30), hidden)
        expected = (
            expected + (scale - 1) * logit(whole.features) - (scale - 1) * logit(without.features)
        )
    likely = (whole.features > 0.01) & (guided.features > 0.01) & (guided.features < 0.99)
    assert likely.sum() > 100
    np.testing.assert_allclose(logit(guided.features)[likely], expected[likely], atol=1e-3)


def test_an_unknown_source_is_named(listener: Listener) -> None:
    with pytest.raises(UserError, match="no source 'guitar, piano': choose from vocals, bass"):
        guided_hearing(listener, codes(5), {"piano": 2, "drums": 2, "guitar": 1})


def test_rests_are_lowered_until_they_are_a_share_of_the_song() -> None:
    features = np.full((40, FEATURES), 0.1, np.float32)
    features[:30, REST], features[30:, REST] = 0.9, 0.2
    heard = Hearing(features, np.zeros((40, 2), np.float32), 43.0)
    nats = heard.nats_for_rests(0.4)
    lowered = heard.with_fewer_rests(nats)
    assert lowered.features[:, REST].mean() == pytest.approx(0.4, abs=1e-3)
    assert heard.nats_for_rests(0.725) == 0
    features[:, REST] = 1.0  # no more can be done than is allowed
    assert heard.nats_for_rests(0.4) == pytest.approx(LARGEST_LOWERING, abs=1e-6)
