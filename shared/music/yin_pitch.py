"""The pitch of a bass over time by YIN (de Cheveigné and Kawahara, 2002), as librosa computes it.

It takes a hundredth of the time of pyin (pitch.py), but finds a pitch in noise as well.
"""

import numpy as np
import numpy.typing as npt

from shared.music.notes import NoteVocabulary
from shared.sound.samples import Samples

WORKING_RATE = 11_025  # Hz, about; the fundamental of a bass lies far below half of it
WINDOW, HOP = 1024, 256  # samples at the working rate: 93 ms, almost three periods of B0
QUIET_DB = 40.0  # a frame so far below the loud frames counts as silence

Floats = npt.NDArray[np.float64]


def yin_pitch(audio: Samples, sample_rate: int) -> tuple[Floats, Floats]:
    """Find the pitch of audio `[C, N]` in frames of about 23 ms.

    Returns:
        The times of the frames' centres in seconds `[T]`, and their pitches as MIDI numbers with a
        fraction `[T]`; nan where it is quiet.
    """
    from scipy.signal import resample_poly

    from shared.sound.librosa_guard import librosa

    factor = max(1, round(sample_rate / WORKING_RATE))
    mono = resample_poly(audio.mean(0, dtype=np.float64), 1, factor)
    rate = sample_rate / factor
    times = np.arange(1 + len(mono) // HOP) * HOP / rate
    level = librosa.feature.rms(y=mono, frame_length=WINDOW, hop_length=HOP)[0]
    if not level.any():
        return times, np.full(len(times), np.nan)
    frequency = librosa.yin(
        mono,
        fmin=float(librosa.midi_to_hz(NoteVocabulary.LOW - 1)),
        fmax=float(librosa.midi_to_hz(NoteVocabulary.HIGH + 1)),
        sr=rate,
        frame_length=WINDOW,
        hop_length=HOP,
    )
    loud = np.percentile(level[level > 0], 95)
    pitch = np.where(level > loud * 10 ** (-QUIET_DB / 20), librosa.hz_to_midi(frequency), np.nan)
    return times, pitch
