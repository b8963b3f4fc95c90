"""Generate a bass for a song whose true bass is known, and draw both: the paper's last figure."""

from pathlib import Path

import numpy as np

from shared.codes.codec import Codec
from shared.errors import require
from shared.plots import save_spectrograms
from shared.songs.cache import build_cache
from shared.sound.levels import accompaniment_gain
from shared.sources import BASS
from stage2_prior.bass_sound import PlainSound
from stage2_prior.model import Prior
from stage2_prior.sampling import SamplingSettings, generate

SECONDS = 20.0  # of the middle of the song


def draw_example_bass(
    data: Path, codec: Codec, prior: Prior, path: Path, seconds: float = SECONDS
) -> None:
    """Write a bass for the first test song, from its accompaniment, and draw it into a PNG file.

    Args:
        data: the folder of songs.
        codec: the codec, whose own decoder gives the sound.
        prior: a prior for its codes.
        path: the picture, with the true bass above the generated one.
        seconds: how much of the middle of the song is used.

    Raises:
        UserError: no song is for testing.
    """
    songs = build_cache(data, sample_rate=codec.sample_rate).split("test")
    require(len(songs) > 0, f"{data} holds no song of the split 'test': put one into test/")
    stems = songs[0].middle(seconds)
    bass = stems[BASS]
    accompaniment = stems.sum(0) - bass
    gain = np.float32(accompaniment_gain(accompaniment))
    line = generate(prior, codec.encode(accompaniment * gain), SamplingSettings.of(prior))
    sound = PlainSound(codec).render(line.codes, line.notes, bass.shape[-1]) / gain
    title = f"bass of {songs[0].name}"
    rows = {title: bass, "generated from the other sources": sound}
    save_spectrograms(path, rows, codec.sample_rate, 25, 2000)
