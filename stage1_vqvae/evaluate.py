"""Measure a codec on songs whose stems are known: the function behind `evaluate-vqvae`.

SDR, by the conventions of BSSEval v4 (shared/metrics.py), is measured of two kinds of estimates:
- decoded: what the decoder makes of the mixture's codes, which is the paper's measure;
- masked: what the codec's `separate` makes of the mixture itself.
Two rows beside them come from the same songs: the floor takes the mixture itself as the estimate of
every source, and the ceiling masks the mixture by the true magnitudes (the ideal ratio mask).

Two sections look at what the codes are for: what of the accompaniment's harmony can be read from
them (harmony_probe.py), and how the decoded bass sounds (bass_report.py).

Songs are measured one after another. Of each song only its mixture and one kind of estimates are
held as whole arrays at a time. Stems are read in blocks.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch

from shared.atomic import files_together
from shared.codes.bass_decoder import BassDecoder
from shared.console import progress
from shared.errors import UserError
from shared.json_files import write_json
from shared.metrics import SdrMeter, code_usage, count_codes, sdr_windows
from shared.music.song_facts import SongFacts, read_song_facts
from shared.song_figures import SongFigures, part_measured
from shared.songs.cache import CachedSong, build_cache
from shared.songs.tracks import Split
from shared.sound.levels import accompaniment_gain
from shared.sound.masking import BLOCK, EstimateBlock, mask_blocks
from shared.sound.samples import Samples
from shared.sound.separation import CodedMixture
from shared.sound.sliced import whole
from shared.sources import BASS, SOURCES
from stage1_vqvae.bass_decoder.decode import load_bass_decoder
from stage1_vqvae.bass_report import (
    LONGEST_SECONDS,
    BassCollector,
    BassReport,
    CodecBassDecoder,
)
from stage1_vqvae.bss_eval import bss_eval, load_museval
from stage1_vqvae.codec import VQVAECodec, load_codec
from stage1_vqvae.embedding_report import (
    EmbeddingReport,
    VectorCollector,
    draw_tsne,
    embedding_report,
)
from stage1_vqvae.harmony_probe import HarmonyCollector, HarmonyReport, harmony_report
from stage1_vqvae.quantizer import Softness, softness
from stage1_vqvae.sdr_table import PAPER, SdrRow, decibels, sdr_table, song_sdr
from stage1_vqvae.spectral import pad_to_frames

SHORT_SECONDS = 10.0  # the part of a song on which soft and hard decoding are compared


@dataclass(frozen=True)
class SourceCodes:
    """What the codes of one source cost, and how well its codebooks are used.

    Attributes:
        raw_bits: bits per second as stored.
        entropy_bits: bits per second that an ideal entropy coder of single codes would need.
        perplexity: of each codebook.
        usage: of each codebook, the share of its entries that occur.
    """

    raw_bits: float
    entropy_bits: float
    perplexity: tuple[float, ...]
    usage: tuple[float, ...]


@dataclass(frozen=True)
class VQVAEReport:
    """What `evaluate_vqvae` measured.

    Attributes:
        codec: the codec's fingerprint.
        split: the split that was measured.
        songs: the names of the songs.
        seconds: the sum of their lengths.
        entries: entries of one codebook.
        rows: SDR of decoded, masked, floor and ceiling.
        museval: SIR, SAR and ISR of decoded and masked, if they were asked for.
        codes: how the codes of each source are used.
        ends_on_codes: whether training ends in the straight-through phase. Then soft equals hard.
        soft: mean SDR of excerpts decoded from the quantiser's vectors as they are at the end of
            training, without the noise.
        hard: mean SDR of the same excerpts decoded from codes.
        embedding: how well the quantised vectors tell the sources apart.
        harmony: what probes read from the codes of the accompaniment.
        bass: how the decoded bass sounds.
        by_song: SDR of each song, decoded and masked, by the name of the codec.
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
    harmony: HarmonyReport
    bass: BassReport
    by_song: Mapping[str, SongFigures]

    def row(self, name: str) -> SdrRow:
        """Return the row of that name."""
        return next(row for row in self.rows if row.name == name)

    def as_dict(self) -> dict[str, Any]:
        """Return the content of `report.json`."""
        return asdict(self) | {
            "rows": [row.as_dict() for row in self.rows],
            "museval": [row.as_dict() for row in self.museval],
            "paper": [row.as_dict() for row in PAPER],
            "soft_minus_hard": self.soft - self.hard,
        }

    def as_markdown(self) -> str:
        """Return the content of `report.md`."""
        return "\n\n".join(
            [
                "# Codec evaluation",
                f"Codec `{self.codec}` on {len(self.songs)} songs of the {self.split} split, "
                f"{self.seconds / 60:.1f} minutes. SDR: median over windows of 1 s, then over "
                "songs.",
                sdr_table([*self.rows, *PAPER]),
                "The paper's figures are of decoded sources, on the MUSDB18 test set.",
                *(["By museval:", sdr_table(self.museval)] if self.museval else []),
                self._codes_table(),
                f"Decoded from the vectors on which training ends: {decibels(self.soft)} dB; "
                f"from codes: {decibels(self.hard)} dB. Rounding to codes costs "
                f"{decibels(self.soft - self.hard)} dB"
                f"{'; training ends on codes' if self.ends_on_codes else ''}.",
                f"Quantised vectors of single sources ({self.embedding.frames} frames, tsne.png): "
                "the nearest neighbours in other songs name the right source for "
                f"{self.embedding.knn_accuracy:.1%} of the frames; the silhouette is "
                f"{self.embedding.silhouette:.3f}.",
                self.harmony.as_markdown(),
                self.bass.as_markdown() + "\n",
            ]
        )

    def _codes_table(self) -> str:
        header = (
            f"| codes | bit/s | bit/s, entropy | perplexity of {self.entries} by codebook "
            "| least usage |\n|---|---:|---:|---|---:|"
        )
        rows = [
            f"| {source} | {codes.raw_bits:.0f} | {codes.entropy_bits:.0f} "
            f"| {' '.join(f'{p:.1f}' for p in codes.perplexity)} | {min(codes.usage):.0%} |"
            for source, codes in self.codes.items()
        ]
        return "\n".join([header, *rows])


