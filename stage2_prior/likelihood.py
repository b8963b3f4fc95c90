"""Measure how well a prior predicts the true bass, with and without the song.

The true line is the history of every prediction (teacher forcing). The figures are in bits per
second of music. What the song decides shows in the notes: as the difference between the bits that
they cost given the song, given another song on the same bars, and given the bars alone. The codes
depend on the song only through their notes.
"""

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from shared.codes.song_codes import SongCodes
from stage2_prior.composer.features import Hearing, listen
from stage2_prior.composer.grid_notes import GridNotes
from stage2_prior.composer.material import known_line, known_or_tracked_grid
from stage2_prior.composer.network import CHOICES
from stage2_prior.composer.sequences import COMMON_BAR, ComposedSong, collate, window
from stage2_prior.listener.accuracy import ListeningAccuracy, listening_accuracy, mean_accuracy
from stage2_prior.listener.sequences import HeardSong
from stage2_prior.listener.sequences import collate as collate_heard
from stage2_prior.listener.sequences import window as heard_window
from stage2_prior.model import Prior
from stage2_prior.performer.network import PAD
from stage2_prior.performer.score import HIDDEN, TONE
from stage2_prior.performer.sequences import PerformedSong, whole_windows
from stage2_prior.performer.sequences import collate as collate_performed
from stage2_prior.performer.task import code_nats

WINDOWS_A_SONG = 4
CONDITIONS = ("song", "none", "shuffled")
NOTE_CHOICES = CHOICES[:3]  # not every song knows how loud its notes are


@dataclass(frozen=True)
class NoteBits:
    """What the notes of the true bass cost, in bits per second of music.

    Attributes:
        song: given the song.
        none: given its bars alone.
        shuffled: given its bars, and what is heard in another song.
    """

    song: float
    none: float
    shuffled: float


@dataclass(frozen=True)
class Likelihood:
    """Figures of a song.

    Attributes:
        seconds: how much of the song was measured.
        notes: what its notes cost; None where nothing is known of them.
        codes: bits per code, given the notes.
        codes_alone: bits per code without the notes.
        code_accuracy: for each codebook the share of codes that are the most probable ones.
        listening: how well the listener names notes, chords and beats.
    """

    seconds: float
    notes: NoteBits | None
    codes: float
    codes_alone: float
    code_accuracy: tuple[float, ...]
    listening: ListeningAccuracy


@torch.inference_mode()
def song_likelihood(prior: Prior, song: SongCodes, other: SongCodes) -> Likelihood:
    """Measure how well `prior` predicts the bass of `song`.

    Args:
        prior: a prior in eval mode.
        song: the song, of whose codes at most WINDOWS_A_SONG windows are measured.
        other: the song that lends what is heard for the shuffled condition.
    """
    given, alone, accuracy = _code_figures(prior, song)
    return Likelihood(
        seconds=song.duration,
        notes=_note_bits(prior, song, other),
        codes=given,
        codes_alone=alone,
        code_accuracy=accuracy,
        listening=_listening(prior, song),
    )


def _note_bits(prior: Prior, song: SongCodes, other: SongCodes) -> NoteBits | None:
    """Price the notes of at most as many bars as the composer sees in training."""
    notes = known_line(song)
    if notes is None:
        return None
    heard = listen(prior.listener, song.view("accompaniment"))
    grid = known_or_tracked_grid(song, heard)
    line = GridNotes.quantise(notes, grid)
    positions = prior.composer.config.bars * COMMON_BAR
    borrowed = _repeated(listen(prior.listener, other.view("accompaniment")), heard)
    costs = {}
    for name in CONDITIONS:
        features = (borrowed if name == "shuffled" else heard).on_grid(grid)
        composed = ComposedSong.of(song.track, song.split, features[None], grid, line)
        batch = collate([window(composed, 0, positions)])
        moved = _on_device(prior, {**batch, "hidden": torch.tensor([name == "none"])})
        nats = prior.composer(moved)
        bits = sum(float(nats[choice].sum()) for choice in NOTE_CHOICES) / math.log(2)
        costs[name] = bits / (min(positions, composed.positions) * composed.position_seconds)
    return NoteBits(**costs)


def _repeated(hearing: Hearing, like: Hearing) -> Hearing:
    """Repeat or cut what was heard in one song to the length of another."""
    frames = np.arange(len(like.features)) % len(hearing.features)
    return Hearing(hearing.features[frames], hearing.beats[frames], hearing.frame_rate)


def _code_figures(prior: Prior, song: SongCodes) -> tuple[float, float, tuple[float, ...]]:
    """Return bits per code with and without notes, and the accuracy of each codebook."""
    performer = prior.performer
    windows = whole_windows([PerformedSong.of(song)], performer.window, WINDOWS_A_SONG)
    batch = _on_device(prior, collate_performed(windows))
    tone_only = torch.full_like(batch["score"], HIDDEN)
    tone_only[:, TONE] = batch["score"][:, TONE]
    inside = (batch["history"] != PAD).float()
    bits = []
    for score in (batch["score"], tone_only):
        logits = performer(score, batch["history"])
        nats = code_nats(logits, batch["target"])
        bits.append(float((nats * inside).sum() / inside.sum()) / math.log(2))
        if score is batch["score"]:
            right = logits.argmax(-1).transpose(1, 2) == batch["target"]
            accuracy = (right * inside).sum((0, 2)) / inside.sum((0, 2))
    return bits[0], bits[1], tuple(accuracy.tolist())


def _listening(prior: Prior, song: SongCodes) -> ListeningAccuracy:
    listener, heard = prior.listener, HeardSong.of(song)
    starts = range(0, max(1, heard.frames - listener.window // 2), listener.window)
    parts = []
    for start in list(starts)[:WINDOWS_A_SONG]:
        batch = collate_heard([heard_window(heard, start, listener.window, listener.dropped)])
        moved = _on_device(prior, batch)
        parts.append(listening_accuracy(listener(moved["accompaniment"]), moved))
    return mean_accuracy(parts)


def _on_device(prior: Prior, batch: dict[str, Tensor]) -> dict[str, Tensor]:
    device = next(prior.parameters()).device
    return {name: values.to(device) for name, values in batch.items()}
