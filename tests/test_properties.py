"""What is written is read again as it was, for any content; and any text is read or refused.

Hypothesis draws the same examples in every run. `python -m benchmarks.fuzz` tries far more.
"""

import json
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from shared.codes.codec import CodeFormat
from shared.codes.manifest import read_manifest, write_manifest
from shared.codes.song_codes import SongCodes
from shared.config import config_from_dict, load_config
from shared.config_text import as_toml
from shared.errors import UserError
from shared.json_files import write_json
from shared.music.chord import QUALITIES, Chord
from shared.music.chord_notation import read_harte, read_symbol
from shared.music.midi import read_midi, write_midi
from shared.music.notes import Note
from shared.music.pitch_names import parse_pitch
from shared.music.song_facts import SongFacts, read_song_facts
from shared.shard import Shard
from shared.sound.decibels import parse_decibels
from shared.sound.files import read_audio, write_flac, write_wav
from shared.sources import SOURCES
from shared.times import TimeRange, clock, parse_time
from shared.training.checkpoint import load_checkpoint, save_checkpoint
from stage1_vqvae.bass_decoder import config as bass_decoder
from stage1_vqvae.config import PRESETS, VQVAEConfig
from stage2_prior import config as prior
from stage2_prior.repeat import Recipe
from tests.toy_songs import make_song

few = settings(derandomize=True, max_examples=25, deadline=None, database=None)
many = settings(derandomize=True, max_examples=150, deadline=None, database=None)

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4)
    ),
    max_leaves=10,
)
WORDS = st.text(max_size=12) | st.lists(
    st.sampled_from([*"0123456789:.-/#b ACEGm()|%", "maj7", "sus", "dim", "add9", "\0", "é", "٣"]),
    max_size=12,
).map("".join)


@contextmanager
def folder() -> Iterator[Path]:
    """A folder for one example; tmp_path is one for all of them."""
    with tempfile.TemporaryDirectory() as name:
        yield Path(name)


# Sound.

SHAPES = st.tuples(st.integers(1, 8), st.integers(1, 400))
RATES = st.sampled_from([1000, 8000, 22_050, 44_100, 192_000, 655_350, 768_000])


@few
@given(arrays.arrays(np.float32, SHAPES, elements=st.floats(-8, 8, width=32)), RATES)
def test_float_wavs_are_read_as_they_were_written(samples: np.ndarray, rate: int) -> None:
    with folder() as place:
        write_wav(place / "a.wav", samples, rate, "FLOAT")
        read = read_audio(place / "a.wav")
        first = (place / "a.wav").read_bytes()
        write_wav(place / "a.wav", samples, rate, "FLOAT")
        assert (place / "a.wav").read_bytes() == first
    assert (read.sample_rate, read.wide) == (rate, True)
    np.testing.assert_array_equal(read.samples, samples)


@few
@given(
    arrays.arrays(np.float32, SHAPES, elements=st.floats(-2, 2, width=32)),
    st.sampled_from([8000, 44_100, 192_000]),
    st.sampled_from([(write_wav, 16), (write_wav, 24), (write_flac, 16), (write_flac, 24)]),
)
def test_integer_samples_are_rounded_and_clipped(
    samples: np.ndarray, rate: int, form: tuple[Callable[..., None], int]
) -> None:
    write, bits = form
    with folder() as place:
        write(place / "a", samples, rate, f"PCM_{bits}")
        read = read_audio(place / "a")
    step = 2.0 ** (1 - bits)
    assert read.sample_rate == rate
    assert np.abs(read.samples - np.clip(samples, -1, 1 - step)).max() <= step


@few
@given(st.binary(max_size=300), st.sampled_from([".wav", ".flac", ".mp3", ".m4a", ".ogg", ""]))
def test_bytes_are_no_sound(content: bytes, suffix: str) -> None:
    with folder() as place:
        path = place / f"a{suffix}"
        path.write_bytes(content)
        with pytest.raises(UserError):
            read_audio(path)


# Notes.


@st.composite
def lines(draw: st.DrawFn) -> list[Note]:
    """Lines of notes with a gap between them, at whole milliseconds."""
    notes, now = [], 0
    for _ in range(draw(st.integers(1, 12))):
        now += draw(st.integers(10, 1000))
        length = draw(st.integers(10, 1000))
        pitch, velocity = draw(st.integers(0, 127)), draw(st.integers(1, 127))
        notes.append(Note(now / 1000, length / 1000, pitch, velocity))
        now += length
    return notes


