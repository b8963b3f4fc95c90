"""Training of the bass decoder: the task, and the function behind `train-bass-decoder`."""

from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from shared.codes.codec import Codec, CodeFormat
from shared.codes.manifest import read_manifest
from shared.codes.song_codes import require_fingerprint
from shared.device import Device
from shared.errors import UserError
from shared.music.notes import NoteVocabulary
from shared.songs.cache import build_cache
from shared.sound.spectral_distance import BANDS, band_distances
from shared.training.checkpoint import load_checkpoint, load_weights
from shared.training.loop import fit
from shared.training.task import SplitSize, Task, whole_sum
from stage1_vqvae.bass_decoder.config import BassDecoderConfig
from stage1_vqvae.bass_decoder.decode import STAGE, BassDecoder, Crossover
from stage1_vqvae.bass_decoder.losses import (
    deviation_loss,
    low_terms,
    note_loss,
    note_weight,
    spectral_terms,
)
from stage1_vqvae.bass_decoder.network import BassDecoderNetwork, Reading
from stage1_vqvae.bass_decoder.songs import BassSong, SegmentDrawer, read_bass_songs
from stage1_vqvae.bass_decoder.synthesis import (
    band_filters,
    harmonic_sum,
    held_pitches,
    node_frequencies,
    node_phases,
    random_spectrum,
    shaped_noise,
)


