"""What is done about samples beyond full scale, and what is said of it."""

import numpy as np
import pytest

from shared.errors import UserError
from shared.sound.samples import Samples
from shared.sound.sliced import whole
from stage2_prior.peaks import PeakReport, tame_peaks

RATE = 44100


def parts(level: float) -> dict[str, Samples]:
    """A bass and a backing that sum to a mix with a peak of `level`."""
    time = np.arange(RATE) / RATE
    wave = (level * np.sin(2 * np.pi * 110 * time)).astype(np.float32)[None]
    return {"bass": 0.25 * wave, "backing": 0.75 * wave, "mix": wave}


@pytest.mark.parametrize("handling", ["rescale", "limit", "keep"])
def test_what_fits_stays_as_it_is(handling: str) -> None:
    given = parts(0.8)
    tamed = tame_peaks(given, RATE, handling)  # type: ignore[arg-type]
    for name, samples in given.items():
        np.testing.assert_array_equal(tamed.parts[name], samples)
    said = "none beyond full scale; nothing is made softer"
    assert tamed.report.sentence(is_float=False) == said
    assert tamed.report.scale == 1


def test_all_parts_get_the_same_gain() -> None:
    given = parts(2.0)
    tamed = tame_peaks(given, RATE, "rescale")
    for name, samples in given.items():
        np.testing.assert_allclose(whole(tamed.parts[name]), samples / 2, atol=1e-6)
    sentence = tamed.report.sentence(is_float=False)
    assert sentence == "all files are 6.0 dB softer than the song, so that none clips"


def test_limited_parts_are_still_a_sum() -> None:
    tamed = tame_peaks(parts(2.0), RATE, "limit")
    made = {name: whole(samples) for name, samples in tamed.parts.items()}
    np.testing.assert_allclose(made["bass"] + made["backing"], made["mix"], atol=1e-6)
    assert np.abs(made["mix"]).max() <= 10 ** (-1 / 20) + 1e-3
    assert tamed.report.deepest_db == pytest.approx(7.0, abs=0.3)
    assert "limited to -1 dB true peak: by up to 7." in tamed.report.sentence(is_float=False)


def test_what_is_kept_is_counted() -> None:
    given = parts(2.0)
    report = tame_peaks(given, RATE, "keep").report
    beyond = sum(int((np.abs(samples) > 1).sum()) for samples in given.values())
    assert report.beyond == beyond > 0
    assert report.sentence(is_float=False) == f"{beyond} samples are clipped"
    assert report.sentence(is_float=True) == f"{beyond} samples are kept beyond full scale"


def test_another_handling_is_refused() -> None:
    with pytest.raises(UserError, match="no 'squash' of peaks: give rescale, limit, keep"):
        tame_peaks(parts(1.0), RATE, "squash")  # type: ignore[arg-type]
    assert (
        PeakReport("limit", deepest_db=0.5, limited_share=1e-6)
        .sentence(False)
        .endswith("in 0.1% of the time")
    )
