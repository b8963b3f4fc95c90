"""How well the listener names notes, chords and beats."""

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
import torch
from torch import Tensor

from shared.music.notes import NoteVocabulary
from stage2_prior.listener.labels import UNKNOWN
from stage2_prior.listener.network import Heard

CERTAIN = 0.5  # an onset is found where its probability is above this


@dataclass(frozen=True)
class ListeningAccuracy:
    """Figures of some windows.

    Attributes:
        pitch_class: share of frames with the right pitch class, where the bass sounds.
        root: share of frames with the right root of the chord.
        tones: share of the pitch classes that are rightly in or out of the chord.
        onset_f1: F1 of the onsets of the bass, of which one may be a frame early or late.
        beat_f1: F1 of the beats, likewise.
        downbeat_f1: F1 of the first beats of bars, likewise.
    """

    pitch_class: float
    root: float
    tones: float
    onset_f1: float
    beat_f1: float
    downbeat_f1: float


@torch.no_grad()
def listening_accuracy(heard: Heard, batch: dict[str, Tensor]) -> ListeningAccuracy:
    """Compare predictions with windows (sequences.py). Figures are nan where nothing is known."""
    device = heard.note.device
    classes = torch.from_numpy(NoteVocabulary.PITCH_CLASSES).to(device)
    onsets = torch.from_numpy(NoteVocabulary.IS_ONSET).to(device)
    notes, known = batch["note"], batch["confidence"] > 0
    sounding = known & (notes != NoteVocabulary.REST)
    onset = heard.note.softmax(-1)[..., onsets].sum(-1) > CERTAIN
    beat, downbeat = (batch["beats"] == 1).unbind(-1)
    # The frames beside a beat are not known, but a beat that is found there counts.
    inside = _widened((batch["beats"] != UNKNOWN).any(-1))
    found_beat, found_downbeat = ((heard.beats > 0) & inside[..., None]).unbind(-1)
    tones = batch["tones"]
    return ListeningAccuracy(
        pitch_class=_share(classes[heard.note.argmax(-1)] == classes[notes], sounding),
        root=_share(heard.root.argmax(-1) == batch["root"], batch["root"] != UNKNOWN),
        tones=_share((heard.tones > 0) == (tones == 1), tones != UNKNOWN),
        onset_f1=_pulse_f1(known & onset, known & onsets[notes]),
        beat_f1=_pulse_f1(found_beat, beat),
        downbeat_f1=_pulse_f1(found_downbeat, downbeat),
    )


def mean_accuracy(parts: Sequence[ListeningAccuracy]) -> ListeningAccuracy:
    """Average figures, each over the parts in which it is known."""
    means = {}
    for field in fields(ListeningAccuracy):
        values = np.array([getattr(part, field.name) for part in parts])
        known = values[~np.isnan(values)]
        means[field.name] = float(known.mean()) if len(known) else float("nan")
    return ListeningAccuracy(**means)


def _share(right: Tensor, where: Tensor) -> float:
    return float((right & where).sum() / where.sum())


def _pulse_f1(found: Tensor, true: Tensor) -> float:
    """Return the F1 of runs of frames `[B, F]`, of which one may be a frame early or late."""
    hits = (found & _widened(true)).sum() + (true & _widened(found)).sum()
    return float(hits / (found.sum() + true.sum()))


def _widened(frames: Tensor) -> Tensor:
    return torch.nn.functional.max_pool1d(frames.float(), 3, stride=1, padding=1) > 0
