"""`generate-bass` with untrained tiny models: what is written, and the value of every sample."""

import hashlib
import json
import shutil
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import soundfile
import torch
from mido import MidiFile

from shared.codes.codec import CodeFormat
from shared.codes.song_codes import SongCodes, require_codec
from shared.config import load_config
from shared.errors import UserError
from shared.music.bar_grid import BarGrid
from shared.music.bar_tracking import BarHints
from shared.music.chord import Chord
from shared.music.midi import read_midi, write_midi
from shared.music.notes import Note, notes_to_tokens
from shared.music.onset_envelope import onset_envelope
from shared.sound.files import read_audio
from shared.sound.levels import TARGET_RMS
from shared.sound.samples import Samples, fit_length, resample, rms, to_stereo
from shared.sound.sliced import whole
from shared.sources import BASS
from shared.times import TimeRange
from stage1_vqvae.codec import VQVAECodec
from stage1_vqvae.config import PRESETS as VQVAE_PRESETS
from stage1_vqvae.config import VQVAEConfig
from stage1_vqvae.model import VQVAE
from stage2_prior.accompaniment import PreparedSong, prepare_song
from stage2_prior.arrange import Arrangement, ArrangeOptions, generate_bass, generate_takes
from stage2_prior.balance import balance_envelope, level_beside_song
from stage2_prior.bass_sound import PlainSound
from stage2_prior.config import PRESETS, PriorConfig
from stage2_prior.delivery import Delivery
from stage2_prior.edits import Edits
from stage2_prior.harmony import Harmony, HarmonySource
from stage2_prior.heard_song import SongEvidence
from stage2_prior.model import Prior
from stage2_prior.own_bass import OwnBass
from stage2_prior.performer.sampling import FREE
from stage2_prior.performer.tone import TONES
from stage2_prior.repeat import Recipe
from stage2_prior.sampling import (
    GeneratedBass,
    SamplingSettings,
    Wishes,
    generate,
)
from stage2_prior.steps import EACH
from tests.oracle_codec import OracleCodec, two_tones

RATE = 44100
SECONDS = 3.0
QUICK = SamplingSettings(guidance=1.0, candidates=2)
FORCE = Delivery(force=True)
GRID = BarGrid(np.linspace(0, 4, 11), np.array([1, 4, 7, 10]))
CHORDS = (Chord(0.4, 1.6, 9, "min", 9), Chord(1.6, 2.8, 5, "maj", 9))


@pytest.fixture(scope="module")
def codec() -> VQVAECodec:
    torch.manual_seed(0)
    config = load_config(VQVAEConfig, VQVAE_PRESETS, "tiny", overrides=["model.hop=1024"])
    return VQVAECodec(VQVAE(config.model), config, fingerprint="test")


@pytest.fixture(scope="module")
def prior(codec: VQVAECodec) -> Prior:
    torch.manual_seed(0)
    config = load_config(PriorConfig, PRESETS, "tiny").model
    return Prior(config, CodeFormat.of(codec), fingerprint="untrained").eval()


def tone(hertz: float, seconds: float = SECONDS, rate: int = RATE) -> np.ndarray:
    """`[N, 2]`."""
    time = np.arange(round(seconds * rate)) / rate
    return np.repeat(0.3 * np.sin(2 * np.pi * hertz * time)[:, None], 2, axis=1)


