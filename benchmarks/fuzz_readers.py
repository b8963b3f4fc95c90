"""What benchmarks/fuzz.py tries: each reader and writer, with whole inputs to damage.

A `Subject` makes an input from whole ones and chance, and reads it, and where that succeeds writes
what was read and uses it as the commands do. An input is one file; where a reader takes a folder,
the other files of the folder are whole.
"""

import hashlib
import io
import json
import random
import shutil
import struct
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from functools import cache
from pathlib import Path
from typing import Any

import av
import numpy as np
import soundfile
import torch
from safetensors import safe_open

import cli
from benchmarks.mutate import (
    json_bytes,
    mutate_bytes,
    mutate_json,
    mutate_json_text,
    mutate_tensors,
    mutate_text,
    random_text,
)
from benchmarks.tiny import RATE, SECONDS, Tiny, facts, tone
from shared.band.dataset import MANIFEST as DATASET
from shared.band.recording.render import Orchestra
from shared.band.scores.midi_import import read_midi_score
from shared.band.songbook.progressions import read_songbook
from shared.codes.codec import Codec
from shared.codes.editing import CodeEdits, edit_file
from shared.codes.song_codes import SongCodes, require_codec
from shared.config import config_from_dict, load_config
from shared.config_text import as_toml
from shared.errors import UserError
from shared.json_files import write_json
from shared.music.bar_grid import BarGrid
from shared.music.bar_tracking import BarHints, parse_meter
from shared.music.chord import transpose_key
from shared.music.chord_notation import read_harte, read_symbol
from shared.music.known_grid import grid_of_facts
from shared.music.midi import MidiScore, read_midi, write_midi
from shared.music.notes import Note, notes_to_tokens
from shared.music.pitch_names import parse_pitch
from shared.music.song_facts import SongFacts, read_song_facts
from shared.shard import Shard
from shared.song_figures import comparison_table, read_reports
from shared.songs.augment import Variation, vary_facts
from shared.songs.layouts import parse_names
from shared.songs.tracks import find_tracks
from shared.sound.decibels import parse_decibels
from shared.sound.files import STEM_STREAMS, read_audio, read_stem, write_flac, write_wav
from shared.sound.samples import resample, to_int16, to_stereo
from shared.times import TimeRange, parse_time
from shared.training import state
from shared.training.optimizers import make_average, make_optimizers
from shared.training.run_log import RunLog
from shared.training.run_record import record_start, settings_of
from stage1_vqvae.bass_decoder import config as bass_decoder_config
from stage1_vqvae.bass_decoder.decode import load_bass_decoder
from stage1_vqvae.codec import load_codec
from stage1_vqvae.config import PRESETS, VQVAEConfig
from stage1_vqvae.model import VQVAE
from stage2_prior import config as prior_config
from stage2_prior.chord_line import read_chords
from stage2_prior.composer.features import guided_hearing
from stage2_prior.corpus import open_corpus, read_songs
from stage2_prior.delivery import Delivery
from stage2_prior.listener.labels import FrameLabels
from stage2_prior.model import Prior, load_prior
from stage2_prior.repeat import Recipe
from stage2_prior.studio.history import State
from stage2_prior.studio.json_values import notes as page_notes
from stage2_prior.studio.json_values import parse_object
from stage2_prior.studio.json_values import ranges as page_ranges
from stage2_prior.studio.options import TakeOptions
from stage2_prior.studio.sessions import tidy_name

FRAMES, FRAME_RATE = 87, RATE / 1024


@dataclass(frozen=True)
class Subject:
    """A reader.

    Attributes:
        name: what it reads.
        weight: how many of the inputs are its, beside the others'.
        make: makes an input from chance.
        read: reads an input, which lies in the current folder, and uses it. UserError is its only
            way to fail.
    """

    name: str
    weight: int
    make: Callable[[random.Random], tuple[str, bytes]]
    read: Callable[[Path], Any]


def _of_files(
    files: Mapping[str, bytes], mutate: "Mutation"
) -> Callable[[random.Random], tuple[str, bytes]]:
    """Make inputs from whole files by their names."""

    def make(chance: random.Random) -> tuple[str, bytes]:
        name = chance.choice(sorted(files))
        return name, mutate(files[name], [*files.values()], chance)

    return make


