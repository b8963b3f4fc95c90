"""Evaluate priors on songs that they were not trained on: `evaluate-prior`.

The report tests the steps of generation one by one, in the order in which failures arise: the
codec, what the listener names, the bars, the next code after the true history, codes for given
notes, the continuation of a true beginning, and generation from the accompaniment alone. It
compares the generated lines with other lines, from silence to the true bass, and on request also
with simple lines that the performer plays (baselines.py). It varies the guidance. Several priors
are evaluated on the same clips and compared song by song.

All true codes come from files, so the codec is judged by its sound against the known notes. Its SDR
is the subject of `evaluate-vqvae`.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TypeVar

from shared.atomic import files_together
from shared.codes.codec import Codec
from shared.codes.manifest import read_manifest
from shared.codes.song_codes import SongCodes, require_fingerprint
from shared.console import ProgressBar, progress
from shared.errors import require
from shared.json_files import write_json
from shared.song_figures import part_measured
from stage2_prior.baselines import (
    LAST_BARS,
    MARKOV,
    NAIVE,
    ROOTS,
    MarkovLine,
    last_bars,
    roots_on_beats,
)
from stage2_prior.bass_sound import BassSound, PlainSound
from stage2_prior.clip_audio import ClipAudio, accompaniment_sound
from stage2_prior.clip_measurements import (
    PROMPT_SECONDS,
    JudgedLine,
    bar_figures,
    codec_pitch_match,
    compared_lines,
    continuation_figures,
    equal_codes,
    given_notes_pitch_match,
    guided_figures,
    judge_lines,
)
from stage2_prior.clip_sampler import ClipLine, ClipSampler, HeardLine
from stage2_prior.clips import Clip, MixedClip, load_clips, mixed_clips
from stage2_prior.composer.grid_notes import GridNotes
from stage2_prior.composer.material import known_line
from stage2_prior.likelihood import Likelihood, song_likelihood
from stage2_prior.model import Prior
from stage2_prior.naive.network import NaivePrior
from stage2_prior.naive.sampling import sample_codes
from stage2_prior.prior_report import (
    GENERATED,
    GENERATED_FROM_MIXTURE,
    TRUE,
    PriorFigures,
    PriorReport,
    Section,
    draw_report,
    generated_row,
    report_markdown,
)
from stage2_prior.report_sections import (
    GeneratedRow,
    Judged,
    bars_section,
    bass_removal_section,
    codec_section,
    comparison,
    continuation_section,
    differences,
    generation_section,
    given_notes_section,
    guidance_section,
    likelihood_figures,
    listener_section,
    next_code_section,
    song_figures,
)
from stage2_prior.sampling import SamplingSettings

MARKOV_SONGS = 200  # about so many training songs teach the Markov line, spread evenly
SECTION_CLIPS = 10  # sections beside the comparison sample anew, so they use at most this many
GUIDANCES = (1.0, 3.0, 5.0)

T = TypeVar("T")


@dataclass(frozen=True, eq=False)
class NamedPrior:
    """A prior, what the report calls it, and how lines are sampled from it.

    Song i is sampled with the seed `settings.seed + i`.
    """

    name: str
    prior: Prior
    settings: SamplingSettings


def evaluate_prior(
    codes: Path,
    codec: Codec,
    priors: Sequence[NamedPrior],
    out: Path,
    split: str = "test",
    songs: int = 40,
    seconds: float = 20.0,
    data: Path | None = None,
    sound: BassSound | None = None,
    save_audio: Path | None = None,
    baselines: bool = False,
    naive: NaivePrior | None = None,
) -> PriorReport:
    """Evaluate priors, and write report.json, report.md and report.png into `out`.

    Args:
        codes: a folder that `extract-codes` wrote.
        codec: the codec that made the codes.
        priors: the priors, of different names.
        out: the folder for the report.
        split: the split to take the songs from, or "all".
        songs: the largest number of songs. They are spread evenly over the split.
        seconds: how much of the middle of each song is evaluated.
        data: the folder of songs that the codes were extracted from. With it, the comparison also
            has what is generated for the songs' mixtures, from which the codec removes the bass,
            and ends with the stems of the true bass.
        sound: what renders the lines; without it the codec decodes them.
        save_audio: a folder to write the clips to, as WAV files (clip_audio.py).
        baselines: also judge simple lines, which the performer of the first prior plays. The
            training songs in `codes` teach the Markov line.
        naive: a plain encoder-decoder, whose lines are judged as a baseline, too. It samples with
            the settings of the first prior.

    Raises:
        UserError: there are too few songs, the codes or a prior are of another codec, `data` holds
            other songs, or a folder cannot be written to.
    """
    require(songs >= 2, "at least two songs are needed, to compare one with another")
    require(seconds > PROMPT_SECONDS, f"clips must be longer than {PROMPT_SECONDS:g} s")
    for each in priors:
        each.prior.require_codec(codec, f"the prior '{each.name}'")
    if naive is not None:
        name = "the codes of the plain encoder-decoder"
        require_fingerprint(naive.format.fingerprint, codec.fingerprint, name)
    sound = sound or PlainSound(codec)
    clips = load_clips(codes, codec, split, songs, seconds)
    mixed = () if data is None else mixed_clips(clips, data, codec)
    markov = _markov_line(codes, clips) if baselines else None
    work = _Work(codec, sound, priors, clips, mixed, baselines, markov, naive)
    audio = None if save_audio is None else ClipAudio(save_audio, clips, work.rows)
    names = {end: out / f"report.{end}" for end in ("json", "md", "png")}
    with files_together(names | (audio.paths if audio else {})) as files:
        with progress("evaluating", work.steps) as bar:
            lines = {row.name: _sample(work, row, bar) for row in work.rows}
            judged = _judge(work, lines, audio, files, bar)
            figures = [_measure_prior(work, each, lines, judged, bar) for each in priors]
        names_of_songs = tuple(clip.song.track for clip in clips)
        part = part_measured(split, seconds)
        report = PriorReport(
            split=split,
            songs=names_of_songs,
            seconds=seconds,
            codec=codec.fingerprint,
            sound=sound.description(),
            priors=tuple(figures),
            comparison=comparison(judged, work.rows),
            differences=differences(judged, work.rows, work.simple_lines),
            by_song=song_figures(judged, work.rows, part, names_of_songs),
        )
        write_json(files["json"], asdict(report))
        files["md"].write_text(report_markdown(report), encoding="utf-8", errors="replace")
        draw_report(report, files["png"])
        if audio:
            audio.write_figures(files, judged)
    return report


@dataclass(frozen=True, eq=False)
class _Work:
    """What is evaluated on what.

    Attributes:
        codec: the codec of the clips.
        sound: what renders the lines.
        priors: the priors.
        clips: the clips.
        mixed: the same clips with their stems; empty where there are no stems.
        baselines: whether simple lines are judged, too.
        markov: what draws one of these; None where no training song teaches it.
        naive: a plain encoder-decoder that writes one of these; None where there is none.
    """

    codec: Codec
    sound: BassSound
    priors: Sequence[NamedPrior]
    clips: Sequence[Clip]
    mixed: Sequence[MixedClip]
    baselines: bool = False
    markov: MarkovLine | None = None
    naive: NaivePrior | None = None

    @property
    def simple_lines(self) -> list[str]:
        """The names of the simple lines that are judged."""
        written = [ROOTS, LAST_BARS, *([MARKOV] if self.markov else [])] if self.baselines else []
        return [*written, *([NAIVE] if self.naive else [])]

    @property
    def samplers(self) -> dict[str, ClipSampler]:
        """What samples the lines of each prior, by its name."""
        return {
            each.name: ClipSampler(self.codec, each.prior, each.settings, self.sound)
            for each in self.priors
        }

    @property
    def rows(self) -> list[GeneratedRow]:
        """The rows of the comparison that the priors generate."""
        alone = len(self.priors) == 1
        return [
            GeneratedRow(generated_row(None if alone else each.name, mixed), each.name, mixed)
            for each in self.priors
            for mixed in (False, True)[: 2 if self.mixed else 1]
        ]

    @property
    def some(self) -> Sequence[Clip]:
        """The clips that the sections beside the comparison use."""
        return self.clips[:SECTION_CLIPS]

    @property
    def steps(self) -> int:
        """How often the progress bar advances."""
        steps = len(self.clips)
        for sampler in self.samplers.values():
            sampled_again = len(_note_guidances(sampler)) + len(GUIDANCES)
            steps += 2 * len(self.clips) + len(self.mixed) + (3 + sampled_again) * len(self.some)
        return steps


_Lines = Mapping[str, Sequence[ClipLine]]  # by the name of the row


def _sample(work: _Work, row: GeneratedRow, bar: ProgressBar) -> list[ClipLine]:
    """Sample a line for each clip, from its accompaniment or from what is left of its mixture."""
    sampler = work.samplers[row.prior]
    if row.from_mixture:
        return [sampler.sample(each.clip, mixed=each) for each in _tracked(work.mixed, bar)]
    return [sampler.sample(clip) for clip in _tracked(work.clips, bar)]


def _judge(
    work: _Work,
    lines: _Lines,
    audio: ClipAudio | None,
    files: Mapping[str, Path],
    bar: ProgressBar,
) -> dict[str, list[JudgedLine]]:
    """Judge every kind of bass line for each clip; the next clip lends another song's bass."""
    judged: dict[str, list[JudgedLine]] = {}
    samplers = work.samplers
    for index, clip in enumerate(_tracked(work.clips, bar)):
        mixed = work.mixed[index] if work.mixed else None
        other = work.clips[(index + 1) % len(work.clips)]
        generated = {
            row.name: samplers[row.prior].heard(clip, lines[row.name][index]) for row in work.rows
        }
        first = next(iter(samplers.values()))
        simple = _simple_lines(work, first, clip, other, lines) if work.baselines else {}
        if work.naive is not None:
            simple[NAIVE] = _naive_line(work.naive, first, clip)
        heard = compared_lines(first, clip, other, {**simple, **generated})
        if mixed:
            heard[TRUE] = HeardLine(mixed.bass, clip.true_notes)
        for name, line in judge_lines(heard, clip).items():
            judged.setdefault(name, []).append(line)
        if audio:
            true_bass = list(heard.values())[-1].sound
            rest = accompaniment_sound(clip, mixed, work.codec)
            audio.write(files, clip, rest, true_bass, generated)
    return judged