@pytest.fixture(scope="module")
def song(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three seconds of two tones."""
    path = tmp_path_factory.mktemp("song") / "My song.v2.wav"
    soundfile.write(path, tone(82) + tone(440), RATE)
    return path


def read(path: Path) -> np.ndarray:
    return soundfile.read(path, dtype="float64", always_2d=True)[0]


@dataclass
class Pictures:
    """What was asked of `save_generation_picture`, which draws nothing here because it is slow."""

    calls: list[tuple[Any, ...]]

    def __call__(self, path: Path, *content: Any) -> None:
        self.calls.append(content)


@pytest.fixture(autouse=True)
def pictures(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Pictures:
    recorded = Pictures([])
    if request.node.name != "test_the_files":
        monkeypatch.setattr("stage2_prior.arrange.save_generation_picture", recorded)
    return recorded


@pytest.fixture(autouse=True)
def recogniser(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Samples, int]]:
    """What a chord recogniser was given, which names A minor for every song."""
    heard: list[tuple[Samples, int]] = []

    def recognise(audio: Samples, sample_rate: int) -> tuple[Chord, ...]:
        heard.append((audio, sample_rate))
        return CHORDS[:1]

    monkeypatch.setattr("stage2_prior.heard_song.recognise_chords", recognise)
    return heard


@dataclass
class FixedLine:
    """Takes the place of `generate`: returns the same line for every song, and records the input.

    The line is longer than any song here, and is cut to the song.
    """

    codec: VQVAECodec
    accompaniment: npt.NDArray[np.integer] | None = None
    wishes: Wishes | None = None
    evidence: SongEvidence | None = None

    def __post_init__(self) -> None:
        random = np.random.default_rng(0)
        shape = (self.codec.num_codebooks, 400)
        self.codes = random.integers(0, self.codec.cardinality, shape).astype(np.uint16)
        self.line = [Note(0.35 * n, 0.3, 30 + 2 * n, 80 + n) for n in range(20)]
        self.notes = notes_to_tokens(self.line, 400, self.codec.frame_rate)

    def __call__(
        self,
        prior: Prior,
        accompaniment: npt.NDArray[np.integer],
        settings: SamplingSettings,
        wishes: Wishes,
        evidence: SongEvidence,
        listening: object = None,
    ) -> GeneratedBass:
        self.accompaniment, self.wishes, self.evidence = accompaniment, wishes, evidence
        frames = accompaniment.shape[2]
        return GeneratedBass(
            codes=self.codes[:, :frames],
            notes=self.notes[:frames],
            played=tuple(note for note in self.line if note.end < frames / self.codec.frame_rate),
            grid=GRID,
            chords=CHORDS,
            fits=(1.25, 0.5),
            log_prob_conditional=-1.5,
            log_prob_unconditional=-2.5,
            seconds=0.0,
        )

    @property
    def fixed(self) -> npt.NDArray[np.integer]:
        assert self.wishes is not None
        assert self.wishes.fixed is not None
        return self.wishes.fixed

    def sound(self, song: PreparedSong) -> Samples:
        """The line at the codec's sample rate and the song's level."""
        length = song.accompaniment.shape[1]
        frames = self.codec.num_frames(length)
        codes, notes = self.codes[:, :frames], self.notes[:frames]
        rendered = PlainSound(self.codec).render(codes, notes, length)
        return rendered / np.float32(song.gain)


@pytest.fixture
def line(codec: VQVAECodec, monkeypatch: pytest.MonkeyPatch) -> FixedLine:
    fixed = FixedLine(codec)
    monkeypatch.setattr("stage2_prior.arrange.generate", fixed)
    return fixed


@dataclass
class Spy:
    """Runs `generate`, and records what it was asked for and what it returned."""

    wishes: Wishes | None = None
    made: GeneratedBass | None = None

    def __call__(
        self,
        prior: Prior,
        accompaniment: npt.NDArray[np.integer],
        settings: SamplingSettings,
        wishes: Wishes,
        evidence: SongEvidence,
        listening: object = None,
    ) -> GeneratedBass:
        self.wishes = wishes
        self.made = generate(prior, accompaniment, settings, wishes, evidence)
        return self.made


@pytest.fixture
def spy(monkeypatch: pytest.MonkeyPatch) -> Spy:
    watching = Spy()
    monkeypatch.setattr("stage2_prior.arrange.generate", watching)
    return watching


def scale_of(made: Arrangement) -> float:
    scale: float = made.figures["peaks"]["scale"]
    return scale


def compose(song: Path, out: Path, codec: VQVAECodec, prior: Prior, **edits: object) -> Arrangement:
    options = ArrangeOptions(remove_bass=True, edits=Edits(**edits))  # type: ignore[arg-type]
    return generate_bass(song, out, codec, prior, QUICK, options)


def test_the_files(song: Path, codec: VQVAECodec, prior: Prior, tmp_path: Path) -> None:
    made = compose(song, tmp_path / "new", codec, prior)
    name = "My song.v2"
    endings = ("bass.wav", "backing.wav", "mix.wav", "mid", "codes.safetensors", "png", "json")
    expected = {f"{name}.{end}" for end in endings}
    assert {path.name for path in (tmp_path / "new").iterdir()} == expected
    assert {path.name for path in made.files.values()} == expected


def test_the_json_says_all_that_is_known_and_all_that_is_needed_again(
    song: Path, codec: VQVAECodec, prior: Prior, line: FixedLine, tmp_path: Path
) -> None:
    options = ArrangeOptions(
        True,
        Edits(redo=(TimeRange(1, 2),)),
        BarHints(meter=(3, 4)),
        Harmony.parse("Am | F"),
        lowest=30,
        tone="picked",
        bass_level=-3.0,
        delivery=FORCE,
    )
    made = generate_bass(song, tmp_path, codec, prior, QUICK, options)
    report = json.loads(made.files["json"].read_text())
    assert report.keys() == made.figures.keys()
    assert report["tempo"] == 150
    assert report["meter"] == [3, 4]
    assert report["key"] == "A minor"
    assert report["beats"] == pytest.approx(GRID.beats)
    assert report["downbeats"] == pytest.approx([0.4, 1.6, 2.8, 4.0])
    assert report["chords"] == [
        {"start": 0.4, "end": 1.6, "symbol": "Am"},
        {"start": 1.6, "end": 2.8, "symbol": "F/A"},
    ]
    assert report["lead_sheet"] == "| Am | F/A |"
    assert (report["notes"], report["range"]) == (8, [30, 44])
    assert report["candidates"] == [1.25, 0.5]
    assert report["rank"] == 1
    assert report["log_prob"] == {"given_song": -1.5, "given_none": -2.5}
    assert report["sound"] == {"name": "paper"}
    assert report["checkpoints"] == {"codec": "test", "prior": "untrained"}
    assert report["seed"] == 0
    assert report["settings"] == asdict(QUICK)
    assert report["options"] == {
        "remove_bass": True,
        "edits": {
            "prompt": None,
            "style": None,
            "keep": [],
            "redo": [{"start": 1, "stop": 2}],
            "midi": None,
        },
        "hints": {"bpm": None, "first_downbeat": None, "meter": [3, 4]},
        "harmony": {"source": "given", "chords": "Am | F"},
        "lowest": 30,
        "highest": 55,
        "tone": "picked",
        "midi_timing": "grid",
        "bass_level": -3.0,
        "keep_all": False,
        "delivery": {"container": "wav", "bits": None, "name": None, "peaks": "rescale"},
    }
    assert report["bass_search"]["threshold"] == codec.audible_bass
    assert list(made.timings) == [step.name for step in EACH]
    assert report["song_sha256"] == hashlib.sha256(song.read_bytes()).hexdigest()
    for kind in ("bass", "backing", "mix", "midi", "codes"):
        written = hashlib.sha256(made.files[kind].read_bytes()).hexdigest()
        assert report["sha256"][kind] == written
    assert report["versions"]["torch"] == version("torch")
    assert report["encoding"] == {"container": "wav", "bits": "24"}
    assert report["loudness_lufs"].keys() == {"song", "bass", "backing", "mix"}
    assert report["files"] == {kind: path.name for kind, path in made.files.items()}


def test_every_step_is_told_in_order_and_the_length_of_the_song_with_it(
    song: Path, codec: VQVAECodec, prior: Prior, line: FixedLine, tmp_path: Path
) -> None:
    told: list[tuple[str, float | None]] = []
    generate_bass(
        *(song, tmp_path, codec, prior, QUICK),
        on_step=lambda name, seconds: told.append((name, seconds)),
    )
    assert [name for name, _ in told] == [step.name for step in EACH]
    assert [seconds for _, seconds in told] == [None, *[SECONDS] * 6]


def test_all_candidates_are_written_as_takes_the_best_first(
    song: Path, codec: VQVAECodec, prior: Prior, tmp_path: Path
) -> None:
    settings = replace(QUICK, candidates=3)
    best = generate_bass(song, tmp_path, codec, prior, settings, ArrangeOptions(True))
    options = ArrangeOptions(True, keep_all=True)
    takes = generate_takes(song, tmp_path / "all", codec, prior, settings, options)
    names = {path.name for path in (tmp_path / "all").iterdir()}
    assert len(names) == 3 * 7
    assert {f"My song.v2.take{number}.mix.wav" for number in (1, 2, 3)} <= names
    assert best.files["bass"].read_bytes() == takes[0].files["bass"].read_bytes()
    fits = best.figures["candidates"]
    assert fits == sorted(fits, reverse=True)
    for number, take in enumerate(takes, 1):
        assert take.files["json"].name == f"My song.v2.take{number}.json"
        assert (take.figures["rank"], take.figures["candidates"]) == (number, fits)
        said = f"number {number} of 3 lines: it fits the song by {fits[number - 1]:.2f}"
        assert take.summary.rows["chosen"].startswith(said)
    assert len({take.notes for take in takes}) == 3


def test_the_summary_is_of_the_song_and_its_new_bass(
    song: Path, codec: VQVAECodec, prior: Prior, line: FixedLine, tmp_path: Path
) -> None:
    made = compose(song, tmp_path, codec, prior)
    rows = made.summary.rows
    said = ["tempo", "meter", "key", "chords", "own bass", "new bass", "chosen", "level"]
    assert list(rows) == [*said, "loudness", "peaks", "written"]
    assert rows["written"] == "24-bit WAV, 44100 Hz, stereo"
    assert rows["chords"] == "| Am | F/A |"
    options = ArrangeOptions(True, harmony=Harmony.parse("Am | F/A"), delivery=FORCE)
    given = generate_bass(song, tmp_path, codec, prior, QUICK, options).summary.rows
    assert given["placement"] == "Am from 0.40 s: bar 1\nF/A from 1.60 s: bar 2"
    assert rows["new bass"] == "8 notes, F#1-G#2"
    assert made.summary.level == made.figures["level_beside_song_db"]


def test_what_the_user_wants_reaches_the_prior(
    song: Path, codec: VQVAECodec, prior: Prior, line: FixedLine, tmp_path: Path
) -> None:
    hints, harmony = BarHints(bpm=96, first_downbeat=0.5), Harmony.parse("Cm")
    options = ArrangeOptions(False, Edits(), hints, harmony, 30, 50, "slap")
    generate_bass(song, tmp_path, codec, prior, QUICK, options)
    wishes = line.wishes
    assert wishes is not None
    assert (wishes.hints, wishes.harmony) == (hints, harmony)
    assert (wishes.lowest, wishes.highest) == (30, 50)
    assert TONES[wishes.tone] == "slap"
    assert (line.fixed == FREE).all()
    assert wishes.lead is not None
    assert wishes.lead.shape[1] == 0


def test_chords_are_recognised_in_the_whole_song_and_onsets_without_its_bass(
    song: Path,
    codec: VQVAECodec,
    prior: Prior,
    line: FixedLine,
    recogniser: list[tuple[Samples, int]],
    tmp_path: Path,
) -> None:
    compose(song, tmp_path, codec, prior)
    ((heard, rate),) = recogniser
    np.testing.assert_allclose(heard, read(song).T, atol=1e-6)
    assert rate == RATE
    evidence = line.evidence
    assert evidence is not None
    assert evidence.chords == CHORDS[:1]
    rest = prepared(song, codec).accompaniment
    assert evidence.onsets is not None
    np.testing.assert_allclose(evidence.onsets.strength, onset_envelope(rest, RATE).strength)
    assert evidence.end == SECONDS
    for harmony in (Harmony(HarmonySource.OFF), Harmony.parse("Am")):
        options = ArrangeOptions(True, harmony=harmony, delivery=FORCE)
        generate_bass(song, tmp_path, codec, prior, QUICK, options)
        assert line.evidence is not None
        assert line.evidence.chords is None
    assert len(recogniser) == 1


def test_a_bass_that_is_found_is_heard(
    song: Path,
    codec: VQVAECodec,
    prior: Prior,
    line: FixedLine,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    compose(song, tmp_path, codec, prior)
    assert line.evidence is not None
    assert line.evidence.own_bass is None  # what was taken out is too soft to be a bass
    monkeypatch.setattr(codec, "audible_bass", 0.0)
    generate_bass(song, tmp_path, codec, prior, QUICK, ArrangeOptions(None, delivery=FORCE))
    own = line.evidence.own_bass
    assert own is not None
    bass = prepared(song, codec).bass
    assert bass is not None
    np.testing.assert_allclose(own.pitch, OwnBass.of(bass, RATE).pitch)
    off = ArrangeOptions(None, harmony=Harmony(HarmonySource.OFF), delivery=FORCE)
    generate_bass(song, tmp_path, codec, prior, QUICK, off)
    assert line.evidence.own_bass is None


@pytest.mark.parametrize(
    ("timing", "tracks"), [("grid", 1), ("played", 1), ("both", 2)], ids=lambda value: str(value)
)
def test_the_midi_file_has_the_bars_and_chords_of_the_song(
    timing: Any,
    tracks: int,
    song: Path,
    codec: VQVAECodec,
    prior: Prior,
    line: FixedLine,
    tmp_path: Path,
) -> None:
    options = ArrangeOptions(True, midi_timing=timing)
    made = generate_bass(song, tmp_path, codec, prior, QUICK, options)
    score, *lines = MidiFile(made.files["midi"]).tracks
    assert len(lines) == tracks
    meter = next(message for message in score if message.type == "time_signature")
    assert (meter.numerator, meter.denominator) != (4, 4)
    assert [message.text for message in score if message.type == "marker"][:2] == ["Am", "F/A"]
    onsets = [note.onset for note in read_midi(made.files["midi"])][:8]
    exact = np.abs(np.array(onsets) - 0.35 * np.arange(8)) < 1e-3
    assert exact.all() == (timing == "played")


@pytest.mark.parametrize("rate", [RATE, 48_000])
def test_a_long_song_gives_what_a_short_one_does(
    rate: int,
    codec: VQVAECodec,
    prior: Prior,
    line: FixedLine,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A long one lies on the disk and is worked on in blocks."""
    song = tmp_path / "song.wav"
    soundfile.write(song, tone(82, 3.0, rate) + tone(440, 3.0, rate), rate, subtype="FLOAT")
    options = ArrangeOptions(remove_bass=True, delivery=Delivery(name="a", peaks="limit"))
    short = generate_bass(song, tmp_path / "short", codec, prior, QUICK, options)
    monkeypatch.setattr("shared.sound.sliced.MOST_IN_MEMORY", 5000)
    monkeypatch.setattr("shared.sound.sliced.BLOCK", 9000)
    monkeypatch.setattr(codec, "chunk_frames", 16)
    long = generate_bass(song, tmp_path / "long", codec, prior, QUICK, options)
    for kind in ("bass", "backing", "mix"):
        in_memory, in_blocks = (read(made.files[kind]) for made in (short, long))
        np.testing.assert_allclose(in_blocks, in_memory, rtol=0, atol=1e-5)
    assert short.files["midi"].read_bytes() == long.files["midi"].read_bytes()
    assert short.figures["rms_db"] == long.figures["rms_db"]
    assert short.figures["loudness_lufs"] == long.figures["loudness_lufs"]
    assert sorted(path.name for path in (tmp_path / "long").iterdir()) == sorted(
        path.name for path in long.files.values()
    )


@pytest.mark.parametrize("edit", ["nothing", "prompt", "style"])
def test_the_bass_lies_a_little_below_the_song(
    edit: str, song: Path, codec: VQVAECodec, prior: Prior, line: FixedLine, tmp_path: Path
) -> None:
    """How loud a recording is, or what is continued from it, does not matter."""
    riff = tmp_path / "riff.wav"
    soundfile.write(riff, tone(110, 1.0), RATE)
    edits = {} if edit == "nothing" else {edit: riff}
    made = compose(song, tmp_path / "new", codec, prior, **edits)
    assert made.summary.level is not None
    low, high = prior.balance.softest_db, prior.balance.loudest_db
    assert low - 0.3 < made.summary.level < high + 0.3
    parts = prepared(song, codec)
    bass = read(made.files["bass"]).T.astype(np.float32) / np.float32(scale_of(made))
    notes = line.notes[: codec.num_frames(bass.shape[1])]
    measured = level_beside_song(bass, notes, parts.accompaniment, RATE)
    assert measured == pytest.approx(made.summary.level, abs=0.01)
    assert made.figures["balance"] != 1


@pytest.mark.parametrize(
    ("rate", "channels", "samples", "end"),
    [(22050, 1, 30001, "wav"), (48000, 6, 50003, "flac"), (44100, 2, 40000, "ogg")],
)
def test_any_song_comes_back_at_its_rate_and_length(
    rate: int,
    channels: int,
    samples: int,
    end: str,
    codec: VQVAECodec,
    prior: Prior,
    line: FixedLine,
    tmp_path: Path,
) -> None:
    path = tmp_path / f"song.{end}"
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, (samples, channels))
    soundfile.write(path, noise, rate)
    made = generate_bass(path, tmp_path / "out", codec, prior, QUICK)
    for kind in ("bass", "backing", "mix"):
        info = soundfile.info(made.files[kind])
        assert (info.samplerate, info.frames) == (rate, samples)
        assert info.channels == min(channels, 2)
    mixed_down = "stereo (mixed down from 6 channels)"
    said = {1: "mono", 2: "stereo", 6: mixed_down}[channels]
    assert made.summary.rows["written"] == f"24-bit WAV, {rate} Hz, {said}"


