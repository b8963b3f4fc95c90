"""Compare the speed with other projects and with what the processor can do, in one run.

    make bench                                   # makes an environment with the peers, and runs all
    python -m benchmarks.bench [--only codec] [--longest 600] [--out bench.json]

One table is printed, and its content is written as JSON. A ratio says how many times as fast as the
peer this project is, and `of limit` how many times as long as the processor needs at least for the
same sums and bytes (benchmarks/limits.py). Times are CPU times on one thread, so that other
programs hardly count, and the shortest of several runs where the work takes less than 5 s. Whole
commands and loops of training are run once. Reading beside musdb and what runs on two threads are
timed by the clock. All networks have random weights, except those of `generate-bass`. A peer that
is not installed is named as missing. In the section `growth`, the peer is what the work would take
if its time grew linearly.
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
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import soundfile
import torch

from benchmarks import codec as codec_benchmark
from benchmarks import decoding, loader, many_songs, peers, tiny
from benchmarks.limits import (
    Limits,
    Program,
    clock_seconds,
    cpu_seconds,
    cpu_seconds_once,
    flops_of,
)
from shared.codes.manifest import read_manifest
from shared.codes.song_codes import SongCodes
from shared.config import load_config
from shared.console import console
from shared.songs.cache import build_cache
from shared.training.loop import fit
from shared.training.settings import TrainSettings
from shared.training.task import Task
from shared.version import versions
from stage1_vqvae.codec import load_codec
from stage1_vqvae.config import PRESETS as VQVAE_PRESETS
from stage1_vqvae.config import VQVAEConfig
from stage1_vqvae.extract import extract_codes
from stage1_vqvae.train import VQVAETask
from stage2_prior.cached_decoder import CachedDecoder
from stage2_prior.config import PRESETS, PriorConfig
from stage2_prior.performer.score import SIZES
from stage2_prior.performer.sequences import PerformedSong
from stage2_prior.performer.task import PerformerTask

ROOT = Path(__file__).parents[1]
SECONDS = 60  # of the sound that codecs code
PIECE = 10  # of it, from which the time of the peers is computed
STEPS = 64  # of decoders
CLIP_SECONDS = 30  # of the clip whose SDR is measured
MUSICGEN_STEPS = 4  # of which the time for 30 s is computed
TRAINED_STEPS = 4
REPEATED = 180
LENGTHS = (10, 60, 600, 3600, 10800)  # seconds of songs of growing length


@dataclass(frozen=True)
class Row:
    """A line of the table.

    Attributes:
        what: what was measured.
        seconds: how long ours took.
        peer: the peer and its version, or why it is missing.
        peer_seconds: how long it took; None where it is missing or there is none.
        limit_seconds: how long the processor needs at least; None where that is not known.
        peak_bytes: the peak memory of the process; None where it was not measured.
    """

    what: str
    seconds: float
    peer: str = ""
    peer_seconds: float | None = None
    limit_seconds: float | None = None
    peak_bytes: int | None = None

    def cells(self) -> list[str]:
        """Return the row of the Markdown table."""
        ratio = "" if self.peer_seconds is None else f"{self.peer_seconds / self.seconds:.1f}x"
        limit = "" if self.limit_seconds is None else f"{self.seconds / self.limit_seconds:.1f}"
        peak = "" if self.peak_bytes is None else f"{self.peak_bytes / 1e6:.0f}"
        return [self.what, f"{self.seconds:.4g}", self.peer, ratio, limit, peak]


Rows = Iterator[Row]


def beside(
    what: str, seconds: float, limit: float | None, *others: "Peer", times: float = 1.0
) -> Rows:
    """Yield a row for each peer, whose work is done `times` times in what is compared."""
    for name, make in others:
        try:
            yield Row(what, seconds, name, times * cpu_seconds(make(), 2), limit)
        except peers.Missing as missing:
            yield Row(what, seconds, f"{name}: {missing}", None, limit)


Peer = tuple[str, Callable[[], peers.Program]]


def codec(limits: Limits) -> Rows:
    """Encode and decode stereo; decode alone beside Vocos; both on two threads beside EnCodec."""
    ours = codec_benchmark.our_codec()
    audio = codec_benchmark.noise(SECONDS, ours.sample_rate)
    piece = audio[:, : PIECE * ours.sample_rate]
    codes = ours.encode(audio)

    def decode() -> object:
        return ours.decode(codes, audio.shape[-1])

    def both() -> object:
        return ours.encode(audio), decode()

    def encodec() -> peers.Program:
        return peers.encodec(codec_benchmark.noise(PIECE, 48000))

    yield from beside(
        f"encode and decode {SECONDS} s of stereo",
        cpu_seconds(both),
        limits.seconds(flops_of(both)),
        ("EnCodec 48 kHz", encodec),
        ("SNAC 44.1 kHz", lambda: peers.snac(piece)),
        ("DAC 44.1 kHz", lambda: peers.dac(piece)),
        times=SECONDS / PIECE,
    )
    yield from beside(
        f"decode {SECONDS} s of stereo",
        cpu_seconds(decode),
        limits.seconds(flops_of(decode)),
        ("Vocos 24 kHz", lambda: peers.vocos(PIECE)),
        times=SECONDS / PIECE,
    )
    if (os.cpu_count() or 1) > 1:
        named = [
            ("EnCodec 48 kHz", encodec, both, "encode and decode"),
            ("SNAC 44.1 kHz", lambda: peers.snac(piece), both, "encode and decode"),
            ("Vocos 24 kHz", lambda: peers.vocos(PIECE), decode, "decode"),
        ]
        torch.set_num_threads(2)
        for name, peer, work, what in named:
            yield _by_the_clock(f"{what} {SECONDS} s of stereo on two threads", work, name, peer)
        torch.set_num_threads(1)


def _by_the_clock(what: str, work: Program, name: str, make: Callable[[], peers.Program]) -> Row:
    seconds = clock_seconds(work)
    try:
        peer = clock_seconds(make(), 2) * SECONDS / PIECE
    except peers.Missing as missing:
        return Row(f"{what}, by the clock", seconds, f"{name}: {missing}")
    return Row(f"{what}, by the clock", seconds, name, peer)


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

        yield from beside(
            f"a step of the performer, batch {batch}",
            cpu_seconds(ours) / STEPS,
            limits.seconds(2 * numbers * batch, 4 * numbers),
            ("x-transformers generate", theirs),
            ("MusicGen of equal size", musicgen),
            times=1 / STEPS,
        )


def generation(limits: Limits) -> Rows:
    """Time `generate-bass`: as a command, from its start to its files, and in a running process."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        start = run_command(_song(folder, 1), folder / "out", 16)
        yield replace(start, what="generate-bass, 1 s, 16 candidates, with its start")
        warm = _warm(folder / "out")
        for seconds in (30, 180):
            song = _song(folder, seconds)
            for candidates in (1, 16):
                what = f"generate-bass, {seconds} s, {candidates} candidates"
                cold = run_command(song, folder / "out", candidates)
                yield replace(cold, what=f"{what}, with its start")
                spent = cpu_seconds(partial(warm, song, candidates))
                if (seconds, candidates) != (30, 16):
                    yield Row(f"{what}, in a running process", spent)
                    continue
                peer = f"MusicGen-small writing 30 s, from {MUSICGEN_STEPS} of 1500 steps"
                yield from beside(
                    f"{what}, in a running process",
                    spent,
                    None,
                    (peer, _musicgen_small),
                    times=1500 / MUSICGEN_STEPS,
                )


