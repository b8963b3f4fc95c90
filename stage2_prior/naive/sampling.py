"""Sample the codes of a bass from the plain encoder-decoder."""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from shared.device import one_thread
from shared.errors import require
from stage2_prior.drawing import draw
from stage2_prior.naive.network import PAD, NaivePrior
from stage2_prior.sampling_defaults import SamplingDefaults


@torch.inference_mode()
def sample_codes(
    model: NaivePrior,
    accompaniment: npt.NDArray[np.integer],
    settings: SamplingDefaults,
    seed: int = 0,
) -> npt.NDArray[np.uint16]:
    """Sample a bass for a song of any length.

    A song that is longer than the window is written window by window. Each window begins in the
    middle of the one before it, and continues its second half.

    Args:
        model: a network in eval mode.
        accompaniment: codes `[S, H, T]`.
        settings: `temperature`, `top_k`, `top_p` and `min_p`; the others mean nothing here.
        seed: the seed of the random numbers.

    Returns:
        Codes `[H, T]`.

    Raises:
        UserError: the codes do not fit the network.
    """
    format, frames = model.format, accompaniment.shape[-1]
    require(
        accompaniment.shape[:2] == (len(format.sources), format.codebooks) and frames > 0,
        f"the accompaniment's codes are {list(accompaniment.shape)}, but the network reads "
        f"[{len(format.sources)}, {format.codebooks}, frames]: use its own codec",
    )
    device = model.code_head.weight.device
    chance = torch.Generator(device).manual_seed(seed)
    heard = torch.from_numpy(accompaniment.astype(np.int64)).to(device)
    codes = torch.zeros((format.codebooks, frames), dtype=torch.int64, device=device)
    with one_thread():
        for start, known in _windows(frames, model.window):
            stop = min(frames, start + model.window)
            past = codes[:, start : start + known]
            written = _continue(model, heard[..., start:stop], past, settings, chance)
            codes[:, start:stop] = written
    return codes.cpu().numpy().astype(np.uint16)


def _windows(frames: int, window: int) -> Iterator[tuple[int, int]]:
    """Yield the first frame of each window, and how many of its frames are written already."""
    start, written = 0, 0
    while written < frames:
        yield start, written - start
        written = min(frames, start + window)
        start += window - window // 2


def _continue(
    model: NaivePrior,
    accompaniment: Tensor,
    past: Tensor,
    settings: SamplingDefaults,
    chance: torch.Generator,
) -> Tensor:
    """Write the codes of a window `[H, F]`, of which the first ones are given."""
    frames = accompaniment.shape[-1]
    pattern = model.pattern
    known = past.shape[-1]
    free = torch.full((past.shape[0], frames - known), PAD - 1, device=past.device)
    grid = pattern.apply(torch.cat((past, free), dim=1), PAD)
    context = model.read(accompaniment[None])
    steps = grid.shape[-1]
    first = torch.full_like(grid[:, :1], PAD)
    cache = None
    for step in range(known, steps):
        history = torch.cat((first, grid[:, :step]), dim=1)[None]
        line, cache = model.decoder(
            model.embed(history), context=context, cache=cache, return_hiddens=True
        )
        logits = model.logits(line[:, -1])[0]
        drawn = draw(logits, settings.temperature, settings, chance)
        grid[:, step] = torch.where(grid[:, step] == PAD - 1, drawn, grid[:, step])
    return pattern.revert(grid)