def prepared(song: Path, codec: VQVAECodec, remove_bass: bool = True) -> PreparedSong:
    audio = read_audio(song)
    mixture = resample(to_stereo(audio.samples), audio.sample_rate, codec.sample_rate)
    return prepare_song(mixture, codec, remove_bass)


@pytest.mark.parametrize("rate", [RATE, 32000])
def test_the_mix_has_the_new_bass_in_place_of_the_songs(
    rate: int, codec: VQVAECodec, prior: Prior, line: FixedLine, pictures: Pictures, tmp_path: Path
) -> None:
    """Everything of a run, computed again from its parts."""
    path = tmp_path / "two tones.wav"
    soundfile.write(path, tone(82, 2.0, rate) + tone(440, 2.0, rate), rate, subtype="FLOAT")
    made = compose(path, tmp_path / "out", codec, prior)
    song = prepared(path, codec)
    assert song.bass is not None

    def at_home(samples: Samples) -> Samples:
        return fit_length(resample(samples, codec.sample_rate, rate), 2 * rate)

    sound = line.sound(song)
    notes = line.notes[: codec.num_frames(2 * RATE)]
    assert line.evidence is not None
    balance = balance_envelope(sound, notes, song.accompaniment, RATE, prior.balance)
    bass = at_home(balance * sound)
    stereo = read_audio(path).samples
    rest = stereo - at_home(whole(song.bass))
    figures = made.figures
    sounds = {"bass": bass, "backing": rest, "mix": rest + bass}
    peak = max(np.abs(samples).max() for samples in sounds.values())
    assert scale_of(made) == pytest.approx(min(1, 1 / peak))
    for kind, samples in sounds.items():
        written = read(made.files[kind]).T
        np.testing.assert_allclose(written, scale_of(made) * samples, atol=1e-5)

    expected = codec.encode(whole(song.accompaniment) * np.float32(song.gain))
    np.testing.assert_array_equal(line.accompaniment, expected)
    assert (line.fixed == FREE).all()
    ((drawn_song, drawn_bass, drawn_rate, drawn_notes, title, grid, chords),) = pictures.calls
    np.testing.assert_allclose(drawn_song, rest, atol=1e-6)
    np.testing.assert_allclose(drawn_bass, bass, atol=1e-6)
    assert (drawn_rate, drawn_notes, title) == (rate, made.notes, "two tones")
    assert (grid, chords) == (GRID, CHORDS)
    assert [note.pitch for note in made.notes] == [30, 32, 34, 36, 38]

    assert {name: figures[name] for name in ("song", "sample_rate", "samples", "seconds")} == {
        "song": path,
        "sample_rate": rate,
        "samples": 2 * rate,
        "seconds": 2.0,
    }
    assert figures["encoder_gain"] == song.gain
    assert figures["balance"] == pytest.approx(np.median(balance))
    levels = {"song": stereo, "accompaniment": rest, "bass": bass, "removed_bass": song.bass}
    assert figures["rms_db"] == pytest.approx(
        {name: 20 * np.log10(rms(samples)) for name, samples in levels.items()}, abs=0.011
    )


