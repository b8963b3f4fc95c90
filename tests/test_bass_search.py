"""A bass must be decoded, separated and pitched, whatever the level and the fade of the song."""

import warnings

import numpy as np
import pytest

from shared.sound.samples import Samples, rms
from stage2_prior.bass_search import BassSearch, search_bass

RATE = 44100
TIME = np.arange(4 * RATE) / RATE


def stereo(mono: np.ndarray) -> Samples:
    return np.stack([mono, mono]).astype(np.float32)


def line() -> Samples:
    """Half a second each of E1, A1, E1 and so on, with one overtone."""
    hertz = np.where((2 * TIME).astype(int) % 2, 55.0, 41.2)
    phase = 2 * np.pi * np.cumsum(hertz) / RATE
    return stereo(0.2 * np.sin(phase) + 0.1 * np.sin(2 * phase))


def kicks() -> Samples:
    """Four kick drums a second, which fall from 150 to 50 Hz within 50 ms and die away."""
    since = TIME % 0.25
    phase = 2 * np.pi * (50 * since + 100 * 0.015 * (1 - np.exp(-since / 0.015)))
    return stereo(0.6 * np.exp(-since / 0.03) * np.sin(phase))


def search(song: Samples, bass: Samples) -> BassSearch:
    return search_bass(song, rms(bass), bass, RATE, 0.2)


def test_a_line_alone_is_all_bass() -> None:
    found = search(line(), line())
    assert found.decoded == found.separated == pytest.approx(1)
    assert found.pitched > 0.85
    assert found.found


def test_kicks_that_were_taken_for_a_bass_are_not_pitched() -> None:
    found = search(kicks(), kicks())
    assert found.separated == pytest.approx(1)
    assert not found.found
    assert found.pitched < 0.5 * search(line(), line()).pitched


@pytest.mark.parametrize("loudness", [0.001, 1.0])
def test_neither_loudness_nor_a_fade_matters(loudness: float) -> None:
    song, bass = line() + 0.5 * kicks(), line()
    fade = np.float32(loudness) * np.linspace(1, 0, len(TIME), dtype=np.float32)
    before, after = search(song, bass), search(fade * song, fade * bass)
    assert after.share == pytest.approx(before.share, rel=0.1)


@pytest.mark.parametrize("seconds", [0.001, 0.05, 0.18])
def test_a_song_shorter_than_a_window_is_no_problem(seconds: float) -> None:
    short = line()[:, : round(seconds * RATE)]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = search(short, short)
    assert 0 < found.pitched <= 1
    assert found.separated == pytest.approx(1)


def test_the_weakest_of_the_three_decides() -> None:
    assert BassSearch(0.3, 0.5, 0.4, 0.2).share == 0.3
    assert BassSearch(0.5, 0.3, 0.4, 0.2).share == 0.3
    assert BassSearch(0.5, 0.4, 0.3, 0.2).share == 0.3
    assert BassSearch(0.3, 0.3, 0.3, 0.2).found
    assert BassSearch(0.3, 0.2, 0.3, 0.2).found
    assert not BassSearch(0.3, 0.19, 0.3, 0.2).found


def test_it_says_what_was_found() -> None:
    assert str(BassSearch(0.3, 0.5, 0.4, 0.21)) == (
        "the song has a bass (share 0.30, from 0.21 on it counts)"
    )
    assert str(BassSearch(0.1, 0.5, 0.4, 0.21)) == ("the song has no bass (share 0.10, below 0.21)")


def test_the_pitched_part_is_that_of_librosa_and_does_not_depend_on_blocks(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import librosa
    from scipy.signal import resample_poly

    from shared.sound import decimated

    song = line() + kicks()
    lows = resample_poly(song.mean(0, dtype=np.float64), 1, 8)
    magnitudes = np.abs(librosa.stft(lows, n_fft=1024, hop_length=256))
    hertz = np.fft.rfftfreq(1024, 8 / RATE)
    chosen = magnitudes[(hertz > 30) & (hertz < 400)]
    held = librosa.decompose.hpss(chosen, kernel_size=(7, 11))[0]
    expected = np.linalg.norm(held) / np.linalg.norm(chosen)
    for size in (2048, 10, 5, 2):
        monkeypatch.setattr(decimated, "FRAMES", size)
        assert search(song, song).pitched == pytest.approx(expected, rel=1e-9)
