"""Audio files: what is read and written, and which files are refused with one sentence."""

import json
import os
import shutil
import struct
from collections.abc import Sequence
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile
import yaml

from shared.atomic import files_together
from shared.errors import UserError
from shared.sound import files
from shared.sound.files import Audio, read_audio, read_stem, write_wav
from shared.sound.headers import share_of_stated_size
from shared.sound.samples import Samples, to_int16
from shared.sound.stem_streams import STEM_STREAMS

RATE = 44100

# Of the excerpt as stempeg decodes it with ffmpeg 5.1.
GOLDEN_RMS = {
    "mixture": 0.163638,
    "drums": 0.086968,
    "bass": 0.094971,
    "other": 0.077088,
    "vocals": 0.066283,
}


def sine(num_samples: int, rate: int = RATE, hertz: float = 220.0) -> Samples:
    return (0.5 * np.sin(2 * np.pi * hertz * np.arange(num_samples) / rate)).astype(np.float32)


def encode(
    path: Path,
    samples: Samples,
    rate: int,
    codec: str,
    options: dict[str, str] | None = None,
    container_options: dict[str, str] | None = None,
) -> None:
    """Encode stereo float32 `[2, N]` with PyAV."""
    with av.open(str(path), "w", options=container_options or {}) as container:
        stream = container.add_stream(codec, rate=rate, layout="stereo", options=options or {})
        assert isinstance(stream, av.AudioStream)
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


def test_float_file_keeps_what_is_beyond_full_scale(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "hot.wav", 4 * sine(1000), RATE, subtype="FLOAT")
    assert read_audio(tmp_path / "hot.wav").samples.max() > 1.9


def test_wav_round_trip_is_exact_to_16_bits(tmp_path: Path) -> None:
    samples = np.linspace(-1, 32767 / 32768, 65536, dtype=np.float32).reshape(2, -1)
    write_wav(tmp_path / "new" / "out.wav", samples, RATE)
    audio = read_audio(tmp_path / "new" / "out.wav")
    assert np.abs(audio.samples - samples).max() <= 0.5 / 32768 + 1e-7
    write_wav(tmp_path / "new" / "again.wav", audio.samples, RATE)
    assert np.array_equal(read_audio(tmp_path / "new" / "again.wav").samples, audio.samples)
    assert sorted(p.name for p in (tmp_path / "new").iterdir()) == ["again.wav", "out.wav"]


def test_16_bits_are_rounded_to_the_nearest(tmp_path: Path) -> None:
    samples = np.random.default_rng(0).uniform(-0.99, 0.99, (2, 10_000)).astype(np.float32)
    write_wav(tmp_path / "out.wav", samples, RATE)
    written, _ = soundfile.read(tmp_path / "out.wav")
    assert np.abs(written.T - samples).max() <= 0.5 / 32768 + 1e-7
    write_wav(tmp_path / "out.wav", 2 * samples, RATE, "PCM_24")
    written, _ = soundfile.read(tmp_path / "out.wav")
    np.testing.assert_allclose(written.T, np.clip(2 * samples, -1, 1), atol=2**-22)


def test_write_wav_names_an_unwritable_place(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(UserError, match="file is not a folder"):
        write_wav(tmp_path / "file" / "out.wav", np.zeros((2, 10), np.float32), RATE)


def test_a_file_that_cannot_be_written_has_its_final_name_in_the_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise soundfile.LibsndfileError(2, "Error opening '/a/temporary/name': ")

    monkeypatch.setattr(soundfile.SoundFile, "write", fail)
    samples = np.zeros((2, 10), np.float32)
    with (
        pytest.raises(UserError) as caught,
        files_together({"bass": tmp_path / "song.bass.wav"}) as files,
    ):
        write_wav(files["bass"], samples, RATE)
    assert str(caught.value) == (
        f"cannot write {tmp_path}/song.bass.wav (System error); choose another place"
    )
    assert list(tmp_path.iterdir()) == []


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
        ("picture", "is not an audio file|has no audio stream"),
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


# A file that was cut short. libsndfile reads most of these as if they were whole, but shorter.


@pytest.fixture(scope="module")
def noise() -> Samples:
    """Six seconds of stereo noise `[N, 2]`, which no codec makes small."""
    return np.random.default_rng(0).uniform(-0.5, 0.5, (6 * RATE, 2)).astype(np.float32)


def cut(path: Path, kept: float) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: int(kept * len(content))])


