"""The demo: generate a new bass for a real recording, and check that it is one.

The recording is the excerpt of a MUSDB18 test song that the stempeg package installs, without its
own bass. The demo exits with code 1 where the new bass is silent or has little energy below 400 Hz.
"""

import argparse
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from shared.sound.files import read_audio, read_stem, write_wav
from shared.sound.samples import Samples, rms, unclipped

QUIETEST_DBFS = -40.0
BASS_HZ, BASS_SHARE = 400.0, 0.5


def main() -> None:
    """Run the demo, and leave its files in the folder --out."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("demo"))
    out = parser.parse_args().out
    song = out / "song.wav"
    write_song_without_bass(song)
    cli = Path(__file__).parents[1] / "cli.py"
    command = [sys.executable, str(cli), "generate-bass", "--song", str(song), "--out", str(out)]
    command.append("--force")  # a demo may be run again
    code = subprocess.run(command).returncode
    if code:
        sys.exit(code)

    bass = read_audio(out / "song.bass.wav")
    level = 20 * float(np.log10(max(rms(bass.samples), 1e-6)))
    share = low_share(bass.samples, bass.sample_rate)
    print(f"\nthe files are in {out.resolve()}:")
    for path in sorted(out.glob("song*")):
        print(f"  {path.name}")
    print(f"the new bass: {level:.1f} dBFS RMS, {share:.0%} of its energy below {BASS_HZ:.0f} Hz")
    if level < QUIETEST_DBFS or share < BASS_SHARE:
        sys.exit("demo failed: this is no audible bass")


def write_song_without_bass(path: Path) -> None:
    """Write the sum of the excerpt's other stems, scaled down where it would clip."""
    stems = [read_stem(excerpt(), source) for source in ("vocals", "drums", "other")]
    mix, _ = unclipped(np.sum([stem.samples for stem in stems], axis=0))
    write_wav(path, mix, stems[0].sample_rate)


def excerpt() -> Path:
    """Find the excerpt's file without importing stempeg, which would need an ffmpeg program."""
    package = find_spec("stempeg")
    if package is None or not package.submodule_search_locations:
        sys.exit("the demo needs the package stempeg: pip install stempeg")
    (path,) = Path(package.submodule_search_locations[0], "data").glob("*.stem.mp4")
    return path


def low_share(samples: Samples, sample_rate: int) -> float:
    """Return the share of the energy of samples `[C, N]` below BASS_HZ."""
    power = np.square(np.abs(np.fft.rfft(samples))).sum(0)
    low = np.fft.rfftfreq(samples.shape[1], 1 / sample_rate) < BASS_HZ
    return float(power[low].sum() / max(power.sum(), 1e-12))


if __name__ == "__main__":
    main()
