"""The errors of the search for a bass are counted, and its threshold is fitted to them."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from benchmarks.bass_search import (
    Searched,
    cross_validated_errors,
    errors,
    fit_threshold,
    report,
    search_songs,
)
from shared.codes.codec import Codes
from shared.errors import UserError
from shared.songs.cache import build_cache
from shared.sound.samples import Samples
from shared.sound.sliced import SlicedSamples, whole
from shared.sources import SOURCES
from tests.conftest import WriteSong
from tests.oracle_codec import RATE, OracleCodec


class LowsCodec(OracleCodec):
    """Takes all that lies below 200 Hz for the bass."""

    def __init__(self) -> None:
        super().__init__(np.ones((len(SOURCES), 2, 2), np.float32))

    def decode(
        self, codes: Codes, num_samples: int, sources: Sequence[str] | None = None
    ) -> Samples:
        return self.separate(self.encoded)[0]

    def separate(
        self,
        mixture: SlicedSamples,
        sources: Sequence[str] | None = None,
        codes: Codes | None = None,
    ) -> Samples:
        spectrum = np.fft.rfft(whole(mixture))
        spectrum[:, np.fft.rfftfreq(mixture.shape[-1], 1 / RATE) > 200] = 0
        return np.fft.irfft(spectrum, mixture.shape[-1])[None].astype(np.float32)


def found(with_bass: Sequence[float], without: Sequence[float]) -> list[Searched]:
    return [
        *(Searched(f"song {index}", True, share) for index, share in enumerate(with_bass)),
        *(Searched(f"song {index}", False, share) for index, share in enumerate(without)),
    ]


def tone(hertz: float, level: float) -> np.ndarray:
    mono = level * np.sin(2 * np.pi * hertz * np.arange(2 * RATE) / RATE)
    return np.stack([mono, mono], axis=1)


def test_songs_are_searched_with_and_without_their_bass(
    write_song: WriteSong, tmp_path: Path
) -> None:
    none = np.zeros((2 * RATE, 2))
    songs = {
        "usual": (tone(60, 0.2), tone(1000, 0.2)),
        "low piano": (tone(60, 0.2), tone(100, 0.2)),
        "hardly any": (tone(60, 0.002), tone(1000, 0.2)),
    }
    for name, (bass, other) in songs.items():
        write_song(tmp_path / "train" / name, bass=bass, other=other, drums=none, vocals=none)
    searched = list(search_songs(build_cache(tmp_path).songs, LowsCodec(), 1.0))
    shares = {(each.song, each.has_bass): each.share for each in searched}
    assert len(shares) == len(searched)
    assert set(shares) == {
        ("usual", True),
        ("usual", False),
        ("low piano", True),
        ("low piano", False),
        ("hardly any", False),
    }
    assert shares["usual", True] == pytest.approx(0.5**0.5, rel=0.02)
    assert shares["usual", False] < 0.01
    assert shares["low piano", False] > 0.8
    assert shares["hardly any", False] < 0.01


def test_false_alarms_and_misses_are_counted() -> None:
    songs = found(with_bass=[0.1, 0.3, 0.2], without=[0.25, 0.1])
    assert errors(songs, 0.2) == (1, 1)
    assert errors(songs, 0.05) == (2, 0)
    assert errors(songs, 0.35) == (0, 3)


def test_the_fitted_threshold_lies_in_the_middle_of_those_that_err_least() -> None:
    assert fit_threshold(found([0.4, 0.5], [0.1, 0.05])) == pytest.approx(0.2)
    # One song with a bass is softer than all without: it is given up.
    assert fit_threshold(found([0.4, 0.5, 0.02], [0.1, 0.05])) == pytest.approx(0.2)


def test_false_alarms_and_misses_weigh_the_same_however_many_songs_there_are() -> None:
    # From 0.3 on one of two basses is missed; below it, one song of four is a false alarm.
    songs = found(with_bass=[0.2, 0.8], without=[0.3, 0.1, 0.1, 0.1])
    assert fit_threshold(songs) == pytest.approx((0.1 * 0.2) ** 0.5)


@pytest.mark.parametrize("songs", [found([0.3, 0.4], []), found([], [0.3]), []])
def test_a_threshold_needs_both_kinds_of_songs(songs: list[Searched]) -> None:
    with pytest.raises(UserError, match="songs with a bass and songs without"):
        fit_threshold(songs)


def test_no_song_is_judged_by_a_threshold_that_was_fitted_to_it() -> None:
    # The one song on the wrong side only moves the threshold where it is fitted itself.
    songs = found([0.4] * 8, [0.1] * 7 + [0.39])
    assert errors(songs, fit_threshold(songs)) == (0, 0)
    assert cross_validated_errors(songs) == (1, 0)
    with pytest.raises(UserError, match="7 songs cannot be cut into 8 folds"):
        cross_validated_errors(found([0.4] * 7, [0.1] * 7))


def test_the_report_says_what_goes_into_the_json_and_which_songs_are_wrong() -> None:
    text = report(found([0.4] * 7 + [0.05], [0.1] * 7 + [0.3]), threshold=0.5)
    assert "| 0.5, of the codec | 0 | 8 |" in text
    assert "| 0.346, fitted to these songs | 0 | 1 |" in text
    assert '"bass_removal": {"audible_bass": 0.346}' in text
    assert "missed, share 0.05: song 7" in text
    assert text.count("missed, share") == 8
    assert "false alarm, share" not in text
