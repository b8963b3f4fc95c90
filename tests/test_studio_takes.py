"""Opening a song and making takes of it with untrained tiny models, and the worker's process."""

import json
from collections.abc import Callable, Iterator
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch

from shared.codes.codec import CodeFormat
from shared.config import load_config
from shared.errors import UserError
from shared.music.notes import Note, notes_to_tokens
from shared.sound.files import read_audio
from shared.times import TimeRange
from stage1_vqvae.codec import VQVAECodec
from stage1_vqvae.config import PRESETS as VQVAE_PRESETS
from stage1_vqvae.config import VQVAEConfig
from stage1_vqvae.model import VQVAE
from stage2_prior.config import PRESETS, PriorConfig
from stage2_prior.heard_song import SongEvidence
from stage2_prior.model import Prior
from stage2_prior.sampling import GeneratedBass, generate
from stage2_prior.studio.band import Band
from stage2_prior.studio.opening import OpenedSong, open_song
from stage2_prior.studio.options import TakeOptions
from stage2_prior.studio.orders import MakeTake, OpenSong
from stage2_prior.studio.song_facts import SongFacts
from stage2_prior.studio.take_files import (
    BASS_FILE,
    CODES_FILE,
    TakeFacts,
    take_folder,
    take_numbers,
)
from stage2_prior.studio.takes import make_take

RATE, SECONDS = 32000, 10.0  # not the codec's rate


@pytest.fixture(scope="module", autouse=True)
def no_recogniser() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("stage2_prior.heard_song.recognise_chords", lambda *_: None)
        yield


@pytest.fixture(scope="module")
def band() -> Band:
    torch.manual_seed(0)
    config = load_config(VQVAEConfig, VQVAE_PRESETS, "tiny", overrides=["model.hop=1024"])
    codec = VQVAECodec(VQVAE(config.model), config, fingerprint="test")
    prior = Prior(load_config(PriorConfig, PRESETS, "tiny").model, CodeFormat.of(codec), "prior")
    return Band(codec, prior.eval(), lambda: None)


def write_song(path: Path, seconds: float = SECONDS) -> Path:
    time = np.arange(round(seconds * RATE)) / RATE
    clicks = np.sin(2 * np.pi * 440 * time) * np.exp(-8 * (time % 0.5))
    soundfile.write(path, 0.4 * np.stack([clicks, 0.8 * clicks], 1), RATE)
    return path


def silent(step: str, done: float) -> None:
    """Nobody wants to know how far it is."""


