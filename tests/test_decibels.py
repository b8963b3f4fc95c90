"""Levels in decibels as people write them."""

import math

import pytest

from shared.errors import UserError
from shared.sound.decibels import decibels, factor, parse_decibels


@pytest.mark.parametrize(
    ("text", "expected"),
    [("-3dB", -3), ("+1.5 dB", 1.5), ("2", 2), (" -0.5DB ", -0.5), ("0", 0)],
)
def test_levels_are_read(text: str, expected: float) -> None:
    assert parse_decibels(text) == expected


@pytest.mark.parametrize("text", ["", "loud", "3 LUFS", "-", "1e3", "nan", "٣", "-61", "999999dB"])
def test_other_texts_are_refused(text: str) -> None:
    with pytest.raises(UserError, match="change of level"):
        parse_decibels(text)


def test_factors_and_decibels_are_inverse() -> None:
    assert factor(-20) == pytest.approx(0.1)
    assert decibels(factor(3.7)) == pytest.approx(3.7)
    assert decibels(0) == -math.inf
