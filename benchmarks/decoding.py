"""Measure how fast the prior generates, against x-transformers and against the hardware's limit.

    python -m benchmarks.decoding

Three programs are timed. x-transformers' cached `generate` draws one token a step. Our `generate`
encodes the song once, and then draws a note and all codes a step, under guidance, and scores them.
Our decoder alone runs the same number of steps without drawing anything; the limit is for it.

Everything runs on one thread, and what counts is the CPU time of that thread. On an idle machine it
equals the elapsed time, and on a busy machine it leaves out the time of other programs. Because
other programs still empty the caches, the three programs take turns, and the shortest of several
runs counts.

A step takes at least as long as it takes to read the weights, keys and values from memory at the
measured bandwidth, and at least as long as its multiplications take at the measured rate of matrix
products. The longer of the two is the limit. The figures are printed as Markdown.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from x_transformers import AutoregressiveWrapper, TransformerWrapper

from shared.codes.codec import CodeFormat
from shared.config import load_config
from shared.sources import SOURCES
from stage2_prior.config import PRESETS, ModelConfig, PriorConfig
from stage2_prior.incremental import IncrementalDecoder
from stage2_prior.model import PAD, Prior
from stage2_prior.sampling import SamplingSettings, generate
from stage2_prior.x_transformers_guard import Decoder

FORMAT = CodeFormat(SOURCES, 8, 64, 44100, 1024, "benchmark")
STEPS = 256
REPEATS = 4
SONG_SECONDS = 30.0


@dataclass(frozen=True)
class StepLimit:
    """The shortest times that a step can take, in ms, by memory and by arithmetic."""

    memory: float
    arithmetic: float

    @property
    def longer(self) -> float:
        """The longer one, which is the limit."""
        return max(self.memory, self.arithmetic)


def main() -> None:
    """Measure, and print the tables."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    config = load_config(PriorConfig, PRESETS, "compact").model
    prior = Prior(config, FORMAT, "benchmark").eval()
    prior.requires_grad_(False)

    gigabytes, gigaflops = bandwidth(), matmul_rate()
    print(f"width {config.dim}, {config.decoder_depth} layers, {STEPS} steps, one thread")
    print(f"memory {gigabytes:.1f} GB/s, matrix products {gigaflops:.0f} GFLOP/s\n")
    print("| | ms a step | of x-transformers | of the limit |")
    print("|---|---|---|---|")
    for candidates in (1, 4):
        batch = 2 * candidates  # each candidate with its notes and without them
        programs = (
            library_window(config, batch),
            our_window(prior, candidates),
            our_decoder(prior, batch),
        )
        turns = [[cpu_seconds(work) for work in programs] for _ in range(REPEATS)]
        theirs, ours, step = (1000 * min(times) / STEPS for times in zip(*turns, strict=True))
        limit = step_limit(prior, batch, gigabytes, gigaflops).longer
        print(f"| x-transformers generate, batch {batch} | {theirs:.2f} | 1 | |")
        print(f"| our generate, batch {batch} | {ours:.2f} | {ours / theirs:.2f} | |")
        print(
            f"| our decoder alone, batch {batch} | {step:.2f} | {step / theirs:.2f} "
            f"| {step / limit:.1f} |"
        )

    print("\n| a song of 30 s, codes to codes | s | times faster than real time |")
    print("|---|---|---|")
    for candidates in (1, 4):
        seconds = song_time(prior, candidates)
        print(
            f"| {candidates} candidates, guidance | {seconds:.2f} | {SONG_SECONDS / seconds:.1f} |"
        )


def cpu_seconds(work: Callable[[], object]) -> float:
    """Measure the CPU time of this thread for `work`."""
    started = time.thread_time()
    work()
    return time.thread_time() - started


def our_window(prior: Prior, candidates: int) -> Callable[[], object]:
    """Return a program that generates the bass for a song of `STEPS` steps, as users do."""
    codes = song_codes(prior, STEPS - prior.pattern.longest)
    settings = SamplingSettings(candidates=candidates)
    return lambda: generate(prior, codes, settings)


@torch.no_grad()
def our_decoder(prior: Prior, batch: int) -> Callable[[], None]:
    """Return a program that runs `STEPS` steps of the incremental decoder."""
    memory = prior.encode(torch.zeros(2, len(SOURCES), FORMAT.codebooks, STEPS, dtype=torch.long))
    decoder = IncrementalDecoder(prior, batch)
    nothing = torch.full((batch, prior.pattern.streams, 0), PAD)
    tokens = torch.zeros(batch, prior.pattern.streams, dtype=torch.long)

    def window() -> None:
        decoder.start(memory, nothing)
        for _ in range(STEPS - 1):
            decoder.step(tokens)

    return window


def library_window(config: ModelConfig, batch: int) -> Callable[[], object]:
    """Return a program that runs `STEPS` steps of x-transformers' cached `generate`.

    Its model has the width, depth, feed-forward layers and vocabulary of the prior's decoder.
    """
    decoder = Decoder(
        dim=config.dim,
        depth=config.decoder_depth,
        heads=config.heads,
        attn_dim_head=config.dim // config.heads,
        attn_flash=True,
        ff_mult=config.feedforward,
        rotary_pos_emb=True,
    )
    model = TransformerWrapper(
        num_tokens=FORMAT.cardinality, max_seq_len=STEPS + 1, attn_layers=decoder
    )
    wrapper = AutoregressiveWrapper(model).eval()
    start = torch.zeros(batch, 1, dtype=torch.long)
    return lambda: wrapper.generate(start, STEPS, cache_kv=True)


def step_limit(prior: Prior, batch: int, gigabytes: float, gigaflops: float) -> StepLimit:
    """Compute the shortest time of a step in the middle of a window, with fp32 numbers."""
    linears = [m for m in prior.decoder.modules() if isinstance(m, torch.nn.Linear)]
    weights = sum(
        m.weight.numel() for m in [*linears, prior.note_from_line, prior.note_head, prior.code_head]
    )
    keys_and_values = prior.config.decoder_depth * 2 * prior.config.dim * STEPS // 2
    numbers = weights + batch * keys_and_values
    products = batch * (weights + keys_and_values)
    return StepLimit(
        memory=1000 * 4 * numbers / (gigabytes * 1e9),
        arithmetic=1000 * 2 * products / (gigaflops * 1e9),
    )


def bandwidth() -> float:
    """Measure the GB/s at which one thread reads memory, with more numbers than the caches hold."""
    numbers = torch.ones(64 * 2**20)
    return 4 * numbers.numel() / min(cpu_seconds(numbers.sum) for _ in range(5)) / 1e9


def matmul_rate() -> float:
    """Measure the GFLOP/s of one thread in fp32."""
    matrix = torch.ones(1024, 1024)
    return 2 * 1024**3 / min(cpu_seconds(lambda: matrix @ matrix) for _ in range(5)) / 1e9


def song_time(prior: Prior, candidates: int) -> float:
    """Measure the seconds to generate the bass codes for a song of `SONG_SECONDS`."""
    codes = song_codes(prior, round(SONG_SECONDS * prior.format.frame_rate))
    settings = SamplingSettings(candidates=candidates)
    return cpu_seconds(lambda: generate(prior, codes, settings))


def song_codes(prior: Prior, frames: int) -> npt.NDArray[np.int64]:
    """Make random codes of an accompaniment `[S, H, frames]`."""
    return np.random.default_rng(0).integers(
        0, prior.dropped, (len(SOURCES), FORMAT.codebooks, frames)
    )


if __name__ == "__main__":
    main()
