"""Edits change what they name and nothing else."""

import dataclasses
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from shared.codes.codec import Codec
from shared.codes.editing import CodeEdits, edit_file, mute, replace, shift, splice
from shared.codes.song_codes import VIEWS, SongCodes
from shared.errors import UserError
from shared.music.notes import NoteVocabulary
from shared.sources import SOURCES
from shared.times import TimeRange
from tests.toy_codec import SILENT_CODE, ToyCodec

FRAMES = 20  # of the song, which lasts 1.9 s


def make_song(seed: int, frames: int = FRAMES, gain: float = 1.0) -> SongCodes:
    random = np.random.default_rng(seed)
    return SongCodes(
        track=f"song {seed}",
        split="test",
        sources=SOURCES,
        sample_rate=100,
        hop=10,
        num_samples=(frames - 1) * 10,
        fingerprint="toy-1",
        gain=gain,
        rms=dict.fromkeys(SOURCES, 0.1),
        views={view: random.integers(0, 7, (4, 2, frames)).astype(np.uint16) for view in VIEWS},
        notes=random.integers(0, 97, frames).astype(np.uint8),
        note_confidence=random.random(frames, dtype=np.float32),
        song={"tempo": 120.0, "bass_notes": []},
    )


@pytest.fixture
def song() -> SongCodes:
    return make_song(1)


@pytest.fixture
def donor() -> SongCodes:
    return make_song(2, frames=30, gain=2.0)


def changed(before: SongCodes, after: SongCodes) -> npt.NDArray[np.bool_]:
    """Where the codes differ in any codebook of any view `[S, T]`."""
    return np.any([(before.views[v] != after.views[v]).any(1) for v in before.views], axis=0)


def test_mute_writes_the_codes_of_silence(song: SongCodes) -> None:
    before = {name: codes.copy() for name, codes in song.views.items()}
    muted = mute(song, "bass", ToyCodec())
    for view in VIEWS:
        assert (muted.view(view)[1] == SILENT_CODE).all()
        np.testing.assert_array_equal(song.view(view), before[view])
    assert changed(song, muted).all(1).tolist() == [False, True, False, False]
    assert muted.rms == song.rms | {"bass": 0}
    np.testing.assert_array_equal(muted.notes, NoteVocabulary.REST)
    np.testing.assert_array_equal(muted.note_confidence, 1)
    assert muted.song == {"tempo": 120.0}
    drums = mute(song, "drums", ToyCodec())
    np.testing.assert_array_equal(drums.notes, song.notes)
    assert drums.song == song.song


def test_replace_takes_one_source_of_a_longer_song(song: SongCodes, donor: SongCodes) -> None:
    assert song.notes is not None
    assert donor.notes is not None
    replaced = replace(song, "bass", donor)
    for view in VIEWS:
        np.testing.assert_array_equal(replaced.view(view)[1], donor.view(view)[1, :, :FRAMES])
    np.testing.assert_array_equal(replaced.notes, donor.notes[:FRAMES])
    assert changed(song, replaced).any(1).tolist() == [False, True, False, False]
    assert replaced.rms["bass"] == pytest.approx(0.2)  # the donor was encoded louder
    assert replaced.num_samples == song.num_samples


def test_replace_by_a_shorter_song_ends_in_silence(song: SongCodes, donor: SongCodes) -> None:
    assert song.notes is not None
    replaced = replace(donor, "bass", song, ToyCodec())
    for view in VIEWS:
        np.testing.assert_array_equal(replaced.view(view)[1, :, :FRAMES], song.view(view)[1])
        assert (replaced.view(view)[1, :, FRAMES:] == SILENT_CODE).all()
    assert replaced.notes is not None
    np.testing.assert_array_equal(replaced.notes[:FRAMES], song.notes)
    np.testing.assert_array_equal(replaced.notes[FRAMES:], NoteVocabulary.REST)
    assert changed(donor, replaced).any(1).tolist() == [False, True, False, False]
    # The song was encoded at half the donor's gain, and plays for 20 of 30 frames.
    assert replaced.rms["bass"] == pytest.approx(0.1 * 0.5 * (20 / 30) ** 0.5)
    with pytest.raises(UserError, match=r"'song 1' is shorter than 'song 2'.*give the codec"):
        replace(donor, "bass", song)


def test_splice_writes_a_range_of_the_donor_elsewhere(song: SongCodes, donor: SongCodes) -> None:
    given = {name: codes.copy() for name, codes in donor.views.items()}
    spliced = splice(song, donor, TimeRange(1.0, 1.5), at=0.2, sources=["drums"])
    for view in VIEWS:
        np.testing.assert_array_equal(spliced.view(view)[2, :, 2:7], donor.view(view)[2, :, 10:15])
        np.testing.assert_array_equal(donor.view(view), given[view])
    touched = changed(song, spliced)
    assert not touched[:, [0, 1, *range(7, FRAMES)]].any()
    assert not touched[[0, 1, 3]].any()
    np.testing.assert_array_equal(spliced.notes, song.notes)
    # A quarter of the drums is the donor's, which is twice as loud here as in its own song.
    assert spliced.rms["drums"] == pytest.approx((0.75 * 0.1**2 + 0.25 * 0.2**2) ** 0.5)
    assert spliced.rms["bass"] == 0.1


