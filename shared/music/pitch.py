"""The pitch and the attacks of a bass line, found by librosa in a signal decimated to about 11 kHz.

The fundamental of a bass lies below 470 Hz, so that the decimation loses nothing, and pyin runs
many times faster.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from shared.music.notes import NoteVocabulary

WORKING_RATE = 11_025  # Hz
WINDOW = 1024  # samples at about WORKING_RATE: 93 ms, almost three periods of B0
ATTACK_WINDOW, ATTACK_HOP, MEL_BANDS = 512, 128, 64
BINS_PER_SEMITONE = 4
# pyin's defaults are made for voices: with them plucked notes of 0.1 s count as unvoiced.
SWITCH_PROBABILITY = 0.3
THRESHOLD_PRIOR = (2, 8)
QUIET_DB = 40.0  # a frame so far below the loud frames counts as silence


@dataclass(frozen=True, eq=False)
class PitchTrack:
    """The pitch of a line over time. All arrays are `[T]`, except the onsets.

    Attributes:
        times: the frames' centres in seconds.
        pitch: MIDI numbers with a fraction, nan where there is no pitch or the line is quiet.
        confidence: from 0 to 1: pyin's probability of voicing where there is a pitch, 1 where the
            line is quiet, and 0 where it is loud but has no pitch.
        quiet: whether the level lies QUIET_DB below the loud frames.
        onsets: times of the attacks in seconds `[K]`, by librosa's spectral flux and peak picking.
    """

    times: npt.NDArray[np.float64]
    pitch: npt.NDArray[np.float64]
    confidence: npt.NDArray[np.float64]
    quiet: npt.NDArray[np.bool_]
    onsets: npt.NDArray[np.float64]


def track_pitch(
    samples: npt.NDArray[np.float32], sample_rate: int, frame_rate: float
) -> PitchTrack:
    """Find the pitch of audio `[C, N]` from time 0 on, at nearly `frame_rate` frames per second."""
    from scipy.signal import resample_poly

    from shared.sound.librosa_guard import librosa

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
        fmin=float(librosa.midi_to_hz(NoteVocabulary.LOW - 0.5)),
        fmax=float(librosa.midi_to_hz(NoteVocabulary.HIGH + 0.5)),
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
    """Find the times in s at which the spectral flux begins to rise to one of its peaks."""
    from shared.sound.librosa_guard import librosa

    silence = ATTACK_WINDOW  # put before the signal, so that an attack at time 0 is a rise too
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
