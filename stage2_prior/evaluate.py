"""How good a prior is: does it listen, and what does it write? `evaluate-prior`.

In the order in which failures arise, each step on its own: the codec, the notes heard in the
accompaniment, the next codes, codes that follow given notes, going on from a true beginning, and
writing from nothing, which stands on a ladder between silence and the true bass; then guidance. All
true codes come from files, so the codec is judged by its sound against the known notes; its SDR is
`evaluate-vqvae`'s to tell.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from shared.codec import Codec
from shared.codes import require_fingerprint
from shared.config import require
from shared.console import ProgressBar, progress
from shared.song_metrics import BassFigures
from stage2_prior.bootstrap import Estimate, bootstrap_mean
from stage2_prior.clips import (
    Clip,
    judge,
    load_clips,
    shifted_by_a_bar,
    sound_of,
    summarise,
    sung_share,
    taken_from_mixtures,
)
from stage2_prior.frechet import embed, frechet_distance
from stage2_prior.likelihood import SongLikelihood, song_likelihood
from stage2_prior.model import Prior
from stage2_prior.outputs import files_together, write_json
from stage2_prior.prior_report import (
    SHARES,
    Gate,
    PriorReport,
    Rung,
    draw_report,
    report_markdown,
)
from stage2_prior.sampling import FREE, GeneratedBass, SamplingSettings, generate
from stage2_prior.sequences import SongTokens

GATE_SONGS = 10  # each step beside the ladder samples anew; so many songs tell
PROMPT_SECONDS = 4.0
GUIDANCES = (1.0, 2.0, 4.0)
LOUDNESS_TOLERANCE_DB = 6.0
SILENT_DB = -60.0
ANOTHER_SEED = 100_003

Sound = npt.NDArray[np.float32]
T = TypeVar("T")


def evaluate_prior(
    codes: Path,
    codec: Codec,
    prior: Prior,
    out: Path,
    split: str = "test",
    songs: int = 40,
    seconds: float = 20.0,
    settings: SamplingSettings | None = None,
    data: Path | None = None,
) -> PriorReport:
    """Judge a prior on songs it was not trained on; leaves report.json, report.md, report.png in `out`.

    Args:
        codes: folder of `extract-codes`.
        songs: at most so many, an even choice of the split.
        seconds: of each song, from its middle, are generated and judged.
        settings: song i is sampled with the seed `settings.seed + i`.
        data: the songs that the codes were extracted from. With them the ladder also has what is written
            for their mixtures, the bass taken out by the codec.

    Raises:
        UserError: too few songs, codes or prior of another codec, an unwritable place.
    """
    settings = settings or SamplingSettings()
    require(songs >= 2, "at least two songs are needed, to compare one with another")
    require(seconds > PROMPT_SECONDS, f"clips must be longer than {PROMPT_SECONDS:g} s")
    require_fingerprint(prior.format.fingerprint, codec.fingerprint, "the codes of this prior")
    clips = load_clips(codes, codec, split, songs, seconds)
    mixed = taken_from_mixtures(clips, data, codec) if data is not None else None
    names = {end: out / f"report.{end}" for end in ("json", "md", "png")}
    with files_together(names) as files:
        rounds = 3 if mixed is None else 4
        total = rounds * len(clips) + 7 * min(GATE_SONGS, len(clips))
        with progress("judging", total) as bar:
            judged = _Evaluation(clips, codec, prior, settings, bar)
            written = {"ours": judged.write_all([clip.accompaniment for clip in clips])}
            if mixed is not None:
                written["ours, the bass taken out of the mix"] = judged.write_all(mixed)
            ladder, writing = judged.ladder(written)
            bits = judged.likelihoods()
            gates = (
                judged.codec_gate(),
                _listening_gate(bits),
                _next_code_gate(bits),
                judged.singing_gate(),
                judged.continuation_gate(),
                writing,
                judged.guidance_gate(),
            )
        report = PriorReport(
            split,
            tuple(clip.song.track for clip in clips),
            seconds,
            settings,
            codec.fingerprint,
            _likelihood_figures(bits),
            ladder,
            gates,
        )
        write_json(files["json"], asdict(report))
        files["md"].write_text(report_markdown(report), encoding="utf-8")
        draw_report(report, files["png"])
    return report


@dataclass(frozen=True, eq=False)
class _Judged:
    figures: BassFigures
    embedded: npt.NDArray[np.float64]


class _Evaluation:
    """The measurements that need sampling or sound."""

    def __init__(
        self,
        clips: Sequence[Clip],
        codec: Codec,
        prior: Prior,
        settings: SamplingSettings,
        bar: ProgressBar,
    ) -> None:
        self.clips, self.codec, self.prior = clips, codec, prior
        self.settings, self.bar = settings, bar
        self.few = range(min(GATE_SONGS, len(clips)))

    def likelihoods(self) -> list[SongLikelihood]:
        """Of each song; the next one lends the shuffled accompaniment."""
        songs = [SongTokens.of(clip.song) for clip in self.clips]
        return self._each(
            range(len(songs)),
            lambda i: song_likelihood(self.prior, songs[i], songs[(i + 1) % len(songs)]),
        )

    def write_all(self, accompaniments: Sequence[npt.NDArray[np.uint16]]) -> list[GeneratedBass]:
        """A bass for each clip, from nothing but its accompaniment's codes."""
        return self._each(
            range(len(self.clips)), lambda i: self._write(i, accompaniment=accompaniments[i])
        )

    def ladder(
        self, written: Mapping[str, Sequence[GeneratedBass]]
    ) -> tuple[tuple[Rung, ...], Gate]:
        """The ladder, and the step of writing from nothing, which is a rung of it."""

        def climb(index: int) -> dict[str, _Judged]:
            sounds = self._rungs(index, {name: lines[index] for name, lines in written.items()})
            return {
                name: _Judged(judge(sound, self.clips[index]), embed(sound, self.codec.sample_rate))
                for name, sound in sounds.items()
            }

        climbed = self._each(range(len(self.clips)), climb)
        by_rung = {name: [each[name] for each in climbed] for name in climbed[0]}
        true = by_rung["true bass"]
        rungs = tuple(
            Rung(
                name,
                summarise([each.figures for each in judged]),
                frechet_distance(
                    [each.embedded for each in judged], [each.embedded for each in true]
                ),
            )
            for name, judged in by_rung.items()
        )

        def equal_codes(index: int) -> float:
            again = self._write(index, seed=self.settings.seed + index + ANOTHER_SEED)
            return float(np.mean(written["ours"][index].codes == again.codes))

        equal = self._each(self.few, equal_codes)
        ours = [each.figures for each in by_rung["ours"]]
        return rungs, _writing_gate(ours, [each.figures for each in true], equal)

    def codec_gate(self) -> Gate:
        """The true bass, decoded from its codes."""
        shares = self._each(self.few, lambda index: self._sung(index, self.clips[index].bass))
        return Gate(
            "Codec",
            "Does the true bass, decoded from its codes, sound at the known pitches?",
            {"pitch class heard, share of sounding frames": bootstrap_mean(shares)},
        )

    def singing_gate(self) -> Gate:
        """The true notes are given, the codes are sampled."""

        def sung(index: int) -> float:
            fixed = np.full((1 + self.codec.num_codebooks, self.clips[index].frames), FREE)
            fixed[0] = self.clips[index].notes
            return self._sung(index, self._write(index, fixed).codes)

        return Gate(
            "Singing",
            "Do the codes sing a given note stream, the true one?",
            {
                "pitch class heard, share of sounding frames": bootstrap_mean(
                    self._each(self.few, sung)
                )
            },
        )

    def continuation_gate(self) -> Gate:
        """The true bass is given for the first seconds; the rest is judged."""

        def go_on(index: int) -> BassFigures:
            clip = self.clips[index]
            given = round(PROMPT_SECONDS * self.codec.frame_rate)
            fixed = np.full((1 + self.codec.num_codebooks, clip.frames), FREE)
            fixed[:, :given] = np.concatenate((clip.notes[None], clip.bass))[:, :given]
            return judge(self._sound(index, self._write(index, fixed)), clip, PROMPT_SECONDS)

        return Gate(
            "Continuation",
            f"What follows {PROMPT_SECONDS:g} s of the true bass?",
            _shares(self._each(self.few, go_on)),
        )

    def guidance_gate(self) -> Gate:
        """Writing from nothing, with more or less guidance."""
        figures: dict[str, Estimate] = {}
        for scale in GUIDANCES:

            def write(index: int, scale: float = scale) -> BassFigures:
                line = self._write(index, guidance=scale)
                return judge(self._sound(index, line), self.clips[index])

            shares = _shares(self._each(self.few, write))
            figures |= {f"guidance {scale:g}: {name}": value for name, value in shares.items()}
        return Gate("Guidance", "Does listening harder to the song help?", figures)

    def _rungs(self, index: int, ours: Mapping[str, GeneratedBass]) -> dict[str, Sound]:
        clip, other = self.clips[index], self.clips[(index + 1) % len(self.clips)]
        true = sound_of(clip.bass, clip, self.codec)
        return {
            "silence": np.zeros_like(true),
            "another song's bass": sound_of(other.bass, other, self.codec),
            "true bass, a bar late": shifted_by_a_bar(true, clip),
            **{name: self._sound(index, line) for name, line in ours.items()},
            "true bass": true,
        }

    def _write(
        self,
        index: int,
        fixed: npt.NDArray[np.int64] | None = None,
        accompaniment: npt.NDArray[np.uint16] | None = None,
        **changes: Any,
    ) -> GeneratedBass:
        settings = replace(self.settings, **{"seed": self.settings.seed + index, **changes})
        if accompaniment is None:
            accompaniment = self.clips[index].accompaniment
        return generate(self.prior, accompaniment, settings, fixed=fixed)

    def _sound(self, index: int, line: GeneratedBass) -> Sound:
        return sound_of(line.codes, self.clips[index], self.codec)

    def _sung(self, index: int, codes: npt.NDArray[np.uint16]) -> float:
        clip = self.clips[index]
        return sung_share(sound_of(codes, clip, self.codec), clip.notes, clip)

    def _each(self, songs: Iterable[int], measure: Callable[[int], T]) -> list[T]:
        results = []
        for index in songs:
            results.append(measure(index))
            self.bar.advance()
        return results


