"""Speakers for the singing voice: words spoken by flite or espeak-ng, where these are installed.

Each speaker is a synthesiser's voice with a vocal range and a length of the vocal tract: formants
moved up make a smaller, younger singer of the same voice.
"""

from __future__ import annotations

import io
import shutil
import subprocess
from dataclasses import dataclass
from functools import cache

import numpy as np
import soundfile

from shared.errors import UserError

_TIMEOUT = 20.0
_SLOW_FLITE = "1.35"  # times the usual length: spoken slowly, vowels reach their formants
_SLOW_ESPEAK = "120"  # words a minute


@dataclass(frozen=True)
class Speaker:
    """A voice to sing with.

    Attributes:
        name: unique among SPEAKERS.
        program: "flite" or "espeak-ng".
        voice: the voice's name there.
        low: the lowest note that it sings, a MIDI number.
        high: the highest.
        formants: the factor by which its formants are moved.
        contrast: how far they are deepened or flattened (see `vocoder.build_tract`).
        licence: of the voice.
    """

    name: str
    program: str
    voice: str
    low: int
    high: int
    formants: float
    contrast: float
    licence: str


_FLITE = "CMU (BSD style)"
_ESPEAK = "GPL-3.0-or-later"
SPEAKERS = (
    Speaker("slt", "flite", "slt", 55, 76, 1.0, 1.1, _FLITE),
    Speaker("slt young", "flite", "slt", 59, 81, 1.08, 1.1, _FLITE),
    Speaker("rms", "flite", "rms", 41, 62, 1.0, 1.1, _FLITE),
    Speaker("rms tenor", "flite", "rms", 47, 68, 1.07, 1.1, _FLITE),
    Speaker("rms alto", "flite", "rms", 54, 74, 1.17, 1.1, _FLITE),
    Speaker("awb", "flite", "awb", 43, 65, 1.0, 1.1, _FLITE),
    Speaker("awb mezzo", "flite", "awb", 55, 75, 1.16, 1.1, _FLITE),
    Speaker("kal", "flite", "kal16", 43, 64, 1.0, 1.0, _FLITE),
    Speaker("espeak f2", "espeak-ng", "en-us+f2", 55, 76, 1.0, 0.75, _ESPEAK),
    Speaker("espeak f3", "espeak-ng", "en-gb+f3", 55, 77, 1.0, 0.75, _ESPEAK),
    Speaker("espeak f4", "espeak-ng", "en-us+f4", 54, 75, 1.0, 0.75, _ESPEAK),
    Speaker("espeak f5", "espeak-ng", "en-us+f5", 53, 74, 1.0, 0.75, _ESPEAK),
    Speaker("espeak belinda", "espeak-ng", "en-us+belinda", 55, 77, 1.0, 0.75, _ESPEAK),
    Speaker("espeak m1", "espeak-ng", "en-us+m1", 43, 65, 1.0, 0.75, _ESPEAK),
    Speaker("espeak m3", "espeak-ng", "en-us+m3", 41, 63, 1.0, 0.75, _ESPEAK),
    Speaker("espeak m7", "espeak-ng", "en-gb-scotland+m7", 45, 67, 1.0, 0.75, _ESPEAK),
)


@cache
def available_speakers() -> tuple[Speaker, ...]:
    """Return the speakers whose synthesiser and voice are installed, in the order of SPEAKERS."""
    voices = {"flite": _flite_voices(), "espeak-ng": _espeak_voices()}
    return tuple(
        speaker for speaker in SPEAKERS if voices[speaker.program] & {speaker.voice, "every voice"}
    )


def _flite_voices() -> set[str]:
    if shutil.which("flite") is None:
        return set()
    listed = subprocess.run(["flite", "-lv"], capture_output=True, text=True, timeout=_TIMEOUT)
    return set(listed.stdout.partition(":")[2].split())


def _espeak_voices() -> set[str]:
    return {"every voice"} if shutil.which("espeak-ng") else set()


def find_speaker(name: str) -> Speaker:
    """Return the installed speaker of that name.

    Raises:
        UserError: there is none.
    """
    speakers = {speaker.name: speaker for speaker in available_speakers()}
    if not speakers:
        raise UserError("no speech synthesiser is installed; install Debian's flite or espeak-ng")
    if name not in speakers:
        raise UserError(f"there is no speaker {name!r}; choose one of {', '.join(speakers)}")
    return speakers[name]


def speak(speaker: Speaker, word: str) -> tuple[np.ndarray, int]:
    """Say a word. The same word always gives the same samples.

    Returns:
        float64 `[N]` in [-1, 1], and its sample rate in Hz.

    Raises:
        UserError: the synthesiser is not installed, or fails.
    """
    if speaker.program == "flite":
        options = ["-voice", speaker.voice, "--setf", f"duration_stretch={_SLOW_FLITE}"]
        command = ["flite", *options, "-t", word, "-o", "/dev/stdout"]
    else:
        command = ["espeak-ng", "-v", speaker.voice, "-s", _SLOW_ESPEAK, "--stdout", word]
    try:
        run = subprocess.run(command, capture_output=True, timeout=_TIMEOUT)
    except FileNotFoundError as error:
        raise UserError(
            f"{speaker.program} is not installed; install Debian's package {speaker.program}"
        ) from error
    except subprocess.TimeoutExpired as error:
        raise UserError(f"{speaker.program} took more than {_TIMEOUT:.0f} s for a word") from error
    if run.returncode or not run.stdout:
        raise UserError(f"{speaker.program} could not say {word!r} as {speaker.voice}")
    samples, rate = soundfile.read(io.BytesIO(_with_sizes(run.stdout)), dtype="float64")
    return samples, rate


def _with_sizes(wav: bytes) -> bytes:
    """Complete a WAV file from a pipe: its header could not know how long it would be."""
    data = wav.find(b"data")
    sizes = bytearray(wav)
    sizes[4:8] = (len(wav) - 8).to_bytes(4, "little")
    sizes[data + 4 : data + 8] = (len(wav) - data - 8).to_bytes(4, "little")
    return bytes(sizes)
