"""The command line: one function for each command.

Every heavy import is inside a function, so that help appears at once.
"""

import dataclasses
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar

try:
    import typer

    from shared.commands import Commands, command, option, repeated
    from shared.errors import UserError
    from shared.folders import require_no_file_in_the_way
except KeyboardInterrupt:  # These imports take most of the time until a command begins.
    print("stopped: nothing was begun", file=sys.stderr)
    raise SystemExit(130) from None

if TYPE_CHECKING:
    from shared.codes.codec import Codec
    from shared.music.bar_tracking import BarHints
    from stage2_prior.arrange import Arrangement
    from stage2_prior.bass_sound import BassSound
    from stage2_prior.delivery import Delivery
    from stage2_prior.harmony import Harmony
    from stage2_prior.studio.band import Band

T = TypeVar("T")

app = typer.Typer(
    cls=Commands,
    no_args_is_help=True,
    rich_markup_mode=None,  # Help in rich's colours takes half a second.
    pretty_exceptions_enable=False,
)
codes_app = typer.Typer(
    no_args_is_help=True, help="Show the codes of a song, edit them, or decode them."
)
app.add_typer(codes_app, name="codes")
config_app = typer.Typer(
    no_args_is_help=True, help="Show the settings of a preset, or compare those of two runs."
)
app.add_typer(config_app, name="config")


def tuned(help: str) -> Any:
    """Describe an option whose default is stored in the checkpoint of the prior."""
    return option(f"{help} The default is stored with the prior.")


def _not_a_file(path: Path) -> Path:
    """Refuse a file in the place of a folder before any work is done."""
    require_no_file_in_the_way(path)
    return path


def folder(help: str) -> Any:
    """Describe an option that names a folder for results."""
    return option(help, callback=_not_a_file)


Files = Annotated[Path, folder("Write the files into this folder.")]
Run = Annotated[Path, folder("Write the run into this folder.")]
Report = Annotated[Path, folder("Write the report into this folder.")]
Data = Annotated[
    Path,
    option("Read the songs in this folder: MUSDB18, MUSDB18-HQ, or a folder of stems per song."),
]
CodesFolder = Annotated[Path, option("Read the codes in this folder, which extract-codes wrote.")]
CodesFile = Annotated[Path, typer.Argument(help="Read this .codes.safetensors file.")]
Song = Annotated[Path, option("Read the song from this file: WAV, FLAC, OGG, MP3, M4A and others.")]
CodecPath = Annotated[
    Path | None,
    option(
        "Use the codec in this run folder or .safetensors file. The default is the shipped one."
    ),
]
BassDecoderPath = Annotated[
    Path | None,
    option(
        "Use the bass decoder in this run folder or .safetensors file. The default is the shipped "
        "one, if it fits the codec."
    ),
]
Sound = Annotated[
    str | None,
    option(
        "Render the line with the bass decoder (codes), with the codec's own decoder (paper), or "
        "with a SoundFont, as in FILE.sf2 or FILE.sf2:33. The default is codes, if there is a "
        "bass decoder for the codec.",
        metavar="SOUND",
    ),
]
PriorPath = Annotated[
    Path | None,
    option(
        "Use the prior in this run folder or .safetensors file. The default is the shipped one."
    ),
]
Device = Annotated[
    Literal["auto", "cpu", "cuda", "mps"],
    option("Compute on this device. auto takes the fastest one available."),
]
Resume = Annotated[
    Literal["auto", "never"],
    option("Continue a run that --out already holds (auto), or refuse to (never)."),
]
InitFrom = Annotated[
    Path | None, option("Take the first weights from this run folder or .safetensors file.")
]
Split = Annotated[Literal["train", "valid", "test"], option("Measure on the songs of this split.")]
Songs = Annotated[int | None, option("Use at most this many songs. The default is all songs.")]
Seconds = Annotated[
    float | None, option("Use this many seconds from the middle of each song. The default is all.")
]
Sources = Annotated[
    str | None, option("Use only these sources. The default is all sources.", metavar="A,B")
]
View = Annotated[
    Literal["mixture", "accompaniment", "without_bass", "alone"],
    option(
        "Take the codes of the whole song (mixture), of the song without its bass "
        "(accompaniment), of the song out of which the codec took the bass (without_bass), or of "
        "each source encoded by itself (alone)."
    ),
]
Force = Annotated[
    bool, option("Replace files that exist. Files that are read never are.", "--force")
]
Labels = Annotated[
    list[str] | None,
    repeated("Call the models so, in the order in which they are given.", "--label"),
]
Seed = Annotated[int, option("Seed the random numbers. The same seed gives the same result.")]


@dataclasses.dataclass(frozen=True)
class Settings:
    """The options of the commands that train."""

    preset: Annotated[str, option("Start from the settings of this preset.")] = "compact"
    config: Annotated[Path | None, option("Replace settings by those in this TOML file.")] = None
    overrides: Annotated[
        list[str] | None, repeated("Replace one setting.", "--set", metavar="A.B=VALUE")
    ] = None

    def load(self, cls: type[T], presets: Path) -> T:
        """Read the settings of a stage, whose presets are in the folder `presets`."""
        from shared.config import load_config

        return load_config(cls, presets, self.preset, self.config, self.overrides or ())


@dataclasses.dataclass(frozen=True)
class Sampling:
    """The options of the commands that generate bass lines."""

    seed: Seed = 0
    candidates: Annotated[
        int, option("Compose this many lines and play the one that fits the song best.")
    ] = 16
    temperature: Annotated[
        float | None, tuned("Set how freely the sound is drawn. 0 takes the most probable code.")
    ] = None
    note_temperature: Annotated[
        float | None, tuned("Set how freely the notes are drawn. 0 takes the most probable note.")
    ] = None
    top_k: Annotated[
        int | None, tuned("Draw from the K most probable values only. 0 draws from all.")
    ] = None
    top_p: Annotated[
        float | None,
        tuned("Draw from the most probable values whose probabilities add up to this."),
    ] = None
    min_p: Annotated[
        float | None, tuned("Leave out values below this share of the highest probability.")
    ] = None
    guidance: Annotated[
        float | None,
        tuned("Set how strongly the song decides the notes. 1 is as learned, 0 ignores it."),
    ] = None
    note_guidance: Annotated[
        float | None,
        tuned("Set how strongly the notes decide the sound. 1 is as learned, 0 ignores them."),
    ] = None
    guide: Annotated[
        list[str] | None,
        repeated("Set the guidance by one source in addition to --guidance.", metavar="SOURCE=X"),
    ] = None

    def given(self) -> dict[str, Any]:
        """Check the values, and return those that are given, by the names of SamplingSettings."""
        from stage2_prior.sampling import SamplingSettings

        named = dataclasses.asdict(self)
        named["source_guidance"] = _source_scales(named.pop("guide") or ())
        given = {name: value for name, value in named.items() if value is not None}
        SamplingSettings(**given)
        return given