def _listening_gate(bits: Sequence[SongLikelihood]) -> Gate:
    return Gate(
        "Listening",
        "Is the note right from the accompaniment alone, without any history?",
        {
            "pitch class, share of sounding frames": _mean(bits, lambda b: b.encoder_pitch_class),
            "root of the chord, share of frames": _mean(bits, lambda b: b.encoder_root),
            "onset F1, one frame allowed": _mean(bits, lambda b: b.encoder_onset_f1),
        },
    )


def _next_code_gate(bits: Sequence[SongLikelihood]) -> Gate:
    books = len(bits[0].code_accuracy)
    return Gate(
        "Next code",
        "Given the true history, how often is the likeliest next token the true one?",
        {
            "note, where it sounds": _mean(bits, lambda b: b.note_accuracy),
            **{
                f"codebook {h}": bootstrap_mean(each.code_accuracy[h] for each in bits)
                for h in range(books)
            },
        },
    )


def _writing_gate(
    ours: Sequence[BassFigures], true: Sequence[BassFigures], equal: Sequence[float]
) -> Gate:
    apart = [
        abs(a.rms_db - b.rms_db)
        for a, b in zip(ours, true, strict=True)
        if b.rms_db > SILENT_DB  # where the true bass rests, there is nothing to compare with
    ]
    return Gate(
        "Writing",
        "What is written from nothing? (The ladder has the whole row.)",
        {
            **_shares(ours),
            f"clips within {LOUDNESS_TOLERANCE_DB:g} dB of the true bass": bootstrap_mean(
                float(each <= LOUDNESS_TOLERANCE_DB) for each in apart
            ),
            "silent clips": bootstrap_mean(float(each.rms_db < SILENT_DB) for each in ours),
            "codes that two seeds have in common": bootstrap_mean(equal),
        },
    )


def _likelihood_figures(bits: Sequence[SongLikelihood]) -> dict[str, Estimate]:
    return {
        "bits/s conditional": _mean(bits, lambda b: b.conditional),
        "bits/s unconditional": _mean(bits, lambda b: b.unconditional),
        "bits/s shuffled": _mean(bits, lambda b: b.shuffled),
        "bits/s saved against none": _mean(bits, lambda b: b.unconditional - b.conditional),
        "bits/s saved against shuffled": _mean(bits, lambda b: b.shuffled - b.conditional),
        "bits/s of the note": _mean(bits, lambda b: b.note_bits),
        "bits per code": _mean(bits, lambda b: b.bits_per_code),
    }


def _mean(bits: Sequence[SongLikelihood], of: Callable[[SongLikelihood], float]) -> Estimate:
    return bootstrap_mean(map(of, bits))


def _shares(figures: Sequence[BassFigures]) -> Mapping[str, Estimate]:
    summary = summarise(figures)
    return {name.replace("_", " "): summary[name] for name in SHARES}