def test_a_bass_that_is_left_in_stays_in_the_mix(
    song: Path, codec: VQVAECodec, prior: Prior, line: FixedLine, tmp_path: Path
) -> None:
    added = generate_bass(song, tmp_path, codec, prior, QUICK, ArrangeOptions(remove_bass=False))
    mix, bass = read(added.files["mix"]), read(added.files["bass"])
    np.testing.assert_allclose(mix - bass, scale_of(added) * read(song), atol=2.0**-21)
    assert not added.figures["bass_removed"]
    assert added.figures["rms_db"]["removed_bass"] is None
    assert np.abs(mix).max() <= 1


def test_a_bass_that_would_clip_is_scaled_as_a_whole(
    song: Path, codec: VQVAECodec, prior: Prior, line: FixedLine, tmp_path: Path
) -> None:
    soft, loud = tmp_path / "soft.wav", tmp_path / "loud.wav"
    for path, level in ((soft, 1), (loud, 30)):
        soundfile.write(path, level * (tone(82) + tone(440)), RATE, subtype="FLOAT")
    quiet = compose(soft, tmp_path / "quiet", codec, prior)
    made = compose(loud, tmp_path / "loud", codec, prior)
    assert scale_of(made) < 0.5
    for kind in ("bass", "backing", "mix"):
        sound, expected = read(made.files[kind]), read(quiet.files[kind])
        change = 30 * scale_of(made) / scale_of(quiet)
        np.testing.assert_allclose(sound, change * expected, atol=2e-3)
    assert made.summary.rows["peaks"].startswith("all files are ")
    assert made.summary.rows["written"].startswith("32-bit float WAV")


