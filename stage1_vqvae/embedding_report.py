"""Do the codes know their source? Quantised vectors of single-source tracks, as in the paper's Figure 2.

Every stem of a song is encoded by itself. A frame's vector holds what the quantiser gave for all sources, so a
drums stem is told from a bass stem by what the codes say, not by whose codebook was read.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from matplotlib.figure import Figure
from sklearn.manifold import TSNE
from sklearn.metrics import silhouette_score
from sklearn.model_selection import GroupKFold, cross_val_predict
from sklearn.neighbors import KNeighborsClassifier

from shared.sound.levels import accompaniment_gain
from shared.sources import SOURCES
from stage1_vqvae.codec import VQVAECodec

FRAMES_PER_SOURCE = 500  # of all songs together: 2,000 points are what a picture can show
AUDIBLE = 10 ** (
    -50 / 20
)  # RMS of a frame, full scale 1.0, at the agreed level; quieter ones sound of nothing
NEIGHBOURS = 5


@dataclass(frozen=True, eq=False)
class SourceVectors:
    """vectors float32 `[P, size]`; source `[P]`, an index of SOURCES; group `[P]`: never train and test on one."""

    vectors: np.ndarray
    source: np.ndarray
    group: np.ndarray


@dataclass(frozen=True)
class EmbeddingReport:
    """knn_accuracy: share of frames whose nearest neighbours in other songs name their source.
    silhouette: -1..1, how far apart the sources lie. nan where there is too little to measure.
    """

    knn_accuracy: float
    silhouette: float
    frames: int


def collect_vectors(codec: VQVAECodec, songs: Sequence[np.ndarray]) -> SourceVectors:
    """Vectors of audible frames, drawn evenly from songs of stems [sources, 2, N].

    Frames of a song form a group; of a single song, its halves do.
    """
    rng = np.random.default_rng(0)
    share = -(-FRAMES_PER_SOURCE // len(songs))
    vectors, sources, groups = [], [], []
    for index, stems in enumerate(songs):
        gain = np.float32(accompaniment_gain(stems.sum(0)))
        for source, stem in enumerate(stems * gain):
            audible = np.flatnonzero(_frame_rms(stem, codec.hop) > AUDIBLE)
            if not audible.size:
                continue
            frames = rng.choice(audible, min(share, audible.size), replace=False)
            vectors.append(_vectors(codec, codec.encode(stem)[..., frames]))
            sources.append(np.full(len(frames), source))
            second_half = frames > codec.num_frames(stem.shape[-1]) / 2
            groups.append(np.full(len(frames), index) if len(songs) > 1 else second_half)
    if not vectors:
        return SourceVectors(np.zeros((0, 1), np.float32), np.zeros(0, int), np.zeros(0, int))
    return SourceVectors(np.concatenate(vectors), np.concatenate(sources), np.concatenate(groups))


def embedding_report(points: SourceVectors) -> EmbeddingReport:
    """Figures of the vectors; deterministic."""
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
    """Draw the paper's Figure 2: t-SNE of the vectors in two dimensions, coloured by source."""
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
def _vectors(codec: VQVAECodec, codes: np.ndarray) -> np.ndarray:
    """Codes [S, H, P] to vectors [P, S * H * size]."""
    quantizer = codec.model.quantizer
    indices = torch.from_numpy(codes.astype(np.int64)).permute(2, 0, 1)[None]
    return quantizer.lookup(indices.to(quantizer.codebooks.device))[0].flatten(1).cpu().numpy()


def _frame_rms(stem: np.ndarray, hop: int) -> np.ndarray:
    """RMS of the two blocks that each frame covers: [2, N] to [frames]."""
    padded = np.pad(stem, ((0, 0), (hop, (-stem.shape[-1]) % hop + hop)))
    power = np.square(padded).reshape(2, -1, hop).mean((0, 2))
    return np.sqrt((power[:-1] + power[1:]) / 2)