def _json_mutation(data: bytes, _: Sequence[bytes], chance: random.Random) -> bytes:
    return mutate_json_text(data, chance)


Mutation = Callable[[bytes, Sequence[bytes], random.Random], bytes]


def _text_mutation(words: Sequence[str]) -> Mutation:
    def mutate(data: bytes, others: Sequence[bytes], chance: random.Random) -> bytes:
        if chance.random() < 0.2:
            return mutate_bytes(data, others, chance)
        text = mutate_text(data.decode(), words, chance)
        return text.encode("utf-8", "surrogatepass")

    return mutate


# Sound.


def _audio_files(folder: Path) -> dict[str, bytes]:
    folder.mkdir(parents=True, exist_ok=True)
    samples = tone("fuzz", 0.25)
    for suffix, subtype in (
        *((".wav", "PCM_16"), (".aiff", "PCM_24"), (".flac", "PCM_16"), (".ogg", "VORBIS")),
        *((".caf", "PCM_16"), (".w64", "FLOAT"), (".au", "PCM_16"), (".rf64", "PCM_24")),
    ):
        soundfile.write(folder / f"sound{suffix}", samples.T, RATE, subtype)
    soundfile.write(folder / "float.wav", 2 * samples.T, 96_000, "FLOAT")
    soundfile.write(folder / "mono.wav", samples[0], 8000, "PCM_U8")
    _encode(folder / "sound.mp3", "mp3", [samples])
    _encode(folder / "sound.m4a", "aac", [samples])
    _encode(folder / "sound.webm", "libopus", [samples])
    _encode(folder / "sound.mka", "flac", [samples])
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def _encode(path: Path, encoder: str, streams: Sequence[np.ndarray]) -> None:
    """Write sounds `[2, N]` as the streams of a file, with PyAV."""
    rate = 48_000 if encoder == "libopus" else RATE
    with av.open(str(path), "w") as container:
        outs: list[Any] = [container.add_stream(encoder, rate=rate) for _ in streams]
        for out in outs:
            out.codec_context.layout = "stereo"
        for out, samples in zip(outs, streams, strict=True):
            frame = av.AudioFrame.from_ndarray(
                np.ascontiguousarray(samples, np.float32), format="fltp", layout="stereo"
            )
            frame.sample_rate = rate
            into = av.AudioResampler(out.codec_context.format, "stereo", rate)
            fifo = av.AudioFifo()
            for converted in into.resample(frame):
                converted.pts = None
                fifo.write(converted)
            for part in fifo.read_many(out.codec_context.frame_size or 4096, partial=True):
                container.mux(out.encode(part))
            container.mux(out.encode(None))


def _read_sound(path: Path) -> None:
    audio = read_audio(path)
    sound = resample(to_stereo(audio.samples), audio.sample_rate, RATE)
    write_flac(Path("written.flac"), sound, RATE, "PCM_16")
    write_wav(Path("written.wav"), audio.samples, audio.sample_rate, "PCM_24")


def _read_stem(path: Path) -> None:
    to_int16(read_stem(path, "bass").samples)


# Notes and chords.


def _midi_files(folder: Path) -> dict[str, bytes]:
    import pretty_midi

    folder.mkdir(parents=True, exist_ok=True)
    beats = np.arange(0, 16, 0.5)
    grid = BarGrid(beats, np.arange(0, len(beats), 4))
    line = [Note(float(beat), 0.4, 33 + step % 7) for step, beat in enumerate(beats)]
    write_midi(folder / "line.mid", line, MidiScore(grid, "A minor"), "both")
    midi = pretty_midi.PrettyMIDI(initial_tempo=120.0)
    for program, is_drum, name in ((33, False, "bass"), (0, True, "drums"), (0, False, "piano")):
        part = pretty_midi.Instrument(program, is_drum, name)
        part.notes = [
            pretty_midi.Note(90, 38 if is_drum else note.pitch, note.onset, note.end)
            for note in line
        ]
        part.control_changes = [pretty_midi.ControlChange(7, 100, 0.0)]
        part.pitch_bends = [pretty_midi.PitchBend(500, 1.0)]
        midi.instruments.append(part)
    midi.write(str(folder / "band.mid"))
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def _read_midi(path: Path) -> None:
    for read in (read_midi, lambda path: read_midi_score(path, None)):
        try:
            found = read(path)
        except UserError:
            continue
        if isinstance(found, list):
            write_midi(Path("written.mid"), found)
            notes_to_tokens(found, FRAMES, FRAME_RATE)
        else:
            SongFacts.from_dict(found.facts.to_dict(), "the score")