def test_the_songs_own_bass_is_faded_in_and_out_within_a_frame(
    song: Path, codec: VQVAECodec, prior: Prior, line: FixedLine, tmp_path: Path
) -> None:
    made = compose(song, tmp_path, codec, prior, keep=(TimeRange(1.0, 2.0),))
    parts = prepared(song, codec)
    assert parts.bass is not None
    frames = np.arange(round(SECONDS * RATE)) / codec.hop
    first, last = np.ceil(codec.frame_rate), np.ceil(2 * codec.frame_rate) - 1
    own = np.clip(np.minimum(frames - (first - 1), last + 1 - frames), 0, 1)
    expected = own * parts.bass + (1 - own) * line.sound(parts)
    written = read(made.files["bass"]).T / scale_of(made)
    np.testing.assert_allclose(written, expected, atol=1e-4)
    assert made.figures["balance"] == 1  # the song's own bass sets the level


def test_a_style_recording_precedes_the_line(
    song: Path, codec: VQVAECodec, prior: Prior, line: FixedLine, tmp_path: Path
) -> None:
    riff = tmp_path / "riff.wav"
    soundfile.write(riff, tone(110, 1.0), RATE)
    compose(song, tmp_path, codec, prior, style=riff)
    assert line.wishes is not None
    assert line.wishes.lead is not None
    assert line.wishes.lead.shape == (1 + codec.num_codebooks, codec.num_frames(RATE))
    assert (line.wishes.lead != FREE).all()
    assert (line.fixed == FREE).all()


def test_a_prompt_is_encoded_at_one_level_however_loud_it_is(
    song: Path, codec: VQVAECodec, prior: Prior, line: FixedLine, tmp_path: Path
) -> None:
    riff = tone(110, 1.0).astype(np.float32)
    expected = codec.encode(riff.T * np.float32(TARGET_RMS / rms(riff)))[BASS]
    for loudness in (1.0, 0.01):
        path = tmp_path / "riff.wav"
        soundfile.write(path, loudness * riff, RATE, subtype="FLOAT")
        compose(song, tmp_path / f"out{loudness}", codec, prior, prompt=path)
        frames = expected.shape[1]
        np.testing.assert_array_equal(line.fixed[1:, :frames], expected)
        assert (line.fixed[:, frames:] == FREE).all()


def test_the_name_is_the_songs_without_its_ending(
    codec: VQVAECodec, prior: Prior, line: FixedLine, tmp_path: Path
) -> None:
    path = tmp_path / "A - B.stem.mp4"
    soundfile.write(path, tone(300, 0.2), RATE, format="WAV")
    made = generate_bass(path, tmp_path / "out", codec, prior, QUICK)
    assert made.files["mix"].name == "A - B.mix.wav"


