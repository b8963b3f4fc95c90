"""A studio without models: its worker answers at once, with lines that are simple to check."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np

from shared.errors import UserError
from shared.music.bar_grid import BarGrid
from shared.music.chord import Chord
from shared.music.notes import Note
from shared.sound.files import read_audio, write_wav
from shared.sound.integrated_loudness import integrated_loudness
from shared.sound.samples import Samples, to_stereo
from shared.times import TimeRange
from stage2_prior.studio.jobs import ENDED_EARLY, Jobs
from stage2_prior.studio.json_values import joined
from stage2_prior.studio.orders import Failed, Finished, MakeTake, OpenSong, Order, Progress, Report
from stage2_prior.studio.server import Limits, Studio
from stage2_prior.studio.sessions import Store
from stage2_prior.studio.song_facts import BACKING_FILE, ORIGINAL_FILE, SongFacts
from stage2_prior.studio.splicing import changed_bars, spliced_notes, spliced_sound
from stage2_prior.studio.take_files import BASS_FILE, TakeFacts, new_take, take_folder

BEAT = 0.5  # s; four of them are a bar
ENDLESS = "slap"  # a take of this tone is never finished
FRAMES_A_SECOND = 43


class ToyWorker:
    """Opens songs at 120 beats per minute, and plays a note on each beat.

    The pitches depend on the number of the take only.
    """

    def __init__(self) -> None:
        self.orders: list[Order] = []
        self.stopped = asyncio.Event()
        self.starts = 0

    def start(self) -> None:
        self.starts += 1
        self.stopped.clear()

    def stop(self) -> None:
        self.stopped.set()

    async def reports(self, order: Order) -> AsyncIterator[Report]:
        self.orders.append(order)
        yield Progress("thinking", 0.5)
        if isinstance(order, MakeTake) and order.options.tone == ENDLESS:
            await self.stopped.wait()
            yield ENDED_EARLY
            return
        try:
            if isinstance(order, OpenSong):
                open_toy(order)
            else:
                make_toy_take(order)
        except UserError as error:
            problem = str(error)
            if isinstance(order, OpenSong):
                problem = problem.replace(str(order.upload), order.name)
            yield Failed(problem)
            return
        yield Finished()


def open_toy(order: OpenSong) -> None:
    audio = read_audio(order.upload)
    stereo = to_stereo(audio.samples)
    seconds = stereo.shape[1] / audio.sample_rate
    for file in (ORIGINAL_FILE, BACKING_FILE):
        write_wav(order.session / file, stereo, audio.sample_rate, "PCM_24")
    beats = BEAT * np.arange(int(np.ceil(seconds / BEAT)) + 1, dtype=np.float64)
    chord = Chord(0.0, seconds, 9, "min", 9)
    SongFacts(
        sample_rate=audio.sample_rate,
        samples=stereo.shape[1],
        bass_removed=False,
        loudness=integrated_loudness(stereo, audio.sample_rate),
        gain=1.0,
        end=seconds,
        grid=BarGrid(beats, np.arange(0, len(beats), 4)),
        heard=(chord,),
        recognised=None,
        key="A minor",
        chord_line="Am | Am",
    ).save(order.session)


def make_toy_take(order: MakeTake) -> None:
    song = SongFacts.load(order.session)
    parent, bass, ranges = None, None, order.ranges
    if order.parent is not None:
        folder = take_folder(order.session, order.parent)
        parent, bass = TakeFacts.load(folder), read_audio(folder / BASS_FILE).samples
    onsets = np.arange(0, song.seconds - BEAT, BEAT).tolist()
    notes = tuple(Note(onset, 0.9 * BEAT, 28 + order.number % 12) for onset in onsets)
    if parent is not None and order.notes is not None:
        frames = round(song.seconds * FRAMES_A_SECOND)
        changed = changed_bars(parent.notes, order.notes, song.bars, frames, FRAMES_A_SECOND)
        ranges, notes = joined([*ranges, *changed]), order.notes
    sound = sing(notes, song)
    if parent is not None and bass is not None:
        sound = spliced_sound(bass, sound, ranges, song.sample_rate)
        notes = order.notes or spliced_notes(parent.notes, notes, ranges)
    with new_take(order.session, order.number) as folder:
        write_wav(folder / BASS_FILE, sound, song.sample_rate, "PCM_24")
        TakeFacts(
            number=order.number,
            parent=order.parent,
            ranges=ranges,
            edited=order.notes is not None,
            options=order.options,
            notes=notes,
            chords=song.heard,
            key=song.key,
            fit=None if order.notes else 1.5,
            right_share=0.75,
            level=-3.0,
            seconds=0.0,
        ).save(folder)


def sing(notes: tuple[Note, ...], song: SongFacts) -> Samples:
    """Play notes as sines, `[2, N]`."""
    time = np.arange(song.samples) / song.sample_rate
    sound = np.zeros(song.samples, np.float32)
    for note in notes:
        inside = (time >= note.onset) & (time < note.end)
        sound[inside] = 0.3 * np.sin(2 * np.pi * 440 * 2 ** ((note.pitch - 69) / 12) * time[inside])
    return np.stack([sound, sound])


def toy_studio(folder: Path, limits: Limits | None = None) -> tuple[Studio, ToyWorker]:
    """A studio that keeps its sessions in a folder, and its worker."""
    worker = ToyWorker()
    return Studio(Store(folder), Jobs(worker), limits or Limits(2.0, 1.0)), worker


BARS_1_2 = TimeRange(0.0, 2 * 4 * BEAT)
