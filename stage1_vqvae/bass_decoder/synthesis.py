"""The synthesiser of the bass decoder: a sum of partials, and noise in bands.

Its controls are given at nodes, `hop` samples apart. Between two nodes the sound passes over from
the sound of the one to that of the other.
"""

import math

import numpy as np
import torch
from torch import Tensor

TABLE = 2048  # samples of one period; a power of two
NOISE_BLOCK = 1024  # nodes whose noise is drawn together
# Up to about this frequency the noise bands are equally wide, and then in equal ratios, in Hz.
_BEND = 2000.0
_DEFAULT_PITCH = 40  # MIDI number, E2: the pitch of a line without any note


def held_pitches(pitches: Tensor) -> Tensor:
    """Fill rests with the pitch before them, and those at the beginning with the first pitch.

    Args:
        pitches: MIDI numbers `[B, T]`, -1 for rests.
    """
    frames = torch.arange(pitches.shape[-1], device=pitches.device)
    last = torch.where(pitches >= 0, frames, -1).cummax(-1).values
    first = (pitches >= 0).to(torch.int64).argmax(-1, keepdim=True)
    held = pitches.gather(-1, torch.where(last >= 0, last, first))
    return torch.where(held >= 0, held, _DEFAULT_PITCH)


def node_frequencies(
    pitches: Tensor, deviation: Tensor, upsampling: int, sample_rate: int
) -> Tensor:
    """Compute the frequency at each node, in cycles per sample, float64 `[B, U]`.

    A pitch holds for the nodes that are nearest to its frame. Deviations change linearly.

    Args:
        pitches: MIDI numbers of the frames, without rests `[B, T]`.
        deviation: of the frames, in semitones `[B, T]`.
        upsampling: nodes per frame.
        sample_rate: in Hz.
    """
    frames = pitches.shape[-1]
    nodes = torch.arange((frames - 1) * upsampling + 1, device=pitches.device)
    nearest = pitches[:, (nodes + upsampling // 2) // upsampling].double()
    left = (nodes // upsampling).clamp(max=max(0, frames - 2))
    share = (nodes - left * upsampling).double() / upsampling
    deviation = deviation.double()
    between = deviation[:, left].lerp(deviation[:, (left + 1).clamp(max=frames - 1)], share)
    return 440 * torch.exp2((nearest + between - 69) / 12) / sample_rate


def node_phases(frequencies: Tensor, hop: int, start: float = 0.0) -> Tensor:
    """Integrate frequencies `[B, U]` to the phase at each node, in cycles `[B, U]`.

    Args:
        frequencies: float64, in cycles per sample.
        hop: samples between nodes.
        start: the phase at the first node.
    """
    steps = hop * (frequencies[:, 1:] + frequencies[:, :-1]) / 2
    return torch.cat((torch.zeros_like(steps[:, :1]), steps.cumsum(-1)), -1) + start


def harmonic_sum(amplitudes: Tensor, frequencies: Tensor, phases: Tensor, hop: int) -> Tensor:
    """Sum the sines of all partials below the Nyquist frequency, `[B, (U - 1) * hop]`.

    One period of the sound at each node is a table. A sample reads the tables of the nodes before
    and after it at its phase, and mixes them by their distances.

    Args:
        amplitudes: of the partials `[B, U, K]`.
        frequencies: of the first partial, in cycles per sample `[B, U]`. They change linearly
            between nodes.
        phases: of the first partial at the nodes, in cycles, float64 `[B, U]`.
        hop: samples between nodes.

    Gradients flow into the amplitudes alone: those of frequencies and phases have a minimum at
    every period, and rarely lead to the right one.
    """
    frequencies, phases = frequencies.detach(), phases.detach()
    partials = torch.arange(1, amplitudes.shape[-1] + 1, device=amplitudes.device)
    audible = frequencies[..., None] * partials < 0.5
    spectrum = torch.nn.functional.pad(amplitudes * audible, (1, 0)) * (-0.5j)
    tables = torch.fft.irfft(spectrum, TABLE, norm="forward")

    sample = torch.arange(hop, device=amplitudes.device)
    slope = (frequencies[:, 1:] - frequencies[:, :-1]).float() / (2 * hop)
    cycles = (
        (phases[:, :-1, None] % 1).float()
        + frequencies[:, :-1, None].float() * sample
        + slope[..., None] * sample.square()
    )
    position = (cycles % 1) * TABLE
    index = position.long()
    share = position - index
    left, right = index % TABLE, (index + 1) % TABLE
    before, after = (
        torch.lerp(table.gather(-1, left), table.gather(-1, right), share)
        for table in (tables[:, :-1], tables[:, 1:])
    )
    return torch.lerp(before, after, sample / hop).flatten(1)


def band_filters(bands: int, sample_rate: int, hop: int) -> Tensor:
    """Make the triangular filters `[bands, hop + 1]` that turn gains of bands into those of bins.

    At every bin but the lowest, which is silent, they add up to 1.
    """
    top = sample_rate / 2
    centres = _BEND * np.expm1(np.linspace(0, math.log1p(top / _BEND), bands))
    bins = np.linspace(0, top, hop + 1)
    filters = np.stack([np.interp(bins, centres, row) for row in np.eye(bands)])
    filters[:, 0] = 0
    return torch.from_numpy(filters.astype(np.float32))


def shaped_noise(gains: Tensor, filters: Tensor, spectrum: Tensor) -> Tensor:
    """Filter white noise, `[B, (U - 1) * hop]`.

    Args:
        gains: of the bands `[B, U, bands]`.
        filters: see `band_filters`, `[bands, hop + 1]`.
        spectrum: complex random numbers with a mean square of 1, `[B, U, hop + 1]`.
    """
    hop = filters.shape[-1] - 1
    window = torch.hann_window(2 * hop, device=gains.device).sqrt()
    # Neighbouring frames are independent, so that the squares of their windows add up to 1.
    frames = torch.fft.irfft(spectrum * (gains @ filters), 2 * hop, norm="ortho") * window
    return (frames[:, :-1, hop:] + frames[:, 1:, :hop]).flatten(1)


def random_spectrum(batch: int, nodes: int, hop: int, device: torch.device) -> Tensor:
    """Draw the spectrum of white noise `[batch, nodes, hop + 1]` from torch's generator."""
    return torch.randn(batch, nodes, hop + 1, dtype=torch.complex64, device=device)


def fixed_spectrum(start: int, stop: int, hop: int) -> Tensor:
    """Return the spectrum of a fixed white noise at the nodes from start to stop - 1.

    It depends on the node alone, so that the noise of a song is the same in pieces as in a whole.

    Returns:
        complex64 `[1, stop - start, hop + 1]`.
    """
    first = start // NOISE_BLOCK
    blocks = [
        np.random.default_rng(block).standard_normal((NOISE_BLOCK, hop + 1, 2), np.float32)
        for block in range(first, -(-stop // NOISE_BLOCK))
    ]
    drawn = np.concatenate(blocks)[start - first * NOISE_BLOCK : stop - first * NOISE_BLOCK]
    return torch.view_as_complex(torch.from_numpy(drawn * np.float32(0.5**0.5)))[None]
