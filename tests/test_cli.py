"""The command line: help, options, one sentence for a mistake, exit codes, nothing half-written."""

import dataclasses
import inspect
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
import typer
from typer.testing import CliRunner

import cli
from shared.band.dataset import make_dataset
from shared.band.recording.render import default_soundfont
from shared.codes.codec import CodeFormat
from shared.codes.editing import CodeEdits
from shared.config import load_config
from shared.errors import UserError
from shared.music.bar_grid import BarGrid
from shared.music.bar_tracking import BarHints
from shared.music.notes import Note
from shared.reporting import Result
from shared.times import TimeRange
from shared.training.checkpoint import save_checkpoint
from stage1_vqvae.bass_decoder.config import PRESETS as BASS_DECODER_PRESETS
from stage1_vqvae.bass_decoder.config import BassDecoderConfig
from stage1_vqvae.codec import load_codec
from stage1_vqvae.config import PRESETS, VQVAEConfig
from stage1_vqvae.evaluate import evaluate_vqvae
from stage1_vqvae.model import VQVAE
from stage2_prior.arrange import ArrangeOptions
from stage2_prior.bass_sound import SoundFontSound
from stage2_prior.config import PRESETS as PRIOR_PRESETS
from stage2_prior.config import PriorConfig
from stage2_prior.delivery import Delivery
from stage2_prior.edits import Edits
from stage2_prior.evaluate import evaluate_prior
from stage2_prior.harmony import Harmony, HarmonySource
from stage2_prior.model import Prior, prior_metadata
from stage2_prior.naive.train import PRESETS as NAIVE_PRESETS
from stage2_prior.naive.train import NaiveConfig
from stage2_prior.performer.tone import TONES
from stage2_prior.sampling import SamplingSettings
from stage2_prior.sampling_defaults import SamplingDefaults
from stage2_prior.summary import Summary
from tests.conftest import WriteSong

ROOT = Path(__file__).parents[1]
RATE = 44100


def commands() -> list[tuple[str, ...]]:
    found: list[tuple[str, ...]] = []
    for name, command in typer.main.get_group(cli.app).commands.items():
        parts = getattr(command, "commands", None)
        found += [(name, part) for part in parts] if parts else [(name,)]
    return found


def test_the_readme_names_every_command() -> None:
    readme = (ROOT / "README.md").read_text()
    for command in commands():
        assert f"`{command[0]}" in readme, command


@pytest.mark.parametrize("command", commands(), ids=" ".join)
def test_help_has_examples_of_the_command(command: tuple[str, ...]) -> None:
    result = CliRunner().invoke(cli.app, [*command, "--help"])
    assert result.exit_code == 0
    examples = result.stdout.partition("Examples:")[2].partition("Options:")[0].splitlines()
    assert sum(f"cli.py {' '.join(command)} " in line for line in examples) >= 2, result.stdout


@cache
def help_of(command: tuple[str, ...]) -> str:
    return CliRunner().invoke(cli.app, [*command, "--help"]).stdout


def test_every_written_command_line_names_options_that_exist() -> None:
    text = "\n".join(path.read_text() for path in [ROOT / "README.md", *ROOT.glob("docs/*.md")])
    text += "".join(map(help_of, commands()))
    lines = re.findall(r"cli\.py ((?:codes |config )?[a-z-]+)(.*)", text.replace("\\\n", " "))
    assert len(lines) > 30
    for name, arguments in lines:
        command = tuple(name.split())
        if command in commands():
            options = set(re.findall(r"(?<= )--[a-z-]+", arguments))
            assert options <= set(re.findall(r"--[a-z-]+", help_of(command))), (name, arguments)
        else:
            assert name in ("codes", "config"), f"{name} is no command"


def test_every_written_setting_exists() -> None:
    text = "\n".join(path.read_text() for path in [ROOT / "README.md", *ROOT.glob("docs/*.md")])
    text += "".join(map(help_of, commands()))
    stages: dict[str, tuple[type[object], Path]] = {
        "train-vqvae": (VQVAEConfig, PRESETS),
        "ablate": (VQVAEConfig, PRESETS),
        "reproduce-paper": (VQVAEConfig, PRESETS),
        "train-prior": (PriorConfig, PRIOR_PRESETS),
        "ablate-prior": (PriorConfig, PRIOR_PRESETS),
        "train-naive-prior": (NaiveConfig, NAIVE_PRESETS),
        "train-bass-decoder": (BassDecoderConfig, BASS_DECODER_PRESETS),
    }
    tried = 0
    for name, arguments in re.findall(r"cli\.py ([a-z-]+)(.*)", text.replace("\\\n", " ")):
        settings = [each.strip("'") for each in re.findall(r"--set ('.*?'|\S+)", arguments)]
        if settings:
            load_config(*stages[name], "compact", overrides=settings)
            tried += len(settings)
    assert tried >= 5


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys, cli\n"
        "try: cli.main()\n"
        "except SystemExit: pass\n"
        "print(*sys.modules, sep='\\n', file=sys.stderr)"
    )
    command = [sys.executable, "-c", code, "--help"]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert "generate-bass" in run.stdout
    loaded = set(run.stderr.split())
    assert not loaded & {"torch", "numpy", "librosa", "matplotlib", "scipy", "rich.console"}


