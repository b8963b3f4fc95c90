"""The network of the bass decoder: bass codes and notes in, lows and a synthesiser's controls out.

Frame t of the codes is centred at sample `t * hop`. The controls are given at nodes, of which
`upsampling` belong to a frame: node u is at sample `u * hop / upsampling`, and the last node is at
the last frame.
"""

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from shared.codes.codec import CodeFormat
from shared.music.notes import NoteVocabulary
from stage1_vqvae.bass_decoder.config import NetworkConfig
from stage1_vqvae.bass_decoder.lows import Lows
from stage1_vqvae.convnext import ConvNeXtStack, StackSizes

UNKNOWN = -1  # stands for the note token of a frame whose note is not known
MAX_DEVIATION = 1.0  # semitones

# Before training every partial has an amplitude of about 0.002, and the noise is softer still.
_FIRST_HARMONICS, _FIRST_NOISE = -3.0, -4.0


class Controls(NamedTuple):
    """What is played, for T frames and U = (T - 1) * upsampling + 1 nodes.

    Attributes:
        harmonics: amplitudes of the partials `[B, U, harmonics]`, full scale 1.
        noise: gains of the noise bands `[B, U, noise_bands]`. Where all are 1, the noise is white
            and has an RMS of 1.
        deviation: how far the pitch is above that of the note, in semitones `[B, T]`.
        lows: the complex spectrum of the lowest bins, which are not synthesised (see `Lows`)
            `[B, T, bins]`.
    """

    harmonics: Tensor
    noise: Tensor
    deviation: Tensor
    lows: Tensor


class Reading(NamedTuple):
    """What the network reads in codes.

    Attributes:
        controls: of the synthesiser.
        note_logits: of the note tokens, from the codes alone `[B, T, tokens]`.
        tokens: the note tokens `[B, T]` that were given or, where they were not, found.
    """

    controls: Controls
    note_logits: Tensor
    tokens: Tensor


class BassDecoderNetwork(nn.Module):
    """ConvNeXt blocks over the frames of codes, and narrower ones over the nodes."""

    def __init__(self, config: NetworkConfig, format: CodeFormat) -> None:
        """Make a network with random weights.

        Args:
            config: its sizes.
            format: of the codes that it reads.
        """
        super().__init__()
        self.config = config
        width, fine = config.width, config.fine_width
        self.coarse_sizes = _sizes(config, width, config.blocks)
        self.fine_sizes = _sizes(config, fine, config.fine_blocks)
        note_sizes = _sizes(config, width, config.note_blocks)
        self.note_reach = note_sizes.reach
        self.code_embeddings = nn.ModuleList(
            nn.Embedding(format.cardinality, width) for _ in range(format.codebooks)
        )
        self.note_embedding = nn.Embedding(NoteVocabulary.size, width)
        for embedding in (*self.code_embeddings, self.note_embedding):
            assert isinstance(embedding, nn.Embedding)
            nn.init.normal_(embedding.weight, std=format.codebooks**-0.5)
        self.note_stack = ConvNeXtStack(note_sizes)
        self.note_head = nn.Linear(width, NoteVocabulary.size)
        self.coarse = ConvNeXtStack(self.coarse_sizes)
        low_sizes = _sizes(config, config.low_width, config.low_blocks)
        self.lows = Lows(2 * width, low_sizes, format.sample_rate, format.hop)
        self.low_reach = self.coarse_sizes.reach + low_sizes.reach
        self.deviation_head = nn.Linear(width, 1)
        nn.init.zeros_(self.deviation_head.weight)
        nn.init.zeros_(self.deviation_head.bias)
        self.upsample = nn.Linear(width, config.upsampling * fine)
        self.fine = ConvNeXtStack(self.fine_sizes)
        self.harmonic_head = nn.Linear(fine, config.harmonics)
        self.noise_head = nn.Linear(fine, config.noise_bands)
        nn.init.constant_(self.harmonic_head.bias, _FIRST_HARMONICS)
        nn.init.constant_(self.noise_head.bias, _FIRST_NOISE)

    @property
    def reach(self) -> int:
        """How many frames to either side the controls at a frame depend on."""
        fine = -(-self.fine_sizes.reach // self.config.upsampling)
        return max(self.coarse_sizes.reach + fine + 1, self.low_reach)

    def forward(self, codes: Tensor, tokens: Tensor) -> Reading:
        """Find the notes, and compute the controls.

        Args:
            codes: of the bass `[B, T, H]`.
            tokens: note tokens `[B, T]`, UNKNOWN where the note head has to find them.
        """
        note_logits = self.note_logits(codes)
        tokens = torch.where(tokens == UNKNOWN, note_logits.argmax(-1), tokens)
        return Reading(self.controls(codes, tokens), note_logits, tokens)

    def controls(self, codes: Tensor, tokens: Tensor) -> Controls:
        """Compute the controls from codes `[B, T, H]` and note tokens `[B, T]`, all known."""
        embedded = self._embed(codes) + self.note_embedding(tokens)
        hidden = self.coarse(embedded)
        batch, frames, _ = hidden.shape
        nodes = self.upsample(hidden).reshape(batch, frames * self.config.upsampling, -1)
        fine = self.fine(nodes)[:, : (frames - 1) * self.config.upsampling + 1]
        return Controls(
            harmonics=exp_sigmoid(self.harmonic_head(fine)),
            noise=exp_sigmoid(self.noise_head(fine)),
            deviation=MAX_DEVIATION * self.deviation_head(hidden)[..., 0].float().tanh(),
            lows=self.lows(torch.cat((embedded, hidden), -1)),
        )

    def note_logits(self, codes: Tensor) -> Tensor:
        """Compute the logits of the note tokens `[B, T, tokens]` from codes `[B, T, H]` alone."""
        return self.note_head(self.note_stack(self._embed(codes))).float()

    def _embed(self, codes: Tensor) -> Tensor:
        books = zip(self.code_embeddings, codes.unbind(-1), strict=True)
        return torch.stack([embedding(code) for embedding, code in books]).sum(0)


def exp_sigmoid(x: Tensor) -> Tensor:
    """Map any number to an amplitude between 1e-7 and 2, as DDSP does (Engel et al., 2020)."""
    return 2 * torch.exp(math.log(10) * F.logsigmoid(x.float())) + 1e-7


def _sizes(config: NetworkConfig, width: int, blocks: int) -> StackSizes:
    return StackSizes(width, blocks, config.kernel, config.expansion, config.layer_scale)
