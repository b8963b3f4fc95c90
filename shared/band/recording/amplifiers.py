"""Guitar and bass amplifiers: tone controls, a waveshaper with oversampling, and a loudspeaker.

A part's General MIDI program decides which amplifiers suit it. Its sound comes out as loud as it
went in, without delay. Of a bass the lowest octaves go round the distortion, so that its
fundamental stays what listeners and trackers hear.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pedalboard
from scipy.signal import oaconvolve, resample_poly

from shared.band.recording.render import SAMPLE_RATE

# Which amplifiers play a program, and how often.
_CHOICES: dict[int, dict[str, float]] = {
    24: {"acoustic": 0.9, "clean": 0.1},
    25: {"acoustic": 0.8, "clean": 0.2},
    26: {"clean": 0.8, "crunch": 0.2},
    27: {"clean": 0.6, "crunch": 0.3, "distorted": 0.1},
    28: {"clean": 0.5, "crunch": 0.3, "distorted": 0.2},
    29: {"crunch": 0.5, "distorted": 0.5},
    30: {"crunch": 0.1, "distorted": 0.9},
    31: {"clean": 0.5, "crunch": 0.5},
    32: {"di": 0.8, "bass amp": 0.2},
    **{key: {"di": 0.4, "bass amp": 0.4, "driven bass": 0.2} for key in range(33, 38)},
    **{key: {"di": 0.7, "driven bass": 0.3} for key in range(38, 40)},
}
# Gain in dB of the first and the second stage, from a level of -20 dB RMS: least and most.
_DRIVES = {
    "clean": ((-6.0, 4.0),),
    "crunch": ((8.0, 18.0),),
    "distorted": ((18.0, 30.0), (10.0, 20.0)),
    "bass amp": ((0.0, 8.0),),
    "driven bass": ((12.0, 24.0),),
}
# What soundfonts' overdriven guitars already are, an amplifier makes of a clean one.
_CLEAN_PROGRAM = {29: 27, 30: 27}
_LEVEL = 0.1  # RMS at which the first stage is driven
_CROSSOVER = 250.0  # Hz, below which a bass is not distorted
_OVERSAMPLING = 2
_CABINET = 2048  # samples of an impulse response, 46 ms


@dataclass(frozen=True)
class Amplified:
    """A part that went through an amplifier: float32 `[2, N]`, and which one it was."""

    audio: np.ndarray
    report: dict[str, Any]


def has_amplifier(program: int) -> bool:
    """Tell whether a General MIDI program is a guitar or a bass."""
    return program in _CHOICES


def program_to_play(program: int) -> int:
    """Return the program that a soundfont should play, to be amplified as `program`."""
    return _CLEAN_PROGRAM.get(program, program)


def amplify(audio: np.ndarray, program: int, rng: np.random.Generator) -> Amplified:
    """Send a part through an amplifier that suits its program.

    Args:
        audio: float32 `[2, N]` at 44.1 kHz, of the program that `program_to_play` names.
        program: a General MIDI program; the sound of other instruments is not changed.
        rng: the source of all chance.
    """
    if program not in _CHOICES:
        return Amplified(audio, {})
    choices = _CHOICES[program]
    name = str(rng.choice(list(choices), p=list(choices.values())))
    sounding = audio[np.abs(audio) > 1e-4]
    level = float(np.sqrt(np.mean(sounding**2))) if len(sounding) else 0.0
    if level == 0.0:
        return Amplified(audio, {"amplifier": name})
    if name in ("acoustic", "di"):
        played, report = _direct(audio * (_LEVEL / level), name, rng)
    else:
        mono = audio.mean(axis=0) * np.float32(_LEVEL / level)
        played, report = _amplifier(mono, name, rng)
    before, after = (float(np.sqrt(np.mean(sound**2))) for sound in (audio, played))
    played *= np.float32(before / max(after, 1e-9))
    return Amplified(played, {"amplifier": name, **report})


def _direct(
    audio: np.ndarray, name: str, rng: np.random.Generator
) -> tuple[np.ndarray, dict[str, Any]]:
    """Imitate a microphone before an acoustic guitar, or the direct output of a bass."""
    bass = name == "di"
    threshold, ratio = rng.uniform(-26.0, -16.0), rng.uniform(2.0, 5.0)
    low, presence = rng.uniform(0.0, 3.0), rng.uniform(-2.0, 4.0)
    board = pedalboard.Pedalboard(
        [
            pedalboard.HighpassFilter(25.0 if bass else 75.0),
            pedalboard.LowShelfFilter(100.0, low if bass else -low),
            pedalboard.PeakFilter(800.0 if bass else 3500.0, presence, q=0.7),
            pedalboard.Compressor(threshold, ratio, attack_ms=10.0, release_ms=120.0),
        ]
    )
    return board(audio, SAMPLE_RATE), {"compression": round(float(ratio), 1)}


def _amplifier(
    mono: np.ndarray, name: str, rng: np.random.Generator
) -> tuple[np.ndarray, dict[str, Any]]:
    """Send `[N]` through the stages and the loudspeaker of an amplifier, to `[2, N]`."""
    bass = name in ("bass amp", "driven bass")
    drives = [float(rng.uniform(*bounds)) for bounds in _DRIVES[name]]
    low, mid, high = rng.normal(0.0, (2.5, 3.0, 2.5))
    bias = float(rng.uniform(0.0, 0.3))
    cabinet = _cabinet(bass, rng)
    clean = np.zeros_like(mono)
    sound = mono[None]
    if bass:
        sound = pedalboard.Pedalboard([pedalboard.Compressor(-22.0, 3.0, 8.0, 120.0)])(
            sound, SAMPLE_RATE
        )
        below = pedalboard.Pedalboard([pedalboard.LowpassFilter(_CROSSOVER)])
        clean = below(sound, SAMPLE_RATE)[0]
        sound = sound - clean
    else:
        # Little bass goes into the distortion, or it would blur.
        tight = 110.0 if name == "distorted" else 75.0
        sound = pedalboard.Pedalboard(
            [
                pedalboard.HighpassFilter(tight),
                pedalboard.LowShelfFilter(150.0, low),
                pedalboard.PeakFilter(700.0, mid, q=0.7),
                pedalboard.HighShelfFilter(2500.0, high),
            ]
        )(sound, SAMPLE_RATE)
    driven = _drive(sound[0], drives, bias)
    if bass:
        # As loud above the crossover as before, or up to 8 dB louder where it is driven.
        boost = float(rng.uniform(0.0, 8.0)) if name == "driven bass" else 0.0
        driven *= _rms(sound[0]) / max(_rms(driven), 1e-9) * 10 ** (boost / 20)
    played = oaconvolve(driven, cabinet)[: len(mono)] + clean
    stereo = np.repeat(played[None].astype(np.float32), 2, axis=0)
    effects = _effects(name, rng)
    report: dict[str, Any] = {"drives_db": [round(drive, 1) for drive in drives]}
    if effects:
        stereo = pedalboard.Pedalboard(effects)(stereo, SAMPLE_RATE)
        report["effects"] = [type(effect).__name__.lower() for effect in effects]
    return stereo, report


def _drive(sound: np.ndarray, drives: list[float], bias: float) -> np.ndarray:
    """Saturate at twice the sample rate, stage by stage, and remove what the bias offsets.

    Harmonics beyond 83 kHz alone come back as aliases that a loudspeaker lets through.
    """
    fast = resample_poly(sound, _OVERSAMPLING, 1).astype(np.float32)
    for index, drive in enumerate(drives):
        offset = np.float32(bias if index == 0 else -bias)
        fast *= np.float32(10 ** (drive / 20))
        fast += offset
        np.tanh(fast, out=fast)
        fast -= np.tanh(offset)
        fast *= np.float32(0.5)
    slow = resample_poly(fast, 1, _OVERSAMPLING).astype(np.float32)[: len(sound)]
    return pedalboard.Pedalboard([pedalboard.HighpassFilter(30.0)])(slow[None], SAMPLE_RATE)[0]


def _cabinet(bass: bool, rng: np.random.Generator) -> np.ndarray:
    """Draw a loudspeaker and a microphone: a minimum-phase impulse response, float32 `[2048]`.

    Guitar loudspeakers have a resonance near 110 Hz and a presence peak near 3 kHz, and give
    little above 5 kHz; those of a bass reach lower.
    """
    hertz = np.fft.rfftfreq(_CABINET, 1 / SAMPLE_RATE)
    safe = np.maximum(hertz, 1.0)
    lowest, resonance = (32.0, 65.0) if bass else (80.0, 115.0)
    lowest, resonance = lowest * rng.uniform(0.85, 1.2), resonance * rng.uniform(0.85, 1.2)
    highest = rng.uniform(3500.0, 6000.0) if bass else rng.uniform(4200.0, 5800.0)
    order = rng.uniform(2.0, 4.0)
    presence, height = rng.uniform(2200.0, 3800.0), rng.uniform(2.0, 7.0) * (0.5 if bass else 1.0)
    decibels = -10 * np.log10(1 + (lowest / safe) ** 4) - 10 * order / 2 * np.log10(
        1 + (safe / highest) ** 4
    )
    decibels += 3.0 * np.exp(-((np.log2(safe / resonance) / 0.5) ** 2))
    decibels += height * np.exp(-((np.log2(safe / presence) / 0.5) ** 2))
    for _ in range(6):  # the irregularities of a cone and of the place of a microphone
        centre, width = 400.0 * 2 ** rng.uniform(0.0, 3.6), rng.uniform(0.08, 0.3)
        decibels += rng.normal(0.0, 2.5) * np.exp(-((np.log2(safe / centre) / width) ** 2))
    cepstrum = np.fft.irfft(np.maximum(decibels, -90.0) * np.log(10) / 20)
    cepstrum[1 : _CABINET // 2] *= 2.0
    cepstrum[_CABINET // 2 + 1 :] = 0.0
    response = np.fft.irfft(np.exp(np.fft.rfft(cepstrum)))
    return response.astype(np.float32)


def _effects(name: str, rng: np.random.Generator) -> list[pedalboard.Plugin]:
    """Draw what may follow an amplifier. Every effect uses up its random numbers."""
    chorus, phaser, delay = rng.random(3)
    rate, depth, seconds = rng.uniform(0.4, 2.0), rng.uniform(0.1, 0.3), rng.uniform(0.08, 0.4)
    effects: list[pedalboard.Plugin] = []
    if chorus < {"clean": 0.25, "bass amp": 0.08}.get(name, 0.0):
        effects.append(pedalboard.Chorus(rate_hz=rate, depth=depth, mix=0.4))
    if phaser < {"clean": 0.1, "crunch": 0.1}.get(name, 0.0):
        effects.append(pedalboard.Phaser(rate_hz=0.5 * rate, depth=0.4, mix=0.4))
    if delay < {"clean": 0.2, "crunch": 0.15, "distorted": 0.15}.get(name, 0.0):
        effects.append(pedalboard.Delay(delay_seconds=seconds, feedback=0.25, mix=0.2))
    return effects


def _rms(sound: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.square(sound, dtype=np.float64))))
