"""Rendered parts are in tune and in time, and the mix does to each stem what it may."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

import librosa
import numpy as np
import pedalboard
import pytest

from shared.band.recording import production
from shared.band.recording.production import produce
from shared.band.recording.render import SAMPLE_RATE, Orchestra
from shared.band.scores.score import Part, PitchBend, Score
from shared.errors import UserError
from shared.music.chord import Chord
from shared.music.notes import Note
from shared.sources import BASS, SOURCES

OTHER = SOURCES.index("other")


@pytest.fixture(scope="module")
def orchestra() -> Iterator[Orchestra]:
    with Orchestra() as orchestra:
        yield orchestra


def part(
    source: str,
    program: int,
    pitches: Sequence[int],
    step: float = 0.5,
    bends: tuple[PitchBend, ...] = (),
    velocity: int = 100,
) -> Part:
    notes = tuple(
        Note(index * step, 0.9 * step, pitch, velocity) for index, pitch in enumerate(pitches)
    )
    return Part(source, source, program, source == "drums", notes, bends)


def score_of(*parts: Part) -> Score:
    chords = (Chord(0.0, 2.0, 4, "min", 4),)
    return Score("test", 120, (4, 4), "E minor", 2.0, (0, 0.5, 1, 1.5), (0,), chords, parts)


def median_pitch(audio: np.ndarray, start: float, end: float) -> float:
    """The fundamental of `[2, N]` between two times (s), as a MIDI number."""
    mono = audio[:, int(start * SAMPLE_RATE) : int(end * SAMPLE_RATE)].mean(axis=0)
    hertz = librosa.yin(mono, fmin=27, fmax=1000, sr=SAMPLE_RATE, frame_length=4096)
    return float(librosa.hz_to_midi(np.median(hertz)))


@pytest.mark.parametrize("program", range(32, 40))
def test_the_default_soundfont_plays_every_bass_in_tune(orchestra: Orchestra, program: int) -> None:
    pitches = (30, 37, 44)
    audio = orchestra.play(part("bass", program, pitches), 0, 2 * SAMPLE_RATE)
    for index, pitch in enumerate(pitches):
        sounding = median_pitch(audio, 0.5 * index + 0.1, 0.5 * index + 0.4)
        assert abs(sounding - pitch) < 0.5


def test_a_pitch_bend_is_played_and_the_note_before_it_is_straight(orchestra: Orchestra) -> None:
    bent = part("bass", 38, (40,), step=2.0, bends=(PitchBend(1.0, 2.0),))
    audio = orchestra.play(bent, 0, 2 * SAMPLE_RATE)
    assert abs(median_pitch(audio, 0.2, 0.9) - 40) < 0.5
    assert abs(median_pitch(audio, 1.1, 1.7) - 42) < 0.5


def test_a_new_orchestra_plays_as_if_it_had_played_nothing(orchestra: Orchestra) -> None:
    """symusic plays program 90 differently after program 93."""
    after, before = part("other", 90, (60,)), part("other", 93, (60,))
    orchestra.renew()
    first = orchestra.play(after, 0, SAMPLE_RATE)
    orchestra.renew()
    orchestra.play(before, 0, SAMPLE_RATE)
    orchestra.renew()
    assert np.array_equal(orchestra.play(after, 0, SAMPLE_RATE), first)


def test_a_drum_sounds_when_it_is_written(orchestra: Orchestra) -> None:
    audio = orchestra.play(part("drums", 0, (36, 38, 42, 36)), 0, 2 * SAMPLE_RATE)
    envelope = np.abs(audio).max(axis=0)
    for onset in (0.0, 0.5, 1.0, 1.5):
        first = int(onset * SAMPLE_RATE)
        hit = envelope[first : first + SAMPLE_RATE // 10]
        assert np.argmax(hit > 0.1 * hit.max()) < 0.020 * SAMPLE_RATE


def level(audio: np.ndarray, start: float, end: float) -> float:
    """The level of `[2, N]` between two times (s), in dB."""
    return float(20 * np.log10(audio[:, int(start * SAMPLE_RATE) : int(end * SAMPLE_RATE)].std()))


@pytest.mark.parametrize(("source", "program", "pitch"), [("bass", 33, 40), ("drums", 0, 42)])
def test_each_note_is_as_loud_as_its_velocity_says(
    orchestra: Orchestra, source: str, program: int, pitch: int
) -> None:
    velocities = (116, 60, 116, 84)
    notes = tuple(Note(0.5 * i, 0.4, pitch, velocity) for i, velocity in enumerate(velocities))
    written = replace(part(source, program, ()), notes=notes)
    audio = orchestra.play(written, 0, 2 * SAMPLE_RATE)
    levels = [level(audio, 0.5 * i + 0.01, 0.5 * i + 0.3) for i in range(4)]
    assert levels[0] == pytest.approx(levels[2], abs=0.5)
    for quiet, velocity in ((1, 60), (3, 84)):
        written_difference = 40 * np.log10(velocity / 116)
        assert levels[quiet] - levels[0] == pytest.approx(written_difference, abs=1.0)


def test_a_part_without_notes_is_silent_and_a_missing_program_is_replaced(
    orchestra: Orchestra,
) -> None:
    assert not orchestra.play(part("other", 0, ()), 0, 100).any()
    drums = part("drums", 99, (36, 38))
    assert orchestra.play(drums, 0, SAMPLE_RATE).any()


def test_a_part_that_stays_silent_is_refused(orchestra: Orchestra) -> None:
    with pytest.raises(UserError, match="the part 'bass' stays silent"):
        orchestra.play(part("bass", 33, (40, 40, 40), step=1.0), 0, 1)


def test_stems_do_not_clip_and_the_mixture_is_their_sum(orchestra: Orchestra) -> None:
    score = score_of(part("bass", 33, (40, 43, 45)), part("drums", 0, (36, 38, 36)))
    for seed in range(8):
        stems = produce(score, orchestra, np.random.default_rng(seed))
        total = stems.samples.astype(int).sum(axis=0)
        assert np.abs(total).max() <= 32767
        assert np.array_equal(total, stems.mixture)
        assert stems.samples[BASS].any()
        assert not stems.samples[SOURCES.index("vocals")].any()


def test_the_bass_stays_in_the_middle_and_other_parts_need_not(orchestra: Orchestra) -> None:
    score = score_of(part("bass", 33, (40, 43, 45)), part("other", 0, (60, 64, 67)))
    sides = []
    for seed in range(8):
        stems = produce(score, orchestra, np.random.default_rng(seed)).samples.astype(float)
        left, right = (stems[BASS, :, channel].std() for channel in range(2))
        assert left == pytest.approx(right, rel=0.05)
        sides.append(stems[OTHER, :, 0].std() / stems[OTHER, :, 1].std())
    assert min(sides) < 0.7
    assert max(sides) > 1.4


def test_no_stem_drowns_the_others(orchestra: Orchestra) -> None:
    """The bass is about as loud as the accompaniment; by how much varies from song to song."""
    score = score_of(part("bass", 33, (40, 43, 45, 40)), part("other", 0, (60, 64, 67, 60)))
    differences = []
    for seed in range(12):
        stems = produce(score, orchestra, np.random.default_rng(seed)).samples.astype(float)
        differences.append(20 * np.log10(stems[BASS].std() / stems[OTHER].std()))
    assert np.mean(differences) == pytest.approx(1.0, abs=2.0)
    assert 1.0 < np.std(differences) < 6.0


def test_the_fundamental_of_a_bass_is_kept() -> None:
    """Its chain has no reverb and no filter that takes the low end away."""
    rng = np.random.default_rng(0)
    chains = [list(production._effects("bass", rng)) for _ in range(60)]
    shelves = [
        each for chain in chains for each in chain if isinstance(each, pedalboard.LowShelfFilter)
    ]
    assert len(shelves) > 15
    assert all(shelf.gain_db >= 0 for shelf in shelves)
    assert not any(isinstance(each, pedalboard.Reverb) for chain in chains for each in chain)
    others = [list(production._effects("other", rng)) for _ in range(60)]
    assert any(isinstance(each, pedalboard.Reverb) for chain in others for each in chain)
