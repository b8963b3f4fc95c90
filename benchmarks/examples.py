"""Make the examples of docs/examples: songs before and after they get a new bass.

    python -m benchmarks.examples --soundfont /usr/share/sounds/sf2/FluidR3_GM.sf2 --out examples

`make-dataset` composes a song in each of three styles, and `generate-bass` takes its bass out and
writes a new one, with nothing but default settings. All songs have the same seed, and nothing is
chosen among several results. The new basses are judged by their sound alone, as `evaluate-prior`
does. Swung styles are not among them, because swung notes are not on the sixteenths that one of the
figures counts.
"""

import argparse
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import soundfile

from shared.music.bass_metrics import judge_bass
from shared.music.song_facts import read_song_facts
from shared.sound.files import read_audio
from shared.sound.samples import unclipped

STYLES = ("funk", "pop", "rock")
SEED = 7001
SECONDS = 14
FIGURES = ("root_on_downbeats", "chord_tones", "grid_f1")
COMPRESSION = 0.5  # of libsndfile's MP3: 0 is the best quality, and 1 the smallest file

CLI = Path(__file__).parents[1] / "cli.py"


def make_example(style: str, soundfont: Path, out: Path, work: Path) -> list[float]:
    """Compose a song, write a new bass for it, and return how good that is: its FIGURES."""
    band, new = work / style, work / "new"
    composing = ["--songs", "1", "--seed", str(SEED), "--style", style, "--seconds", str(SECONDS)]
    run("make-dataset", "--out", str(band), *composing, "--soundfont", str(soundfont))
    (facts,) = band.glob("*/*/song.json")
    song = facts.with_name("mixture.wav")
    run("generate-bass", "--song", str(song), "--out", str(new), "--name", style, "--force")
    write_mp3(song, out / f"{style}-before.mp3")
    write_mp3(new / f"{style}.mix.wav", out / f"{style}-after.mp3")
    shutil.copy(new / f"{style}.mid", out / f"{style}.mid")
    bass = read_audio(new / f"{style}.bass.wav")
    figures = judge_bass(bass.samples, bass.sample_rate, read_song_facts(facts))
    return [getattr(figures, name) for name in FIGURES]


def run(*arguments: str) -> None:
    """Run a command of the project."""
    subprocess.run([sys.executable, str(CLI), *arguments], check=True, stdout=subprocess.DEVNULL)


def write_mp3(source: Path, target: Path) -> None:
    """Write a sound as MP3."""
    audio = read_audio(source)
    samples, _ = unclipped(audio.samples)
    soundfile.write(target, samples.T, audio.sample_rate, compression_level=COMPRESSION)


def main() -> None:
    """Make the examples, and print what was measured."""
    parser = argparse.ArgumentParser(description="Make the examples of docs/examples.")
    parser.add_argument("--soundfont", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    print("| style | root on downbeats | chord tones | onset F1 at the grid |\n|---|---|---|---|")
    with tempfile.TemporaryDirectory() as work:
        for style in STYLES:
            figures = make_example(style, given.soundfont, given.out, Path(work))
            print(f"| {style} | {' | '.join(f'{figure:.2f}' for figure in figures)} |", flush=True)


if __name__ == "__main__":
    main()
