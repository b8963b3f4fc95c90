"""`generate-bass` with untrained tiny models: what is written, and the value of every sample."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import soundfile
import torch

from shared.codes.codec import CodeFormat
from shared.config import load_config
from shared.errors import UserError
from shared.music.midi import read_midi, write_midi
from shared.music.notes import Note, NoteVocabulary, notes_to_tokens
from shared.sound.files import read_audio
from shared.sound.levels import TARGET_RMS
from shared.sound.samples import Samples, fit_length, resample, rms, to_stereo
from shared.sources import BASS
from shared.times import TimeRange
from stage1_vqvae.codec import VQVAECodec
from stage1_vqvae.config import PRESETS as VQVAE_PRESETS
from stage1_vqvae.config import VQVAEConfig
from stage1_vqvae.model import VQVAE
from stage2_prior.accompaniment import PreparedSong, prepare_song
from stage2_prior.arrange import (
    INFILL_CANDIDATES,
    Arrangement,
    ArrangeOptions,
    generate_bass,
)
from stage2_prior.balance import balance_envelope
from stage2_prior.bass_sound import PlainSound
from stage2_prior.config import PRESETS, PriorConfig
from stage2_prior.edits import Edits, GivenBass
from stage2_prior.model import Prior
from stage2_prior.performer.sampling import FREE
from stage2_prior.sampling import GeneratedBass, SamplingSettings

RATE = 44100
SECONDS = 3.0
QUICK = SamplingSettings(guidance=1.0)


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

    calls: list[tuple[Samples, Samples, int, list[Note], str]]

    def __call__(
        self,
        path: Path,
        song: Samples,
        bass: Samples,
        sample_rate: int,
        notes: Sequence[Note],
        title: str,
    ) -> None:
        self.calls.append((song, bass, sample_rate, list(notes), title))


@pytest.fixture(autouse=True)
def pictures(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Pictures:
    recorded = Pictures([])
    if request.node.name != "test_the_files":
        monkeypatch.setattr("stage2_prior.arrange.save_generation_picture", recorded)
    return recorded


@dataclass
class FixedLine:
    """Takes the place of `generate`: returns the same line for every song, and records the input.

    The line is longer than any song here, and is cut to the song and to what precedes it.
    """

    codec: VQVAECodec
    accompaniment: npt.NDArray[np.integer] | None = None
    fixed: npt.NDArray[np.integer] | None = None
    settings: SamplingSettings | None = None

    def __post_init__(self) -> None:
        random = np.random.default_rng(0)
        shape = (self.codec.num_codebooks, 400)
        self.codes = random.integers(0, self.codec.cardinality, shape).astype(np.uint16)
        line = [Note(0.35 * n, 0.3, 30 + 2 * n) for n in range(20)]
        self.notes = notes_to_tokens(line, 400, self.codec.frame_rate)

    def __call__(
        self,
        prior: Prior,
        accompaniment: npt.NDArray[np.integer],
        settings: SamplingSettings,
        *,
        fixed: npt.NDArray[np.integer],
        allowed_notes: npt.NDArray[np.bool_],
    ) -> GeneratedBass:
        self.accompaniment, self.fixed, self.settings = accompaniment, fixed, settings
        frames = accompaniment.shape[2]
        assert allowed_notes.shape == (frames, NoteVocabulary.size)
        return GeneratedBass(self.codes[:, :frames], self.notes[:frames], -1.5, -2.5, 0.0)

    def sound(self, song: PreparedSong, lead: int = 0) -> Samples:
        """The line at the codec's sample rate and the song's level, without what precedes it."""
        length = song.accompaniment.shape[1]
        part = slice(lead, lead + self.codec.num_frames(length))
        codes, notes = self.codes[:, part], self.notes[part]
        rendered = PlainSound(self.codec).render(codes, notes, length)
        return rendered / np.float32(song.gain)


@pytest.fixture
def line(codec: VQVAECodec, monkeypatch: pytest.MonkeyPatch) -> FixedLine:
    fixed = FixedLine(codec)
    monkeypatch.setattr("stage2_prior.arrange.generate", fixed)
    return fixed


def compose(song: Path, out: Path, codec: VQVAECodec, prior: Prior, **edits: object) -> Arrangement:
    options = ArrangeOptions(remove_bass=True, edits=Edits(**edits))  # type: ignore[arg-type]
    return generate_bass(song, out, codec, prior, QUICK, options)


def test_the_files(song: Path, codec: VQVAECodec, prior: Prior, tmp_path: Path) -> None:
    made = compose(song, tmp_path / "new", codec, prior)
    name = "My song.v2"
    expected = {f"{name}.{end}" for end in ("bass.wav", "mix.wav", "mid", "png", "json")}
    assert {path.name for path in (tmp_path / "new").iterdir()} == expected
    assert {path.name for path in made.files.values()} == expected
    report = json.loads(made.files["json"].read_text())
    assert report["seed"] == 0
    assert report["checkpoints"] == {"codec": "test", "prior": "untrained"}
    assert report["samples"] == round(SECONDS * RATE)
    assert report["bass_removed"]
    assert set(report["timings"]) >= {"read", "encode", "write bass", "decode"}
    assert report["settings"]["guidance"] == 1.0
    assert report["settings"]["candidates"] == 1


def test_the_bass_lies_a_little_below_the_song_unless_its_level_is_given(
    song: Path, codec: VQVAECodec, prior: Prior, tmp_path: Path
) -> None:
    made = compose(song, tmp_path / "new", codec, prior)
    report = made.figures
    tokens = notes_to_tokens(made.notes, codec.num_frames(report["samples"]), codec.frame_rate)
    sounding = np.mean(tokens != NoteVocabulary.REST)
    bass = rms(read(made.files["bass"])) / report["bass_scale"] / np.sqrt(sounding)
    decibels = 20 * np.log10(bass * report["encoder_gain"] / TARGET_RMS)
    assert prior.balance.softest_db - 0.3 < decibels < prior.balance.loudest_db + 0.3
    assert report["balance"] != 1
    kept = compose(song, tmp_path / "kept", codec, prior, redo=(TimeRange(1.0, 2.0),))
    assert kept.figures["balance"] == 1


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
    for kind in ("bass", "mix"):
        info = soundfile.info(made.files[kind])
        assert (info.samplerate, info.channels, info.frames) == (rate, 2, samples)


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
    balance = balance_envelope(sound, notes, song.accompaniment, RATE, prior.balance)
    bass = at_home(balance * sound)
    stereo = read_audio(path).samples
    rest = stereo - at_home(song.bass)
    figures = made.figures
    assert figures["bass_scale"] == pytest.approx(min(1, 1 / np.abs(bass).max()))
    assert figures["mix_scale"] == pytest.approx(min(1, 1 / np.abs(rest + bass).max()))
    for kind, samples in (("bass", bass), ("mix", rest + bass)):
        written = read(made.files[kind]).T
        np.testing.assert_allclose(written, figures[f"{kind}_scale"] * samples, atol=1e-4)

    expected = codec.encode(song.accompaniment * np.float32(song.gain))
    np.testing.assert_array_equal(line.accompaniment, expected)
    assert line.fixed is not None
    assert (line.fixed == FREE).all()
    ((drawn_song, drawn_bass, drawn_rate, drawn_notes, title),) = pictures.calls
    np.testing.assert_allclose(drawn_song, rest, atol=1e-6)
    np.testing.assert_allclose(drawn_bass, bass, atol=1e-6)
    assert (drawn_rate, drawn_notes, title) == (rate, list(made.notes), "two tones")
    assert [note.pitch for note in made.notes] == [30, 32, 34, 36, 38, 40]

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
    assert figures["notes"] == 6
    assert figures["log_prob"] == {"given_song": -1.5, "given_none": -2.5}


def test_a_bass_that_is_left_in_stays_in_the_mix(
    song: Path, codec: VQVAECodec, prior: Prior, line: FixedLine, tmp_path: Path
) -> None:
    added = generate_bass(song, tmp_path, codec, prior, QUICK, ArrangeOptions(remove_bass=False))
    scales = added.figures["mix_scale"], added.figures["bass_scale"]
    mix, bass = read(added.files["mix"]), read(added.files["bass"])
    np.testing.assert_allclose(mix / scales[0], read(song) + bass / scales[1], atol=2e-4)
    assert not added.figures["bass_removed"]
    assert added.figures["rms_db"]["removed_bass"] is None
    assert np.abs(mix).max() <= 1


def test_a_bass_that_would_clip_is_scaled_as_a_whole(
    song: Path, codec: VQVAECodec, prior: Prior, line: FixedLine, tmp_path: Path
) -> None:
    loud = tmp_path / "loud.wav"
    soundfile.write(loud, 30 * (tone(82) + tone(440)), RATE, subtype="FLOAT")
    quiet = compose(song, tmp_path / "quiet", codec, prior)
    made = compose(loud, tmp_path / "loud", codec, prior)
    assert quiet.figures["bass_scale"] == 1
    assert made.figures["bass_scale"] < 0.5
    bass, expected = read(made.files["bass"]), read(quiet.files["bass"])
    assert np.abs(bass).max() == pytest.approx(1, abs=1e-3)
    np.testing.assert_allclose(bass, expected / np.abs(expected).max(), atol=2e-3)


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
    written = read(made.files["bass"]).T / made.figures["bass_scale"]
    np.testing.assert_allclose(written, expected, atol=1e-4)
    assert made.figures["balance"] == 1  # the song's own bass sets the level
    assert line.settings is not None
    assert line.settings.candidates == INFILL_CANDIDATES


def test_what_precedes_the_song_is_cut_off(
    song: Path, codec: VQVAECodec, prior: Prior, line: FixedLine, tmp_path: Path
) -> None:
    riff = tmp_path / "riff.wav"
    soundfile.write(riff, tone(110, 1.0), RATE)
    made = compose(song, tmp_path, codec, prior, style=riff)
    lead, frames = codec.num_frames(RATE), codec.num_frames(round(SECONDS * RATE))
    assert line.accompaniment is not None
    assert line.fixed is not None
    assert line.accompaniment.shape[2] == lead + frames
    assert (line.accompaniment[..., :lead] == prior.dropped).all()
    assert (line.accompaniment[..., lead:] < prior.dropped).all()
    assert (line.fixed[:, :lead] != FREE).all()
    assert (line.fixed[:, lead:] == FREE).all()
    parts = prepared(song, codec)
    written = read(made.files["bass"]).T / made.figures["bass_scale"]
    np.testing.assert_allclose(written, line.sound(parts, lead), atol=1e-4)
    notes = notes_to_tokens(made.notes, frames, codec.frame_rate)
    voiced = line.notes[lead : lead + frames] != NoteVocabulary.REST
    np.testing.assert_array_equal(notes != NoteVocabulary.REST, voiced)


def test_a_prompt_is_encoded_at_one_level_however_loud_it_is(
    song: Path, codec: VQVAECodec, prior: Prior, line: FixedLine, tmp_path: Path
) -> None:
    riff = tone(110, 1.0).astype(np.float32)
    expected = codec.encode(riff.T * np.float32(TARGET_RMS / rms(riff)))[BASS]
    for loudness in (1.0, 0.01):
        path = tmp_path / "riff.wav"
        soundfile.write(path, loudness * riff, RATE, subtype="FLOAT")
        compose(song, tmp_path / "out", codec, prior, prompt=path)
        assert line.fixed is not None
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
    assert made.figures["mix_scale"] < 0.6
    assert np.abs(read(made.files["mix"])).max() == pytest.approx(1, abs=1e-3)


def test_the_same_seed_gives_the_same_bytes(
    song: Path, codec: VQVAECodec, prior: Prior, tmp_path: Path
) -> None:
    first, again = (compose(song, tmp_path / name, codec, prior) for name in ("a", "b"))
    for kind in ("bass", "mix", "midi"):
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


def test_the_songs_own_bass_stays_where_it_is_kept(
    song: Path, codec: VQVAECodec, prior: Prior, tmp_path: Path
) -> None:
    original = read(song)
    kept = compose(song, tmp_path / "keep", codec, prior, keep=(TimeRange(0, 1), TimeRange(2, 9)))
    redone = compose(song, tmp_path / "redo", codec, prior, redo=(TimeRange(1, 2),))
    hop = codec.hop
    for made in (kept, redone):
        mix = read(made.files["mix"]) / made.figures["mix_scale"]
        same = np.abs(mix - original).max(1) < 1e-3
        assert same[: RATE - hop].all()
        assert same[2 * RATE + hop :].all()
        assert not same[RATE + hop : 2 * RATE - hop].all()
        assert made.figures["settings"]["candidates"] == INFILL_CANDIDATES


@pytest.mark.parametrize(
    ("given", "expected"),
    [("....", False), ("####", False), ("##..", False), ("..##", True), ("#..#", True)],
)
def test_bass_after_a_gap_is_known_by_its_codes(given: str, expected: bool) -> None:
    tokens = np.full((9, 4), FREE)
    tokens[0] = 5  # notes alone, of a MIDI file, are no bass
    tokens[:, [mark == "#" for mark in given]] = 7
    allowed = np.ones((4, NoteVocabulary.size), np.bool_)
    assert GivenBass(tokens, allowed, lead=0).follows_a_gap == expected


def test_midi_in_is_midi_out(song: Path, codec: VQVAECodec, prior: Prior, tmp_path: Path) -> None:
    line = [Note(0.0, 0.5, 40), Note(0.5, 1.0, 45), Note(2.0, 0.9, 33)]
    write_midi(tmp_path / "line.mid", line)
    made = compose(song, tmp_path, codec, prior, midi=tmp_path / "line.mid")
    played = read_midi(made.files["midi"])
    assert [note.pitch for note in played] == [40, 45, 33]
    np.testing.assert_allclose([n.onset for n in played], [0, 0.5, 2.0], atol=0.015)


def test_chords_bind_the_notes(song: Path, codec: VQVAECodec, prior: Prior, tmp_path: Path) -> None:
    chords = tmp_path / "chords.txt"
    chords.write_text("0 Am\n1.5 F\n")
    made = compose(song, tmp_path, codec, prior, chords=str(chords))
    frame = 1 / codec.frame_rate
    struck = {
        time: [note.pitch % 12 for note in made.notes if abs(note.onset - time) < 0.5 * frame]
        for time in (0.0, 1.5)
    }
    assert struck == {0.0: [9], 1.5: [5]}
    assert {note.pitch % 12 for note in made.notes if note.onset < 1.4} <= {9, 0, 4}


def test_a_riff_begins_the_line_or_lends_its_style(
    song: Path, codec: VQVAECodec, prior: Prior, tmp_path: Path
) -> None:
    riff = tmp_path / "riff.wav"
    soundfile.write(riff, tone(110, 1.0, 22050), 22050)
    begun = compose(song, tmp_path / "prompt", codec, prior, prompt=riff)
    assert begun.notes[0].pitch == 45
    assert begun.notes[0].onset < 0.1
    styled = compose(song, tmp_path / "style", codec, prior, style=riff)
    assert soundfile.info(styled.files["bass"]).frames == round(SECONDS * RATE)
    assert styled.files["bass"].read_bytes() != begun.files["bass"].read_bytes()


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
    with pytest.raises(UserError, match="choose a folder"):
        compose(song, short / "inside", codec, prior)


def test_edits_that_contradict_each_other() -> None:
    with pytest.raises(UserError, match="keep and redo"):
        Edits(keep=(TimeRange(0, 1),), redo=(TimeRange(1, 2),))
    with pytest.raises(UserError, match="MIDI line and chords"):
        Edits(midi=Path("x.mid"), chords="C")


def test_a_prior_of_another_codec(
    song: Path, codec: VQVAECodec, prior: Prior, tmp_path: Path
) -> None:
    stranger = Prior(prior.config, replace(prior.format, fingerprint="another"), "test").eval()
    with pytest.raises(UserError, match="another"):
        compose(song, tmp_path / "out", codec, stranger)
    assert not (tmp_path / "out").exists()
