"""The trained bass decoder: bass codes to sound, in blocks, so that memory stays flat.

Below the crossover the sound is that of the network's lows, above it that of its synthesiser.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from shared.codes.bass_decoder import Notes
from shared.codes.codec import Codec, CodeFormat, Codes
from shared.config import Range
from shared.device import resolve_device
from shared.errors import UserError, require
from shared.music.notes import NoteVocabulary
from shared.sound.crossover import join_bands, require_crossover
from shared.sound.samples import Samples
from shared.training.checkpoint import Checkpoint, load_checkpoint, load_weights
from stage1_vqvae.bass_decoder.config import BassDecoderConfig
from stage1_vqvae.bass_decoder.lows import HIGHEST_HZ
from stage1_vqvae.bass_decoder.network import UNKNOWN, BassDecoderNetwork, Controls
from stage1_vqvae.bass_decoder.synthesis import (
    band_filters,
    fixed_spectrum,
    harmonic_sum,
    held_pitches,
    node_frequencies,
    node_phases,
    shaped_noise,
)

STAGE = "bass-decoder"
SHIPPED = Path(__file__).parents[1] / "weights" / "bass_decoder.safetensors"


@dataclass(frozen=True)
class Crossover:
    """Where lows and highs are joined; a bass decoder's JSON holds it under `crossover`."""

    hz: Annotated[float, Range(20, 0.8 * HIGHEST_HZ)] = 400.0


class BassDecoder:
    """Implements `shared.codes.bass_decoder.BassDecoder` with a trained network."""

    def __init__(
        self,
        network: BassDecoderNetwork,
        codec: Codec,
        fingerprint: str,
        crossover: Crossover = Crossover(),
        chunk_frames: int = 512,
    ) -> None:
        """Wrap a network for inference.

        Args:
            network: the trained network. It is switched to evaluation mode.
            codec: what made the codes.
            fingerprint: the name of the network's checkpoint.
            crossover: where lows and highs are joined.
            chunk_frames: how many frames are decoded at once.

        Raises:
            UserError: there are no lows or no highs at the crossover, or the codec's frames cannot
                be divided among the network's nodes.
        """
        require_crossover(crossover.hz, codec.sample_rate)
        self.network = network.eval()
        self.codec = codec
        self.fingerprint = fingerprint
        self.crossover = crossover
        self.chunk_frames = chunk_frames
        self._upsampling = network.config.upsampling
        self._node_hop = network.config.node_hop(codec.hop)
        filters = band_filters(network.config.noise_bands, codec.sample_rate, self._node_hop)
        self._filters = filters.to(self._device)

    def description(self) -> dict[str, Any]:
        """Return the name of the checkpoint and where its lows and highs are joined."""
        return {"bass_decoder": self.fingerprint, "crossover_hz": self.crossover.hz}

    def decode(self, codes: Codes, notes: Notes | None, num_samples: int) -> Samples:
        """Decode bass codes `[H, T]` into audio float32 `[2, num_samples]` at the codes' level.

        Args:
            codes: the bass row of a song's codes.
            notes: note tokens `[T]`, UNKNOWN where they have to be found in the codes; None where
                all have.
            num_samples: the length of the audio; the number of frames must fit it.

        Raises:
            UserError: codes or notes of another shape, or out of range.
        """
        return np.concatenate([*self.decode_blocks(codes, notes, num_samples)], axis=1)

    def decode_blocks(
        self, codes: Codes, notes: Notes | None, num_samples: int
    ) -> Iterator[Samples]:
        """Decode as `decode` does, block after block `[2, n]`, so that memory stays flat."""
        self._check(codes, notes, num_samples)
        blocks = self._render_blocks(codes, notes, num_samples)
        mono = join_bands(blocks, self.crossover.hz, self.codec.sample_rate)
        return (np.repeat(block, 2, axis=0) for block in mono)

    @torch.inference_mode()
    def _render_blocks(
        self, codes: Codes, notes: Notes | None, num_samples: int
    ) -> Iterator[tuple[Samples, Samples]]:
        """Decode lows and highs, each a block `[1, n]` of the same samples."""
        inputs = torch.from_numpy(codes.astype(np.int64)).T[None].to(self._device)
        tokens = self._tokens(inputs, notes)
        pitches = held_pitches(torch.from_numpy(NoteVocabulary.pitches(tokens.cpu()))).to(tokens)
        frames, reach, up = inputs.shape[1], self.network.reach, self._upsampling
        phase = 0.0
        for start in range(0, frames - 1, self.chunk_frames):
            stop = min(frames - 1, start + self.chunk_frames)
            low, high = max(0, start - reach), min(frames, stop + 1 + reach)
            controls = self.network.controls(inputs[:, low:high], tokens[:, low:high])
            # Nodes belong to the frames nearest to them: those of two chunks need both pitches.
            frequencies = node_frequencies(
                pitches[:, low:high], controls.deviation, up, self.codec.sample_rate
            )
            nodes = slice((start - low) * up, (stop - low) * up + 1)
            phases = node_phases(frequencies[:, nodes], self._node_hop, phase)
            phase = float(phases[0, -1] % 1)
            highs = self._synthesise(controls, nodes, frequencies[:, nodes], phases, start * up)
            lows = self.network.lows.synthesise(controls.lows[:, start - low : stop + 1 - low])
            length = min(num_samples, stop * self.codec.hop) - start * self.codec.hop
            yield lows[:, :length].cpu().numpy(), highs[:, :length].cpu().numpy()

    def find_notes(self, codes: Codes) -> npt.NDArray[np.uint8]:
        """Find the note tokens `[T]` in bass codes `[H, T]`."""
        inputs = torch.from_numpy(codes.astype(np.int64)).T[None].to(self._device)
        return self._tokens(inputs, None)[0].cpu().numpy().astype(np.uint8)

    def _synthesise(
        self, controls: Controls, nodes: slice, frequencies: Tensor, phases: Tensor, first: int
    ) -> Tensor:
        """Play the controls at some nodes, of which the first is node `first` of the song."""
        hop = self._node_hop
        count = frequencies.shape[1]
        spectrum = fixed_spectrum(first, first + count, hop).to(self._device)
        noise = shaped_noise(controls.noise[:, nodes], self._filters, spectrum)
        return harmonic_sum(controls.harmonics[:, nodes], frequencies, phases, hop) + noise

    @torch.inference_mode()
    def _tokens(self, inputs: Tensor, notes: Notes | None) -> Tensor:
        """Return the tokens `[1, T]` that are given, and those of the note head for the others."""
        frames, reach = inputs.shape[1], self.network.note_reach
        given = np.full(frames, UNKNOWN) if notes is None else notes.astype(np.int64)
        tokens = torch.from_numpy(given)[None].to(self._device)
        if not (tokens == UNKNOWN).any():
            return tokens
        for start in range(0, frames, self.chunk_frames):
            stop = min(frames, start + self.chunk_frames)
            low, high = max(0, start - reach), min(frames, stop + reach)
            found = self.network.note_logits(inputs[:, low:high]).argmax(-1)
            part = tokens[:, start:stop]
            part[:] = torch.where(part == UNKNOWN, found[:, start - low : stop - low], part)
        return tokens

    def _check(self, codes: Codes, notes: Notes | None, num_samples: int) -> None:
        frames = self.codec.num_frames(num_samples)
        expected = (self.codec.num_codebooks, frames)
        if codes.shape != expected:
            raise UserError(f"bass codes are {list(codes.shape)}, but this needs {list(expected)}")
        for code in (codes.min(), codes.max()):
            require(
                0 <= code < self.codec.cardinality,
                f"a code is {code}, but entries are 0 to {self.codec.cardinality - 1}",
            )
        if notes is None:
            return
        if notes.shape != (frames,):
            raise UserError(f"notes are {list(notes.shape)}, but this needs [{frames}]")
        for token in (notes.min(), notes.max()):
            require(
                UNKNOWN <= token < NoteVocabulary.size,
                f"a note token is {token}, but tokens are 0 to {NoteVocabulary.size - 1}",
            )

    @property
    def _device(self) -> torch.device:
        return next(self.network.parameters()).device


