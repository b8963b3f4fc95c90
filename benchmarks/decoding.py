"""Measure how fast the prior writes a bass line, part by part, and against x-transformers.

    python -m benchmarks.decoding

The listener hears the codes of a song, the composer writes one note a step for all its candidates,
and the performer writes the codes of a frame a step for all its phrases. The networks have random
weights. The peer is the own `generate` of x-transformers, with and without its cache, in a model of
the performer's width and depth. It draws one code a step where ours draws all codes of a frame.

Everything runs on one thread, and what counts is the CPU time of that thread. On an idle machine it
equals the elapsed time, and on a busy machine it leaves out the time of other programs. Because
other programs still empty the caches, the programs take turns, and the shortest of several runs
counts. The figures are printed as Markdown.
"""

import time
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch
from x_transformers import AutoregressiveWrapper, TransformerWrapper

from shared.codes.codec import CodeFormat
from shared.config import load_config
from shared.music.bar_grid import BarGrid
from shared.music.notes import Note, notes_to_tokens
from shared.sources import SOURCES
from stage2_prior.cached_decoder import CachedDecoder
from stage2_prior.composer.features import listen
from stage2_prior.composer.sampling import Rules, compose
from stage2_prior.config import PRESETS, PriorConfig
from stage2_prior.model import Prior
from stage2_prior.performer.network import PerformerConfig
from stage2_prior.performer.sampling import perform
from stage2_prior.sampling_defaults import SamplingDefaults
from stage2_prior.transformer import make_transformer
from stage2_prior.x_transformers_guard import Decoder

FORMAT = CodeFormat(SOURCES, 8, 64, 44100, 1024, "benchmark")
REPEATS = 3
SONG_SECONDS = 30.0
STEPS = 256  # of the peer
BATCH = 2  # its sequences; note guidance runs the performer twice, too

Program = Callable[[], object]


def main() -> None:
    """Measure, and print the tables."""
    torch.set_num_threads(1)
    prior = random_prior()

    print(f"| a song of {SONG_SECONDS:g} s | s | times faster than real time |")
    print("|---|---|---|")
    for name, seconds in shortest_times(parts(prior)).items():
        print(f"| {name} | {seconds:.2f} | {SONG_SECONDS / seconds:.1f} |")

    print(f"\n| {STEPS} steps, batch {BATCH} | ms a step |")
    print("|---|---|")
    for name, seconds in shortest_times(decoders(prior.config.performer)).items():
        print(f"| {name} | {1000 * seconds / STEPS:.2f} |")


def random_prior() -> Prior:
    """Make the prior of the `compact` preset with random weights."""
    torch.manual_seed(0)
    config = load_config(PriorConfig, PRESETS, "compact").model
    return Prior(config, FORMAT, "benchmark").eval().requires_grad_(False)


def shortest_times(programs: dict[str, Program]) -> dict[str, float]:
    """Let programs take turns, and return the shortest CPU time of each in seconds."""
    turns = [{name: cpu_seconds(work) for name, work in programs.items()} for _ in range(REPEATS)]
    return {name: min(turn[name] for turn in turns) for name in programs}


def cpu_seconds(work: Program) -> float:
    """Measure the CPU time of this thread for `work`."""
    started = time.thread_time()
    work()
    return time.thread_time() - started


def parts(prior: Prior) -> dict[str, Program]:
    """Return programs that run one part of the prior on a song with 120 beats a minute."""
    chance = np.random.default_rng(0)
    frames = round(SONG_SECONDS * FORMAT.frame_rate)
    codes = chance.integers(0, FORMAT.cardinality, (len(SOURCES), FORMAT.codebooks, frames))
    beats = np.arange(0, SONG_SECONDS + 0.5, 0.5)
    grid = BarGrid(beats, np.arange(0, len(beats), 4))
    features = listen(prior.listener, codes).on_grid(grid)
    rules, settings = Rules.of_range(grid.positions), SamplingDefaults()
    line = [Note(onset, 0.24, int(chance.integers(28, 50))) for onset in np.arange(0, 30, 0.25)]
    notes = notes_to_tokens(line, frames, FORMAT.frame_rate)

    def composing(candidates: int) -> Program:
        return lambda: compose(prior.composer, features, grid, rules, settings, candidates, seed=0)

    def performing(note_guidance: float) -> Program:
        chosen = replace(settings, note_guidance=note_guidance)
        return lambda: perform(prior.performer, notes, chosen)

    return {
        "listener": lambda: listen(prior.listener, codes),
        "composer, 1 candidate": composing(1),
        "composer, 16 candidates": composing(16),
        "performer without note guidance": performing(1.0),
        "performer with note guidance": performing(2.0),
    }


def decoders(config: PerformerConfig) -> dict[str, Program]:
    """Return programs that run `STEPS` steps of a decoder of the performer's sizes."""
    decoder = make_transformer(Decoder, config, config.depth)
    x = torch.zeros(BATCH, 1, config.dim)

    def ours() -> None:
        cached = CachedDecoder(decoder, BATCH, STEPS)
        for _ in range(STEPS):
            cached.advance(x)

    return {
        "x-transformers generate": x_transformers_program(config, BATCH, STEPS, cached=False),
        "x-transformers generate, cached": x_transformers_program(config, BATCH, STEPS),
        "our decoder alone": ours,
    }


def x_transformers_program(
    config: PerformerConfig, batch: int, steps: int, cached: bool = True
) -> Program:
    """Return a program that runs x-transformers' own `generate` in a model of these sizes."""
    decoder = make_transformer(Decoder, config, config.depth)
    peer = TransformerWrapper(
        num_tokens=FORMAT.cardinality, max_seq_len=steps + 1, attn_layers=decoder
    )
    wrapper = AutoregressiveWrapper(peer).eval()
    start = torch.zeros(batch, 1, dtype=torch.long)
    return lambda: wrapper.generate(start, steps, cache_kv=cached)


if __name__ == "__main__":
    main()
