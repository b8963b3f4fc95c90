"""Training of stage 1: the task for the training loop, and the function behind `train-vqvae`."""

from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from shared.codes.codec import CodeFormat
from shared.console import err_console
from shared.device import Device
from shared.errors import UserError, require
from shared.metrics import code_usage, count_codes, median_sdr, sdr_windows
from shared.songs.cache import CachedSong, build_cache
from shared.sources import SOURCES
from shared.training.checkpoint import load_checkpoint
from shared.training.loop import fit
from shared.training.task import Sound, SplitSize, Task, whole_sums
from stage1_vqvae.codec import BassRemoval, VQVAECodec
from stage1_vqvae.config import VQVAEConfig
from stage1_vqvae.initial import kept_codes, start_from
from stage1_vqvae.losses import vqvae_loss
from stage1_vqvae.model import VQVAE, head_losses
from stage1_vqvae.pitch_head import spread_of, target_sums
from stage1_vqvae.quantizer import softness
from stage1_vqvae.remix import Remixer
from stage1_vqvae.spectral import pad_to_frames

# A codebook whose perplexity is below this share of its entries is named in a warning.
COLLAPSE = 1 / 16


class VQVAETask(Task):
    """Trains the VQ-VAE on remixed stems, and validates it by the SDR of each source."""

    stage = "vqvae"

    def __init__(
        self,
        config: VQVAEConfig,
        train: list[CachedSong],
        valid: list[CachedSong],
        codes: CodeFormat | None = None,
    ) -> None:
        """Make a model with the random weights of the seed.

        Args:
            config: all settings.
            train: the songs to train on.
            valid: the songs to validate on.
            codes: those that the model goes on making; None where it learns its own.
        """
        self.config = config
        self.codes = codes
        torch.manual_seed(config.train.seed)
        self.model: VQVAE = VQVAE(config.model)
        # With several processes, a weight that is trained must take part in the loss.
        for head, weight in (
            (self.model.mask_head, config.loss.mask),
            (self.model.pitch_head, config.loss.pitch),
            (self.model.level_head, config.loss.level),
        ):
            if head is not None and not weight:
                head.requires_grad_(False)
        if config.freeze_codes:
            self.model.encoder.requires_grad_(False)
            self.model.quantizer.requires_grad_(False)
        if config.relearn_bass and self.model.encoder.bass is not None:
            self.model.encoder.bass.requires_grad_(True)
        if config.masks_alone:
            self.model.decoder.requires_grad_(False)
        self.remixer = Remixer(
            train,
            config.remix,
            config.model.sample_rate,
            config.train.seed,
            config.train.batch_size,
        )
        self.excerpts = [
            song.middle(config.validation.seconds) for song in valid[: config.validation.songs]
        ]
        self._songs = {"train": train, "valid": valid}

    def make_batch(self, step: int, rank: int, world: int) -> dict[str, Tensor]:
        """Return a batch of `Remixer`."""
        return self.remixer.batch(step, rank, world)

    def sums(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """Return how often each source is present, and what the spread of its pitches needs."""
        weights, head = self.config.loss, self.model.pitch_head
        found: dict[str, Tensor] = {}
        if weights.usage:
            found["presence"] = batch["presence"].sum(0)
        if weights.pitch and head is not None:
            found |= target_sums(head.target(pad_to_frames(batch["stems"], self.model.hop)))
        return found

    def loss(self, model: nn.Module, batch: dict[str, Tensor], step: int) -> dict[str, Tensor]:
        """Return the terms of `vqvae_loss`."""
        return batch_loss(model, self.model, self.config, batch, step)

    def validate(self, model: nn.Module, at_most: int | None = None) -> dict[str, float]:
        """Measure median SDR and use of the codebooks, by source, on songs not trained on.

        The score is the mean SDR of what is decoded or, where the mask head is all that learns, of
        what is masked.
        """
        assert isinstance(model, VQVAE)
        model_config = self.config.model
        codec = VQVAECodec(model, self.config, fingerprint="in training")
        counts = np.zeros((len(SOURCES), model_config.codebooks, model_config.entries), np.int64)
        decoded, masked = [], []
        for stems in self.excerpts[:at_most]:
            mixture = stems.sum(0)
            codes = codec.encode(mixture)
            estimates = [codec.decode(codes, stems.shape[-1], [source]) for source in SOURCES]
            windows = sdr_windows(stems, np.stack(estimates), model_config.sample_rate)
            decoded.append(median_sdr(windows))
            if self.config.loss.mask:
                windows = sdr_windows(stems, codec.separate(mixture), model_config.sample_rate)
                masked.append(median_sdr(windows))
            counts += count_codes(codes, model_config.entries)
        if at_most is None:
            warn_of_collapse(counts)
        figures = summarise(np.stack(decoded, axis=-1), counts)
        if masked:
            of_masks = by_source("masked", median_sdr(np.stack(masked, axis=-1)))
            mean = float(np.nanmean([*of_masks.values()]))
            figures |= {**of_masks, "masked": mean}
        return figures | ({"score": figures["masked"]} if self.config.masks_alone else {})

    def sounds(self, model: nn.Module) -> dict[str, Sound]:
        """Return each source of the first validation song as it is, and as it is decoded."""
        assert isinstance(model, VQVAE)
        codec = VQVAECodec(model, self.config, fingerprint="in training")
        stems, rate = self.excerpts[0], self.config.model.sample_rate
        codes = codec.encode(stems.sum(0))
        found = {}
        for source, stem in zip(SOURCES, stems, strict=True):
            found[f"{source}/true"] = Sound(stem, rate)
            decoded = codec.decode(codes, stem.shape[-1], [source])
            found[f"{source}/decoded"] = Sound(decoded, rate)
        return found

    def splits(self) -> dict[str, SplitSize]:
        """Return the sizes of the splits."""
        return {
            name: SplitSize.of(song.num_samples / song.sample_rate for song in songs)
            for name, songs in self._songs.items()
        }

    def headline(self, figures: dict[str, float]) -> str:
        """Return the figures to show beside the progress bar."""
        lowest = min(figures[f"min_perplexity_{source}"] for source in SOURCES)
        return f"{super().headline(figures)}, lowest perplexity {lowest:.1f}"

    def identity(self) -> dict[str, Any]:
        """Return the settings that a resumed run must share."""
        return {"config": asdict(self.config)}

    def metadata(self) -> dict[str, Any]:
        """Return what `load_codec` reads from the checkpoint's JSON."""
        kept = {} if self.codes is None else {"codes": asdict(self.codes)}
        return {**self.identity(), "bass_removal": asdict(BassRemoval()), **kept}


def batch_loss(
    model: nn.Module, own: VQVAE, config: VQVAEConfig, batch: dict[str, Tensor], step: int
) -> dict[str, Tensor]:
    """Compute the terms of `vqvae_loss` of a batch.

    Args:
        model: the model, perhaps wrapped for several processes.
        own: the model itself, whose heads are read.
        config: all settings.
        batch: what `Remixer` draws.
        step: the step, which decides how soft the quantiser is.
    """
    state = softness(config.quantizer, step / config.train.steps)
    stems, selection = batch["stems"], batch["selection"]
    output = model(stems.sum(1), None if config.masks_alone else selection, state)
    selected = torch.einsum("bscn,bs->bcn", stems, selection)
    complement = stems.sum(1) - selected
    sums = whole_sums(batch)
    spread = spread_of(sums) if "pitch" in sums else None
    heads = head_losses(own, output, stems, config.loss, spread)
    presence, present = batch["presence"], sums.get("presence")
    return vqvae_loss(output, selected, complement, presence, config.loss, heads, present)


def warn_of_collapse(counts: np.ndarray) -> None:
    """Name each codebook that has collapsed, given counts as those of `summarise`."""
    perplexity = code_usage(counts).perplexity
    entries = counts.shape[-1]
    for source, book in zip(*np.nonzero(perplexity < COLLAPSE * entries), strict=True):
        err_console.print(
            f"warning: codebook {book} of {SOURCES[source]} has collapsed (perplexity "
            f"{perplexity[source, book]:.1f} of {entries}): raise loss.usage or lower the rate"
        )


def summarise(scores: np.ndarray, counts: np.ndarray) -> dict[str, float]:
    """Summarise validation.

    Args:
        scores: SDR `[sources, songs]`; nan where a source is silent.
        counts: how often each code occurs, `[sources, codebooks, entries]`.

    Returns:
        For each source its median SDR and, over its codebooks, the mean perplexity, the lowest
        perplexity and the mean share of the entries that occur. "score" is the mean SDR.
    """
    sdr = median_sdr(scores)
    use = code_usage(counts)
    return {
        "score": float(np.nanmean(sdr)),
        **by_source("sdr", sdr),
        **by_source("perplexity", use.perplexity.mean(-1)),
        **by_source("min_perplexity", use.perplexity.min(-1)),
        **by_source("usage", use.usage.mean(-1)),
    }


def by_source(name: str, values: np.ndarray) -> dict[str, float]:
    """Name the figure `[sources]` of each source."""
    return {
        f"{name}_{source}": value for source, value in zip(SOURCES, values.tolist(), strict=True)
    }


def train_vqvae(
    data: Path,
    out: Path,
    config: VQVAEConfig,
    resume: Literal["auto", "never"] = "never",
    device: Device = "auto",
    init_from: Path | None = None,
) -> Path:
    """Train stage 1 on a folder of stems, and return the path of the best checkpoint.

    Args:
        data: MUSDB18, MUSDB18-HQ or any folder of songs with four stems.
        out: the run folder; `shared.training.loop.fit` lists its files.
        config: all settings.
        resume: whether to continue the run in `out`.
        device: what to compute on.
        init_from: a checkpoint whose weights training starts from. Its sizes are the same, except
            that it may lack blocks of the mask head, a readout of the bass and a level head. With
            `freeze_codes` it is needed.

    Raises:
        UserError: unusable data, settings, device or checkpoint.
    """
    require(
        init_from is not None or not config.freeze_codes,
        "'freeze_codes=true' keeps the codes of a trained codec: name it with --init-from",
    )
    require(
        config.loss.compares_sound or config.masks_alone,
        "every loss term that compares sound is off: give 'loss.waveform', 'loss.stft', 'loss.snr' "
        "or 'loss.magnitude' a weight above 0, or train the masks alone: 'freeze_codes=true' and a "
        "'loss.mask' above 0",
    )
    cache = build_cache(data, sample_rate=config.model.sample_rate)
    train, valid = list(cache.split("train")), list(cache.split("valid"))
    if not valid:
        raise UserError(f"{data} holds no validation song: put at least one into a valid/ folder")
    start = None if init_from is None else load_checkpoint(init_from, "vqvae")
    codes = kept_codes(config, start) if start is not None and config.keeps_all_codes else None
    task = VQVAETask(config, train, valid, codes)
    if start is not None:
        start_from(task.model, start)
    return fit(task, config.train, out, resume, device)
