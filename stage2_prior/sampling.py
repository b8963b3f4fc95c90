"""Sample the notes and codes of a bass line for the codes of an accompaniment.

The delayed tokens of the whole song are one grid, which is filled column by column. Tokens that the
user gives are in the grid from the start and are never overwritten. The model reads a limited
window, so a long song is sampled in several windows of the grid. A later window begins with columns
that are already filled, just as windows in training begin in the middle of a song.

Guidance compares the logits that the model has with and without a condition, as in classifier-free
guidance: notes with and without the accompaniment, and codes with and without their notes.
"""

import math
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from shared.errors import require
from shared.music.notes import NoteVocabulary
from stage2_prior.delay_pattern import DelayPattern
from stage2_prior.drawing import draw
from stage2_prior.incremental import IncrementalDecoder, StepLogits
from stage2_prior.model import MASK, PAD, Prior
from stage2_prior.sampling_defaults import SamplingDefaults
from stage2_prior.scoring import log_prob

CONTEXT = 0.3  # share of a window that is already filled when a later window begins
LOOKAHEAD = 0.125  # share of a window that the encoder reads after the last frame sampled in it
RANKED_SECONDS = 2.0  # how much of the given bass after the last gap ranks the candidates
FREE = -1  # a token that is to be sampled
NOTES = NoteVocabulary.size


@dataclass(frozen=True)
class SamplingSettings(SamplingDefaults):
    """How to sample a line.

    Attributes:
        source_guidance: guidance by single sources of the accompaniment in addition to `guidance`,
            on the same scale; 1 adds nothing.
        seed: the seed of the random numbers.
        candidates: how many lines to sample. The one that fits the song best is returned.

    Raises:
        UserError: a value is out of range.
    """

    source_guidance: Mapping[str, float] = field(default_factory=dict)
    seed: int = 0
    candidates: int = 1

    def __post_init__(self) -> None:
        """Check the ranges."""
        super().__post_init__()
        for source, scale in self.source_guidance.items():
            require(
                math.isfinite(scale),
                f"the guidance by {source} is {scale}, but it must be a finite number",
            )
        require(self.seed >= 0, f"the seed is {self.seed}, but it must be at least 0")
        require(self.candidates >= 1, f"there are {self.candidates} candidates, but 1 is the least")

    @classmethod
    def of(cls, prior: Prior, **given: Any) -> "SamplingSettings":
        """Take the settings that were tuned for a prior, and replace those that are given.

        Args:
            prior: the prior, whose checkpoint holds the tuned settings.
            **given: settings by name; those that are None keep the tuned value.

        Raises:
            UserError: a value is out of range.
        """
        chosen = {name: value for name, value in given.items() if value is not None}
        return cls(**(asdict(prior.sampling) | chosen))


@dataclass(frozen=True, eq=False)
class GeneratedBass:
    """The best candidate.

    Attributes:
        codes: the codes of the bass `[H, T]`.
        notes: its note tokens `[T]`.
        log_prob_conditional: log-probability in nats of all tokens from the first sampled one on,
            given the accompaniment.
        log_prob_unconditional: the same without the accompaniment. Only the notes make the two
            differ.
        seconds: how long it took.
    """

    codes: npt.NDArray[np.uint16]
    notes: npt.NDArray[np.uint8]
    log_prob_conditional: float
    log_prob_unconditional: float
    seconds: float


@torch.inference_mode()
def generate(
    model: Prior,
    accompaniment: npt.NDArray[np.integer],
    settings: SamplingSettings,
    *,
    fixed: npt.NDArray[np.integer] | None = None,
    allowed_notes: npt.NDArray[np.bool_] | None = None,
) -> GeneratedBass:
    """Sample a bass line.

    Candidates are ranked by how much the accompaniment raises their log-probability. Where the
    given bass goes on after a gap, the log-probability of its codes counts too: the model reads
    only forwards, so this is how what follows a gap has an influence on what fills it. At most two
    seconds after the last gap count.

    Args:
        model: a prior in eval mode.
        accompaniment: codes `[S, H, T]`; `model.dropped` in all codebooks of a source that the
            model must not see.
        settings: how to sample.
        fixed: note tokens and codes `[1 + H, T]` that are given; FREE where a token is to be
            sampled. Everything is free by default.
        allowed_notes: for each frame the note tokens that may be sampled `[T, 97]`; all by default.

    Raises:
        UserError: an array or a setting does not fit the model.
    """
    started = time.monotonic()
    _check_accompaniment(model, accompaniment)
    shape = (1 + model.format.codebooks, accompaniment.shape[2])
    fixed = np.full(shape, FREE) if fixed is None else fixed
    _check_fixed(model, fixed, shape)
    allowed_notes = np.ones((shape[1], NOTES), np.bool_) if allowed_notes is None else allowed_notes
    require(
        allowed_notes.shape == (shape[1], NOTES) and bool(allowed_notes.any(1).all()),
        f"the allowed notes must be [{shape[1]}, {NOTES}], with at least one note in each frame",
    )
    device = model.code_head.weight.device
    sampler = _Sampler(model, settings, torch.from_numpy(allowed_notes).to(device))
    filled = sampler.fill(
        torch.from_numpy(accompaniment.astype(np.int64)).to(device),
        torch.from_numpy(fixed.astype(np.int64)).to(device),
    )
    best = int(filled.rank.argmax())
    tokens = model.pattern.revert(filled.grids[best]).cpu().numpy()
    return GeneratedBass(
        codes=tokens[1:].astype(np.uint16),
        notes=tokens[0].astype(np.uint8),
        log_prob_conditional=float(filled.log_probs[1, best]),
        log_prob_unconditional=float(filled.log_probs[0, best]),
        seconds=time.monotonic() - started,
    )


