"""Open the MIDI files of generated basses with other programs, and compare them with the sound.

    python -m benchmarks.midi_files new_bass

The folder holds what `generate-bass` has written. Each MIDI file is opened with mido and symusic,
and with music21 where it is installed. For each of them, the table says in how many files the
tempo, the meter and the bars are those of NAME.json, and how many notes begin on the grid. A bar
may be 1 ms away, and the first one as far as a MIDI file must move it (shared/music/tempo_map.py).

The notes of the file are then compared with the sound of the bass. Notes are found in it by pyin
(shared/music/note_tracking.py), and count as the same within 50 ms and 50 cents, whatever their
lengths are (mir_eval).
"""

import argparse
import json
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from mir_eval.transcription import precision_recall_f1_overlap

from shared.errors import UserError, require
from shared.music.bar_grid import STEPS
from shared.music.note_tracking import segment_notes
from shared.music.pitch import track_pitch
from shared.sound.files import read_audio

SHORTEST_MOVED = 1 / 128  # of a whole note, by which the first bar may be moved
SAME_TIME = 1e-3  # s
SAME_TEMPO = 0.05  # beats per minute
SAME_PLACE = 1e-3  # positions of the grid
ONSET_TOLERANCE, PITCH_TOLERANCE = 0.05, 50.0  # s, cents
FRAME_RATE = 200.0  # Hz, of the pitch tracker

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Read:
    """A MIDI file as a program reads it. Places are in quarter notes from the beginning.

    Attributes:
        tempi: places and lengths of a quarter note in seconds, in order.
        meters: places, upper and lower numbers of the time signatures, in order.
        notes: places, ends, and pitches of the notes.
    """

    tempi: list[tuple[float, float]]
    meters: list[tuple[float, int, int]]
    notes: list[tuple[float, float, int]]

    def seconds(self, places: Floats) -> Floats:
        """Return the times of places."""
        starts = np.array([place for place, _ in self.tempi])
        lengths = np.array([length for _, length in self.tempi])
        passed = np.append(0.0, np.cumsum(np.diff(starts) * lengths[:-1]))
        index = np.searchsorted(starts, places, side="right") - 1
        return np.asarray(passed[index] + (places - starts[index]) * lengths[index])

    @property
    def bars(self) -> list[tuple[float, int, int]]:
        """The place and the time signature of each bar, up to the last note."""
        last = max(end for _, end, _ in self.notes)
        bars = []
        edges = [place for place, _, _ in self.meters[1:]] + [last]
        for (place, beats, unit), edge in zip(self.meters, edges, strict=True):
            bars += [(float(at), beats, unit) for at in np.arange(place, edge, 4 * beats / unit)]
        return bars


def read_with_mido(path: Path) -> Read:
    """Read a file with mido."""
    from mido import MidiFile

    midi = MidiFile(path)
    tempi, meters, notes = [], [], []
    for track in midi.tracks:
        now, sounding = 0, {}
        for event in track:
            now += event.time
            place = now / midi.ticks_per_beat
            if event.type == "set_tempo":
                tempi.append((place, event.tempo / 1e6))
            elif event.type == "time_signature":
                meters.append((place, event.numerator, event.denominator))
            elif event.type == "note_on" and event.velocity > 0:
                sounding[event.note] = place
            elif event.type in ("note_on", "note_off"):
                notes.append((sounding.pop(event.note), place, event.note))
    return Read(tempi, meters, sorted(notes))


def read_with_symusic(path: Path) -> Read:
    """Read a file with symusic."""
    from symusic import Score

    score: Any = Score(str(path))  # whose type names no ticks
    quarter = score.ticks_per_quarter
    return Read(
        [(each.time / quarter, each.mspq / 1e6) for each in score.tempos],
        [(each.time / quarter, each.numerator, each.denominator) for each in score.time_signatures],
        sorted(
            (note.start / quarter, note.end / quarter, note.pitch)
            for track in score.tracks
            for note in track.notes
        ),
    )


def read_with_music21(path: Path) -> Read:
    """Read a file with music21, whose own measures become the bars."""
    from music21 import converter, meter, note, tempo

    score = converter.parse(str(path), forceSource=True, quantizePost=False)
    tempi = {
        float(mark.getOffsetInHierarchy(score)): 60 / mark.getQuarterBPM()
        for mark in score.recurse().getElementsByClass(tempo.MetronomeMark)
    }
    meters = {
        float(each.getOffsetInHierarchy(score)): (each.numerator, each.denominator)
        for each in score.recurse().getElementsByClass(meter.TimeSignature)
    }
    # A note that crosses a bar line is written as several notes that are tied.
    tied = score.stripTies()
    notes = [
        (start, start + float(each.quarterLength), each.pitch.midi)
        for each in tied.recurse().getElementsByClass(note.Note)
        for start in [float(each.getOffsetInHierarchy(tied))]
    ]
    return Read(
        sorted(tempi.items()),
        [(place, *numbers) for place, numbers in sorted(meters.items())],
        sorted(notes),
    )


READERS: dict[str, Callable[[Path], Read]] = {
    "mido": read_with_mido,
    "symusic": read_with_symusic,
    "music21": read_with_music21,
}