def _simple_lines(
    work: _Work, sampler: ClipSampler, clip: Clip, other: Clip, lines: _Lines
) -> dict[str, HeardLine]:
    """Play simple lines on the bars and chords that the first prior heard in a clip."""
    heard = lines[work.rows[0].name][clip.number].line
    theirs = sampler.bars_of(other.song)
    line = GridNotes.quantise(known_line(other.song) or [], theirs)
    written = {
        ROOTS: roots_on_beats(heard.chords, heard.grid),
        LAST_BARS: last_bars(line, theirs, heard.grid),
    }
    if work.markov is not None:
        seed = sampler.settings.seed + clip.number
        written[MARKOV] = work.markov.draw(heard.chords, heard.grid, seed)
    return {
        name: sampler.perform(clip, notes.played(heard.grid)) for name, notes in written.items()
    }


def _naive_line(naive: NaivePrior, sampler: ClipSampler, clip: Clip) -> HeardLine:
    """Sample the codes of a line without notes, and render them."""
    seed = sampler.settings.seed + clip.number
    return sampler.render(clip, sample_codes(naive, clip.accompaniment, sampler.settings, seed))


def _markov_line(codes: Path, clips: Sequence[Clip]) -> MarkovLine | None:
    """Learn from the training songs in the folder, but not from those that are evaluated."""
    evaluated = {(clip.song.split, clip.song.track) for clip in clips}
    files = read_manifest(codes).files.of_split("train")
    step = max(1, len(files) // MARKOV_SONGS)
    songs = (SongCodes.load(path) for path in files[::step])
    return MarkovLine.learn(song for song in songs if (song.split, song.track) not in evaluated)


def _measure_prior(
    work: _Work, named: NamedPrior, lines: _Lines, judged: Judged, bar: ProgressBar
) -> PriorFigures:
    """Measure one prior: how well it predicts the true bass, and each step of generation."""
    likelihoods = _likelihoods(named.prior, work.clips, bar)
    own = {
        GENERATED_FROM_MIXTURE if row.from_mixture else GENERATED: row.name
        for row in work.rows
        if row.prior == named.name
    }
    last = list(judged)[-1]
    sections = _sections(
        work,
        work.samplers[named.name],
        likelihoods,
        lines[own[GENERATED]],
        {name: judged[row] for name, row in own.items()} | {last: judged[last]},
        bar,
    )
    return PriorFigures(
        name=named.name,
        fingerprint=named.prior.fingerprint,
        settings=named.settings,
        seeds=tuple(named.settings.seed + clip.number for clip in work.clips),
        window_seconds=named.prior.config.performer.window_seconds,
        likelihood=likelihood_figures(likelihoods),
        sections=sections,
    )


def _sections(
    work: _Work,
    sampler: ClipSampler,
    likelihoods: Sequence[Likelihood],
    lines: Sequence[ClipLine],
    judged: Judged,
    bar: ProgressBar,
) -> tuple[Section, ...]:
    """Answer the questions of the report about one prior, whose lines are given."""
    some = work.some
    pitch_match = {
        scale: [
            given_notes_pitch_match(sampler, clip, note_guidance=scale)
            for clip in _tracked(some, bar)
        ]
        for scale in _note_guidances(sampler)
    }
    guided = {
        scale: [guided_figures(sampler, clip, guidance=scale) for clip in _tracked(some, bar)]
        for scale in GUIDANCES
    }
    equal = [equal_codes(sampler, clip, lines[clip.number]) for clip in _tracked(some, bar)]
    sections = [
        codec_section([codec_pitch_match(sampler, clip) for clip in _tracked(some, bar)]),
        listener_section(likelihoods),
        bars_section(*bar_figures(work.clips, lines)),
        next_code_section(likelihoods),
        given_notes_section(pitch_match),
        continuation_section([continuation_figures(sampler, clip) for clip in _tracked(some, bar)]),
        generation_section(judged, equal),
    ]
    if work.mixed:
        sections.append(
            bass_removal_section(judged, [clip.own_bass is not None for clip in work.mixed])
        )
    sections.append(guidance_section(guided))
    return tuple(sections)


def _likelihoods(prior: Prior, clips: Sequence[Clip], bar: ProgressBar) -> list[Likelihood]:
    """Measure the likelihood of each song; the next song lends the shuffled accompaniment."""
    songs = [clip.song for clip in clips]
    others = [*songs[1:], songs[0]]
    pairs = _tracked(list(zip(songs, others, strict=True)), bar)
    return [song_likelihood(prior, song, other) for song, other in pairs]


def _note_guidances(sampler: ClipSampler) -> list[float]:
    """Return the note guidances to compare: that of the model itself, and that of the settings."""
    return list(dict.fromkeys((1.0, sampler.settings.note_guidance)))


def _tracked(items: Iterable[T], bar: ProgressBar) -> Iterator[T]:
    """Advance the progress bar after each item."""
    for item in items:
        yield item
        bar.advance()
