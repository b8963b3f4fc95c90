"""Training of the prior: what is minimised, and how it is judged on songs not trained on.

The figure that counts is in bits per second of music, because most bits of a code stream describe
timbre and phase: what the song decides shows as the difference between its own accompaniment,
another song's, and none.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from shared.config import config_to_dict, require
from shared.console import err_console
from shared.engine import Device, Task, fit
from shared.notes import NoteVocabulary
from stage2_prior.config import PriorConfig
from stage2_prior.model import MASK, PAD, Prior, PriorLogits, load_prior, prior_metadata
from stage2_prior.sequences import Corpus, TrainingSequences, Window, load_corpus, whole_windows


def train_prior(
    codes: Path,
    out: Path,
    config: PriorConfig,
    resume: Literal["auto", "never"] = "never",
    device: Device = "auto",
    init_from: Path | None = None,
) -> Path:
    """Train a prior on a folder of codes; returns the path of the best checkpoint.

    Args:
        init_from: a prior's checkpoint whose weights to start from; its shape must be the same.

    Raises:
        UserError: no usable codes, or a run in `out` that this one does not continue.
    """
    return fit(
        PriorTask(load_corpus(codes), config, init_from),
        config.train,
        out,
        resume,
        device,
    )


class PriorTask(Task):
    """The prior as the engine sees it."""

    stage = "prior"

    def __init__(self, corpus: Corpus, config: PriorConfig, init_from: Path | None = None) -> None:
        self.config = config
        torch.manual_seed(config.train.seed)
        self.model: Prior = Prior(config.model, corpus.format, fingerprint="in training")
        if init_from is not None:
            start = load_prior(init_from)
            require(
                prior_metadata(start) == prior_metadata(self.model),
                f"the prior {init_from} has another shape or codec: use its settings and codes",
            )
            self.model.load_state_dict(start.state_dict())
        songs, valid = corpus.split("train"), corpus.split("valid")
        require(bool(songs), "none of the codes belong to the split 'train': add training songs")
        if not valid:
            err_console.print("no song belongs to the split 'valid': validating on training songs")
        self.sequences = TrainingSequences(
            songs, self.model.window, self.model.dropped, corpus.format.frame_rate, config.data
        )
        self.valid_windows = whole_windows(
            valid or songs, self.model.window, config.data.valid_windows
        )

    def make_batch(self, step: int, rank: int, world: int) -> dict[str, Tensor]:
        items = range(rank, self.config.train.batch_size, world)
        return self.sequences.batch(self.config.train.seed, step, items)

    def loss(self, model: nn.Module, batch: dict[str, Tensor], step: int) -> dict[str, Tensor]:
        logits = model(batch["accompaniment"], batch["history"])
        nats = token_nats(logits, batch["target"])
        note_weight, code_weight = batch["note_weight"], batch["code_weight"]
        codes = weighted_mean(nats.codes.mean(-1), code_weight)
        note = weighted_mean(nats.note, note_weight)
        encoder_note = weighted_mean(nats.encoder_note, note_weight)
        data = self.config.data
        return {
            "loss": codes + data.note_weight * note + data.encoder_note_weight * encoder_note,
            "code_bits": codes.detach() / math.log(2),
            "note_bits": note.detach() / math.log(2),
            "encoder_note_bits": encoder_note.detach() / math.log(2),
            **note_figures(logits, batch["target"][:, 0], note_weight > 0),
        }

    def validate(self, model: nn.Module) -> dict[str, float]:
        device = next(model.parameters()).device
        totals: dict[str, Tensor] = {}
        for index, window in enumerate(self.valid_windows):
            for name, value in self._window_figures(model, window, index, device).items():
                totals[name] = totals.get(name, torch.zeros((), device=device)) + value
        frames = totals.pop("frames")
        rate = self.model.format.frame_rate
        bits = {name: float(total / frames) for name, total in totals.items()}
        codes = self.model.format.codebooks
        return {
            "score": -rate * bits["conditional"],
            **{f"bits_per_second_{name}": rate * bits[name] for name in CONDITIONS if name in bits},
            "bits_per_code": bits["codes"] / codes,
            "note_bits_per_second": rate * bits["notes"],
            **{name: bits[name] for name in ("note_accuracy", "encoder_pitch_class", "onset_f1")},
        }

    def _window_figures(
        self, model: nn.Module, window: Window, index: int, device: torch.device
    ) -> dict[str, Tensor]:
        """Sums over a window's frames: bits under each condition, and what the notes are like."""
        accompaniment = {
            "conditional": window.accompaniment(self.model.dropped),
            "unconditional": self.model.dropped + 0 * window.accompaniment(0),
        }
        other = another_song(self.valid_windows, index)
        if other is not None:
            accompaniment["shuffled"] = other.accompaniment(self.model.dropped)
        target = torch.from_numpy(window.tokens(fill=0))[None].to(device)
        history = torch.from_numpy(window.tokens(fill=PAD))[None].to(device)
        inside = (history[:, 0] != PAD).float()
        known = torch.from_numpy(window.confidence() > 0)[None].to(device)
        history[:, 0] = history[:, 0].where(known | (inside == 0), MASK)
        figures = {"frames": inside.sum()}
        for name, codes in accompaniment.items():
            logits = model(torch.from_numpy(codes)[None].to(device), history)
            nats = token_nats(logits, target)
            code_bits = (nats.codes.sum(-1) * inside).sum() / math.log(2)
            note_bits = (nats.note * known).sum() / math.log(2)
            figures[name] = code_bits + note_bits
            if name == "conditional":
                of_notes = note_figures(logits, target[:, 0], known)
                figures |= {"codes": code_bits, "notes": note_bits}
                figures |= {key: value * inside.sum() for key, value in of_notes.items()}
        return figures

    def metadata(self) -> dict[str, Any]:
        return {**prior_metadata(self.model), "config": config_to_dict(self.config)}


