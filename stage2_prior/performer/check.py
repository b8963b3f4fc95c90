"""Check whether a sound plays the notes that it should play.

YIN estimates the pitch of every frame of the sound (shared/music/yin_pitch.py). A note is
played if, in at least half of the frames in which it sounds, the pitch lies within 50 cents of it.
Octaves are not told apart, because the overtones of a bass are often louder than its fundamental.
In 20 rendered songs with their true notes this accepts 97.5 % of the notes. Of notes that are a
semitone or a whole tone away from the true ones it accepts at most 0.6 %.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from shared.errors import require
from shared.music.notes import NoteVocabulary, tokens_to_notes
from shared.music.yin_pitch import yin_pitch
from shared.sound.sliced import SlicedSamples
from stage2_prior.performer.phrases import Phrase

ATTACK_SECONDS = 0.03  # the noise at the beginning of a note that is not judged
NEAR = 0.5  # semitones
ENOUGH = 0.5  # share of the frames of a note that must have its pitch
MOST_WRONG = 0.1  # share of the time of a phrase in which wrong notes are tolerated

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class PlayedNotes:
    """How the notes of a line are played. All arrays are `[N]`, in the order of the notes.

    Attributes:
        start: the frames of codes in which the notes begin.
        stop: the frames after their ends.
        agreement: the shares of their sounding frames that have their pitch; 0 where a note cannot
            be heard at all.
    """

    start: npt.NDArray[np.int64]
    stop: npt.NDArray[np.int64]
    agreement: Floats

    @property
    def is_right(self) -> npt.NDArray[np.bool_]:
        """Whether each note is played."""
        return self.agreement >= ENOUGH

    @property
    def right_share(self) -> float:
        """The share of the time of all notes in which the note is played; nan without notes."""
        frames = self.stop - self.start
        return float((frames * self.is_right).sum() / frames.sum()) if len(frames) else float("nan")

    def within(self, phrase: Phrase) -> "PlayedNotes":
        """Return the notes that begin in a phrase."""
        inside = self._begin_in(phrase)
        return PlayedNotes(self.start[inside], self.stop[inside], self.agreement[inside])

    def with_those_of(self, other: "PlayedNotes", phrase: Phrase) -> "PlayedNotes":
        """Replace the notes that begin in a phrase by those of another performance of the line."""
        agreement = np.where(self._begin_in(phrase), other.agreement, self.agreement)
        return PlayedNotes(self.start, self.stop, agreement)

    def _begin_in(self, phrase: Phrase) -> npt.NDArray[np.bool_]:
        return (self.start >= phrase.start) & (self.start < phrase.stop)


def listen_to_notes(
    audio: SlicedSamples, notes: npt.NDArray[np.integer], sample_rate: int, frame_rate: float
) -> PlayedNotes:
    """Compare a sound with the notes that it should play.

    Args:
        audio: the sound of the bass alone `[2, N]`, from frame 0 of the notes on.
        notes: note tokens `[T]`.
        sample_rate: of the sound, in Hz.
        frame_rate: of the notes, in Hz.

    Raises:
        UserError: the notes hold values that are no tokens.
    """
    require(
        bool(((notes >= 0) & (notes < NoteVocabulary.size)).all()),
        f"the notes of the line must be tokens from 0 to {NoteVocabulary.size - 1}",
    )
    wanted = tokens_to_notes(notes, frame_rate)
    times, pitch = yin_pitch(audio, sample_rate)
    agreement = np.zeros(len(wanted))
    for index, note in enumerate(wanted):
        attack = min(ATTACK_SECONDS, note.duration / 4)
        heard = pitch[(times >= note.onset + attack) & (times <= note.end)]
        distance = np.abs((heard[~np.isnan(heard)] - note.pitch + 6) % 12 - 6)
        if len(distance):
            agreement[index] = np.mean(distance < NEAR)
    edges = np.round([[note.onset, note.end] for note in wanted] * np.array(frame_rate))
    start, stop = edges.astype(np.int64).reshape(-1, 2).T
    return PlayedNotes(start, stop, agreement)


def failed_phrases(
    played: PlayedNotes, phrases: Sequence[Phrase], most_wrong: float = MOST_WRONG
) -> list[Phrase]:
    """Return the phrases in which wrong notes take more than a share `most_wrong` of the time."""
    return [phrase for phrase in phrases if played.within(phrase).right_share < 1 - most_wrong]
