"""How good a prior is: does it listen, and what does it write? `evaluate-prior`.

In the order in which failures arise, each step on its own: the codec, the notes heard in the
accompaniment, the next codes, codes that follow given notes, going on from a true beginning, and
writing from nothing, which stands on a ladder between silence and the true bass; then guidance. All
true codes come from files, so the codec is judged by its sound against the known notes; its SDR is
`evaluate-vqvae`'s to tell.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from shared.atomic import files_together
from shared.codes.codec import Codec
from shared.codes.song_codes import require_fingerprint
from shared.console import ProgressBar, progress
from shared.errors import require
from shared.json_files import write_json
from shared.music.bass_metrics import BassFigures
from stage2_prior.balance import balance_gain
from stage2_prior.bass_sound import bass_sound, decoded_bass
from stage2_prior.bootstrap import Estimate, bootstrap_mean
from stage2_prior.clips import (
    Clip,
    MixedClip,
    judge,
    load_clips,
    mixed_clips,
    pitch_match_share,
    shifted_by_a_bar,
)
from stage2_prior.frechet import embed
from stage2_prior.likelihood import Likelihood, song_likelihood
from stage2_prior.model import Prior
from stage2_prior.prior_report import (
    OURS,
    OURS_FROM_MIX,
    TRUE,
    TRUE_FROM_CODES,
    PriorReport,
    Section,
    draw_report,
    report_markdown,
)
from stage2_prior.report_sections import (
    Judged,
    bass_removal_section,
    comparison,
    encoder_section,
    generation_section,
    likelihood_figures,
    next_code_section,
    shares,
)
from stage2_prior.sampling import FREE, GeneratedBass, SamplingSettings, generate
from stage2_prior.sequences import SongTokens

GATE_SONGS = 10  # each step beside the ladder samples anew; so many songs tell
PROMPT_SECONDS = 4.0
GUIDANCES = (1.0, 3.0, 5.0)
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
            for their mixtures, the bass taken out by the codec, and ends in the true bass's stems.

    Raises:
        UserError: too few songs, codes or prior of another codec, `data` of other songs, an
            unwritable place.
    """
    settings = settings or SamplingSettings()
    require(songs >= 2, "at least two songs are needed, to compare one with another")
    require(seconds > PROMPT_SECONDS, f"clips must be longer than {PROMPT_SECONDS:g} s")
    require_fingerprint(prior.format.fingerprint, codec.fingerprint, "the codes of this prior")
    clips = load_clips(codes, codec, split, songs, seconds)
    mixed = () if data is None else mixed_clips(clips, data, codec)
    names = {end: out / f"report.{end}" for end in ("json", "md", "png")}
    with files_together(names) as files:
        rounds = 4 if mixed else 3
        total = rounds * len(clips) + 8 * min(GATE_SONGS, len(clips))
        with progress("judging", total) as bar:
            evaluation = _Evaluation(clips, mixed, codec, prior, settings, bar)
            written = evaluation.write_all()
            judged = evaluation.judge_all(written)
            bits = evaluation.likelihoods()
            gates = [
                evaluation.codec_gate(),
                encoder_section(bits),
                next_code_section(bits),
                evaluation.singing_gate(),
                evaluation.continuation_gate(),
                generation_section(judged, evaluation.equal_codes(written[OURS])),
            ]
            if mixed:
                gates.append(bass_removal_section(judged, [clip.bass_found for clip in mixed]))
            gates.append(evaluation.guidance_gate())
        report = PriorReport(
            split,
            tuple(clip.song.track for clip in clips),
            seconds,
            settings,
            codec.fingerprint,
            prior.config.window_seconds,
            likelihood_figures(bits),
            comparison(judged),
            tuple(gates),
        )
        write_json(files["json"], asdict(report))
        files["md"].write_text(report_markdown(report), encoding="utf-8")
        draw_report(report, files["png"])
    return report


@dataclass(frozen=True, eq=False)
class _Written:
    """A line, and the gain of the song that it was written for."""

    line: GeneratedBass
    gain: float