def _check_accompaniment(model: Prior, accompaniment: npt.NDArray[np.integer]) -> None:
    expected = (len(model.format.sources), model.format.codebooks)
    require(
        accompaniment.ndim == 3 and accompaniment.shape[:2] == expected,
        f"the accompaniment's codes have the shape {list(accompaniment.shape)}, but the prior "
        f"reads [{expected[0]}, {expected[1]}, frames]: use its own codec",
    )
    require(accompaniment.shape[2] > 0, "the accompaniment has no frames: give a longer song")
    require(
        accompaniment.min() >= 0 and accompaniment.max() <= model.dropped,
        f"the accompaniment's codes must lie in 0..{model.dropped - 1}: use the prior's own codec",
    )


def _check_fixed(model: Prior, fixed: npt.NDArray[np.integer], shape: tuple[int, int]) -> None:
    require(
        fixed.shape == shape,
        f"the given bass has the shape {list(fixed.shape)}, but this song needs {list(shape)}",
    )
    sizes = np.array(model.sizes)[:, None]
    require(
        bool(((fixed >= FREE) & (fixed < sizes)).all()),
        "the given bass holds tokens that the prior does not know: use its own codec",
    )


@dataclass(frozen=True)
class SongWindow:
    """A part of a song that the model reads at once.

    Attributes:
        start: the first frame that the encoder reads.
        first: the first step that is sampled.
        stop: the step after the last one that is sampled.
    """

    start: int
    first: int
    stop: int


def plan_windows(
    first: int, stop: int, frames: int, window: int, pattern: DelayPattern
) -> Iterator[SongWindow]:
    """Cover the steps from `first` until before `stop` of a song with windows.

    Every window but the last ends LOOKAHEAD before the last frame that its encoder reads. Every
    window but the first begins with CONTEXT of steps that are already filled.

    Args:
        first: the first step to sample.
        stop: the step after the last one to sample.
        frames: the number of frames of the song.
        window: the largest number of frames that the model reads at once.
        pattern: the delays of the streams.
    """
    length = min(window, frames)
    context, lookahead = int(window * CONTEXT), int(window * LOOKAHEAD)
    while first < stop:
        start = max(0, min(first - context, frames - length))
        is_last = start + length == frames
        end = min(stop, start + (pattern.steps(length) if is_last else length - lookahead))
        yield SongWindow(start, first, end)
        first = end


@dataclass(frozen=True, eq=False)
class _Filled:
    """The candidates, of which there are C.

    Attributes:
        grids: delayed tokens `[C, K, steps(T)]`.
        log_probs: log-probabilities without and with the accompaniment `[2, C]`.
        given_codes: log-probabilities of the codes that are given after the first sampled token
            `[C]`.
    """

    grids: Tensor
    log_probs: Tensor
    given_codes: Tensor

    @property
    def rank(self) -> Tensor:
        """The figure by which the best candidate is chosen `[C]`; higher is better."""
        return self.log_probs[1] - self.log_probs[0] + self.given_codes


class _Guidance:
    """The versions of the accompaniment under which notes are predicted, and their weights.

    The versions are: no accompaniment, all of it, and all but one source for each source with a
    guidance of its own. The logits of all versions are summed with the weights.
    """

    def __init__(self, settings: SamplingSettings, sources: Sequence[str]) -> None:
        unknown = set(settings.source_guidance) - set(sources)
        require(
            not unknown,
            f"there is no source '{', '.join(sorted(unknown))}': choose from {', '.join(sources)}",
        )
        given = [[True] * len(sources)]
        weights = [1 - settings.guidance, settings.guidance]
        for source, scale in settings.source_guidance.items():
            given.append([name != source for name in sources])
            weights.append(1 - scale)
            weights[1] += scale - 1
        self.given = torch.tensor(given)[:, :, None, None]  # [V - 1, S, 1, 1], without the first
        self.weights = torch.tensor(weights, dtype=torch.float32)  # [V]


