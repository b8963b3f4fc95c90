"""The pitch of a bass over time by YIN (yin.py).

It is much faster than pyin (pitch.py), but it also finds a pitch in noise.
"""

import numpy as np

from shared.music.notes import NoteVocabulary
from shared.music.yin import Floats, yin
from shared.sound.decimated import DecimatedFrames
from shared.sound.sliced import SlicedSamples

WORKING_RATE = 11_025  # Hz, about; the fundamental of a bass lies far below half of it
WINDOW, HOP = 1024, 256  # samples at the working rate: 93 ms, almost three periods of B0
QUIET_DB = 40.0  # a frame so far below the loud frames counts as silence


def yin_pitch(audio: SlicedSamples, sample_rate: int) -> tuple[Floats, Floats]:
    """Find the pitch of audio `[C, N]` in frames of about 23 ms.

    Returns:
        The times of the frames' centres in seconds `[T]`, and their pitches as MIDI numbers with a
        fraction `[T]`; nan where it is quiet.
    """
    factor = max(1, round(sample_rate / WORKING_RATE))
    rate = sample_rate / factor
    frames = DecimatedFrames(audio, factor, WINDOW, HOP)
    times = np.arange(frames.count) * HOP / rate
    lowest, highest = (_hertz(note) for note in (NoteVocabulary.LOW - 1, NoteVocabulary.HIGH + 1))
    levels, frequencies = [], []
    for block in frames.blocks():
        levels.append(np.sqrt(np.square(block).mean(1)))
        frequencies.append(yin(block, rate, lowest, highest))
    level = np.concatenate(levels)
    if not level.any():
        return times, np.full(len(times), np.nan)
    loud = np.percentile(level[level > 0], 95)
    pitch = 69 + 12 * np.log2(np.concatenate(frequencies) / 440)
    return times, np.where(level > loud * 10 ** (-QUIET_DB / 20), pitch, np.nan)


def _hertz(pitch: float) -> float:
    """Return the frequency of a MIDI number."""
    return float(440 * 2 ** ((pitch - 69) / 12))
