"""What can be read from the codes of the accompaniment: probes that name the chord and the bass.

A probe is a small classifier that is trained on some songs and tested on others. It reads what the
prior reads, the codes of the song without its bass, and names in single frames the root of the
chord and the pitch class of the bass. What a probe can name is in the codes. What it cannot name
may still be there, but is hidden more deeply or spread over a longer time.
"""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.ndimage import uniform_filter1d
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import GroupKFold
from sklearn.neural_network import MLPClassifier

from shared.music.song_facts import SongFacts
from shared.sound.samples import Samples
from shared.sources import BASS, SOURCES
from stage1_vqvae.codec import VQVAECodec
from stage1_vqvae.embedding_report import quantised_vectors

STRIDE = 4  # neighbouring frames say nearly the same
MOST_FRAMES = 10_000  # of all songs together
CONTEXT_SECONDS = 0.25  # the time over which a probe also reads the mean
LEAST_SONGS = 4
FOLDS = 5
UNKNOWN = -1

HIDDEN = 64  # units of the probe of two layers
STEPS, BATCH = 150, 256  # of training, at least
LEARNING_RATE = 1e-2
WEIGHT_DECAY = 3.0  # scikit-learn divides it by the size of the batch

Labels = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class ProbeFrames:
    """What probes are trained and tested on.

    Attributes:
        inputs: float32 `[P, D]`.
        root: `[P]`, the pitch class of the chord's root, or UNKNOWN.
        bass: `[P]`, the pitch class of the bass, or UNKNOWN.
        song: `[P]`, the number of the song.
    """

    inputs: npt.NDArray[np.float32]
    root: Labels
    bass: Labels
    song: Labels


@dataclass(frozen=True)
class ProbeFigures:
    """How often probes name a pitch class; nan where fewer than LEAST_SONGS songs say it.

    Attributes:
        linear: the share of frames in which the linear probe is right.
        two_layers: the same of the probe of two layers.
        chance: the share of the most frequent pitch class.
        songs: in how many songs the pitch class is known.
        frames: in how many frames it is known.
    """

    linear: float
    two_layers: float
    chance: float
    songs: int
    frames: int


@dataclass(frozen=True)
class HarmonyReport:
    """What probes read from the codes of the accompaniment.

    Attributes:
        root: how often they name the root of the chord.
        bass: how often they name the pitch class of the bass.
    """

    root: ProbeFigures
    bass: ProbeFigures

    def as_markdown(self) -> str:
        """Return the section of `report.md`."""
        parts = [
            "## Harmony",
            "Probes name pitch classes from the codes of the accompaniment alone, in single frames "
            "of songs on which they were not trained. Chance is the share of the most frequent "
            "pitch class.",
        ]
        targets = {"root of the chord": self.root, "pitch class of the bass": self.bass}
        measured = {name: each for name, each in targets.items() if each.songs >= LEAST_SONGS}
        if measured:
            header = (
                "| right frames | linear probe | two layers | chance | songs | frames |\n"
                "|---|---:|---:|---:|---:|---:|"
            )
            rows = [
                f"| {name} | {each.linear:.1%} | {each.two_layers:.1%} | {each.chance:.1%} "
                f"| {each.songs} | {each.frames} |"
                for name, each in measured.items()
            ]
            parts.append("\n".join([header, *rows]))
        parts += [
            f"The {name} is known in {each.songs} songs. At least {LEAST_SONGS} are needed to "
            "measure how often it is named."
            for name, each in targets.items()
            if name not in measured
        ]
        return "\n\n".join(parts)