def test_every_help_is_whole_sentences() -> None:
    for command in commands():
        group: Any = typer.main.get_group(cli.app)
        for name in command:
            group = group.commands[name]
        for parameter in group.params:
            if parameter.name != "help":
                assert re.fullmatch(r"[A-Z][^;]+\.", parameter.help), (command, parameter.name)


# What Ctrl-C leaves: these commands continue what they began, the others do not.

CONTINUE = "run the same command again to continue"
ANEW = "the same command starts from the beginning when it is run again"


@pytest.mark.parametrize(
    ("arguments", "function", "advice"),
    [
        ("make-dataset --out x", "shared.band.dataset.make_dataset", CONTINUE),
        ("extract-codes --data x", "stage1_vqvae.extract.extract_codes", CONTINUE),
        ("train-vqvae --data x", "stage1_vqvae.train.train_vqvae", CONTINUE),
        (
            "train-bass-decoder --data x --codes x",
            "stage1_vqvae.bass_decoder.train.train_bass_decoder",
            CONTINUE,
        ),
        ("train-prior --codes x", "stage2_prior.train.train_prior", CONTINUE),
        ("train-naive-prior --codes x", "stage2_prior.naive.train.train_naive_prior", CONTINUE),
        ("ablate --data x", "stage1_vqvae.ablate.ablate", CONTINUE),
        ("reproduce-paper --data x", "stage1_vqvae.reproduce.reproduce_paper", CONTINUE),
        ("ablate-prior --codes x", "stage2_prior.ablate.ablate_prior", CONTINUE),
        ("studio", "stage2_prior.studio.run.run_studio", CONTINUE),
        (
            "train-vqvae --data x --resume never",
            "stage1_vqvae.train.train_vqvae",
            "run the same command with --resume auto to continue",
        ),
        ("generate-bass --quiet --song x", "stage2_prior.arrange.generate_takes", ANEW),
        ("separate --song x", "stage1_vqvae.separate.separate", ANEW),
        ("evaluate-vqvae --data x", "stage1_vqvae.evaluate.evaluate_vqvae", ANEW),
        ("evaluate-prior --codes x", "stage2_prior.evaluate.evaluate_prior", ANEW),
        ("codes edit x --mute bass --out y", "shared.codes.editing.edit_file", ANEW),
        ("codes decode x --out y", "shared.codes.decoding.decode_file", ANEW),
    ],
)
def test_ctrl_c_ends_with_130_and_says_how_to_continue(
    arguments: str, function: str, advice: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(function, interrupted)
    monkeypatch.setattr("stage1_vqvae.codec.load_codec", lambda *_: None)
    monkeypatch.setattr("stage1_vqvae.bass_decoder.decode.find_bass_decoder", lambda *_: None)
    monkeypatch.setattr("stage2_prior.model.load_prior", untuned_prior)
    result = CliRunner().invoke(cli.app, arguments.split())
    assert (result.exit_code, result.stderr) == (130, f"stopped: {advice}\n"), result.exception


def test_ctrl_c_during_the_first_imports_gives_no_traceback(tmp_path: Path) -> None:
    (tmp_path / "typer.py").write_text("raise KeyboardInterrupt")
    run = subprocess.run(
        [sys.executable, "cli.py", "--help"],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (run.returncode, run.stdout) == (130, "")
    assert run.stderr == "stopped: nothing was begun\n"


def test_a_bass_decoder_that_would_not_be_used_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def unexpected(*_: object) -> None:
        pytest.fail("no bass decoder is needed")

    monkeypatch.setattr("stage1_vqvae.codec.load_codec", lambda *_: None)
    monkeypatch.setattr("stage1_vqvae.bass_decoder.decode.find_bass_decoder", unexpected)
    monkeypatch.setattr("stage2_prior.model.load_prior", untuned_prior)
    for sound in ("paper", "bass.sf2"):
        arguments = [
            "generate-bass",
            "--quiet",
            "--song",
            "x",
            "--sound",
            sound,
            "--bass-decoder",
            "run",
        ]
        result = CliRunner().invoke(cli.app, arguments)
        assert result.exit_code == 2
        assert result.stderr == (
            f"error: --sound {sound} uses no bass decoder: leave --bass-decoder out\n"
        )


@pytest.mark.parametrize(
    ("arguments", "option"),
    [
        ("generate-bass --song a.wav --out a --seed 1 --out b", "--out"),
        ("generate-bass --song=a.wav --codec a --codec=b", "--codec"),
        ("generate-bass --song a.wav --prior a --prior a", "--prior"),
        ("generate-bass --song a.wav --remove-bass --leave-bass", "--remove-bass"),
        ("evaluate-prior --codes a --seed 1 --seed 2", "--seed"),
        ("separate --song a.wav --song a.wav", "--song"),
        ("train-vqvae --data a --preset tiny --preset paper", "--preset"),
        ("codes decode a --out b --out c", "--out"),
    ],
)
def test_a_repeated_option_is_refused(arguments: str, option: str) -> None:
    result = CliRunner().invoke(cli.app, arguments.split())
    assert result.exit_code == 2
    assert result.stderr == f"error: {option} is given more than once: give it once\n"


def untuned_prior(*_: object) -> SimpleNamespace:
    """A prior of which only the settings matter, none of them the code's own default."""
    return SimpleNamespace(sampling=SamplingDefaults(0.5, 0.6, 5, 0.9, 0.1, 4.0, 5.0))


def settings_given(
    monkeypatch: pytest.MonkeyPatch, arguments: str, function: str
) -> SamplingSettings:
    """The settings with which a command calls its function."""
    given: list[SamplingSettings] = []

    def record(*values: object) -> None:
        for value in values:
            each = [prior.settings for prior in value] if isinstance(value, list) else [value]
            given.extend(one for one in each if isinstance(one, SamplingSettings))
        raise UserError("enough")

    monkeypatch.setattr(function, record)
    monkeypatch.setattr("stage1_vqvae.codec.load_codec", lambda *_: None)
    monkeypatch.setattr("stage1_vqvae.bass_decoder.decode.find_bass_decoder", lambda *_: None)
    monkeypatch.setattr("stage2_prior.model.load_prior", untuned_prior)
    assert CliRunner().invoke(cli.app, arguments.split()).stderr == "error: enough\n"
    (settings,) = given
    return settings


@pytest.mark.parametrize(
    ("command", "function"),
    [
        ("generate-bass --quiet --song x", "stage2_prior.arrange.generate_takes"),
        ("evaluate-prior --codes x", "stage2_prior.evaluate.evaluate_prior"),
    ],
)
def test_sampling_is_as_the_prior_says_unless_options_say_otherwise(
    command: str, function: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    tuned: dict[str, Any] = {
        "temperature": 0.5,
        "note_temperature": 0.6,
        "top_k": 5,
        "top_p": 0.9,
        "min_p": 0.1,
        "guidance": 4.0,
        "note_guidance": 5.0,
    }
    assert settings_given(monkeypatch, command, function) == SamplingSettings(**tuned)
    options = (
        "--temperature 0 --note-temperature 0.1 --top-k 0 --top-p 0.2 --min-p 0.3 --guidance 0 "
        "--note-guidance 1 --guide drums=2 --guide vocals=-0.5 --seed 7 --candidates 3"
    )
    assert settings_given(monkeypatch, f"{command} {options}", function) == SamplingSettings(
        temperature=0.0,
        note_temperature=0.1,
        top_k=0,
        top_p=0.2,
        min_p=0.3,
        guidance=0.0,
        note_guidance=1.0,
        source_guidance={"drums": 2.0, "vocals": -0.5},
        seed=7,
        candidates=3,
    )
    one = settings_given(monkeypatch, f"{command} --guidance 2", function)
    assert one == SamplingSettings(**(tuned | {"guidance": 2.0}))


def test_priors_are_named_and_songs_without_codes_are_encoded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    extracted: list[tuple[object, ...]] = []
    evaluated: list[tuple[Any, ...]] = []

    def extract(*values: object) -> SimpleNamespace:
        extracted.append(values)
        return SimpleNamespace(manifest=Path("r/codes/manifest.json"))

    def evaluate(*values: object) -> None:
        evaluated.append(values)
        raise UserError("enough")

    monkeypatch.setattr("stage1_vqvae.extract.extract_codes", extract)
    monkeypatch.setattr("stage2_prior.evaluate.evaluate_prior", evaluate)
    monkeypatch.setattr("stage1_vqvae.codec.load_codec", lambda *_: None)
    monkeypatch.setattr("stage1_vqvae.bass_decoder.decode.find_bass_decoder", lambda *_: None)
    monkeypatch.setattr("stage2_prior.model.load_prior", untuned_prior)
    runs = "--prior runs/a/best.safetensors --prior runs/b --save-audio w"
    for arguments, message in (
        ("evaluate-prior", "there are no songs to measure on: give --codes or --data"),
        (f"evaluate-prior --data songs --split all --out r {runs}", "enough"),
        ("evaluate-prior --data songs --codes c", "enough"),
    ):
        result = CliRunner().invoke(cli.app, arguments.split())
        assert result.stderr == f"error: {message}\n", result.exception
    assert extracted == [(Path("songs"), None, Path("r/codes"))]
    with_songs, with_codes = evaluated
    assert [prior.name for prior in with_songs[2]] == ["best", "b"]
    assert with_songs[0] == Path("r/codes")
    assert with_songs[3:5] == (Path("r"), "all")
    assert (with_songs[7], with_songs[9]) == (Path("songs"), Path("w"))
    assert [prior.name for prior in with_codes[2]] == ["shipped"]
    assert (with_codes[0], with_codes[7], with_codes[9]) == (Path("c"), Path("songs"), None)


def test_options_reach_the_functions(monkeypatch: pytest.MonkeyPatch) -> None:
    given: dict[str, tuple[object, ...]] = {}

    def recorder(name: str) -> Callable[..., None]:
        def record(*values: object) -> None:
            given[name] = values
            raise UserError("enough")

        return record

    for function in (
        "stage1_vqvae.separate.separate",
        "stage2_prior.arrange.generate_takes",
        "shared.codes.editing.edit_file",
        "shared.codes.decoding.decode_file",
    ):
        monkeypatch.setattr(function, recorder(function.rpartition(".")[2]))
    monkeypatch.setattr("stage1_vqvae.codec.load_codec", lambda path, device: (path, device))
    monkeypatch.setattr("stage1_vqvae.bass_decoder.decode.find_bass_decoder", lambda *_: None)
    monkeypatch.setattr("stage2_prior.model.load_prior", untuned_prior)
    for arguments in (
        "separate --song x.wav --sources bass,drums --no-mask --codec c --device cpu",
        "generate-bass --quiet --song x.wav --keep 0:10-0:20 --keep 30-40 --prompt p --style s "
        "--leave-bass --bpm 96 --first-downbeat 0.42 --meter 3/4 --harmony off --lowest F#1 "
        "--highest 50 --tone slap --midi-timing both "
        f"--sound {default_soundfont()}:38",
        "codes edit f --out o --mute bass --mute drums --replace vocals=v --splice 1-2 --donor d "
        "--at 3 --shift 0.5 --within 4-5 --sources bass,other",
        "codes decode f --out o --view alone --sources bass",
    ):
        result = CliRunner().invoke(cli.app, arguments.split())
        assert result.stderr == "error: enough\n", (arguments, result.output, result.exception)
    codec = (Path("c"), "cpu")
    separated = (Path("x.wav"), Path("stems"), codec, ["bass", "drums"], False, False)
    assert given["separate"] == separated
    assert given["generate_takes"][:2] == (Path("x.wav"), Path("new_bass"))
    assert given["generate_takes"][5] == ArrangeOptions(
        remove_bass=False,
        edits=Edits(keep=(TimeRange(10, 20), TimeRange(30, 40)), prompt=Path("p"), style=Path("s")),
        hints=BarHints(bpm=96, first_downbeat=0.42, meter=(3, 4)),
        harmony=Harmony(HarmonySource.OFF),
        lowest=30,
        highest=50,
        tone="slap",
        midi_timing="both",
    )
    sound = given["generate_takes"][6]
    assert isinstance(sound, SoundFontSound)
    assert (sound.path, sound.program) == (default_soundfont(), 38)
    assert given["edit_file"][:3] == (
        Path("f"),
        Path("o"),
        CodeEdits(
            mute=["bass", "drums"],
            replace=["vocals=v"],
            splice="1-2",
            donor=Path("d"),
            at="3",
            shift=0.5,
            within="4-5",
            sources=["bass", "other"],
        ),
    )
    default = (None, "auto")
    assert given["decode_file"] == (Path("f"), Path("o"), default, "alone", ["bass"], False)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ("", ArrangeOptions()),
        (
            "--redo 1-2 --midi-in m",
            ArrangeOptions(edits=Edits(redo=(TimeRange(1, 2),), midi=Path("m"))),
        ),
        ("--chords C", ArrangeOptions(harmony=Harmony(HarmonySource.GIVEN, "C"))),
        ("--chords c.txt", ArrangeOptions(harmony=Harmony(HarmonySource.GIVEN, "c.txt"))),
        ("--remove-bass", ArrangeOptions(remove_bass=True)),
        ("--keep-all", ArrangeOptions(keep_all=True)),
        ("--bass-level -3dB", ArrangeOptions(bass_level=-3.0)),
        (
            "--name n --format flac --bits 16 --limit --force",
            ArrangeOptions(delivery=Delivery("flac", "16", "n", True, "limit")),
        ),
        ("--no-rescale --bits 32f", ArrangeOptions(delivery=Delivery(bits="32f", peaks="keep"))),
    ],
)
def test_generate_bass_passes_on_what_is_given_and_no_more(
    options: str, expected: ArrangeOptions, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert generated_with(monkeypatch, options.split())[5] == expected


def test_a_progression_is_one_option(monkeypatch: pytest.MonkeyPatch) -> None:
    given = generated_with(monkeypatch, ["--chords", "Cm | Ab Eb | Bb"])
    assert given[5].harmony == Harmony(HarmonySource.GIVEN, "Cm | Ab Eb | Bb")


def generated_with(monkeypatch: pytest.MonkeyPatch, options: list[str]) -> tuple[Any, ...]:
    """What generate-bass passes on."""
    given: list[tuple[Any, ...]] = []

    def record(*values: Any) -> None:
        given.append(values)
        raise UserError("enough")

    monkeypatch.setattr("stage2_prior.arrange.generate_takes", record)
    monkeypatch.setattr("stage1_vqvae.codec.load_codec", lambda *_: None)
    monkeypatch.setattr("stage1_vqvae.bass_decoder.decode.find_bass_decoder", lambda *_: None)
    monkeypatch.setattr("stage2_prior.model.load_prior", untuned_prior)
    result = CliRunner().invoke(cli.app, ["generate-bass", "--quiet", "--song", "x", *options])
    assert result.stderr == "error: enough\n", (result.output, result.exception)
    return given[0]


def test_the_summary_goes_to_the_terminal_and_the_files_to_the_output(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    grid = BarGrid(np.linspace(0, 4, 9), np.array([0, 4]))
    summary = Summary([Note(0.0, 1.0, 28)], grid=grid, key="A minor", level=-3.0)
    files = {"bass": Path("a.bass.wav"), "midi": Path("a.mid")}
    made = SimpleNamespace(result=Result(Path("x"), files, summary.rows))
    monkeypatch.setattr("stage2_prior.arrange.generate_takes", lambda *_: (made,))
    monkeypatch.setattr("stage1_vqvae.codec.load_codec", lambda *_: None)
    monkeypatch.setattr("stage1_vqvae.bass_decoder.decode.find_bass_decoder", lambda *_: None)
    monkeypatch.setattr("stage2_prior.model.load_prior", untuned_prior)
    result = CliRunner().invoke(cli.app, ["generate-bass", "--song", "x"])
    assert result.stdout == "a.bass.wav\na.mid\n", result.exception
    first, second, *said = result.stderr.splitlines()
    assert (first, second) == ("load the program", "load the models")
    told = [line.split(maxsplit=1)[1].strip() for line in said]
    assert told[:3] == ["120.0 beats per minute", "4/4", "A minor"]
    assert result.stderr.rstrip().endswith("3.0 dB below the song")
    quiet = CliRunner().invoke(cli.app, ["generate-bass", "--song", "x", "--quiet"])
    assert (quiet.stdout, quiet.stderr) == ("a.bass.wav\na.mid\n", "")
    for_programs = CliRunner().invoke(cli.app, ["generate-bass", "--song", "x", "--json"])
    events = [json.loads(line) for line in for_programs.stdout.splitlines()]
    assert [event["event"] for event in events] == ["step", "step", "result"]
    assert events[-1]["files"] == {"bass": "a.bass.wav", "midi": "a.mid"}
    assert for_programs.stderr == ""


def test_several_songs_end_with_1_if_one_failed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    loads: list[None] = []

    def write(song: Path, *_: object) -> tuple[SimpleNamespace]:
        if song.name == "bad.wav":
            raise UserError("bad.wav is empty")
        files = {"bass": Path(f"{song.stem}.bass.wav")}
        return (SimpleNamespace(result=Result(song, files), files=files, summary=Summary([])),)

    monkeypatch.setattr("stage2_prior.arrange.generate_takes", write)
    monkeypatch.setattr("stage1_vqvae.codec.load_codec", lambda *_: loads.append(None))
    monkeypatch.setattr("stage1_vqvae.bass_decoder.decode.find_bass_decoder", lambda *_: None)
    monkeypatch.setattr("stage2_prior.model.load_prior", untuned_prior)
    for name in ("a.wav", "bad.wav", "c.wav"):
        (tmp_path / name).touch()
    result = CliRunner().invoke(cli.app, ["generate-bass", "--song", str(tmp_path)])
    assert result.exit_code == 1, result.exception
    assert result.stdout == "a.bass.wav\nc.bass.wav\n"
    assert f"error: {tmp_path / 'bad.wav'}: bad.wav is empty" in result.stderr
    assert "failed: bad.wav is empty" in result.stderr
    assert len(loads) == 1
    good = ["generate-bass", "--song", str(tmp_path / "a.wav"), "--song", str(tmp_path / "c.wav")]
    assert CliRunner().invoke(cli.app, good).exit_code == 0


def test_a_run_without_a_song_is_refused() -> None:
    result = CliRunner().invoke(cli.app, ["generate-bass"])
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr == "error: no song is named: give one with --song\n"


def test_the_version() -> None:
    result = CliRunner().invoke(cli.app, ["--version"])
    assert (result.exit_code, result.stdout) == (0, "bassprior 0.1.0\n")


def test_shells_can_complete() -> None:
    """typer adds the options; this asks for completions as a shell does."""
    assert "--install-completion" in CliRunner().invoke(cli.app, ["--help"]).stdout
    completed = CliRunner().invoke(
        cli.app,
        [],
        prog_name="bassprior",
        env={
            "_BASSPRIOR_COMPLETE": "complete_bash",
            "COMP_WORDS": "bassprior gen",
            "COMP_CWORD": "1",
        },
    )
    assert completed.stdout.split() == ["generate-bass"]


def test_a_defect_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("shared.band.dataset.make_dataset", broken)
    result = CliRunner().invoke(cli.app, ["make-dataset", "--out", "nowhere"])
    assert isinstance(result.exception, ZeroDivisionError)


def test_a_usage_error_ends_with_2() -> None:
    for arguments in (["train-vqvae"], ["no-such-command"], ["train-prior", "--device", "abacus"]):
        assert CliRunner().invoke(cli.app, arguments).exit_code == 2


@pytest.mark.parametrize(("text", "expected"), [("-1..1", [-1, 0, 1]), ("3", [3]), ("0..0", [0])])
def test_semitones(text: str, expected: list[int]) -> None:
    assert list(cli._semitones(text)) == expected


def test_the_defaults_are_those_of_the_python_api() -> None:
    """Those that a prior's checkpoint does not hold."""
    for name in ("seed", "candidates"):
        assert getattr(cli.Sampling(), name) == getattr(SamplingSettings(), name)
    assert cli.Sampling().candidates == 16
    assert inspect.signature(cli.generate_bass).parameters["midi_timing"].default == "grid"


def test_every_tone_can_be_asked_for() -> None:
    text = re.sub(r"\s", "", help_of(("generate-bass",)))
    tones = re.escape("|".join(TONES))
    assert re.search(rf"--tone[<\[]{tones}[>\]]", text)  # Typer's versions differ in brackets


@pytest.mark.parametrize(
    ("command", "function", "names"),
    [
        (cli.evaluate_vqvae, evaluate_vqvae, ("out", "split")),
        (cli.evaluate_prior, evaluate_prior, ("split", "songs", "seconds")),
        (cli.make_dataset, make_dataset, ("mma", "seconds", "audio_format", "workers")),
        (cli.make_dataset, make_dataset, ("chord_songs", "voice", "records")),
    ],
)
def test_commands_and_functions_have_one_set_of_defaults(
    command: Callable[..., None], function: Callable[..., object], names: Sequence[str]
) -> None:
    defaults = [inspect.signature(each).parameters for each in (command, function)]
    for name in names:
        assert defaults[0][name].default == defaults[1][name].default


# Bad input: one sentence that names the culprit, exit code 2, nothing in --out.


@pytest.fixture(scope="module")
def codec(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder with an untrained `tiny` codec."""
    return write_codec(tmp_path_factory.mktemp("codec"), seed=0)


def write_codec(folder: Path, seed: int) -> Path:
    config = load_config(VQVAEConfig, PRESETS, "tiny")
    torch.manual_seed(seed)
    weights = VQVAE(config.model).state_dict()
    meta = {"stage": "vqvae", "config": dataclasses.asdict(config)}
    save_checkpoint(folder / "model.safetensors", weights, meta)
    return folder


@pytest.fixture(scope="module")
def prior(tmp_path_factory: pytest.TempPathFactory, codec: Path) -> Path:
    """A run folder with an untrained `tiny` prior of that codec."""
    folder = tmp_path_factory.mktemp("prior")
    config = load_config(PriorConfig, PRIOR_PRESETS, "tiny")
    model = Prior(config.model, CodeFormat.of(load_codec(codec)), "untrained")
    meta = {"stage": "prior", **prior_metadata(model)}
    save_checkpoint(folder / "model.safetensors", model.state_dict(), meta)
    return folder


def refuse(*arguments: object, out: Path, mentions: str) -> None:
    before = files(out)
    result = CliRunner().invoke(cli.app, [*map(str, arguments), "--out", str(out)])
    assert result.exit_code == 2, (result.output, result.exception)
    assert result.stderr.startswith("error: ")
    assert len(result.stderr.splitlines()) == 1, result.stderr
    assert re.search(mentions, result.stderr), result.stderr
    assert files(out) == before


def files(folder: Path) -> list[Path]:
    return sorted(p for p in folder.rglob("*") if p.is_file())


def empty(path: Path) -> None:
    path.touch()


def no_audio(path: Path) -> None:
    path.write_text("this is no audio\n" * 100)


def nan(path: Path) -> None:
    samples = np.zeros((RATE, 2), np.float32)
    samples[RATE // 2] = np.nan
    soundfile.write(path, samples, RATE, subtype="FLOAT")


def no_samples(path: Path) -> None:
    soundfile.write(path, np.zeros((0, 2)), RATE)


def short(path: Path) -> None:
    soundfile.write(path, np.full((100, 2), 0.1), RATE)


@pytest.mark.parametrize(
    ("write", "mentions"),
    [
        (None, "no file .*song.wav"),
        (empty, "song.wav is empty"),
        (no_audio, "song.wav is not an audio file"),
        (nan, "song.wav holds NaN"),
        (no_samples, "song.wav holds no samples"),
        (short, "song.wav lasts 2 ms, less than a frame"),
    ],
    ids=["missing", "empty", "no audio", "nan", "no samples", "shorter than a frame"],
)
def test_bad_songs_are_refused(
    write: Callable[[Path], None] | None,
    mentions: str,
    tmp_path: Path,
    codec: Path,
    prior: Path,
) -> None:
    song = tmp_path / "song.wav"
    if write is not None:
        write(song)
    generate = ("generate-bass", "--quiet", "--song", song, "--codec", codec, "--prior", prior)
    refuse(*generate, out=tmp_path / "out", mentions=mentions)


def test_generation_that_cannot_be_is_refused(tmp_path: Path, codec: Path, prior: Path) -> None:
    song = tmp_path / "song.wav"
    soundfile.write(song, np.full((RATE, 2), 0.1), RATE)
    (tmp_path / "file").touch()
    generate = ("generate-bass", "--quiet", "--song", song, "--codec", codec)
    out = tmp_path / "out"
    refuse(
        *generate,
        "--prior",
        prior,
        out=tmp_path / "file" / "out",
        mentions="is not a folder, but the results need one",
    )
    refuse(*generate, "--prior", codec, out=out, mentions="'vqvae'.*'prior' is needed")
    other = write_codec(tmp_path / "other", seed=1)
    refuse(
        *("generate-bass", "--quiet", "--song", song, "--codec", other, "--prior", prior),
        out=out,
        mentions="codes.*were made by the codec",
    )
    for options, mentions in {
        ("--temperature", "-1"): "the temperature is -1.0, but it must be",
        ("--guide", "drums"): "write it as drums=2",
        ("--guide", "piano=2"): "no source 'piano'",
        ("--guide", "drums=2", "--guide", "drums=3"): "--guide names drums more than once",
        ("--redo", "later"): "write it as 0:30-0:45",
        ("--keep", "0:20-0:30"): "time range",
        ("--chords", "H"): "in bar 1 of the chords, 'H' is not a chord",
        ("--chords", "C", "--midi-in", "x.mid"): "a MIDI line and chords exclude each other",
        ("--bpm", "7"): "the tempo is 7.0 beats per minute: give a number from 20 to 400",
        ("--first-downbeat", "-1"): "the first downbeat is at -1.0 s: give a time of 0 s or later",
        ("--meter", "waltz"): "'waltz' is not a time signature: write it as 3/4 or 6/8",
        ("--lowest", "low"): "'low' is not a pitch: give a name such as E1 or Bb2",
        (
            "--lowest",
            "G2",
            "--highest",
            "E1",
        ): "the range of the line is G2 to E1, but it must rise",
        ("--midi-in", str(song)): "song.wav",
        ("--from", "x.json", "--bpm", "96"): "--from repeats a run as it was: leave out",
        ("--from", str(song)): "song.wav does not say how to write its files again",
        ("--from", "x.json"): "there is no file x.json: name a NAME.json",
        ("--limit", "--no-rescale"): "--limit and --no-rescale exclude each other",
        ("--format", "flac", "--bits", "32f"): "FLAC cannot hold 32-bit floating-point samples",
        ("--name", "x", "--song", "y"): "--name names the files of one song, but there are 2",
        ("--name", "a/b"): "'a/b' cannot be the name of files",
        ("--bass-level", "loud"): "'loud' is not a change of level: write it as -3dB",
    }.items():
        refuse(*generate, "--prior", prior, *options, out=out, mentions=mentions)


@pytest.mark.parametrize(
    ("options", "mentions"),
    [
        ((), "nothing to edit: give --mute"),
        (("--mute", "bass", "--within", "0:01-0:02"), "--within has no effect without --shift:"),
        (
            ("--splice", "0:01-0:02", "--within", "0:01-0:02"),
            "--within has no effect without --shift:",
        ),
        (("--mute", "bass", "--at", "0:01"), "--at has no effect without --splice:"),
        (("--shift", "0.5", "--donor", "other"), "--donor has no effect without --splice:"),
        (
            ("--mute", "bass", "--sources", "drums"),
            "--sources has no effect without --splice or --shift:",
        ),
        (
            ("--replace", "bass=x", "--sources", "bass"),
            "--sources has no effect without --splice or --shift:",
        ),
    ],
    ids=" ".join,
)
def test_edits_that_would_be_ignored_are_refused(
    options: tuple[str, ...], mentions: str, tmp_path: Path
) -> None:
    nothing = tmp_path / "none"  # neither codes nor a codec
    edit = ("codes", "edit", nothing, "--codec", nothing)
    refuse(*edit, *options, out=tmp_path / "out", mentions=mentions)


def truncated_mp4(data: Path, stem_mp4: Path) -> None:
    content = stem_mp4.read_bytes()
    (data / "cut.stem.mp4").write_bytes(content[: len(content) // 2])


@pytest.mark.parametrize(
    ("stems", "mentions"),
    [
        ({"bass": np.zeros((2 * RATE, 2))}, "one.*differ in length.*bass"),
        ({"vocals": None, "drums": None}, "one.*no vocals and no drums"),
        ({"drums": np.full((RATE // 2, 2), np.nan)}, "drums.wav.*NaN"),
        ({"other": np.zeros((0, 2))}, "other.wav.*no samples"),
    ],
    ids=["unequal length", "missing stems", "nan", "no samples"],
)
def test_bad_stems_are_refused(
    stems: dict[str, np.ndarray | None], mentions: str, tmp_path: Path, write_song: WriteSong
) -> None:
    for name in ("train/one", "valid/two"):
        write_song(tmp_path / "data" / name, **(stems if name == "train/one" else {}))
    if "drums" in stems and stems["drums"] is not None:
        soundfile.write(
            tmp_path / "data/train/one/drums.wav", stems["drums"], RATE, subtype="FLOAT"
        )
    refuse(*train(tmp_path / "data"), out=tmp_path / "run", mentions=mentions)


def test_unequal_rates_are_refused(tmp_path: Path, write_song: WriteSong) -> None:
    folder = write_song(tmp_path / "data/train/one")
    soundfile.write(folder / "bass.wav", np.zeros((24000, 2)), 48000)
    refuse(*train(tmp_path / "data"), out=tmp_path / "run", mentions="one.*differ.*rate.*bass")


def test_a_truncated_stem_mp4_is_refused(tmp_path: Path, stem_mp4: Path) -> None:
    (tmp_path / "data/train").mkdir(parents=True)
    truncated_mp4(tmp_path / "data/train", stem_mp4)
    refuse(*train(tmp_path / "data"), out=tmp_path / "run", mentions="cut.stem.mp4.*truncated")


def test_a_folder_without_songs_is_refused(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    refuse(*train(tmp_path / "data"), out=tmp_path / "run", mentions="data holds no songs")
    refuse(*train(tmp_path / "none"), out=tmp_path / "run", mentions="no folder.*none")


def test_an_output_that_cannot_be_written_is_refused(
    tmp_path: Path, stem_folder: Path, codec: Path
) -> None:
    (tmp_path / "file").touch()
    out = tmp_path / "file" / "run"
    extract = ("extract-codes", "--data", stem_folder, "--codec", codec)
    for command in (train(stem_folder), extract, ("evaluate-vqvae", "--data", stem_folder)):
        for each in (out, tmp_path / "file"):
            refuse(*command, out=each, mentions="file is not a folder, but the results need one")


def test_wrong_settings_are_refused(tmp_path: Path, stem_folder: Path) -> None:
    for option, mentions in {
        "train.stepz=3": "did you mean 'train.steps'",
        "train.steps=many": "'train.steps' must be a whole number, not 'many'",
        "train.steps=0": "'train.steps' must be from 1 to 1000000000, not 0",
        "steps": "section.key=value",
    }.items():
        refuse(*train(stem_folder), "--set", option, out=tmp_path / "run", mentions=mentions)
    refuse(
        *("train-prior", "--codes", tmp_path, "--preset", "huge"),
        out=tmp_path / "run",
        mentions="no preset 'huge'.*compact, tiny",
    )


def test_checkpoints_that_do_not_fit_are_refused(
    tmp_path: Path, stem_folder: Path, codec: Path
) -> None:
    extract = ("extract-codes", "--data", stem_folder, "--device", "cpu")
    out = tmp_path / "codes"
    refuse(*extract, "--codec", tmp_path / "none", out=out, mentions="no checkpoint at .*none")
    save_checkpoint(tmp_path / "prior/model.safetensors", {}, {"stage": "prior"})
    refuse(*extract, "--codec", tmp_path / "prior", out=out, mentions="'prior'.*'vqvae' is needed")

    arguments = [*extract, "--codec", codec, "--out", out]
    assert CliRunner().invoke(cli.app, [*map(str, arguments)]).exit_code == 0
    other = write_codec(tmp_path / "other", seed=1)
    fingerprint = json.loads((codec / "model.json").read_text())["fingerprint"]
    refuse(*extract, "--codec", other, out=out, mentions=fingerprint)


def test_a_data_set_of_dropped_midi_files_only_is_refused(tmp_path: Path) -> None:
    midi, out = tmp_path / "midi", tmp_path / "out"
    midi.mkdir()
    for name in ("a.mid", "b.mid"):
        (midi / name).write_text(f"{name} is no music")
    arguments = ["make-dataset", "--songs", "0", "--midi", str(midi), "--out", str(out)]
    result = CliRunner().invoke(cli.app, arguments)
    assert result.exit_code == 2, (result.output, result.exception)
    *drops, mistake = result.stderr.splitlines()
    assert [re.sub(r".*/", "", drop).partition(": ")[0] for drop in drops] == ["a.mid", "b.mid"]
    assert re.match(r"error: no song was written to .*out: all 2 were dropped", mistake)
    assert not result.stdout
    assert [file.name for file in files(out)] == ["dataset.json"]  # a later run may replace it


@pytest.mark.parametrize(
    ("value", "mentions"),
    [
        ("up", "--transpose 'up' is not LOW..HIGH"),
        ("3..-3", "--transpose '3..-3' is not LOW..HIGH"),
        ("1..2..3", "write it as -3..3"),
        ("-13..0", "give -12 to 12"),
        ("0..99999999999999", "give -12 to 12"),
    ],
)
def test_a_wrong_transposition_is_refused_before_anything_is_read(
    value: str, mentions: str, tmp_path: Path
) -> None:
    nothing = tmp_path / "none"  # neither songs nor a codec
    extract = ("extract-codes", "--data", nothing, "--codec", nothing)
    refuse(*extract, "--transpose", value, out=tmp_path / "codes", mentions=mentions)


def train(data: Path) -> tuple[object, ...]:
    return ("train-vqvae", "--data", data, "--preset", "tiny", "--device", "cpu")
