"""The source-decomposed VQ-VAE: encoder, quantiser and one decoder that is run on a selection and its complement."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from shared.sources import SOURCES
from stage1_vqvae.config import ModelConfig
from stage1_vqvae.decoder import Decoder
from stage1_vqvae.encoder import Encoder
from stage1_vqvae.quantizer import Quantizer, Softness
from stage1_vqvae.spectral import pad_to_frames

FREE_LOGIT_STD = 3.0  # narrower ones leave the soft mixture uniform, and the codebooks collapse


@dataclass  # not frozen: Fabric rebuilds a module's outputs
class Reconstruction:
    """What training sees: the audio [B, 2, N] and spectra [B, 2, T, F] of both selections, and the logits."""

    selected: Tensor
    complement: Tensor
    selected_spectrum: Tensor
    complement_spectrum: Tensor
    logits: Tensor


class VQVAE(nn.Module):
    """Encodes a stereo mixture into integer codes per source and decodes any selection of the sources."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.hop = config.hop
        block = (config.kernel, config.expansion, config.layer_scale)
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
            config.encoder_width,
            config.encoder_blocks,
            *block,
        )
        self.decoder = Decoder(
            len(SOURCES),
            config.codebooks * config.code_size,
            config.sample_rate,
            config.hop,
            config.decoder_width,
            config.decoder_blocks,
            *block,
        )

    def forward(self, mixture: Tensor, selection: Tensor, softness: Softness) -> Reconstruction:
        """Mixture [B, 2, N] and selection X [B, sources] of zeros and ones to both reconstructions."""
        logits = self.logits(pad_to_frames(mixture, self.hop))
        vectors = self.quantizer(logits, softness)
        # One pass over both selections: the decoder is the same network.
        spectra = self.decoder(vectors.repeat(2, 1, 1, 1), torch.cat((selection, 1 - selection)))
        audio = self.decoder.synthesise(spectra, mixture.shape[-1])
        batch = len(mixture)
        return Reconstruction(
            audio[:batch], audio[batch:], spectra[:batch], spectra[batch:], logits
        )

    def logits(self, padded: Tensor) -> Tensor:
        """A padded mixture to logits over the entries [B, T, sources, codebooks, m]."""
        return self.quantizer.logits(self.encoder(padded).float())

    def encode(self, padded: Tensor) -> Tensor:
        """A mixture padded by `pad_to_frames` [B, 2, (T + 1) * hop] to codes [B, T, sources, codebooks]."""
        return self.quantizer.codes(self.logits(padded))

    def decode(self, codes: Tensor, selection: Tensor) -> Tensor:
        """Codes [B, T, S, H] and a selection [B, S] to a spectrum [B, 2, T, hop + 1] of mid and side."""
        return self.decoder(self.quantizer.lookup(codes), selection)
