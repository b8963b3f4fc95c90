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

from shared.codes.codec import CodeFormat
from shared.config import config_from_dict, config_to_dict
from shared.console import err_console
from shared.device import Device
from shared.errors import require
from shared.music.notes import NoteVocabulary
from shared.training.checkpoint import Checkpoint, load_checkpoint, load_weights
from shared.training.loop import Task, fit
from stage2_prior.config import ModelConfig, PriorConfig
from stage2_prior.model import (
    MASK,
    PAD,
    EncoderLogits,
    Prior,
    PriorLogits,
    prior_metadata,
)
from stage2_prior.sequences import (
    UNKNOWN,
    Corpus,
    TrainingSequences,
    Window,
    load_corpus,
    whole_windows,
)


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
        init_from: a prior's checkpoint whose weights to start from, of the same codes and sizes.

    Raises:
        UserError: no usable codes, a run in `out` that this one does not continue, or a checkpoint that
            does not fit.
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
            _start_from(self.model, load_checkpoint(init_from, "prior"))
        if config.data.encoder_only:
            self.model.requires_grad_(False)
            for part in self.model.encoder_parts():
                part.requires_grad_(True)
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
        if self.config.data.encoder_only:
            return self._listening(model(batch["accompaniment"]), batch)
        logits = model(batch["accompaniment"], batch["history"])
        nats = token_nats(logits, batch["target"])
        codes = weighted_mean(nats.codes.mean(-1), batch["code_weight"])
        note = weighted_mean(nats.note, batch["note_weight"])
        heard = self._listening(logits.encoder, batch)
        return {
            **heard,
            "loss": codes + self.config.data.note_weight * note + heard["loss"],
            "code_bits": codes.detach() / math.log(2),
            "note_bits": note.detach() / math.log(2),
            "note_accuracy": note_accuracy(
                logits.note, batch["target"][:, 0], batch["note_weight"] > 0
            ),
        }

    def _listening(self, heard: EncoderLogits, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """The encoder's share of the loss."""
        data, notes, weight = self.config.data, batch["target"][:, 0], batch["note_weight"]
        note = weighted_mean(nats_of(heard.note, notes), weight)
        root = weighted_mean(
            nats_of(heard.root, batch["root"].clamp_min(0)), (batch["root"] != UNKNOWN).float()
        )
        return {
            "loss": data.encoder_note_weight * note + data.encoder_root_weight * root,
            "encoder_note_bits": note.detach() / math.log(2),
            "encoder_root_bits": root.detach() / math.log(2),
            **encoder_figures(heard, notes, batch["root"], weight > 0),
        }

    def validate(self, model: nn.Module) -> dict[str, float]:
        device = next(model.parameters()).device
        totals: dict[str, Tensor] = {}
        for index, window in enumerate(self.valid_windows):
            for name, value in self._window_figures(model, window, index, device).items():
                totals[name] = totals.get(name, torch.zeros((), device=device)) + value
        frames, with_root = totals.pop("frames"), totals.pop("with_root")
        totals["encoder_root"] *= frames / with_root  # nan where no chord is known
        rate = self.model.format.frame_rate
        mean = {name: float(total / frames) for name, total in totals.items()}
        heard = {name: mean[name] for name in ENCODER_FIGURES if not math.isnan(mean[name])}
        if self.config.data.encoder_only:
            # Not the likelihood: it is best long before the encoder hears best.
            return {"score": mean["encoder_pitch_class"] + mean["encoder_onset_f1"], **heard}
        return {
            "score": -rate * mean["conditional"],
            **{f"bits_per_second_{name}": rate * mean[name] for name in CONDITIONS if name in mean},
            "bits_per_code": mean["codes"] / self.model.format.codebooks,
            "note_bits_per_second": rate * mean["notes"],
            "note_accuracy": mean["note_accuracy"],
            **heard,
        }

    def _window_figures(
        self, model: nn.Module, window: Window, index: int, device: torch.device
    ) -> dict[str, Tensor]:
        """Sums over a window's frames: bits under each condition, and what the notes are like."""
        accompaniment = torch.from_numpy(window.accompaniment(self.model.dropped))[None].to(device)
        target = torch.from_numpy(window.tokens(fill=0))[None].to(device)
        history = torch.from_numpy(window.tokens(fill=PAD))[None].to(device)
        root = torch.from_numpy(window.root())[None].to(device)
        inside = (history[:, 0] != PAD).float()
        known = torch.from_numpy(window.confidence() > 0)[None].to(device)
        figures = {"frames": inside.sum(), "with_root": (root != UNKNOWN).sum()}

        def add_heard(heard: EncoderLogits) -> None:
            of_heard = encoder_figures(heard, target[:, 0], root, known)
            figures.update({name: value * inside.sum() for name, value in of_heard.items()})
            figures["encoder_root"] = (of_heard["encoder_root"] * figures["with_root"]).nan_to_num()

        if self.config.data.encoder_only:
            add_heard(model(accompaniment))
            return figures
        history[:, 0] = history[:, 0].where(known | (inside == 0), MASK)
        conditions = {
            "conditional": accompaniment,
            "unconditional": torch.full_like(accompaniment, self.model.dropped),
        }
        other = another_song(self.valid_windows, index)
        if other is not None:
            codes = torch.from_numpy(other.accompaniment(self.model.dropped))
            conditions["shuffled"] = codes[None].to(device)
        for name, codes in conditions.items():
            logits = model(codes, history)
            nats = token_nats(logits, target)
            code_bits = (nats.codes.sum(-1) * inside).sum() / math.log(2)
            note_bits = (nats.note * known).sum() / math.log(2)
            figures[name] = code_bits + note_bits
            if name == "conditional":
                add_heard(logits.encoder)
                accuracy = note_accuracy(logits.note, target[:, 0], known)
                figures |= {"codes": code_bits, "notes": note_bits}
                figures["note_accuracy"] = accuracy * inside.sum()
        return figures

    def metadata(self) -> dict[str, Any]:
        return {**prior_metadata(self.model), "config": config_to_dict(self.config)}


def _start_from(model: Prior, checkpoint: Checkpoint) -> None:
    """Take a checkpoint's weights; UserError where they mean something else, or do not fit."""
    codes = config_from_dict(CodeFormat, checkpoint.meta["codes"])
    require(
        codes == model.format,
        f"the prior {checkpoint.path} was trained on codes of another codec or format: "
        "extract codes with its codec, or start without it",
    )
    config = config_from_dict(ModelConfig, checkpoint.meta["model"])
    for name in ("heads", "delays"):  # the sizes of the weights do not tell
        require(
            getattr(config, name) == getattr(model.config, name),
            f"the prior {checkpoint.path} has another 'model.{name}': give the same",
        )
    load_weights(model, checkpoint)


CONDITIONS = ("conditional", "unconditional", "shuffled")
ENCODER_FIGURES = ("encoder_pitch_class", "encoder_root", "encoder_onset_f1")


@dataclass(frozen=True)
class TokenNats:
    """Negative log-likelihoods: note `[B, F]`, codes `[B, F, H]`."""

    note: Tensor
    codes: Tensor


def token_nats(logits: PriorLogits, target: Tensor) -> TokenNats:
    """How improbable each token of `target [B, 1 + H, F]` is."""
    return TokenNats(
        note=nats_of(logits.note, target[:, 0]),
        codes=nats_of(logits.codes, target[:, 1:].transpose(1, 2)),
    )


def nats_of(logits: Tensor, tokens: Tensor) -> Tensor:
    """How improbable `tokens` of any shape are by `logits` of that shape and one axis more."""
    flat = F.cross_entropy(logits.float().flatten(0, -2), tokens.flatten(), reduction="none")
    return flat.view(tokens.shape)


def weighted_mean(values: Tensor, weight: Tensor) -> Tensor:
    """Mean of `values` by `weight`; 0 where nothing weighs."""
    return (values * weight).sum() / weight.sum().clamp_min(1e-6)


@torch.no_grad()
def note_accuracy(logits: Tensor, notes: Tensor, known: Tensor) -> Tensor:
    """Share of the sounding frames of `known [B, F]` whose likeliest note is the true one."""
    sounding = known & (notes != NoteVocabulary.REST)
    return weighted_mean((logits.argmax(-1) == notes).float(), sounding.float())


@torch.no_grad()
def encoder_figures(
    heard: EncoderLogits, notes: Tensor, root: Tensor, known: Tensor
) -> dict[str, Tensor]:
    """What the encoder alone hears, over the frames `known [B, F]`; see each comment."""
    rest = NoteVocabulary.REST
    sounding = (known & (notes != rest)).float()
    # Right pitch class where the bass sounds.
    guess = heard.note.argmax(-1)
    same_class = (guess != rest) & (((guess - 1) // 2 - (notes - 1) // 2) % 12 == 0)
    # F1 of onsets, a frame's error (23 ms) allowed.
    onset_tokens = torch.arange(NoteVocabulary.size, device=notes.device)
    onset_tokens = (onset_tokens != rest) & (onset_tokens % 2 == 0)
    found = known & (heard.note.float().softmax(-1)[..., onset_tokens].sum(-1) > 0.5)
    true = known & (notes != rest) & (notes % 2 == 0)
    hits = (found & widen(true)).sum() + (true & widen(found)).sum()
    # The chord's root, where it is known; nan where it nowhere is.
    with_root = root != UNKNOWN
    same_root = with_root & (heard.root.argmax(-1) == root)
    return {
        "encoder_pitch_class": weighted_mean(same_class.float(), sounding),
        "encoder_root": same_root.sum() / with_root.sum(),
        "encoder_onset_f1": hits / (found.sum() + true.sum()).clamp_min(1),
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