def _print_version(wanted: bool) -> None:
    """Print the version and stop, if that is wanted."""
    if wanted:
        from shared.version import project_version

        print(f"bassprior {project_version()}")
        raise typer.Exit


@app.callback()
def bassprior(
    version: Annotated[
        bool,
        option("Print the version.", "--version", callback=_print_version, is_eager=True),
    ] = False,
) -> None:
    """Write a new bass line for a song, and train, inspect and compare the models that do it."""


@dataclasses.dataclass(frozen=True)
class Bars:
    """The options that say where the bars of a song are."""

    bpm: Annotated[
        float | None,
        option("Set the tempo in beats per minute. The default is what is heard.", metavar="BPM"),
    ] = None
    first_downbeat: Annotated[
        float | None,
        option(
            "Begin the first bar at this time. The default is what is heard.", metavar="SECONDS"
        ),
    ] = None
    meter: Annotated[
        str | None,
        option("Set the time signature. The default is what is heard.", metavar="3/4"),
    ] = None

    def hints(self) -> "BarHints":
        """Check the values and join them."""
        from shared.music.bar_tracking import BarHints, parse_meter

        meter = None if self.meter is None else parse_meter(self.meter)
        return BarHints(self.bpm, self.first_downbeat, meter)


@dataclasses.dataclass(frozen=True)
class Shape:
    """The options that shape a line: its harmony, its range and its tone."""

    chords: Annotated[
        str | None,
        option(
            'Play these chords from the first bar on: a bar each, as in "Am F C G", or as written, '
            'as in "Am | F G | C", or from a file of times and symbols.'
        ),
    ] = None
    harmony: Annotated[
        Literal["auto", "off"],
        option("Let the chords that are heard weigh the choice of notes, or not."),
    ] = "auto"
    lowest: Annotated[str, option("Play no pitch below this one.", metavar="PITCH")] = "E1"
    highest: Annotated[str, option("Play no pitch above this one.", metavar="PITCH")] = "G3"
    tone: Annotated[
        Literal["unknown", "fingered", "picked", "slap", "fretless", "upright", "synth"],
        option("Play with this tone. The default leaves it to chance."),
    ] = "unknown"

    def chosen_harmony(self) -> "Harmony":
        """Check the chords."""
        from stage2_prior.harmony import Harmony

        return Harmony.parse(self.harmony if self.chords is None else self.chords)


@dataclasses.dataclass(frozen=True)
class Writing:
    """The options that say how the files of a song are written."""

    name: Annotated[
        str | None,
        option("Call the files NAME.bass.wav and so on. The default is the song's name."),
    ] = None
    audio_format: Annotated[
        Literal["wav", "flac"], option("Write the sounds in this format.", "--format")
    ] = "wav"
    bits: Annotated[
        Literal["16", "24", "32f"] | None,
        option(
            "Write samples of so many bits, or floating-point numbers (32f). The default is 24, or "
            "32f where the song has more."
        ),
    ] = None
    bass_level: Annotated[
        str | None,
        option("Make the new bass this much louder, or softer, than it would be.", metavar="-3dB"),
    ] = None
    limit: Annotated[
        bool,
        option(
            "Where the files would clip, soften only the peaks with a true-peak limiter. The "
            "default is to make all files softer by the same amount.",
            "--limit",
        ),
    ] = False
    no_rescale: Annotated[
        bool, option("Leave all levels as they are, even where the files clip.", "--no-rescale")
    ] = False
    force: Force = False

    def delivery(self) -> "Delivery":
        """Check the values and join them."""
        from stage2_prior.delivery import Delivery

        if self.limit and self.no_rescale:
            raise UserError("--limit and --no-rescale exclude each other: give one of them")
        peaks: Any = "limit" if self.limit else "keep" if self.no_rescale else "rescale"
        return Delivery(self.audio_format, self.bits, self.name, self.force, peaks)

    def bass_change(self) -> float:
        """Return by how many dB the bass is to be louder."""
        from shared.sound.decibels import parse_decibels

        return 0.0 if self.bass_level is None else parse_decibels(self.bass_level)


