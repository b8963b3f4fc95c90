"""How fast the prior writes: against x-transformers' own cached decoding, and against the floor.

    python -m benchmarks.decoding

x-transformers' generate chooses one token a step. Our generate reads the song once; then a step chooses a
note and all codes under guidance, and scores them. Our steps alone choose nothing: they are the decoder, which the
floor is for.

Everything runs on one thread and is timed in CPU time of that thread: on an idle machine that is
wall time, on a busy one it does not count the others. All take turns, and the least of several
runs counts, since others' programs still empty the caches. The floor of a step is what it must read
from memory (weights, keys and values) over the measured bandwidth, or its multiplications over the
measured rate of matrix products, whichever is longer. Figures go to stdout as Markdown.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from x_transformers import AutoregressiveWrapper, Decoder, TransformerWrapper

from shared.codes.codec import CodeFormat
from shared.config import load_config
from shared.sources import SOURCES
from stage2_prior.config import PRESETS, ModelConfig, PriorConfig
from stage2_prior.incremental import IncrementalDecoder
from stage2_prior.model import PAD, Prior
from stage2_prior.sampling import SamplingSettings, generate

FORMAT = CodeFormat(SOURCES, 8, 64, 44100, 1024, "benchmark")
STEPS = 256
REPEATS = 4
SONG_SECONDS = 30.0


@dataclass(frozen=True)
class Floor:
    """Time below which a step cannot be, in ms."""

    memory: float
    arithmetic: float

    @property
    def longer(self) -> float:
        """The one that binds."""
        return max(self.memory, self.arithmetic)


def main() -> None:
    """Measure and print."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    config = load_config(PriorConfig, PRESETS, "compact").model
    prior = Prior(config, FORMAT, "benchmark").eval()
    prior.requires_grad_(False)

    gigabytes, gigaflops = bandwidth(), matmul_rate()
    print(f"width {config.dim}, {config.decoder_depth} layers, {STEPS} steps, one thread")
    print(f"memory {gigabytes:.1f} GB/s, matrix products {gigaflops:.0f} GFLOP/s\n")
    print("| | ms a step | of x-transformers | of the floor |")
    print("|---|---|---|---|")
    for candidates in (1, 4):
        batch = 2 * candidates  # each with its notes and without them
        contenders = (
            library_window(config, batch),
            our_window(prior, candidates),
            our_steps(prior, batch),
        )
        turns = [[cpu_seconds(work) for work in contenders] for _ in range(REPEATS)]
        theirs, ours, step = (1000 * min(times) / STEPS for times in zip(*turns, strict=True))
        least = floor(prior, batch, gigabytes, gigaflops).longer
        print(f"| x-transformers generate, batch {batch} | {theirs:.2f} | 1 | |")
        print(f"| our generate, batch {batch} | {ours:.2f} | {ours / theirs:.2f} | |")
        print(
            f"| our steps alone, batch {batch} | {step:.2f} | {step / theirs:.2f} "
            f"| {step / least:.1f} |"
        )

    print("\n| a song of 30 s, codes to codes | s | times faster than real time |")
    print("|---|---|---|")
    for candidates in (1, 4):
        seconds = song_time(prior, candidates)
        print(
            f"| {candidates} candidates, guidance | {seconds:.2f} | {SONG_SECONDS / seconds:.1f} |"
        )


def cpu_seconds(work: Callable[[], object]) -> float:
    """CPU time of this thread for `work`."""
    started = time.thread_time()
    work()
    return time.thread_time() - started


def our_window(prior: Prior, candidates: int) -> Callable[[], object]:
    """A song of `STEPS` steps, as users have it written."""
    codes = song_codes(prior, STEPS - prior.pattern.longest)
    settings = SamplingSettings(candidates=candidates)
    return lambda: generate(prior, codes, settings)


@torch.no_grad()
def our_steps(prior: Prior, batch: int) -> Callable[[], None]:
    """As many steps of the incremental decoder."""
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
    """As many by x-transformers' cached generate, of the same width, depth, feed-forward and vocabulary."""
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


def floor(prior: Prior, batch: int, gigabytes: float, gigaflops: float) -> Floor:
    """The floor of a step in the middle of a window, of fp32 numbers."""
    linears = [m for m in prior.decoder.modules() if isinstance(m, torch.nn.Linear)]
    weights = sum(
        m.weight.numel() for m in [*linears, prior.note_from_line, prior.note_head, prior.code_head]
    )
    heard = prior.config.decoder_depth * 2 * prior.config.dim * STEPS // 2  # keys and values
    numbers = weights + batch * heard
    products = batch * (weights + heard)
    return Floor(
        memory=1000 * 4 * numbers / (gigabytes * 1e9),
        arithmetic=1000 * 2 * products / (gigaflops * 1e9),
    )


def bandwidth() -> float:
    """GB/s at which one thread reads memory: a sum over more than the caches hold."""
    numbers = torch.ones(64 * 2**20)
    return 4 * numbers.numel() / min(cpu_seconds(numbers.sum) for _ in range(5)) / 1e9


def matmul_rate() -> float:
    """GFLOP/s of one thread in fp32."""
    matrix = torch.ones(1024, 1024)
    return 2 * 1024**3 / min(cpu_seconds(lambda: matrix @ matrix) for _ in range(5)) / 1e9


def song_time(prior: Prior, candidates: int) -> float:
    """Seconds to write the bass of a song of `SONG_SECONDS`, from its codes to the bass's."""
    codes = song_codes(prior, round(SONG_SECONDS * prior.format.frame_rate))
    settings = SamplingSettings(candidates=candidates)
    return cpu_seconds(lambda: generate(prior, codes, settings))


def song_codes(prior: Prior, frames: int) -> npt.NDArray[np.int64]:
    """Codes of nothing in particular."""
    return np.random.default_rng(0).integers(
        0, prior.dropped, (len(SOURCES), FORMAT.codebooks, frames)
    )


if __name__ == "__main__":
    main()