CONDITIONS = ("conditional", "unconditional", "shuffled")


@dataclass(frozen=True)
class TokenNats:
    """Negative log-likelihoods: note, encoder_note `[B, F]`, codes `[B, F, H]`."""

    note: Tensor
    encoder_note: Tensor
    codes: Tensor


def token_nats(logits: PriorLogits, target: Tensor) -> TokenNats:
    """How improbable each token of `target [B, 1 + H, F]` is."""

    def nats(predicted: Tensor, tokens: Tensor) -> Tensor:
        flat = F.cross_entropy(predicted.float().flatten(0, -2), tokens.flatten(), reduction="none")
        return flat.view(tokens.shape)

    return TokenNats(
        note=nats(logits.note, target[:, 0]),
        encoder_note=nats(logits.encoder_note, target[:, 0]),
        codes=nats(logits.codes, target[:, 1:].transpose(1, 2)),
    )


def weighted_mean(values: Tensor, weight: Tensor) -> Tensor:
    """Mean of `values` by `weight`; 0 where nothing weighs."""
    return (values * weight).sum() / weight.sum().clamp_min(1e-6)


@torch.no_grad()
def note_figures(logits: PriorLogits, notes: Tensor, known: Tensor) -> dict[str, Tensor]:
    """What the predicted notes are like, over the frames `known [B, F]`; see each comment."""
    rest = NoteVocabulary.REST
    sounding = (known & (notes != rest)).float()
    predicted, from_song = logits.note.argmax(-1), logits.encoder_note.argmax(-1)
    # The encoder alone: right pitch class where the bass sounds.
    same_class = (from_song != rest) & (((from_song - 1) // 2 - (notes - 1) // 2) % 12 == 0)
    # The encoder alone: F1 of onsets, a frame's error (23 ms) allowed.
    onset_tokens = torch.arange(NoteVocabulary.size, device=notes.device)
    onset_tokens = (onset_tokens != rest) & (onset_tokens % 2 == 0)
    found = known & (logits.encoder_note.float().softmax(-1)[..., onset_tokens].sum(-1) > 0.5)
    true = known & (notes != rest) & (notes % 2 == 0)
    hits = (found & widen(true)).sum() + (true & widen(found)).sum()
    return {
        "note_accuracy": weighted_mean((predicted == notes).float(), sounding),
        "encoder_pitch_class": weighted_mean(same_class.float(), sounding),
        "onset_f1": hits / (found.sum() + true.sum()).clamp_min(1),
    }


def widen(frames: Tensor) -> Tensor:
    """Booleans `[B, F]`, true also beside each true frame."""
    return F.max_pool1d(frames.float(), 3, stride=1, padding=1) > 0


def another_song(windows: Sequence[Window], index: int) -> Window | None:
    """The next window, cyclically, of a song other than that of window `index`; None if none is."""
    for offset in range(1, len(windows)):
        other = windows[(index + offset) % len(windows)]
        if other.song is not windows[index].song:
            return other
    return None
