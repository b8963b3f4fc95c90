"""Compare the speed with other projects and with what the processor can do, in one run.

    make bench                                   # makes an environment with the peers, and runs all
    python -m benchmarks.bench [--only codec] [--out bench.json]

One table is printed, and its content is written as JSON. A ratio says how many times as fast as the
peer this project is, and `of limit` how many times as long as the processor needs at least for the
same sums and bytes (benchmarks/limits.py). All times are CPU times on one thread, the shortest of
several runs, so that other programs hardly count; times of whole commands are CPU times of their
processes, and reading beside musdb is timed by the clock. All networks have random weights, except
those of `generate-bass`. A peer that is not installed is named as missing.
"""

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch

from benchmarks import codec as codec_benchmark
from benchmarks import decoding, loader, peers
from benchmarks.limits import Limits, cpu_seconds, flops_of
from shared.config import load_config
from shared.console import console
from shared.version import versions
from stage2_prior.cached_decoder import CachedDecoder
from stage2_prior.config import PRESETS, PriorConfig
from stage2_prior.performer.score import SIZES

ROOT = Path(__file__).parents[1]
SECONDS = 10  # of the sound that codecs code
STEPS = 64  # of decoders
CLIP_SECONDS = 30  # of the clip whose SDR is measured
MUSICGEN_STEPS = 4  # of which the time for 30 s is computed


@dataclass(frozen=True)
class Row:
    """A line of the table.

    Attributes:
        what: what was measured.
        seconds: how long ours took.
        peer: the peer and its version, or why it is missing.
        peer_seconds: how long it took; None where it is missing or there is none.
        limit_seconds: how long the processor needs at least; None where that is not known.
    """

    what: str
    seconds: float
    peer: str = ""
    peer_seconds: float | None = None
    limit_seconds: float | None = None

    def cells(self) -> list[str]:
        """Return the row of the Markdown table."""
        ratio = "" if self.peer_seconds is None else f"{self.peer_seconds / self.seconds:.1f}x"
        limit = "" if self.limit_seconds is None else f"{self.seconds / self.limit_seconds:.1f}"
        return [self.what, f"{self.seconds:.4g}", self.peer, ratio, limit]


Rows = Iterator[Row]


def beside(what: str, seconds: float, limit: float | None, *others: "Peer") -> Rows:
    """Yield a row for each peer."""
    for name, make in others or [("", None)]:
        try:
            peer_seconds = None if make is None else cpu_seconds(make(), 2)
            yield Row(what, seconds, name, peer_seconds, limit)
        except peers.Missing as missing:
            yield Row(what, seconds, f"{name}: {missing}", None, limit)


Peer = tuple[str, Callable[[], peers.Program] | None]


def codec(limits: Limits) -> Rows:
    """Encode and decode stereo; decode alone beside Vocos."""
    ours = codec_benchmark.our_codec()
    audio = codec_benchmark.noise(SECONDS, ours.sample_rate)
    codes = ours.encode(audio)

    def decode() -> object:
        return ours.decode(codes, audio.shape[-1])

    def both() -> object:
        return ours.encode(audio), decode()

    yield from beside(
        f"encode and decode {SECONDS} s of stereo",
        cpu_seconds(both),
        limits.seconds(flops_of(both)),
        ("EnCodec 48 kHz", lambda: peers.encodec(codec_benchmark.noise(SECONDS, 48000))),
        ("SNAC 44.1 kHz", lambda: peers.snac(audio)),
        ("DAC 44.1 kHz", lambda: peers.dac(audio)),
    )
    yield from beside(
        f"decode {SECONDS} s of stereo",
        cpu_seconds(decode),
        limits.seconds(flops_of(decode)),
        ("Vocos 24 kHz", lambda: peers.vocos(SECONDS)),
    )


