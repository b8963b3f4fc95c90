"""Edits change what they name and nothing else."""

import dataclasses

import numpy as np
import pytest

from shared.codes import editing as codes_editing
from shared.codes.song_codes import VIEWS, SongCodes
from shared.errors import UserError
from shared.music.notes import NoteVocabulary
from shared.sources import SOURCES

FRAMES = 20


class ToyCodec:
    """Silence is code 7 everywhere."""

    sample_rate, hop, sources, num_codebooks, cardinality = 100, 10, SOURCES, 2, 8
    fingerprint = "toy-1"

    def num_frames(self, num_samples: int) -> int:
        return -(-num_samples // self.hop)

    def encode(self, audio: np.ndarray) -> np.ndarray:
        assert not audio.any()
        return np.full((4, 2, self.num_frames(audio.shape[1])), 7, np.uint16)


def make_song(seed: int, frames: int = FRAMES, gain: float = 1.0) -> SongCodes:
    random = np.random.default_rng(seed)
    return SongCodes(
        track=f"song {seed}",
        split="test",
        sources=SOURCES,
        sample_rate=100,
        hop=10,
        num_samples=frames * 10,
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


def changed(before: SongCodes, after: SongCodes) -> np.ndarray:
    """Where the codes differ in any codebook of any view `[S, T]`."""
    return np.any([(before.views[v] != after.views[v]).any(1) for v in before.views], axis=0)


def test_mute_writes_the_codes_of_silence(song):
    before = {name: codes.copy() for name, codes in song.views.items()}
    muted = codes_editing.mute(song, "bass", ToyCodec())
    for view in VIEWS:
        assert (muted.view(view)[1] == 7).all()
        np.testing.assert_array_equal(song.view(view), before[view])
    assert changed(song, muted).all(1).tolist() == [False, True, False, False]
    assert muted.rms["bass"] == 0
    assert (muted.notes == NoteVocabulary.REST).all()
    assert muted.song == {"tempo": 120.0}
    drums = codes_editing.mute(song, "drums", ToyCodec())
    np.testing.assert_array_equal(drums.notes, song.notes)


def test_replace_takes_one_source(song, donor):
    replaced = codes_editing.replace(song, "bass", donor)
    for view in VIEWS:
        np.testing.assert_array_equal(replaced.view(view)[1], donor.view(view)[1, :, :FRAMES])
    np.testing.assert_array_equal(replaced.notes, donor.notes[:FRAMES])
    assert changed(song, replaced).any(1).tolist() == [False, True, False, False]
    assert replaced.rms["bass"] == pytest.approx(0.2)  # the donor was encoded louder
    with pytest.raises(UserError, match=r"lasts 2.00 s and 'song 2' 3.00 s"):
        codes_editing.replace(donor, "bass", song)


def test_splice_writes_a_range_elsewhere(song, donor):
    spliced = codes_editing.splice(song, donor, 1.0, 1.5, at=0.2, sources=["drums"])
    np.testing.assert_array_equal(
        spliced.view("alone")[2, :, 2:7], donor.view("alone")[2, :, 10:15]
    )
    touched = changed(song, spliced)
    assert not touched[:, [0, 1, *range(7, FRAMES)]].any()
    assert not touched[[0, 1, 3]].any()
    np.testing.assert_array_equal(spliced.notes, song.notes)


def test_splice_keeps_notes_with_the_bass(song, donor):
    spliced = codes_editing.splice(song, donor, 0.5, 1.0)
    np.testing.assert_array_equal(spliced.notes[5:10], donor.notes[5:10])
    np.testing.assert_array_equal(spliced.notes[10:], song.notes[10:])
    unknown = dataclasses.replace(donor, notes=None, note_confidence=None)
    assert codes_editing.splice(song, unknown, 0.5, 1.0).notes is None


def test_shift_rolls_within_its_range(song):
    shifted = codes_editing.shift(song, 0.2, start=0.5, end=1.5, sources=["bass"])
    alone, before = shifted.view("alone")[1], song.view("alone")[1]
    np.testing.assert_array_equal(alone[:, 7:15], before[:, 5:13])
    np.testing.assert_array_equal(alone[:, 5:7], before[:, 13:15])
    assert not changed(song, shifted)[:, [*range(5), *range(15, FRAMES)]].any()
    np.testing.assert_array_equal(shifted.notes[7:15], song.notes[5:13])
    back = codes_editing.shift(shifted, -0.2, start=0.5, end=1.5, sources=["bass"])
    assert not changed(song, back).any()


@pytest.mark.parametrize(("start", "end"), [(-1, 1), (1, 1), (1, 2.5), (2, 1)])
def test_ranges_must_lie_in_the_song(song, start, end):
    with pytest.raises(UserError, match=r"does not lie in 'song 1', which lasts 2.00 s"):
        codes_editing.shift(song, 0.1, start, end)
    with pytest.raises(UserError, match="does not lie in 'song 1'"):
        codes_editing.splice(song, song, start, end)


def test_a_spliced_range_must_fit_where_it_goes(song, donor):
    with pytest.raises(UserError, match=r"1.5 to 2.5 s does not lie in 'song 1'"):
        codes_editing.splice(song, donor, 1.0, 2.0, at=1.5)


def test_strangers_are_refused(song, donor):
    stranger = dataclasses.replace(donor, fingerprint="toy-2")
    with pytest.raises(UserError, match="'song 2' were made by the codec checkpoint toy-2"):
        codes_editing.replace(song, "bass", stranger)
    partial = dataclasses.replace(donor, views={"alone": donor.view("alone")})
    with pytest.raises(UserError, match="has the views alone"):
        codes_editing.replace(song, "bass", partial)
    with pytest.raises(UserError, match="no source 'guitar'"):
        codes_editing.replace(song, "guitar", donor)
    with pytest.raises(UserError, match="codec checkpoint toy-2"):
        codes_editing.mute(stranger, "bass", ToyCodec())