def load_bass_decoder(path: Path, codec: Codec, device: str = "cpu") -> BassDecoder:
    """Load a bass decoder from a run folder or a .safetensors file.

    Raises:
        UserError: there is no such checkpoint, it is of another stage or of another codec, or it is
            damaged or does not fit the codec.
    """
    checkpoint = load_checkpoint(path, STAGE)
    format = checkpoint.read("codes", CodeFormat)
    require(
        format == CodeFormat.of(codec),
        f"the bass decoder {checkpoint.path} reads the codes of the codec checkpoint "
        f"{format.fingerprint}, but the codec in use is {codec.fingerprint}: load that checkpoint, "
        "or train a bass decoder for this one",
    )
    return _wrap(checkpoint, codec, device)


def find_bass_decoder(path: Path | None, codec: Codec, device: str = "cpu") -> BassDecoder | None:
    """Load the bass decoder at `path`, or where that is None the shipped one.

    Returns:
        The decoder; None where none is named and the shipped one is not of this codec.

    Raises:
        UserError: the named one cannot be loaded, or is of another codec.
    """
    if path is not None:
        return load_bass_decoder(path, codec, device)
    if not SHIPPED.is_file():
        return None
    checkpoint = load_checkpoint(SHIPPED, STAGE)
    fits = checkpoint.read("codes", CodeFormat) == CodeFormat.of(codec)
    return _wrap(checkpoint, codec, device) if fits else None


def _wrap(checkpoint: Checkpoint, codec: Codec, device: str) -> BassDecoder:
    """Make a bass decoder of the checkpoint, which is of this codec."""
    config = checkpoint.read("config", BassDecoderConfig)
    crossover = checkpoint.read("crossover", Crossover, optional=True)
    network = BassDecoderNetwork(config.model, CodeFormat.of(codec))
    load_weights(network, checkpoint)
    return BassDecoder(
        network.to(resolve_device(device)), codec, checkpoint.meta["fingerprint"], crossover
    )