@command(app)
def generate_bass(
    song: Annotated[
        list[str] | None,
        repeated(
            "Read a song from this file: WAV, FLAC, OGG, MP3, M4A and others. A folder stands for "
            'the songs in it, and a pattern such as "mixes/*.wav" for those that fit.',
            metavar="FILE",
        ),
    ] = None,
    out: Files = Path("new_bass"),
    repeat: Annotated[
        Path | None,
        option(
            "Write the same files again that this NAME.json of generate-bass describes.",
            "--from",
            metavar="NAME.json",
        ),
    ] = None,
    sampling: Sampling = Sampling(),
    bars: Bars = Bars(),
    shape: Shape = Shape(),
    writing: Writing = Writing(),
    midi_in: Annotated[Path | None, option("Play the notes of this MIDI file.")] = None,
    prompt: Annotated[Path | None, option("Begin with this recording of a bass.")] = None,
    style: Annotated[
        Path | None,
        option("Continue from this recording of a bass, which is not part of the result."),
    ] = None,
    keep: Annotated[
        list[str] | None,
        repeated("Keep the song's own bass only in this range of time.", metavar="FROM-TO"),
    ] = None,
    keep_all: Annotated[
        bool,
        option("Perform and write all candidates as takes, ranked by their fit.", "--keep-all"),
    ] = False,
    redo: Annotated[
        list[str] | None,
        repeated("Keep the song's own bass outside this range of time.", metavar="FROM-TO"),
    ] = None,
    remove_bass: Annotated[
        bool | None,
        option(
            "Remove the song's own bass first, or leave it in. The default is to remove it if "
            "the song has one.",
            "--remove-bass/--leave-bass",
        ),
    ] = None,
    sound: Sound = None,
    midi_timing: Annotated[
        Literal["grid", "played", "both"],
        option("Write the notes of the MIDI file on the grid, as they are played, or both."),
    ] = "grid",
    bass_decoder: BassDecoderPath = None,
    codec: CodecPath = None,
    prior: PriorPath = None,
    device: Device = "auto",
    quiet: Annotated[bool, option("Print only the names of the files.", "--quiet")] = False,
    as_json: Annotated[
        bool,
        option("Print progress and results as JSON, one object a line, for programs.", "--json"),
    ] = False,
) -> None:
    """Write a new bass line for a song.

    The files are the new bass, the song without its own bass, both together, the notes as MIDI with
    the bars and the chords of the song, the codes, a picture, and a JSON file with the settings and
    all that was measured.

    Examples:
      python cli.py generate-bass --song mix.wav
      python cli.py generate-bass --song mix.wav --seed 7 --candidates 4 --temperature 0.9
      python cli.py generate-bass --song mix.wav --candidates 4 --keep-all
      python cli.py generate-bass --song album --song "demos/*.mp3" --out basses
      python cli.py generate-bass --from new_bass/mix.json --out again
      python cli.py generate-bass --song mix.wav --chords "Am | F | C G" --bpm 96
      python cli.py generate-bass --song mix.wav --tone picked --lowest E1 --highest E2
      python cli.py generate-bass --song mix.wav --redo 0:30-0:45 --guide drums=2
      python cli.py generate-bass --song mix.wav --midi-in my_line.mid --sound bass.sf2:34
      python cli.py generate-bass --song mix.wav --format flac --bits 16 --bass-level -3dB --limit
    """
    from shared.reporting import reporting
    from stage2_prior.steps import LOAD_MODELS, LOAD_PROGRAM, ONCE, steps_of

    if repeat is not None:
        unusual = dataclasses.replace(writing, name=None, force=False)
        given = (sampling, bars, shape, unusual, midi_in, prompt, style, keep, redo, remove_bass)
        usual = (Sampling(), Bars(), Shape(), Writing(), *[None] * 6)
        if (*given, sound, midi_timing, keep_all) != (*usual, None, "grid", False):
            raise UserError(
                "--from repeats a run as it was: leave out the options that change the result"
            )
    elif not song:
        raise UserError("no song is named: give one with --song")

    with reporting(
        ONCE, steps_of(sampling.candidates if keep_all else 1), quiet, as_json
    ) as report:
        report.step(LOAD_PROGRAM.name)
        from shared.music.pitch_names import parse_pitch
        from shared.times import TimeRange
        from stage1_vqvae.codec import load_codec
        from stage2_prior.arrange import ArrangeOptions, Edits, generate_takes
        from stage2_prior.many import find_songs, names_of, write_songs
        from stage2_prior.model import load_prior
        from stage2_prior.repeat import Recipe
        from stage2_prior.sampling import SamplingSettings

        recipe = None if repeat is None else Recipe.read(repeat)
        kept, redone = (tuple(map(TimeRange.parse, ranges or ())) for ranges in (keep, redo))
        options = ArrangeOptions(
            remove_bass=remove_bass,
            edits=Edits(prompt, style, kept, redone, midi_in),
            hints=bars.hints(),
            harmony=shape.chosen_harmony(),
            lowest=parse_pitch(shape.lowest),
            highest=parse_pitch(shape.highest),
            tone=shape.tone,
            midi_timing=midi_timing,
            bass_level=writing.bass_change(),
            keep_all=keep_all,
            delivery=writing.delivery(),
        )
        songs = find_songs(song or ())
        if recipe is not None:
            songs, sound = [recipe.find_song(songs)], recipe.sound_option
            options = recipe.options_for(songs[0], writing.name, writing.force)
        if len(songs) > 1 and writing.name is not None:
            raise UserError(
                f"--name names the files of one song, but there are {len(songs)}: leave it out"
            )
        names = names_of(songs) if len(songs) > 1 else {}
        chosen = sampling.given()
        report.step(LOAD_MODELS.name)
        loaded = load_prior(prior, device)
        settings = recipe.settings if recipe else SamplingSettings.of(loaded, **chosen)
        coder = load_codec(codec, device)
        rendering = _rendering(sound, bass_decoder, coder, device)
        if recipe is not None:
            recipe.require_models(coder, loaded, rendering)

        def write(path: Path, name: str | None) -> "tuple[Arrangement, ...]":
            named = options if name is None else options.called(name)
            return generate_takes(path, out, coder, loaded, settings, named, rendering, report.step)

        outcomes = write_songs(songs, write, report, names)
        if recipe is not None:
            report.note(recipe.verdict(outcomes[0].takes))
    if any(outcome.error for outcome in outcomes):
        raise typer.Exit(1)


@command(app, continues=True)
def studio(
    out: Annotated[Path, folder("Keep the songs and takes in this folder.")] = Path("studio"),
    port: Annotated[int, option("Serve the page on this port. 0 takes a free one.")] = 8765,
    show: Annotated[bool, option("Open the page in the browser.", "--open/--no-open")] = False,
    most_megabytes: Annotated[float, option("Refuse files that are larger.")] = 200.0,
    most_minutes: Annotated[float, option("Refuse songs that are longer.")] = 10.0,
    bass_decoder: BassDecoderPath = None,
    codec: CodecPath = None,
    prior: PriorPath = None,
    device: Device = "auto",
) -> None:
    """Serve a page in the browser to write bass lines with: hear, compare, redo and edit them.

    The page is reachable from this machine only. Ctrl-C ends it.

    Examples:
      python cli.py studio --open
      python cli.py studio --port 8000 --out my_songs --most-minutes 20
    """
    from functools import partial

    from stage2_prior.studio.run import run_studio

    for path in (codec, prior, bass_decoder):
        if path is not None and not path.exists():
            raise UserError(
                f"there is no checkpoint at {path}: give a run folder or a .safetensors file"
            )
    load = partial(_load_band, codec, prior, bass_decoder, device)
    run_studio(out, load, port, most_megabytes, most_minutes, show)