_CHORD_WORDS = (
    *("A", "Bb", "C#", "F", "G", "m", "maj7", "7", "dim", "sus4", "add9", "6/9", "/", "|", "%"),
    *(".", " ", "N", "NC", ":", "min7", "(", ")", "b9", "#11", "♯", "♭", "alt", "no3", "-", "+"),
    *("°", "Δ"),
    *("x", "\n", "0:00 ", "1.5 ", "99999 ", "meter 4/4", "tempo 96", "[verse]", "\0", "𝄞", "N.C."),
)
_GRID = BarGrid(np.arange(0, 16, 0.5), np.arange(0, 32, 4))
_CHORD_FILES = {
    "chords.lab": b"0:00 Am\n0:02.5 F/A\n5.0 N\n7.25 G7\n",
    "song.txt": b"meter 4/4 tempo 96 key Am\n[verse]\n"
    + b"Am | F G | % | N | C | Dm | E7 | Am\n" * 2,
    "song.jsonl": json.dumps(
        {
            "id": "a", "meter": "4/4", "tempo": 96, "key": "A:min", "bars": [[8, 4]],
            "chords": [[4, "A:min"], [4, "F:maj"], [24, "C:7(b9)/3"]], "sections": [[0, "verse"]],
        }
    ).encode() + b"\n",
}  # fmt: skip


def _make_chord_file(chance: random.Random) -> tuple[str, bytes]:
    name = chance.choice(sorted(_CHORD_FILES))
    if name.endswith("jsonl") and chance.random() < 0.8:
        return name, mutate_json_text(_CHORD_FILES[name], chance)
    return name, _text_mutation(_CHORD_WORDS)(_CHORD_FILES[name], [b"\n"], chance)


def _read_chord_file(path: Path) -> None:
    if path.suffix == ".lab":
        read_chords(str(path), _GRID, 16.0)
    else:
        read_songbook(path)


# Texts of the command line.

_WORDS = (
    *_CHORD_WORDS,
    *("0", "1", "30", "0:30", "-", "1:02:03.5", "1e9", "nan", "inf", "-1", "99999999999", "dB"),
    *("3/4", "16/16", "E1", "G#3", "..", "=", "drums", "bass", "a.b", "../", "/", "\\", "~", "$x$"),
    *("'", '"', "[1, 2]", "true", "{", "}", "٣", "²", ","),
)
_TEXTS: Mapping[str, tuple[str, Callable[[str], Any]]] = {
    "range": ("0:30-0:45.5", TimeRange.parse),
    "time": ("1:02:03.5", parse_time),
    "symbol": ("F#m7b5/A", read_symbol),
    "harte": ("Bb:min7(b9)/b3", read_harte),
    "pitch": ("Bb2", parse_pitch),
    "meter": ("6/8", lambda text: BarHints(meter=parse_meter(text))),
    "level": ("-3dB", parse_decibels),
    "shard": ("2/8", Shard.parse),
    "transpose": ("-3..3", lambda text: [*map(Variation, cli._semitones(text))]),
    "guide": ("drums=2", lambda text: cli._source_scales([text])),
    "map": ("bass=BASS_DI.wav", lambda text: parse_names([text])),
    "set": ("train.steps=3", lambda text: _tiny_config("tiny", None, [text])),
    "preset": ("compact", lambda text: _tiny_config(text, None, [])),
    "name": ("my song", lambda text: Delivery(name=text).paths(Path("song.wav"), Path("out"))),
    "upload": ("my song.wav", tidy_name),
    "key": ("G# minor", lambda text: transpose_key(text, 1)),
    "chords": ("Cm | Ab Eb | Bb", lambda text: read_chords(text, _GRID, 16.0)),
}


def _make_text(chance: random.Random) -> tuple[str, bytes]:
    kind = chance.choice(sorted(_TEXTS))
    text = random_text(_WORDS, chance)
    if chance.random() < 0.7:
        text = mutate_text(_TEXTS[kind][0], _WORDS, chance)
    if chance.random() < 0.01:
        text *= 20_000
    return f"text.{kind}", text.encode("utf-8", "surrogatepass")


