"""A vocoder for singing: syllables analysed by WORLD, and their envelopes excited at another pitch.

The analysis is pyworld's (DIO, StoneMask, CheapTrick, D4C). The synthesis is our own: each glottal
pulse is the minimum-phase response of the spectral envelope at its time, and noise is filtered by the
aperiodic part of it. Minimum-phase log spectra are interpolated, so that the responses between two
frames are of minimum phase as well.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec

import numpy as np
from scipy import fft

from shared.band.render import SAMPLE_RATE
from shared.errors import UserError

FRAME_SECONDS = 0.005  # between two frames of the analysis
HOP = 256  # samples between two frames of the synthesis
_SIZE = 4 * HOP  # length of an impulse response
_BINS = _SIZE // 2 + 1
_HERTZ = np.arange(_BINS) * SAMPLE_RATE / _SIZE
_TURN = (2 * np.pi / _SIZE * np.arange(_BINS)).astype(np.float32)  # of phase by one sample
_FLOOR = 1e-10  # of the power of an envelope
_SONORITY = (500.0, 3500.0)  # Hz: where vowels are louder than nasals
_NUCLEUS = 9.0  # dB below its loudest frame a vowel still counts as one
_AUDIBLE = 42.0  # dB below its loudest frame a consonant is over
_DYING = 28.0  # dB below its loudest frame a voiced sound is over
_CLOSURE = 0.12  # s, the longest silence inside a word
_MAX_CODA = 0.20  # s, after the nucleus
_MAX_ONSET = 0.18  # s, before it
_CHUNK = 256  # pulses at a time, so that their spectra stay in the processor's cache


@dataclass(frozen=True)
class Syllable:
    """A spoken syllable in frames of FRAME_SECONDS.

    `envelope`: float32 `[F, 513]`, the natural logarithm of the power from 0 to 22050 Hz; `noise`:
    float32 `[F, 513]`, the share of that power that is noise; `voiced`: bool `[F]`; the vowel lasts
    from frame `nucleus[0]` until before `nucleus[1]`.
    """

    envelope: np.ndarray
    noise: np.ndarray
    voiced: np.ndarray
    nucleus: tuple[int, int]


@dataclass(frozen=True)
class Tract:
    """What excites to a voice: filters of many frames, one below the other.

    `pulse` and `breath`: complex64 `[F, 513]`, logarithms of the minimum-phase spectra that filter
    glottal pulses and noise.
    """

    pulse: np.ndarray
    breath: np.ndarray


def vocoder_available() -> bool:
    """Whether pyworld, which analyses speech, is installed."""
    return find_spec("pyworld") is not None


def analyse(speech: np.ndarray, rate: int) -> Syllable:
    """The syllable in `speech`, float64 `[N]` at `rate` Hz, without the silence around it.

    Its vowel is made even in loudness, to a mean power of one. Raises UserError where pyworld is
    missing and where no vowel is found.
    """
    try:
        import pyworld
    except ImportError as error:
        raise UserError("sung voices need pyworld; install it with pip (pyworld)") from error
    speech = np.ascontiguousarray(speech, np.float64)
    rough, times = pyworld.dio(
        speech, rate, f0_floor=60.0, f0_ceil=500.0, frame_period=1000 * FRAME_SECONDS
    )
    f0 = pyworld.stonemask(speech, rough, times, rate)
    envelope = pyworld.cheaptrick(speech, f0, times, rate)
    noise = pyworld.d4c(speech, f0, times, rate) ** 2
    voiced = (f0 > 0) & (noise.mean(axis=1) < 0.9)
    source = np.linspace(0.0, rate / 2, envelope.shape[1])
    band = (source >= _SONORITY[0]) & (source <= _SONORITY[1])
    sonority = 10 * np.log10(np.maximum(envelope[:, band].mean(axis=1), _FLOOR))
    nucleus = _nucleus(sonority, voiced)
    level = _level(speech, rate, len(f0))
    first, last = _audible(level, voiced, nucleus)
    log = np.log(np.maximum(envelope[first:last], _FLOOR)).astype(np.float32)
    log, noise = _widen(log, noise[first:last].astype(np.float32), voiced[first:last], rate)
    vowel = slice(nucleus[0] - first, nucleus[1] - first)
    _even_out(log, vowel)
    return Syllable(log, noise, voiced[first:last], (vowel.start, vowel.stop))


def _nucleus(sonority: np.ndarray, voiced: np.ndarray) -> tuple[int, int]:
    """The frames around the most sonorous voiced one that stay near it in level (dB)."""
    smooth = np.convolve(np.pad(sonority, 2, mode="edge"), np.full(5, 0.2), mode="valid")
    smooth = np.where(voiced, smooth, -np.inf)
    peak = int(np.argmax(smooth))
    low = np.flatnonzero(smooth < smooth[peak] - _NUCLEUS)
    before, after = low[low < peak], low[low > peak]
    first = int(before[-1]) + 1 if len(before) else 0
    last = int(after[0]) if len(after) else len(smooth)
    if not voiced[peak] or last - first < 6:
        raise UserError("no vowel was found in a spoken word")
    return first, last


def _level(speech: np.ndarray, rate: int, frames: int) -> np.ndarray:
    """The power of 20 ms around each frame in dB: `[frames]`."""
    energy = np.cumsum(np.pad(speech**2, (1, 0)))
    centre = np.arange(frames) * FRAME_SECONDS * rate
    bounds = np.clip([centre - 0.01 * rate, centre + 0.01 * rate], 0, len(speech)).astype(int)
    return 10 * np.log10(np.maximum(np.diff(energy[bounds], axis=0)[0] / (0.02 * rate), _FLOOR))


def _audible(level: np.ndarray, voiced: np.ndarray, nucleus: tuple[int, int]) -> tuple[int, int]:
    """The frames in which the word is heard, for as long as consonants last."""
    # Some recordings hiss; a vowel that dies away is over before a consonant would be.
    hiss = float(np.percentile(level, 10))
    least = np.where(voiced, level.max() - _DYING, max(level.max() - _AUDIBLE, hiss + 10.0))
    heard = level > least
    heard[nucleus[0] : nucleus[1]] = True
    loud = np.flatnonzero(heard)
    # A word has gaps, before plosives, but no long ones.
    words = np.split(loud, np.flatnonzero(np.diff(loud) > _CLOSURE / FRAME_SECONDS) + 1)
    loud = next(word for word in words if word[0] <= nucleus[0] <= word[-1])
    first = max(int(loud[0]), nucleus[0] - round(_MAX_ONSET / FRAME_SECONDS))
    last = min(int(loud[-1]) + 1, nucleus[1] + round(_MAX_CODA / FRAME_SECONDS))
    return min(first, nucleus[0]), max(last, nucleus[1])


def _widen(
    log: np.ndarray, noise: np.ndarray, voiced: np.ndarray, rate: int
) -> tuple[np.ndarray, np.ndarray]:
    """Envelopes at `rate` Hz brought to 44.1 kHz.

    Above the band of the recording they fall on: vowels by 18 dB an octave, consonants by 8, all noise.
    """
    edge = 0.45 * rate
    position = np.minimum(_HERTZ, edge) / (rate / 2) * (log.shape[1] - 1)
    log, noise = _read_columns(log, position), _read_columns(noise, position)
    beyond = edge < _HERTZ
    near = (0.8 * edge < _HERTZ) & ~beyond
    octaves = np.log2(_HERTZ[beyond] / edge).astype(np.float32)
    slope = np.where(voiced, 18.0, 8.0).astype(np.float32) * np.float32(np.log(10) / 10)
    log[:, beyond] = log[:, near].mean(axis=1, keepdims=True) - slope[:, None] * octaves
    noise[:, beyond] = np.maximum(noise[:, beyond], 0.9)
    return log, noise


def _read_columns(table: np.ndarray, position: np.ndarray) -> np.ndarray:
    """`table` `[F, M]` between its columns, linearly, at `position` `[K]`: `[F, K]`."""
    left = np.minimum(position.astype(int), table.shape[1] - 2)
    weight = (position - left).astype(table.dtype)
    return table[:, left] * (1 - weight) + table[:, left + 1] * weight


def _even_out(log: np.ndarray, vowel: slice) -> None:
    """Bring a vowel's mean power to one, and its frames most of the way to it; in place.

    A consonant stays 3 dB below its vowel, or as far below as it is.
    """
    power = np.log(np.exp(log).mean(axis=1))
    mean = power[vowel].mean()
    log -= mean
    excess = np.maximum(power - mean + np.log(2.0), 0.0)
    excess[vowel] = 0.7 * (power[vowel] - mean)
    log -= excess[:, None].astype(log.dtype)


def build_tract(
    syllables: list[Syllable],
    formants: float = 1.0,
    contrast: float = 1.0,
    tilt: float = 0.0,
    breath: float = 0.0,
) -> Tract:
    """The filters of `syllables`, one below the other.

    `formants` moves the formants by that factor; `contrast` deepens (above 1) or flattens them; `tilt`
    raises what lies above 1 kHz by so many dB an octave; `breath` 0-1 turns tone above 2 kHz into
    noise and adds more of it.
    """
    log = np.concatenate([syllable.envelope for syllable in syllables]).astype(np.float32)
    noise = np.concatenate([syllable.noise for syllable in syllables]).astype(np.float32)
    position = np.minimum(np.arange(_BINS) / formants, _BINS - 1)
    log, noise = _read_columns(log, position), _read_columns(noise, position)
    octaves = np.log2(np.maximum(_HERTZ, 1000.0) / 1000.0)
    log += (tilt * np.log(10) / 10 * octaves).astype(np.float32)
    airy = breath * np.clip(_HERTZ / 2000.0 - 1.0, 0.0, 1.0).astype(np.float32)
    noise = np.clip(1.0 - (1.0 - noise) * (1.0 - airy), 1e-6, 1.0 - 1e-6)
    cepstrum = fft.irfft(log / 2, _SIZE)  # of the magnitude
    # Quefrencies of 0.2 to 3 ms hold the formants.
    cepstrum[:, 8 : _SIZE // 8] *= np.float32(contrast)
    cepstrum[:, -_SIZE // 8 + 1 : -7] *= np.float32(contrast)
    power = np.exp(2 * fft.rfft(cepstrum).real)
    # Air flows whatever the vowel: between 4 and 12 kHz it is 50 to 30 dB below the voice.
    band = np.clip(_HERTZ / 4000.0, 0.0, 1.0) ** 4 / (1.0 + (_HERTZ / 12000.0) ** 4)
    air = 10 ** (2.0 * breath - 5.0) * band.astype(np.float32)
    air = air * power.mean(axis=1, keepdims=True)
    return Tract(
        _minimum_phase(np.log(power * (1.0 - noise)) / 2),
        _minimum_phase(np.log(power * noise + air) / 2),
    )


def _minimum_phase(log: np.ndarray) -> np.ndarray:
    """Log magnitudes `[F, 513]` with the phase that makes them minimum-phase: complex64."""
    cepstrum = fft.irfft(log.astype(np.float32), _SIZE)
    cepstrum[:, 1 : _SIZE // 2] *= 2.0
    cepstrum[:, _SIZE // 2 + 1 :] = 0.0
    return fft.rfft(cepstrum)


@dataclass(frozen=True)
class Excitation:
    """How a tract is excited, in frames of HOP samples; frame i is centred on sample i * HOP.

    `row`: float64 `[M]`, a place between the rows of the tract, at `row` and the row below, but never
    past `last`, int `[M]`; `f0`: Hz `[M]`; `voice` and `noise`: gains `[M]` of pulses and noise.
    """

    row: np.ndarray
    last: np.ndarray
    f0: np.ndarray
    voice: np.ndarray
    noise: np.ndarray


def excite(
    tract: Tract, excitation: Excitation, num_samples: int, rng: np.random.Generator
) -> np.ndarray:
    """The voice: float32 `[num_samples]`."""
    length = max(len(excitation.row) * HOP, num_samples) + 2 * _SIZE
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
        spectra = fft.rfft(segments[frames] * window * gains, _SIZE)
        response = fft.irfft(spectra * filters, _SIZE)
        # Segment i begins a hop before its centre; what lies before the song is cut.
        for frame, sound in zip(frames.tolist(), response, strict=True):
            start = (frame - 1) * HOP
            skip = max(-start, 0)
            audio[start + skip : start + _SIZE] += sound[skip:]


def _add_pulses(
    audio: np.ndarray, tract: Tract, excitation: Excitation, rng: np.random.Generator
) -> None:
    for first, last in _runs(excitation.voice > 0):
        span = np.arange(first * HOP, last * HOP)
        frames = np.arange(first, last)
        f0 = np.interp(span / HOP, frames, excitation.f0[first:last])
        phase = np.cumsum(f0 / SAMPLE_RATE)
        count = np.arange(1, int(phase[-1]) + 1)
        # Jitter: the vocal folds are not a clock.
        at = np.interp(count + 0.004 * rng.standard_normal(len(count)), phase, span)
        shimmer = 1.0 + 0.03 * rng.standard_normal(len(count))
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
            for start, sound in zip(whole.tolist(), fft.irfft(filters, _SIZE), strict=True):
                audio[start : start + _SIZE] += sound


def _between(
    table: np.ndarray, row: np.ndarray, last: np.ndarray, late: np.ndarray | None = None
) -> np.ndarray:
    """Spectra at places between the rows of a table of their logarithms, `late` samples later."""
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
    """First and last + 1 of each run of True."""
    edges = np.diff(np.concatenate([[0], mask.astype(np.int8), [0]]))
    return list(
        zip(np.flatnonzero(edges == 1).tolist(), np.flatnonzero(edges == -1).tolist(), strict=True)
    )
