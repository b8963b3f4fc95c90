"""The form in which sound is written: every sample as it was, the same bytes each time."""

import time
from pathlib import Path

import numpy as np
import pytest
import soundfile

from shared.errors import UserError
from shared.sound.encoding import Bits, Container, Encoding
from shared.sound.files import read_audio, write_wav
from shared.sound.samples import to_int24

RATE = 44100
SUBTYPES = {"16": "PCM_16", "24": "PCM_24", "32f": "FLOAT"}
WRITABLE: list[tuple[Container, Bits]] = [
    ("wav", "16"),
    ("wav", "24"),
    ("wav", "32f"),
    ("flac", "16"),
    ("flac", "24"),
]


def noise(channels: int = 2) -> np.ndarray:
    return np.random.default_rng(0).uniform(-1, 1, (channels, 1000)).astype(np.float32)


@pytest.mark.parametrize(("container", "bits"), WRITABLE)
@pytest.mark.parametrize("channels", [1, 2])
def test_samples_are_rounded_to_the_nearest_value(
    container: Container, bits: Bits, channels: int, tmp_path: Path
) -> None:
    path = tmp_path / f"a.{container}"
    samples = noise(channels)
    Encoding(container, bits).write(path, samples, RATE)
    info = soundfile.info(path)
    assert (info.format, info.subtype) == (container.upper(), SUBTYPES[bits])
    assert (info.channels, info.samplerate, info.frames) == (channels, RATE, 1000)
    written, _ = soundfile.read(path, dtype="float64", always_2d=True)
    step = {"16": 2.0**-15, "24": 2.0**-23, "32f": 0.0}[bits]
    assert np.abs(written.T - samples).max() <= step / 2


@pytest.mark.parametrize(("source", "bits"), [("PCM_16", "16"), ("PCM_16", "24"), ("PCM_24", "24")])
@pytest.mark.parametrize("container", ["wav", "flac"])
def test_what_is_read_is_written_again_sample_for_sample(
    source: str, bits: Bits, container: Container, tmp_path: Path
) -> None:
    path = tmp_path / "song.wav"
    extremes = np.array([[1.0, -1.0, 0.0, 2.0**-15, 1 - 2.0**-15]])
    soundfile.write(path, np.concatenate([extremes, noise(1)[:, :500]], axis=1).T, RATE, source)
    before, _ = soundfile.read(path, dtype="int32")
    again = tmp_path / f"again.{container}"
    Encoding(container, bits).write(again, read_audio(path).samples, RATE)
    after, _ = soundfile.read(again, dtype="int32")
    np.testing.assert_array_equal(after, before)


def test_samples_beyond_full_scale_are_clipped_and_kept_as_floats(tmp_path: Path) -> None:
    loud = np.array([[2.0, -2.0, 1.0, 0.5]], np.float32)
    np.testing.assert_array_equal(to_int24(loud) >> 8, [[8388607, -8388608, 8388607, 4194304]])
    for bits, expected in (("24", 1 - 2.0**-23), ("32f", 2.0)):
        path = tmp_path / f"{bits}.wav"
        Encoding("wav", bits).write(path, loud, RATE)  # type: ignore[arg-type]
        assert soundfile.read(path)[0].max() == expected


def test_equal_sound_gives_equal_bytes_at_any_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """libsndfile would write the time into files of floats."""
    write_wav(tmp_path / "a.wav", noise(), RATE, "FLOAT")
    assert b"PEAK" not in (tmp_path / "a.wav").read_bytes()[:200]
    time.sleep(1.1)
    write_wav(tmp_path / "b.wav", noise(), RATE, "FLOAT")
    assert (tmp_path / "a.wav").read_bytes() == (tmp_path / "b.wav").read_bytes()


@pytest.mark.parametrize(
    ("subtype", "wide"),
    [("PCM_16", False), ("PCM_24", False), ("PCM_32", True), ("FLOAT", True), ("DOUBLE", True)],
)
def test_the_bits_are_24_or_those_of_a_song_with_more(
    subtype: str, wide: bool, tmp_path: Path
) -> None:
    path = tmp_path / "song.wav"
    soundfile.write(path, noise().T, RATE, subtype)
    assert read_audio(path).wide == wide
    assert Encoding.for_song("wav", None, wide).bits == ("32f" if wide else "24")
    assert Encoding.for_song("flac", None, wide).bits == "24"
    assert Encoding.for_song("wav", "16", wide).bits == "16"


def test_forms_that_do_not_exist_are_refused() -> None:
    with pytest.raises(UserError, match="FLAC cannot hold 32-bit floating-point"):
        Encoding("flac", "32f")
    with pytest.raises(UserError, match="no 'mp3' here: give one of wav, flac"):
        Encoding("mp3")  # type: ignore[arg-type]
    assert [str(Encoding("flac")), str(Encoding("wav", "32f"))] == [
        "24-bit FLAC",
        "32-bit float WAV",
    ]