@command(app)
def train_vqvae(
    data: Data,
    out: Run = Path("runs/vqvae"),
    settings: Settings = Settings(),
    resume: Resume = "auto",
    init_from: InitFrom = None,
    device: Device = "auto",
) -> None:
    """Train stage 1, the codec that turns a mixture into codes.

    Examples:
      python cli.py train-vqvae --data MUSDB18
      python cli.py train-vqvae --data MUSDB18 --preset paper --out runs/paper --device cuda
      python cli.py train-vqvae --data stems --set train.steps=2000 --set loss.usage=0.05
    """
    from stage1_vqvae.config import PRESETS, VQVAEConfig
    from stage1_vqvae.train import train_vqvae

    config = settings.load(VQVAEConfig, PRESETS)
    print(train_vqvae(data, out, config, resume, device, init_from))


@command(app)
def check_data(
    data: Annotated[Path, typer.Argument(help="Check the songs in this folder.")],
    map: Annotated[
        list[str] | None,
        repeated(
            "Read this file as a source. It is noted in stems.toml in the folder, so that all "
            "commands read it.",
            "--map",
            metavar="SOURCE=FILE",
        ),
    ] = None,
) -> None:
    """Check a folder of songs before training on it.

    It is said what the splits are, how much disk space is needed, and which songs are unreadable,
    incomplete, silent, there twice, or not the sum of their stems. The exit code is 1 if anything
    is wrong.

    Examples:
      python cli.py check-data MUSDB18
      python cli.py check-data my_stems --map bass=BASS_DI.wav --map other=GTR.wav --map other=KEYS
    """
    from shared.songs.check import check_data
    from shared.songs.layouts import parse_names, write_names

    names = parse_names(map or ())
    if names:
        if not data.is_dir():
            raise UserError(f"there is no folder {data}; name a folder of songs")
        write_names(data, names)
    found = check_data(data)
    print(found.as_markdown(), end="")
    if not found.is_sound:
        raise typer.Exit(1)


@command(app, continues=True)
def extract_codes(
    data: Data,
    codec: CodecPath = None,
    out: Annotated[Path, folder("Write the codes into this folder.")] = Path("runs/codes"),
    transpose: Annotated[
        str,
        option(
            "Write training songs in every key from LOW to HIGH semitones up.", metavar="LOW..HIGH"
        ),
    ] = "0..0",
    tempo: Annotated[
        list[float] | None,
        repeated("Write training songs at this multiple of their tempo.", metavar="FACTOR"),
    ] = None,
    add: Annotated[
        bool, option("Keep the songs that --out already lists, beside those of --data.", "--add")
    ] = False,
    shard: Annotated[
        str, option("Encode only part K of N equal parts of the songs.", metavar="K/N")
    ] = "1/1",
    device: Device = "auto",
) -> None:
    """Write the codes of every song in a folder.

    Where songs cannot be used, the others are finished, the reasons are printed at the end, and the
    exit code is 1. Codes that are already there and up to date are left alone, so the same command
    continues a run that was stopped, and tries songs again that failed. Several machines that share
    --out can encode a part each with --shard, and the processes of torchrun or of Slurm's srun
    divide the work among them.

    Examples:
      python cli.py extract-codes --data MUSDB18 --codec runs/vqvae
      python cli.py extract-codes --data MUSDB18 --codec runs/vqvae --transpose -3..3
      python cli.py extract-codes --data stems --out codes --tempo 0.9 --tempo 1 --tempo 1.1
      python cli.py extract-codes --data stems --out codes --shard 2/8
      torchrun --nproc_per_node=4 cli.py extract-codes --data stems --out codes
    """
    from shared.processes import find_processes, wait_for_all
    from shared.shard import Shard
    from shared.songs.augment import Variation
    from stage1_vqvae.codec import load_codec
    from stage1_vqvae.extract import extract_codes

    variations = [Variation(key, pace) for key in _semitones(transpose) for pace in tempo or [1.0]]
    processes = find_processes()
    part = Shard.parse(shard).divided(processes.rank, processes.world)
    done = extract_codes(data, load_codec(codec, device), out, variations, add, part)
    for song in done.failed:
        print(f"failed {song}", file=sys.stderr)
    print(
        f"{done.manifest}: {done.written} written, {done.current} already there, "
        f"{len(done.failed)} failed"
    )
    wait_for_all(processes)
    if done.failed:
        raise typer.Exit(1)


@command(app)
def train_bass_decoder(
    data: Data,
    codes: CodesFolder,
    codec: CodecPath = None,
    out: Run = Path("runs/bass-decoder"),
    settings: Settings = Settings(),
    resume: Resume = "auto",
    init_from: InitFrom = None,
    device: Device = "auto",
) -> None:
    """Train the bass decoder, which decodes the codes of a bass with its overtones.

    Examples:
      python cli.py train-bass-decoder --data MUSDB18 --codes runs/codes
      python cli.py train-bass-decoder --data band --codes runs/codes --codec runs/vqvae
    """
    from stage1_vqvae.bass_decoder.config import PRESETS, BassDecoderConfig
    from stage1_vqvae.bass_decoder.train import train_bass_decoder
    from stage1_vqvae.codec import load_codec

    config = settings.load(BassDecoderConfig, PRESETS)
    loaded = load_codec(codec, device)
    print(train_bass_decoder(data, codes, out, config, loaded, resume, device, init_from))


@command(app)
def train_prior(
    codes: CodesFolder,
    out: Run = Path("runs/prior"),
    settings: Settings = Settings(),
    resume: Resume = "auto",
    init_from: InitFrom = None,
    device: Device = "auto",
) -> None:
    """Train stage 2, the prior that writes the notes and codes of a bass.

    Its three parts are trained one after the other: the listener, the composer and the performer.

    Examples:
      python cli.py train-prior --codes runs/codes
      python cli.py train-prior --codes runs/codes --out runs/deep --set model.composer.depth=6
      python cli.py train-prior --codes my_codes --init-from runs/prior --out runs/tuned
    """
    from stage2_prior.config import PRESETS, PriorConfig
    from stage2_prior.train import train_prior

    config = settings.load(PriorConfig, PRESETS)
    print(train_prior(codes, out, config, resume, device, init_from))


