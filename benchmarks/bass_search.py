"""Measure how often a codec's search for a bass errs, and fit the threshold of its JSON.

    python -m benchmarks.bass_search --data songs --codec runs/vqvae [--seconds 30]

Each song of a data set is searched twice, as the sum of its stems with and without the bass stem
(stage2_prior/bass_search.py). A bass that is never louder than SOFTEST in the middle of a song is
none that could be heard, and such a song is only searched without it. Only songs that the codec was
not trained on say how it errs on others.

The table has two thresholds: that of the codec, and the one that errs least, where false alarms and
misses weigh the same. The errors of the latter are also cross-validated: each song is judged by a
threshold that was fitted to the songs of the other folds. The line below the table goes into the
codec's JSON.
"""

import argparse
import json
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from shared.codes.codec import Codec
from shared.errors import UserError, require
from shared.songs.cache import CachedSong, build_cache
from shared.sound.samples import rms
from shared.sources import BASS
from stage1_vqvae.codec import load_codec
from stage2_prior.accompaniment import prepare_song

SOFTEST = 0.05  # RMS of a bass as a share of the song's
FOLDS = 8


@dataclass(frozen=True)
class Searched:
    """What was found in a song, with or without its bass.

    Attributes:
        song: its name.
        has_bass: whether its bass stem is in it.
        share: the smallest of the three shares.
    """

    song: str
    has_bass: bool
    share: float

    def is_wrong(self, threshold: float) -> bool:
        """Whether a threshold misses the bass or finds one that is not there."""
        return (self.share >= threshold) != self.has_bass


def search_songs(songs: Iterable[CachedSong], codec: Codec, seconds: float) -> Iterator[Searched]:
    """Search the middle of songs with and without their bass stems."""
    for song in songs:
        stems = song.middle(seconds)
        whole = stems.sum(0)
        rest = whole - stems[BASS]
        for has_bass, mixture in ((True, whole), (False, rest)):
            if has_bass and rms(stems[BASS]) <= SOFTEST * rms(whole):
                continue
            search = prepare_song(mixture, codec, remove_bass=None).search
            yield Searched(song.name, has_bass, 0.0 if search is None else search.share)


def errors(found: Iterable[Searched], threshold: float) -> tuple[int, int]:
    """Count the false alarms and the misses of a threshold."""
    wrong = [each for each in found if each.is_wrong(threshold)]
    misses = sum(each.has_bass for each in wrong)
    return len(wrong) - misses, misses


def fit_threshold(found: list[Searched]) -> float:
    """Find the threshold that errs least, where false alarms and misses weigh the same.

    Of all that err equally rarely, it is the geometric mean of the lowest and the highest.

    Raises:
        UserError: all songs have a bass, or none has.
    """
    with_bass = sum(each.has_bass for each in found)
    without = len(found) - with_bass
    require(bool(with_bass and without), "a threshold needs songs with a bass and songs without")
    shares = np.unique([max(each.share, 1e-3) for each in found])
    between = np.sqrt(shares[1:] * shares[:-1])
    candidates = between if len(between) else shares
    counts = [errors(found, threshold) for threshold in candidates]
    rates = np.array([alarms / without + misses / with_bass for alarms, misses in counts])
    best = candidates[np.flatnonzero(rates <= rates.min() + 1e-9)]
    return float(np.sqrt(best[0] * best[-1]))


def cross_validated_errors(found: list[Searched], seed: int = 0) -> tuple[int, int]:
    """Count the false alarms and the misses of thresholds that were fitted to other songs."""
    names = np.unique([each.song for each in found])
    require(len(names) >= FOLDS, f"{len(names)} songs cannot be cut into {FOLDS} folds")
    folds: npt.NDArray[np.int64] = np.random.default_rng(seed).permutation(len(names)) % FOLDS
    fold_of = dict(zip(names, folds, strict=True))
    counts = np.zeros(2, np.int64)
    for fold in range(FOLDS):
        threshold = fit_threshold([each for each in found if fold_of[each.song] != fold])
        counts += errors([each for each in found if fold_of[each.song] == fold], threshold)
    return int(counts[0]), int(counts[1])


def report(found: list[Searched], threshold: float) -> str:
    """Write the errors of the codec's threshold and of the best one, and which songs are wrong."""
    with_bass = sum(each.has_bass for each in found)
    fitted = round(fit_threshold(found), 3)
    rows = [
        (f"{threshold:g}, of the codec", errors(found, threshold)),
        (f"{fitted:g}, fitted to these songs", errors(found, fitted)),
        (f"fitted to the songs of {FOLDS - 1} of {FOLDS} folds", cross_validated_errors(found)),
    ]
    lines = [
        f"| threshold | false alarms in {len(found) - with_bass} | misses in {with_bass} |",
        "|---|---:|---:|",
        *(f"| {name} | {alarms} | {misses} |" for name, (alarms, misses) in rows),
        "",
        f'"bass_removal": {json.dumps({"audible_bass": fitted})}',
        "",
    ]
    for each in sorted(found, key=lambda each: each.share):
        if each.is_wrong(threshold):
            kind = "missed" if each.has_bass else "false alarm"
            lines.append(f"{kind}, share {each.share:.2f}: {each.song}")
    return "\n".join(lines)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, nargs="+", required=True, help="folders of songs")
    parser.add_argument("--codec", type=Path, help="a run or a checkpoint; the shipped codec")
    parser.add_argument("--seconds", type=float, default=30.0, help="from the middle of each song")
    options = parser.parse_args()
    codec = load_codec(options.codec)
    songs = [song for data in options.data for song in build_cache(data).songs]
    print(report(list(search_songs(songs, codec, options.seconds)), codec.audible_bass))


if __name__ == "__main__":
    try:
        main()
    except UserError as error:
        sys.exit(f"error: {error}")