class BassDecoderTask(Task):
    """Trains the bass decoder on segments of bass stems, and validates the joined sound."""

    stage = STAGE

    def __init__(
        self,
        config: BassDecoderConfig,
        codec: Codec,
        train: list[BassSong],
        valid: list[BassSong],
    ) -> None:
        """Make a network with the random weights of the seed.

        Args:
            config: all settings.
            codec: what made the codes.
            train: the songs to train on.
            valid: the songs to validate on.
        """
        self.config = config
        self.codec = codec
        self.format = CodeFormat.of(codec)
        torch.manual_seed(config.train.seed)
        self.model: BassDecoderNetwork = BassDecoderNetwork(config.model, self.format)
        self.drawer = SegmentDrawer(
            train, config.data, self.format, config.train.seed, config.train.batch_size
        )
        chosen = valid[: config.validation.songs]
        self.excerpts = [song.middle(config.validation.seconds) for song in chosen]
        self._songs = {"train": train, "valid": valid}
        self._node_hop = config.model.node_hop(codec.hop)
        self._filters = band_filters(config.model.noise_bands, codec.sample_rate, self._node_hop)

    def make_batch(self, step: int, rank: int, world: int) -> dict[str, Tensor]:
        """Return a batch of `SegmentDrawer`."""
        return self.drawer.batch(step, rank, world)

    def sums(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """Return what the losses of notes and pitch are divided by."""
        return {
            "notes": note_weight(batch["tokens"], batch["confidence"]).sum(),
            "steady": batch["steady"].sum().float(),
        }

    def loss(self, model: nn.Module, batch: dict[str, Tensor], step: int) -> dict[str, Tensor]:
        """Return the weighted sum of the terms under "loss", and every term by its name."""
        reading: Reading = model(batch["codes"], batch["tokens"])
        controls = reading.controls
        # The partials are compared at their true frequencies wherever these are known.
        deviation = torch.where(batch["steady"], batch["deviation"], controls.deviation.detach())
        sound = self._synthesise(reading, deviation)
        terms = spectral_terms(sound, batch["samples"], self.format.sample_rate)
        lows = self.model.lows.synthesise(controls.lows)
        terms |= low_terms(controls.lows, lows, batch["samples"], self.format.sample_rate)
        weights = self.config.loss
        own = self.sums(batch)
        whole = {name: whole_sum(batch, name, value) for name, value in own.items()}
        terms["notes"] = note_loss(
            reading.note_logits, batch["tokens"], batch["confidence"], whole["notes"]
        )
        terms["deviation"] = deviation_loss(
            controls.deviation, batch["deviation"], batch["steady"], whole["steady"]
        )
        total = terms["magnitude"] + weights.convergence * terms["convergence"]
        total = total + weights.lows * (terms["low_waveform"] + terms["low_magnitude"])
        total = total + weights.notes * terms["notes"] + weights.deviation * terms["deviation"]
        return {"loss": total, **terms}

    def validate(self, model: nn.Module, at_most: int | None = None) -> dict[str, float]:
        """Measure the distances of the joined sound on songs not trained on, in dB by band.

        "notes" is the share of the frames whose token the note head finds.
        """
        assert isinstance(model, BassDecoderNetwork)
        decoder = BassDecoder(model, self.codec, fingerprint="in training")
        distances, levels, found, known = [], [], 0, 0
        for excerpt in self.excerpts[:at_most]:
            codes = excerpt.codes.astype(np.uint16)
            sound = decoder.decode(codes, excerpt.tokens, len(excerpt.samples)).mean(0)
            bands = band_distances(sound, excerpt.samples, self.format.sample_rate)
            distances.append([band.distance for band in bands])
            levels.append([band.level_error for band in bands])
            certain = excerpt.tokens >= 0
            known += certain.sum()
            found += (decoder.find_notes(codes) == excerpt.tokens)[certain].sum()
        distance, level = (_mean(np.array(rows)) for rows in (distances, levels))
        names = [f"{low}-{high}" for low, high in BANDS]
        return {
            "score": -float(distance.mean()),
            **{f"distance_{name}": d for name, d in zip(names, distance.tolist(), strict=True)},
            **{f"level_{name}": x for name, x in zip(names, level.tolist(), strict=True)},
            "notes": float(found / max(1, known)),
        }

    def splits(self) -> dict[str, SplitSize]:
        """Return the sizes of the splits."""
        return {
            name: SplitSize.of(song.audio.num_samples / song.audio.sample_rate for song in songs)
            for name, songs in self._songs.items()
        }

    def headline(self, figures: dict[str, float]) -> str:
        """Return the figures to show beside the progress bar."""
        return f"{-figures['score']:.2f} dB from the target"

    def identity(self) -> dict[str, Any]:
        """Return the settings that a resumed run must share."""
        return {"config": asdict(self.config), "codes": asdict(self.format)}

    def metadata(self) -> dict[str, Any]:
        """Return what `load_bass_decoder` reads from the checkpoint's JSON."""
        return {**self.identity(), "crossover": asdict(Crossover())}

    def _synthesise(self, reading: Reading, deviation: Tensor) -> Tensor:
        """Play the controls `[B, (T - 1) * hop]` with random noise."""
        hop = self._node_hop
        controls, tokens = reading.controls, reading.tokens
        device = tokens.device
        table = torch.from_numpy(NoteVocabulary.PITCHES).to(device)
        pitches = held_pitches(table[tokens])
        frequencies = node_frequencies(
            pitches, deviation, self.config.model.upsampling, self.format.sample_rate
        )
        phases = node_phases(frequencies, hop)
        spectrum = random_spectrum(len(frequencies), frequencies.shape[1], hop, device)
        noise = shaped_noise(controls.noise, self._filters.to(device), spectrum)
        return harmonic_sum(controls.harmonics, frequencies, phases, hop) + noise


def _mean(rows: np.ndarray) -> np.ndarray:
    """Average figures `[songs, bands]` over the songs whose bass sounds; nan where none does."""
    sounding = rows[~np.isnan(rows).any(1)]
    return sounding.mean(0) if len(sounding) else np.full(rows.shape[1], np.nan)


def train_bass_decoder(
    data: Path,
    codes: Path,
    out: Path,
    config: BassDecoderConfig,
    codec: Codec,
    resume: Literal["auto", "never"] = "never",
    device: Device = "auto",
    init_from: Path | None = None,
) -> Path:
    """Train a decoder of bass codes, and return the path of the best checkpoint.

    Args:
        data: MUSDB18, MUSDB18-HQ or any folder of songs with four stems.
        codes: the codes of these songs, which `extract-codes` wrote.
        out: the run folder; `shared.training.loop.fit` lists its files.
        config: all settings.
        codec: what made the codes; validation joins its sound with that of the bass decoder.
        resume: whether to continue the run in `out`.
        device: what to compute on.
        init_from: a checkpoint of the same sizes whose weights training starts from.

    Raises:
        UserError: unusable data, codes, settings, device or checkpoint.
    """
    format = read_manifest(codes).format
    require_fingerprint(format.fingerprint, codec.fingerprint, f"the codes in {codes}")
    config.model.node_hop(format.hop)  # refuses wrong settings before the songs are read
    cache = build_cache(data, sample_rate=format.sample_rate)
    train, valid = read_bass_songs(cache, codes)
    if not valid:
        raise UserError(
            f"no song of the valid split has a bass, codes in {codes} and samples in {data}: put "
            "at least one into a valid/ folder and extract its codes"
        )
    task = BassDecoderTask(config, codec, train, valid)
    if init_from is not None:
        load_weights(task.model, load_checkpoint(init_from, STAGE))
    return fit(task, config.train, out, resume, device)
