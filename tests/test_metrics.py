"""SDR equals museval's; perplexity and usage are those of known streams."""

from itertools import pairwise
from types import ModuleType

import numpy as np
import pytest

from shared.metrics import SdrMeter, code_usage, count_codes, median_sdr, sdr_windows
from stage1_vqvae.bss_eval import load_museval

RATE = 2000
Song = tuple[np.ndarray, np.ndarray]


@pytest.fixture(scope="module")
def museval_metrics() -> ModuleType:
    return load_museval()


@pytest.fixture
def song() -> Song:
    """References and estimates of three sources, 4.35 s."""
    random = np.random.default_rng(0)
    references = random.standard_normal((3, 2, 4 * RATE + 700)).astype(np.float32)
    noise = random.standard_normal(references.shape).astype(np.float32)
    levels = np.array([[[0.5]], [[1.0]], [[0.1]]], np.float32)
    return references, 0.8 * references + levels * noise


def museval_sdr(museval: ModuleType, references: np.ndarray, estimates: np.ndarray) -> np.ndarray:
    # Its input is [sources, samples, channels].
    sdr = museval.bss_eval(
        references.swapaxes(1, 2).astype(np.float64),
        estimates.swapaxes(1, 2).astype(np.float64),
        window=RATE,
        hop=RATE,
        filters_len=64,
    )[0]
    return np.asarray(sdr)


def test_sdr_equals_museval(museval_metrics: ModuleType, song: Song) -> None:
    references, estimates = song
    references[1, :, RATE : 2 * RATE] = 0  # a source that pauses
    estimates[2, :, 2 * RATE : 3 * RATE] = 0  # an estimate that falls silent
    ours = sdr_windows(references, estimates, RATE)
    assert ours.shape == (3, 4)
    assert np.isnan(ours).all(0).tolist() == [False, True, True, False]
    np.testing.assert_allclose(
        ours, museval_sdr(museval_metrics, references, estimates), rtol=1e-8, atol=1e-8
    )


def test_channels_that_cancel_count_as_silence_as_museval_has_it(
    museval_metrics: ModuleType, song: Song
) -> None:
    references, estimates = song
    references[1, 1, RATE : 2 * RATE] = -references[1, 0, RATE : 2 * RATE]
    ours = sdr_windows(references, estimates, RATE)
    assert np.isnan(ours).all(0).tolist() == [False, True, False, False]
    np.testing.assert_allclose(
        ours, museval_sdr(museval_metrics, references, estimates), rtol=1e-8, atol=1e-8
    )


def test_sdr_equals_museval_under_a_second(museval_metrics: ModuleType, song: Song) -> None:
    references, estimates = song[0][..., :1500], song[1][..., :1500]
    np.testing.assert_allclose(
        sdr_windows(references, estimates, RATE),
        museval_sdr(museval_metrics, references, estimates),
        rtol=1e-8,
    )


def test_a_source_silent_throughout_does_not_silence_the_others(song: Song) -> None:
    references, estimates = song
    expected = sdr_windows(references[1:], estimates[1:], RATE)
    references[0] = 0
    sdr = sdr_windows(references, estimates, RATE)
    assert np.isnan(sdr[0]).all()
    np.testing.assert_array_equal(sdr[1:], expected)


def test_a_silent_estimate_scores_zero(song: Song) -> None:
    references, estimates = song
    estimates[1] = 0
    np.testing.assert_array_equal(sdr_windows(references, estimates, RATE)[1], np.zeros(4))


@pytest.mark.filterwarnings("error")
def test_silence_rebuilt_as_silence_counts_as_nothing(song: Song) -> None:
    references, estimates = song
    references[0], estimates[0] = 0, 0
    sdr = sdr_windows(references, estimates, RATE)
    assert np.isnan(sdr[0]).all()
    assert np.isfinite(sdr[1:]).all()


def test_a_perfect_estimate_is_infinite(song: Song) -> None:
    assert np.isposinf(sdr_windows(song[0], song[0], RATE)).all()


def test_sdr_of_a_scaled_copy_is_known(song: Song) -> None:
    np.testing.assert_allclose(sdr_windows(song[0], 0.9 * song[0], RATE), 20, atol=1e-4)


def test_pieces_in_any_order_give_the_sdr_of_the_whole(song: Song) -> None:
    references, estimates = song
    references[1, :, RATE : 2 * RATE] = 0
    estimates[2] = 0
    num_samples = references.shape[-1]
    edges = [0, 700, RATE, 2 * RATE + 1, 4 * RATE + 300, num_samples]
    meter = SdrMeter(3, num_samples, RATE)
    for start, stop in reversed(list(pairwise(edges))):
        meter.add(start, references[..., start:stop], estimates[..., start:stop])
    expected = sdr_windows(references, estimates, RATE)
    assert np.isnan(expected).all(0).tolist() == [False, True, False, False]
    np.testing.assert_allclose(meter.windows(), expected, rtol=1e-12)


def test_a_sound_in_the_last_incomplete_second_counts_as_a_sound(song: Song) -> None:
    """A source that sounds there only is silent in every window, so that no window is scored."""
    references, estimates = song
    references[0, :, : 4 * RATE] = 0
    assert np.isnan(sdr_windows(references, estimates, RATE)).all()


def test_sdr_refuses_unequal_shapes(song: Song) -> None:
    with pytest.raises(ValueError, match="must both be"):
        sdr_windows(song[0], song[1][..., 1:], RATE)


def test_median_leaves_out_nan() -> None:
    windows = np.array([[1.0, np.nan, 3.0, 10.0], [np.nan] * 4])
    np.testing.assert_array_equal(median_sdr(windows), [3.0, np.nan])


def test_code_usage_of_known_streams() -> None:
    codes = np.array([[[0] * 8, [0, 1, 2, 3] * 2]], np.uint16)
    usage = code_usage(count_codes(codes, cardinality=8))
    np.testing.assert_allclose(usage.perplexity, [[1, 4]])
    np.testing.assert_allclose(usage.entropy, [[0, 2]])
    np.testing.assert_allclose(usage.usage, [[1 / 8, 4 / 8]])


def test_an_entry_that_occurs_once_is_used() -> None:
    codes = np.array([[[0, 0, 0, 5]]], np.uint16)
    np.testing.assert_allclose(code_usage(count_codes(codes, 8)).usage, [[2 / 8]])


def test_counts_add_up_over_songs() -> None:
    codes = np.random.default_rng(1).integers(0, 5, (2, 3, 40)).astype(np.uint16)
    parts = count_codes(codes[..., :15], 5) + count_codes(codes[..., 15:], 5)
    np.testing.assert_array_equal(parts, count_codes(codes, 5))


def test_count_codes_refuses_a_code_out_of_range() -> None:
    with pytest.raises(ValueError, match="code 5"):
        count_codes(np.full((1, 1, 2), 5, np.uint16), 5)
