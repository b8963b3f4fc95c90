"""The trained VQ-VAE as a codec, which encodes and decodes in chunks so that memory stays flat.

A chunk is computed together with as many frames around it as the network's output depends on, and
these are cut off again. Chunked coding therefore equals whole coding.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from shared.codes.codec import CodeFormat
from shared.config import Fraction
from shared.device import resolve_device
from shared.errors import UserError
from shared.sound.masking import mask_blocks_of
from shared.sound.sliced import SlicedSamples
from shared.sources import SOURCES
from shared.training.checkpoint import Checkpoint, load_checkpoint, load_weights
from stage1_vqvae.config import VQVAEConfig
from stage1_vqvae.mask_head import MaskHead
from stage1_vqvae.model import VQVAE, decoder_sizes
from stage1_vqvae.spectral import num_frames

SHIPPED = Path(__file__).parent / "weights" / "compact.safetensors"
# Every frame becomes a window of 4 hops for each source and channel. Those of 1024 frames take
# 134 MB, and several arrays of this size are needed at once.
MASKED_FRAMES = 64


@dataclass(frozen=True)
class BassRemoval:
    """When a mixture counts as having a bass; a codec's JSON holds it under `bass_removal`.

    The value here applies where the JSON has none.
    """

    audible_bass: Fraction = 0.21  # share of the song (stage2_prior/bass_search.py)


class VQVAECodec:
    """Implements `shared.codes.codec.Codec` with a trained VQ-VAE."""

    def __init__(
        self,
        model: VQVAE,
        config: VQVAEConfig,
        fingerprint: str,
        chunk_frames: int = 1024,
        audible_bass: float = BassRemoval.audible_bass,
    ) -> None:
        """Wrap a model for inference.

        Args:
            model: the trained network. It is switched to evaluation mode.
            config: the settings it was trained with.
            fingerprint: the name of its checkpoint.
            chunk_frames: how many frames are coded at once.
            audible_bass: see `BassRemoval`.
        """
        self.model = model.eval()
        self.config = config
        self.fingerprint = fingerprint
        self.sources = SOURCES
        self.sample_rate = config.model.sample_rate
        self.hop = config.model.hop
        self.num_codebooks = config.model.codebooks
        self.cardinality = config.model.entries
        self.chunk_frames = chunk_frames
        self.audible_bass = audible_bass
        self._encoder_reach = model.encoder.reach
        self._decoder_reach = decoder_sizes(config.model).reach

    @property
    def frame_rate(self) -> float:
        """Frames per second."""
        return self.sample_rate / self.hop

    def num_frames(self, num_samples: int) -> int:
        """Count the frames that `encode` returns for `num_samples` samples."""
        return num_frames(num_samples, self.hop)

    @torch.inference_mode()
    def encode(self, audio: SlicedSamples) -> np.ndarray:
        """Encode audio float32 `[2, N]` into codes uint16 `[sources, codebooks, frames]`."""
        frames = self.num_frames(audio.shape[-1])
        pieces = []
        for start in range(0, frames, self.chunk_frames):
            stop = min(frames, start + self.chunk_frames)
            low = max(0, start - self._encoder_reach)
            high = min(frames, stop + self._encoder_reach)
            padded = _slice(audio, (low - 1) * self.hop, high * self.hop).to(self._device)
            codes = self.model.encode(padded[None])[0, start - low : stop - low]
            pieces.append(codes.permute(1, 2, 0).cpu().numpy().astype(np.uint16))
        return np.concatenate(pieces, axis=-1)

    def decode(
        self, codes: np.ndarray, num_samples: int, sources: Sequence[str] | None = None
    ) -> np.ndarray:
        """Decode codes `[sources, codebooks, frames]` into audio float32 `[2, num_samples]`.

        Args:
            codes: all sources' codes.
            num_samples: the length of the audio; the number of frames must fit it.
            sources: the names of the sources to decode together; None decodes all.

        Raises:
            UserError: codes of another shape or cardinality, or an unknown source.
        """
        audio = np.empty((2, num_samples), np.float32)
        first = 0
        for block in self.decode_blocks(codes, num_samples, sources):
            audio[:, first : first + block.shape[-1]] = block
            first += block.shape[-1]
        return audio

    @torch.inference_mode()
    def decode_blocks(
        self, codes: np.ndarray, num_samples: int, sources: Sequence[str] | None = None
    ) -> Iterator[np.ndarray]:
        """Decode as `decode` does, block after block `[2, n]`, so that memory stays flat."""
        frames = self.num_frames(num_samples)
        expected = (len(self.sources), self.num_codebooks, frames)
        if codes.shape != expected:
            raise UserError(f"codes are {list(codes.shape)}, but this codec needs {list(expected)}")
        for code in (codes.min(), codes.max()):
            if not 0 <= code < self.cardinality:
                raise UserError(f"a code is {code}, but entries are 0 to {self.cardinality - 1}")
        selection = self._selection(sources)
        # Two neighbouring frames overlap in one block of `hop` samples.
        for start in range(0, frames - 1, self.chunk_frames):
            stop = min(frames - 1, start + self.chunk_frames)
            low = max(0, start - self._decoder_reach)
            high = min(frames, stop + 1 + self._decoder_reach)
            part = torch.from_numpy(codes[..., low:high].astype(np.int64)).permute(2, 0, 1)[None]
            spectrum = self.model.decode(part.to(self._device), selection)
            first, last = start * self.hop, min(num_samples, stop * self.hop)
            kept = spectrum[:, :, start - low : stop + 1 - low]
            yield self.model.decoder.synthesise(kept, last - first)[0].cpu().numpy()

    def separate(
        self,
        mixture: SlicedSamples,
        sources: Sequence[str] | None = None,
        codes: np.ndarray | None = None,
    ) -> np.ndarray:
        """Estimate sources of a mixture `[2, N]` by masking it, `[len(sources), 2, N]`.

        The masks are those of the mask head. Without a mask head they are made of the magnitudes of
        all decoded sources (shared/sound/masking.py).

        Args:
            mixture: at the level that `accompaniment_gain` gives it.
            sources: the names of the sources, in the order in which their estimates are returned.
                None returns all of them in the codec's order.
            codes: those of the mixture, if they are known; only masks without a head need them.

        Raises:
            UserError: an unknown source.
        """
        names = self._names(sources)
        estimates = np.empty((len(names), 2, mixture.shape[-1]), np.float32)
        first = 0
        for block in self.separate_blocks(mixture, names, codes):
            estimates[..., first : first + block.shape[-1]] = block
            first += block.shape[-1]
        return estimates

    def separate_blocks(
        self,
        mixture: SlicedSamples,
        sources: Sequence[str] | None = None,
        codes: np.ndarray | None = None,
    ) -> Iterator[np.ndarray]:
        """Separate as `separate` does, block after block `[S, 2, n]`, so that memory stays flat."""
        names = self._names(sources)
        chosen = [self.sources.index(name) for name in names]
        if self.model.mask_head is not None:
            return self._mask(self.model.mask_head, mixture, chosen)
        codes = self.encode(mixture) if codes is None else codes
        return mask_blocks_of(mixture, self._decode_each(codes, mixture.shape[-1]), chosen)

    def _decode_each(self, codes: np.ndarray, num_samples: int) -> Iterator[np.ndarray]:
        """Decode every source by itself, block after block `[sources, 2, n]`."""
        each = [self.decode_blocks(codes, num_samples, [name]) for name in self.sources]
        return map(np.stack, zip(*each, strict=True))

    @torch.inference_mode()
    def _mask(
        self, head: MaskHead, mixture: SlicedSamples, chosen: Sequence[int]
    ) -> Iterator[np.ndarray]:
        length, hop = mixture.shape[-1], self.hop
        frames = self.num_frames(length)
        squared_window = head.window("cpu").square().numpy()
        # A sample at the edge of a chunk is also in the windows of the next frame.
        reach = max(1, self.model.encoder.hidden_reach + head.reach)
        # Frame t is centred at sample t * hop, and its window reaches two hops to either side. What
        # later frames still add to is carried from chunk to chunk.
        carried = np.zeros((len(chosen), 2, 3 * hop), np.float32)
        carried_weight = np.zeros(3 * hop, np.float32)
        for start in range(0, frames, self.chunk_frames):
            stop = min(frames, start + self.chunk_frames)
            low, high = max(0, start - reach), min(frames, stop + reach)
            padded = _slice(mixture, (low - 1) * hop, high * hop).to(self._device)[None]
            masks = head(self.model.encoder.hidden(padded))[:, chosen]
            spectrum = head.spectrum(padded)
            summed = np.pad(carried, ((0, 0), (0, 0), (0, (stop - start) * hop)))
            weight = np.pad(carried_weight, (0, (stop - start) * hop))
            for begin in range(start, stop, MASKED_FRAMES):
                kept = slice(begin - low, min(begin + MASKED_FRAMES, stop) - low)
                windows = head.apply_masks(masks[..., kept, :], spectrum[..., kept, :])
                each = windows[0].cpu().numpy().transpose(2, 0, 1, 3)
                for index, frame in enumerate(each, begin - start):
                    summed[..., index * hop : (index + 4) * hop] += frame
                    weight[index * hop : (index + 4) * hop] += squared_window
            # Sample 0 of `summed` is sample (start - 2) * hop of the song.
            done = (stop - start) * hop if stop < frames else summed.shape[-1]
            first = (start - 2) * hop
            inside = slice(max(0, -first), min(done, length - first))
            yield summed[..., inside] / weight[inside]
            carried, carried_weight = summed[..., done:], weight[done:]

    @property
    def _device(self) -> torch.device:
        return next(self.model.parameters()).device

    def _names(self, sources: Sequence[str] | None) -> Sequence[str]:
        """Return the names, those of all sources for None; raise UserError for an unknown one."""
        names = self.sources if sources is None else sources
        unknown = sorted(set(names) - set(self.sources))
        if unknown:
            raise UserError(f"there is no source '{unknown[0]}': choose from {', '.join(SOURCES)}")
        return names

    def _selection(self, sources: Sequence[str] | None) -> Tensor:
        names = self._names(sources)
        chosen = [float(source in names) for source in self.sources]
        return torch.tensor([chosen], device=self._device)


def load_codec(path: Path | None = None, device: str = "cpu") -> VQVAECodec:
    """Load a codec from a run folder or a .safetensors file; None loads the shipped codec.

    Raises:
        UserError: there is no such checkpoint, it is of another stage, or it is damaged.
    """
    checkpoint = load_checkpoint(SHIPPED if path is None else path, "vqvae")
    config = checkpoint.read("config", VQVAEConfig)
    bass_removal = checkpoint.read("bass_removal", BassRemoval, optional=True)
    model = VQVAE(config.model)
    load_weights(model, checkpoint)
    return VQVAECodec(
        model.to(resolve_device(device)),
        config,
        code_format(checkpoint).fingerprint,
        audible_bass=bass_removal.audible_bass,
    )


def code_format(checkpoint: Checkpoint) -> CodeFormat:
    """Return the format of a codec's codes.

    Its fingerprint is that of the checkpoint or, where the JSON has `codes`, of the codec whose
    codes it makes too.

    Raises:
        UserError: the JSON does not fit this version.
    """
    if "codes" in checkpoint.meta:
        return checkpoint.read("codes", CodeFormat)
    model = checkpoint.read("config", VQVAEConfig).model
    return CodeFormat(
        sources=SOURCES,
        codebooks=model.codebooks,
        cardinality=model.entries,
        sample_rate=model.sample_rate,
        hop=model.hop,
        fingerprint=checkpoint.meta["fingerprint"],
    )


def _slice(audio: SlicedSamples, start: int, stop: int) -> Tensor:
    """Return the samples [start, stop) of audio `[2, N]`, with zeros outside the audio."""
    inside = audio[:, max(0, start) : max(0, stop)]
    right = (stop - start) - max(0, -start) - inside.shape[-1]
    piece = np.pad(np.asarray(inside, np.float32), ((0, 0), (max(0, -start), right)))
    return torch.from_numpy(piece)