@dataclass(frozen=True)
class Agreement:
    """Whether a file, as a program reads it, agrees with NAME.json.

    Attributes:
        tempo: whether the median tempo does.
        meter: whether the usual time signature does.
        bars: whether all bars do.
        notes: how many notes there are.
        on_grid: how many of them begin on the grid.
    """

    tempo: bool
    meter: bool
    bars: bool
    notes: int
    on_grid: int


def compare(read: Read, said: Mapping[str, Any]) -> Agreement:
    """Compare a file with what NAME.json says."""
    bars = read.bars
    places = np.array([place for place, _, _ in bars])
    signatures = [(beats, unit) for _, beats, unit in bars]
    usual = max(set(signatures), key=signatures.count)
    beat_places = np.concatenate(
        [place + np.arange(beats) * 4 / unit for place, beats, unit in bars]
    )
    # JSON counts a dotted quarter note as a beat where the meter does, as the grid does.
    per_beat = np.median(np.diff(read.seconds(beat_places)))
    beats_in_json = np.searchsorted(np.array(said["beats"]), said["downbeats"])
    counted = np.median(np.diff(beats_in_json)) if len(beats_in_json) > 1 else usual[0]
    tempo = 60 / (per_beat * usual[0] / counted)
    starts = read.seconds(places)
    moved = SHORTEST_MOVED * 4 * read.tempi[0][1]
    downbeats = np.array([time for time in said["downbeats"] if time > -moved])
    downbeats = downbeats[downbeats < starts[-1] + SAME_TIME]
    whole = starts[len(starts) - len(downbeats) :]
    pickup = len(starts) - len(downbeats)
    allowed = np.full(len(downbeats), SAME_TIME)
    if pickup == 0:
        allowed[0] = max(allowed[0], moved)
    equal = pickup in (0, 1) and bool((np.abs(whole - downbeats) <= allowed).all())
    onsets = np.array([onset for onset, _, _ in read.notes])
    bar = np.searchsorted(places, onsets + 1e-9, side="right") - 1
    step = np.array([4 / bars[index][2] / STEPS for index in bar])
    steps = (onsets - places[bar]) / step
    return Agreement(
        tempo=abs(tempo - said["tempo"]) <= SAME_TEMPO,
        meter=list(usual) == said["meter"],
        bars=equal,
        notes=len(onsets),
        on_grid=int((np.abs(steps - np.rint(steps)) < SAME_PLACE).sum()),
    )


def note_f1(read: Read, bass: Path) -> float:
    """Compare the notes of a file with those that are found in the sound of the bass."""
    audio = read_audio(bass)
    found = segment_notes(track_pitch(audio.samples, audio.sample_rate, FRAME_RATE))
    heard = np.array([(note.onset, note.end, note.pitch) for note in found]).reshape(-1, 3)
    written = np.array(read.notes).reshape(-1, 3)
    times = read.seconds(written[:, :2])
    return float(
        precision_recall_f1_overlap(
            times,
            _hertz(written[:, 2]),
            heard[:, :2],
            _hertz(heard[:, 2]),
            onset_tolerance=ONSET_TOLERANCE,
            pitch_tolerance=PITCH_TOLERANCE,
            offset_ratio=None,
        )[2]
    )


def _hertz(pitches: Floats) -> Floats:
    return np.asarray(440 * 2 ** ((pitches - 69) / 12))


def main() -> None:
    """Compare the files of a folder, and print the tables."""
    parser = argparse.ArgumentParser(description="Compare MIDI files with their JSON and sound.")
    parser.add_argument("folder", type=Path)
    folder: Path = parser.parse_args().folder
    facts = {path: json.loads(path.read_text()) for path in sorted(folder.glob("*.json"))}
    files = {path: said["files"] for path, said in facts.items() if "files" in said}
    require(bool(files), f"{folder} holds nothing that generate-bass has written")
    print("| program | files | tempo | meter | bars | notes on the grid |")
    print("|---|---|---|---|---|---|")
    for name in READERS:
        if find_spec(name) is None:
            print(f"| {name} | is not installed | | | | |")
            continue
        each = {
            path: compare(READERS[name](folder / kinds["midi"]), facts[path])
            for path, kinds in files.items()
        }
        tempo, meter, bars, notes, on_grid = (
            sum(getattr(one, field.name) for one in each.values()) for field in fields(Agreement)
        )
        print(f"| {name} | {len(each)} | {tempo} | {meter} | {bars} | {on_grid} of {notes} |")
        for path, one in each.items():
            if not (one.tempo and one.meter and one.bars and one.on_grid == one.notes):
                print(f"{name}, {path.stem}: {one}", file=sys.stderr)
    scores = {
        path.stem: note_f1(read_with_mido(folder / kinds["midi"]), folder / kinds["bass"])
        for path, kinds in files.items()
    }
    print("\n| song | note F1 |\n|---|---|")
    for name, score in scores.items():
        print(f"| {name} | {score:.3f} |")
    values = list(scores.values())
    print(f"| mean of {len(values)} | {np.mean(values):.3f} |")
    print(f"| median | {np.median(values):.3f} |")


if __name__ == "__main__":
    try:
        main()
    except UserError as error:
        sys.exit(f"error: {error}")
