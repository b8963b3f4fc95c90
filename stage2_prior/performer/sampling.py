"""Play notes: sample the codes of a line from the performer, many phrases at a time."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from shared.device import one_thread
from shared.errors import require
from shared.music.notes import NoteVocabulary
from stage2_prior.cached_decoder import CachedDecoder
from stage2_prior.drawing import draw_with, gumbel_noise
from stage2_prior.loudness import LOUDNESSES, UNKNOWN_LOUDNESS
from stage2_prior.performer.network import PAD, SPECIAL, Performer
from stage2_prior.performer.phrases import Phrase, choose_reference, plan_phrases
from stage2_prior.performer.score import HIDDEN, HORIZON, hide_notes, make_score
from stage2_prior.performer.tone import TONES, UNKNOWN_TONE
from stage2_prior.sampling_defaults import SamplingDefaults

FREE = -1  # a code that is to be sampled
REFERENCE_SECONDS = 2.0  # the length of the stretch that all phrases continue
MOST_PHRASES = 16  # at the same time; more would need much memory and be no faster

Integers = npt.NDArray[np.integer]


@torch.inference_mode()
def perform(
    performer: Performer,
    notes: Integers,
    settings: SamplingDefaults,
    *,
    loudness: Integers | None = None,
    tone: int = UNKNOWN_TONE,
    fixed: Integers | None = None,
    seed: int = 0,
) -> npt.NDArray[np.uint16]:
    """Sample codes that play given notes.

    A short reference is played first, and all other phrases continue it at the same time
    (phrases.py). A phrase that follows codes that are given continues those instead. What is drawn
    in a phrase depends on the seed and on the place of the phrase, so that a phrase that is drawn
    again with another seed leaves the others as they are.

    Args:
        performer: a performer in eval mode.
        notes: note tokens `[T]`.
        settings: `temperature`, `top_k`, `top_p`, `min_p` and `note_guidance`, which says how
            strongly the notes decide the codes: 1 samples from the performer's own distribution.
        loudness: classes of loudness `[T]` (loudness.py); None if none is known.
        tone: the tone (tone.py).
        fixed: codes that are given `[H, T]`; FREE where one is to be sampled. All are free by
            default.
        seed: the seed of the random numbers.

    Returns:
        Codes `[H, T]`.

    Raises:
        UserError: an array or a number does not fit the performer.
    """
    books, frames = performer.format.codebooks, len(notes)
    fixed = np.full((books, frames), FREE) if fixed is None else fixed
    _check(performer, notes, loudness, tone, fixed, seed)
    codes = fixed.astype(np.int64)
    context = min(frames, performer.window // 2, _frames(performer, REFERENCE_SECONDS))
    known = (codes != FREE).all(0)
    reference = choose_reference(notes, known, context)
    player = _Player(performer, settings, _Line(notes, loudness, tone), seed)
    if not known[reference.slice].all():
        player.play(codes, [reference], Phrase(0, 0), known)
        known[reference.slice] = True
    # A cut may move, so that a phrase is up to 1.8 times as long as planned.
    length = max(1, (performer.window - context) // 2)
    phrases = plan_phrases(notes, (codes == FREE).any(0), length, context)
    for first in range(0, len(phrases), MOST_PHRASES):
        player.play(codes, phrases[first : first + MOST_PHRASES], reference, known)
    return codes.astype(np.uint16)


def _frames(performer: Performer, seconds: float) -> int:
    return max(1, round(seconds * performer.format.frame_rate))


def _check(
    performer: Performer,
    notes: Integers,
    loudness: Integers | None,
    tone: int,
    fixed: Integers,
    seed: int,
) -> None:
    books, frames = performer.format.codebooks, len(notes)
    require(
        notes.ndim == 1 and frames > 0 and notes.min() >= 0 and notes.max() < NoteVocabulary.size,
        f"the notes to play must be at least one token from 0 to {NoteVocabulary.size - 1}",
    )
    require(
        loudness is None
        or (
            loudness.shape == (frames,)
            and loudness.min() >= UNKNOWN_LOUDNESS
            and loudness.max() < LOUDNESSES
        ),
        f"the loudness must be {frames} classes from 0 to {LOUDNESSES - 1}, one for each frame, "
        f"or {UNKNOWN_LOUDNESS} where it is not known",
    )
    require(
        0 <= tone < len(TONES),
        f"there is no tone {tone}: choose a number from 0 to {len(TONES) - 1}",
    )
    require(
        fixed.shape == (books, frames)
        and fixed.min() >= FREE
        and fixed.max() < performer.format.cardinality,
        f"the given codes must be [{books}, {frames}], from 0 to "
        f"{performer.format.cardinality - 1}, or {FREE} where one is to be sampled",
    )
    require(seed >= 0, f"the seed is {seed}, but it must be at least 0")


@dataclass(frozen=True, eq=False)
class _Line:
    """What is to be played.

    Attributes:
        notes: note tokens `[T]`.
        loudness: classes of loudness `[T]`, or None.
        tone: the tone.
    """

    notes: Integers
    loudness: Integers | None
    tone: int

    def score(
        self, frames: npt.NDArray[np.int64], after: npt.NDArray[np.int64]
    ) -> npt.NDArray[np.int64]:
        """Make the score of some frames `[ROWS, F]`, as if they followed each other.

        Args:
            frames: the numbers of the frames `[F]`.
            after: the numbers of the frames that follow, in which the next note is looked for.
        """
        chosen = np.concatenate((frames, after))
        loudness = None if self.loudness is None else self.loudness[chosen]
        return make_score(self.notes[chosen], loudness, self.tone)[:, : len(frames)]


@dataclass(frozen=True, eq=False)
class _Prepared:
    """A phrase with what it continues, as the performer reads it.

    Attributes:
        phrase: the phrase.
        score: the score of context and phrase `[ROWS, F]`.
        grid: their delayed codes `[H, steps(F)]`.
        noise: Gumbel noise for every code `[steps(F), H, m]`.
    """

    phrase: Phrase
    score: npt.NDArray[np.int64]
    grid: Tensor
    noise: Tensor


class _Player:
    """Plays phrases. Under note guidance the batch holds each twice, then with its notes hidden."""

    def __init__(
        self, performer: Performer, settings: SamplingDefaults, line: _Line, seed: int
    ) -> None:
        self.performer, self.settings, self.line, self.seed = performer, settings, line, seed
        self.hides_notes = settings.note_guidance != 1
        self.device = performer.code_head.weight.device

    def play(
        self,
        codes: npt.NDArray[np.int64],
        phrases: Sequence[Phrase],
        past: Phrase,
        known: npt.NDArray[np.bool_],
    ) -> None:
        """Sample the free codes of some phrases.

        Args:
            codes: all codes of the line `[H, T]`, into which the new ones are written.
            phrases: what to play.
            past: the reference, whose codes are known.
            known: the frames whose codes a phrase may continue `[T]`.
        """
        prepared = []
        for phrase in phrases:
            before = Phrase(phrase.start - past.frames, phrase.start)
            follows = before.start >= 0 and bool(known[before.slice].all())
            prepared.append(self._prepare(codes, phrase, before if follows else past))
        steps = max(each.grid.shape[-1] for each in prepared)
        grids = torch.stack([_padded(each.grid, steps, PAD) for each in prepared])
        noise = torch.stack([_padded(each.noise.movedim(0, -1), steps, 0) for each in prepared])
        scores = self._embed_scores([each.score for each in prepared])
        self._fill(grids, noise.movedim(-1, 1), scores, past.frames)
        for each, grid in zip(prepared, grids, strict=True):
            played = self.performer.pattern.revert(grid[:, : each.grid.shape[-1]])
            played = played[:, past.frames : past.frames + each.phrase.frames]
            codes[:, each.phrase.slice] = played.numpy()

    def _prepare(self, codes: npt.NDArray[np.int64], phrase: Phrase, past: Phrase) -> _Prepared:
        """Put a phrase behind what it continues, and draw its random numbers."""
        # A few frames more are played, because the last codes of a frame are written after the
        # first ones of the frames that follow it.
        end = min(phrase.stop + self.performer.pattern.longest, codes.shape[1])
        frames = np.r_[past.slice, phrase.start : end]
        after = np.arange(end, min(end + HORIZON + 1, codes.shape[1]))
        grid = self.performer.pattern.apply(torch.from_numpy(codes[:, frames]), PAD)
        source = np.random.SeedSequence((self.seed, phrase.start)).generate_state(1, np.uint64)
        generator = torch.Generator().manual_seed(int(source[0]))
        shape = (grid.shape[-1], grid.shape[0], self.performer.format.cardinality)
        score = self.line.score(frames, after)
        return _Prepared(phrase, score, grid, gumbel_noise(shape, generator))

    def _embed_scores(self, scores: Sequence[npt.NDArray[np.int64]]) -> Tensor:
        """Embed the scores of a batch, which differ in length, as `[B, S, D]`."""
        longest = max(score.shape[1] for score in scores)
        if self.hides_notes:
            scores = [*scores, *(hide_notes(score) for score in scores)]
        rows = [_padded(torch.from_numpy(score), longest, HIDDEN) for score in scores]
        return self.performer.embed_score(torch.stack(rows).to(self.device))

    def _fill(self, grids: Tensor, noise: Tensor, scores: Tensor, known: int) -> None:
        """Fill the columns of grids from the step `known` on.

        Args:
            grids: delayed codes `[P, H, S]` of P phrases.
            noise: Gumbel noise `[P, S, H, m]`.
            scores: the embedded scores of the batch `[B, S, D]`, where B is P or 2 P.
            known: the number of steps that are filled already.
        """
        performer, count, steps = self.performer, len(grids), grids.shape[-1]
        free = grids == FREE
        grids_here, noise = grids.to(self.device), noise.to(self.device)
        free = free.to(self.device)
        decoder = CachedDecoder(performer.decoder, len(scores), steps)
        with one_thread():
            past = F.pad(grids_here[..., :known], (1, 0), value=PAD)
            x = scores[:, : known + 1] + self._batch(performer.embed_history(past))
            for step in range(known, steps):
                line = decoder.advance(x)[:, -1]
                logits = performer.code_logits(line)
                if self.hides_notes:
                    logits = logits[count:].lerp(logits[:count], self.settings.note_guidance)
                drawn = draw_with(noise[:, step], logits, self.settings.temperature, self.settings)
                column = drawn.where(free[..., step], grids_here[..., step])
                grids_here[..., step] = column
                if step + 1 < steps:
                    history = self._batch(performer.history(column + SPECIAL))
                    x = (scores[:, step + 1] + history)[:, None]
        grids.copy_(grids_here)

    def _batch(self, of_phrases: Tensor) -> Tensor:
        """Repeat what belongs to the phrases for the part of the batch with hidden notes."""
        return torch.cat((of_phrases, of_phrases)) if self.hides_notes else of_phrases


def _padded(values: Tensor, length: int, fill: int) -> Tensor:
    """Lengthen the last axis to `length`."""
    return F.pad(values, (0, length - values.shape[-1]), value=fill)