def evaluate_vqvae(
    data: Path,
    codec_path: Path | None = None,
    out: Path = Path("runs/evaluate-vqvae"),
    split: Split = "test",
    songs: int | None = None,
    seconds: float | None = None,
    museval: bool = False,
    bass_decoder: Path | None = None,
    device: str = "cpu",
    name: str = "codec",
) -> VQVAEReport:
    """Measure a codec on a split of a data folder.

    Writes `report.json`, `report.md` and `tsne.png`, all of them or none.

    Args:
        data: MUSDB18, MUSDB18-HQ or any folder of songs with four stems.
        codec_path: a run folder or a .safetensors file; None takes the shipped codec.
        out: the folder of the report.
        split: which songs to measure.
        songs: how many of them; None measures all.
        seconds: how much of the middle of each; None measures the whole song.
        museval: measure SIR, SAR and ISR too, with the museval package. That takes over a minute
            for each minute of music, and holds the whole song several times.
        bass_decoder: a run folder or a .safetensors file of a bass decoder, whose sound is measured
            beside that of the codec's own decoder.
        device: what to compute on.
        name: what the report calls the codec where it is compared with others.

    Raises:
        UserError: unusable data, codec or bass decoder, an unusable song.json, an empty split,
            museval is not installed, or a place that cannot be written.
    """
    codec = load_codec(codec_path, device)
    decoders: dict[str, BassDecoder] = {"decoder": CodecBassDecoder(codec)}
    if bass_decoder is not None:
        decoders["bass decoder"] = load_bass_decoder(bass_decoder, codec, device)
    metrics = load_museval() if museval else None
    chosen = songs_of(data, codec.sample_rate, split, songs)
    excerpts = [Excerpt(song, *song.middle_span(seconds), _facts(song)) for song in chosen]
    paths = {name: out / name for name in ("report.json", "report.md", "tsne.png")}
    evaluation = _Evaluation(codec, metrics, decoders, len(chosen))
    with files_together(paths) as files, progress("evaluating", len(chosen)) as bar:
        for excerpt in excerpts:
            evaluation.measure(excerpt)
            bar.advance()
        part = part_measured(split, seconds)
        report = evaluation.report(name, split, part, tuple(song.name for song in chosen))
        draw_tsne(evaluation.vectors.points(), files["tsne.png"])
        write_json(files["report.json"], report.as_dict())
        files["report.md"].write_text(report.as_markdown(), encoding="utf-8", errors="replace")
    return report


def songs_of(
    data: Path, sample_rate: int, split: Split, limit: int | None = None
) -> list[CachedSong]:
    """List the first `limit` songs of a split (None: all).

    Raises:
        UserError: the split is empty, the limit is below 1, or the data is unusable.
    """
    if limit is not None and limit < 1:
        raise UserError(f"{limit} songs cannot be measured: ask for at least 1")
    found = build_cache(data, sample_rate=sample_rate).split(split)
    if not found:
        raise UserError(f"{data} holds no song of the split '{split}': name another split")
    return list(found)[:limit]


