"""What NAME.json says of a song, of its new bass and of how it was written."""

import hashlib
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from shared.sound.integrated_loudness import integrated_loudness
from shared.sound.samples import rms
from shared.sound.sliced import SlicedSamples
from stage2_prior.accompaniment import SILENCE, PreparedSong
from stage2_prior.mixing import Mix, SongFile
from stage2_prior.sampling import GeneratedBass


def sound_figures(song: SongFile, prepared: PreparedSong, mix: Mix) -> dict[str, Any]:
    """Describe the sound of a song, and the levels.

    The loudness is by BS.1770, before anything was done about peaks.

    Args:
        song: the song.
        prepared: the song without its bass.
        mix: the song with the new bass.
    """
    length, rate = song.stereo.shape[-1], song.sample_rate
    loudness = {name: integrated_loudness(each, rate) for name, each in mix.sounds.items()}
    of_song = loudness["backing"] if mix.own is None else integrated_loudness(mix.song, rate)
    return {
        "song": song.path,
        "song_sha256": sha256(song.path),
        "sample_rate": rate,
        "channels": mix.song.shape[0],
        "samples": length,
        "seconds": length / rate,
        "silent": rms(song.stereo) < SILENCE,
        "bass_removed": prepared.bass is not None,
        "bass_search": None if prepared.search is None else asdict(prepared.search),
        "encoder_gain": prepared.gain,
        "rms_db": {
            "song": _decibels(song.stereo),
            "accompaniment": _decibels(mix.rest),
            "bass": _decibels(mix.bass),
            "removed_bass": None if prepared.bass is None else _decibels(prepared.bass),
        },
        "loudness_lufs": {"song": of_song, **loudness},
    }


def line_figures(line: GeneratedBass) -> dict[str, Any]:
    """Describe the notes of a line, and how well they and the other candidates fit the song."""
    pitches = [note.pitch for note in line.played]
    return {
        "notes": len(pitches),
        "range": [min(pitches), max(pitches)] if pitches else None,
        "log_prob": {
            "given_song": line.log_prob_conditional,
            "given_none": line.log_prob_unconditional,
        },
        "candidates": [round(fit, 4) for fit in line.fits],
        "rank": line.rank + 1,
        "checked": None if line.checked is None else asdict(line.checked),
    }


def sha256(path: Path) -> str:
    """Return the fingerprint of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _decibels(samples: SlicedSamples) -> float | None:
    """Return the RMS in dBFS; None for silence."""
    level = rms(samples)
    return round(20 * float(np.log10(level)), 2) if level > 0 else None
