"""Do the codes know their source? Quantised vectors of single sources, as in the paper's Figure 2.

Every stem of a song is encoded by itself. The vector of a frame holds what the quantiser gives for
all sources, so a drums stem is told from a bass stem by what the codes say, not by which source's
codebooks were read.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from matplotlib.figure import Figure
from sklearn.manifold import TSNE
from sklearn.metrics import silhouette_score
from sklearn.model_selection import GroupKFold, cross_val_predict
from sklearn.neighbors import KNeighborsClassifier

from shared.sound.samples import Samples
from shared.sources import SOURCES
from stage1_vqvae.codec import VQVAECodec

FRAMES_PER_SOURCE = 500  # of all songs together; a picture can show 2,000 points
# RMS of a frame at the level at which songs are encoded. Quieter frames hold nothing of a source.
AUDIBLE = 10 ** (-50 / 20)
NEIGHBOURS = 5


@dataclass(frozen=True, eq=False)
class SourceVectors:
    """Quantised vectors of single sources.

    Attributes:
        vectors: float32 `[P, size]`.
        source: `[P]`, an index of SOURCES.
        group: `[P]`; vectors of one group must not be on both sides of a split into training and
            test data.
    """

    vectors: np.ndarray
    source: np.ndarray
    group: np.ndarray


@dataclass(frozen=True)
class EmbeddingReport:
    """How well the vectors tell the sources apart; nan where there are too few vectors.

    Attributes:
        knn_accuracy: the share of frames whose nearest neighbours in other songs name their source.
        silhouette: from -1 (mixed up) to 1 (the sources lie far apart).
        frames: the number of vectors.
    """

    knn_accuracy: float
    silhouette: float
    frames: int


class VectorCollector:
    """Draws vectors of audible frames, evenly from songs that are added one after another.

    The frames of a song form a group. If there is one song only, each half of it forms one.
    """

    def __init__(self, codec: VQVAECodec, num_songs: int) -> None:
        """Prepare for `num_songs` songs."""
        self._codec = codec
        self._num_songs = num_songs
        self._rng = np.random.default_rng(0)
        self._songs = 0
        self._drawn: list[SourceVectors] = []

    def add(self, stems: Iterable[Samples], gain: float) -> None:
        """Add a song.

        Args:
            stems: a stem `[2, N]` for each of SOURCES.
            gain: what the song is multiplied by before it is encoded.
        """
        share = -(-FRAMES_PER_SOURCE // self._num_songs)
        for source, stem in enumerate(stems):
            scaled = stem * np.float32(gain)
            audible = np.flatnonzero(frame_rms(scaled, self._codec.hop) > AUDIBLE)
            if audible.size:
                frames = self._rng.choice(audible, min(share, audible.size), replace=False)
                vectors = quantised_vectors(self._codec, self._codec.encode(scaled)[..., frames])
                in_second_half = frames > self._codec.num_frames(stem.shape[-1]) / 2
                group = in_second_half if self._num_songs == 1 else self._songs
                self._drawn.append(
                    SourceVectors(
                        vectors,
                        np.full(len(frames), source),
                        np.broadcast_to(group, len(frames)).astype(int),
                    )
                )
        self._songs += 1

    def points(self) -> SourceVectors:
        """Return all vectors drawn so far."""
        if not self._drawn:
            return SourceVectors(np.zeros((0, 1), np.float32), np.zeros(0, int), np.zeros(0, int))
        return SourceVectors(
            np.concatenate([drawn.vectors for drawn in self._drawn]),
            np.concatenate([drawn.source for drawn in self._drawn]),
            np.concatenate([drawn.group for drawn in self._drawn]),
        )


def embedding_report(points: SourceVectors) -> EmbeddingReport:
    """Measure how well the vectors tell the sources apart; deterministic."""
    groups = len(np.unique(points.group))
    measurable = groups > 1 and len(np.unique(points.source)) > 1 and len(points.source) > 20
    if not measurable:
        return EmbeddingReport(float("nan"), float("nan"), len(points.source))
    predicted = cross_val_predict(
        KNeighborsClassifier(NEIGHBOURS),
        points.vectors,
        points.source,
        groups=points.group,
        cv=GroupKFold(min(5, groups)),
    )
    return EmbeddingReport(
        float((predicted == points.source).mean()),
        float(silhouette_score(points.vectors, points.source)),
        len(points.source),
    )


def draw_tsne(points: SourceVectors, path: Path) -> None:
    """Draw the paper's Figure 2, t-SNE of the vectors coloured by source, into an image file."""
    figure = Figure(figsize=(6, 6), layout="constrained")
    axes = figure.subplots()
    count = len(points.source)
    if count > 3:
        places = TSNE(perplexity=min(30, count / 4), random_state=0).fit_transform(points.vectors)
        for index, source in enumerate(SOURCES):
            x, y = places[points.source == index].T
            axes.scatter(x, y, s=6, alpha=0.6, linewidths=0, color=f"C{index}", label=source)
        axes.legend(markerscale=3, frameon=False)
    axes.set(xticks=[], yticks=[], title="t-SNE of quantised vectors of single sources")
    figure.savefig(path, dpi=150)


@torch.inference_mode()
def quantised_vectors(codec: VQVAECodec, codes: np.ndarray) -> np.ndarray:
    """Look up the vectors `[P, S * H * size]` of codes `[S, H, P]`."""
    quantizer = codec.model.quantizer
    indices = torch.from_numpy(codes.astype(np.int64)).permute(2, 0, 1)[None]
    return quantizer.lookup(indices.to(quantizer.codebooks.device))[0].flatten(1).cpu().numpy()


def frame_rms(stem: np.ndarray, hop: int) -> np.ndarray:
    """Compute the RMS of the two blocks that each frame covers: `[2, N]` to `[frames]`."""
    padded = np.pad(stem, ((0, 0), (hop, (-stem.shape[-1]) % hop + hop)))
    power = np.square(padded).reshape(2, -1, hop).mean((0, 2))
    return np.sqrt((power[:-1] + power[1:]) / 2)