class _Evaluation:
    """The measurements that need sampling or sound."""

    def __init__(
        self,
        clips: Sequence[Clip],
        mixed: Sequence[MixedClip],
        codec: Codec,
        prior: Prior,
        settings: SamplingSettings,
        bar: ProgressBar,
    ) -> None:
        self.clips, self.mixed, self.codec, self.prior = clips, mixed, codec, prior
        self.settings, self.bar = settings, bar
        self.few = range(min(GATE_SONGS, len(clips)))

    def likelihoods(self) -> list[Likelihood]:
        """Of each song; the next one lends the shuffled accompaniment."""
        songs = [SongTokens.of(clip.song) for clip in self.clips]
        return self._each(
            range(len(songs)),
            lambda i: song_likelihood(self.prior, songs[i], songs[(i + 1) % len(songs)]),
        )

    def write_all(self) -> dict[str, list[_Written]]:
        """A bass for each clip, from nothing but its accompaniment; and likewise for each mixed clip."""
        every = range(len(self.clips))
        written = {OURS: self._each(every, lambda i: _Written(self._write(i), self._gain(i)))}
        if self.mixed:
            written[OURS_FROM_MIX] = self._each(
                every,
                lambda i: _Written(
                    self._write(i, accompaniment=self.mixed[i].accompaniment), self.mixed[i].gain
                ),
            )
        return written

    def judge_all(self, written: Mapping[str, Sequence[_Written]]) -> dict[str, list[Judged]]:
        """Every kind of bass on the ladder, of each clip."""

        def climb(index: int) -> dict[str, Judged]:
            sounds = self._rungs(index, {name: lines[index] for name, lines in written.items()})
            return {
                name: Judged(judge(sound, self.clips[index]), embed(sound, self.codec.sample_rate))
                for name, sound in sounds.items()
            }

        climbed = self._each(range(len(self.clips)), climb)
        return {name: [each[name] for each in climbed] for name in climbed[0]}

    def equal_codes(self, written: Sequence[_Written]) -> list[float]:
        """The share of codes that another seed has in common with what was written."""

        def equal(index: int) -> float:
            again = self._write(index, seed=self.settings.seed + index + ANOTHER_SEED)
            return float(np.mean(written[index].line.codes == again.codes))

        return self._each(self.few, equal)

    def codec_gate(self) -> Section:
        """The true bass, decoded from its codes."""

        def heard(index: int) -> float:
            clip = self.clips[index]
            plain = decoded_bass(clip.bass, clip.num_samples, self._gain(index), self.codec)
            return pitch_match_share(plain, clip.notes, clip)

        return Section(
            "Codec",
            "Does the true bass, decoded from its codes, sound at the known pitches?",
            {
                "pitch class heard, share of sounding frames": bootstrap_mean(
                    self._each(self.few, heard)
                )
            },
        )

    def singing_gate(self) -> Section:
        """The true notes are given, the codes are sampled."""

        def sung(index: int, note_guidance: float) -> float:
            clip = self.clips[index]
            fixed = np.full((1 + self.codec.num_codebooks, clip.frames), FREE)
            fixed[0] = clip.notes
            line = self._write(index, fixed, note_guidance=note_guidance)
            return pitch_match_share(self._sound(index, line.codes, line.notes), clip.notes, clip)

        scales = dict.fromkeys((1.0, self.settings.note_guidance))  # as learned, and as set
        return Section(
            "Singing",
            "Do the codes sing a given note stream, the true one? (Pitch class heard, share of "
            "sounding frames.)",
            {
                f"note guidance {scale:g}": bootstrap_mean(
                    self._each(self.few, partial(sung, note_guidance=scale))
                )
                for scale in scales
            },
        )

    def continuation_gate(self) -> Section:
        """The true bass is given for the first seconds; the rest is judged."""

        def go_on(index: int) -> BassFigures:
            clip = self.clips[index]
            given = round(PROMPT_SECONDS * self.codec.frame_rate)
            fixed = np.full((1 + self.codec.num_codebooks, clip.frames), FREE)
            fixed[:, :given] = np.concatenate((clip.notes[None], clip.bass))[:, :given]
            line = self._write(index, fixed)
            return judge(self._sound(index, line.codes, line.notes), clip, PROMPT_SECONDS)

        return Section(
            "Continuation",
            f"What follows {PROMPT_SECONDS:g} s of the true bass?",
            shares(self._each(self.few, go_on)),
        )

    def guidance_gate(self) -> Section:
        """Writing from nothing, with more or less guidance."""
        figures: dict[str, Estimate] = {}
        for scale in GUIDANCES:

            def write(index: int, scale: float = scale) -> BassFigures:
                line = self._write(index, guidance=scale)
                played = self._played(index, line, self._gain(index))
                return judge(played, self.clips[index])

            fit = shares(self._each(self.few, write))
            figures |= {f"guidance {scale:g}: {name}": value for name, value in fit.items()}
        return Section("Guidance", "Does listening harder to the song help?", figures)

    def _rungs(self, index: int, ours: Mapping[str, _Written]) -> dict[str, Sound]:
        clip, other = self.clips[index], (index + 1) % len(self.clips)
        true = self._sound(index, clip.bass, clip.notes)
        another = self.clips[other]
        rungs = {
            "silence": np.zeros_like(true),
            "another song's bass": self._sound(other, another.bass, another.notes),
            "true bass, a bar late": shifted_by_a_bar(true, clip),
            **{name: self._played(index, each.line, each.gain) for name, each in ours.items()},
            TRUE_FROM_CODES: true,
        }
        return rungs | {TRUE: self.mixed[index].bass} if self.mixed else rungs

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

    def _gain(self, index: int) -> float:
        return self.clips[index].song.gain

    def _sound(
        self, index: int, codes: npt.NDArray[np.uint16], notes: npt.NDArray[np.integer]
    ) -> Sound:
        num_samples = self.clips[index].num_samples
        return bass_sound(codes, notes, num_samples, self._gain(index), self.codec)

    def _played(self, index: int, line: GeneratedBass, gain: float) -> Sound:
        """A whole line as `generate-bass` leaves it."""
        num_samples = self.clips[index].num_samples
        sound = bass_sound(line.codes, line.notes, num_samples, gain, self.codec)
        return sound * np.float32(balance_gain(sound, line.notes, gain, self.prior.balance))

    def _each(self, songs: Iterable[int], measure: Callable[[int], T]) -> list[T]:
        results = []
        for index in songs:
            results.append(measure(index))
            self.bar.advance()
        return results
