"""Play the notes of a line, and play phrases again that do not sound like their notes."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from shared.sound.sliced import SlicedSamples
from stage2_prior.loudness import UNKNOWN_LOUDNESS
from stage2_prior.performer.check import PlayedNotes, failed_phrases, listen_to_notes
from stage2_prior.performer.network import Performer
from stage2_prior.performer.phrases import Phrase, plan_phrases
from stage2_prior.performer.sampling import FREE, Integers, perform
from stage2_prior.performer.tone import UNKNOWN_TONE
from stage2_prior.sampling_defaults import SamplingDefaults

PHRASE_SECONDS = 3.0  # the length of what is judged, and played again, as one
TRIES = 3  # how often a phrase is played at most


@dataclass(frozen=True, eq=False)
class Listening:
    """How the codes of a line can be heard.

    Attributes:
        decode: turns codes `[H, T]` into audio `[2, N]` that begins with their first frame.
        sample_rate: of that audio, in Hz.
    """

    decode: Callable[[npt.NDArray[np.uint16]], SlicedSamples]
    sample_rate: int


@dataclass(frozen=True)
class Checked:
    """What was heard when a line was checked.

    Attributes:
        phrases: how many phrases were played.
        repeats: how often one of them was played again.
        failed: how many of them still hold wrong notes.
        right_share: the share of the time of all notes in which the note is heard; nan without
            notes.
    """

    phrases: int
    repeats: int
    failed: int
    right_share: float


@dataclass(frozen=True, eq=False)
class Score:
    """What is to be played.

    Attributes:
        notes: note tokens `[T]`.
        loudness: classes of loudness `[T]`.
        tone: the tone.
        fixed: codes that are given `[H, T]`; FREE where one is to be played.
        lead: note tokens and codes `[1 + H, L]` of a bass that the line continues, or None.
    """

    notes: Integers
    loudness: Integers
    fixed: Integers
    tone: int = UNKNOWN_TONE
    lead: Integers | None = None


@dataclass(frozen=True, eq=False)
class Performance:
    """A line that was played.

    Attributes:
        codes: its codes `[H, T]`.
        checked: what was heard in them; None where nobody listened.
    """

    codes: npt.NDArray[np.uint16]
    checked: Checked | None


def play_line(
    performer: Performer,
    score: Score,
    settings: SamplingDefaults,
    seed: int,
    listening: Listening | None = None,
) -> Performance:
    """Play a line, and play those phrases again of which too much sounds like other notes.

    Of all tries of a phrase, the one is kept in which most of the time sounds like its notes.

    Args:
        performer: a performer in eval mode.
        score: what is to be played.
        settings: how to sample.
        seed: the seed of the first try; each further try has the next one.
        listening: how the line can be heard; without it, each phrase is played once.

    Raises:
        UserError: an array or a number does not fit the performer.
    """
    codes = _play(performer, score, settings, seed)
    if listening is None:
        return Performance(codes, None)
    rate = performer.format.frame_rate
    free = (score.fixed == FREE).any(0)
    phrases = plan_phrases(score.notes, free, max(1, round(PHRASE_SECONDS * rate)), 0)

    def listen(codes: npt.NDArray[np.uint16]) -> PlayedNotes:
        audio = listening.decode(codes)
        return listen_to_notes(audio, score.notes, listening.sample_rate, rate)

    heard, repeats = listen(codes), 0
    for attempt in range(1, TRIES):
        failed = failed_phrases(heard, phrases)
        if not failed:
            break
        repeats += len(failed)
        again = _play(performer, _only(score, codes, failed), settings, seed + attempt)
        heard_again = listen(again)
        for phrase in failed:
            if heard_again.within(phrase).right_share > heard.within(phrase).right_share:
                codes[:, phrase.slice] = again[:, phrase.slice]
                heard = heard.with_those_of(heard_again, phrase)
    wrong = len(failed_phrases(heard, phrases))
    return Performance(codes, Checked(len(phrases), repeats, wrong, heard.right_share))


def _only(score: Score, codes: Integers, phrases: Sequence[Phrase]) -> Score:
    """Return a score in which only these phrases are to be played, and the others have codes."""
    fixed = codes.astype(np.int64)
    for phrase in phrases:
        fixed[:, phrase.slice] = score.fixed[:, phrase.slice]
    return replace(score, fixed=fixed)


def _play(
    performer: Performer, score: Score, settings: SamplingDefaults, seed: int
) -> npt.NDArray[np.uint16]:
    lead = np.zeros((1 + len(score.fixed), 0), np.int64) if score.lead is None else score.lead
    before = lead.shape[1]
    codes = perform(
        performer,
        np.concatenate((lead[0], score.notes)),
        settings,
        loudness=np.concatenate((np.full(before, UNKNOWN_LOUDNESS), score.loudness)),
        tone=score.tone,
        fixed=np.concatenate((lead[1:], score.fixed), axis=1),
        seed=seed,
    )
    return codes[:, before:]
