"""The source-decomposed VQ-VAE: an encoder, a quantiser and one decoder.

In training the decoder runs twice: on a selection of the sources and on its complement.
"""

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn

from shared.sources import SOURCES
from stage1_vqvae.config import LossConfig, ModelConfig
from stage1_vqvae.convnext import StackSizes
from stage1_vqvae.decoder import Decoder
from stage1_vqvae.encoder import Encoder
from stage1_vqvae.level_head import LevelHead, level_distance
from stage1_vqvae.mask_head import MaskHead, mask_loss
from stage1_vqvae.pitch_head import PitchHead, unexplained_share
from stage1_vqvae.quantizer import Quantizer, Softness
from stage1_vqvae.spectral import pad_to_frames

# Standard deviation of untied logits before training. Smaller logits leave the soft mixture of
# entries uniform, and the codebooks collapse.
FREE_LOGIT_STD = 3.0


class Decoded(NamedTuple):
    """A selection of the sources and its complement, as the decoder writes them.

    Attributes:
        selected: audio `[B, 2, N]` of the selection.
        complement: audio `[B, 2, N]` of its complement.
        selected_spectrum: `[B, 2, T, hop + 1]`, of mid and side.
        complement_spectrum: the same of the complement.
    """

    selected: Tensor
    complement: Tensor
    selected_spectrum: Tensor
    complement_spectrum: Tensor


@dataclass  # not frozen, because Fabric rebuilds the outputs of a module
class Reconstruction:
    """The output of the model in training.

    Attributes:
        decoded: what the decoder writes; None where no selection is given. Nothing is quantised
            then.
        logits: `[B, T, sources, codebooks, m]`.
        masks: `[B, sources, 2, T, bands]`; None without a mask head.
        pitches: semitone levels `[B, T / STRIDE, sources, pitches]`; None without a pitch head, and
            where nothing is quantised.
        levels: `[B, T, sources, bands]` in bels; None without a level head, and where nothing is
            quantised.
    """

    decoded: Decoded | None
    logits: Tensor
    masks: Tensor | None = None
    pitches: Tensor | None = None
    levels: Tensor | None = None


class VQVAE(nn.Module):
    """Encodes a stereo mixture into codes per source, and decodes any selection of the sources."""

    def __init__(self, config: ModelConfig) -> None:
        """Make a model with random weights."""
        super().__init__()
        self.hop = config.hop
        self.quantizer = Quantizer(
            len(SOURCES),
            config.codebooks,
            config.entries,
            config.code_size,
            config.shared_codebooks,
            config.tied_logits,
        )
        self.encoder = Encoder(
            (len(SOURCES), config.codebooks, self.quantizer.inputs),
            1.0 if config.tied_logits else FREE_LOGIT_STD,
            config.sample_rate,
            config.hop,
            encoder_sizes(config),
            config.long_window,
            config.bass_blocks,
        )
        self.decoder = Decoder(
            len(SOURCES),
            config.codebooks * config.code_size,
            config.sample_rate,
            config.hop,
            decoder_sizes(config),
        )
        rate, hop = config.sample_rate, config.hop
        masking = _sizes(config, config.encoder_width, config.mask_blocks)
        self.mask_head = MaskHead(masking, rate, hop) if config.mask_head else None
        size = config.codebooks * config.code_size
        self.pitch_head = PitchHead(size, rate, hop) if config.pitch_head else None
        self.level_head = LevelHead(size, rate, hop) if config.level_head else None

    def forward(
        self, mixture: Tensor, selection: Tensor | None, softness: Softness
    ) -> Reconstruction:
        """Reconstruct a selection of the sources and its complement.

        Args:
            mixture: `[B, 2, N]`.
            selection: zeros and ones `[B, sources]`, the paper's X; None to decode nothing.
            softness: the state of the quantiser.
        """
        hidden = self.encoder.hidden(pad_to_frames(mixture, self.hop))
        logits = self.quantizer.logits(self.encoder.read(hidden).float())
        masks = None if self.mask_head is None else self.mask_head(hidden)
        if selection is None:
            return Reconstruction(None, logits, masks)
        vectors = self.quantizer(logits, softness)
        return Reconstruction(
            self._decoded(vectors, selection, mixture.shape[-1]),
            logits,
            masks,
            None if self.pitch_head is None else self.pitch_head(vectors),
            None if self.level_head is None else self.level_head(vectors),
        )

    def _decoded(self, vectors: Tensor, selection: Tensor, samples: int) -> Decoded:
        """Decode a selection of quantised vectors and its complement."""
        # Both pass through the decoder in one batch.
        spectra = self.decoder(vectors.repeat(2, 1, 1, 1), torch.cat((selection, 1 - selection)))
        audio = self.decoder.synthesise(spectra, samples)
        batch = len(selection)
        return Decoded(audio[:batch], audio[batch:], spectra[:batch], spectra[batch:])

    def logits(self, padded: Tensor) -> Tensor:
        """Compute logits over the entries `[B, T, sources, codebooks, m]` of a padded mixture."""
        return self.quantizer.logits(self.encoder(padded).float())

    def encode(self, padded: Tensor) -> Tensor:
        """Encode a mixture `[B, 2, (T + 1) * hop]`, padded by `pad_to_frames`.

        Returns:
            Codes `[B, T, sources, codebooks]`.
        """
        return self.quantizer.codes(self.logits(padded))

    def decode(self, codes: Tensor, selection: Tensor) -> Tensor:
        """Decode a selection `[B, sources]` of codes `[B, T, sources, codebooks]`.

        Returns:
            The spectrum of mid and side, `[B, 2, T, hop + 1]`.
        """
        return self.decoder(self.quantizer.lookup(codes), selection)


def head_losses(
    model: VQVAE,
    output: Reconstruction,
    stems: Tensor,
    config: LossConfig,
    spread: Tensor | None = None,
) -> dict[str, Tensor]:
    """Compute the loss of each head whose loss has a weight, by name.

    Args:
        model: the model that made the output.
        output: of the sum of the stems.
        stems: audio `[B, sources, 2, N]`.
        config: the weights.
        spread: what the loss of the pitch head is divided by; by default, this is the whole batch.
    """
    losses: dict[str, Tensor] = {}
    padded = pad_to_frames(stems, model.hop)
    if config.mask and model.mask_head is not None and output.masks is not None:
        losses["mask"] = mask_loss(model.mask_head, output.masks, padded)
    if config.pitch and model.pitch_head is not None and output.pitches is not None:
        target = model.pitch_head.target(padded)
        losses["pitch"] = unexplained_share(output.pitches, target, spread)
    if config.level and model.level_head is not None and output.levels is not None:
        losses["level"] = level_distance(output.levels, model.level_head.target(padded))
    return losses


def encoder_sizes(config: ModelConfig) -> StackSizes:
    """Return the sizes of the encoder's ConvNeXt stack."""
    return _sizes(config, config.encoder_width, config.encoder_blocks)


def decoder_sizes(config: ModelConfig) -> StackSizes:
    """Return the sizes of the decoder's ConvNeXt stack."""
    return _sizes(config, config.decoder_width, config.decoder_blocks)


def _sizes(config: ModelConfig, width: int, blocks: int) -> StackSizes:
    return StackSizes(width, blocks, config.kernel, config.expansion, config.layer_scale)