def performer(limits: Limits) -> Rows:
    """A step of the performer's decoder."""
    config = load_config(PriorConfig, PRESETS, "compact").model.performer
    prior = decoding.random_prior()
    decoder = prior.performer.decoder
    numbers = sum(each.numel() for each in decoder.parameters())
    codes = (prior.format.codebooks, prior.format.cardinality)
    inner = config.feedforward * config.dim
    for batch in (1, 8, 32):
        x = torch.zeros(batch, 1, config.dim)

        def ours(x: torch.Tensor = x, batch: int = batch) -> None:
            cached = CachedDecoder(decoder, batch, STEPS)
            for _ in range(STEPS):
                cached.advance(x)

        def theirs(batch: int = batch) -> peers.Program:
            return decoding.x_transformers_program(config, batch, STEPS)

        def musicgen(batch: int = batch) -> peers.Program:
            model = peers.musicgen(config.dim, config.depth, config.heads, inner, codes)
            return lambda: peers.musicgen_steps(model, batch, STEPS)

        rows = beside(
            f"a step of the performer, batch {batch}",
            cpu_seconds(ours) / STEPS,
            limits.seconds(2 * numbers * batch, 4 * numbers),
            ("x-transformers generate", theirs),
            ("MusicGen of equal size", musicgen),
        )
        yield from (_a_step(row) for row in rows)


def _a_step(row: Row) -> Row:
    """Divide the time of the peer by the number of its steps."""
    spent = None if row.peer_seconds is None else row.peer_seconds / STEPS
    return Row(row.what, row.seconds, row.peer, spent, row.limit_seconds)


def generation(limits: Limits) -> Rows:
    """The command generate-bass, from its start to its files; and its growth with the song."""
    with tempfile.TemporaryDirectory() as folder:
        for seconds, candidates in ((1, 16), (30, 1), (30, 16), (60, 16), (120, 16)):
            song = _song(Path(folder), seconds)
            spent = _command_seconds(song, Path(folder) / "out", candidates)
            what = f"generate-bass, {seconds} s, {candidates} candidates, with its start"
            if (seconds, candidates) != (30, 16):
                yield Row(what, spent)
                continue
            name = f"MusicGen-small writing 30 s, from {MUSICGEN_STEPS} of 1500 steps"
            for row in beside(what, spent, None, (name, _musicgen_small)):
                peer = row.peer_seconds
                scaled = None if peer is None else peer * 1500 / MUSICGEN_STEPS
                yield Row(row.what, row.seconds, row.peer, scaled)


def _musicgen_small() -> peers.Program:
    model = peers.musicgen(1024, 24, 16, 4096, (4, 2048))
    return lambda: peers.musicgen_steps(model, 2, MUSICGEN_STEPS)  # 2: with its guidance


def _song(folder: Path, seconds: int) -> Path:
    """Compose a song and render it, and return its mixture without the bass."""
    from shared.band.composing.compose import compose
    from shared.band.recording.render import SAMPLE_RATE, Orchestra
    from shared.sound.files import write_wav

    path = folder / f"song{seconds}.wav"
    if not path.exists():
        score = compose(0, seconds=max(8.0, seconds))
        # A part may be silent in the first second, so that the whole is played and then cut.
        length = round(score.duration * SAMPLE_RATE)
        with Orchestra() as orchestra:
            parts = [part for part in score.parts if part.source != "bass"]
            sound = sum(orchestra.play(part, 0, length) for part in parts)
        cut = np.asarray(sound, np.float32)[:, : seconds * SAMPLE_RATE]
        write_wav(path, cut * np.float32(0.2), SAMPLE_RATE)
    return path


