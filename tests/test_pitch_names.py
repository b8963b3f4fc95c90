import pytest

from shared.errors import UserError
from shared.music.pitch_names import parse_pitch, pitch_name


@pytest.mark.parametrize(("text", "pitch"), [("E1", 28), ("Bb2", 46), ("g#3", 56), ("43", 43)])
def test_names_and_numbers_are_read(text: str, pitch: int) -> None:
    assert parse_pitch(text) == pitch


def test_every_name_is_read_as_its_pitch() -> None:
    assert [parse_pitch(pitch_name(pitch)) for pitch in range(128)] == list(range(128))


@pytest.mark.parametrize("text", ["", "H2", "E", "-3", "1.5"])
def test_other_texts_are_refused(text: str) -> None:
    with pytest.raises(UserError, match="is not a pitch"):
        parse_pitch(text)
