"""Measure what a list of very many songs costs to read, to divide into splits, and to draw from.

    python -m benchmarks.many_songs [--songs 1000000] [--draws 1000]

Prints JSON: CPU seconds of each, the memory in bytes by which the process grew at most, the songs
of each split, and the splits of the songs that were drawn, which are all to be "train". Needs
Linux, which tells the memory of a process.
"""

import argparse
import json
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from shared.codes.manifest import MANIFEST, read_manifest
from shared.songs.drawing import ByLength
from shared.songs.tracks import SPLITS

OF_TEN = ["train", "valid", "test", *["train"] * 7]  # splits of ten songs in a row


def main() -> None:
    """Print the measured costs."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--songs", type=int, default=1_000_000, help="a multiple of ten")
    parser.add_argument("--draws", type=int, default=1000, help="how many songs to draw")
    arguments = parser.parse_args()
    with TemporaryDirectory() as folder:
        write_list(Path(folder), arguments.songs)
        print(json.dumps(measured(Path(folder), arguments.draws), indent=2))


def write_list(folder: Path, songs: int) -> None:
    """Write a manifest as `extract-codes` does; no song of it exists.

    It is written name by name, so that writing leaves no memory that reading could use.
    """
    format = {
        "sources": ["bass"], "codebooks": 8, "cardinality": 64, "sample_rate": 44100,
        "hop": 1024, "fingerprint": "x",
    }  # fmt: skip
    with (folder / MANIFEST).open("w") as file:
        file.write(json.dumps(format).removesuffix("}") + ', "files": [')
        for song in range(songs):
            comma = ", " if song else ""
            file.write(f'{comma}"{OF_TEN[song % 10]}/{song:07d}.codes.safetensors"')
        file.write("]}")


def _memory(kind: str) -> int:
    lines = dict(line.split(":") for line in Path("/proc/self/status").read_text().splitlines())
    return 1024 * int(lines[kind].split()[0])


def measured(folder: Path, draws: int) -> dict[str, object]:
    """Return the costs of the list in `folder`."""
    before = _memory("VmRSS")
    found = read_and_draw(folder, draws)
    return {**found, "memory": _memory("VmHWM") - before}


def read_and_draw(folder: Path, draws: int) -> dict[str, object]:
    """Read the list in `folder`, divide it into splits, and draw songs; say how long it takes."""
    began = time.process_time()
    files = read_manifest(folder).files
    read = time.process_time()
    splits = {name: files.of_split(name) for name in SPLITS}
    divided = time.process_time()
    songs = ByLength(range(1, 1 + len(splits["train"])))
    chance = np.random.default_rng(0)
    drawn = {splits["train"][songs.draw(chance)].parent.name for _ in range(draws)}
    return {
        "seconds": {
            "read": read - began,
            "divide": divided - read,
            "draw": time.process_time() - divided,
        },
        "songs": {name: len(files) for name, files in splits.items()},
        "drawn": sorted(drawn),
    }


if __name__ == "__main__":
    main()