def _command_seconds(song: Path, out: Path, candidates: int) -> float:
    """Return the CPU time of generate-bass in a process of its own."""
    command = [sys.executable, str(ROOT / "cli.py"), "generate-bass", "--song", str(song)]
    command += ["--out", str(out), "--force", "--quiet", "--candidates", str(candidates)]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env=environment)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def training(limits: Limits) -> Rows:
    """A training step of the codec and of the performer: forward and backward."""
    ours = codec_benchmark.our_codec()
    model = ours.model.train().requires_grad_(True)
    audio = torch.from_numpy(codec_benchmark.noise(6, 44100))[None].repeat(4, 1, 1)
    padded = audio[..., : audio.shape[-1] // ours.hop * ours.hop]

    def codec_step() -> None:
        model.logits(padded).square().mean().backward()

    network = decoding.random_prior().performer.train().requires_grad_(True)
    score = torch.zeros(16, len(SIZES), network.window, dtype=torch.long)
    codes = torch.zeros(16, network.format.codebooks, network.window, dtype=torch.long)

    def performer_step() -> None:
        network(score, codes).square().mean().backward()

    for what, step in (("encoder", codec_step), ("performer", performer_step)):
        seconds = cpu_seconds(step, 2)
        yield Row(
            f"a training step of the {what}", seconds, "", None, limits.seconds(flops_of(step))
        )


def data(limits: Limits) -> Rows:
    """Reading segments beside musdb, rendering beside fluidsynth, and the SDR beside museval."""
    from shared.band.composing.compose import compose
    from shared.band.recording.render import SAMPLE_RATE, Orchestra, default_soundfont
    from shared.band.scores.score_midi import write_score_midi
    from shared.metrics import sdr_windows

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        _, wav = loader.write_tracks(folder)
        ours, theirs = loader.rates(wav, True, 3.0)
        peer = peers.versions("musdb") + ("" if theirs else ": needs ffmpeg and ffprobe")
        read = 4 * 2 * 3 * 44100 * 2  # sources, channels, seconds, rate, bytes
        limit = limits.seconds(0, read)
        yield Row("read 3 s of four stems", 1 / ours, peer, theirs and 1 / theirs, limit)

        score = compose(0, seconds=60.0)
        midi, length = folder / "song.mid", round(score.duration * SAMPLE_RATE)
        write_score_midi(midi, score)
        with Orchestra() as orchestra:
            seconds = cpu_seconds(lambda: [orchestra.play(p, 0, length) for p in score.parts])
        before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
        for row in beside(
            f"render {score.duration:.0f} s",
            seconds,
            None,
            ("fluidsynth", lambda: peers.fluidsynth(midi, default_soundfont(), folder / "f.wav")),
        ):
            spent = (resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - before) / 3
            yield Row(row.what, row.seconds, row.peer, row.peer_seconds and spent)

    truth = np.stack([codec_benchmark.noise(CLIP_SECONDS, 44100)] * 2)
    estimate = truth + np.float32(0.1) * truth[::-1, :, ::-1]
    yield from beside(
        f"SDR of two sources of {CLIP_SECONDS} s",
        cpu_seconds(lambda: sdr_windows(truth, estimate, 44100)),
        limits.seconds(0, truth.nbytes + estimate.nbytes),
        ("museval", lambda: peers.sdr_by_museval(truth, estimate, 44100)),
        ("fast-bss-eval", lambda: peers.sdr_by_fast_bss_eval(truth, estimate)),
    )


SECTIONS: dict[str, Callable[[Limits], Rows]] = {
    "codec": codec,
    "performer": performer,
    "generation": generation,
    "training": training,
    "data": data,
}
HEADING = ("what", "s", "peer", "times as fast", "of limit")


def main() -> None:
    """Measure, print the table, and write the JSON file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", choices=[*SECTIONS], help="measure only this section")
    parser.add_argument("--out", type=Path, default=Path("bench.json"))
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    limits = Limits.measure()
    console.print(
        f"{platform.machine()}, torch {torch.__version__}: products of matrices "
        f"{limits.flops / 1e9:.0f} GFLOP/s, memory {limits.bytes / 1e9:.1f} GB/s\n"
    )
    console.print("| " + " | ".join(HEADING) + " |\n|---|---:|---|---:|---:|")
    rows = []
    for name, section in SECTIONS.items():
        if options.only in (None, name):
            for row in section(limits):
                rows.append({"section": name, **asdict(row)})
                console.print("| " + " | ".join(row.cells()) + " |", soft_wrap=True)
    content = {
        "limits": limits.as_dict(),
        "machine": platform.processor() or platform.machine(),
        "versions": versions(),
        "peers": peers.installed(),
        "rows": rows,
    }
    options.out.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
