import shutil
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile
import yaml

from shared.errors import UserError
from shared.sound.files import STEM_STREAMS, read_audio, read_stem, write_wav
from shared.sound.samples import resample, to_int16, to_stereo
from shared.sound.torchaudio_guard import torchaudio

RATE = 44100

# Of the excerpt as stempeg decodes it with ffmpeg 5.1.
GOLDEN_RMS = {
    "mixture": 0.163638,
    "drums": 0.086968,
    "bass": 0.094971,
    "other": 0.077088,
    "vocals": 0.066283,
}


def sine(num_samples: int, rate: int = RATE, hertz: float = 220.0) -> np.ndarray:
    return (0.5 * np.sin(2 * np.pi * hertz * np.arange(num_samples) / rate)).astype(np.float32)


def encode(path: Path, samples: np.ndarray, rate: int, codec: str) -> None:
    """Encode stereo float32 `[2, N]` with PyAV."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=rate, layout="stereo")
        frame = av.AudioFrame.from_ndarray(samples, format="fltp", layout="stereo")
        frame.rate, frame.pts = rate, 0
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


@pytest.mark.parametrize(
    ("suffix", "subtype", "tolerance"),
    [
        (".wav", "PCM_16", 2**-15),
        (".wav", "PCM_24", 2**-22),
        (".wav", "FLOAT", 0.0),
        (".wav", "PCM_U8", 2**-7),
        (".flac", "PCM_16", 2**-15),
        (".ogg", "VORBIS", 0.05),
        (".mp3", "MPEG_LAYER_III", 0.05),
    ],
)
def test_reads_common_formats(tmp_path: Path, suffix: str, subtype: str, tolerance: float) -> None:
    original = np.stack([sine(22050), sine(22050, hertz=330)])
    path = tmp_path / f"song{suffix}"
    soundfile.write(path, original.T, RATE, subtype=subtype)
    audio = read_audio(path)
    assert audio.sample_rate == RATE
    assert audio.samples.dtype == np.float32
    assert audio.samples.shape == original.shape
    assert np.abs(audio.samples - original).max() <= tolerance


def test_reads_m4a_without_the_encoders_priming(tmp_path: Path) -> None:
    original = np.stack([sine(48000, 48000), sine(48000, 48000)])
    original[:, :24000] = 0  # the onset shows a shift
    encode(tmp_path / "song.m4a", original, 48000, "aac")
    audio = read_audio(tmp_path / "song.m4a")
    assert audio.sample_rate == 48000
    assert 0 <= audio.samples.shape[1] - 48000 < 2048
    assert np.abs(audio.samples[:, :48000] - original).max() < 0.1


@pytest.mark.parametrize("channels", range(1, 9))
def test_one_to_eight_channels_become_stereo(tmp_path: Path, channels: int) -> None:
    path = tmp_path / "song.wav"
    soundfile.write(path, np.tile(sine(1000)[:, None], channels), RATE, subtype="FLOAT")
    samples = read_audio(path).samples
    assert samples.shape == (channels, 1000)
    np.testing.assert_allclose(to_stereo(samples), np.stack([sine(1000)] * 2), atol=1e-6)


def test_surround_keeps_its_sides() -> None:
    left_and_rear_left = np.zeros((6, 4), np.float32)
    left_and_rear_left[[0, 4]] = 1.0
    left, right = to_stereo(left_and_rear_left)
    assert left.min() > 0.5
    assert not right.any()


def test_float_file_keeps_what_is_beyond_full_scale(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "hot.wav", 4 * sine(1000), RATE, subtype="FLOAT")
    assert read_audio(tmp_path / "hot.wav").samples.max() > 1.9


def test_int16_clips_and_never_wraps() -> None:
    samples = np.array([-2.0, -1.0, 0.0, 0.5, 1.0, 1.5], np.float32)
    assert to_int16(samples).tolist() == [-32768, -32768, 0, 16384, 32767, 32767]


@pytest.mark.parametrize("rate", [8000, 22050, 32000, 44099, 44101, 48000, 96000])
def test_resample_keeps_the_tone_and_gives_the_exact_length(rate: int) -> None:
    num_samples = rate // 2 + 7
    resampled = resample(sine(num_samples, rate)[None], rate, RATE)
    assert resampled.dtype == np.float32
    assert resampled.shape == (1, round(num_samples * RATE / rate))
    inner = slice(2000, -2000)
    np.testing.assert_allclose(resampled[0, inner], sine(resampled.shape[1])[inner], atol=2e-3)


def test_resample_to_the_same_rate_changes_nothing() -> None:
    samples = sine(100)[None]
    assert resample(samples, RATE, RATE) is samples


def test_torchaudio_runs_without_its_extension() -> None:
    assert torchaudio.transforms.MelSpectrogram(RATE).sample_rate == RATE


def test_wav_round_trip_is_exact_to_16_bits(tmp_path: Path) -> None:
    samples = np.linspace(-1, 32767 / 32768, 65536, dtype=np.float32).reshape(2, -1)
    write_wav(tmp_path / "new" / "out.wav", samples, RATE)
    audio = read_audio(tmp_path / "new" / "out.wav")
    assert np.abs(audio.samples - samples).max() <= 0.5 / 32768 + 1e-7
    write_wav(tmp_path / "new" / "again.wav", audio.samples, RATE)
    assert np.array_equal(read_audio(tmp_path / "new" / "again.wav").samples, audio.samples)
    assert sorted(p.name for p in (tmp_path / "new").iterdir()) == ["again.wav", "out.wav"]


def test_write_wav_names_an_unwritable_place(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(UserError, match="cannot write"):
        write_wav(tmp_path / "file" / "out.wav", np.zeros((2, 10), np.float32), RATE)


def write_bad(path: Path, what: str) -> None:
    whole = path.with_name("whole.flac")
    soundfile.write(whole, np.random.default_rng(0).uniform(-1, 1, RATE), RATE)
    match what:
        case "empty":
            path.touch()
        case "text":
            path.write_text("Verse 1\nThis is not audio.\n" * 50)
        case "noise":
            path.write_bytes(np.random.default_rng(0).bytes(5000))
        case "picture":
            path.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(2000))
        case "cut":
            path.write_bytes(whole.read_bytes()[:40000])
        case "nan":
            soundfile.write(path, np.array([0.0, np.nan, 0.1]), RATE, "FLOAT", format="WAV")
        case "no samples":
            soundfile.write(path, np.zeros((0, 2)), RATE, format="WAV")
        case "channels":
            soundfile.write(path, np.zeros((10, 9)), RATE, format="WAV")


@pytest.mark.parametrize(
    ("what", "sentence"),
    [
        ("missing", "there is no file"),
        ("empty", r"is empty \(0 bytes\)"),
        ("text", "is not an audio file"),
        ("noise", "is not an audio file"),
        ("picture", "is not an audio file|nothing to hear"),
        ("cut", "truncated"),
        ("nan", "NaN"),
        ("no samples", "holds no samples"),
        ("channels", "has 9 channels"),
    ],
)
def test_bad_files_are_named_in_one_sentence(tmp_path: Path, what: str, sentence: str) -> None:
    path = tmp_path / "song.wav"
    write_bad(path, what)
    with pytest.raises(UserError, match=sentence) as caught:
        read_audio(path)
    assert "song.wav" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_folder_is_not_an_audio_file(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is a folder"):
        read_audio(tmp_path)


@pytest.mark.parametrize("kept", [0.02, 0.3, 0.9, 0.99])
def test_truncated_stem_mp4_is_refused(tmp_path: Path, stem_mp4: Path, kept: float) -> None:
    path = tmp_path / "cut.stem.mp4"
    whole = stem_mp4.read_bytes()
    path.write_bytes(whole[: int(kept * len(whole))])
    with pytest.raises(UserError, match="truncated") as caught:
        read_stem(path, "vocals")
    assert "cut.stem.mp4" in str(caught.value)


def test_mp4_with_one_stream_is_no_stem_file(tmp_path: Path) -> None:
    encode(tmp_path / "one.stem.mp4", np.stack([sine(4096)] * 2), RATE, "aac")
    with pytest.raises(UserError, match="has 1 audio stream"):
        read_stem(tmp_path / "one.stem.mp4", "bass")


def test_stem_order_is_musdbs(musdb_config: Path) -> None:
    ids = yaml.safe_load(musdb_config.read_text())["stem_ids"]
    assert {name: index for index, name in enumerate(STEM_STREAMS)} == ids


def test_stem_mp4_decodes_the_real_excerpt(stem_mp4: Path) -> None:
    stems = {source: read_stem(stem_mp4, source) for source in STEM_STREAMS}
    assert {audio.samples.shape for audio in stems.values()} == {(2, 268288)}
    assert {audio.sample_rate for audio in stems.values()} == {RATE}
    rms = {source: float(np.sqrt((a.samples**2).mean())) for source, a in stems.items()}
    assert rms == pytest.approx(GOLDEN_RMS, abs=1e-5)


@pytest.mark.skipif(
    not (shutil.which("ffmpeg") and shutil.which("ffprobe")),
    reason="musdb and stempeg decode with the programs ffmpeg and ffprobe, which are not on PATH",
)
def test_stem_mp4_equals_musdbs_decoding(stem_mp4: Path, tmp_path: Path) -> None:
    import musdb

    (tmp_path / "test").mkdir()
    (tmp_path / "test" / stem_mp4.name).symlink_to(stem_mp4)
    (track,) = musdb.DB(root=str(tmp_path), subsets=["test"])
    for source in ("vocals", "bass", "drums", "other"):
        ours = to_int16(read_stem(stem_mp4, source).samples).T  # musdb decodes to 16 bits
        theirs = track.sources[source].audio * 32768
        assert ours.shape == theirs.shape
        assert np.abs(ours - theirs).max() <= 1


def test_what_is_no_audio_is_said_in_one_plain_sentence(tmp_path: Path) -> None:
    path = tmp_path / "song.wav"
    path.write_text("this is no audio" * 100)
    with pytest.raises(UserError) as raised:
        read_audio(path)
    assert str(raised.value) == (
        f"{path} is not an audio file, or is truncated or damaged; export it again"
    )


def test_a_file_that_may_not_be_read_is_not_called_damaged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    soundfile.write(tmp_path / "song.wav", sine(100), RATE)
    monkeypatch.setattr("os.access", lambda path, mode: False)  # root may read everything
    with pytest.raises(UserError, match=r"song\.wav may not be read"):
        read_audio(tmp_path / "song.wav")
