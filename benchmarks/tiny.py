"""Small songs, and models trained on them for a few steps, for the scripts that test reliability.

The songs are tones, and the models know nothing; but every file is of the kind that a real run
reads and writes. All of it takes about ten seconds.
"""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from shared.config import load_config
from shared.sound.files import write_wav
from shared.sound.samples import Samples
from shared.sources import SOURCES

RATE = 44100
SONGS = ("train/one", "train/two", "valid/three", "test/four")
SECONDS = 2.0
_BEAT = 0.5  # s


@dataclass(frozen=True)
class Tiny:
    """What `build` leaves in a folder.

    Attributes:
        songs: a folder of songs with stems and `song.json`.
        mix: a song as one audio file.
        codec: the run of a codec.
        codes: the codes of the songs.
        prior: the run of a prior.
        bass_decoder: the run of a bass decoder.
    """

    songs: Path
    mix: Path
    codec: Path
    codes: Path
    prior: Path
    bass_decoder: Path

    @classmethod
    def at(cls, folder: Path) -> "Tiny":
        """Name the paths in a folder."""
        return cls(
            songs=folder / "songs",
            mix=folder / "mix.wav",
            codec=folder / "vqvae",
            codes=folder / "codes",
            prior=folder / "prior",
            bass_decoder=folder / "bass-decoder",
        )


def build(folder: Path) -> Tiny:
    """Write songs into a folder, and train every kind of model on them."""
    from stage1_vqvae.bass_decoder import config as bass_decoder_config
    from stage1_vqvae.bass_decoder.train import train_bass_decoder
    from stage1_vqvae.codec import load_codec
    from stage1_vqvae.config import PRESETS, VQVAEConfig
    from stage1_vqvae.extract import extract_codes
    from stage1_vqvae.train import train_vqvae
    from stage2_prior import config as prior_config
    from stage2_prior.train import train_prior

    made = Tiny.at(folder)
    write_songs(made.songs)
    write_wav(made.mix, _mixture(), RATE)
    train_vqvae(made.songs, made.codec, load_config(VQVAEConfig, PRESETS, "tiny"), device="cpu")
    codec = load_codec(made.codec, "cpu")
    extract_codes(made.songs, codec, made.codes)
    settings = load_config(prior_config.PriorConfig, prior_config.PRESETS, "tiny")
    train_prior(made.codes, made.prior, settings, device="cpu")
    decoding = load_config(
        bass_decoder_config.BassDecoderConfig, bass_decoder_config.PRESETS, "tiny"
    )
    train_bass_decoder(made.songs, made.codes, made.bass_decoder, decoding, codec, device="cpu")
    return made


def write_songs(folder: Path, seconds: float = SECONDS) -> None:
    """Write songs of stems, whose beats, chords and bass notes are known."""
    for name in SONGS:
        for source in SOURCES:
            write_wav(folder / name / f"{source}.wav", tone(f"{name}/{source}", seconds), RATE)
        text = json.dumps(facts(seconds), indent=1)
        (folder / name / "song.json").write_text(text + "\n", encoding="utf-8")


def tone(name: str, seconds: float) -> Samples:
    """Return a stereo tone with some noise, its own for every name: float32 `[2, N]`."""
    seed = int.from_bytes(hashlib.sha256(name.encode()).digest()[:4], "big")
    chance = np.random.default_rng(seed)
    time = np.arange(round(seconds * RATE)) / RATE
    sound = 0.2 * np.sin(2 * np.pi * chance.uniform(60, 600) * time)
    return (sound + 0.01 * chance.standard_normal((2, len(time)))).astype(np.float32)


def facts(seconds: float) -> dict[str, object]:
    """Return the content of a `song.json`."""
    beats = [_BEAT * beat for beat in range(round(seconds / _BEAT))]
    return {
        "tempo": 60 / _BEAT,
        "time_signature": [4, 4],
        "key": "A minor",
        "duration": seconds,
        "style": "tones",
        "beats": beats,
        "downbeats": beats[::4],
        "chords": [
            {"start": 0.0, "end": seconds, "root": 9, "quality": "min", "bass": 9, "symbol": "Am"}
        ],
        "bass_notes": [
            {"onset": beat, "duration": 0.4, "pitch": 33, "velocity": 90} for beat in beats
        ],
        "bass_program": 33,
    }


def _mixture() -> Samples:
    stems = [tone(f"test/four/{source}", SECONDS) for source in SOURCES]
    return np.sum(stems, axis=0, dtype=np.float32)
