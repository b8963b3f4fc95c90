"""Generate a bass line for a song: everything that `generate-bass` does.

    song -> without its bass -> codes of the accompaniment -> bars, chords, notes, codes -> sound

The files are those of delivery.py.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from shared.atomic import files_together, full_disk_said
from shared.codes.codec import Codec, Codes
from shared.disk_space import require_space
from shared.errors import require
from shared.estimate import Step
from shared.heap import return_large_blocks
from shared.json_files import write_json
from shared.music.bar_tracking import BarHints
from shared.music.key_estimation import key_of_chords
from shared.music.midi import MidiScore, Timing, write_midi
from shared.music.notes import Note
from shared.outputs import sole_writer
from shared.plots import save_generation_picture
from shared.reporting import Result
from shared.sound.encoding import Encoding
from shared.sound.sliced import scratch_folder
from shared.version import versions
from stage2_prior.accompaniment import PreparedSong, prepare_song
from stage2_prior.bass_sound import BassSound, PlainSound, SoundFontSound
from stage2_prior.chord_line import describe_placement, names_file
from stage2_prior.composer.features import require_known
from stage2_prior.composer.sampling import E1, G3, require_range
from stage2_prior.delivery import SOUNDS, Delivery
from stage2_prior.edits import Edits, GivenBass, given_bass
from stage2_prior.generation_report import (
    line_figures,
    sha256,
    sound_figures,
)
from stage2_prior.harmony import Harmony, HarmonySource
from stage2_prior.heard_song import SongEvidence
from stage2_prior.line_codes import codes_of_line
from stage2_prior.line_sound import LineSound, StayingBass, listening, render_line
from stage2_prior.mixing import Mix, SongFile
from stage2_prior.model import Prior
from stage2_prior.music_figures import music_figures
from stage2_prior.peaks import tame_peaks
from stage2_prior.performer.tone import TONES, UNKNOWN_TONE
from stage2_prior.sampling import (
    GeneratedBass,
    SamplingSettings,
    Wishes,
    generate,
    generate_all,
)
from stage2_prior.steps import (
    ENCODE,
    FIND_BASS,
    HEAR,
    MOST_TAKES,
    READ,
    RENDER,
    WRITE_FILES,
    WRITE_LINE,
)
from stage2_prior.summary import Summary

OnStep = Callable[[str, float | None], None]

LONG_SECONDS = 1200.0  # songs that are longer have to save memory


@dataclass(frozen=True)
class ArrangeOptions:
    """What to do with the song.

    Attributes:
        remove_bass: whether to remove the song's own bass first; None removes it if the song has
            one (accompaniment.py).
        edits: what the user fixes of the new line.
        hints: what the user knows of the bars.
        harmony: where the chords come from.
        lowest: the lowest pitch of the line, as a MIDI number.
        highest: the highest pitch.
        tone: how the bass sounds, one of TONES.
        midi_timing: whether the MIDI file has the notes on the grid, as they are played, or both.
        bass_level: by how many dB the new bass is louder than it would be otherwise.
        keep_all: whether all candidates are performed and written, and not only the best.
        delivery: how the files are written.

    Raises:
        UserError: two options exclude each other, or the range or the tone does not exist.
    """

    remove_bass: bool | None = None
    edits: Edits = field(default_factory=Edits)
    hints: BarHints = field(default_factory=BarHints)
    harmony: Harmony = field(default_factory=Harmony)
    lowest: int = E1
    highest: int = G3
    tone: str = TONES[UNKNOWN_TONE]
    midi_timing: Timing = "grid"
    bass_level: float = 0.0
    keep_all: bool = False
    delivery: Delivery = field(default_factory=Delivery)

    def __post_init__(self) -> None:
        """Check that the options go together and exist."""
        require(
            self.edits.midi is None or self.harmony.source is not HarmonySource.GIVEN,
            "a MIDI line and chords exclude each other: give one of them",
        )
        require_range(self.lowest, self.highest)
        require(self.tone in TONES, f"there is no tone '{self.tone}': give {', '.join(TONES)}")

    def called(self, name: str) -> "ArrangeOptions":
        """Return the same options with another name of the files."""
        return replace(self, delivery=replace(self.delivery, name=name))


@dataclass(frozen=True)
class Arrangement:
    """What `generate_bass` leaves.

    Attributes:
        files: the files by kind: bass, backing, mix, midi, codes, picture and json.
        notes: the notes of the new line.
        timings: seconds that each step took.
        figures: the content of NAME.json.
        summary: what is known of the song and of its new bass.
    """

    files: dict[str, Path]
    notes: tuple[Note, ...]
    timings: dict[str, float]
    figures: dict[str, Any]
    summary: Summary

    @property
    def result(self) -> Result:
        """What is reported of it."""
        facts = {"timings": self.timings, "said": self.summary.rows}
        return Result(self.figures["song"], self.files, self.summary.rows, facts)


@dataclass(frozen=True, eq=False)
class _Session:
    """What all takes of a song have in common.

    Attributes:
        read: the song.
        prepared: the song without its bass.
        codes: the codes of that `[S, H, T]`.
        given: what the user gives of the line.
        codec: the codec.
        prior: the prior.
        settings: how lines are written.
        options: what is done with the song.
        sound: renders the lines.
        encoding: the form in which their sound is written.
        folder: where long sounds are kept.
    """

    read: SongFile
    prepared: PreparedSong
    codes: Codes
    given: GivenBass
    codec: Codec
    prior: Prior
    settings: SamplingSettings
    options: ArrangeOptions
    sound: BassSound
    encoding: Encoding
    folder: Path


def generate_bass(
    song: Path,
    out: Path,
    codec: Codec,
    prior: Prior,
    settings: SamplingSettings,
    options: ArrangeOptions | None = None,
    sound: BassSound | None = None,
    on_step: OnStep | None = None,
) -> Arrangement:
    """Generate a bass line for a song, and write its files into the folder `out`, all or none.

    It does what `generate_takes` does, and returns the take that fits the song best.

    Raises:
        UserError: see `generate_takes`.
    """
    return generate_takes(song, out, codec, prior, settings, options, sound, on_step)[0]


def generate_takes(
    song: Path,
    out: Path,
    codec: Codec,
    prior: Prior,
    settings: SamplingSettings,
    options: ArrangeOptions | None = None,
    sound: BassSound | None = None,
    on_step: OnStep | None = None,
) -> tuple[Arrangement, ...]:
    """Generate bass lines for a song, and write their files into the folder `out`, all or none.

    There is one line, or with `options.keep_all` one for each candidate, the best first.

    The level of a bass is brought into the prior's range (balance.py), unless the song's own bass
    stays in a part of the song; the new bass then has the level at which it continues that one.
    What is done where the files would clip, peaks.py says; NAME.json says what was done.

    What the listener hears is multiplied with what is heard in the song's own bass (own_bass.py).
    If a recogniser is installed, it names chords in the whole song, which are multiplied with both
    (shared/music/chord_recogniser.py).

    Where the song's own bass is kept, its own sound is used and not its decoded codes, and the mix
    is the song, sample for sample.

    Args:
        song: an audio file.
        out: the folder to write to.
        codec: the codec of the prior.
        prior: writes the lines.
        settings: how they are written.
        options: what is done with the song.
        sound: renders the lines; without it the codec decodes them.
        on_step: is told when a step begins: its name (steps.py), and how many seconds the song
            lasts, once that is known.

    Raises:
        UserError: the song cannot be read or is shorter than a frame, an edit does not fit it, a
            file cannot be written or would replace another one, or the prior was trained on the
            codes of another codec.
    """
    options = options or ArrangeOptions()
    sound = sound or PlainSound(codec)
    prior.require_codec(codec)
    require_known(settings.source_guidance, prior.format.sources)
    watch, inputs = _Stopwatch(on_step), _inputs(options, sound)
    for path in inputs:
        require(path.is_file(), f"there is no file {path}: check the path")
    numbers: list[int | None] = [None]
    if options.keep_all:
        require(
            settings.candidates <= MOST_TAKES,
            f"{settings.candidates} takes are too many to keep: give --candidates {MOST_TAKES} or "
            "fewer",
        )
        numbers = [*range(1, settings.candidates + 1)]
    paths = [options.delivery.checked_paths(song, out, inputs, number) for number in numbers]
    folder = scratch_folder(out)
    with watch(READ), full_disk_said(folder):
        read = SongFile.read(song, codec, folder)
    encoding = Encoding.for_song(options.delivery.container, options.delivery.bits, read.wide)
    written = len(paths) * len(SOUNDS)
    shape = (min(read.channels, 2), read.stereo.shape[-1])
    require_space(folder, written * encoding.least_bytes(shape))
    watch.song_seconds = read.stereo.shape[-1] / read.sample_rate
    if watch.song_seconds > LONG_SECONDS:
        return_large_blocks()
    with ExitStack() as stack:
        stack.enter_context(sole_writer(out, options.delivery.name_of(song)))
        for number in numbers:  # another process may have written them meanwhile
            options.delivery.checked_paths(song, out, inputs, number)
        temporary = [stack.enter_context(files_together(each)) for each in paths]
        with watch(FIND_BASS):
            prepared = prepare_song(read.mixture, codec, options.remove_bass, folder)
        with watch(ENCODE):
            codes = codec.encode(prepared.heard)
            given = given_bass(options.edits, prepared, codec)
        with watch(HEAR):
            evidence = SongEvidence.of_sound(
                read.mixture,
                prepared,
                codec.sample_rate,
                harmony=options.harmony.source is HarmonySource.AUTO,
            )
        session = _Session(
            read=read,
            prepared=prepared,
            codes=codes,
            given=given,
            codec=codec,
            prior=prior,
            settings=settings,
            options=options,
            sound=sound,
            encoding=encoding,
            folder=folder,
        )
        lines = _lines(session, evidence)
        made = []
        for final, files in zip(paths, temporary, strict=True):
            with watch(WRITE_LINE):
                line = next(lines)
            made.append(_deliver(session, line, final, files, watch))
        # Until all other files have their names, no JSON file says that they are there.
        for each in paths:
            each["json"].unlink(missing_ok=True)
    return tuple(made)


def _lines(session: _Session, evidence: SongEvidence) -> Iterator[GeneratedBass]:
    """Write the lines, the best first."""
    options, codec = session.options, session.codec
    samples = session.prepared.accompaniment.shape[-1]
    wishes = _wishes(options, session.given)
    heard = listening(codec, samples, folder=session.folder)
    arguments = (session.prior, session.codes, session.settings, wishes, evidence, heard)
    if options.keep_all:
        yield from generate_all(*arguments)
    else:
        yield generate(*arguments)


def _deliver(
    session: _Session,
    line: GeneratedBass,
    final: Mapping[str, Path],
    files: Mapping[str, Path],
    watch: "_Stopwatch",
) -> Arrangement:
    """Render a line and write its files under the temporary paths `files`."""
    read, prepared, codec, options = session.read, session.prepared, session.codec, session.options
    delivery, encoding, rate = options.delivery, session.encoding, read.sample_rate
    key = key_of_chords(line.chords)
    with watch(RENDER):
        bass = _render(line, session)
        mix = Mix.of(read, prepared, bass.sound, codec, session.folder)
    with watch(WRITE_FILES):
        tamed = tame_peaks(mix.sounds, rate, delivery.peaks, session.folder)
        for kind, part in tamed.parts.items():
            encoding.write(files[kind], part, rate)
        name = final["json"].stem
        score = MidiScore(line.grid, key, line.chords)
        write_midi(files["midi"], line.played, score, options.midi_timing)
        coded = codes_of_line(name, session.codes, line, key, bass.sound, prepared.gain, codec)
        coded.save(files["codes"])
        save_generation_picture(
            files["picture"], mix.rest, mix.bass, rate, line.played, name, line.grid, line.chords
        )
        figures: dict[str, Any] = {
            "name": delivery.name_of(read.path),
            **sound_figures(read, prepared, mix),
            "encoding": asdict(encoding),
            "peaks": asdict(tamed.report),
            "balance": bass.balance,
            "level_beside_song_db": bass.level,
            **music_figures(line.grid, line.chords, key),
            **line_figures(line),
            "seed": session.settings.seed,
            "settings": asdict(session.settings),
            "options": _options(options),
            "sound": session.sound.description(),
            "checkpoints": {
                "codec": codec.fingerprint,
                "prior": session.prior.fingerprint,
            },
            "versions": versions(),
            "files": {kind: path.name for kind, path in final.items()},
            "sha256": {kind: sha256(path) for kind, path in files.items() if kind != "json"},
        }
        write_json(files["json"], figures)
    chords_are_given = options.harmony.source is HarmonySource.GIVEN
    summary = Summary(
        notes=line.played,
        silent=figures["silent"],
        grid=line.grid,
        key=key,
        chords=line.chords,
        placement=describe_placement(line.chords, line.grid) if chords_are_given else None,
        search=prepared.search,
        bass_removed=prepared.bass is not None,
        level=bass.level,
        checked=line.checked,
        fits=line.fits,
        rank=line.rank,
        loudness=figures["loudness_lufs"],
        written=f"{encoding}, {rate} Hz, {_channels(read)}",
        peaks=tamed.report.sentence(encoding.is_float),
    )
    return Arrangement(dict(final), line.played, dict(watch.seconds), figures, summary)


def _inputs(options: ArrangeOptions, sound: BassSound) -> list[Path]:
    """List the files that are read beside the song."""
    edits = options.edits
    named = [edits.prompt, edits.style, edits.midi]
    if options.harmony.chords is not None and names_file(options.harmony.chords):
        named.append(Path(options.harmony.chords))
    if isinstance(sound, SoundFontSound):
        named.append(sound.path)
    return [path for path in named if path is not None]


def _options(options: ArrangeOptions) -> dict[str, Any]:
    """Return the options on which the result depends."""
    chosen = asdict(options)
    del chosen["delivery"]["force"]
    return chosen


def _channels(song: SongFile) -> str:
    """Say how many channels are written, and why not others."""
    if song.channels > 2:
        return f"stereo (mixed down from {song.channels} channels)"
    return "mono" if song.channels == 1 else "stereo"


def _wishes(options: ArrangeOptions, given: GivenBass) -> Wishes:
    return Wishes(
        hints=options.hints,
        harmony=options.harmony,
        lowest=options.lowest,
        highest=options.highest,
        tone=TONES.index(options.tone),
        fixed=given.tokens,
        lead=given.lead,
    )


def _render(line: GeneratedBass, session: _Session) -> LineSound:
    """Turn a line into sound.

    Where the song's own bass stays, its sound is faded in and out within one frame.
    """
    song, given, codec = session.prepared, session.given, session.codec
    staying = None
    if song.bass is not None and given.kept.any():
        staying = StayingBass(song.bass, given.kept, codec.hop)
    return render_line(
        line,
        song.accompaniment,
        codec.sample_rate,
        song.gain,
        session.sound,
        session.prior.balance,
        session.options.bass_level,
        staying,
        session.folder,
    )


class _Stopwatch:
    """Tells a listener that steps begin, and keeps the seconds that each of them took."""

    def __init__(self, on_step: OnStep | None) -> None:
        self.seconds: dict[str, float] = {}
        self.song_seconds: float | None = None
        self._on_step = on_step

    @contextmanager
    def __call__(self, step: Step) -> Iterator[None]:
        if self._on_step is not None:
            self._on_step(step.name, self.song_seconds)
        started = time.perf_counter()
        yield
        passed = time.perf_counter() - started
        self.seconds[step.name] = round(self.seconds.get(step.name, 0.0) + passed, 3)
