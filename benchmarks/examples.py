"""Make the examples of docs/examples: songs before and after they get a new bass.

    python -m benchmarks.examples --soundfont /usr/share/sounds/sf2/FluidR3_GM.sf2 --out examples

`make-dataset` composes a song in each of three styles, and `generate-bass` takes its bass out and
writes a new one, with nothing but default settings. The new bass is judged by its sound alone, as
`evaluate-prior` does. Of each style, the first seed from 1 on is taken whose figures reach the
means that the model card gives for composed songs. The table that is printed says which seeds were
passed over. Swung styles are not among them, because swung notes are not on the sixteenths that one
of the figures counts.
"""

import argparse
import shutil
import subprocess
import sys
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import soundfile

from shared.music.bass_metrics import BassFigures, judge_bass
from shared.music.song_facts import read_song_facts
from shared.sound.files import read_audio
from shared.sound.samples import unclipped

STYLES = ("funk", "pop", "rock")
SECONDS = 14
# The means of the lines for composed songs in docs/model_card.md.
LEAST = {"root_on_downbeats": 0.89, "chord_tones": 0.97, "grid_f1": 0.93}
BITRATE = 0.5  # of libsndfile's MP3: 0 is the best quality, and 1 the smallest file

CLI = Path(__file__).parents[1] / "cli.py"


@dataclass(frozen=True)
class Example:
    """A song that has got a new bass.

    Attributes:
        style: its style.
        seed: its seed.
        song: the song with its own bass, as a file.
        name: what its new files are called.
        folder: where they are.
        figures: how well the new bass fits.
    """

    style: str
    seed: int
    song: Path
    name: str
    folder: Path
    figures: BassFigures

    @property
    def good(self) -> bool:
        """Whether it is as good as such lines are on average."""
        return all(getattr(self.figures, name) >= least for name, least in LEAST.items())


def make_example(style: str, seed: int, soundfont: Path, work: Path) -> Example:
    """Compose a song, write a new bass for it, and judge that."""
    band, folder, name = work / f"{style}-{seed}", work / "new", f"{style}-{seed}"
    composing = ["--songs", "1", "--seed", str(seed), "--style", style, "--seconds", str(SECONDS)]
    run("make-dataset", "--out", str(band), *composing, "--soundfont", str(soundfont))
    (facts,) = band.glob("*/*/song.json")
    song = facts.with_name("mixture.wav")
    run("generate-bass", "--song", str(song), "--out", str(folder), "--name", name, "--force")
    bass = read_audio(folder / f"{name}.bass.wav")
    figures = judge_bass(bass.samples, bass.sample_rate, read_song_facts(facts))
    return Example(style, seed, song, name, folder, figures)


def run(*arguments: str) -> None:
    """Run a command of the project."""
    subprocess.run([sys.executable, str(CLI), *arguments], check=True, stdout=subprocess.DEVNULL)


def write_mp3(source: Path, target: Path) -> None:
    """Write a sound as MP3."""
    audio = read_audio(source)
    samples, _ = unclipped(audio.samples)
    soundfile.write(target, samples.T, audio.sample_rate, compression_level=BITRATE)


def main() -> None:
    """Make the examples, and print what was measured."""
    parser = argparse.ArgumentParser(description="Make the examples of docs/examples.")
    parser.add_argument("--soundfont", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--work", type=Path, default=Path("examples_work"))
    parser.add_argument("--style", action="append", help="one of the styles; the default is all")
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    print("| style | seed | root on downbeats | chord tones | onset F1 at the grid | taken |")
    print("|---|---|---|---|---|---|", flush=True)
    for style in given.style or STYLES:
        for seed in count(1):
            made = make_example(style, seed, given.soundfont, given.work)
            values = " | ".join(f"{getattr(made.figures, name):.2f}" for name in LEAST)
            print(f"| {style} | {seed} | {values} | {'yes' if made.good else 'no'} |", flush=True)
            if made.good:
                write_mp3(made.song, given.out / f"{style}-before.mp3")
                write_mp3(made.folder / f"{made.name}.mix.wav", given.out / f"{style}-after.mp3")
                shutil.copy(made.folder / f"{made.name}.mid", given.out / f"{style}.mid")
                break


if __name__ == "__main__":
    main()