def _warm(out: Path) -> Callable[[Path, int], object]:
    """Load the shipped models; return what writes a line of a song by the best of candidates."""
    from stage1_vqvae.bass_decoder.decode import SHIPPED, load_bass_decoder
    from stage2_prior.arrange import ArrangeOptions, generate_bass
    from stage2_prior.bass_sound import FullSound
    from stage2_prior.delivery import Delivery
    from stage2_prior.model import load_prior
    from stage2_prior.sampling import SamplingSettings

    coder, prior = load_codec(), load_prior()
    sound = FullSound(load_bass_decoder(SHIPPED, coder), coder)
    options = ArrangeOptions(delivery=Delivery(force=True))

    def write(song: Path, candidates: int) -> object:
        settings = SamplingSettings.of(prior, candidates=candidates)
        return generate_bass(song, out, coder, prior, settings, options, sound)

    return write


def _musicgen_small() -> peers.Program:
    model = peers.musicgen(1024, 24, 16, 4096, (4, 2048))
    return lambda: peers.musicgen_steps(model, 2, MUSICGEN_STEPS)  # 2: with its guidance


def _song(folder: Path, seconds: int) -> Path:
    """Compose a song and render it, and return its mixture without the bass.

    A longer song than REPEATED seconds is one of that length over and over again.
    """
    from shared.band.composing.compose import compose
    from shared.band.recording.render import SAMPLE_RATE, Orchestra
    from shared.sound.files import write_wav

    path = folder / f"song{seconds}.wav"
    if seconds > REPEATED:
        with soundfile.SoundFile(path, "w", SAMPLE_RATE, 2, "PCM_16") as file:
            piece, left = soundfile.read(_song(folder, REPEATED))[0], seconds * SAMPLE_RATE
            while left > 0:
                file.write(piece[:left])
                left -= len(piece)
    elif not path.exists():
        score = compose(0, seconds=max(8.0, seconds))
        # A part may be silent in the first second, so that the whole is played and then cut.
        length = round(score.duration * SAMPLE_RATE)
        with Orchestra() as orchestra:
            parts = [part for part in score.parts if part.source != "bass"]
            sound = sum(orchestra.play(part, 0, length) for part in parts)
        cut = np.asarray(sound, np.float32)[:, : seconds * SAMPLE_RATE]
        write_wav(path, cut * np.float32(0.2), SAMPLE_RATE)
    return path


