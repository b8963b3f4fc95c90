"""Sampling: from the codes of an accompaniment to the notes and codes of a bass line.

The delayed tokens of the whole song are one grid, filled column by column; what the user gives
is in it from the start and is never overwritten. Windows are views of that grid: when one ends, the next
is begun with the columns already there, just as training windows begin within a song. Two guidances compare
logits: notes with the song and without it, codes with their notes and without them.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from shared.errors import require
from shared.music.notes import NoteVocabulary
from stage2_prior.incremental import IncrementalDecoder, StepLogits
from stage2_prior.model import MASK, PAD, Prior

CONTEXT = 0.3  # share of a window that a later window starts with, already written
LOOKAHEAD = 0.125  # share of a window that the encoder hears beyond the last frame written
AFTERMATH_SECONDS = 2.0  # of given bass after the last gap, by which candidates are judged too
FREE = -1  # a token that is to be drawn
NOTES = NoteVocabulary.size


@dataclass(frozen=True)
class SamplingSettings:
    """How to draw.

    guidance: how strongly the song decides the notes; 1: as learned, 0: not at all. source_guidance: the same
        of single sources, on top.
    note_guidance: how strongly the notes decide the codes.
    """

    temperature: float = 0.7
    note_temperature: float = 0.7
    top_k: int = 0  # 0: all
    top_p: float = 1.0
    min_p: float = 0.02  # of the likeliest token's probability
    guidance: float = 3.0
    note_guidance: float = 2.0
    source_guidance: Mapping[str, float] = field(default_factory=dict)
    seed: int = 0
    candidates: int = 1

    def __post_init__(self) -> None:
        require(self.temperature >= 0, "the temperature must not be negative")
        require(self.note_temperature >= 0, "the note temperature must not be negative")
        require(self.top_k >= 0, "top-k must not be negative (0 keeps all)")
        require(0 < self.top_p <= 1, "top-p must be above 0 and at most 1")
        require(0 <= self.min_p < 1, "min-p must be at least 0 and below 1")
        require(self.guidance >= 0, "the guidance must not be negative (1: as learned)")
        require(self.note_guidance >= 0, "the note guidance must not be negative (1: as learned)")
        require(self.candidates >= 1, "there must be at least 1 candidate")
        require(self.seed >= 0, "the seed must not be negative")


@dataclass(frozen=True, eq=False)
class GeneratedBass:
    """The best candidate.

    codes: `[H, T]`. notes: tokens `[T]`.
    log_prob_conditional, log_prob_unconditional: nats, of all tokens from the first drawn on, given
        the song and given no song. Their difference, which only the notes make, ranked the candidates,
        together with the likelihood of what was given after a gap.
    seconds: time it took.
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
    """Write a bass line.

    The model reads forwards. Of a gap's two sides, the left one leads into what is drawn; the right
    one chooses among the candidates: by how likely its codes are after each, for two seconds after
    the last gap.

    Args:
        model: a prior in eval mode.
        accompaniment: codes `[S, H, T]`; `model.dropped` in all codebooks where a source is not to
            be heard.
        fixed: note tokens and codes `[1 + H, T]` that are given, FREE where one is to be drawn.
        allowed_notes: `[T, 97]`, the tokens among which to draw a note.

    Raises:
        UserError: arrays or settings that do not fit the model.
    """
    started = time.monotonic()
    _check_accompaniment(model, accompaniment)
    shape = (1 + model.format.codebooks, accompaniment.shape[2])
    fixed = np.full(shape, FREE) if fixed is None else fixed
    _check_fixed(model, fixed, shape)
    allowed_notes = np.ones((shape[1], NOTES), np.bool_) if allowed_notes is None else allowed_notes
    require(
        allowed_notes.shape == (shape[1], NOTES) and bool(allowed_notes.any(1).all()),
        f"the allowed notes must be [{shape[1]}, {NOTES}], at least one in each frame",
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
        f"the accompaniment's codes have the shape {list(accompaniment.shape)}, but the prior reads "
        f"[{expected[0]}, {expected[1]}, frames]: use its own codec",
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


@dataclass(frozen=True, eq=False)
class _Filled:
    """The candidates' grids `[C, K, steps(T)]`; log-probabilities `[2, C]`, given no song and given the song;
    and of the codes that were given after the first drawn token `[C]`.
    """

    grids: Tensor
    log_probs: Tensor
    given_codes: Tensor

    @property
    def rank(self) -> Tensor:
        """What the best candidate has most of `[C]`."""
        return self.log_probs[1] - self.log_probs[0] + self.given_codes


class _Sampler:
    """Fills the grid.

    Notes are drawn under several variants of the song. A batch holds the candidates, and under note guidance all
    of them once more, with their notes hidden.
    """

    def __init__(self, model: Prior, settings: SamplingSettings, allowed_notes: Tensor) -> None:
        self.model, self.settings = model, settings
        device = allowed_notes.device
        self.generator = torch.Generator(device).manual_seed(settings.seed)
        self.forbidden = torch.nn.functional.pad(  # beyond the song nothing is chosen
            ~allowed_notes, (0, 0, 0, model.pattern.longest), value=False
        )
        sources = model.format.sources
        unknown = set(settings.source_guidance) - set(sources)
        require(
            not unknown,
            f"there is no source '{', '.join(sorted(unknown))}': choose from {', '.join(sources)}",
        )
        # Variants: no song, the whole song, and the song without each guided source.
        heard = [[True] * len(sources)]
        weights = [1 - settings.guidance, settings.guidance]
        for source, scale in settings.source_guidance.items():
            heard.append([name != source for name in sources])
            weights.append(1 - scale)
            weights[1] += scale - 1
        self.heard = torch.tensor(heard, device=device)[:, :, None, None]
        self.weights = torch.tensor(weights, dtype=torch.float32, device=device)
        self.hides_notes = settings.note_guidance != 1
        self.decoder = IncrementalDecoder(model, settings.candidates * (1 + self.hides_notes))

    def fill(self, codes: Tensor, fixed: Tensor) -> _Filled:
        """Draw what is free.

        Args:
            codes: accompaniment `[S, H, T]`.
            fixed: tokens `[K, T]`, FREE where to draw.
        """
        pattern, window = self.model.pattern, self.model.window
        frames = codes.shape[-1]
        length = min(window, frames)
        context, lookahead = int(window * CONTEXT), int(window * LOOKAHEAD)
        grid = pattern.apply(fixed, PAD)
        free = grid == FREE
        grids = grid.expand(self.settings.candidates, -1, -1).clone()
        log_probs = torch.zeros(2, self.settings.candidates, device=grid.device)
        filled = _Filled(grids, log_probs, torch.zeros_like(log_probs[0]))
        drawn = free.any(0).nonzero()
        if not len(drawn):
            return filled
        step = int(drawn[0])
        aftermath = round(AFTERMATH_SECONDS * self.model.format.frame_rate)
        end = min(pattern.steps(frames), int(drawn[-1]) + 1 + aftermath)
        silence = self.model.encode(torch.full_like(codes[None, ..., :length], self.model.dropped))
        while step < end:
            start = max(0, min(step - context, frames - length))
            last = start + length == frames
            stop = min(end, start + (pattern.steps(length) if last else length - lookahead))
            part = codes[..., start : start + length]
            logits = [self._begin(silence, part, grids[..., start:step])]
            with one_thread():
                for now in range(step, stop):
                    self._draw(logits[-1], grids, free, now)
                    if now + 1 < stop:
                        logits.append(self.decoder.step(self._batch(grids[:, :, now])))
            self._score(filled, logits, free[:, step:stop], slice(step, stop))
            step = stop
        return filled

    def _begin(self, silence: Tensor, codes: Tensor, columns: Tensor) -> StepLogits:
        """Logits of the first step not yet written of a window of the song."""
        memory = self.model.encode(codes.where(self.heard, self.model.dropped))
        # As in training, nothing is known of the frames before the window.
        inside = self.model.pattern.valid(codes.shape[-1])[:, : columns.shape[-1]]
        tokens = columns.where(inside.to(columns.device), PAD)
        return self.decoder.start(torch.cat((silence, memory)), self._batch(tokens))

    def _batch(self, tokens: Tensor) -> Tensor:
        """Candidates `[C, K, ...]` -> what the decoder reads."""
        if not self.hides_notes:
            return tokens
        hidden = tokens.clone()
        hidden[:, 0].masked_fill_(tokens[:, 0] >= 0, MASK)
        return torch.cat((tokens, hidden))

    def _draw(self, logits: StepLogits, grids: Tensor, free: Tensor, step: int) -> None:
        """Write column `step` of the grids."""
        notes = torch.einsum("v,vcn->cn", self.weights, logits.note[:, : len(grids)])
        notes.masked_fill_(self.forbidden[step], -torch.inf)
        drawn_note = self._pick(notes, self.settings.note_temperature)
        codes = logits.codes[: len(grids)]
        if self.hides_notes:
            codes = logits.codes[len(grids) :].lerp(codes, self.settings.note_guidance)
        codes = codes.unflatten(-1, (self.model.format.codebooks, -1))
        drawn_codes = self._pick(codes, self.settings.temperature)
        drawn = torch.cat((drawn_note[:, None], drawn_codes), dim=1)
        grids[:, :, step] = drawn.where(free[:, step], grids[:, :, step])

    def _score(
        self, filled: _Filled, logits: Sequence[StepLogits], free: Tensor, steps: slice
    ) -> None:
        """Add what the tokens of some steps are worth."""
        columns = filled.grids[..., steps]  # [C, K, n]
        count = len(columns)
        notes = torch.stack([each.note[:2, :count] for each in logits], dim=2)  # [2, C, n, 97]
        codes = torch.stack([each.codes[:count] for each in logits], dim=1)  # [C, n, H m]
        filled.log_probs.add_(_log_prob(notes, columns[:, 0].expand(2, -1, -1)).sum(-1))
        streams = codes.split(self.model.format.cardinality, dim=-1)
        for stream, tokens, drawn in zip(streams, columns[:, 1:].unbind(1), free[1:], strict=True):
            log_prob = _log_prob(stream, tokens)
            filled.log_probs.add_(log_prob.sum(-1))
            filled.given_codes.add_((log_prob * ~drawn).sum(-1))

    def _pick(self, logits: Tensor, temperature: float) -> Tensor:
        """Draw from the last axis, after temperature, top-k, top-p and min-p."""
        if temperature == 0:
            return logits.argmax(-1)
        logits = truncated(
            logits / temperature, self.settings.top_k, self.settings.top_p, self.settings.min_p
        )
        # The largest of logit plus Gumbel noise is a draw from the softmax.
        noise = torch.empty_like(logits).exponential_(generator=self.generator).log_()
        return (logits - noise).argmax(-1)


def _log_prob(logits: Tensor, tokens: Tensor) -> Tensor:
    """Of tokens `[..., n]` by logits `[..., n, m]`; 0 where there is no token, but a negative number."""
    log_prob = logits.log_softmax(-1).gather(-1, tokens.clamp_min(0)[..., None])[..., 0]
    return log_prob * (tokens >= 0)


def truncated(logits: Tensor, top_k: int = 0, top_p: float = 1.0, min_p: float = 0.0) -> Tensor:
    """Logits `[..., n]`, minus infinity for the tokens that are cut off; the likeliest always stays."""
    if 0 < top_k < logits.shape[-1]:
        least = logits.topk(top_k, dim=-1).values[..., -1:]
        logits = logits.masked_fill(logits < least, -torch.inf)
    if top_p < 1:
        ordered, order = logits.sort(dim=-1, descending=True)
        probability = ordered.softmax(-1)
        cut = probability.cumsum(-1) - probability >= top_p  # enough lies before it
        logits = logits.masked_fill(cut.gather(-1, order.argsort(-1)), -torch.inf)
    if min_p > 0:
        least = logits.amax(-1, keepdim=True) + float(np.log(min_p))
        logits = logits.masked_fill(logits < least, -torch.inf)
    return logits


@contextmanager
def one_thread() -> Iterator[None]:
    """Single steps are too small to share among threads: two are slower than one."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