@pytest.mark.parametrize("kept", [0.02, 0.5, 0.97])
@pytest.mark.parametrize(
    ("kind", "subtype"),
    [
        ("WAV", "PCM_16"),
        ("WAV", "IMA_ADPCM"),
        ("RF64", "PCM_24"),
        ("W64", "PCM_16"),
        ("AIFF", "PCM_16"),
        ("CAF", "PCM_16"),
        ("AU", "FLOAT"),
        ("FLAC", "PCM_16"),
        ("MP3", "MPEG_LAYER_III"),
    ],
)
def test_a_truncated_file_is_refused_with_its_two_lengths(
    tmp_path: Path, noise: Samples, kind: str, subtype: str, kept: float
) -> None:
    path = tmp_path / "song"
    soundfile.write(path, noise, RATE, subtype=subtype, format=kind)
    assert read_audio(path).samples.shape[1] == pytest.approx(len(noise), abs=1000)
    cut(path, kept)
    with pytest.raises(
        UserError, match=r"song is truncated: .* s can be read; copy it again$"
    ) as e:
        read_audio(path)
    found, stated = map(float, str(e.value).split("truncated: ")[1].split(" s ")[0].split(" of "))
    assert stated == pytest.approx(6.0, abs=1.0 if subtype == "IMA_ADPCM" else 0.1)
    assert found == pytest.approx(6 * kept, abs=0.15)


@pytest.mark.parametrize("subtype", ["VORBIS", "OPUS"])
@pytest.mark.parametrize("kept", [0.02, 0.5, 0.97])
def test_a_truncated_ogg_is_refused(
    tmp_path: Path, noise: Samples, subtype: str, kept: float
) -> None:
    path = tmp_path / "song.ogg"
    soundfile.write(path, noise, 48000, subtype=subtype, format="OGG")
    read_audio(path)
    cut(path, kept)
    with pytest.raises(UserError, match=r"song\.ogg is .*truncated"):
        read_audio(path)


