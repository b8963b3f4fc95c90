"""The command line: one function a command. Every heavy import lies inside a function, so that help is instant."""

import sys
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from typer.core import TyperGroup

from shared.errors import UserError


class Commands(TyperGroup):
    """Says a user's mistake in one sentence (exit code 2), and after Ctrl-C how to go on (130)."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except UserError as error:
            print(f"error: {error}", file=sys.stderr)
            raise typer.Exit(2) from error
        except KeyboardInterrupt as error:
            print("stopped: run the same command again to go on", file=sys.stderr)
            raise typer.Exit(130) from error


app = typer.Typer(
    cls=Commands,
    add_completion=False,
    no_args_is_help=True,
    rich_markup_mode=None,  # plain help: rich's costs half a second
    pretty_exceptions_enable=False,
)

codes_app = typer.Typer(no_args_is_help=True, help="Look into codes, change them, hear them.")
app.add_typer(codes_app, name="codes")

Preset = Annotated[str, typer.Option(help="Settings to start from: a name in presets/.")]
Config = Annotated[
    Path | None, typer.Option(help="A TOML file whose settings replace the preset's.")
]
Overrides = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="A.B=VALUE", help="Replace one setting; may be repeated."),
]
Device = Annotated[
    Literal["auto", "cpu", "cuda", "mps"],
    typer.Option(help="Where to compute; auto takes the fastest that is there."),
]
Resume = Annotated[
    Literal["auto", "never"],
    typer.Option(help="auto goes on with the run in --out; never refuses to touch one."),
]
InitFrom = Annotated[
    Path | None, typer.Option(help="A run or .safetensors file to take the first weights from.")
]
Data = Annotated[
    Path, typer.Option(help="Folder of songs: MUSDB18, MUSDB18-HQ, or a folder of stems a song.")
]
CodecPath = Annotated[
    Path | None, typer.Option(help="Run folder or .safetensors file; default: the shipped codec.")
]
PriorPath = Annotated[
    Path | None, typer.Option(help="Run folder or .safetensors file; default: the shipped prior.")
]
Song = Annotated[Path, typer.Option(help="The song: WAV, FLAC, OGG, MP3, M4A and others.")]
Split = Annotated[
    Literal["train", "valid", "test"], typer.Option(help="Which songs to measure on.")
]
Songs = Annotated[int | None, typer.Option(help="Only so many songs. Default: all.")]
Seconds = Annotated[float | None, typer.Option(help="Only so much of each. Default: all.")]
Sources = Annotated[str | None, typer.Option(metavar="A,B", help="Which sources. Default: all.")]
CodesFile = Annotated[Path, typer.Argument(help="A .codes.safetensors file.")]
View = Annotated[
    Literal["mixture", "accompaniment", "alone"],
    typer.Option(help="Codes of the mixture, of it without bass, or of every source alone."),
]
Temperature = Annotated[
    float, typer.Option(help="Of the sound; 0 takes the likeliest, more dares more.")
]
NoteTemperature = Annotated[float, typer.Option(help="Of the notes.")]
TopK = Annotated[int, typer.Option(help="Draw from the k likeliest only; 0: all.")]
TopP = Annotated[float, typer.Option(help="Draw from this much probability only.")]
MinP = Annotated[
    float, typer.Option(help="Leave out what is less likely than this share of the likeliest.")
]
Guidance = Annotated[float, typer.Option(help="How much the notes listen to the song; 1: plain.")]
NoteGuidance = Annotated[
    float, typer.Option(help="How much the sound keeps to the notes; 1: plain.")
]
Guide = Annotated[
    list[str] | None,
    typer.Option(metavar="SOURCE=X", help="As --guidance, for one source; may be repeated."),
]
Candidates = Annotated[
    int, typer.Option(help="Write this many lines and keep the one that fits the song best.")
]
Seed = Annotated[int, typer.Option(help="The same seed gives the same result.")]


@app.callback()
def bassprior() -> None:
    """Write a new bass line for a song; train, inspect and compare the models that do it."""


@app.command()
def generate_bass(
    song: Song,
    out: Annotated[Path, typer.Option(help="Folder for the files.")] = Path(),
    seed: Seed = 0,
    candidates: Candidates = 1,
    temperature: Temperature = 0.7,
    note_temperature: NoteTemperature = 0.7,
    top_k: TopK = 0,
    top_p: TopP = 1.0,
    min_p: MinP = 0.02,
    guidance: Guidance = 3.0,
    note_guidance: NoteGuidance = 2.0,
    guide: Guide = None,
    chords: Annotated[
        str | None,
        typer.Option(help="Play these: symbols, repeated, or a file of times and symbols."),
    ] = None,
    midi_in: Annotated[Path | None, typer.Option(help="Play the line of this MIDI file.")] = None,
    prompt: Annotated[
        Path | None, typer.Option(help="Begin with this recording of a bass.")
    ] = None,
    style: Annotated[
        Path | None, typer.Option(help="Go on in the style of this recording of a bass.")
    ] = None,
    keep: Annotated[
        list[str] | None,
        typer.Option(metavar="FROM-TO", help="Keep the song's own bass here; may be repeated."),
    ] = None,
    redo: Annotated[
        list[str] | None,
        typer.Option(metavar="FROM-TO", help="Keep it everywhere but here; may be repeated."),
    ] = None,
    remove_bass: Annotated[
        bool | None,
        typer.Option(
            "--remove-bass/--leave-bass",
            help="Take the song's own bass out first. Default: if it has one.",
        ),
    ] = None,
    codec: CodecPath = None,
    prior: PriorPath = None,
    device: Device = "auto",
) -> None:
    """Write a new bass line for a song, with mix, MIDI and picture.

    \b
    Examples:
      python cli.py generate-bass --song mix.wav --out new_bass
      python cli.py generate-bass --song mix.wav --seed 7 --candidates 4 --temperature 0.9
      python cli.py generate-bass --song mix.wav --chords "Am F C G"
      python cli.py generate-bass --song mix.wav --redo 0:30-0:45 --guide drums=2
      python cli.py generate-bass --song mix.wav --midi-in my_line.mid
    """
    from shared.times import TimeRange
    from stage1_vqvae.codec import load_codec
    from stage2_prior.arrange import ArrangeOptions, Edits, generate_bass
    from stage2_prior.model import load_prior
    from stage2_prior.sampling import SamplingSettings

    settings = SamplingSettings(
        temperature=temperature,
        note_temperature=note_temperature,
        top_k=top_k,
        top_p=top_p,
        min_p=min_p,
        guidance=guidance,
        note_guidance=note_guidance,
        source_guidance=dict(_source_guidance(text) for text in guide or ()),
        seed=seed,
        candidates=candidates,
    )
    edits = Edits(
        prompt=prompt,
        style=style,
        keep=tuple(map(TimeRange.parse, keep or ())),
        redo=tuple(map(TimeRange.parse, redo or ())),
        midi=midi_in,
        chords=chords,
    )
    made = generate_bass(
        song,
        out,
        load_codec(codec, device),
        load_prior(prior, device),
        settings,
        ArrangeOptions(remove_bass, edits),
    )
    for path in made.files.values():
        print(path)


@app.command()
def train_vqvae(
    data: Data,
    out: Annotated[Path, typer.Option(help="Run folder.")] = Path("runs/vqvae"),
    preset: Preset = "compact",
    config: Config = None,
    overrides: Overrides = None,
    resume: Resume = "auto",
    init_from: InitFrom = None,
    device: Device = "auto",
) -> None:
    """Train stage 1, the codec that turns a mixture into codes.

    \b
    Examples:
      python cli.py train-vqvae --data MUSDB18
      python cli.py train-vqvae --data MUSDB18 --preset paper --out runs/paper --device cuda
      python cli.py train-vqvae --data stems --set train.steps=2000 --set loss.usage=0.05
    """
    from shared.config import load_config
    from stage1_vqvae.config import PRESETS, VQVAEConfig
    from stage1_vqvae.train import train_vqvae

    settings = load_config(VQVAEConfig, PRESETS, preset, config, overrides or ())
    print(train_vqvae(data, out, settings, resume, device, init_from))


@app.command()
def extract_codes(
    data: Data,
    codec: CodecPath = None,
    out: Annotated[Path, typer.Option(help="Folder for the codes.")] = Path("runs/codes"),
    transpose: Annotated[
        str, typer.Option(metavar="LOW..HIGH", help="Also write training songs in other keys.")
    ] = "0..0",
    tempo: Annotated[
        list[float] | None,
        typer.Option(help="Write training songs at this multiple of their tempo; may be repeated."),
    ] = None,
    device: Device = "auto",
) -> None:
    """Write the codes of every song of a folder.

    What is already there and current is left as it is.

    \b
    Examples:
      python cli.py extract-codes --data MUSDB18 --codec runs/vqvae
      python cli.py extract-codes --data MUSDB18 --codec runs/vqvae --transpose -3..3
      python cli.py extract-codes --data stems --out codes --tempo 0.9 --tempo 1 --tempo 1.1
    """
    from shared.songs.augment import Variation
    from stage1_vqvae.codec import load_codec
    from stage1_vqvae.extract import extract_codes

    variations = [Variation(key, pace) for key in _semitones(transpose) for pace in tempo or [1.0]]
    done = extract_codes(data, load_codec(codec, device), out, variations)
    print(f"{done.manifest}: {done.written} songs written, {done.current} already there")


@app.command()
def train_prior(
    codes: Annotated[Path, typer.Option(help="Folder that extract-codes wrote.")],
    out: Annotated[Path, typer.Option(help="Run folder.")] = Path("runs/prior"),
    preset: Preset = "compact",
    config: Config = None,
    overrides: Overrides = None,
    resume: Resume = "auto",
    init_from: InitFrom = None,
    device: Device = "auto",
) -> None:
    """Train stage 2, the prior that writes bass codes for a song.

    \b
    Examples:
      python cli.py train-prior --codes runs/codes
      python cli.py train-prior --codes runs/codes --out runs/wide --set model.dim=512
      python cli.py train-prior --codes my_codes --init-from runs/prior --out runs/tuned
    """
    from shared.config import load_config
    from stage2_prior.config import PRESETS, PriorConfig
    from stage2_prior.train import train_prior

    settings = load_config(PriorConfig, PRESETS, preset, config, overrides or ())
    print(train_prior(codes, out, settings, resume, device, init_from))


@app.command()
def make_dataset(
    out: Annotated[Path, typer.Option(help="Folder to make; must hold no songs yet.")],
    songs: Annotated[int, typer.Option(help="How many songs to compose.")] = 100,
    seed: Seed = 0,
    soundfont: Annotated[
        list[Path] | None,
        typer.Option(help="A .sf2 or .sf3 file; may be repeated. Default: TimGM6mb."),
    ] = None,
    midi: Annotated[Path | None, typer.Option(help="Also render the MIDI files in here.")] = None,
    mma: Annotated[bool, typer.Option("--mma", help="Let Debian's mma arrange.")] = False,
    style: Annotated[
        list[str] | None, typer.Option(help="A style to compose in; may be repeated.")
    ] = None,
    seconds: Annotated[
        float | None,
        typer.Option(help="About how long a song is, 8 or more (at most, for MIDI files)."),
    ] = None,
    audio_format: Annotated[
        Literal["wav", "flac"], typer.Option("--format", help="Format of the stems.")
    ] = "wav",
    workers: Annotated[int, typer.Option(help="Processes that render.")] = 1,
) -> None:
    """Compose and render songs: training data without MUSDB18.

    Each has stems, chords, beats and bass notes.

    \b
    Examples:
      python cli.py make-dataset --out band --songs 500 --seed 1 --workers 4
      python cli.py make-dataset --out band --songs 200 --soundfont FluidR3_GM.sf2
      python cli.py make-dataset --out midi_songs --songs 0 --midi my_midi_files --format flac
    """
    from shared.band.dataset import make_dataset

    report = make_dataset(
        out, songs, seed, soundfont or (), midi, mma, seconds, audio_format, style, workers
    )
    for drop in report.dropped:
        print(f"dropped {drop.name}: {drop.reason}", file=sys.stderr)
    if not report.songs:
        raise UserError(
            f"no song was written to {out}: all {len(report.dropped)} were dropped, as said above; "
            "give other MIDI files, or ask for composed songs"
        )
    print(f"{out}: {len(report.songs)} songs written, {len(report.dropped)} dropped")


@app.command()
def separate(
    song: Song,
    out: Annotated[Path, typer.Option(help="Folder for the files.")] = Path(),
    sources: Sources = None,
    mask: Annotated[
        bool,
        typer.Option("--mask/--no-mask", help="Mask the song, or write the decoder's own sound."),
    ] = True,
    codec: CodecPath = None,
    device: Device = "auto",
) -> None:
    """Split a song into stems; with the residual they sum to it.

    \b
    Examples:
      python cli.py separate --song mix.wav --out stems
      python cli.py separate --song mix.wav --sources bass,drums --no-mask
    """
    from shared.sources import SOURCES
    from stage1_vqvae.codec import load_codec
    from stage1_vqvae.separate import separate

    files = separate(song, out, load_codec(codec, device), _names(sources) or SOURCES, mask)
    for path in dict.fromkeys((*files.stems.values(), files.mix, files.residual)):
        print(path)


@app.command()
def evaluate_vqvae(
    data: Data,
    codec: CodecPath = None,
    out: Annotated[Path, typer.Option(help="Folder for the report.")] = Path("runs/evaluate-vqvae"),
    split: Split = "test",
    songs: Songs = None,
    seconds: Seconds = None,
    museval: Annotated[
        bool, typer.Option("--museval", help="Also SIR, SAR and ISR, by museval; slow.")
    ] = False,
    device: Device = "auto",
) -> None:
    """Measure a codec: SDR table, bits, codebook use, t-SNE.

    \b
    Examples:
      python cli.py evaluate-vqvae --data MUSDB18
      python cli.py evaluate-vqvae --data band --codec runs/vqvae --songs 20 --seconds 30
    """
    from stage1_vqvae.evaluate import evaluate_vqvae

    report = evaluate_vqvae(data, codec, out, split, songs, seconds, museval, device)
    print(report.as_markdown(), end="")


@codes_app.command("show")
def codes_show(
    file: CodesFile,
    view: View = "mixture",
    frames: Annotated[int, typer.Option(help="How many frames' codes to print.")] = 16,
    start: Annotated[str, typer.Option(metavar="TIME", help="From where on.")] = "0:00",
    picture: Annotated[Path | None, typer.Option(help="A PNG to draw all codes into.")] = None,
) -> None:
    """Show what a codes file holds.

    \b
    Examples:
      python cli.py codes show runs/codes/test/song.codes.safetensors
      python cli.py codes show song.codes.safetensors --view alone --start 0:30 --picture codes.png
    """
    from shared.codes.song_codes import SongCodes
    from shared.codes.views import frames_table, save_codes_picture, sources_table, summary_table
    from shared.console import console
    from shared.times import parse_time

    song = SongCodes.load(file)
    console.print(summary_table(song))
    console.print(sources_table(song, view))
    console.print(frames_table(song, view, parse_time(start), frames))
    if picture is not None:
        save_codes_picture(picture, song, view)
        print(picture)


@codes_app.command("edit")
def codes_edit(
    file: CodesFile,
    out: Annotated[Path, typer.Option(help="The codes file to write.")],
    mute: Annotated[
        list[str] | None, typer.Option(metavar="SOURCE", help="Silence a source; repeatable.")
    ] = None,
    replace: Annotated[
        list[str] | None,
        typer.Option(metavar="SOURCE=FILE", help="Take a source from another song; repeatable."),
    ] = None,
    splice: Annotated[
        str | None, typer.Option(metavar="FROM-TO", help="Copy this range of --donor ...")
    ] = None,
    donor: Annotated[Path | None, typer.Option(help="... (default: the song itself) ...")] = None,
    at: Annotated[
        str | None, typer.Option(metavar="TIME", help="... to here (default: the same place).")
    ] = None,
    shift: Annotated[
        float | None,
        typer.Option(metavar="SECONDS", help="Move what sounds; negative: earlier ..."),
    ] = None,
    within: Annotated[
        str | None, typer.Option(metavar="FROM-TO", help="... in this range (default: everywhere).")
    ] = None,
    sources: Sources = None,
    codec: CodecPath = None,
    device: Device = "auto",
) -> None:
    """Change codes and write them to a new file.

    Edits are done in the order mute, replace, splice, shift.

    \b
    Examples:
      python cli.py codes edit song.codes.safetensors --mute vocals --out quiet.codes.safetensors
      python cli.py codes edit a.codes.safetensors --replace bass=b.codes.safetensors --out ab.codes.safetensors
      python cli.py codes edit a.codes.safetensors --splice 0:10-0:20 --at 0:40 --out c.codes.safetensors
      python cli.py codes edit a.codes.safetensors --shift 0.5 --sources bass --out late.codes.safetensors
    """
    from shared.codes import editing as codes_editing
    from shared.codes.song_codes import SongCodes
    from shared.times import TimeRange, parse_time
    from stage1_vqvae.codec import load_codec

    if not (mute or replace) and splice is None and shift is None:
        raise UserError("there is nothing to edit: give --mute, --replace, --splice or --shift")
    for option, value, edit, given in (
        ("--donor", donor, "--splice", splice),
        ("--at", at, "--splice", splice),
        ("--within", within, "--shift", shift),
        ("--sources", sources, "--splice or --shift", splice if shift is None else shift),
    ):
        if value is not None and given is None:
            raise UserError(f"{option} says nothing without {edit}: give that too, or leave it out")
    song = SongCodes.load(file)
    for source in mute or ():
        song = codes_editing.mute(song, source, load_codec(codec, device))
    for text in replace or ():
        source, separator, path = text.partition("=")
        if not separator:
            raise UserError(f"--replace '{text}' is not SOURCE=FILE: write it as bass=other")
        song = codes_editing.replace(song, source, SongCodes.load(Path(path)))
    if splice is not None:
        part = TimeRange.parse(splice)
        giver = song if donor is None else SongCodes.load(donor)
        into = None if at is None else parse_time(at)
        song = codes_editing.splice(song, giver, part.start, part.stop, into, _names(sources))
    if shift is not None:
        moved = None if within is None else TimeRange.parse(within)
        start, stop = (moved.start, moved.stop) if moved else (0.0, None)
        song = codes_editing.shift(song, shift, start, stop, _names(sources))
    song.save(out)
    print(out)


@codes_app.command("decode")
def codes_decode(
    file: CodesFile,
    out: Annotated[Path, typer.Option(help="The WAV file to write.")],
    view: View = "mixture",
    sources: Sources = None,
    codec: CodecPath = None,
    device: Device = "auto",
) -> None:
    """Turn codes into sound.

    At the song's level, or lower where it would clip.

    \b
    Examples:
      python cli.py codes decode song.codes.safetensors --out song.wav
      python cli.py codes decode song.codes.safetensors --view alone --sources bass --out bass.wav
    """
    import numpy as np

    from shared.codes.song_codes import SongCodes, require_codec
    from shared.sound.files import write_wav
    from stage1_vqvae.codec import load_codec

    song, decoder = SongCodes.load(file), load_codec(codec, device)
    require_codec(song, decoder)
    audio = decoder.decode(song.view(view), song.num_samples, _names(sources)) / song.gain
    write_wav(out, audio / max(1.0, float(np.abs(audio).max(initial=0.0))), song.sample_rate)
    print(out)


@app.command()
def evaluate_prior(
    codes: Annotated[Path, typer.Option(help="Folder that extract-codes wrote.")],
    codec: CodecPath = None,
    prior: PriorPath = None,
    out: Annotated[Path, typer.Option(help="Folder for the report.")] = Path("runs/evaluate-prior"),
    data: Annotated[
        Path | None,
        typer.Option(help="The songs of the codes: also judge what is written for their mixtures."),
    ] = None,
    split: Split = "test",
    songs: Annotated[int, typer.Option(help="At most so many songs.")] = 40,
    seconds: Annotated[float, typer.Option(help="So much of the middle of each.")] = 20.0,
    seed: Seed = 0,
    candidates: Candidates = 1,
    temperature: Temperature = 0.7,
    note_temperature: NoteTemperature = 0.7,
    top_k: TopK = 0,
    top_p: TopP = 1.0,
    min_p: MinP = 0.02,
    guidance: Guidance = 3.0,
    note_guidance: NoteGuidance = 2.0,
    guide: Guide = None,
    device: Device = "auto",
) -> None:
    """Measure a prior: does it listen, and does its bass fit?

    Best on songs whose chords and beats are known, as make-dataset writes them.

    \b
    Examples:
      python cli.py evaluate-prior --codes runs/codes
      python cli.py evaluate-prior --codes runs/codes --codec runs/vqvae --prior runs/prior --songs 10
    """
    from stage1_vqvae.codec import load_codec
    from stage2_prior.evaluate import evaluate_prior
    from stage2_prior.model import load_prior
    from stage2_prior.prior_report import report_markdown
    from stage2_prior.sampling import SamplingSettings

    settings = SamplingSettings(
        temperature=temperature,
        note_temperature=note_temperature,
        top_k=top_k,
        top_p=top_p,
        min_p=min_p,
        guidance=guidance,
        note_guidance=note_guidance,
        source_guidance=dict(_source_guidance(text) for text in guide or ()),
        seed=seed,
        candidates=candidates,
    )
    report = evaluate_prior(
        codes,
        load_codec(codec, device),
        load_prior(prior, device),
        out,
        split,
        songs,
        seconds,
        settings,
        data,
    )
    print(report_markdown(report), end="")


@app.command()
def ablate(
    data: Data,
    out: Annotated[Path, typer.Option(help="Folder for the runs and the report.")] = Path(
        "runs/ablation"
    ),
    preset: Preset = "compact",
    config: Config = None,
    overrides: Overrides = None,
    only: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="A variant to train; repeatable.")
    ] = None,
    songs: Songs = None,
    seconds: Seconds = None,
    resume: Resume = "auto",
    device: Device = "auto",
) -> None:
    """Train stage 1 without parts of its recipe, and compare.

    \b
    Examples:
      python cli.py ablate --data MUSDB18 --preset paper
      python cli.py ablate --data band --set train.steps=2000 --only full --only "without complement"
    """
    from shared.config import load_config
    from stage1_vqvae.ablate import ablate
    from stage1_vqvae.config import PRESETS, VQVAEConfig

    settings = load_config(VQVAEConfig, PRESETS, preset, config, overrides or ())
    report = ablate(data, out, settings, only or (), songs, seconds, resume, device)
    print(report.as_markdown(), end="")


def _names(text: str | None) -> list[str] | None:
    """The names of "A,B"."""
    return None if text is None else [name.strip() for name in text.split(",")]


def _semitones(text: str) -> range:
    """The semitones of "LOW..HIGH"; a single number is allowed."""
    low, separator, high = text.partition("..")
    try:
        semitones = range(int(low), int(high if separator else low) + 1)
    except ValueError:
        semitones = range(0)
    if not semitones:
        raise UserError(f"--transpose '{text}' is not LOW..HIGH in semitones: write it as -3..3")
    return semitones


def _source_guidance(text: str) -> tuple[str, float]:
    """The source and the number of "SOURCE=X"."""
    source, _, scale = text.partition("=")
    try:
        return source, float(scale)
    except ValueError as error:
        raise UserError(f"--guide '{text}' is not SOURCE=X: write it as drums=2") from error


def main() -> None:
    """The console script `bassprior`."""
    app()


if __name__ == "__main__":
    main()