@command(app)
def train_naive_prior(
    codes: CodesFolder,
    out: Run = Path("runs/naive-prior"),
    settings: Settings = Settings(),
    resume: Resume = "auto",
    device: Device = "auto",
) -> None:
    """Train a baseline for stage 2: a plain encoder-decoder on the codes alone, without notes.

    evaluate-prior --naive measures it beside priors.

    Examples:
      python cli.py train-naive-prior --codes runs/codes
      python cli.py train-naive-prior --codes runs/codes --set train.steps=20000
    """
    from stage2_prior.naive.train import PRESETS, NaiveConfig, train_naive_prior

    config = settings.load(NaiveConfig, PRESETS)
    print(train_naive_prior(codes, out, config, resume, device))


@command(app, continues=True)
def make_dataset(
    out: Annotated[Path, folder("Write the songs into this folder, which must hold no others.")],
    songs: Annotated[int, option("Compose this many songs.")] = 100,
    seed: Seed = 0,
    soundfont: Annotated[
        list[Path] | None,
        repeated("Render with this .sf2 or .sf3 file. The default is TimGM6mb.", metavar="FILE"),
    ] = None,
    midi: Annotated[Path | None, option("Also render the MIDI files in this folder.")] = None,
    chords: Annotated[
        list[Path] | None,
        repeated(
            "Also arrange the chord progressions in this file or folder: JSON lines or text.",
            metavar="FILE",
        ),
    ] = None,
    chord_songs: Annotated[
        int | None, option("Arrange this many of the progressions. The default is all.")
    ] = None,
    mma: Annotated[
        bool, option("Let Debian's program mma arrange all songs that are not MIDI files.", "--mma")
    ] = False,
    voice: Annotated[
        float,
        option("Let a voice sing the lead in this share of the songs, from 0 to 1. Needs pyworld."),
    ] = 0.0,
    records: Annotated[
        float,
        option(
            "Make this share of the songs, from 0 to 1, sound like records: with sampled drum "
            "kits, amplifiers and mastering."
        ),
    ] = 0.0,
    style: Annotated[list[str] | None, repeated("Compose in this style.", metavar="NAME")] = None,
    seconds: Annotated[
        float | None,
        option("Make songs of about this length, 8 or more, and cut rendered MIDI files to it."),
    ] = None,
    audio_format: Annotated[
        Literal["wav", "flac"], option("Write the stems in this format.", "--format")
    ] = "wav",
    shard: Annotated[
        str, option("Make only part K of N equal parts of the songs.", metavar="K/N")
    ] = "1/1",
    workers: Annotated[int, option("Render in this many processes.")] = 1,
) -> None:
    """Compose and render songs, to train without MUSDB18.

    Each song comes with its stems, chords, beats and bass notes. Songs are composed, arranged from
    chord progressions, or read from MIDI files. The same command continues a run that was stopped.

    Examples:
      python cli.py make-dataset --out band --songs 500 --seed 1 --workers 4
      python cli.py make-dataset --out band --songs 200 --soundfont FluidR3_GM.sf2
      python cli.py make-dataset --out midi_songs --songs 0 --midi my_midi_files --format flac
      python cli.py make-dataset --out real --songs 0 --chords songs.jsonl --mma --voice 0.5
      python cli.py make-dataset --out records --songs 500 --records 0.8 --workers 4
    """
    from shared.band.dataset import make_dataset
    from shared.shard import Shard

    report = make_dataset(
        out,
        songs,
        seed,
        soundfont or (),
        midi,
        mma,
        seconds,
        audio_format,
        style,
        workers,
        chords or (),
        chord_songs,
        voice,
        records,
        Shard.parse(shard),
    )
    for drop in report.dropped:
        print(f"dropped {drop}", file=sys.stderr)
    if not report.songs:
        raise UserError(
            f"no song was written to {out}: all {len(report.dropped)} were dropped for the reasons "
            "above; give other files, or ask for composed songs"
        )
    written, kept = len(report.songs) - report.kept, report.kept
    print(f"{out}: {written} written, {kept} already there, {len(report.dropped)} dropped")


@command(app)
def separate(
    song: Song,
    out: Files = Path("stems"),
    sources: Sources = None,
    mask: Annotated[
        bool,
        option(
            "Use the decoded sources as a mask on the song, or write them as they are.",
            "--mask/--no-mask",
        ),
    ] = True,
    force: Force = False,
    codec: CodecPath = None,
    device: Device = "auto",
) -> None:
    """Split a song into stems, which sum to it together with a residual.

    Examples:
      python cli.py separate --song mix.wav
      python cli.py separate --song mix.wav --sources bass,drums --no-mask --out rhythm
    """
    from shared.sources import SOURCES
    from stage1_vqvae.codec import load_codec
    from stage1_vqvae.separate import separate

    named = _names(sources) or SOURCES
    files = separate(song, out, load_codec(codec, device), named, mask, force)
    for path in dict.fromkeys((*files.stems.values(), files.mix, files.residual)):
        print(path)


