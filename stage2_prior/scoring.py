"""Score predictions: how probable the true tokens are, and how often a prediction is right."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from shared.music.notes import NoteVocabulary
from stage2_prior.model import EncoderLogits, PriorLogits
from stage2_prior.sequences import UNKNOWN


@dataclass(frozen=True)
class TokenNats:
    """Negative log-likelihoods in nats: of notes `[B, F]` and of codes `[B, F, H]`."""

    note: Tensor
    codes: Tensor


def token_nats(logits: PriorLogits, target: Tensor) -> TokenNats:
    """Return the negative log-likelihood of each token of `target` `[B, 1 + H, F]`."""
    return TokenNats(
        note=nats_of(logits.note, target[:, 0]),
        codes=nats_of(logits.codes, target[:, 1:].transpose(1, 2)),
    )


def nats_of(logits: Tensor, tokens: Tensor) -> Tensor:
    """Return the negative log-likelihood of `tokens` `[...]` under `logits` `[..., n]`."""
    flat = F.cross_entropy(logits.float().flatten(0, -2), tokens.flatten(), reduction="none")
    return flat.view(tokens.shape)


def log_prob(logits: Tensor, tokens: Tensor) -> Tensor:
    """Return the log-probability of `tokens` `[...]` under `logits` `[..., n]`.

    It is 0 where a token is negative, which means that there is none.
    """
    of_tokens = logits.log_softmax(-1).gather(-1, tokens.clamp_min(0)[..., None])[..., 0]
    return of_tokens * (tokens >= 0)


def weighted_mean(values: Tensor, weight: Tensor) -> Tensor:
    """Return the mean of `values` weighted by `weight`, which is 0 where all weights are 0."""
    return (values * weight).sum() / weight.sum().clamp_min(1e-6)


@torch.no_grad()
def note_accuracy(logits: Tensor, notes: Tensor, known: Tensor) -> Tensor:
    """Return how often the most probable note is the true one.

    Args:
        logits: `[B, F, 97]`.
        notes: the true notes `[B, F]`.
        known: where they are known `[B, F]`.

    Returns:
        The share of the known frames in which the bass sounds.
    """
    sounding = known & (notes != NoteVocabulary.REST)
    return weighted_mean((logits.argmax(-1) == notes).float(), sounding.float())


@torch.no_grad()
def encoder_figures(
    logits: EncoderLogits, notes: Tensor, root: Tensor, known: Tensor
) -> dict[str, Tensor]:
    """Measure what the encoder predicts from the accompaniment alone.

    Args:
        logits: the predictions.
        notes: the true notes `[B, F]`.
        root: the true roots of the chords `[B, F]`, UNKNOWN where they are not known.
        known: where the notes are known `[B, F]`.

    Returns:
        Three scalars by name. `pitch_class` is the share of frames with the right pitch class where
        the bass sounds. `root` is the share of frames with the right root, nan where no root is
        known. `onset_f1` is the F1 of the onsets, of which one may be a frame early or late.
    """
    device = notes.device
    pitch_classes = torch.from_numpy(NoteVocabulary.PITCH_CLASSES).to(device)
    is_onset = torch.from_numpy(NoteVocabulary.IS_ONSET).to(device)
    sounding = known & (notes != NoteVocabulary.REST)
    same_class = pitch_classes[logits.note.argmax(-1)] == pitch_classes[notes]
    found = known & (logits.note.float().softmax(-1)[..., is_onset].sum(-1) > 0.5)
    true = known & is_onset[notes]
    hits = (found & widened(true)).sum() + (true & widened(found)).sum()
    with_root = root != UNKNOWN
    same_root = with_root & (logits.root.argmax(-1) == root)
    return {
        "pitch_class": weighted_mean(same_class.float(), sounding.float()),
        "root": same_root.sum() / with_root.sum(),
        "onset_f1": hits / (found.sum() + true.sum()).clamp_min(1),
    }


def widened(frames: Tensor) -> Tensor:
    """Make booleans `[B, F]` true also in the frames beside each true frame."""
    return F.max_pool1d(frames.float(), 3, stride=1, padding=1) > 0
