"""Measure a codec on songs with known stems: what `evaluate-vqvae` does.

SDR by the conventions of BSSEval v4 (shared/metrics.py) of two kinds of estimates, which are never mixed up:
- decoded: the decoder's own sound from the codes of the mixture, the paper's measure;
- masked: the decoded magnitudes as a soft mask on the mixture (shared/sound/masking.py).
Beside them, from the same run: the mixture as its own estimate (the floor), and the true magnitudes as the
mask, the ideal ratio mask (the ceiling of masking).
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch

from shared.atomic import atomic_path
from shared.console import progress
from shared.errors import UserError
from shared.metrics import code_usage, count_codes, sdr_windows
from shared.songs.cache import CachedSong, build_cache
from shared.songs.tracks import Split
from shared.sound.masking import mask_song
from shared.sound.separation import CodedMixture
from shared.sources import SOURCES
from stage1_vqvae.bss_eval import bss_eval, load_museval
from stage1_vqvae.codec import VQVAECodec, load_codec
from stage1_vqvae.embedding_report import (
    EmbeddingReport,
    collect_vectors,
    draw_tsne,
    embedding_report,
)
from stage1_vqvae.quantizer import Softness, softness
from stage1_vqvae.sdr_table import PAPER, SdrRow, decibels, sdr_table
from stage1_vqvae.spectral import pad_to_frames

SHORT_SECONDS = 10.0  # of a song, for what need not be measured on all of it


@dataclass(frozen=True)
class SourceCodes:
    """Bits per second as stored and as an ideal entropy coder of single codes would; per codebook: perplexity and
    the share of entries that occur.
    """

    raw_bits: float
    entropy_bits: float
    perplexity: tuple[float, ...]
    usage: tuple[float, ...]


@dataclass(frozen=True)
class VQVAEReport:
    """What `evaluate_vqvae` measured.

    rows: decoded, masked, floor, ceiling.
    museval: SIR, SAR and ISR of decoded and masked, where asked for.
    soft, hard: mean SDR of excerpts decoded from vectors as the end of training makes them, but for its noise, and
        from codes. Where training ends on codes they are the same.
    """

    codec: str
    split: str
    songs: tuple[str, ...]
    seconds: float
    entries: int
    rows: tuple[SdrRow, ...]
    museval: tuple[SdrRow, ...]
    codes: Mapping[str, SourceCodes]
    ends_on_codes: bool
    soft: float
    hard: float
    embedding: EmbeddingReport

    def row(self, name: str) -> SdrRow:
        """The row of that name."""
        return next(row for row in self.rows if row.name == name)

    def as_dict(self) -> dict[str, Any]:
        """For JSON; nan becomes null."""
        content = asdict(self) | {
            "rows": [row.as_dict() for row in self.rows],
            "museval": [row.as_dict() for row in self.museval],
            "paper": [row.as_dict() for row in PAPER],
            "soft_minus_hard": self.soft - self.hard,
        }
        return dict(json.loads(json.dumps(content), parse_constant=lambda name: None))

    def as_markdown(self) -> str:
        """The tables that people read."""
        lines = [
            "# Codec evaluation",
            "",
            f"Codec `{self.codec}` on {len(self.songs)} songs of the {self.split} split, "
            f"{self.seconds / 60:.1f} minutes. SDR: median over windows of 1 s, then over songs.",
            "",
            sdr_table([*self.rows, *PAPER]),
            "",
            "The paper's figures are on the MUSDB18 test set, and are of decoded sound.",
        ]
        if self.museval:
            lines += ["", "By museval:", "", sdr_table(self.museval)]
        lines += [
            "",
            f"| codes | bit/s | bit/s, entropy | perplexity of {self.entries} by codebook | least usage |",
            "|---|---:|---:|---|---:|",
        ]
        lines += [
            f"| {source} | {codes.raw_bits:.0f} | {codes.entropy_bits:.0f} "
            f"| {' '.join(f'{p:.1f}' for p in codes.perplexity)} | {min(codes.usage):.0%} |"
            for source, codes in self.codes.items()
        ]
        lines += [
            "",
            f"Decoded from vectors as training ends on them {decibels(self.soft)} dB, from codes "
            f"{decibels(self.hard)} dB: {decibels(self.soft - self.hard)} dB are lost to rounding"
            f"{'; training ends on codes' if self.ends_on_codes else ''}.",
            "",
            f"Quantised vectors of single sources ({self.embedding.frames} frames, tsne.png): nearest neighbours in "
            f"other songs name the source in {self.embedding.knn_accuracy:.1%}, "
            f"silhouette {self.embedding.silhouette:.3f}.",
        ]
        return "\n".join(lines) + "\n"


def evaluate_vqvae(
    data: Path,
    codec_path: Path | None = None,
    out: Path = Path("runs/evaluate-vqvae"),
    split: Split = "test",
    songs: int | None = None,
    seconds: float | None = None,
    museval: bool = False,
    device: str = "cpu",
) -> VQVAEReport:
    """Measure a codec on a split of a data folder; writes `report.json`, `report.md` and `tsne.png` into `out`.

    Args:
        codec_path: run folder or .safetensors file; None: the shipped codec.
        songs: only so many songs; None: all.
        seconds: only so much from the middle of each; None: the whole song.
        museval: also SIR, SAR and ISR, by the museval package; over a minute for each minute of music.

    Raises:
        UserError: unusable data or codec, an empty split, museval not installed, a place that
            cannot be written.
    """
    codec = load_codec(codec_path, device)
    metrics = load_museval() if museval else None
    chosen = songs_of(data, codec.sample_rate, split, songs)
    meter = _Meter(codec, metrics)
    with (  # a folder that cannot be written is refused before the work
        atomic_path(out / "report.json") as figures,
        atomic_path(out / "report.md") as text,
        atomic_path(out / "tsne.png") as picture,
        progress("evaluating", len(chosen)) as bar,
    ):
        for song in chosen:
            meter.measure(song.middle(seconds))
            bar.advance()
        points = collect_vectors(codec, [song.middle(seconds) for song in chosen])
        report = meter.report(split, tuple(s.name for s in chosen), embedding_report(points))
        draw_tsne(points, picture)
        figures.write_text(json.dumps(report.as_dict(), indent=2) + "\n", encoding="utf-8")
        text.write_text(report.as_markdown(), encoding="utf-8")
    return report


def songs_of(
    data: Path, sample_rate: int, split: Split, limit: int | None = None
) -> list[CachedSong]:
    """The first songs of a split; UserError where there is none."""
    if limit is not None and limit < 1:
        raise UserError(f"{limit} songs cannot be measured: ask for at least 1")
    found = build_cache(data, sample_rate=sample_rate).split(split)
    if not found:
        raise UserError(f"{data} holds no song of the split '{split}': name another split")
    return list(found)[:limit]


class _Meter:
    """Collects the figures of one song after another."""

    def __init__(self, codec: VQVAECodec, museval: ModuleType | None) -> None:
        self.codec = codec
        self.museval = museval
        self.scores: dict[str, list[np.ndarray]] = {}
        self.counts = np.zeros((len(SOURCES), codec.num_codebooks, codec.cardinality), np.int64)
        self.samples = 0

    def measure(self, stems: np.ndarray) -> None:
        """Add a song's stems [sources, 2, N]."""
        mixture = stems.sum(0)
        coded = CodedMixture.encode(mixture, self.codec)
        self.counts += count_codes(coded.codes, self.codec.cardinality)
        self.samples += stems.shape[-1]
        decoded = coded.decode_each()
        # One estimate of the whole song at a time: four would be gigabytes.
        estimates: Mapping[str, Callable[[], np.ndarray]] = {
            "decoded": lambda: decoded,
            "masked": lambda: mask_song(mixture, decoded).estimates,
            "floor": lambda: np.broadcast_to(mixture, stems.shape),
            "ceiling": lambda: mask_song(mixture, stems).estimates,
        }
        for name, estimate in estimates.items():
            samples = estimate()
            self._add(name, sdr_windows(stems, samples, self.codec.sample_rate))
            if self.museval is not None and name in ("decoded", "masked"):
                for kind, windows in bss_eval(
                    self.museval, stems, samples, self.codec.sample_rate
                ).items():
                    self._add(f"{name}: {kind}", windows)
        short = stems[..., : round(SHORT_SECONDS * self.codec.sample_rate)]
        for name, samples in zip(("soft", "hard"), soft_and_hard(self.codec, short), strict=True):
            self._add(name, sdr_windows(short, samples, self.codec.sample_rate))

    def report(self, split: str, songs: tuple[str, ...], embedding: EmbeddingReport) -> VQVAEReport:
        rows = {name: SdrRow.of(name, scores) for name, scores in self.scores.items()}
        return VQVAEReport(
            codec=self.codec.fingerprint,
            split=split,
            songs=songs,
            seconds=self.samples / self.codec.sample_rate,
            entries=self.codec.cardinality,
            rows=tuple(rows[name] for name in ("decoded", "masked", "floor", "ceiling")),
            museval=tuple(row for name, row in rows.items() if ": " in name),
            codes=source_codes(self.codec, self.counts),
            ends_on_codes=_final_state(self.codec).hard,
            soft=rows["soft"].mean,
            hard=rows["hard"].mean,
            embedding=embedding,
        )

    def _add(self, name: str, windows: np.ndarray) -> None:
        self.scores.setdefault(name, []).append(windows)