def _facts(song: CachedSong) -> SongFacts:
    return SongFacts() if song.song_json is None else read_song_facts(song.song_json)


@dataclass(frozen=True)
class Excerpt:
    """The part of a song that is measured, read from the cache piece by piece.

    Attributes:
        song: the song.
        start: its first sample that is measured.
        num_samples: how many samples are measured.
        facts: what is known of the song.
    """

    song: CachedSong
    start: int
    num_samples: int
    facts: SongFacts

    def stems(self, start: int, stop: int) -> Samples:
        """Read all stems in a range of the excerpt's samples, `[sources, 2, stop - start]`."""
        return self.song.read_all(self.start + start, stop - start)

    def stem(self, source: int) -> Samples:
        """Read one whole stem `[2, num_samples]`."""
        return self.song.read(source, self.start, self.num_samples)

    def mixture(self, start: int, stop: int) -> Samples:
        """Sum the stems in a range to the mixture `[2, stop - start]`."""
        return self.stems(start, stop).sum(0)

    def whole_mixture(self) -> Samples:
        """Sum the stems to the mixture `[2, num_samples]` without holding all of them."""
        mixture = np.empty((2, self.num_samples), np.float32)
        for start, stop in self.blocks():
            mixture[:, start:stop] = self.mixture(start, stop)
        return mixture

    def whole_accompaniment(self) -> Samples:
        """Sum the stems without the bass to `[2, num_samples]` without holding all of them."""
        accompaniment = self.whole_mixture()
        for start, stop in self.blocks():
            accompaniment[:, start:stop] -= self.stems(start, stop)[BASS]
        return accompaniment

    def middle(self, seconds: float) -> "Excerpt":
        """Return the middle `seconds` of the excerpt, or all of it where it is shorter."""
        length = min(self.num_samples, round(seconds * self.song.sample_rate))
        start = self.start + (self.num_samples - length) // 2
        return replace(self, start=start, num_samples=length)

    @property
    def start_seconds(self) -> float:
        """Where in the song the excerpt begins, in seconds."""
        return self.start / self.song.sample_rate

    def blocks(self) -> Iterator[tuple[int, int]]:
        """Cut the excerpt into ranges of at most BLOCK samples."""
        for start in range(0, self.num_samples, BLOCK):
            yield start, min(start + BLOCK, self.num_samples)