def _read_text(path: Path) -> None:
    _TEXTS[path.suffix[1:]][1](path.read_bytes().decode("utf-8", "surrogatepass"))


def _tiny_config(preset: str, file: Path | None, overrides: Sequence[str]) -> None:
    as_toml(load_config(VQVAEConfig, PRESETS, preset, file, overrides))


# Settings.

_CONFIGS: tuple[tuple[str, type, Path], ...] = (
    ("vqvae", VQVAEConfig, PRESETS),
    ("prior", prior_config.PriorConfig, prior_config.PRESETS),
    ("decoder", bass_decoder_config.BassDecoderConfig, bass_decoder_config.PRESETS),
)
_TOML_WORDS = (
    *("=", "[", "]", "[[a]]", "{", "}", ".", '"', "'", "#", "\n", "nan", "inf", "-1", "1e999", "0"),
    *("999999999999999999999", "true", "1979-05-27", "[1,", "]" * 3, "a.b.c", "\\u0000", "x = 1\n"),
)


def _config_files() -> dict[str, bytes]:
    return {
        f"{name}.toml": as_toml(load_config(cls, presets, preset)).encode()
        for name, cls, presets in _CONFIGS
        for preset in ("tiny",)
    }


def _read_config(path: Path) -> None:
    for name, cls, presets in _CONFIGS:
        if path.stem == name:
            loaded: Any = load_config(cls, presets, "tiny", path)
            as_toml(loaded)
            config_from_dict(cls, asdict(loaded))


# What is known of songs.


def _read_facts(path: Path) -> None:
    found = read_song_facts(path)
    again = SongFacts.from_dict(found.to_dict(), "what was written")
    assert again.to_dict() == found.to_dict()
    vary_facts(found, Variation(2, 0.9))
    grid_of_facts(found, SECONDS)
    FrameLabels.of(found, FRAMES, FRAME_RATE)
    if found.bass_notes is not None:
        notes_to_tokens(found.bass_notes, FRAMES, FRAME_RATE)


# Folders of songs, codes and reports.

_STEMS_TOML = b'bass = ["BASS_DI.wav", "b"]\nother = ["GTR.wav", "KEYS"]\n'
_TRACK = {"id": "x", "extension": "wav"}
_MOISES = {"song": "a", "stems": [{"stemName": "bass", "tracks": [_TRACK]}]}
_SLAKH = (
    b"stems:\n  S00:\n    inst_class: Bass\n    is_drum: false\n  S01:\n    inst_class: Drums\n"
    b"    is_drum: true\n"
)


def _folder_inputs(made: Tiny) -> dict[str, bytes]:
    figures = {"part": "p", "songs": ["a", "b"], "values": {"sdr": [1.0, 2.0], "x": [None, 1]}}
    return {
        "songs/stems.toml": _STEMS_TOML,
        "songs/one/data.json": json.dumps(_MOISES).encode(),
        "songs/two/metadata.yaml": _SLAKH,
        "codes/manifest.json": (made.codes / "manifest.json").read_bytes(),
        "report/report.json": json.dumps({"by_song": {"m": figures, "n": figures}}).encode(),
        "run/run.json": (made.codec / "run.json").read_bytes(),
        f"dataset/{DATASET}": json.dumps({"songs": 1, "seed": 0, "midi": {}}).encode(),
    }


def _make_folder(files: Mapping[str, bytes]) -> Callable[[random.Random], tuple[str, bytes]]:
    def make(chance: random.Random) -> tuple[str, bytes]:
        name = chance.choice(sorted(files))
        if name.endswith("json"):
            return name, mutate_json_text(files[name], chance)
        return name, _text_mutation(_TOML_WORDS)(files[name], [b":\n"], chance)

    return make


def _read_folder(made: Tiny) -> Callable[[Path], None]:
    def read(path: Path) -> None:
        kind = path.parts[0]
        if kind == "songs":
            for name in ("one", "two/stems"):
                Path("songs", name).mkdir(parents=True, exist_ok=True)
            Path("songs/two/stems/S00.wav").touch()
            find_tracks(Path("songs"))
        elif kind == "codes":
            for split in ("train", "valid", "test"):
                if not Path("codes", split).exists():
                    shutil.copytree(made.codes / split, Path("codes", split))
            [*read_songs(open_corpus(Path("codes")), lambda song: song.track)]
        elif kind == "report":
            comparison_table(read_reports([Path("report")]))
        elif kind == "run":
            settings_of(Path("run"))
            record_start(Path("run"), {"step": 0})
        else:
            from shared.band.dataset import _read_manifest

            _read_manifest(path)

    return read