def source_codes(codec: VQVAECodec, counts: np.ndarray) -> dict[str, SourceCodes]:
    """From counts of codes [sources, codebooks, entries]."""
    usage = code_usage(counts)
    raw = codec.num_codebooks * np.log2(codec.cardinality) * codec.frame_rate
    return {
        source: SourceCodes(
            float(raw),
            float(usage.entropy[index].sum() * codec.frame_rate),
            tuple(usage.perplexity[index].tolist()),
            tuple(usage.usage[index].tolist()),
        )
        for index, source in enumerate(SOURCES)
    }


@torch.inference_mode()
def soft_and_hard(codec: VQVAECodec, stems: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Every source of a short mixture [sources, 2, N], decoded from the vectors of `_final_state` and from codes."""
    mixture = stems.sum(0)
    coded = CodedMixture.encode(mixture, codec)
    hard, state = coded.decode_each(), _final_state(codec)
    if state.hard:
        return hard, hard
    model, device = codec.model, next(codec.model.parameters()).device
    audio = torch.from_numpy(mixture * np.float32(coded.gain))[None].to(device)
    vectors = model.quantizer(model.logits(pad_to_frames(audio, codec.hop)), state)
    spectra = model.decoder(
        vectors.expand(len(SOURCES), -1, -1, -1), torch.eye(len(SOURCES), device=device)
    )
    soft = model.decoder.synthesise(spectra, mixture.shape[-1]).cpu().numpy()
    return soft / np.float32(coded.gain), hard


def _final_state(codec: VQVAECodec) -> Softness:
    """The quantiser's state at the end of training, but for the noise."""
    return replace(softness(codec.config.quantizer, 1.0), noise=0.0)