class HarmonyCollector:
    """Draws frames evenly from songs that are added one after another."""

    def __init__(self, codec: VQVAECodec, num_songs: int) -> None:
        """Prepare for `num_songs` songs."""
        self._codec = codec
        self._most = -(-MOST_FRAMES // num_songs)
        self._songs = 0
        self._drawn: list[ProbeFrames] = []

    def add(self, accompaniment: Samples, facts: SongFacts, start: float) -> None:
        """Add a song.

        Args:
            accompaniment: `[2, N]`, at the level at which songs are encoded.
            facts: what is known of the song. Where that is neither chords nor bass notes, the song
                is left out.
            start: where in the song the samples begin, in seconds.
        """
        num_frames = self._codec.num_frames(accompaniment.shape[-1])
        frames = np.arange(0, num_frames, max(STRIDE, -(-num_frames // self._most)))
        root, bass = known_harmony(facts, start + frames / self._codec.frame_rate)
        known = (root != UNKNOWN) | (bass != UNKNOWN)
        if known.any():
            vectors = quantised_vectors(self._codec, self._codec.encode(accompaniment))
            inputs = probe_inputs(vectors, self._codec.frame_rate)[frames[known]]
            song = np.full(len(inputs), self._songs)
            self._drawn.append(ProbeFrames(inputs, root[known], bass[known], song))
        self._songs += 1

    def frames(self) -> ProbeFrames:
        """Return all frames drawn so far."""
        if not self._drawn:
            nothing = np.zeros(0, np.int64)
            return ProbeFrames(np.zeros((0, 1), np.float32), nothing, nothing, nothing)
        return ProbeFrames(
            np.concatenate([drawn.inputs for drawn in self._drawn]),
            np.concatenate([drawn.root for drawn in self._drawn]),
            np.concatenate([drawn.bass for drawn in self._drawn]),
            np.concatenate([drawn.song for drawn in self._drawn]),
        )


def known_harmony(facts: SongFacts, times: npt.NDArray[np.float64]) -> tuple[Labels, Labels]:
    """Look up the root of the chord and the pitch class of the bass at rising times in seconds.

    Returns:
        Two arrays `[T]`, UNKNOWN where no chord with a root, or no note of the bass, sounds.
    """
    # Of notes that start together the lowest counts.
    notes = sorted(facts.bass_notes or (), key=lambda note: (note.onset, -note.pitch))
    chords = [(c.start, c.end, UNKNOWN if c.root is None else c.root) for c in facts.chords]
    return (
        _labels(chords, times),
        _labels([(note.onset, note.end, note.pitch % 12) for note in notes], times),
    )


def _labels(spans: Sequence[tuple[float, float, int]], times: npt.NDArray[np.float64]) -> Labels:
    """Label times by spans (start, end, label) in order of their starts; a later one wins."""
    if not spans:
        return np.full(len(times), UNKNOWN)
    starts, ends, labels = (np.array(each) for each in zip(*spans, strict=True))
    latest = np.searchsorted(starts, times, "right") - 1
    inside = (latest >= 0) & (times < ends[latest])
    return np.where(inside, labels[latest], UNKNOWN)


def probe_inputs(vectors: npt.NDArray[np.float32], frame_rate: float) -> npt.NDArray[np.float32]:
    """Make what a probe reads of each frame from the vectors of all sources but the bass.

    Args:
        vectors: `[T, S * size]`, of all sources.
        frame_rate: frames per second.

    Returns:
        `[T, 2 * (S - 1) * size]`: the vectors of the frame, and their mean over CONTEXT_SECONDS
        around it.
    """
    by_source = vectors.reshape(len(vectors), len(SOURCES), -1)
    heard = np.delete(by_source, BASS, axis=1).reshape(len(vectors), -1)
    width = 2 * round(CONTEXT_SECONDS * frame_rate / 2) + 1
    return np.concatenate((heard, uniform_filter1d(heard, width, axis=0, mode="nearest")), axis=1)


def harmony_report(frames: ProbeFrames) -> HarmonyReport:
    """Train and test probes by cross-validation over songs; deterministic."""
    return HarmonyReport(_figures(frames, frames.root), _figures(frames, frames.bass))


def _figures(frames: ProbeFrames, labels: Labels) -> ProbeFigures:
    known = labels != UNKNOWN
    inputs, labels, song = frames.inputs[known], labels[known], frames.song[known]
    songs = len(np.unique(song))
    if songs < LEAST_SONGS:
        return ProbeFigures(float("nan"), float("nan"), float("nan"), songs, len(labels))
    return ProbeFigures(
        _cross_validated(inputs, labels, song, layers=()),
        _cross_validated(inputs, labels, song, layers=(HIDDEN,)),
        float(np.bincount(labels).max() / len(labels)),
        songs,
        len(labels),
    )


def _cross_validated(
    inputs: npt.NDArray[np.float32], labels: Labels, song: Labels, layers: tuple[int, ...]
) -> float:
    """Return the share of frames that are named rightly by a probe of the other songs.

    Args:
        inputs: `[P, D]`.
        labels: `[P]`.
        song: `[P]`.
        layers: the sizes of the probe's hidden layers; none makes it linear.
    """
    right = 0
    folds = GroupKFold(min(FOLDS, len(np.unique(song)))).split(inputs, groups=song)
    for train, test in folds:
        mean, spread = inputs[train].mean(0), inputs[train].std(0) + 1e-6
        scaled = (inputs - mean) / spread
        passes = -(-STEPS // -(-len(train) // BATCH))
        probe = MLPClassifier(
            layers,
            alpha=WEIGHT_DECAY,
            batch_size=min(BATCH, len(train)),
            learning_rate_init=LEARNING_RATE,
            max_iter=passes,
            n_iter_no_change=passes,
            random_state=0,
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # the steps are enough
            probe.fit(scaled[train], labels[train])
        right += int((probe.predict(scaled[test]) == labels[test]).sum())
    return right / len(labels)
