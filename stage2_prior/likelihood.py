"""What a song's bass costs in bits, with its accompaniment, without, and with another song's.

Everything is teacher-forced: the true bass is the history. In bits per second of music, since most
bits of a code stream describe timbre and phase, which no accompaniment can tell.
"""

import math
from dataclasses import dataclass

import numpy as np
import torch

from stage2_prior.model import MASK, PAD, Prior
from stage2_prior.sequences import SongTokens, whole_windows
from stage2_prior.train import encoder_figures, note_accuracy, token_nats

WINDOWS_A_SONG = 4


@dataclass(frozen=True)
class Bits:
    """per_second: of note and codes together, per second of music. note: the note's share of them. per_code: of
    the codes alone, which depend on the song through their notes only.
    """

    per_second: float
    note: float
    per_code: float


@dataclass(frozen=True)
class SongLikelihood:
    """Figures of one song, averaged over its frames.

    conditional, unconditional, shuffled: given the song's accompaniment, none, and another song's.
    code_accuracy: share of codes that are the likeliest, per codebook. note_accuracy: the same of
        the notes that sound.
    encoder_pitch_class, encoder_onset_f1: the note heard in the accompaniment alone; right pitch
        class where the bass sounds, and F1 of its onsets with one frame allowed.
    encoder_root: share of frames whose chord's root is heard; nan where the chords are unknown.
    """

    conditional: Bits
    unconditional: Bits
    shuffled: Bits
    code_accuracy: tuple[float, ...]
    note_accuracy: float
    encoder_pitch_class: float
    encoder_root: float
    encoder_onset_f1: float


@torch.inference_mode()
def song_likelihood(prior: Prior, song: SongTokens, other: SongTokens) -> SongLikelihood:
    """How well `prior` predicts the bass of `song`; `other` lends the shuffled accompaniment."""
    device = next(prior.parameters()).device
    windows = whole_windows([song], prior.window, WINDOWS_A_SONG)
    others = whole_windows([other], prior.window, WINDOWS_A_SONG)

    target = torch.from_numpy(np.stack([w.tokens(fill=0) for w in windows])).to(device)
    history = torch.from_numpy(np.stack([w.tokens(fill=PAD) for w in windows])).to(device)
    known = torch.from_numpy(np.stack([w.confidence() > 0 for w in windows])).to(device)
    root = torch.from_numpy(np.stack([w.root() for w in windows])).to(device)
    inside = history[:, 0] != PAD
    history[:, 0] = history[:, 0].where(known | ~inside, MASK)
    own = torch.from_numpy(np.stack([w.accompaniment(prior.dropped) for w in windows]))
    borrowed = torch.from_numpy(
        np.stack(
            [others[i % len(others)].accompaniment(prior.dropped) for i in range(len(windows))]
        )
    )
    conditions = {
        "conditional": own,
        "unconditional": torch.full_like(own, prior.dropped),
        "shuffled": borrowed,
    }
    frames = float(inside.sum())
    bits: dict[str, Bits] = {}
    for name, accompaniment in conditions.items():
        logits = prior(accompaniment.to(device), history)
        nats = token_nats(logits, target)
        codes = float((nats.codes.sum(-1) * inside).sum()) / math.log(2) / frames
        notes = float((nats.note * known).sum()) / math.log(2) / frames
        bits[name] = Bits(
            per_second=prior.format.frame_rate * (codes + notes),
            note=prior.format.frame_rate * notes,
            per_code=codes / prior.format.codebooks,
        )
        if name == "conditional":
            right = (logits.codes.argmax(-1) == target[:, 1:].transpose(1, 2)) & inside[..., None]
            accuracy = (right.sum((0, 1)) / frames).tolist()
            notes_right = float(note_accuracy(logits.note, target[:, 0], known))
            heard = encoder_figures(logits.encoder, target[:, 0], root, known)
    return SongLikelihood(
        conditional=bits["conditional"],
        unconditional=bits["unconditional"],
        shuffled=bits["shuffled"],
        code_accuracy=tuple(accuracy),
        note_accuracy=notes_right,
        encoder_pitch_class=float(heard["encoder_pitch_class"]),
        encoder_root=float(heard["encoder_root"]),
        encoder_onset_f1=float(heard["encoder_onset_f1"]),
    )
