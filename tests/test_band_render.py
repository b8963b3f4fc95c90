"""Rendered songs: stems that add up, basses in tune, drums on the beat, bytes that repeat."""

import json
from pathlib import Path

import librosa
import numpy as np
import pytest
import soundfile

from shared.band.dataset import make_dataset
from shared.band.production import produce
from shared.band.render import SAMPLE_RATE, Orchestra
from shared.band.score import Part, PitchBend, Score, ScoreNote
from shared.errors import UserError
from shared.music.chord import Chord
from shared.sources import BASS, SOURCES


@pytest.fixture(scope="module")
def orchestra():
    with Orchestra() as orchestra:
        yield orchestra


@pytest.fixture(scope="module")
def dataset(tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("band")
    report = make_dataset(out, songs=2, seed=3, seconds=8.0, splits=(0.5, 0.5, 0.0))
    assert len(report.songs) == 2
    assert not report.dropped
    return out


def part(source: str, program: int, pitches, step: float = 0.5, bends=()) -> Part:
    notes = tuple(
        ScoreNote(index * step, 0.9 * step, pitch, 100) for index, pitch in enumerate(pitches)
    )
    return Part(source, source, program, source == "drums", notes, bends)


def median_pitch(audio: np.ndarray, start: float, end: float) -> float:
    """The fundamental of `[2, N]` between two times (s), as a MIDI number."""
    mono = audio[:, int(start * SAMPLE_RATE) : int(end * SAMPLE_RATE)].mean(axis=0)
    hertz = librosa.yin(mono, fmin=27, fmax=1000, sr=SAMPLE_RATE, frame_length=4096)
    return float(librosa.hz_to_midi(np.median(hertz)))


@pytest.mark.parametrize("program", range(32, 40))
def test_the_default_soundfont_plays_every_bass_in_tune(orchestra, program):
    pitches = (30, 37, 44)
    audio = orchestra.play(part("bass", program, pitches), 0, 2 * SAMPLE_RATE)
    for index, pitch in enumerate(pitches):
        heard = median_pitch(audio, 0.5 * index + 0.1, 0.5 * index + 0.4)
        assert abs(heard - pitch) < 0.5


def test_a_pitch_bend_is_heard_and_keeps_the_note_before_it_straight(orchestra):
    bent = part("bass", 38, (40,), step=2.0, bends=(PitchBend(1.0, 2.0),))
    audio = orchestra.play(bent, 0, 2 * SAMPLE_RATE)
    assert abs(median_pitch(audio, 0.2, 0.9) - 40) < 0.5
    assert abs(median_pitch(audio, 1.1, 1.7) - 42) < 0.5


def test_a_drum_sounds_when_it_is_written(orchestra):
    audio = orchestra.play(part("drums", 0, (36, 38, 42, 36)), 0, 2 * SAMPLE_RATE)
    envelope = np.abs(audio).max(axis=0)
    for onset in (0.0, 0.5, 1.0, 1.5):
        first = int(onset * SAMPLE_RATE)
        hit = envelope[first : first + SAMPLE_RATE // 10]
        assert np.argmax(hit > 0.1 * hit.max()) < 0.020 * SAMPLE_RATE


def test_a_part_without_notes_is_silent_and_a_missing_program_is_replaced(orchestra):
    assert not orchestra.play(part("other", 0, ()), 0, 100).any()
    drums = part("drums", 99, (36, 38))
    assert orchestra.play(drums, 0, SAMPLE_RATE).any()


def test_stems_do_not_clip_and_the_mixture_is_their_sum(orchestra):
    parts = (part("bass", 33, (40, 43, 45)), part("drums", 0, (36, 38, 36)))
    chords = (Chord(0.0, 2.0, 4, "min", 4),)
    score = Score("test", 120, (4, 4), "E minor", 2.0, (0, 0.5, 1, 1.5), (0,), chords, parts)
    for seed in range(8):
        stems = produce(score, orchestra, np.random.default_rng(seed))
        total = stems.samples.astype(int).sum(axis=0)
        assert np.abs(total).max() <= 32767
        assert np.array_equal(total, stems.mixture)
        assert stems.samples[BASS].any()
        assert not stems.samples[SOURCES.index("vocals")].any()


def test_a_song_folder_has_stems_labels_and_midi(dataset):
    song = dataset / "train" / "band-00000"
    names = {"song.json", "song.mid", "mixture.wav", *(f"{source}.wav" for source in SOURCES)}
    assert {path.name for path in song.iterdir()} == names
    stems = {
        name: soundfile.read(song / f"{name}.wav", dtype="int16")[0].astype(int)
        for name in (*SOURCES, "mixture")
    }
    assert np.array_equal(sum(stems[source] for source in SOURCES), stems["mixture"])
    labels = json.loads((song / "song.json").read_text())
    assert abs(len(stems["mixture"]) / SAMPLE_RATE - labels["duration"]) < 0.01
    assert labels["bass_notes"]
    assert not list(dataset.glob(".*"))


def test_the_midi_file_has_the_songs_notes_at_their_times(dataset):
    import pretty_midi

    song = dataset / "train" / "band-00000"
    labels = json.loads((song / "song.json").read_text())
    midi = pretty_midi.PrettyMIDI(str(song / "song.mid"))
    bass = next(track for track in midi.instruments if track.name.startswith("bass"))
    written = [note["onset"] for note in labels["bass_notes"]]
    assert np.allclose(sorted(note.start for note in bass.notes), written, atol=0.003)
    beats = [beat for beat in labels["beats"] if beat < midi.get_end_time() - 0.1]
    assert np.allclose(midi.get_beats()[: len(beats)], beats, atol=0.003)


def test_a_seed_repeats_to_the_byte_whatever_the_number_of_songs(dataset, tmp_path):
    make_dataset(tmp_path, songs=1, seed=3, seconds=8.0, splits=(1.0, 0.0, 0.0))
    for path in (tmp_path / "train" / "band-00000").iterdir():
        assert path.read_bytes() == (dataset / "train" / "band-00000" / path.name).read_bytes()
    first, second = (
        dataset / split / name / "mixture.wav"
        for split, name in (("train", "band-00000"), ("valid", "band-00001"))
    )
    assert first.read_bytes() != second.read_bytes()


def test_bad_soundfonts_and_arguments_are_refused_in_a_sentence(tmp_path):
    bad = tmp_path / "bad.sf2"
    bad.write_bytes(b"RIFF\0\0\0\0sfbkxxxx")
    text = tmp_path / "text.sf2"
    text.write_text("hello")
    for path, words in ((bad, "damaged"), (text, "not a soundfont"), (tmp_path / "no.sf2", "read")):
        with pytest.raises(UserError, match=words):
            make_dataset(tmp_path / "out", songs=1, seed=0, soundfonts=[path])
    with pytest.raises(UserError, match="no song to make"):
        make_dataset(tmp_path / "out", songs=0, seed=0)
    with pytest.raises(UserError, match="wav or flac"):
        make_dataset(tmp_path / "out", songs=1, seed=0, audio_format="mp3")
    assert not (tmp_path / "out").exists()


def test_a_folder_that_holds_songs_is_not_written_into(dataset):
    with pytest.raises(UserError, match="already holds songs"):
        make_dataset(dataset, songs=1, seed=0)
