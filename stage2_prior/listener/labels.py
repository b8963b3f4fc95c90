"""What the listener learns to name in each frame of a song."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from shared.music.song_facts import SongFacts

UNKNOWN = -1


@dataclass(frozen=True, eq=False)
class FrameLabels:
    """The chords and beats of a song, for each of its T frames.

    Attributes:
        root: the pitch class of the chord's root `[T]`; UNKNOWN where no chord is known.
        tones: the tones of the chord `[T, 12]`, 1 or 0; UNKNOWN where they are not known.
        beats: whether a beat, and whether a bar, begins in the frame `[T, 2]`, 1 or 0; UNKNOWN
            beside such a frame, where a label would be arbitrary, and in songs without known beats.
    """

    root: npt.NDArray[np.int8]
    tones: npt.NDArray[np.int8]
    beats: npt.NDArray[np.int8]

    @classmethod
    def of(cls, facts: SongFacts, frames: int, frame_rate: float) -> "FrameLabels":
        """Label the frames of a song by what is known of it."""
        root = np.full(frames, UNKNOWN, np.int8)
        tones = np.full((frames, 12), UNKNOWN, np.int8)
        for chord in facts.chords:
            part = slice(*(round(time * frame_rate) for time in (chord.start, chord.end)))
            if chord.root is not None:
                root[part] = chord.root
            if chord.tones:
                tones[part] = [pitch_class in chord.tones for pitch_class in range(12)]
        beats = np.stack(
            [_pulses(times, frames, frame_rate) for times in (facts.beats, facts.downbeats)], axis=1
        )
        return cls(root, tones, beats)


def _pulses(times: tuple[float, ...], frames: int, frame_rate: float) -> npt.NDArray[np.int8]:
    """Return 1 in the frames nearest to `times`, UNKNOWN beside them, and 0 elsewhere."""
    if not times:
        return np.full(frames, UNKNOWN, np.int8)
    labels = np.zeros(frames + 2, np.int8)
    nearest = np.round(np.asarray(times) * frame_rate).astype(int)
    nearest = nearest[nearest < frames] + 1
    labels[nearest - 1] = labels[nearest + 1] = UNKNOWN
    labels[nearest] = 1
    return labels[1:-1]