@few
@given(lines())
def test_notes_come_back_from_midi(line: list[Note]) -> None:
    with folder() as place:
        write_midi(place / "a.mid", line)
        read = read_midi(place / "a.mid")
    assert [(note.pitch, note.velocity) for note in read] == [(n.pitch, n.velocity) for n in line]
    tick = 60 / 120 / 480
    for one, other in zip(read, line, strict=True):
        assert one.onset == pytest.approx(other.onset, abs=tick)
        assert one.end == pytest.approx(other.end, abs=2 * tick)


@few
@given(st.binary(max_size=200))
def test_bytes_are_no_notes(content: bytes) -> None:
    with folder() as place:
        (place / "a.mid").write_bytes(b"MThd" + content)
        with pytest.raises(UserError):
            read_midi(place / "a.mid")


# Codes and checkpoints.


@few
@given(
    st.integers(1, 40),
    st.text(max_size=20),
    st.floats(2**-10, 2**10),
    st.sampled_from(["train", "valid", "test"]),
    st.dictionaries(st.text(max_size=5), JSON, max_size=3),
)
def test_codes_come_back(
    frames: int, track: str, gain: float, split: str, song: dict[str, Any]
) -> None:
    try:
        SongFacts.from_dict(song, "it")
        json.dumps(song, allow_nan=False)
    except (UserError, ValueError):
        assume(False)
    track = track.encode("utf-8", "replace").decode()
    made = make_song("a", split, frames=frames, gain=gain, song=song)
    made = SongCodes(**{**vars(made), "track": track})
    with folder() as place:
        made.save(place / "a")
        made.save(place / "b")
        assert (place / "a").read_bytes() == (place / "b").read_bytes()
        read = SongCodes.load(place / "a")
    for name, value in vars(made).items():
        if name not in ("views", "notes", "note_confidence"):
            assert getattr(read, name) == value
    assert made.views.keys() == read.views.keys()
    for name in made.views:
        np.testing.assert_array_equal(read.views[name], made.views[name])
    np.testing.assert_array_equal(read.notes, made.notes)
    np.testing.assert_array_equal(read.note_confidence, made.note_confidence)


KINDS = st.sampled_from([torch.float32, torch.float16, torch.bfloat16, torch.int64, torch.uint8])


@few
@given(
    st.dictionaries(
        st.text("abc.0", min_size=1, max_size=8),
        st.tuples(st.lists(st.integers(0, 3), max_size=3), KINDS),
        max_size=4,
    ),
    st.dictionaries(st.text("xyz", min_size=1), st.integers() | st.text("é\n"), max_size=3),
)
def test_checkpoints_come_back(shapes: dict[str, Any], meta: dict[str, Any]) -> None:
    weights = {name: torch.ones(shape).to(kind) for name, (shape, kind) in shapes.items()}
    with folder() as place:
        path = place / "model.safetensors"
        save_checkpoint(path, weights, {"stage": "toy", **meta})
        read = load_checkpoint(path, "toy")
        path.with_suffix(".json").unlink()
        assert load_checkpoint(path, "toy").meta == read.meta  # the header holds all of it
    assert read.meta.items() >= meta.items()
    assert read.weights.keys() == weights.keys()
    for name, tensor in weights.items():
        assert read.weights[name].dtype == tensor.dtype
        assert torch.equal(read.weights[name], tensor)


@many
@given(JSON)
def test_any_json_beside_weights_is_refused_or_replaced(content: Any) -> None:
    with folder() as place:
        path = place / "model.safetensors"
        save_checkpoint(path, {"a": torch.ones(1)}, {"stage": "toy"})
        path.with_suffix(".json").write_text(json.dumps(content))
        try:
            meta = load_checkpoint(path, "toy").meta
        except UserError:
            return
        assert meta["stage"] == "toy"


# Settings.

CONFIGS: list[tuple[type, Path]] = [
    (VQVAEConfig, PRESETS),
    (prior.PriorConfig, prior.PRESETS),
    (bass_decoder.BassDecoderConfig, bass_decoder.PRESETS),
]


@many
@given(st.sampled_from(CONFIGS), st.data())
def test_settings_come_back_from_toml(kind: tuple[type, Path], data: st.DataObject) -> None:
    cls, presets = kind
    preset = data.draw(st.sampled_from(sorted(path.stem for path in presets.glob("*.toml"))))
    values = asdict(load_config(cls, presets, preset))
    section = values
    while isinstance(section, dict):
        name = data.draw(st.sampled_from(sorted(section)))
        if not isinstance(section[name], dict):
            section[name] = data.draw(
                st.integers(0, 4096) | st.floats(0, 10) | st.booleans() | JSON
            )
            break
        section = section[name]
    try:
        config: Any = config_from_dict(cls, values)
    except UserError:
        return
    with folder() as place:
        (place / "a.toml").write_text(as_toml(config), encoding="utf-8")
        assert load_config(cls, presets, None, place / "a.toml") == config