# A small process starts the command, because the peak memory of a process counts that of the one
# which started it.
_MEASURE = """
import resource, subprocess, sys
subprocess.run(sys.argv[1:], check=True, stdout=subprocess.DEVNULL)
used = resource.getrusage(resource.RUSAGE_CHILDREN)
print(used.ru_utime + used.ru_stime, used.ru_maxrss)
"""


def run_command(song: Path, out: Path, candidates: int) -> Row:
    """Run generate-bass in a process of its own: its CPU time, and its peak memory."""
    command = [sys.executable, str(ROOT / "cli.py"), "generate-bass", "--song", str(song)]
    command += ["--out", str(out), "--force", "--quiet", "--candidates", str(candidates)]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    measured = subprocess.run(
        [sys.executable, "-c", _MEASURE, *command],
        check=True,
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
    )
    seconds, memory = measured.stdout.split()
    unit = 1 if sys.platform == "darwin" else 1024
    return Row("", float(seconds), peak_bytes=unit * int(memory))


def growth(limits: Limits, longest: int) -> Rows:
    """Grow the song, the number of candidates, and the number of songs."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        rows = {
            length: run_command(_song(folder, length), folder / "out", 4)
            for length in LENGTHS
            if length <= longest
        }
        first, second = LENGTHS[:2]
        a_second = (rows[second].seconds - rows[first].seconds) / (second - first)
        for length, row in rows.items():
            row = replace(row, what=f"generate-bass, {length} s, 4 candidates")
            linear = rows[second].seconds + a_second * (length - second)
            if length not in (first, second):
                peer = f"linear from {first} and {second} s"
                row = replace(row, peer=peer, peer_seconds=linear)
            yield row
        warm = _warm(folder / "out")
        spent = {n: cpu_seconds(partial(warm, _song(folder, 30), n), 1) for n in (1, 16, 64)}
        linear = spent[1] + (spent[16] - spent[1]) / 15 * 63
        what = "generate-bass, 30 s, 64 candidates, in a running process"
        yield Row(what, spent[64], "linear from 1 and 16 candidates", linear)
        listed = {n: _listed_seconds(folder, n) for n in (1_000, 10_000)}
        what = "read, divide and draw from 10,000 songs"
        yield Row(what, listed[10_000], "ten times 1,000 songs", 10 * listed[1_000])


def _listed_seconds(folder: Path, songs: int) -> float:
    many_songs.write_list(folder, songs)
    return cpu_seconds(lambda: many_songs.read_and_draw(folder, songs))


def training(limits: Limits) -> Rows:
    """Time a training step of the codec and of the performer, and the codec's loop.

    The loop of this project adds checks, logs and what resuming needs to a step. The peer is the
    same step with the same batches and optimiser in a loop of nothing but PyTorch.
    """
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
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        tiny.write_songs(folder / "songs", 5.0)
        yield _loop_row("train-vqvae", _codec_task(folder), folder)
        yield _loop_row("train-prior (performer)", _performer_task(folder), folder)


def _loop_row(name: str, made: tuple[Task, TrainSettings], folder: Path) -> Row:
    """Compare the loop of training with one of nothing but PyTorch."""
    task, settings = made

    def loop(steps: int) -> Program:
        given = replace(settings, steps=steps, validate_every=steps)
        out = Path(tempfile.mkdtemp(dir=folder))
        return lambda: fit(task, given, out, "never", "cpu")

    # What is done once, such as the validation at the end, is in both, and so falls out.
    ours = [cpu_seconds_once(loop(steps)) for steps in (1, 1 + TRAINED_STEPS)]
    plain = [
        cpu_seconds_once(partial(_plain_loop, task, settings, steps))
        for steps in (1, 1 + TRAINED_STEPS)
    ]
    return Row(
        f"a step of {name} with AdamW",
        (ours[1] - ours[0]) / TRAINED_STEPS,
        "plain PyTorch",
        (plain[1] - plain[0]) / TRAINED_STEPS,
    )


_SETTINGS = ("batch_size=4", "precision=32-true", "optimizer=adamw", "ema_decay=0")


def _codec_task(folder: Path) -> tuple[Task, TrainSettings]:
    """Make the task that `train-vqvae` trains by default, on short songs and with AdamW."""
    overrides = [f"train.{each}" for each in _SETTINGS]
    config = load_config(VQVAEConfig, VQVAE_PRESETS, "compact", overrides=overrides)
    songs = list(build_cache(folder / "songs").songs)
    return VQVAETask(config, songs, songs[:1]), config.train


def _performer_task(folder: Path) -> tuple[Task, TrainSettings]:
    """Make the task of the performer, on the codes of the same songs and with AdamW."""
    overrides = [f"performer.train.{each}" for each in _SETTINGS]
    config = load_config(PriorConfig, PRESETS, "compact", overrides=overrides)
    extract_codes(folder / "songs", load_codec(), folder / "codes")
    files = read_manifest(folder / "codes").files
    songs = [PerformedSong.of(SongCodes.load(path)) for path in files]
    performer = decoding.random_prior().performer.requires_grad_(True)
    return PerformerTask(songs, songs[:1], performer, config.performer), config.performer.train


def _plain_loop(task: Task, settings: TrainSettings, steps: int) -> None:
    """Train as a script would that uses nothing but PyTorch and the task's own loss."""
    model = task.model.train()
    weights = [weight for weight in model.parameters() if weight.requires_grad]
    optimizer = torch.optim.AdamW(weights, settings.learning_rate)
    for step in range(steps):
        loss = task.loss(model, task.make_batch(step, 0, 1), step)["loss"]
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(weights, settings.grad_clip)
        optimizer.step()


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
GROWTH = "growth"
HEADING = ("what", "s", "peer", "times as fast", "of limit", "peak MB")


def main() -> None:
    """Measure, print the table, and write the JSON file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", choices=[*SECTIONS, GROWTH], help="measure only this section")
    parser.add_argument(
        "--longest",
        type=int,
        choices=LENGTHS[2:],
        default=LENGTHS[2],
        help="seconds of the longest song of the section growth",
    )
    parser.add_argument("--out", type=Path, default=Path("bench.json"))
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    limits = Limits.measure()
    console.print(
        f"{platform.machine()}, torch {torch.__version__}: products of matrices "
        f"{limits.flops / 1e9:.0f} GFLOP/s, memory {limits.bytes / 1e9:.1f} GB/s\n"
    )
    console.print("| " + " | ".join(HEADING) + " |\n|---|---:|---|---:|---:|---:|")
    rows = []
    sections: dict[str, Callable[[Limits], Rows]]
    sections = {**SECTIONS, GROWTH: partial(growth, longest=options.longest)}
    for name, section in sections.items():
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