def test_splice_takes_the_notes_with_the_bass(song: SongCodes, donor: SongCodes) -> None:
    assert song.notes is not None
    assert donor.notes is not None
    assert donor.note_confidence is not None
    spliced = splice(song, donor, TimeRange(0.5, 1.0))
    assert spliced.notes is not None
    assert spliced.note_confidence is not None
    np.testing.assert_array_equal(spliced.notes[5:10], donor.notes[5:10])
    np.testing.assert_array_equal(spliced.note_confidence[5:10], donor.note_confidence[5:10])
    np.testing.assert_array_equal(spliced.notes[10:], song.notes[10:])
    np.testing.assert_array_equal(spliced.notes[:5], song.notes[:5])
    assert spliced.song == {"tempo": 120.0}
    unknown = dataclasses.replace(donor, notes=None, note_confidence=None)
    assert splice(song, unknown, TimeRange(0.5, 1.0)).notes is None


def test_shift_rolls_within_its_range(song: SongCodes) -> None:
    assert song.notes is not None
    shifted = shift(song, 0.2, TimeRange(0.5, 1.5), sources=["bass"])
    alone, before = shifted.view("alone")[1], song.view("alone")[1]
    np.testing.assert_array_equal(alone[:, 7:15], before[:, 5:13])
    np.testing.assert_array_equal(alone[:, 5:7], before[:, 13:15])
    assert not changed(song, shifted)[:, [*range(5), *range(15, FRAMES)]].any()
    assert changed(song, shifted).any(1).tolist() == [False, True, False, False]
    assert shifted.notes is not None
    np.testing.assert_array_equal(shifted.notes[7:15], song.notes[5:13])
    assert shifted.song == {"tempo": 120.0}
    back = shift(shifted, -0.2, TimeRange(0.5, 1.5), sources=["bass"])
    assert not changed(song, back).any()
    whole = shift(song, 0.3)
    np.testing.assert_array_equal(whole.view("mixture"), np.roll(song.view("mixture"), 3, axis=2))
    np.testing.assert_array_equal(whole.notes, np.roll(song.notes, 3))
    with pytest.raises(UserError, match="nothing can be shifted by nan s"):
        shift(song, float("nan"))


# Where a range ends. The song lasts 1.9 s; its last frame, number 19, is at its end.


@pytest.mark.parametrize(("start", "stop"), [(1, 2.0), (1, 2.5), (1.9, 1.95), (3, 4)])
def test_ranges_must_lie_in_the_song(song: SongCodes, start: float, stop: float) -> None:
    sentence = r"does not lie in 'song 1', which lasts 1\.90 s"
    with pytest.raises(UserError, match=sentence):
        shift(song, 0.1, TimeRange(start, stop))
    with pytest.raises(UserError, match=sentence):
        splice(song, song, TimeRange(start, stop))


def test_a_range_to_the_end_contains_the_last_frame(song: SongCodes) -> None:
    for stop in (1.9, 1.94):  # within half a frame
        shifted = shift(song, 0.1, TimeRange(1.5, stop))
        np.testing.assert_array_equal(
            shifted.view("alone")[..., 15:], np.roll(song.view("alone")[..., 15:], 1, axis=2)
        )


def test_a_range_shorter_than_a_frame_is_refused(song: SongCodes) -> None:
    with pytest.raises(UserError, match=r"0:01-0:01\.01 is shorter than a frame of 100 ms"):
        shift(song, 0.1, TimeRange(1.0, 1.01))


def test_a_spliced_range_must_fit_where_it_goes(song: SongCodes, donor: SongCodes) -> None:
    with pytest.raises(UserError, match=r"0:01\.5-0:02\.5 does not lie in 'song 1'"):
        splice(song, donor, TimeRange(1.0, 2.0), at=1.5)


def test_no_range_that_fits_is_refused_for_its_rounding() -> None:
    """With 43.07 frames per second hardly any time is a whole number of frames."""
    song, donor = (
        dataclasses.replace(
            make_song(seed, frames=264), sample_rate=44100, hop=1024, num_samples=262 * 1024 + 379
        )
        for seed in (1, 2)
    )
    random = np.random.default_rng(0)
    for _ in range(300):
        length = random.uniform(0.05, song.duration)
        start, at = random.uniform(0, song.duration - length, 2)
        if random.random() < 0.5:
            at = song.duration - length  # up to the end
        spliced = splice(song, donor, TimeRange(start, start + length), at, sources=["other"])
        first, target = round(start * song.frame_rate), round(at * song.frame_rate)
        count = int(length * song.frame_rate) - 1
        np.testing.assert_array_equal(
            spliced.view("alone")[3, :, target : target + count],
            donor.view("alone")[3, :, first : first + count],
        )
        assert not changed(song, spliced)[:, : max(0, target)].any()
        assert not changed(song, spliced)[:, target + count + 4 :].any()


