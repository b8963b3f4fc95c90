"""The demo: a new bass for a real recording, and a check that there is one.

The recording is the excerpt of a MUSDB18 test song that the stempeg package installs. Its own bass is left
out first. Exits with 1 where the new bass is silent or is no bass.
"""

import argparse
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from shared.sound.files import read_audio, read_stem, write_wav

QUIETEST_DBFS = -40.0
BASS_HZ, BASS_SHARE = 400.0, 0.5


def main() -> None:
    """Run the demo; its files go to --out."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("demo"))
    out = parser.parse_args().out
    song = out / "song.wav"
    write_song_without_bass(song)
    cli = Path(__file__).parents[1] / "cli.py"
    command = [sys.executable, str(cli), "generate-bass", "--song", str(song), "--out", str(out)]
    code = subprocess.run(command).returncode
    if code:
        sys.exit(code)

    bass = read_audio(out / "song.bass.wav")
    level = rms_dbfs(bass.samples)
    share = low_share(bass.samples, bass.sample_rate)
    print(f"\nthe files lie in {out.resolve()}:")
    for path in sorted(out.glob("song*")):
        print(f"  {path.name}")
    print(f"the new bass: {level:.1f} dBFS RMS, {share:.0%} of its energy under {BASS_HZ:.0f} Hz")
    if level < QUIETEST_DBFS or share < BASS_SHARE:
        sys.exit("demo failed: this is no audible bass")


def write_song_without_bass(path: Path) -> None:
    """Write the sum of the excerpt's other stems, scaled down where it would clip."""
    stems = [read_stem(excerpt(), source) for source in ("vocals", "drums", "other")]
    mix = np.sum([stem.samples for stem in stems], axis=0)
    write_wav(path, mix / max(1.0, float(np.abs(mix).max())), stems[0].sample_rate)


def excerpt() -> Path:
    """The excerpt's file. stempeg is only located: importing it needs an ffmpeg program."""
    package = find_spec("stempeg")
    if package is None or not package.submodule_search_locations:
        sys.exit("the demo needs the package stempeg: pip install stempeg")
    (path,) = Path(package.submodule_search_locations[0], "data").glob("*.stem.mp4")
    return path


def rms_dbfs(samples: np.ndarray) -> float:
    """Level of samples `[C, N]` in dB below full scale."""
    return 10 * float(np.log10(np.square(samples, dtype=np.float64).mean() + 1e-12))


def low_share(samples: np.ndarray, sample_rate: int) -> float:
    """Share of the energy of samples `[C, N]` under BASS_HZ."""
    power = np.square(np.abs(np.fft.rfft(samples))).sum(0)
    low = np.fft.rfftfreq(samples.shape[1], 1 / sample_rate) < BASS_HZ
    return float(power[low].sum() / max(power.sum(), 1e-12))


if __name__ == "__main__":
    main()
