"""The signatures of keys."""

import pytest

from shared.music.key_signature import key_signature


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        ("C major", "C"),
        ("C", "C"),
        ("Bb:maj", "Bb"),
        ("G# minor", "G#m"),
        ("Am", "Am"),
        ("E♭ minor", "Ebm"),
        ("D dorian", "C"),
        ("G mixolydian", "C"),
        ("F# mixolydian", "B"),
        ("Db minor", "C#m"),  # eight flats
        ("G# major", "Ab"),  # eight sharps
        ("CM", "C"),
        ("E chromatic", None),
        ("H major", None),
    ],
)
def test_a_key_has_the_signature_of_its_tones(key: str, expected: str | None) -> None:
    assert key_signature(key) == expected