@pytest.mark.parametrize("subtype", ["PCM_16", "PCM_24", "FLOAT"])
def test_a_wav_file_that_is_too_large_for_its_header_is_written_as_rf64(
    tmp_path: Path, noise: Samples, subtype: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    size = noise.size * {"PCM_16": 2, "PCM_24": 3, "FLOAT": 4}[subtype]
    for name, limit in (("usual", size), ("large", size - 1)):
        monkeypatch.setattr(files, "MAX_RIFF_BYTES", limit)
        write_wav(tmp_path / f"{name}.wav", noise.T, RATE, subtype)
    assert soundfile.info(tmp_path / "usual.wav").format == "WAV"
    assert soundfile.info(tmp_path / "large.wav").format == "RF64"
    header = (tmp_path / "large.wav").read_bytes()[:4096]
    if subtype == "FLOAT":  # its header holds the highest peaks, but not when they were written
        at = header.index(b"PEAK")
        assert header[at + 8 : at + 16] == struct.pack("<2I", 1, 0)
    else:
        assert b"PEAK" not in header
    usual, large = (read_audio(tmp_path / f"{name}.wav").samples for name in ("usual", "large"))
    assert np.array_equal(usual, large)
    np.testing.assert_allclose(large, noise.T, atol=2e-5)


def test_a_few_missing_bytes_are_no_truncation(tmp_path: Path, noise: Samples) -> None:
    path = tmp_path / "song.wav"
    soundfile.write(path, noise, RATE)
    path.write_bytes(path.read_bytes()[:-400])
    assert read_audio(path).samples.shape[1] == len(noise) - 100


def test_what_follows_the_samples_does_not_count(tmp_path: Path) -> None:
    path = tmp_path / "song.wav"
    soundfile.write(path, np.full((RATE, 2), 0.5), RATE)
    whole = path.read_bytes()
    # A chunk before the samples, and one after them of which half is missing.
    before = b"LIST" + struct.pack("<I", 5) + b"INFO\0\0"
    path.write_bytes(
        whole[:12] + before + whole[12:] + b"LIST" + struct.pack("<I", 999) + b"x" * 99
    )
    assert read_audio(path).samples.shape == (2, RATE)


@pytest.mark.parametrize("size", [0, 0x7FFFF000, 0x80000000, 0xFFFFFFFF])
@pytest.mark.parametrize("magic", [b"RIFF", b"FORM"], ids=["wav", "aiff"])
def test_a_piped_file_of_unknown_size_is_read_whole(
    tmp_path: Path, noise: Samples, magic: bytes, size: int
) -> None:
    path = tmp_path / "song"
    soundfile.write(path, noise, RATE, format="WAV" if magic == b"RIFF" else "AIFF")
    expected = read_audio(path).samples
    content = bytearray(path.read_bytes())
    name, order = (b"data", "<") if magic == b"RIFF" else (b"SSND", ">")
    at = content.find(name) + 4
    content[at : at + 4] = struct.pack(f"{order}I", size)
    path.write_bytes(content)
    np.testing.assert_array_equal(read_audio(path).samples, expected)


def test_a_caf_or_flac_of_unknown_length_is_read_whole(tmp_path: Path, noise: Samples) -> None:
    caf, flac = tmp_path / "song.caf", tmp_path / "song.flac"
    soundfile.write(caf, noise, RATE, subtype="PCM_16")
    soundfile.write(flac, noise, RATE)
    expected = [read_audio(path).samples for path in (caf, flac)]
    content = caf.read_bytes()
    at = content.find(b"data") + 4
    caf.write_bytes(content[:at] + struct.pack(">q", -1) + content[at + 8 :])
    state_flac_length(flac, 0)
    for path, samples in zip((caf, flac), expected, strict=True):
        np.testing.assert_array_equal(read_audio(path).samples, samples)


def state_flac_length(path: Path, samples: int) -> None:
    """Change the number of samples in STREAMINFO, the last 36 bits of these eight bytes."""
    content = bytearray(path.read_bytes())
    fields = int.from_bytes(content[18:26], "big") >> 36 << 36
    content[18:26] = (fields | samples).to_bytes(8, "big")
    path.write_bytes(content)


@pytest.mark.parametrize("quiet_first", [True, False])
def test_an_mp3_without_a_tag_is_read_to_its_end(tmp_path: Path, quiet_first: bool) -> None:
    """Its length can only be estimated from its first frame, here ten times too long or short."""
    halves = [np.zeros((2, 2 * RATE), np.float32), np.tile(sine(2 * RATE, hertz=3000), (2, 1))]
    halves[1] *= np.random.default_rng(0).uniform(0, 1, halves[1].shape).astype(np.float32)
    song = np.concatenate(halves if quiet_first else halves[::-1], axis=1)
    path = tmp_path / "song.mp3"
    variable = {"flags": "+qscale", "global_quality": "472"}
    encode(path, song, RATE, "libmp3lame", variable, {"write_xing": "0"})
    samples = read_audio(path).samples
    assert 0 <= samples.shape[1] - song.shape[1] < 4000
    loud = [np.abs(half).mean() > 0.05 for half in np.split(samples[:, : song.shape[1]], 2, axis=1)]
    assert loud == [not quiet_first, quiet_first]


def test_an_mp3_equals_another_decoders(tmp_path: Path, noise: Samples) -> None:
    path = tmp_path / "song.mp3"
    soundfile.write(path, noise, RATE)
    expected, _ = soundfile.read(path, dtype="float32")
    samples = read_audio(path).samples
    assert samples.shape == expected.T.shape == (2, len(noise))
    assert np.abs(samples - expected.T).max() < 1e-4


@pytest.mark.parametrize("between", [b"", b"TAG" + bytes(125), b"APETAGEX" + bytes(3000)])
@pytest.mark.parametrize("xing", ["0", "1"])
def test_mp3s_that_were_joined_are_read_to_the_end(
    tmp_path: Path, xing: str, between: bytes
) -> None:
    """The tag of the first one states only its own length."""
    first, second = np.stack([sine(RATE)] * 2), np.stack([sine(2 * RATE, hertz=900)] * 2)
    for name, samples in (("a", first), ("b", second)):
        encode(tmp_path / f"{name}.mp3", samples, RATE, "libmp3lame", {}, {"write_xing": xing})
    parts = [(tmp_path / f"{name}.mp3").read_bytes() for name in "ab"]
    (tmp_path / "joined.mp3").write_bytes(parts[0] + between + parts[1])
    samples = read_audio(tmp_path / "joined.mp3").samples
    assert 0 <= samples.shape[1] - 3 * RATE < 6000
    for at, hertz in ((0.5, 220), (2.0, 900), (2.9, 900)):
        part = samples[0, int(at * RATE) :][: RATE // 10]
        spectrum = np.abs(np.fft.rfft(part * np.hanning(len(part))))
        assert np.argmax(spectrum) * 10 == pytest.approx(hertz, abs=10)


def test_an_mp3_with_a_damaged_middle_is_read_with_a_warning(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "song.mp3"
    encode(path, np.stack([sine(4 * RATE)] * 2), RATE, "libmp3lame")
    content = bytearray(path.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 300] = bytes(300)
    path.write_bytes(content)
    samples = read_audio(path).samples
    assert abs(samples.shape[1] - 4 * RATE) < 5000
    assert np.abs(samples[0, -RATE // 2 : -RATE // 4]).max() > 0.4


@pytest.mark.parametrize("kept", [0.2, 0.5, 0.97])
def test_a_truncated_webm_is_refused(tmp_path: Path, noise: Samples, kept: float) -> None:
    path = tmp_path / "song.webm"
    encode(path, np.ascontiguousarray(noise.T), 48000, "libopus")
    assert read_audio(path).samples.shape[1] == pytest.approx(len(noise), abs=2000)
    cut(path, kept)
    with pytest.raises(UserError, match=r"song\.webm is .*truncated"):
        read_audio(path)


def test_a_webm_of_unknown_size_is_read_whole(tmp_path: Path, noise: Samples) -> None:
    path = tmp_path / "song.webm"
    encode(path, np.ascontiguousarray(noise.T), 48000, "libopus")
    expected = read_audio(path).samples
    content = bytearray(path.read_bytes())
    at = content.find(b"\x18S\x80g") + 4
    assert content[at] == 1  # a size of eight bytes
    content[at : at + 8] = b"\x01" + 7 * b"\xff"
    path.write_bytes(content)
    np.testing.assert_array_equal(read_audio(path).samples, expected)


# Files that name other files.

PLAYLISTS = {
    "ffconcat": "ffconcat version 1.0\nfile secret.wav\n",
    "hls": "#EXTM3U\n#EXT-X-VERSION:3\n#EXTINF:1.0,\nsecret.wav\n#EXT-X-ENDLIST\n",
    "sdp": "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nm=audio 5004 RTP/AVP 0\n",
}


@pytest.mark.parametrize("suffix", [".mp3", ".m4a", ".wav", ".m3u8", ".ffconcat"])
@pytest.mark.parametrize("kind", PLAYLISTS)
def test_a_playlist_opens_no_other_file(tmp_path: Path, kind: str, suffix: str) -> None:
    soundfile.write(tmp_path / "secret.wav", sine(RATE), RATE)
    path = tmp_path / f"song{suffix}"
    path.write_text(PLAYLISTS[kind])
    with pytest.raises(UserError, match="is not an audio file, or is truncated or damaged"):
        read_audio(path)


@pytest.mark.parametrize(
    "name", ["concat:a.m4a", "http:x.m4a", "-i.m4a", "a%03d.m4a", "\udcff.m4a"]
)
def test_a_name_is_only_a_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """FFmpeg takes what precedes a colon for a protocol."""
    encode(tmp_path / "song.m4a", np.stack([sine(RATE)] * 2), RATE, "aac")
    (tmp_path / "song.m4a").rename(tmp_path / name)
    monkeypatch.chdir(tmp_path)
    assert read_audio(name).samples.shape[1] >= RATE


@pytest.mark.usefixtures("deadline")
def test_a_pipe_is_no_audio_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "song.wav")
    with pytest.raises(UserError, match=r"song\.wav is not a regular file"):
        read_audio(tmp_path / "song.wav")


def test_a_name_that_ends_with_raw_says_nothing(tmp_path: Path) -> None:
    (tmp_path / "song.raw").write_bytes(bytes(1000))
    with pytest.raises(UserError, match=r"song\.raw is not an audio file"):
        read_audio(tmp_path / "song.raw")
    soundfile.write(tmp_path / "song.wav", sine(RATE), RATE)
    (tmp_path / "song.wav").rename(tmp_path / "song.raw")
    assert read_audio(tmp_path / "song.raw").samples.shape == (1, RATE)


# Headers that claim what cannot be.


def wav_header(rate: int = RATE, channels: int = 2, size: int = 400) -> bytes:
    """A 16-bit WAV file of 400 bytes of sound, whatever it says."""
    step = min(2 * channels, 65535)
    form = struct.pack("<HHIIHH", 1, channels, rate, rate * step & 0xFFFFFFFF, step, 16)
    return b"".join(
        (b"RIFF", struct.pack("<I", 436), b"WAVEfmt ", struct.pack("<I", 16), form, b"data")
    ) + struct.pack("<I", size) + bytes(400)  # fmt: skip


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (wav_header(rate=1), "has a sample rate of 1 Hz; export it again at a rate from 1000 to"),
        (wav_header(rate=999), "has a sample rate of 999 Hz"),
        (wav_header(rate=768_001), "has a sample rate of 768001 Hz"),
        (wav_header(rate=2**31 - 1), "has a sample rate of 2147483647 Hz"),
        (wav_header(rate=0), "is not an audio file, or is"),
        (wav_header(rate=2**32 - 1), "is not an audio file, or is"),
        (wav_header(channels=0), "is not an audio file, or is"),
        (wav_header(channels=1000), "has 1000 channels"),
        (wav_header(channels=65535), "has 65535 channels|is not an audio file, or is"),
        (wav_header(size=3 * 10**9), r"is truncated: 0\.0 of 17006\.8 s can be read"),
        (b"RIFF" + bytes(8) + bytes(10**6), "is not an audio file, or is"),
        (b"RIFF", "is not an audio file, or is"),
        (b".snd", "is not an audio file, or is"),
        (b"OggS", "is not an audio file, or is"),
    ],
)
def test_absurd_headers_are_refused(tmp_path: Path, content: bytes, sentence: str) -> None:
    path = tmp_path / "song.wav"
    path.write_bytes(content)
    with pytest.raises(UserError, match=sentence) as caught:
        read_audio(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("rate", [1000, 768_000])
def test_extreme_rates_are_read(tmp_path: Path, rate: int) -> None:
    (tmp_path / "song.wav").write_bytes(wav_header(rate=rate))
    audio = read_audio(tmp_path / "song.wav")
    assert (audio.sample_rate, audio.samples.shape) == (rate, (2, 100))


def test_a_flac_that_claims_years_needs_no_memory(tmp_path: Path, noise: Samples) -> None:
    path = tmp_path / "song.flac"
    soundfile.write(path, noise, RATE)
    state_flac_length(path, 2**36 - 1)
    with pytest.raises(UserError, match=r"is truncated: 6\.0 of 1558264\.8 s can be read"):
        read_audio(path)


@pytest.mark.parametrize("stated", [0, 4, 4000])
@pytest.mark.parametrize("subtype", ["PCM_16", "PCM_24", "FLOAT"])
def test_a_wav_that_states_too_little_is_read_whole(
    tmp_path: Path, noise: Samples, stated: int, subtype: str
) -> None:
    path = tmp_path / "crashed.wav"
    write_wav(path, noise.T, RATE, subtype)
    whole = read_audio(path)
    content = bytearray(path.read_bytes())
    size = content.index(b"data") + 4
    content[size : size + 4] = stated.to_bytes(4, "little")
    path.write_bytes(content)
    again = read_audio(path)
    assert (again.sample_rate, again.wide) == (whole.sample_rate, whole.wide)
    np.testing.assert_array_equal(again.samples, whole.samples)


def test_long_chunks_after_short_sound_are_no_sound(tmp_path: Path) -> None:
    path = tmp_path / "notes.wav"
    write_wav(path, np.stack([sine(100)] * 2), RATE)
    content = path.read_bytes()
    path.write_bytes(content + b"LIST" + (5000).to_bytes(4, "little") + bytes(5000))
    assert read_audio(path).samples.shape == (2, 100)


def test_the_size_in_a_header_is_found_behind_other_chunks(tmp_path: Path) -> None:
    path = tmp_path / "song.wav"
    path.write_bytes(wav_header(size=1600))
    assert share_of_stated_size(path) == 0.25
    content = wav_header(size=1600)
    odd = b"LIST" + struct.pack("<I", 5) + b"INFO\0\0"  # padded to an even length
    path.write_bytes(content[:12] + 20 * odd + content[12:])
    assert share_of_stated_size(path) == 0.25
    path.write_bytes(b"RIFF" + bytes(8) + (b"junk" + bytes(4)) * 2000)
    assert share_of_stated_size(path) == 1


def test_an_encrypted_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "bought.m4a"
    encode(path, np.stack([sine(RATE)] * 2), RATE, "aac")
    path.write_bytes(path.read_bytes().replace(b"mp4a", b"drms").replace(b"esds", b"free"))
    with pytest.raises(UserError, match=r"bought\.m4a is encrypted or of an unknown encoding"):
        read_audio(path)


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


def write_stems(path: Path, names: Sequence[str], titled: bool) -> None:
    """Write a stem file whose streams are sines of 100, 200, ... Hz, in the order of the names."""
    with av.open(str(path), "w", format="mp4") as container:
        streams = [container.add_stream("aac", rate=RATE, layout="stereo") for _ in names]
        for stream, name in zip(streams, names, strict=True):
            if titled:
                stream.metadata["title"] = name
        for number, stream in enumerate(streams, 1):
            assert isinstance(stream, av.AudioStream)
            sound = np.stack([sine(RATE // 2, hertz=100.0 * number)] * 2)
            frame = av.AudioFrame.from_ndarray(sound, "fltp", "stereo")
            frame.rate, frame.pts = RATE, 0
            container.mux([*stream.encode(frame), *stream.encode(None)])


def put_names_into_box(path: Path, names: Sequence[str]) -> None:
    """Name the stems of a file as programs for DJs do, in a box at the end of its box `moov`."""
    content = path.read_bytes()
    moov = content.rindex(b"moov") - 4
    size = int.from_bytes(content[moov : moov + 4], "big")
    assert moov + size == len(content)
    inner = json.dumps({"version": 1, "stems": [{"name": name} for name in names]}).encode()
    for kind in (b"stem", b"udta"):
        inner = (8 + len(inner)).to_bytes(4, "big") + kind + inner
    grown = (size + len(inner)).to_bytes(4, "big")
    path.write_bytes(content[:moov] + grown + content[moov + 4 :] + inner)


def hertz(audio: Audio) -> int:
    spectrum = np.abs(np.fft.rfft(audio.samples[0, : RATE // 2]))
    return round(int(spectrum.argmax()) * 2, -1)


@pytest.mark.parametrize("titled", [True, False], ids=["titles", "box"])
def test_named_streams_are_found_in_any_order(tmp_path: Path, titled: bool) -> None:
    path = tmp_path / "song.stem.mp4"
    names = ["Vox", "Master", "Bass", "DRUMS", "other"]
    if not titled:
        names = ["Master", "Vox", "Bass", "DRUMS", "other"]  # the mixture has no name of its own
    write_stems(path, names, titled)
    if not titled:
        put_names_into_box(path, names[1:])
    assert hertz(read_audio(path)) == 100 * (names.index("Master") + 1)
    for source, name in (
        ("vocals", "Vox"),
        ("bass", "Bass"),
        ("drums", "DRUMS"),
        ("other", "other"),
    ):
        assert hertz(read_stem(path, source)) == 100 * (names.index(name) + 1)


def test_streams_without_known_names_are_in_the_usual_order(tmp_path: Path) -> None:
    path = tmp_path / "song.stem.mp4"
    write_stems(path, ["1", "2", "3", "4", "5"], titled=True)
    assert hertz(read_audio(path)) == 100
    assert hertz(read_stem(path, "vocals")) == 500


def test_a_name_that_no_stream_has_is_said(tmp_path: Path) -> None:
    path = tmp_path / "song.stem.mp4"
    write_stems(path, ["drums", "synths", "fx", "vocals", "other"], titled=True)
    said = "names its streams 'drums', 'synths', .* none of them"
    with pytest.raises(UserError, match=f"{said} bass"):
        read_stem(path, "bass")
    with pytest.raises(UserError, match=f"{said} mixture"):
        read_audio(path)


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


def test_eight_channels_of_a_file_that_libsndfile_cannot_read(tmp_path: Path) -> None:
    path = tmp_path / "surround.mka"
    samples = (np.arange(8 * 4096).reshape(8, 4096) % 30_000 - 15_000).astype(np.int16)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=48_000, layout="7.1")
        frame = av.AudioFrame.from_ndarray(samples.T.reshape(1, -1).copy(), "s16", "7.1")
        frame.sample_rate = 48_000
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    read = read_audio(path)
    np.testing.assert_array_equal(read.samples, samples.astype(np.float32) / 32768)