def test_a_loud_song_does_not_clip(
    codec: VQVAECodec, prior: Prior, line: FixedLine, tmp_path: Path
) -> None:
    path = tmp_path / "loud.wav"
    soundfile.write(path, 6 * tone(300, 1.0), RATE, subtype="FLOAT")
    made = generate_bass(path, tmp_path, codec, prior, QUICK, ArrangeOptions(remove_bass=False))
    assert scale_of(made) < 0.6
    assert np.abs(read(made.files["mix"])).max() == pytest.approx(1, abs=1e-3)


def test_the_same_seed_gives_the_same_bytes(
    song: Path, codec: VQVAECodec, prior: Prior, tmp_path: Path
) -> None:
    first, again = (compose(song, tmp_path / name, codec, prior) for name in ("a", "b"))
    for kind in ("bass", "backing", "mix", "midi", "codes", "json"):
        assert first.files[kind].read_bytes() == again.files[kind].read_bytes()
    other = generate_bass(
        song, tmp_path / "c", codec, prior, replace(QUICK, seed=1), ArrangeOptions(True)
    )
    assert first.files["bass"].read_bytes() != other.files["bass"].read_bytes()


def test_a_silent_song(codec: VQVAECodec, prior: Prior, tmp_path: Path) -> None:
    path = tmp_path / "silence.wav"
    soundfile.write(path, np.zeros((RATE, 2)), RATE)
    made = generate_bass(path, tmp_path, codec, prior, QUICK)
    assert made.figures["silent"]
    assert made.figures["encoder_gain"] == 1
    assert not made.figures["bass_removed"]
    assert not read(made.files["bass"]).any()
    assert made.notes == ()
    assert made.summary.rows == {"song": "it is silent, and so is its bass"}


@pytest.mark.parametrize("edit", ["keep", "redo"])
def test_the_songs_own_bass_stays_where_it_is_kept(
    edit: str, song: Path, codec: VQVAECodec, prior: Prior, spy: Spy, tmp_path: Path
) -> None:
    ranges = {"keep": (TimeRange(0, 1), TimeRange(2, 9)), "redo": (TimeRange(1, 2),)}
    made = compose(song, tmp_path, codec, prior, **{edit: ranges[edit]})
    mix = read(made.files["mix"]) / scale_of(made)
    same = np.abs(mix - read(song)).max(1) < 1e-6
    hop = codec.hop
    assert same[: RATE - hop].all()
    assert same[2 * RATE + hop :].all()
    assert not same[RATE + hop : 2 * RATE - hop].all()
    own = prepared(song, codec).bass
    assert own is not None
    bass = read(made.files["bass"]).T / scale_of(made)
    np.testing.assert_allclose(bass[:, : RATE - hop], own[:, : RATE - hop], atol=1e-4)
    assert spy.made is not None
    assert spy.wishes is not None
    assert spy.wishes.fixed is not None
    fixed = spy.wishes.fixed
    times = np.arange(fixed.shape[1]) / codec.frame_rate
    kept = (times < 1) | (times >= 2)
    assert ((fixed != FREE) == kept).all()
    np.testing.assert_array_equal(spy.made.codes[:, kept], fixed[1:, kept])
    np.testing.assert_array_equal(spy.made.notes[kept], fixed[0, kept])
    onsets = [note.onset for note in made.notes]
    assert onsets == sorted(onsets)


@pytest.mark.parametrize("edit", ["prompt", "style"])
def test_a_riff_is_kept_to_the_code_where_it_begins_the_line(
    edit: str, song: Path, codec: VQVAECodec, prior: Prior, spy: Spy, tmp_path: Path
) -> None:
    riff = tmp_path / "riff.wav"
    soundfile.write(riff, tone(110, 1.0, 22050), 22050)
    made = compose(song, tmp_path, codec, prior, **{edit: riff})
    assert spy.made is not None
    audio = read_audio(riff)
    samples = resample(to_stereo(audio.samples), 22050, RATE)
    codes = codec.encode(samples * np.float32(TARGET_RMS / rms(samples)))[BASS]
    same = spy.made.codes[:, : codes.shape[1]] == codes
    assert same.all() == (edit == "prompt")
    if edit == "prompt":
        assert made.notes[0].pitch == 45
        assert made.notes[0].onset < 0.1
    assert soundfile.info(made.files["bass"]).frames == round(SECONDS * RATE)


