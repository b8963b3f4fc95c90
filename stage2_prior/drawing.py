"""Draw tokens from logits: temperature, top-k, top-p and min-p, then the Gumbel-max trick."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from stage2_prior.sampling_defaults import SamplingDefaults


def draw(
    logits: Tensor, temperature: float, settings: SamplingDefaults, generator: torch.Generator
) -> Tensor:
    """Draw a token from each distribution.

    Args:
        logits: `[..., n]`; minus infinity for tokens that must not be drawn.
        temperature: divides the logits; 0 takes the most probable token.
        settings: which tokens to cut off (`top_k`, `top_p`, `min_p`), after the temperature.
        generator: the source of chance, on the device of the logits.

    Returns:
        The tokens `[...]`.
    """
    if temperature == 0:
        return logits.argmax(-1)
    noise = gumbel_noise(logits.shape, generator).to(logits.dtype)
    return draw_with(noise, logits, temperature, settings)


def draw_with(
    noise: Tensor, logits: Tensor, temperature: float, settings: SamplingDefaults
) -> Tensor:
    """Draw a token from each distribution, as `draw` does, with noise that was drawn before.

    Args:
        noise: what `gumbel_noise` returns for the shape of the logits.
        logits: see `draw`.
        temperature: see `draw`.
        settings: see `draw`.
    """
    if temperature == 0:
        return logits.argmax(-1)
    logits = truncated(logits / temperature, settings.top_k, settings.top_p, settings.min_p)
    # The token with the largest sum of logit and Gumbel noise is a draw from the softmax.
    return (logits + noise).argmax(-1)


def gumbel_noise(shape: Sequence[int], generator: torch.Generator) -> Tensor:
    """Draw Gumbel noise of a shape, on the device of the generator."""
    # The logarithm of an exponential variable is Gumbel noise with its sign changed.
    noise = torch.empty(tuple(shape), device=generator.device)
    return noise.exponential_(generator=generator).log_().neg_()


def truncated(logits: Tensor, top_k: int = 0, top_p: float = 1.0, min_p: float = 0.0) -> Tensor:
    """Set logits `[..., n]` of improbable tokens to minus infinity.

    The three rules apply one after the other, and each keeps the most probable token.

    Args:
        logits: the logits.
        top_k: keep the k most probable tokens; 0 keeps all.
        top_p: keep the most probable tokens that together reach this probability.
        min_p: drop tokens that are less probable than this share of the most probable token.
    """
    if 0 < top_k < logits.shape[-1]:
        least = logits.topk(top_k, dim=-1).values[..., -1:]
        logits = logits.masked_fill(logits < least, -torch.inf)
    if top_p < 1:
        ordered, order = logits.sort(dim=-1, descending=True)
        probability = ordered.softmax(-1)
        cut = probability.cumsum(-1) - probability >= top_p  # the tokens before it suffice
        logits = logits.masked_fill(cut.gather(-1, order.argsort(-1)), -torch.inf)
    if min_p > 0:
        least = logits.amax(-1, keepdim=True) + math.log(min_p)
        logits = logits.masked_fill(logits < least, -torch.inf)
    return logits