class _Evaluation:
    """Collects the figures of one song after another."""

    def __init__(
        self,
        codec: VQVAECodec,
        museval: ModuleType | None,
        bass_decoders: Mapping[str, BassDecoder],
        num_songs: int,
    ) -> None:
        self.codec = codec
        self.museval = museval
        self.scores: dict[str, list[np.ndarray]] = {}
        self.counts = np.zeros((len(SOURCES), codec.num_codebooks, codec.cardinality), np.int64)
        self.samples = 0
        self.vectors = VectorCollector(codec, num_songs)
        self.harmony = HarmonyCollector(codec, num_songs)
        self.bass = BassCollector(codec, bass_decoders)

    def measure(self, excerpt: Excerpt) -> None:
        """Add a song."""
        coded = CodedMixture.encode(excerpt.whole_mixture(), self.codec)
        self.samples += excerpt.num_samples
        self.counts += count_codes(coded.codes, self.codec.cardinality)
        self._score_rows(excerpt, coded)
        self._score_soft_and_hard(excerpt)
        self.vectors.add((excerpt.stem(source) for source in range(len(SOURCES))), coded.gain)
        self._listen(excerpt)

    def report(self, name: str, split: str, part: str, songs: tuple[str, ...]) -> VQVAEReport:
        """Summarise the songs added."""
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
            embedding=embedding_report(self.vectors.points()),
            harmony=harmony_report(self.harmony.frames()),
            bass=self.bass.report(),
            by_song={name: SongFigures(part, songs, self._song_figures())},
        )

    def _song_figures(self) -> dict[str, tuple[float, ...]]:
        """Return the SDR of each song: of each source, and the mean of the sources."""
        figures = {}
        for kind in ("decoded", "masked"):
            sdr = song_sdr(self.scores[kind])
            for source, values in zip(SOURCES, sdr, strict=True):
                figures[f"{kind}: SDR of {source}, dB"] = tuple(values.tolist())
            known = np.ma.masked_invalid(sdr).mean(0).filled(np.nan)
            figures[f"{kind}: SDR, dB"] = tuple(known.tolist())
        return figures

    def _score_rows(self, excerpt: Excerpt, coded: CodedMixture) -> None:
        def read_stems(start: int, stop: int) -> tuple[Samples, Samples]:
            return excerpt.mixture(start, stop), excerpt.stems(start, stop)

        self._score_estimates(excerpt, "decoded", coded.decode_each())
        self._score_estimates(excerpt, "masked", coded.separate(self.codec.sources))
        self._score(excerpt, "floor", _blocks_of_mixture(excerpt))
        self._score(excerpt, "ceiling", mask_blocks(read_stems, excerpt.num_samples))

    def _score_estimates(self, excerpt: Excerpt, name: str, estimates: Samples) -> None:
        self._score(excerpt, name, _blocks_of_sources(excerpt, estimates))
        if self.museval is not None:
            self._score_by_museval(excerpt, name, estimates)

    def _score(self, excerpt: Excerpt, name: str, estimates: Iterable[EstimateBlock]) -> None:
        meter = SdrMeter(len(SOURCES), excerpt.num_samples, self.codec.sample_rate)
        for block in estimates:
            meter.add(block.start, excerpt.stems(block.start, block.stop), block.estimates)
        self._add(name, meter.windows())

    def _score_by_museval(self, excerpt: Excerpt, name: str, estimates: Samples) -> None:
        assert self.museval is not None
        stems = excerpt.stems(0, excerpt.num_samples)
        figures = bss_eval(self.museval, stems, estimates, self.codec.sample_rate)
        for kind, windows in figures.items():
            self._add(f"{name}: {kind}", windows)

    def _score_soft_and_hard(self, excerpt: Excerpt) -> None:
        length = min(excerpt.num_samples, round(SHORT_SECONDS * self.codec.sample_rate))
        stems = excerpt.stems(0, length)
        for name, samples in zip(("soft", "hard"), soft_and_hard(self.codec, stems), strict=True):
            self._add(name, sdr_windows(stems, samples, self.codec.sample_rate))

    def _listen(self, excerpt: Excerpt) -> None:
        """Read the harmony in the codes of the accompaniment, and hear the bass decoded alone."""
        accompaniment = excerpt.whole_accompaniment()
        gain = np.float32(accompaniment_gain(accompaniment))
        accompaniment *= gain
        self.harmony.add(accompaniment, excerpt.facts, excerpt.start_seconds)
        middle = excerpt.middle(LONGEST_SECONDS)
        self.bass.add(gain * middle.stem(BASS), middle.facts, middle.start_seconds)

    def _add(self, name: str, windows: np.ndarray) -> None:
        self.scores.setdefault(name, []).append(windows)


def _blocks_of_sources(excerpt: Excerpt, decoded: Samples) -> Iterator[EstimateBlock]:
    for start, stop in excerpt.blocks():
        yield EstimateBlock(start, decoded[..., start:stop])


def _blocks_of_mixture(excerpt: Excerpt) -> Iterator[EstimateBlock]:
    """Yield the mixture as the estimate of every source."""
    for start, stop in excerpt.blocks():
        yield EstimateBlock(start, np.stack([excerpt.mixture(start, stop)] * len(SOURCES)))


def source_codes(codec: VQVAECodec, counts: np.ndarray) -> dict[str, SourceCodes]:
    """Describe the codes of each source from counts of codes `[sources, codebooks, entries]`."""
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
def soft_and_hard(codec: VQVAECodec, stems: Samples) -> tuple[Samples, Samples]:
    """Decode every source of a short mixture softly and hard.

    Args:
        codec: the codec.
        stems: `[sources, 2, N]`; their sum is what is encoded.

    Returns:
        Two arrays `[sources, 2, N]`: decoded from the vectors that the quantiser makes at the end
        of training, and decoded from codes.
    """
    coded = CodedMixture.encode(stems.sum(0), codec)
    hard, state = coded.decode_each(), _final_state(codec)
    if state.hard:
        return hard, hard
    model, device = codec.model, next(codec.model.parameters()).device
    gain = np.float32(coded.gain)
    audio = torch.from_numpy(whole(coded.channels.usual) * gain)[None].to(device)
    vectors = model.quantizer(model.logits(pad_to_frames(audio, codec.hop)), state)
    spectra = model.decoder(
        vectors.expand(len(SOURCES), -1, -1, -1), torch.eye(len(SOURCES), device=device)
    )
    soft: Samples = model.decoder.synthesise(spectra, coded.num_samples).cpu().numpy()
    return coded.channels.restore(soft / gain), hard


def _final_state(codec: VQVAECodec) -> Softness:
    """Return the quantiser's state at the end of training, without the noise."""
    return replace(softness(codec.config.quantizer, 1.0), noise=0.0)
