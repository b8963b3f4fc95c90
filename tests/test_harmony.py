"""The user's choice of harmony."""

import numpy as np
import pytest

from shared.errors import UserError
from shared.music.bar_grid import BarGrid
from stage2_prior.chord_line import place_chords
from stage2_prior.harmony import Harmony, HarmonySource

GRID = BarGrid(np.linspace(0, 4, 9), np.array([0, 4]))


def test_the_harmony_is_heard_left_alone_or_given() -> None:
    assert Harmony.parse("auto") == Harmony() == Harmony(HarmonySource.AUTO)
    assert Harmony.parse("off") == Harmony(HarmonySource.OFF)
    given = Harmony.parse("Cm | Ab Eb")
    assert given == Harmony(HarmonySource.GIVEN, "Cm | Ab Eb")
    assert given.given_chords(GRID, 4.0) == place_chords("Cm | Ab Eb", GRID, 4.0)
    assert Harmony.parse("auto").given_chords(GRID, 4.0) is None
    assert Harmony.parse("chords.txt").source is HarmonySource.GIVEN


def test_what_is_no_harmony() -> None:
    with pytest.raises(UserError, match="'maybe' is not a chord"):
        Harmony.parse("maybe")
    with pytest.raises(UserError, match="only where"):
        Harmony(HarmonySource.AUTO, "Am")
    with pytest.raises(UserError, match="only where"):
        Harmony(HarmonySource.GIVEN)
