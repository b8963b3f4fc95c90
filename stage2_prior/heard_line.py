"""The line that the listener hears by itself: its most probable note in every frame.

It stands for a prior without a composer, whose notes are read off frame by frame, as a stream of
notes ahead of the codes would be.
"""

import numpy as np

from shared.music.notes import Note, NoteVocabulary, tokens_to_notes
from stage2_prior.composer.features import ONSET, PITCH, REST, Hearing
from stage2_prior.composer.grid_notes import LOWEST

SURE_OF_ONSET = 0.5  # the probability from which on a note begins in a frame


def most_probable_notes(hearing: Hearing) -> list[Note]:
    """Return the notes, in seconds from the first frame."""
    pitch = hearing.features[:, PITCH].argmax(1)
    sustain = np.array([NoteVocabulary.sustain(LOWEST + number) for number in pitch])
    onset = np.array([NoteVocabulary.onset(LOWEST + number) for number in pitch])
    begins = hearing.features[:, ONSET] > SURE_OF_ONSET
    sounds = hearing.features[:, PITCH].max(1) > hearing.features[:, REST]
    tokens = np.where(sounds, np.where(begins, onset, sustain), NoteVocabulary.REST)
    return tokens_to_notes(tokens, hearing.frame_rate)
