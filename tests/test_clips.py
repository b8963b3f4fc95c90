"""Which parts of which songs a prior is evaluated on."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from shared.codes.codec import CodeFormat
from shared.codes.manifest import write_manifest
from shared.codes.song_codes import SongCodes
from shared.errors import UserError
from shared.music.notes import Note, notes_to_tokens
from shared.sound.levels import TARGET_RMS
from shared.sound.samples import rms
from shared.sources import BASS, SOURCES
from stage2_prior.clips import Clip, load_clips, mixed_clips
from stage2_prior.performer.sampling import FREE
from tests.oracle_codec import RATE, OracleCodec, oracle_song, two_tones

WriteSong = Callable[..., Path]


def write_codes(folder: Path, codec: OracleCodec, songs: list[SongCodes]) -> Path:
    files = [folder / song.split / f"{song.track}.codes.safetensors" for song in songs]
    for song, file in zip(songs, files, strict=True):
        song.save(file)
    write_manifest(folder, CodeFormat.of(codec), files)
    return folder


@pytest.fixture
def codec() -> OracleCodec:
    return OracleCodec(two_tones())


def test_clips_come_from_the_middle_of_songs_that_are_long_enough(
    codec: OracleCodec, tmp_path: Path
) -> None:
    songs = [
        oracle_song(codec, "a", 6.0),
        oracle_song(codec, "b", 9.0),
        oracle_song(codec, "short", 2.0),
        oracle_song(codec, "training", 6.0, "train"),
    ]
    write_codes(tmp_path, codec, songs)
    oracle_song(codec, "not listed", 6.0).save(tmp_path / "test" / "other.codes.safetensors")
    clips = load_clips(tmp_path, codec, "test", at_most=40, seconds=4.0)
    assert [(clip.number, clip.song.track) for clip in clips] == [(0, "a"), (1, "b")]
    everything = load_clips(tmp_path, codec, "all", at_most=40, seconds=4.0)
    assert [clip.song.track for clip in everything] == ["a", "b", "training"]
    for clip, start in zip(clips, (1.0, 2.5), strict=True):
        assert clip.start == pytest.approx(start, abs=1 / codec.frame_rate)
        assert clip.num_samples == 4 * RATE
        assert clip.frames == codec.num_frames(4 * RATE)


def test_a_clip_has_the_accompaniment_and_the_bass_alone(codec: OracleCodec) -> None:
    song = oracle_song(codec, "a", 2.0)
    clip = Clip(0, song, 10, 30, 29 * codec.hop)
    part = slice(10, 40)
    assert np.array_equal(clip.accompaniment, song.views["accompaniment"][..., part])
    assert np.array_equal(clip.bass, song.views["alone"][BASS][:, part])
    assert song.notes is not None
    assert (clip.notes[1::2] == FREE).all()  # their confidence is 0
    assert np.array_equal(clip.notes[::2], song.notes[part][::2])


def test_notes_that_nobody_knows(codec: OracleCodec) -> None:
    song = oracle_song(codec, "a", 2.0)
    unknown = replace(song, notes=None, note_confidence=None)
    assert (Clip(0, unknown, 0, 30, 1000).notes == FREE).all()


def test_known_notes_of_the_bass_are_those_of_the_song(codec: OracleCodec) -> None:
    song = oracle_song(codec, "a", 4.0)
    onsets = (0.0, 0.5, 1.5, 2.5)
    facts = {"bass_notes": [{"onset": at, "duration": 0.8, "pitch": 33} for at in onsets]}
    clip = Clip(0, replace(song, song=facts), round(codec.frame_rate), 43, RATE)
    found = clip.true_notes or ()
    assert [note.onset for note in found] == pytest.approx([0.5 - clip.start, 1.5 - clip.start])
    assert {note.duration for note in found} == {0.8}


def test_tracked_notes_take_their_place_where_they_can_be_trusted(codec: OracleCodec) -> None:
    song = oracle_song(codec, "a", 4.0)
    notes = [Note(0.2, 0.5, 33), Note(1.2, 0.5, 40), Note(2.0, 0.2, 45)]
    confidence = np.where(np.arange(song.num_frames) < 1.5 * codec.frame_rate, 0.8, 0.0)
    tracked = replace(
        song,
        notes=notes_to_tokens(notes, song.num_frames, codec.frame_rate),
        note_confidence=confidence.astype(np.float32),
    )
    clip = Clip(0, tracked, round(codec.frame_rate), 80, 2 * RATE)
    (note,) = clip.true_notes or ()
    assert note.onset + clip.start == pytest.approx(1.2, abs=0.5 / codec.frame_rate)
    assert note.pitch == 40
    assert note.duration == pytest.approx(0.3, abs=1 / codec.frame_rate)
    assert len(clip.facts.bass_notes or ()) == 2
    nobody_knows = replace(tracked, notes=None, note_confidence=None)
    assert Clip(0, nobody_knows, 0, 80, 2 * RATE).true_notes is None


def test_few_clips_are_spread_over_all_songs(codec: OracleCodec, tmp_path: Path) -> None:
    write_codes(tmp_path, codec, [oracle_song(codec, name, 2.0) for name in "abcdef"])
    clips = load_clips(tmp_path, codec, "test", at_most=3, seconds=1.0)
    assert [(clip.number, clip.song.track) for clip in clips] == [(0, "a"), (1, "c"), (2, "e")]


def test_two_songs_are_needed(codec: OracleCodec, tmp_path: Path) -> None:
    write_codes(tmp_path, codec, [oracle_song(codec, name, 2.0) for name in "ab"])
    with pytest.raises(UserError, match="0 songs of the split 'valid'"):
        load_clips(tmp_path, codec, "valid", 10, 1.0)
    with pytest.raises(UserError, match="0 songs of the split 'test' that last 3 s"):
        load_clips(tmp_path, codec, "test", 10, 3.0)
    with pytest.raises(UserError, match="holds 0 songs that last 3 s"):
        load_clips(tmp_path, codec, "all", 10, 3.0)
    stranger = OracleCodec(two_tones())
    stranger.fingerprint = "another"
    with pytest.raises(UserError, match="another"):
        load_clips(tmp_path, stranger, "test", 10, 1.0)


def by_source(stems: np.ndarray) -> dict[str, np.ndarray]:
    return {source: stem.T for source, stem in zip(SOURCES, stems, strict=True)}


def test_a_mixed_clip_is_prepared_like_the_song_of_a_user(
    codec: OracleCodec, write_song: WriteSong, tmp_path: Path
) -> None:
    stems = codec.stems
    write_song(tmp_path / "test" / "song", **by_source(stems))
    length = stems.shape[-1]
    clip = Clip(0, oracle_song(codec, "song", 2.0), 0, codec.num_frames(length), length)
    (mixed,) = mixed_clips([clip], tmp_path, codec)
    assert mixed.own_bass is not None
    assert mixed.accompaniment.shape == clip.accompaniment.shape
    np.testing.assert_allclose(mixed.bass, stems[BASS], atol=1e-4)
    rest = stems.sum(0) - stems[BASS]
    assert mixed.gain == pytest.approx(TARGET_RMS / rms(rest), rel=0.05)
    assert rms(codec.encoded / mixed.gain - rest) < 0.1 * rms(rest)


def test_a_mixed_clip_is_the_same_part_of_the_song_as_its_codes(
    codec: OracleCodec, write_song: WriteSong, tmp_path: Path
) -> None:
    write_song(tmp_path / "test" / "song", **by_source(codec.stems))
    clip = Clip(0, oracle_song(codec, "song", 2.0), 20, 31, 30 * codec.hop)
    codec.stems = codec.stems[..., 20 * codec.hop : 50 * codec.hop]
    (mixed,) = mixed_clips([clip], tmp_path, codec)
    np.testing.assert_allclose(mixed.bass, codec.stems[BASS], atol=1e-4)
    others = codec.stems.sum(0) - codec.stems[BASS]
    np.testing.assert_allclose(mixed.without_bass, others, atol=2e-4)
    rest = codec.stems.sum(0) - codec.stems[BASS]
    assert rms(codec.encoded / mixed.gain - rest) < 0.1 * rms(rest)


def test_a_mixture_without_bass_stays_as_it_is(write_song: WriteSong, tmp_path: Path) -> None:
    codec = OracleCodec(two_tones(bass=0.002))
    write_song(tmp_path / "test" / "song", **by_source(codec.stems))
    length = codec.stems.shape[-1]
    clip = Clip(0, oracle_song(codec, "song", 2.0), 0, codec.num_frames(length), length)
    assert mixed_clips([clip], tmp_path, codec)[0].own_bass is None


def test_songs_other_than_those_of_the_codes(
    codec: OracleCodec, write_song: WriteSong, tmp_path: Path
) -> None:
    clips = [Clip(0, oracle_song(codec, name, 2.0), 0, 40, 39 * codec.hop) for name in ("a", "bb")]
    write_song(tmp_path / "test" / "a", seconds=2.0)
    write_song(tmp_path / "train" / "bb", seconds=2.0)
    with pytest.raises(UserError, match="holds no song 'bb' in the split 'test'"):
        mixed_clips(clips, tmp_path, codec)
    write_song(tmp_path / "test" / "bb", seconds=1.9)
    with pytest.raises(UserError, match="holds another song 'bb'"):
        mixed_clips(clips, tmp_path, codec)