@pytest.fixture(scope="module")
def session(band: Band, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A session with take 1, a new line. Do not change it."""
    folder = tmp_path_factory.mktemp("session")
    upload = write_song(folder / "upload.wav")
    steps: list[float] = []
    open_song(OpenSong(folder, upload, "my song.wav", 60), band, lambda _, done: steps.append(done))
    assert steps == sorted(steps)
    make_take(MakeTake(folder, 1, options=TakeOptions(sound="codec")), band, silent)
    return folder


def sound(session: Path, number: int) -> np.ndarray:
    return soundfile.read(take_folder(session, number) / BASS_FILE, dtype="int32")[0]


def tokens(session: Path, number: int) -> np.ndarray:
    return np.load(take_folder(session, number) / CODES_FILE)["tokens"]


def facts(session: Path, number: int) -> TakeFacts:
    return TakeFacts.load(take_folder(session, number))


def test_an_opened_song_is_the_song_and_its_bars(session: Path, band: Band) -> None:
    assert not (session / "upload.wav").exists()
    song = SongFacts.load(session)
    assert (song.sample_rate, song.samples) == (RATE, SECONDS * RATE)
    original, backing = (read_audio(session / f"{name}.wav") for name in ("original", "backing"))
    assert original.samples.shape == backing.samples.shape == (2, song.samples)
    assert song.bass_removed == (original.samples != backing.samples).any()
    bars = song.bars
    assert (bars[0].start, bars[-1].stop) == (0, SECONDS)
    assert all(one.stop == other.start for one, other in pairwise(bars))
    TakeOptions(chords=song.chord_line)  # what was heard can be played
    assert str(session) not in (session / "song.json").read_text()


@pytest.mark.parametrize("remove", [True, False])
def test_a_bass_is_taken_out_or_stays_as_the_user_wants(
    band: Band, tmp_path: Path, remove: bool
) -> None:
    upload = write_song(tmp_path / "upload.wav", 2.0)
    open_song(OpenSong(tmp_path, upload, "a.wav", 60, remove), band, silent)
    assert SongFacts.load(tmp_path).bass_removed is remove


def test_a_take_is_of_the_songs_length_and_says_what_it_is(session: Path, band: Band) -> None:
    assert len(sound(session, 1)) == SECONDS * RATE
    take = facts(session, 1)
    assert (take.parent, take.ranges, take.edited) == (None, (), False)
    assert take.notes
    frames = band.codec.num_frames(round(SECONDS * band.codec.sample_rate))
    assert tokens(session, 1).shape == (1 + band.codec.num_codebooks, frames)
    json.dumps(take.for_page())


@pytest.mark.parametrize(("chords", "told"), [("", True), ("Am", False)])
def test_takes_know_the_bass_that_was_found_in_the_song(
    chords: str,
    told: bool,
    band: Band,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(band.codec, "audible_bass", 0.0)
    upload = write_song(tmp_path / "upload.wav")
    open_song(OpenSong(tmp_path, upload, "my song.wav", 60), band, silent)
    opened = OpenedSong.load(tmp_path, band.codec).own_bass
    assert opened is not None
    assert opened.times[-1] == pytest.approx(SECONDS, abs=0.1)
    evidence: list[SongEvidence] = []

    def recorded(*arguments: Any) -> GeneratedBass:
        evidence.append(arguments[4])
        return generate(*arguments)

    monkeypatch.setattr("stage2_prior.studio.takes.generate", recorded)
    options = TakeOptions(sound="codec", chords=chords)
    make_take(MakeTake(tmp_path, 1, options=options), band, silent)
    own = evidence[0].own_bass
    assert (own is not None) == told
    if own is not None:
        np.testing.assert_array_equal(own.pitch, opened.pitch)


def test_a_song_without_bass_has_none_to_be_known(session: Path, band: Band) -> None:
    assert not SongFacts.load(session).bass_removed
    assert OpenedSong.load(session, band.codec).own_bass is None


def test_outside_the_redone_bars_every_sample_note_and_code_stays(
    session: Path, band: Band
) -> None:
    ranges = (SongFacts.load(session).bars[1],)
    make_take(MakeTake(session, 2, 1, ranges, options=TakeOptions(sound="codec")), band, silent)
    ((start, stop),) = ((each.start, each.stop) for each in ranges)
    before, after = sound(session, 1), sound(session, 2)
    inside = slice(round(start * RATE), round(stop * RATE))
    assert (before[inside] != after[inside]).mean() > 0.5
    before[inside] = after[inside] = 0
    np.testing.assert_array_equal(before, after)
    frame = np.arange(tokens(session, 1).shape[1]) / band.codec.frame_rate
    outside = (frame < start) | (frame >= stop)
    np.testing.assert_array_equal(tokens(session, 1)[:, outside], tokens(session, 2)[:, outside])
    kept = [note for note in facts(session, 1).notes if note.end <= start or note.onset >= stop]
    assert set(kept) <= set(facts(session, 2).notes)
    assert facts(session, 2).ranges == ranges


def test_edited_notes_are_performed_in_their_bars_only(session: Path, band: Band) -> None:
    song, rate = SongFacts.load(session), band.codec.frame_rate
    bar = song.bars[1]
    kept = [n for n in facts(session, 1).notes if n.end <= bar.start or n.onset >= bar.stop]
    added = Note(bar.start + 0.1, 0.3, 41, 100)
    notes = tuple(sorted([*kept, added], key=lambda note: note.onset))
    order = MakeTake(session, 3, 1, notes=notes, options=TakeOptions(sound="codec"))
    make_take(order, band, silent)
    take = facts(session, 3)
    assert take.edited
    assert take.notes == notes
    frames = tokens(session, 3).shape[1]
    np.testing.assert_array_equal(tokens(session, 3)[0], notes_to_tokens(notes, frames, rate))
    outside = np.ones(song.samples, np.bool_)
    for each in take.ranges:
        outside[round(each.start * RATE) : round(each.stop * RATE)] = False
    assert outside.any()
    np.testing.assert_array_equal(sound(session, 1)[outside], sound(session, 3)[outside])
    assert bar in take.ranges or any(r.start <= bar.start < r.stop for r in take.ranges)


def test_the_range_and_the_chords_are_kept_to(session: Path, band: Band) -> None:
    options = TakeOptions(sound="codec", lowest=40, highest=51, chords="C", boldness=2.0)
    make_take(MakeTake(session, 4, options=options), band, silent)
    take = facts(session, 4)
    begun = take.chords[0].start  # no chord is given before the first bar
    pitch_classes = {note.pitch % 12 for note in take.notes if note.onset >= begun - 1e-6}
    assert pitch_classes
    assert pitch_classes <= {0, 4, 7}
    assert all(40 <= note.pitch <= 51 for note in take.notes)
    assert {chord.symbol for chord in take.chords} == {"C"}


def test_nothing_to_do_is_said_and_leaves_nothing(session: Path, band: Band) -> None:
    numbers = take_numbers(session)
    for order in (
        MakeTake(session, 9, 1),
        MakeTake(session, 9, 1, notes=facts(session, 1).notes),
        MakeTake(session, 9, 1, (TimeRange(0, 0.001), TimeRange(SECONDS - 1e-4, SECONDS))),
    ):
        with pytest.raises(UserError, match=r"nothing was marked|contains no frame"):
            make_take(order, band, silent)
    assert take_numbers(session) == numbers
    assert not list((session / "takes").glob(".*"))


@pytest.mark.parametrize(
    ("write", "sentence"),
    [
        (lambda path: path.write_bytes(b"no sound"), "my song.mp3 is not an audio file"),
        (partial(write_song, seconds=0.01), "my song.mp3 lasts 10 ms"),
        (partial(write_song, seconds=61), "my song.mp3 lasts 1.0 minutes, but 1 are the most"),
    ],
)
def test_songs_that_cannot_be_opened_are_named_as_their_user_does(
    write: Callable[[Path], object], sentence: str, band: Band, tmp_path: Path
) -> None:
    upload = tmp_path / "upload.wav"
    write(upload)
    with pytest.raises(UserError) as caught:
        open_song(OpenSong(tmp_path, upload, "my song.mp3", 60), band, silent)
    assert sentence in str(caught.value)
    assert str(tmp_path) not in str(caught.value)
    assert not (tmp_path / "song.json").exists()
