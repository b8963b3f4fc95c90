"""Golden figures of the weights that ship, measured on the real excerpt that stempeg carries.

They change when new weights ship, and must not change otherwise. The figures do not depend on the
CPU that computes them: a rounding error may change a code or two, which moves an SDR by some
0.005 dB, and the line is drawn at temperature 0 from the song without its bass. Its notes stay
the same with one thread and with two.
"""

from pathlib import Path

import numpy as np
import pretty_midi
import pytest

from shared.metrics import median_sdr, sdr_windows
from shared.sound.files import read_stem, write_wav
from shared.sound.masking import mask_song
from shared.sound.separation import CodedMixture
from shared.sources import BASS, SOURCES
from stage1_vqvae.codec import VQVAECodec, load_codec
from stage2_prior.arrange import ArrangeOptions, generate_bass
from stage2_prior.model import load_prior
from stage2_prior.sampling import SamplingSettings

SDR_TOLERANCE = 0.05  # dB
DECODED_SDR = {"vocals": 0.334, "bass": 2.474, "drums": 5.244, "other": 0.473}
MASKED_SDR = {"vocals": 1.673, "bass": 3.072, "drums": 6.398, "other": 1.400}

# Pitch (MIDI number) and onset (seconds) of every note.
LINE = ((32, 0.78), (32, 2.31), (32, 2.57), (35, 2.82), (30, 3.84), (30, 4.86), (30, 5.63))


@pytest.fixture(scope="module")
def codec() -> VQVAECodec:
    return load_codec()


@pytest.fixture(scope="module")
def stems(stem_mp4: Path) -> np.ndarray:
    """The excerpt's stems `[4, 2, N]`."""
    return np.stack([read_stem(stem_mp4, source).samples for source in SOURCES])


def test_the_decoded_and_masked_sdr_of_the_shipped_codec(
    codec: VQVAECodec, stems: np.ndarray
) -> None:
    mixture = stems.sum(0)
    decoded = CodedMixture.encode(mixture, codec).decode_each()
    masked = mask_song(mixture, [decoded], range(4))
    for estimates, expected in ((decoded, DECODED_SDR), (masked, MASKED_SDR)):
        sdr = median_sdr(sdr_windows(stems, estimates, codec.sample_rate)).tolist()
        measured = dict(zip(SOURCES, sdr, strict=True))
        assert measured == pytest.approx(expected, rel=0, abs=SDR_TOLERANCE)


def test_the_line_that_the_shipped_prior_writes(
    codec: VQVAECodec, stems: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether the optional package that names chords is installed does not matter."""
    monkeypatch.setattr("stage2_prior.heard_song.recognise_chords", lambda *_: None)
    song = tmp_path / "song.wav"
    write_wav(song, stems.sum(0) - stems[BASS], codec.sample_rate, "FLOAT")
    settings = SamplingSettings(temperature=0, note_temperature=0, candidates=1)
    options = ArrangeOptions(remove_bass=False, midi_timing="played")
    result = generate_bass(song, tmp_path, codec, load_prior(), settings, options)
    (bass,) = pretty_midi.PrettyMIDI(str(result.files["midi"])).instruments
    assert [note.pitch for note in bass.notes] == [pitch for pitch, _ in LINE]
    onsets = [note.start for note in bass.notes]
    assert onsets == pytest.approx([onset for _, onset in LINE], rel=0, abs=0.01)
