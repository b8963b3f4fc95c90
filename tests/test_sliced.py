"""Sounds in slices equal whole sounds, in memory and on the disk."""

from pathlib import Path

import numpy as np
import pytest
from scipy.signal import resample_poly

from shared.sound import decimated
from shared.sound.decimated import DecimatedFrames
from shared.sound.samples import rms
from shared.sound.sliced import Derived, StoredSamples, blocks_of, stored, whole

SOUND = np.random.default_rng(0).standard_normal((2, 5000)).astype(np.float32)
SOUND[:, 2000:3000] = 0  # silence is not written to the disk


@pytest.mark.parametrize("most_in_memory", [0, 1500, 10_000])
def test_what_was_stored_is_read_back(most_in_memory: int, tmp_path: Path) -> None:
    kept = StoredSamples(2, tmp_path, most_in_memory)
    for start in range(0, 5000, 1000):
        kept.append(SOUND[:, start : start + 1000])
    assert kept.shape == (2, 5000)
    np.testing.assert_array_equal(kept[:, :], SOUND)
    np.testing.assert_array_equal(kept[1:, 999:2002], SOUND[1:, 999:2002])
    assert kept[:, 5000:].shape == (2, 0)
    assert list(tmp_path.iterdir()) == []  # the file has no name


def test_more_can_be_appended_after_reading() -> None:
    kept = StoredSamples(2)
    assert kept[:, :].shape == (2, 0)
    kept.append(SOUND[:, :10])
    np.testing.assert_array_equal(kept[:, 5:10], SOUND[:, 5:10])
    kept.append(SOUND[:, 10:20])
    np.testing.assert_array_equal(whole(kept), SOUND[:, :20])


def test_derived_samples_are_computed_from_slices() -> None:
    other = stored(blocks_of(SOUND, 999), 2)
    difference = Derived(lambda a, b: a - 2 * b, SOUND, other)
    assert difference.shape == (2, 5000)
    np.testing.assert_array_equal(difference[:, 10:20], -SOUND[:, 10:20])
    np.testing.assert_array_equal(difference[:1, :], -SOUND[:1])
    mono = Derived(lambda a: a.mean(0, keepdims=True), SOUND, channels=1)
    assert mono.shape == (1, 5000)


def test_the_level_of_slices_is_that_of_the_whole() -> None:
    assert rms(Derived(lambda a: a, SOUND)) == pytest.approx(rms(SOUND), rel=1e-12)
    assert rms(StoredSamples(2)) == 0


@pytest.mark.parametrize("factor", [1, 4, 7])
def test_frames_of_blocks_are_those_of_the_whole(
    factor: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decimated, "FRAMES", 3)
    frames = DecimatedFrames(SOUND, factor, 64, 16)
    low = resample_poly(SOUND.mean(0, dtype=np.float64), 1, factor)
    padded = np.pad(low, 32)
    expected = np.lib.stride_tricks.sliding_window_view(padded, 64)[::16]
    assert frames.count == len(expected)
    np.testing.assert_array_equal(np.concatenate([*frames.blocks()]), expected)


def test_a_short_sound_can_count_as_longer() -> None:
    frames = DecimatedFrames(SOUND[:, :10], 1, 64, 16, shortest=64)
    assert frames.count == 5
    assert not frames.read(4, 5).any()