def test_the_own_bass_that_stays_is_heard_and_no_decoded_one(tmp_path: Path) -> None:
    """This codec knows the song's bass exactly, so that the song stays as it is."""
    codec = OracleCodec(two_tones())
    config = load_config(PriorConfig, PRESETS, "tiny").model
    prior = Prior(config, CodeFormat.of(codec), fingerprint="untrained").eval()
    path = tmp_path / "song.wav"
    soundfile.write(path, codec.stems.sum(0).T, RATE, subtype="FLOAT")
    edits = Edits(keep=(TimeRange(0.5, 1.5),))
    made = generate_bass(path, tmp_path, codec, prior, QUICK, ArrangeOptions(edits=edits))
    assert made.figures["bass_search"]["decoded"] > codec.audible_bass
    assert made.figures["bass_removed"]
    kept = slice(RATE // 2 + codec.hop, 3 * RATE // 2 - codec.hop)
    bass = read(made.files["bass"]).T / scale_of(made)
    np.testing.assert_allclose(bass[:, kept], codec.stems[BASS][:, kept], atol=1e-4)


def test_midi_in_is_midi_out(song: Path, codec: VQVAECodec, prior: Prior, tmp_path: Path) -> None:
    given = [Note(0.0, 0.5, 40), Note(0.53, 1.0, 45), Note(2.0, 0.9, 33)]
    write_midi(tmp_path / "line.mid", given)
    edits = Edits(midi=tmp_path / "line.mid")
    options = ArrangeOptions(True, edits, midi_timing="played")
    made = generate_bass(song, tmp_path, codec, prior, QUICK, options)
    played = read_midi(made.files["midi"])
    assert [note.pitch for note in played] == [40, 45, 33]
    np.testing.assert_allclose([n.onset for n in played], [0, 0.53, 2.0], atol=0.015)
    assert made.figures["log_prob"] == {"given_song": 0, "given_none": 0}


def test_chords_bind_the_notes(song: Path, codec: VQVAECodec, prior: Prior, tmp_path: Path) -> None:
    hints = BarHints(bpm=120, first_downbeat=0.0, meter=(3, 4))
    options = ArrangeOptions(True, hints=hints, harmony=Harmony.parse("Am F"))
    made = generate_bass(song, tmp_path, codec, prior, QUICK, options)
    first, second, *_ = (chord["start"] for chord in made.figures["chords"])
    assert first == pytest.approx(0, abs=0.02)
    assert second == pytest.approx(1.5, abs=0.05)
    struck = [
        [note.pitch % 12 for note in made.notes if abs(note.onset - time) < 1e-3]
        for time in (first, second)
    ]
    assert struck == [[9], [5]]
    assert {note.pitch % 12 for note in made.notes if note.onset < second - 0.01} <= {9, 0, 4}
    assert made.figures["lead_sheet"].startswith("| Am | F |")


def test_the_line_stays_in_its_range(
    song: Path, codec: VQVAECodec, prior: Prior, tmp_path: Path
) -> None:
    options = ArrangeOptions(True, lowest=40, highest=43)
    made = generate_bass(song, tmp_path, codec, prior, replace(QUICK, seed=3), options)
    assert {note.pitch for note in made.notes} <= {40, 41, 42, 43}
    assert len(made.figures["candidates"]) == 2


def test_what_does_not_fit_is_refused_and_leaves_nothing(
    song: Path, codec: VQVAECodec, prior: Prior, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    short = tmp_path / "short.wav"
    soundfile.write(short, np.zeros((codec.hop - 1, 2)), RATE)
    with pytest.raises(UserError, match="less than a frame"):
        compose(short, out, codec, prior)
    with pytest.raises(UserError, match="contains no frame of the song"):
        compose(song, out, codec, prior, keep=(TimeRange(60, 70),))
    with pytest.raises(UserError, match="no bass of its own"):
        generate_bass(
            song,
            out,
            codec,
            prior,
            QUICK,
            ArrangeOptions(remove_bass=False, edits=Edits(keep=(TimeRange(0, 1),))),
        )
    with pytest.raises(UserError, match="there is no file"):
        compose(tmp_path / "none.wav", out, codec, prior)
    with pytest.raises(UserError, match=r"line\.mid"):
        compose(song, out, codec, prior, midi=tmp_path / "line.mid")
    assert not out.exists() or not list(out.iterdir())
    with pytest.raises(UserError, match="the results need one"):
        compose(song, short / "inside", codec, prior)


def test_options_that_cannot_be() -> None:
    with pytest.raises(UserError, match="MIDI line and chords"):
        ArrangeOptions(edits=Edits(midi=Path("x.mid")), harmony=Harmony.parse("C"))
    with pytest.raises(UserError, match="G2 to E1, but it must rise and lie within B0 to A#4"):
        ArrangeOptions(lowest=43, highest=28)
    with pytest.raises(UserError, match="no tone 'loud': give unknown, fingered"):
        ArrangeOptions(tone="loud")


def test_a_prior_of_another_codec(
    song: Path, codec: VQVAECodec, prior: Prior, tmp_path: Path
) -> None:
    stranger = Prior(prior.config, replace(prior.format, fingerprint="another"), "test").eval()
    with pytest.raises(UserError, match="another"):
        compose(song, tmp_path / "out", codec, stranger)
    assert not (tmp_path / "out").exists()


# What is written: every sample, the form, the names, and what is not replaced.


@pytest.mark.parametrize(
    ("subtype", "bits", "step"), [("PCM_16", "16", 2**-15), ("PCM_16", "24", 2**-23)]
)
@pytest.mark.parametrize("channels", [1, 2])
def test_the_mix_minus_the_bass_is_a_song_without_a_bass(
    subtype: str,
    bits: Any,
    step: float,
    channels: int,
    codec: VQVAECodec,
    prior: Prior,
    line: FixedLine,
    tmp_path: Path,
) -> None:
    path = tmp_path / "song.wav"
    soundfile.write(path, tone(440, 1.0)[:, :channels], RATE, subtype)
    delivery = Delivery(bits=bits)
    options = ArrangeOptions(remove_bass=False, delivery=delivery, bass_level=-12.0)
    made = generate_bass(path, tmp_path / "out", codec, prior, QUICK, options)
    assert scale_of(made) == 1
    bass, backing, mix = (read(made.files[kind]) for kind in ("bass", "backing", "mix"))
    np.testing.assert_array_equal(backing, read(path))
    assert np.abs(bass).max() > 0.01
    assert np.abs(mix - bass - read(path)).max() <= step
    assert made.summary.rows["peaks"] == "none beyond full scale; nothing is made softer"


@pytest.mark.parametrize("rate", [RATE, 48000])
@pytest.mark.parametrize("subtype", ["PCM_16", "PCM_24", "FLOAT"])
def test_where_the_own_bass_stays_the_mix_is_the_song_sample_for_sample(
    rate: int, subtype: str, codec: VQVAECodec, prior: Prior, line: FixedLine, tmp_path: Path
) -> None:
    path = tmp_path / "song.wav"
    noise = np.random.default_rng(0).uniform(-0.2, 0.2, (3 * rate, 2))
    soundfile.write(path, tone(82, rate=rate) + noise, rate, subtype)
    keep = Delivery(bits="32f", peaks="keep")
    options = ArrangeOptions(True, Edits(redo=(TimeRange(1, 2),)), delivery=keep)
    made = generate_bass(path, tmp_path / "out", codec, prior, QUICK, options)
    assert scale_of(made) == 1
    changed = np.flatnonzero((read(made.files["mix"]) != read(path)).any(1))
    margin = 2 * codec.hop * rate // RATE
    assert len(changed) > rate // 2
    assert rate - margin < changed[0]
    assert changed[-1] < 2 * rate + margin


def test_the_bass_is_as_much_louder_as_the_user_wants(
    song: Path, codec: VQVAECodec, prior: Prior, line: FixedLine, tmp_path: Path
) -> None:
    keep = Delivery(bits="32f", peaks="keep")
    made = {
        level: generate_bass(
            song,
            tmp_path / str(level),
            codec,
            prior,
            QUICK,
            ArrangeOptions(True, bass_level=level, delivery=keep),
        )
        for level in (0.0, -6.0)
    }
    plain, softer = (read(made[level].files["bass"]) for level in (0.0, -6.0))
    np.testing.assert_allclose(softer, plain * 10 ** (-6 / 20), atol=1e-6)
    np.testing.assert_array_equal(
        read(made[0.0].files["backing"]), read(made[-6.0].files["backing"])
    )
    levels = [made[level].summary.level for level in (0.0, -6.0)]
    assert levels[0] is not None
    assert levels[1] == pytest.approx(levels[0] - 6, abs=0.01)


def test_the_codes_file_decodes_to_the_new_bass(
    song: Path, codec: VQVAECodec, prior: Prior, line: FixedLine, tmp_path: Path
) -> None:
    made = compose(song, tmp_path, codec, prior)
    codes = SongCodes.load(made.files["codes"])
    require_codec(codes, codec)
    frames = codes.num_frames
    np.testing.assert_array_equal(codes.view("mixture")[BASS], line.codes[:, :frames])
    np.testing.assert_array_equal(codes.view("without_bass"), line.accompaniment)
    others = [row for row in range(4) if row != BASS]
    np.testing.assert_array_equal(codes.view("mixture")[others], codes.view("without_bass")[others])
    assert codes.notes is not None
    np.testing.assert_array_equal(codes.notes, line.notes[:frames])
    assert codes.facts.tempo == 150
    assert [chord.symbol for chord in codes.facts.chords] == ["Am", "F/A"]
    assert codes.num_samples == round(SECONDS * RATE)


def test_files_are_replaced_only_by_force_and_inputs_never(
    song: Path, codec: VQVAECodec, prior: Prior, line: FixedLine, tmp_path: Path
) -> None:
    given = [Note(0.0, 0.5, 40)]
    own = tmp_path / f"{song.stem}.mid"
    write_midi(own, given)
    riff = tmp_path / f"{song.stem}.bass.wav"
    soundfile.write(riff, tone(110, 1.0), RATE)
    before = own.read_bytes(), riff.read_bytes()
    with pytest.raises(UserError, match=r"\.bass\.wav exists already: .*--force"):
        compose(song, tmp_path, codec, prior)
    for edits in (Edits(midi=own), Edits(prompt=riff), Edits(style=riff)):
        options = ArrangeOptions(True, edits, delivery=FORCE)
        with pytest.raises(UserError, match="is read by this command"):
            generate_bass(song, tmp_path, codec, prior, QUICK, options)
    assert (own.read_bytes(), riff.read_bytes()) == before
    assert sorted(tmp_path.iterdir()) == sorted([own, riff])
    options = ArrangeOptions(True, delivery=FORCE)
    generate_bass(song, tmp_path, codec, prior, QUICK, options)
    assert own.read_bytes() != before[0]


def test_the_json_file_is_gone_before_any_other_is_replaced(
    song: Path,
    codec: VQVAECodec,
    prior: Prior,
    line: FixedLine,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A run that is killed between two files leaves no JSON file of another run beside them."""
    compose(song, tmp_path, codec, prior)
    replaced: list[str] = []
    rename = Path.replace

    def watched(self: Path, target: Path) -> Path:
        assert target.suffix == ".json" or not target.with_name(f"{song.stem}.json").exists()
        replaced.append(target.suffix)
        return rename(self, target)

    monkeypatch.setattr(Path, "replace", watched)
    generate_bass(song, tmp_path, codec, prior, QUICK, ArrangeOptions(True, delivery=FORCE))
    assert len(replaced) == 7
    assert replaced[-1] == ".json"


def test_the_json_file_is_enough_to_write_the_same_bytes_again(
    song: Path, codec: VQVAECodec, prior: Prior, tmp_path: Path
) -> None:
    edits = Edits(redo=(TimeRange(1.0, 2.0),))
    options = ArrangeOptions(True, edits, lowest=30, bass_level=-2.0, delivery=Delivery("flac"))
    first = generate_bass(song, tmp_path / "a", codec, prior, replace(QUICK, seed=5), options)
    recipe = Recipe.read(first.files["json"])
    again = generate_bass(
        recipe.find_song([]),
        tmp_path / "b",
        codec,
        prior,
        recipe.settings,
        recipe.options_for(song, None, False),
    )
    recipe.require_models(codec, prior, PlainSound(codec))
    assert recipe.verdict([again]).endswith("byte for byte")
    for kind in ("bass", "backing", "mix", "midi", "codes", "json"):
        assert again.files[kind].read_bytes() == first.files[kind].read_bytes()


def test_files_that_do_not_fit_on_the_disk_are_refused_before_the_work(
    song: Path, codec: VQVAECodec, prior: Prior, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A bass, a backing and a mix of three bytes a sample."""
    needed = 3 * read(song).size * 3
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: SimpleNamespace(free=needed - 1))
    with pytest.raises(UserError, match=r"no space left in .*: the files need"):
        compose(song, tmp_path / "new", codec, prior)
    assert not (tmp_path / "new").exists()
