"""The command line: one function a command. Every heavy import lies inside a function, so that help is instant."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from typer.core import TyperGroup

from shared.errors import UserError

if TYPE_CHECKING:
    from stage2_prior.model import Prior

SHIPPED_PRIOR = Path(__file__).parent / "stage2_prior" / "weights" / "compact.safetensors"


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
Seed = Annotated[int, typer.Option(help="The same seed gives the same result.")]


@app.callback()
def bassprior() -> None:
    """Write a new bass line for a song; train, inspect and compare the models that do it."""


@app.command()
def generate_bass(
    song: Song,
    out: Annotated[Path, typer.Option(help="Folder for the files.")] = Path(),
    seed: Seed = 0,
    candidates: Annotated[
        int, typer.Option(help="Write this many lines and keep the one that fits the song best.")
    ] = 1,
    temperature: Annotated[
        float, typer.Option(help="Of the sound; 0 takes the likeliest, more dares more.")
    ] = 1.0,
    note_temperature: Annotated[float, typer.Option(help="Of the notes.")] = 0.8,
    top_k: Annotated[int, typer.Option(help="Draw from the k likeliest only; 0: all.")] = 0,
    top_p: Annotated[float, typer.Option(help="Draw from this much probability only.")] = 1.0,
    min_p: Annotated[
        float, typer.Option(help="Leave out what is less likely than this share of the likeliest.")
    ] = 0.02,
    guidance: Annotated[
        float, typer.Option(help="How much to listen to the song; 1: plain.")
    ] = 2.0,
    guide: Annotated[
        list[str] | None,
        typer.Option(metavar="SOURCE=X", help="The same for one source; may be repeated."),
    ] = None,
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
    """Write a new bass line for a song: bass, new mix, MIDI and a JSON of how it was made.

    \b
    Examples:
      python cli.py generate-bass --song mix.wav --out new_bass
      python cli.py generate-bass --song mix.wav --seed 7 --candidates 4 --temperature 0.9
      python cli.py generate-bass --song mix.wav --chords "Am F C G"
      python cli.py generate-bass --song mix.wav --redo 0:30-0:45 --guide drums=2
      python cli.py generate-bass --song mix.wav --midi-in my_line.mid
    """
    from stage1_vqvae.codec import load_codec
    from stage2_prior.arrange import ArrangeOptions, Edits, generate_bass
    from stage2_prior.sampling import SamplingSettings
    from stage2_prior.time_range import TimeRange

    settings = SamplingSettings(
        temperature=temperature,
        note_temperature=note_temperature,
        top_k=top_k,
        top_p=top_p,
        min_p=min_p,
        guidance=guidance,
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
        _load_prior(prior, device),
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
    """Train stage 1: the codec that turns a mixture into codes per source.

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
    """Write the codes of every song of a folder, for train-prior and for the codes commands.

    What is already there and current is left as it is.

    \b
    Examples:
      python cli.py extract-codes --data MUSDB18 --codec runs/vqvae
      python cli.py extract-codes --data MUSDB18 --codec runs/vqvae --transpose -3..3
      python cli.py extract-codes --data stems --out codes --tempo 0.9 --tempo 1 --tempo 1.1
    """
    from shared.augment import Variation
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
    """Train stage 2: the prior that writes bass codes for a song's other codes.

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
        float | None, typer.Option(help="About how long a song is (at most, for MIDI files).")
    ] = None,
    audio_format: Annotated[
        Literal["wav", "flac"], typer.Option("--format", help="Format of the stems.")
    ] = "wav",
    workers: Annotated[int, typer.Option(help="Processes that render.")] = 1,
) -> None:
    """Compose and render songs with stems, chords and beats: training data without MUSDB18.

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
    print(f"{out}: {len(report.songs)} songs written, {len(report.dropped)} dropped")


@app.command()
def separate(
    song: Song,
    out: Annotated[Path, typer.Option(help="Folder for the files.")] = Path(),
    sources: Annotated[
        str, typer.Option(metavar="A,B", help="Which stems to write; they are also summed.")
    ] = "vocals,bass,drums,other",
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
    from stage1_vqvae.codec import load_codec
    from stage1_vqvae.separate import separate

    files = separate(song, out, load_codec(codec, device), sources.split(","), mask)
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
    """Measure a codec: the paper's SDR table, bits, codebook use, t-SNE.

    \b
    Examples:
      python cli.py evaluate-vqvae --data MUSDB18
      python cli.py evaluate-vqvae --data band --codec runs/vqvae --songs 20 --seconds 30
    """
    from stage1_vqvae.evaluate import evaluate_vqvae

    report = evaluate_vqvae(data, codec, out, split, songs, seconds, museval, device)
    print(report.as_markdown(), end="")


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


def _load_prior(path: Path | None, device: str) -> "Prior":
    from shared.engine import resolve_device
    from stage2_prior.model import load_prior

    return load_prior(path or SHIPPED_PRIOR, resolve_device(device))


def main() -> None:
    """The console script `bassprior`."""
    app()


if __name__ == "__main__":
    main()
