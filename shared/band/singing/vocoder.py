"""A vocoder for singing: the envelopes of spoken syllables, excited at another pitch.

Each glottal pulse is the minimum-phase response of the spectral envelope at its time, and noise is
filtered by the aperiodic part of it. What is interpolated between two frames are the logarithms of
minimum-phase spectra, because the result then is of minimum phase too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import fft

from shared.band.recording.render import SAMPLE_RATE
from shared.band.singing.speech_analysis import BINS, HERTZ, RESPONSE, Syllable, read_columns

HOP = 256  # samples between two frames
_TURN = (2 * np.pi / RESPONSE * np.arange(BINS)).astype(np.float32)  # of phase by one sample
_JITTER = 0.0025  # standard deviation of a pulse's time, in periods
_SHIMMER = 0.03  # standard deviation of its gain
_CHUNK = 256  # pulses at a time; their spectra then stay in the processor's cache


@dataclass(frozen=True)
class Tract:
    """The filters of a voice, one row for each frame of its syllables.

    Attributes:
        pulse: complex64 `[F, BINS]`, logarithms of minimum-phase spectra for glottal pulses.
        breath: the same for noise.
    """

    pulse: np.ndarray
    breath: np.ndarray


@dataclass(frozen=True)
class Excitation:
    """How a tract is excited in M frames, HOP samples apart. Frame 0 is at sample 0.

    Attributes:
        row: float `[M]`, a place between the rows of the tract.
        last: int `[M]`, the last row of the syllable that the place is in.
        f0: float `[M]`, Hz.
        voice: float `[M]`, gain of the pulses.
        noise: float `[M]`, gain of the noise.
    """

    row: np.ndarray
    last: np.ndarray
    f0: np.ndarray
    voice: np.ndarray
    noise: np.ndarray


def build_tract(
    syllables: Sequence[Syllable],
    formants: float = 1.0,
    contrast: float = 1.0,
    tilt: float = 0.0,
    breath: float = 0.0,
) -> Tract:
    """Make the filters of syllables, one below the other.

    Args:
        syllables: one or more.
        formants: moves the formants by this factor.
        contrast: deepens the formants if above 1, and flattens them if below.
        tilt: raises what is above 1 kHz by so many dB an octave.
        breath: from 0 to 1. Turns tone above 2 kHz into noise, and adds more noise.
    """
    log = np.concatenate([syllable.envelope for syllable in syllables]).astype(np.float32)
    noise = np.concatenate([syllable.noise for syllable in syllables]).astype(np.float32)
    position = np.minimum(np.arange(BINS) / formants, BINS - 1)
    log, noise = read_columns(log, position), read_columns(noise, position)
    octaves = np.log2(np.maximum(HERTZ, 1000.0) / 1000.0)
    log += (tilt * np.log(10) / 10 * octaves).astype(np.float32)
    airy = breath * np.clip(HERTZ / 2000.0 - 1.0, 0.0, 1.0).astype(np.float32)
    noise = np.clip(1.0 - (1.0 - noise) * (1.0 - airy), 1e-6, 1.0 - 1e-6)
    cepstrum = fft.irfft(log / 2, RESPONSE)  # of the magnitude
    # Quefrencies of 0.2 to 3 ms hold the formants.
    cepstrum[:, 8 : RESPONSE // 8] *= np.float32(contrast)
    cepstrum[:, -RESPONSE // 8 + 1 : -7] *= np.float32(contrast)
    power = np.exp(2 * fft.rfft(cepstrum).real)
    # Air flows whatever the vowel: between 4 and 12 kHz it is 50 to 30 dB below the voice.
    band = np.clip(HERTZ / 4000.0, 0.0, 1.0) ** 4 / (1.0 + (HERTZ / 12000.0) ** 4)
    air = 10 ** (2.0 * breath - 5.0) * band.astype(np.float32)
    air = air * power.mean(axis=1, keepdims=True)
    return Tract(
        _minimum_phase(np.log(power * (1.0 - noise)) / 2),
        _minimum_phase(np.log(power * noise + air) / 2),
    )


def _minimum_phase(log: np.ndarray) -> np.ndarray:
    """Add to log magnitudes `[F, BINS]` the phase of minimum-phase filters: complex64."""
    cepstrum = fft.irfft(log.astype(np.float32), RESPONSE)
    cepstrum[:, 1 : RESPONSE // 2] *= 2.0
    cepstrum[:, RESPONSE // 2 + 1 :] = 0.0
    return fft.rfft(cepstrum)


def excite(
    tract: Tract, excitation: Excitation, num_samples: int, rng: np.random.Generator
) -> np.ndarray:
    """Make a tract sound: float32 `[num_samples]` at 44.1 kHz."""
    length = max(len(excitation.row) * HOP, num_samples) + 2 * RESPONSE
    audio = np.zeros(length, np.float32)
    _add_noise(audio, tract, excitation, rng)
    _add_pulses(audio, tract, excitation, rng)
    return audio[:num_samples]


def _add_noise(
    audio: np.ndarray, tract: Tract, excitation: Excitation, rng: np.random.Generator
) -> None:
    window = np.hanning(2 * HOP + 1)[:-1].astype(np.float32)
    sounding = np.flatnonzero(excitation.noise > 0)
    white = rng.standard_normal((len(excitation.row) + 1) * HOP, dtype=np.float32)
    segments = np.lib.stride_tricks.sliding_window_view(white, 2 * HOP)[::HOP]
    for frames in _chunks(sounding):
        filters = _between(tract.breath, excitation.row[frames], excitation.last[frames])
        gains = excitation.noise[frames].astype(np.float32)[:, None]
        spectra = fft.rfft(segments[frames] * window * gains, RESPONSE)
        response = fft.irfft(spectra * filters, RESPONSE)
        # Segment i begins a hop before its centre; what lies before the song is cut.
        for frame, sound in zip(frames.tolist(), response, strict=True):
            start = (frame - 1) * HOP
            skip = max(-start, 0)
            audio[start + skip : start + RESPONSE] += sound[skip:]


def _add_pulses(
    audio: np.ndarray, tract: Tract, excitation: Excitation, rng: np.random.Generator
) -> None:
    for first, last in _runs(excitation.voice > 0):
        span = np.arange(first * HOP, last * HOP)
        frames = np.arange(first, last)
        f0 = np.interp(span / HOP, frames, excitation.f0[first:last])
        phase = np.cumsum(f0 / SAMPLE_RATE)
        count = np.arange(1, int(phase[-1]) + 1)
        at = np.interp(count + _JITTER * rng.standard_normal(len(count)), phase, span)
        shimmer = 1.0 + _SHIMMER * rng.standard_normal(len(count))
        frame = np.minimum((at / HOP).astype(int), last - 1)
        after = np.minimum(frame + 1, last - 1)
        part = at / HOP - frame
        same = excitation.last[frame] == excitation.last[after]
        row = excitation.row[frame] + np.where(
            same, part * (excitation.row[after] - excitation.row[frame]), 0.0
        )
        gain = excitation.voice[frame] * (1 - part) + excitation.voice[after] * part
        gain *= shimmer * np.sqrt(SAMPLE_RATE / np.interp(at / HOP, frames, excitation.f0[frames]))
        for block in _chunks(np.arange(len(at))):
            whole = at[block].astype(int)
            late = (at[block] - whole).astype(np.float32)
            filters = _between(tract.pulse, row[block], excitation.last[frame[block]], late)
            filters *= gain[block].astype(np.float32)[:, None]
            filters[:, 0] = 0.0  # pulses all of one sign would add up to a swaying offset
            for start, sound in zip(whole.tolist(), fft.irfft(filters, RESPONSE), strict=True):
                audio[start : start + RESPONSE] += sound


def _between(
    table: np.ndarray, row: np.ndarray, last: np.ndarray, late: np.ndarray | None = None
) -> np.ndarray:
    """Interpolate between rows of log spectra, and delay the result by `late` samples each."""
    above = np.minimum(row.astype(int), last)
    weight = (row - above).astype(np.float32)[:, None]
    log = table[above]
    log += weight * (table[np.minimum(above + 1, last)] - log)
    phase = log.imag
    if late is not None:
        phase = phase - late[:, None] * _TURN
    # Several times as fast as the exponential function of complex numbers.
    size = np.exp(log.real)
    spectrum = np.empty_like(log)
    np.multiply(size, np.cos(phase), out=spectrum.real)
    np.multiply(size, np.sin(phase), out=spectrum.imag)
    return spectrum


def _chunks(items: np.ndarray) -> list[np.ndarray]:
    return [items[start : start + _CHUNK] for start in range(0, len(items), _CHUNK)]


def _runs(mask: np.ndarray) -> list[tuple[int, int]]:
    """Find each run of True: its first place and the first after it."""
    edges = np.diff(np.concatenate([[0], mask.astype(np.int8), [0]]))
    return list(
        zip(np.flatnonzero(edges == 1).tolist(), np.flatnonzero(edges == -1).tolist(), strict=True)
    )