@command(app)
def evaluate_vqvae(
    data: Data,
    codec: Annotated[
        list[Path] | None,
        repeated(
            "Measure the codec in this run folder or .safetensors file. The default is the shipped "
            "one. Several codecs are compared song by song."
        ),
    ] = None,
    label: Labels = None,
    out: Report = Path("runs/evaluate-vqvae"),
    split: Split = "test",
    songs: Songs = None,
    seconds: Seconds = None,
    museval: Annotated[
        bool, option("Also compute SIR, SAR and ISR with museval, which is slow.", "--museval")
    ] = False,
    bass_decoder: Annotated[
        Path | None, option("Also measure the bass as this bass decoder decodes it.")
    ] = None,
    device: Device = "auto",
) -> None:
    """Measure a codec: SDR, use of its codebooks, harmony in its codes, sound of its bass.

    Examples:
      python cli.py evaluate-vqvae --data MUSDB18
      python cli.py evaluate-vqvae --data band --codec runs/vqvae --songs 20 --seconds 30
      python cli.py evaluate-vqvae --data band --bass-decoder runs/bass-decoder
      python cli.py evaluate-vqvae --data band --codec runs/a --codec runs/b --label old --label new
    """
    from shared.model_names import name_models
    from stage1_vqvae.compare import compare_codecs
    from stage1_vqvae.evaluate import evaluate_vqvae

    paths: list[Path | None] = [*codec] if codec else [None]
    names = name_models(paths, label or (), "codec")
    if len(paths) == 1:
        report = evaluate_vqvae(
            data, paths[0], out, split, songs, seconds, museval, bass_decoder, device, names[0]
        )
        print(report.as_markdown(), end="")
        return
    if bass_decoder is not None:
        raise UserError("a bass decoder belongs to one codec: leave --bass-decoder out")
    codecs = dict(zip(names, paths, strict=True))
    print(compare_codecs(data, codecs, out, split, songs, seconds, museval, device), end="")


@command(app)
def compare(
    reports: Annotated[
        list[Path],
        typer.Argument(
            help="Compare the models of the reports in these folders.", metavar="REPORT..."
        ),
    ],
) -> None:
    """Compare models song by song, from reports of evaluate-vqvae or evaluate-prior.

    Only the songs that all of them were measured on count.

    Examples:
      python cli.py compare runs/evaluate-old runs/evaluate-new
      python cli.py compare reports/a reports/b reports/c > comparison.md
    """
    from shared.song_figures import comparison_table, read_reports

    print(comparison_table(read_reports(reports)))


@command(codes_app, name="show")
def codes_show(
    file: CodesFile,
    view: View = "mixture",
    frames: Annotated[int, option("Print the codes of this many frames.", min=1)] = 16,
    start: Annotated[str, option("Print the codes from this time on.", metavar="TIME")] = "0:00",
    picture: Annotated[
        Path | None, option("Draw all codes of the view into this PNG file.")
    ] = None,
    force: Force = False,
) -> None:
    """Show what a codes file holds.

    Examples:
      python cli.py codes show runs/codes/test/song.codes.safetensors
      python cli.py codes show a.codes.safetensors --view alone --start 0:30 --picture codes.png
    """
    from shared.codes.song_codes import SongCodes
    from shared.codes.views import frames_table, save_codes_picture, sources_table, summary_table
    from shared.console import console
    from shared.outputs import require_free
    from shared.times import parse_time

    require_free([] if picture is None else [picture], [file], force)
    song = SongCodes.load(file)
    console.print(summary_table(song))
    console.print(sources_table(song, view))
    console.print(frames_table(song, view, parse_time(start), frames))
    if picture is not None:
        save_codes_picture(picture, song, view)
        print(picture)


@command(codes_app, name="edit")
def codes_edit(
    file: CodesFile,
    out: Annotated[Path, option("Write the edited codes to this file.")],
    mute: Annotated[list[str] | None, repeated("Silence this source.", metavar="SOURCE")] = None,
    replace: Annotated[
        list[str] | None, repeated("Take this source from another song.", metavar="SOURCE=FILE")
    ] = None,
    splice: Annotated[
        str | None, option("Copy this range of time from --donor.", metavar="FROM-TO")
    ] = None,
    donor: Annotated[
        Path | None, option("Splice from this codes file. The default is the song itself.")
    ] = None,
    at: Annotated[
        str | None, option("Splice to this time. The default is the same time.", metavar="TIME")
    ] = None,
    shift: Annotated[
        float | None,
        option("Move what sounds later, or earlier if negative.", metavar="SECONDS"),
    ] = None,
    within: Annotated[
        str | None, option("Shift within this range only.", metavar="FROM-TO")
    ] = None,
    sources: Annotated[
        str | None, option("Splice and shift these sources only.", metavar="A,B")
    ] = None,
    force: Force = False,
    codec: CodecPath = None,
    device: Device = "auto",
) -> None:
    r"""Edit codes and write them to a new file.

    The edits are made in the order mute, replace, splice, shift.

    Examples:
      python cli.py codes edit a.codes.safetensors --mute vocals --out b.codes.safetensors
      python cli.py codes edit a.codes.safetensors --replace bass=b.codes.safetensors \
        --out c.codes.safetensors
      python cli.py codes edit a.codes.safetensors --splice 0:10-0:20 --at 0:40 \
        --out b.codes.safetensors
      python cli.py codes edit a.codes.safetensors --shift 0.5 --sources bass \
        --out b.codes.safetensors
    """
    from shared.codes.editing import CodeEdits, edit_file
    from stage1_vqvae.codec import load_codec

    named = _names(sources)
    edits = CodeEdits(mute or (), replace or (), splice, donor, at, shift, within, named)
    edit_file(file, out, edits, lambda: load_codec(codec, device), force)
    print(out)


@command(codes_app, name="decode")
def codes_decode(
    file: CodesFile,
    out: Annotated[Path, option("Write the sound to this WAV file.")],
    view: View = "mixture",
    sources: Sources = None,
    force: Force = False,
    codec: CodecPath = None,
    device: Device = "auto",
) -> None:
    """Turn codes into sound.

    The sound has the level of the song. It is made quieter as a whole where it would clip.

    Examples:
      python cli.py codes decode song.codes.safetensors --out song.wav
      python cli.py codes decode song.codes.safetensors --view alone --sources bass --out bass.wav
    """
    from shared.codes.decoding import decode_file
    from stage1_vqvae.codec import load_codec

    decode_file(file, out, load_codec(codec, device), view, _names(sources), force)
    print(out)


