"""Pitch of a bass line by librosa's pyin, on a signal decimated to about 11 kHz.

A bass's fundamental lies below 470 Hz, so nothing is lost, and pyin runs many times faster.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

LOWEST, HIGHEST = 23.0, 70.0  # MIDI: B0 of a five-string bass, to the top of its neck
WORKING_RATE = 11_025
WINDOW = 1024  # samples at about WORKING_RATE: 93 ms, almost three periods of B0
ATTACK_WINDOW, ATTACK_HOP, MEL_BANDS = 512, 128, 64
BINS_PER_SEMITONE = 4
# pyin's defaults are for voices: they let plucked notes of 0.1 s pass as unvoiced.
SWITCH_PROBABILITY = 0.3
THRESHOLD_PRIOR = (2, 8)
QUIET_DB = 40.0  # this far below the loud parts nothing is heard as a note


@dataclass(frozen=True, eq=False)
class PitchTrack:
    """Pitch over time; arrays are `[T]` but for the onsets.

    times: s, of the frames' centres.
    pitch: MIDI number with fraction, nan where no pitch is found or the line is quiet.
    confidence: 0..1. Where pitched, pyin's probability of voicing; where quiet, 1; where loud but
        without a pitch, 0.
    quiet: whether the level is QUIET_DB below the loud parts.
    onsets: s, of the attacks found by librosa's spectral flux and peak picking `[K]`.
    """

    times: npt.NDArray[np.float64]
    pitch: npt.NDArray[np.float64]
    confidence: npt.NDArray[np.float64]
    quiet: npt.NDArray[np.bool_]
    onsets: npt.NDArray[np.float64]


def track_pitch(
    samples: npt.NDArray[np.float32], sample_rate: int, frame_rate: float
) -> PitchTrack:
    """Audio `[C, N]` -> pitch at close to `frame_rate` frames per second, from time 0 on."""
    import librosa
    from scipy.signal import resample_poly

    factor = max(1, round(sample_rate / WORKING_RATE))
    mono = resample_poly(samples.mean(0, dtype=np.float64), 1, factor)
    rate = sample_rate / factor
    hop = max(1, round(rate / frame_rate))
    num_frames = 1 + len(mono) // hop
    times = np.arange(num_frames) * hop / rate
    if not np.any(mono):
        nothing = np.zeros(num_frames)
        return PitchTrack(times, nothing + np.nan, nothing + 1, nothing == 0, np.empty(0))

    frequency, voiced, voiced_probability = librosa.pyin(
        mono,
        fmin=float(librosa.midi_to_hz(LOWEST - 0.5)),
        fmax=float(librosa.midi_to_hz(HIGHEST + 0.5)),
        sr=rate,
        frame_length=WINDOW,
        hop_length=hop,
        resolution=1 / BINS_PER_SEMITONE,
        switch_prob=SWITCH_PROBABILITY,
        beta_parameters=THRESHOLD_PRIOR,
    )
    level = librosa.feature.rms(y=mono, frame_length=WINDOW, hop_length=hop)[0]
    loud = np.percentile(level[level > 0], 95)
    quiet = level < loud * 10 ** (-QUIET_DB / 20)
    pitched = voiced & ~quiet
    return PitchTrack(
        times=times,
        pitch=np.where(pitched, librosa.hz_to_midi(frequency), np.nan),
        confidence=np.where(pitched, voiced_probability, quiet),
        quiet=quiet,
        onsets=_attacks(mono, rate),
    )


def _attacks(mono: npt.NDArray[np.float64], rate: float) -> npt.NDArray[np.float64]:
    """Times in s at which librosa's spectral flux begins to rise to one of its peaks."""
    import librosa

    silence = ATTACK_WINDOW  # ahead, so that an attack at time 0 is a rise too
    frames = librosa.onset.onset_detect(
        onset_envelope=librosa.onset.onset_strength(
            y=np.pad(mono, (silence, 0)),
            sr=rate,
            hop_length=ATTACK_HOP,
            n_fft=ATTACK_WINDOW,
            n_mels=MEL_BANDS,
        ),
        sr=rate,
        hop_length=ATTACK_HOP,
        backtrack=True,
    )
    return np.maximum(np.asarray(frames) * ATTACK_HOP - silence, 0) / rate