class _Sampler:
    """Fills the grid.

    The decoder runs a batch of the candidates. Under note guidance the batch holds each candidate
    twice, the second time with its notes hidden.
    """

    def __init__(self, model: Prior, settings: SamplingSettings, allowed_notes: Tensor) -> None:
        self.model, self.settings = model, settings
        device = allowed_notes.device
        self.generator = torch.Generator(device).manual_seed(settings.seed)
        self.forbidden = torch.nn.functional.pad(  # the steps after the song have no note
            ~allowed_notes, (0, 0, 0, model.pattern.longest), value=False
        )
        guidance = _Guidance(settings, model.format.sources)
        self.given, self.weights = guidance.given.to(device), guidance.weights.to(device)
        self.hides_notes = settings.note_guidance != 1
        self.decoder = IncrementalDecoder(model, settings.candidates * (1 + self.hides_notes))

    def fill(self, codes: Tensor, fixed: Tensor) -> _Filled:
        """Sample every token that is free.

        Args:
            codes: codes of the accompaniment `[S, H, T]`.
            fixed: tokens of the bass `[K, T]`; FREE where one is to be sampled.
        """
        pattern, frames = self.model.pattern, codes.shape[-1]
        grid = pattern.apply(fixed, PAD)
        free = grid == FREE
        grids = grid.expand(self.settings.candidates, -1, -1).clone()
        log_probs = torch.zeros(2, self.settings.candidates, device=grid.device)
        filled = _Filled(grids, log_probs, torch.zeros_like(log_probs[0]))
        steps = free.any(0).nonzero().flatten().tolist()
        if not steps:
            return filled
        length = min(self.model.window, frames)
        silence = self.model.encode(torch.full_like(codes[None, ..., :length], self.model.dropped))
        ranked = round(RANKED_SECONDS * self.model.format.frame_rate)
        stop = min(pattern.steps(frames), steps[-1] + 1 + ranked)
        for window in plan_windows(steps[0], stop, frames, self.model.window, pattern):
            part = codes[..., window.start : window.start + length]
            memory = self.model.encode(part.where(self.given, self.model.dropped))
            self._fill_window(window, torch.cat((silence, memory)), free, filled)
        return filled

    def _fill_window(
        self, window: SongWindow, memory: Tensor, free: Tensor, filled: _Filled
    ) -> None:
        """Fill the steps of a window, whose accompaniment the encoder has read as `memory`."""
        steps = slice(window.first, window.stop)
        logits = [self._begin(memory, filled.grids[..., window.start : window.first])]
        with one_thread():
            for step in range(window.first, window.stop):
                self._draw(logits[-1], filled.grids, free, step)
                if step + 1 < window.stop:
                    logits.append(self.decoder.step(self._batch(filled.grids[:, :, step])))
        self._score(filled, logits, free[:, steps], steps)

    def _begin(self, memory: Tensor, columns: Tensor) -> StepLogits:
        """Read the columns of a window that are already filled; return the next step's logits."""
        # As in training, the model knows nothing about the frames before the window.
        inside = self.model.pattern.valid(memory.shape[1])[:, : columns.shape[-1]]
        tokens = columns.where(inside.to(columns.device), PAD)
        return self.decoder.start(memory, self._batch(tokens))

    def _batch(self, tokens: Tensor) -> Tensor:
        """Make the decoder's batch from the tokens of the candidates `[C, K, ...]`."""
        if not self.hides_notes:
            return tokens
        hidden = tokens.clone()
        hidden[:, 0].masked_fill_(tokens[:, 0] >= 0, MASK)
        return torch.cat((tokens, hidden))

    def _draw(self, logits: StepLogits, grids: Tensor, free: Tensor, step: int) -> None:
        """Draw the free tokens of one column of the grids."""
        settings, count = self.settings, len(grids)
        notes = torch.einsum("v,vcn->cn", self.weights, logits.note[:, :count])
        notes.masked_fill_(self.forbidden[step], -torch.inf)
        drawn_note = draw(notes, settings.note_temperature, settings, self.generator)
        codes = logits.codes[:count]
        if self.hides_notes:
            codes = logits.codes[count:].lerp(codes, settings.note_guidance)
        codes = codes.unflatten(-1, (self.model.format.codebooks, -1))
        drawn_codes = draw(codes, settings.temperature, settings, self.generator)
        drawn = torch.cat((drawn_note[:, None], drawn_codes), dim=1)
        grids[:, :, step] = drawn.where(free[:, step], grids[:, :, step])

    def _score(
        self, filled: _Filled, logits: Sequence[StepLogits], free: Tensor, steps: slice
    ) -> None:
        """Add the log-probabilities of the tokens of some steps."""
        columns = filled.grids[..., steps]  # [C, K, n]
        count = len(columns)
        notes = torch.stack([each.note[:2, :count] for each in logits], dim=2)  # [2, C, n, 97]
        codes = torch.stack([each.codes[:count] for each in logits], dim=1)  # [C, n, H m]
        filled.log_probs.add_(log_prob(notes, columns[:, 0].expand(2, -1, -1)).sum(-1))
        streams = codes.split(self.model.format.cardinality, dim=-1)
        for stream, tokens, drawn in zip(streams, columns[:, 1:].unbind(1), free[1:], strict=True):
            of_tokens = log_prob(stream, tokens)
            filled.log_probs.add_(of_tokens.sum(-1))
            filled.given_codes.add_((of_tokens * ~drawn).sum(-1))


@contextmanager
def one_thread() -> Iterator[None]:
    """Run torch on one thread: a single step is so small that a second thread slows it down."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