@command(config_app, name="show")
def config_show(
    preset: Annotated[str, typer.Argument(help="Show the settings of this preset.")],
    of: Annotated[
        Literal["train-vqvae", "train-bass-decoder", "train-prior", "train-naive-prior"],
        option("Show the preset of this command."),
    ] = "train-vqvae",
) -> None:
    """Show every setting of a preset, with the values that are allowed.

    The output is a TOML file, which can be changed and given to --config.

    Examples:
      python cli.py config show compact
      python cli.py config show compact --of train-prior > mine.toml
    """
    from shared.config import load_config
    from shared.config_text import as_toml
    from stage1_vqvae import config as vqvae
    from stage1_vqvae.bass_decoder import config as bass_decoder
    from stage2_prior import config as prior
    from stage2_prior.naive import train as naive

    kinds: dict[str, tuple[type, Path]] = {
        "train-vqvae": (vqvae.VQVAEConfig, vqvae.PRESETS),
        "train-bass-decoder": (bass_decoder.BassDecoderConfig, bass_decoder.PRESETS),
        "train-prior": (prior.PriorConfig, prior.PRESETS),
        "train-naive-prior": (naive.NaiveConfig, naive.PRESETS),
    }
    print(as_toml(load_config(*kinds[of], preset)), end="")


@command(config_app, name="diff")
def config_diff(
    run: Annotated[Path, typer.Argument(help="Compare this run folder or .safetensors file.")],
    other: Annotated[Path, typer.Argument(help="Compare it with this one.")],
) -> None:
    """Show the settings, commits and versions in which two runs differ: the first -> the other.

    Examples:
      python cli.py config diff runs/vqvae runs/paper
      python cli.py config diff runs/prior/composer runs/deep/composer
    """
    from shared.config_text import differences
    from shared.training.run_record import settings_of

    found = differences(settings_of(run), settings_of(other))
    for name, values in found.items():
        one, two = ("nothing" if value is None else value for value in values)
        print(f"{name}: {one} -> {two}")
    if not found:
        print("the settings are the same")


@command(app)
def evaluate_prior(
    codes: Annotated[
        Path | None,
        option(
            "Read the codes in this folder, which extract-codes wrote. The default is to extract "
            "them from the songs in --data into the folder codes in --out."
        ),
    ] = None,
    codec: CodecPath = None,
    prior: Annotated[
        list[Path] | None,
        repeated(
            "Measure the prior in this run folder or .safetensors file. The default is the shipped "
            "one. Several priors are compared song by song."
        ),
    ] = None,
    label: Labels = None,
    out: Report = Path("runs/evaluate-prior"),
    data: Annotated[
        Path | None,
        option("Read the songs in this folder, and also measure lines written for their mixtures."),
    ] = None,
    split: Annotated[
        Literal["train", "valid", "test", "all"],
        option("Measure on the songs of this split, or on all songs."),
    ] = "test",
    songs: Annotated[int, option("Use at most this many songs.")] = 40,
    seconds: Annotated[float, option("Use this many seconds of the middle of each song.")] = 20.0,
    save_audio: Annotated[
        Path | None,
        option("Write the clips, their new and their true basses into this folder, as WAV files."),
    ] = None,
    baselines: Annotated[
        bool,
        option(
            "Also measure simple lines: the roots of the chords, the end of another song, and a "
            "Markov line.",
            "--baselines",
        ),
    ] = False,
    naive: Annotated[
        Path | None,
        option("Also measure the plain encoder-decoder in this run folder or .safetensors file."),
    ] = None,
    sampling: Sampling = Sampling(),
    sound: Sound = None,
    bass_decoder: BassDecoderPath = None,
    device: Device = "auto",
) -> None:
    """Measure priors: how well their bass fits the song.

    Songs with known chords and beats, as make-dataset writes them, give all figures. Of other
    stems, a pitch tracker finds the notes of the bass, and figures that need chords or beats are
    left out.

    Examples:
      python cli.py evaluate-prior --codes runs/codes
      python cli.py evaluate-prior --codes runs/codes --prior runs/prior --codec runs/vqvae
      python cli.py evaluate-prior --data my_stems --split all --save-audio listen
      python cli.py evaluate-prior --codes runs/codes --prior runs/old --prior runs/new
      python cli.py evaluate-prior --codes runs/codes --baselines --naive runs/naive-prior
    """
    from shared.model_names import name_models
    from stage1_vqvae.codec import load_codec
    from stage1_vqvae.extract import extract_codes
    from stage2_prior.evaluate import NamedPrior, evaluate_prior
    from stage2_prior.model import load_prior
    from stage2_prior.naive.network import load_naive_prior
    from stage2_prior.prior_report import report_markdown
    from stage2_prior.sampling import SamplingSettings

    paths: list[Path | None] = [*prior] if prior else [None]
    names, given = name_models(paths, label or (), "prior"), sampling.given()
    loaded = [load_prior(path, device) for path in paths]
    named = [
        NamedPrior(name, each, SamplingSettings.of(each, **given))
        for name, each in zip(names, loaded, strict=True)
    ]
    coder = load_codec(codec, device)
    rendering = _rendering(sound, bass_decoder, coder, device)
    if codes is None:
        if data is None:
            raise UserError("there are no songs to measure on: give --codes or --data")
        codes = extract_codes(data, coder, out / "codes").manifest.parent
    plain = None if naive is None else load_naive_prior(naive, device)
    report = evaluate_prior(
        *(codes, coder, named, out, split, songs, seconds, data, rendering, save_audio),
        *(baselines, plain),
    )
    print(report_markdown(report), end="")


@command(app)
def ablate(
    data: Data,
    out: Annotated[Path, folder("Write the runs and the report into this folder.")] = Path(
        "runs/ablation"
    ),
    settings: Settings = Settings(),
    only: Annotated[list[str] | None, repeated("Train this variant only.", metavar="NAME")] = None,
    songs: Songs = None,
    seconds: Seconds = None,
    resume: Resume = "auto",
    device: Device = "auto",
) -> None:
    """Train stage 1 without single parts of its recipe, and compare.

    Examples:
      python cli.py ablate --data MUSDB18 --preset paper
      python cli.py ablate --data band --set train.steps=2000 --only "without complement"
    """
    from stage1_vqvae.ablate import ablate
    from stage1_vqvae.config import PRESETS, VQVAEConfig

    config = settings.load(VQVAEConfig, PRESETS)
    report = ablate(data, out, config, only or (), songs, seconds, resume, device)
    print(report.as_markdown(), end="")