def test_a_donor_that_ends_a_frame_earlier_fits_at_the_end() -> None:
    """Both songs last 20 frames, but the end of one is in the middle of a frame."""
    song = dataclasses.replace(make_song(1, frames=22), num_samples=204)
    donor = make_song(2, frames=21)
    spliced = splice(song, donor, TimeRange(1.5, 2.0))
    np.testing.assert_array_equal(
        spliced.view("alone")[..., 15:21], donor.view("alone")[..., 15:21]
    )
    assert not changed(song, spliced)[:, 21:].any()


def test_strangers_are_refused(song: SongCodes, donor: SongCodes) -> None:
    stranger = dataclasses.replace(donor, fingerprint="toy-2")
    with pytest.raises(UserError, match="'song 2' were made by the codec checkpoint toy-2"):
        replace(song, "bass", stranger)
    with pytest.raises(UserError, match="'song 2' were made by the codec checkpoint toy-2"):
        splice(song, stranger, TimeRange(0, 1))
    partial = dataclasses.replace(donor, views={"alone": donor.view("alone")})
    with pytest.raises(UserError, match="has the views alone"):
        replace(song, "bass", partial)
    with pytest.raises(UserError, match="no source 'guitar'"):
        replace(song, "guitar", donor)
    with pytest.raises(UserError, match="codec checkpoint toy-2"):
        mute(stranger, "bass", ToyCodec())


# The edits of the command line.


def no_codec() -> Codec:
    raise AssertionError("this edit needs no codec")


@pytest.fixture
def folder(song: SongCodes, donor: SongCodes, tmp_path: Path) -> Path:
    """`song.codes` and the longer `donor.codes`."""
    song.save(tmp_path / "song.codes")
    donor.save(tmp_path / "donor.codes")
    return tmp_path


def edited(folder: Path, file: str, edits: CodeEdits) -> SongCodes:
    edit_file(folder / file, folder / "out.codes", edits, ToyCodec, force=True)
    return SongCodes.load(folder / "out.codes")


def assert_same(first: SongCodes, second: SongCodes) -> None:
    assert not changed(first, second).any()
    assert first.rms == second.rms
    np.testing.assert_array_equal(first.notes, second.notes)


def test_edits_are_made_in_their_order(song: SongCodes, donor: SongCodes, folder: Path) -> None:
    edits = CodeEdits(
        mute=["vocals"],
        replace=[f"bass={folder / 'donor.codes'}"],
        splice="0:00.5-0:01",
        donor=folder / "donor.codes",
        at="1.2",
        shift=0.2,
        within="0-0:01.5",
        sources=["bass", "vocals"],
    )
    expected = replace(mute(song, "vocals", ToyCodec()), "bass", donor)
    expected = splice(expected, donor, TimeRange(0.5, 1.0), 1.2, ["bass", "vocals"])
    expected = shift(expected, 0.2, TimeRange(0, 1.5), ["bass", "vocals"])
    assert_same(edited(folder, "song.codes", edits), expected)


def test_a_song_is_its_own_donor(song: SongCodes, folder: Path) -> None:
    made = edited(folder, "song.codes", CodeEdits(splice="0-0.5", at="1"))
    assert_same(made, splice(song, song, TimeRange(0, 0.5), 1.0))


def test_only_silence_needs_a_codec(folder: Path) -> None:
    edits = CodeEdits(replace=[f"bass={folder / 'donor.codes'}"], splice="0-1", shift=0.1)
    edit_file(folder / "song.codes", folder / "out.codes", edits, no_codec)
    assert (folder / "out.codes").is_file()


def test_a_replacement_of_another_length_is_told(
    song: SongCodes, donor: SongCodes, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made = edited(folder, "song.codes", CodeEdits(replace=[f"drums={folder / 'donor.codes'}"]))
    assert_same(made, replace(song, "drums", donor))
    assert capsys.readouterr().err == (
        "'song 2' lasts 2.90 s and 'song 1' 1.90 s: the end of its drums is left out\n"
    )
    made = edited(folder, "donor.codes", CodeEdits(replace=[f"drums={folder / 'song.codes'}"]))
    assert_same(made, replace(donor, "drums", song, ToyCodec()))
    assert capsys.readouterr().err == (
        "'song 1' lasts 1.90 s and 'song 2' 2.90 s: the rest of the drums is silent\n"
    )


def test_wrong_edits_write_nothing(folder: Path) -> None:
    for edits, sentence in (
        (CodeEdits(replace=["bass"]), "--replace 'bass' is not SOURCE=FILE"),
        (CodeEdits(replace=["bass=a", "bass=b"]), "--replace names bass more than once"),
        (CodeEdits(replace=["bass=none"]), "there is no codes file none"),
        (CodeEdits(mute=["guitar"]), "no source 'guitar'"),
        (CodeEdits(splice="1"), "'1' is not a time range"),
        (CodeEdits(splice="0-1", at="late"), "'late' is not a time"),
    ):
        with pytest.raises(UserError, match=sentence):
            edited(folder, "song.codes", edits)
    assert not (folder / "out.codes").exists()