def _recipe_file() -> bytes:
    """A NAME.json of `generate-bass`, as far as `--from` reads it."""
    from stage2_prior.arrange import ArrangeOptions, _options
    from stage2_prior.sampling import SamplingSettings

    path = Path(tempfile.mkdtemp()) / "a.json"
    content = {
        "name": "a",
        "song": "song.wav",
        "song_sha256": hashlib.sha256(b"song").hexdigest(),
        "settings": asdict(SamplingSettings()),
        "options": _options(ArrangeOptions()),
        "sound": {"name": "paper"},
        "checkpoints": {"codec": "c", "prior": "p"},
        "versions": {"torch": "2"},
        "rank": 1,
        "sha256": {"bass": "x"},
    }
    write_json(path, content)
    return path.read_bytes()


class _Model:
    fingerprint = "c"


def _read_recipe(path: Path) -> None:
    Path("song.wav").write_bytes(b"song")
    recipe = Recipe.read(path)
    song = recipe.find_song([])
    options = recipe.options_for(song, None, False)
    options.delivery.paths(song, Path("out"))
    str(recipe.sound_option)
    # What the run would compute with.
    settings, hints = recipe.settings, options.hints
    numbers = [settings.temperature, settings.note_temperature, settings.top_p, settings.guidance]
    numbers += [options.bass_level, settings.seed, settings.top_k, settings.candidates]
    numbers += [each.stop - each.start for each in (*options.edits.keep, *options.edits.redo)]
    numbers += [*settings.source_guidance.values(), hints.bpm or 0, hints.beats_per_bar or 0]
    assert np.isfinite(np.array(numbers, np.float64)).all()


# Pages.

_STATE = {
    **State().as_json(),
    "takes": [1],
    "notes": [[0.0, 0.5, 33, 90]],
    "ranges": [[0.0, 1.0]],
}


def _read_page(path: Path) -> None:
    body = dict(parse_object(path.read_bytes()))
    notes, ranges = body.pop("notes", None), body.pop("ranges", None)
    for read in (
        lambda: State.read(State().as_json() | body, [1, 2], SECONDS),
        lambda: TakeOptions.read({k: v for k, v in body.items() if k in _OPTION_NAMES}),
        lambda: page_notes(notes, SECONDS),
        lambda: page_ranges(ranges, SECONDS),
    ):
        try:
            read()
        except UserError:
            continue


_OPTION_NAMES = {field.name for field in fields(TakeOptions)}


# Codes and checkpoints.


def _codes_reader(made: Tiny, codec: Codec, prior: Prior) -> Callable[[Path], None]:
    def read(path: Path) -> None:
        song = SongCodes.load(path)
        song.save(Path("written.codes.safetensors"))
        again = SongCodes.load(Path("written.codes.safetensors"))
        assert all((again.view(name) == song.view(name)).all() for name in song.views)
        require_codec(song, codec)
        guided_hearing(prior.listener, song.view("accompaniment"), {})
        FrameLabels.of(song.facts, song.num_frames, song.frame_rate)
        edits = CodeEdits(("vocals",), (), "0-0.5", None, "1", 0.1, None, None)
        edit_file(path, Path("edited.codes.safetensors"), edits, lambda: codec, True)
        codec.decode(song.view("mixture"), song.num_samples)

    return read


def _make_checkpoint(made: Tiny) -> Callable[[random.Random], tuple[str, bytes]]:
    runs = {"vqvae": made.codec, "prior": made.prior, "decoder": made.bass_decoder}
    weights = {name: (run / "model.safetensors").read_bytes() for name, run in runs.items()}
    beside = {name: (run / "model.json").read_bytes() for name, run in runs.items()}

    def make(chance: random.Random) -> tuple[str, bytes]:
        name = chance.choice(sorted(runs))
        if chance.random() < 0.5:
            return f"{name}/model.json", mutate_json_text(beside[name], chance)
        return f"{name}/model.safetensors", mutate_tensors(
            weights[name], [*weights.values()], chance
        )

    return make


