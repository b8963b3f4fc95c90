"""Measure how well a prior predicts the true bass, with and without the accompaniment.

The true bass is the history of every prediction (teacher forcing). The figures are in bits per
second of music. Most bits of a stream of codes describe timbre and phase, which no accompaniment
can predict, so what counts is the difference between the song's own accompaniment, that of another
song, and none.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from shared.codes.codec import CodeFormat
from stage2_prior.model import MASK, PAD, EncoderLogits, Prior, PriorLogits
from stage2_prior.scoring import encoder_figures, note_accuracy, token_nats
from stage2_prior.sequences import UNKNOWN, SongTokens, Window, whole_windows

WINDOWS_A_SONG = 4


@dataclass(frozen=True)
class Bits:
    """What the true bass costs under one condition.

    Attributes:
        per_second: bits per second of music, of the notes and the codes together.
        note_per_second: the part of them that the notes cost.
        per_code: bits per code. The codes depend on the accompaniment only through their notes,
            and these are given, so this figure is the same under every condition.
    """

    per_second: float
    note_per_second: float
    per_code: float


@dataclass(frozen=True)
class EncoderAccuracy:
    """How well the encoder alone, without the history, predicts notes and chords.

    Attributes:
        frames: the number of frames that were measured, without padding.
        frames_with_root: the number of them in which the root of the chord is known.
        pitch_class: the share of frames with the right pitch class, where the bass sounds.
        root: the share of frames with the right chord root; nan where no chord is known.
        onset_f1: the F1 of the onsets, of which one may be a frame early or late.
    """

    frames: int
    frames_with_root: int
    pitch_class: float
    root: float
    onset_f1: float


@dataclass(frozen=True)
class Likelihood:
    """Figures of some windows, averaged over their frames.

    Attributes:
        frames: the number of frames that were measured, without padding.
        bits: what the true bass costs under each condition. "conditional" is given the song's own
            accompaniment, "unconditional" none, and "shuffled" that of another song, which is left
            out if there is no other song.
        code_accuracy: for each codebook the share of codes that are the most probable ones.
        note_accuracy: the same share of the notes, where the bass sounds.
        encoder: how well the encoder alone predicts.
    """

    frames: int
    bits: Mapping[str, Bits]
    code_accuracy: tuple[float, ...]
    note_accuracy: float
    encoder: EncoderAccuracy


@dataclass(frozen=True, eq=False)
class WindowTensors:
    """Some windows of equal length as the model reads them.

    Attributes:
        accompaniment: codes `[B, S, H, F]`.
        target: true notes and codes `[B, 1 + H, F]`; 0 after the end of a song.
        history: the same with PAD after the end, and with notes that are not known hidden.
        root: roots of the chords `[B, F]`.
        inside: which frames are not padding `[B, F]`.
        known: in which frames the note is known `[B, F]`.
    """

    accompaniment: Tensor
    target: Tensor
    history: Tensor
    root: Tensor
    inside: Tensor
    known: Tensor

    @classmethod
    def of(cls, windows: Sequence[Window], dropped: int, device: torch.device) -> "WindowTensors":
        """Stack windows.

        Args:
            windows: the windows.
            dropped: the code after the end of a song.
            device: the device to put the tensors on.
        """
        history = _stack([window.tokens(fill=PAD) for window in windows], device)
        known = _stack([window.confidence() > 0 for window in windows], device)
        inside = history[:, 0] != PAD
        history[:, 0] = history[:, 0].where(known | ~inside, MASK)
        return cls(
            accompaniment=_stack([window.accompaniment(dropped) for window in windows], device),
            target=_stack([window.tokens(fill=0) for window in windows], device),
            history=history,
            root=_stack([window.root() for window in windows], device),
            inside=inside,
            known=known,
        )

    @property
    def frames(self) -> int:
        """The number of frames that are not padding."""
        return int(self.inside.sum())


@torch.no_grad()
def measure_likelihood(
    model: nn.Module,
    format: CodeFormat,
    windows: Sequence[Window],
    other_windows: Sequence[Window],
) -> Likelihood:
    """Measure how well a prior predicts the bass in some windows.

    Args:
        model: the prior.
        format: the format of its codes.
        windows: windows of equal length.
        other_windows: for each window one of another song, whose accompaniment is the shuffled one;
            empty if there is none.
    """
    device = next(model.parameters()).device
    dropped = format.cardinality
    made = WindowTensors.of(windows, dropped, device)
    conditions = {"unconditional": torch.full_like(made.accompaniment, dropped)}
    if other_windows:
        codes = [window.accompaniment(dropped) for window in other_windows]
        conditions["shuffled"] = _stack(codes, device)
    logits = model(made.accompaniment, made.history)
    bits = {"conditional": _bits(logits, made, format)}
    for name, accompaniment in conditions.items():
        bits[name] = _bits(model(accompaniment, made.history), made, format)
    right = logits.codes.argmax(-1) == made.target[:, 1:].transpose(1, 2)
    right_codes = (right & made.inside[..., None]).sum((0, 1)) / made.frames
    return Likelihood(
        frames=made.frames,
        bits=bits,
        code_accuracy=tuple(right_codes.tolist()),
        note_accuracy=float(note_accuracy(logits.note, made.target[:, 0], made.known)),
        encoder=_encoder_accuracy(logits.encoder, made),
    )


@torch.no_grad()
def measure_encoder(
    model: nn.Module, format: CodeFormat, windows: Sequence[Window]
) -> EncoderAccuracy:
    """Measure how well a prior's encoder alone predicts, without running its decoder."""
    device = next(model.parameters()).device
    made = WindowTensors.of(windows, format.cardinality, device)
    return _encoder_accuracy(model(made.accompaniment), made)


def song_likelihood(prior: Prior, song: SongTokens, other: SongTokens) -> Likelihood:
    """Measure how well `prior` predicts the bass of `song`.

    Args:
        prior: a prior in eval mode.
        song: the song, of which at most WINDOWS_A_SONG windows are measured.
        other: the song that lends the shuffled accompaniment.
    """
    windows = whole_windows([song], prior.window, WINDOWS_A_SONG)
    others = whole_windows([other], prior.window, WINDOWS_A_SONG)
    borrowed = [others[i % len(others)] for i in range(len(windows))]
    return measure_likelihood(prior, prior.format, windows, borrowed)


def _bits(logits: PriorLogits, made: WindowTensors, format: CodeFormat) -> Bits:
    """Price the true bass. Notes that are not known cost nothing."""
    nats = token_nats(logits, made.target)
    codes = float((nats.codes.sum(-1) * made.inside).sum()) / math.log(2) / made.frames
    notes = float((nats.note * made.known).sum()) / math.log(2) / made.frames
    return Bits(
        per_second=format.frame_rate * (codes + notes),
        note_per_second=format.frame_rate * notes,
        per_code=codes / format.codebooks,
    )


def _encoder_accuracy(logits: EncoderLogits, made: WindowTensors) -> EncoderAccuracy:
    figures = encoder_figures(logits, made.target[:, 0], made.root, made.known)
    return EncoderAccuracy(
        frames=made.frames,
        frames_with_root=int((made.root != UNKNOWN).sum()),
        **{name: float(value) for name, value in figures.items()},
    )


def _stack(arrays: Sequence[npt.NDArray[Any]], device: torch.device) -> Tensor:
    return torch.from_numpy(np.stack(arrays)).to(device)