@many
@given(st.binary(max_size=60) | WORDS.map(str.encode))
def test_any_bytes_are_settings_or_refused(content: bytes) -> None:
    with folder() as place:
        (place / "a.toml").write_bytes(content)
        try:
            load_config(VQVAEConfig, PRESETS, "tiny", place / "a.toml")
        except UserError:
            return


# What is known of songs, and lists of files.

TIMES = st.lists(st.floats(0, 600), unique=True, max_size=6).map(sorted)
FACTS = st.fixed_dictionaries(
    {},
    optional={
        "tempo": st.floats(1, 400),
        "time_signature": st.tuples(st.integers(1, 16), st.sampled_from([2, 4, 8])).map(list),
        "key": st.sampled_from(["A minor", "Bb major", "F# dorian"]),
        "beats": TIMES,
        "downbeats": TIMES,
        "bass_program": st.integers(0, 127),
        "bass_notes": TIMES.map(
            lambda times: [{"onset": time, "duration": 0.5, "pitch": 40} for time in times]
        ),
        "chords": TIMES.map(
            lambda times: [{"start": time, "end": time + 1, "root": 2, "x": 1} for time in times]
        ),
        "anything": JSON,
    },
)


@many
@given(FACTS)
def test_facts_come_back(content: dict[str, Any]) -> None:
    found = SongFacts.from_dict(content, "it")
    again = SongFacts.from_dict(found.to_dict(), "it")
    assert {**vars(again), "content": 0} == {**vars(found), "content": 0}
    assert found.to_dict().keys() >= content.keys()


@many
@given(JSON)
def test_any_json_is_known_of_a_song_or_refused(content: Any) -> None:
    with folder() as place:
        (place / "song.json").write_text(json.dumps(content))
        try:
            found = read_song_facts(place / "song.json")
        except UserError:
            return
        assert isinstance(found.to_dict(), dict)


NAMES = st.text("abc éあ.", min_size=1, max_size=8).filter(lambda name: name.strip(". ") != "")


@few
@given(st.lists(NAMES, unique=True, max_size=5), st.integers(1, 1024), st.integers(1, 10**6))
def test_manifests_come_back(names: list[str], codebooks: int, hop: int) -> None:
    format = CodeFormat(SOURCES, codebooks, 64, 44_100, hop, "f")
    with folder() as place:
        files = [place / "train" / name for name in names]
        write_manifest(place, format, files)
        read = read_manifest(place)
    assert (read.format, set(read.files)) == (format, set(files))


@few
@given(NAMES, st.sampled_from(["../{}", "/{}", "a/../../{}", ".."]))
def test_a_manifest_names_no_file_outside(name: str, form: str) -> None:
    with folder() as place:
        write_json(
            place / "manifest.json",
            {**asdict(CodeFormat(SOURCES, 1, 64, 44_100, 1, "f")), "files": [form.format(name)]},
        )
        with pytest.raises(UserError, match="is outside its folder"):
            read_manifest(place)


@many
@given(JSON)
def test_any_json_is_no_recipe(content: Any) -> None:
    with folder() as place:
        (place / "a.json").write_text(json.dumps(content))
        with pytest.raises(UserError, match="does not say how"):
            Recipe.read(place / "a.json")


# Texts.


@many
@given(st.integers(0, 10**8))
def test_times_come_back(milliseconds: int) -> None:
    assert round(parse_time(clock(milliseconds / 1000)) * 1000) == milliseconds


@many
@given(st.integers(0, 10**7), st.integers(1, 10**7))
def test_ranges_of_time_come_back(start: int, length: int) -> None:
    span = TimeRange(start / 1000, (start + length) / 1000)
    read = TimeRange.parse(str(span))
    assert (read.start, read.stop) == pytest.approx((span.start, span.stop))


@many
@given(st.integers(0, 11), st.sampled_from(sorted(QUALITIES)), st.integers(0, 11))
def test_chords_come_back_from_their_symbols(root: int, quality: str, bass: int) -> None:
    read = read_symbol(Chord(0, 1, root, quality, bass).symbol)
    assert read is not None
    assert (read.root, read.quality, read.bass) == (root, quality, bass)


READERS: list[Callable[[str], Any]] = [
    *(TimeRange.parse, parse_time, read_symbol, read_harte, parse_pitch, parse_decibels),
    Shard.parse,
]


@pytest.mark.parametrize("read", READERS, ids=lambda read: read.__qualname__)
def test_any_text_is_read_or_refused(read: Callable[[str], Any]) -> None:
    kinds = set()

    @many
    @given(WORDS)
    def check(text: str) -> None:
        try:
            read(text)
        except UserError:
            kinds.add("refused")
        else:
            kinds.add("read")

    check()
    assert "refused" in kinds
