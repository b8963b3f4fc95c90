"""Train the prior, and judge it on songs that it was not trained on.

The figure that counts is in bits per second of music. Most bits of a stream of codes describe
timbre and phase, so what the song decides shows as the difference between its own accompaniment,
that of another song, and none.
"""

import math
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from shared.codes.codec import CodeFormat
from shared.console import err_console
from shared.device import Device
from shared.errors import require
from shared.training.checkpoint import Checkpoint, load_checkpoint, load_weights
from shared.training.loop import Task, fit
from stage2_prior.config import ModelConfig, PriorConfig
from stage2_prior.likelihood import (
    EncoderAccuracy,
    Likelihood,
    measure_encoder,
    measure_likelihood,
)
from stage2_prior.model import EncoderLogits, Prior, prior_metadata
from stage2_prior.scoring import (
    encoder_figures,
    nats_of,
    note_accuracy,
    token_nats,
    weighted_mean,
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
    """Train a prior on a folder of codes; return the path of the best checkpoint.

    Args:
        codes: a folder that `extract-codes` wrote.
        out: the folder of the run.
        config: the settings.
        resume: whether to continue a run in `out`.
        device: where to compute.
        init_from: a checkpoint of a prior to take the first weights from. It must have been trained
            on codes of the same format, and have weights of the same sizes.

    Raises:
        UserError: there are no usable codes, `out` holds a run that this one does not continue, or
            the checkpoint does not fit.
    """
    return fit(
        PriorTask(load_corpus(codes), config, init_from),
        config.train,
        out,
        resume,
        device,
    )


class PriorTask(Task):
    """The training of the prior, as the training loop runs it."""

    stage = "prior"

    def __init__(self, corpus: Corpus, config: PriorConfig, init_from: Path | None = None) -> None:
        """Build the model, and choose the windows to validate on.

        Args:
            corpus: the songs.
            config: the settings.
            init_from: see `train_prior`.

        Raises:
            UserError: no song is for training, or the checkpoint does not fit.
        """
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
        """Cut and hide parts of random windows."""
        items = range(rank, self.config.train.batch_size, world)
        return self.sequences.batch(self.config.train.seed, step, items)

    def loss(self, model: nn.Module, batch: dict[str, Tensor], step: int) -> dict[str, Tensor]:
        """Compute the loss: cross-entropies of codes and notes, and those of the encoder alone."""
        if self.config.data.encoder_only:
            return self._encoder_loss(model(batch["accompaniment"]), batch)
        logits = model(batch["accompaniment"], batch["history"])
        nats = token_nats(logits, batch["target"])
        codes = weighted_mean(nats.codes.mean(-1), batch["code_weight"])
        note = weighted_mean(nats.note, batch["note_weight"])
        encoder = self._encoder_loss(logits.encoder, batch)
        return {
            **encoder,
            "loss": codes + self.config.data.note_weight * note + encoder["loss"],
            "code_bits": codes.detach() / math.log(2),
            "note_bits": note.detach() / math.log(2),
            "note_accuracy": note_accuracy(
                logits.note, batch["target"][:, 0], batch["note_weight"] > 0
            ),
        }

    def _encoder_loss(self, logits: EncoderLogits, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """Compute the part of the loss that depends on the encoder alone, and its figures."""
        data, notes, weight = self.config.data, batch["target"][:, 0], batch["note_weight"]
        with_root = batch["root"] != UNKNOWN
        note = weighted_mean(nats_of(logits.note, notes), weight)
        root = weighted_mean(nats_of(logits.root, batch["root"].clamp_min(0)), with_root.float())
        figures = encoder_figures(logits, notes, batch["root"], weight > 0)
        return {
            "loss": data.encoder_note_weight * note + data.encoder_root_weight * root,
            "encoder_note_bits": note.detach() / math.log(2),
            "encoder_root_bits": root.detach() / math.log(2),
            **{f"encoder_{name}": value for name, value in figures.items()},
        }

    def validate(self, model: nn.Module) -> dict[str, float]:
        """Measure the likelihood of the validation songs, or the encoder if it trains alone."""
        windows, format = self.valid_windows, self.model.format
        if self.config.data.encoder_only:
            encoder = [measure_encoder(model, format, [window]) for window in windows]
            figures = _encoder_metrics(encoder)
            # The likelihood of the notes would be best long before the encoder is most accurate.
            score = figures["encoder_pitch_class"] + figures["encoder_onset_f1"]
            return {"score": score, **figures}
        measured = []
        for index, window in enumerate(windows):
            other = another_song(windows, index)
            others = [] if other is None else [other]
            measured.append(measure_likelihood(model, format, [window], others))
        figures = _likelihood_metrics(measured)
        return {"score": -figures["bits_per_second_conditional"], **figures}

    def identity(self) -> dict[str, Any]:
        """Return the settings and the format of the codes, which a resumed run must share."""
        return {"config": asdict(self.config), "codes": asdict(self.model.format)}

    def metadata(self) -> dict[str, Any]:
        """Return what the JSON of a checkpoint holds about the model and its training."""
        return {**prior_metadata(self.model), "config": asdict(self.config)}


def another_song(windows: Sequence[Window], index: int) -> Window | None:
    """Return a window of another song than window `index` is of, or None if there is none.

    It is the next one after window `index`, cyclically.
    """
    for offset in range(1, len(windows)):
        other = windows[(index + offset) % len(windows)]
        if other.song is not windows[index].song:
            return other
    return None


def _start_from(model: Prior, checkpoint: Checkpoint) -> None:
    """Copy the weights of a checkpoint into `model`.

    Raises:
        UserError: the weights have other sizes, or would mean something else in this model.
    """
    require(
        checkpoint.read("codes", CodeFormat) == model.format,
        f"the prior {checkpoint.path} was trained on codes of another codec or format: "
        "extract codes with its codec, or start without it",
    )
    config = checkpoint.read("model", ModelConfig)
    for name in ("heads", "delays"):  # they do not show in the sizes of the weights
        require(
            getattr(config, name) == getattr(model.config, name),
            f"the prior {checkpoint.path} has another 'model.{name}': give the same",
        )
    load_weights(model, checkpoint)


def _likelihood_metrics(parts: Sequence[Likelihood]) -> dict[str, float]:
    """Average the figures of some windows over their frames."""
    frames = [part.frames for part in parts]

    def mean_bits(condition: str, figure: str) -> float:
        return _mean([getattr(part.bits[condition], figure) for part in parts], frames)

    return {
        **{f"bits_per_second_{each}": mean_bits(each, "per_second") for each in parts[0].bits},
        "bits_per_code": mean_bits("conditional", "per_code"),
        "note_bits_per_second": mean_bits("conditional", "note_per_second"),
        "note_accuracy": _mean([part.note_accuracy for part in parts], frames),
        **_encoder_metrics([part.encoder for part in parts]),
    }


def _encoder_metrics(parts: Sequence[EncoderAccuracy]) -> dict[str, float]:
    """Average the figures of some windows over their frames; the root only where it is known."""
    frames = [part.frames for part in parts]
    rooted = [part for part in parts if part.frames_with_root]
    root = _mean([part.root for part in rooted], [part.frames_with_root for part in rooted])
    return {
        "encoder_pitch_class": _mean([part.pitch_class for part in parts], frames),
        **({"encoder_root": root} if rooted else {}),
        "encoder_onset_f1": _mean([part.onset_f1 for part in parts], frames),
    }


def _mean(values: Sequence[float], weights: Sequence[int]) -> float:
    """Return the weighted mean, which is nan for no values."""
    return float(np.average(values, weights=weights)) if values else math.nan