@command(app)
def reproduce_paper(
    data: Data,
    out: Annotated[Path, folder("Write the runs and the report into this folder.")] = Path(
        "runs/paper"
    ),
    settings: Settings = Settings(preset="paper"),
    prior_preset: Annotated[
        str, option("Train the prior that writes the bass with the settings of this preset.")
    ] = "compact",
    songs: Songs = None,
    seconds: Seconds = None,
    resume: Resume = "auto",
    device: Device = "auto",
) -> None:
    """Repeat the paper's experiments, and put the figures beside the paper's.

    The codec is trained with the full loss, without STFT and without complement. Then come the
    table, the t-SNE of the vectors, a prior, and the spectrogram of a bass that it writes. It is
    said first how long that takes on a GPU.

    Examples:
      python cli.py reproduce-paper --data MUSDB18
      python cli.py reproduce-paper --data MUSDB18 --set train.steps=50000 --songs 10 --seconds 30
    """
    from shared.config import load_config
    from stage1_vqvae.codec import load_codec
    from stage1_vqvae.config import PRESETS, VQVAEConfig
    from stage1_vqvae.extract import extract_codes
    from stage1_vqvae.reproduce import reproduce_paper
    from stage2_prior.config import PRESETS as PRIOR_PRESETS
    from stage2_prior.config import PriorConfig
    from stage2_prior.example_bass import draw_example_bass
    from stage2_prior.model import load_prior
    from stage2_prior.train import train_prior

    config = settings.load(VQVAEConfig, PRESETS)
    prior_config = load_config(PriorConfig, PRIOR_PRESETS, prior_preset)

    def draw_bass(codec: Path, picture: Path) -> None:
        coder = load_codec(codec, device)
        codes = extract_codes(data, coder, out / "codes").manifest.parent
        path = train_prior(codes, out / "prior", prior_config, resume, device)
        draw_example_bass(data, coder, load_prior(path, device), picture)

    report = reproduce_paper(data, out, config, draw_bass, songs, seconds, resume, device)
    print(report.as_markdown(), end="")


@command(app)
def ablate_prior(
    codes: CodesFolder,
    out: Annotated[Path, folder("Write the runs and the report into this folder.")] = Path(
        "runs/ablation-prior"
    ),
    settings: Settings = Settings(),
    codec: CodecPath = None,
    prior: Annotated[
        Path | None,
        option(
            "Take parts away from the prior in this run folder or .safetensors file when it "
            "samples, and train nothing."
        ),
    ] = None,
    only: Annotated[
        list[str] | None,
        repeated("Measure this variant only, beside the full prior.", metavar="NAME"),
    ] = None,
    split: Annotated[
        Literal["train", "valid", "test", "all"],
        option("Measure on the songs of this split, or on all songs."),
    ] = "test",
    songs: Annotated[int, option("Use at most this many songs.")] = 40,
    seconds: Annotated[float, option("Use this many seconds of the middle of each song.")] = 20.0,
    sampling: Sampling = Sampling(),
    sound: Sound = None,
    bass_decoder: BassDecoderPath = None,
    resume: Resume = "auto",
    device: Device = "auto",
) -> None:
    """Train stage 2 and variants of it without single parts, and compare them song by song.

    Examples:
      python cli.py ablate-prior --codes runs/codes --codec runs/vqvae
      python cli.py ablate-prior --codes runs/codes --prior runs/prior --only "without the composer"
    """
    from stage1_vqvae.codec import load_codec
    from stage2_prior.ablate import Recipe, ablate_prior
    from stage2_prior.config import PRESETS, PriorConfig
    from stage2_prior.model import load_prior

    given = sampling.given()
    coder = load_codec(codec, device)
    rendering = _rendering(sound, bass_decoder, coder, device)
    full = (
        Recipe(settings.load(PriorConfig, PRESETS), resume, device)
        if prior is None
        else load_prior(prior, device)
    )
    report = ablate_prior(
        codes, coder, out, full, only or (), given, split, songs, seconds, rendering
    )
    print(report.as_markdown(), end="")


def _load_band(
    codec: Path | None, prior: Path | None, bass_decoder: Path | None, device: str
) -> "Band":
    """Load the models of the page, in the process that computes."""
    from functools import cache, partial

    from stage1_vqvae.bass_decoder.decode import find_bass_decoder
    from stage1_vqvae.codec import load_codec
    from stage2_prior.model import load_prior
    from stage2_prior.studio.band import Band

    coder = load_codec(codec, device)
    find_decoder = cache(partial(find_bass_decoder, bass_decoder, coder, device))
    return Band(coder, load_prior(prior, device), find_decoder)


def _rendering(
    sound: str | None, bass_decoder: Path | None, codec: "Codec", device: str
) -> "BassSound":
    """Return the sound that --sound and --bass-decoder ask for."""
    from stage1_vqvae.bass_decoder.decode import find_bass_decoder
    from stage2_prior.bass_sound import choose_sound, uses_bass_decoder

    if bass_decoder is not None and not uses_bass_decoder(sound):
        raise UserError(f"--sound {sound} uses no bass decoder: leave --bass-decoder out")
    return choose_sound(sound, codec, lambda: find_bass_decoder(bass_decoder, codec, device))


def _names(text: str | None) -> list[str] | None:
    """Split "A,B" into names."""
    return None if text is None else [name.strip() for name in text.split(",")]


def _semitones(text: str) -> range:
    """Read the semitones of "LOW..HIGH" or of a single number."""
    low, separator, high = text.partition("..")
    try:
        semitones = range(int(low), int(high if separator else low) + 1)
    except ValueError:
        semitones = range(0)
    if not semitones:
        raise UserError(f"--transpose '{text}' is not LOW..HIGH in semitones: write it as -3..3")
    return semitones


def _source_scales(texts: Sequence[str]) -> dict[str, float]:
    """Read several "SOURCE=X", each of another source."""
    scales: dict[str, float] = {}
    for text in texts:
        source, _, scale = text.partition("=")
        if source in scales:
            raise UserError(f"--guide names {source} more than once: name each source once")
        try:
            scales[source] = float(scale)
        except ValueError as error:
            raise UserError(f"--guide '{text}' is not SOURCE=X: write it as drums=2") from error
    return scales


def main() -> None:
    """Run the console script `bassprior`."""
    app()


if __name__ == "__main__":
    main()