def _checkpoint_reader(made: Tiny, codec: Codec) -> Callable[[Path], None]:
    sound = np.zeros((2, 4 * codec.hop), np.float32)
    codes = codec.encode(sound)

    def read(path: Path) -> None:
        kind = path.parts[0]
        run = {"vqvae": made.codec, "prior": made.prior, "decoder": made.bass_decoder}[kind]
        for name in ("model.safetensors", "model.json"):
            if name != path.name:
                shutil.copy(run / name, path.parent / name)
        if kind == "vqvae":
            loaded = load_codec(path.parent, "cpu")
            loaded.decode(loaded.encode(sound), sound.shape[1])
        elif kind == "prior":
            guided_hearing(load_prior(path.parent, "cpu").listener, codes, {})
        else:
            load_bass_decoder(path.parent, codec, "cpu").decode(codes[1], None, sound.shape[1])

    return read


def _state_subject(made: Tiny) -> Subject:
    """The state of a training run. Half of the inputs have a checksum that fits their header."""
    config = load_config(VQVAEConfig, PRESETS, "tiny")
    settings = config.train
    file = made.codec / state.STATE_NAME
    whole, log = file.read_bytes(), (made.codec / "metrics.jsonl").read_bytes()
    with safe_open(file, framework="pt") as opened:
        identity = json.loads(opened.metadata()["run"])["identity"]

    def make(chance: random.Random) -> tuple[str, bytes]:
        if chance.random() < 0.2:
            lines = log.splitlines()
            lines[chance.randrange(len(lines))] = mutate_json_text(chance.choice(lines), chance)
            return "run/metrics.jsonl", b"\n".join(lines) + b"\n" * chance.choice((0, 1))
        if chance.random() < 0.5:
            return f"run/{state.STATE_NAME}", mutate_tensors(whole, [whole], chance)
        return f"run/{state.STATE_NAME}", _with_checksum(whole, chance)

    def read(path: Path) -> None:
        torch.manual_seed(0)
        model = VQVAE(config.model)
        precision: Any = _Precision()
        run = state.Run(
            model, make_optimizers(model, settings), make_average(model, settings), precision
        )
        for name in (state.STATE_NAME, "metrics.jsonl"):
            if name != path.name:
                shutil.copy(made.codec / name, path.parent / name)
        state.load_state(path.parent, run, identity)
        state.save_state(path.parent, run, identity)
        log = RunLog(path.parent, run.step)
        log.add(run.step, "train", run.seconds, {"loss": 1.0})
        log.save()
        log.close()

    return Subject("training states and logs", 4, make, read)


class _Precision:
    """What `Run.precision` needs to be."""

    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, values: Any) -> None:
        if values:
            raise RuntimeError("there is no scaler")


def _with_checksum(whole: bytes, chance: random.Random) -> bytes:
    """Damage the header of a state, and compute the checksum that it then has."""
    size = struct.unpack("<Q", whole[:8])[0]
    outer = json.loads(whole[8 : 8 + size])
    inner = json.loads(outer["__metadata__"]["run"])
    del inner["checksum"]
    inner = mutate_json(inner, chance)
    if isinstance(inner, dict):
        from safetensors.torch import load

        inner["checksum"] = state._checksum(inner, load(whole))
    outer["__metadata__"]["run"] = json_bytes(inner, chance).decode("utf-8", "replace")
    text = json.dumps(outer).encode()
    return struct.pack("<Q", len(text)) + text + whole[8 + size :]


# SoundFonts.


