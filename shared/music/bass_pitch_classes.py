"""Which pitch classes a bass plays, as probabilities over time.

A bass that was separated from a song sounds rough, but its pitch is found in most frames. That is
more than can be told of the harmony from the rest of the song.
"""

import numpy as np
import numpy.typing as npt
from scipy.ndimage import uniform_filter1d

from shared.music.yin_pitch import Floats

# The share of the frames in which YIN finds the right pitch class in a separated bass.
TRUST = 0.8


def bass_pitch_classes(
    times: Floats, pitch: Floats, num_frames: int, frame_rate: float, seconds: float
) -> npt.NDArray[np.float32]:
    """Return the probabilities of the pitch class of a bass in each frame `[num_frames, 12]`.

    Where the bass is quiet, all pitch classes are equal.

    Args:
        times: at even distances from 0 on, in seconds `[K]`.
        pitch: the pitch of the bass at these times, as MIDI numbers; nan where it is quiet `[K]`.
        num_frames: how many frames to return.
        frame_rate: frames per second. Frame t is at t / frame_rate seconds.
        seconds: the time over which probabilities are averaged, around each frame.
    """
    step = float(times[1]) if len(times) > 1 else 1.0
    nearest = np.round(np.arange(num_frames) / frame_rate / step).astype(int)
    heard = pitch[nearest.clip(0, len(pitch) - 1)]
    probabilities = np.full((num_frames, 12), 1 / 12, np.float32)
    sounding = np.flatnonzero(~np.isnan(heard))
    probabilities[sounding] = (1 - TRUST) / 11
    probabilities[sounding, np.round(heard[sounding]).astype(int) % 12] = TRUST
    window = max(1, round(seconds * frame_rate))
    return np.asarray(uniform_filter1d(probabilities, window, axis=0, mode="nearest"))