@cache  # An encoder gives each stream a number of its own.
def small_soundfont(compressed: bool = False) -> bytes:
    """A SoundFont with one bass, whose sample is a sine: one period, or 200 as an Ogg stream."""
    sine = (8000 * np.sin(2 * np.pi * np.arange(256) / 256)).astype("<i2")
    sample, end, last, kind = sine.tobytes(), 255, 255, 1
    if compressed:
        stream = io.BytesIO()
        soundfile.write(stream, np.tile(sine, 200), RATE, format="OGG", subtype="VORBIS")
        sample = stream.getvalue()
        end, last, kind = len(sample), 200 * 256 - 1, 0x11

    def chunk(name: bytes, data: bytes) -> bytes:
        return name + struct.pack("<I", len(data)) + data + b"\0" * (len(data) % 2)

    def name(text: bytes) -> bytes:
        return text.ljust(20, b"\0")

    info = chunk(b"ifil", struct.pack("<HH", 2, 1)) + chunk(b"INAM", b"fuzz\0\0")
    presets = name(b"bass") + struct.pack("<HHHIII", 33, 0, 0, 0, 0, 0)
    presets += name(b"EOP") + struct.pack("<HHHIII", 0, 0, 1, 0, 0, 0)
    instruments = name(b"bass") + struct.pack("<H", 0) + name(b"EOI") + struct.pack("<H", 1)
    headers = name(b"sine") + struct.pack("<IIIIIBbHH", 0, end, 0, last, RATE, 45, 0, 0, kind)
    headers += name(b"EOS") + bytes(26)
    data = b"".join(
        (
            *(chunk(b"phdr", presets), chunk(b"pbag", struct.pack("<HHHH", 0, 0, 1, 0))),
            *(chunk(b"pmod", bytes(10)), chunk(b"pgen", struct.pack("<HHHH", 41, 0, 0, 0))),
            *(chunk(b"inst", instruments), chunk(b"ibag", struct.pack("<HHHH", 0, 0, 2, 0))),
            chunk(b"imod", bytes(10)),
            chunk(b"igen", struct.pack("<HHHHHH", 54, 1, 53, 0, 0, 0)),
            chunk(b"shdr", headers),
        )
    )
    body = chunk(b"LIST", b"INFO" + info) + chunk(b"LIST", b"sdta" + chunk(b"smpl", sample))
    body += chunk(b"LIST", b"pdta" + data)
    return b"RIFF" + struct.pack("<I", 4 + len(body)) + b"sfbk" + body


def _read_soundfont(path: Path) -> None:
    from shared.band.scores.score import Part

    with Orchestra([path]) as orchestra:
        part = Part("bass", "bass", 33, False, (Note(0.0, 0.2, 40),))
        orchestra.play(part, 0, RATE // 4)


def subjects(made: Tiny, folder: Path) -> list[Subject]:
    """Return all readers; whole inputs that must be made are made in the folder."""
    torch.set_num_threads(1)
    codec, prior = load_codec(made.codec, "cpu"), load_prior(made.prior, "cpu")
    (folder / "stems").mkdir(parents=True)
    record_start(folder, {})  # it asks git for the commit, once
    stems = folder / "stems" / "song.stem.mp4"
    _encode(stems, "aac", [tone(name, 0.2) for name in STEM_STREAMS])
    codes = {
        f"{split}.codes.safetensors": path.read_bytes()
        for split, path in ((p.parent.name, p) for p in made.codes.rglob("*.safetensors"))
    }
    song_json = {"song.json": json.dumps(facts(SECONDS)).encode()}
    recipe = {"a.json": _recipe_file()}
    soundfont = {"a.sf2": small_soundfont(), "b.sf3": small_soundfont(compressed=True)}
    page = {"page.json": json.dumps(_STATE | asdict(TakeOptions())).encode()}
    return [
        Subject("audio", 24, _of_files(_audio_files(folder / "audio"), mutate_bytes), _read_sound),
        Subject(
            "stem files", 3, _of_files({stems.name: stems.read_bytes()}, mutate_bytes), _read_stem
        ),
        Subject("MIDI", 10, _of_files(_midi_files(folder / "midi"), mutate_bytes), _read_midi),
        Subject("chord files", 5, _make_chord_file, _read_chord_file),
        Subject("texts", 16, _make_text, _read_text),
        Subject("TOML", 6, _of_files(_config_files(), _text_mutation(_TOML_WORDS)), _read_config),
        Subject("song.json", 10, _of_files(song_json, _json_mutation), _read_facts),
        Subject("manifests and reports", 8, _make_folder(_folder_inputs(made)), _read_folder(made)),
        Subject("NAME.json", 4, _of_files(recipe, _json_mutation), _read_recipe),
        Subject("pages", 3, _of_files(page, _json_mutation), _read_page),
        Subject("codes", 10, _of_files(codes, mutate_tensors), _codes_reader(made, codec, prior)),
        Subject("checkpoints", 8, _make_checkpoint(made), _checkpoint_reader(made, codec)),
        _state_subject(made),
        Subject("SoundFonts", 2, _of_files(soundfont, mutate_bytes), _read_soundfont),
    ]
