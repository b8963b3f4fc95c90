"""The parts of a score, played by soundfonts with symusic's synthesiser.

symusic 0.5.9 ignores three things that are added here: the velocity of notes, which are played in
groups of nearly equal velocity, each at its gain; pitch bends, so that notes with a bend are played
alone and resampled; and tuning outside a sample's header (see `soundfont`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from symusic import core

from shared.band.recording.soundfont import write_tuned
from shared.band.scores.score import Part, PitchBend
from shared.errors import UserError
from shared.music.notes import Note
from shared.scratch import ScratchFolder

SAMPLE_RATE = 44100
# libsamplerate's fastest sinc. The best (4) takes 4 times as long; they differ by -30 to -80 dB.
_QUALITY = 2
_SILENCE = 1e-6  # a part with notes whose peak is lower was not played
_TICKS_PER_QUARTER = 480
_VELOCITY_STEP = 8  # notes whose velocities are in one step of this size are played at one gain
# What is played where no soundfont has the program of a part.
_FALLBACK_PROGRAM = {"bass": 33, "drums": 0, "vocals": 52, "other": 0}

# TimGM6mb plays its acoustic bass by transposing a sample three octaves down. It then sounds a
# fourth too low for 200 ms, and short notes never reach their pitch. Its fretless bass does not.
_DEFAULT_REPLACES = {32: 35}


def default_soundfont() -> Path:
    """Return the path of TimGM6mb.sf2, the General MIDI soundfont in pretty_midi's wheel."""
    import pretty_midi

    return Path(pretty_midi.__file__).parent / "TimGM6mb.sf2"


class Orchestra:
    """Soundfonts that are ready to play.

    It keeps tuned copies of them in a temporary folder, and is a context manager that deletes them.
    """

    def __init__(self, soundfonts: Sequence[Path] = ()) -> None:
        """Open soundfonts; by default TimGM6mb.

        Raises:
            UserError: a soundfont is missing or invalid.
        """
        self._soundfonts = [Path(path) for path in soundfonts] or [default_soundfont()]
        self._folder = ScratchFolder("soundfonts")
        self._players: list[core.Synthesizer] = []
        try:
            for index, path in enumerate(self._soundfonts):
                write_tuned(path, self._tuned(index))
            self.renew()
        except UserError:
            self._folder.cleanup()
            raise

    def renew(self) -> None:
        """Begin with new synthesisers, so that nothing depends on what was played before.

        symusic 0.5.9 plays some programs differently after certain others.
        """
        self._players.clear()
        for index, path in enumerate(self._soundfonts):
            try:
                player = core.Synthesizer(str(self._tuned(index)), SAMPLE_RATE, _QUALITY)
            except RuntimeError as error:
                raise UserError(
                    f"the soundfont {path} cannot be played ({error}); try another"
                ) from error
            self._players.append(player)

    def _tuned(self, index: int) -> Path:
        """Return the path of a soundfont's tuned copy."""
        return Path(self._folder.name) / f"{index}{self._soundfonts[index].suffix}"

    def __enter__(self) -> Orchestra:
        """Return itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Delete the copies."""
        self.close()

    def close(self) -> None:
        """Close the soundfonts and delete the copies."""
        self._players.clear()
        self._folder.cleanup()

    def __len__(self) -> int:
        """Return how many soundfonts there are."""
        return len(self._players)

    def play(
        self, part: Part, soundfont: int, num_samples: int, substitute: bool = True
    ) -> np.ndarray:
        """Play a part.

        Args:
            part: the notes.
            soundfont: index of the soundfont. If it lacks the part's program, the others are tried,
                and then another program.
            num_samples: the length of the result; what sounds later is cut off.
            substitute: whether another program may play where none has the part's own.

        Returns:
            float32 `[2, num_samples]` at SAMPLE_RATE.

        Raises:
            UserError: the part has notes, and none of them sounds.
        """
        if not part.notes:
            return np.zeros((2, num_samples), np.float32)
        order = [(soundfont + step) % len(self) for step in range(len(self))]
        wanted = part.program
        if self._soundfonts[soundfont].name == default_soundfont().name and not part.is_drum:
            wanted = _DEFAULT_REPLACES.get(wanted, wanted)
        programs = (wanted, _FALLBACK_PROGRAM[part.source]) if substitute else (wanted,)
        for program in programs:
            for index in order:
                audio = _play(self._players[index], replace(part, program=program), num_samples)
                if max(audio.max(initial=0.0), -audio.min(initial=0.0)) > _SILENCE:
                    return audio
        raise UserError(
            f"the part {part.name!r} stays silent: no soundfont plays program {part.program}"
        )


def _play(player: core.Synthesizer, part: Part, num_samples: int) -> np.ndarray:
    straight = [note for note in part.notes if not _is_bent(note, part.bends)]
    audio = _synthesize(player, part, straight, num_samples)
    for note in part.notes:
        if _is_bent(note, part.bends):
            _add_bent(audio, player, part, note)
    return audio


def _synthesize(
    player: core.Synthesizer, part: Part, notes: Sequence[Note], num_samples: int
) -> np.ndarray:
    """Play notes without their bends, each as loud as its velocity says."""
    audio = np.zeros((2, num_samples), np.float32)
    levels: dict[int, list[Note]] = {}
    for note in notes:
        levels.setdefault(note.velocity // _VELOCITY_STEP, []).append(note)
    for level, group in levels.items():
        gain = _velocity_gain((level + 0.5) * _VELOCITY_STEP)
        played = _synthesize_equally_loud(player, part, group)[:, :num_samples]
        audio[:, : played.shape[1]] += gain * played
    return audio


def _velocity_gain(velocity: float) -> float:
    """Return the amplitude of a note, 1 at velocity 127 (SoundFont 2.04, section 8.4.1)."""
    return (min(max(velocity, 1.0), 127.0) / 127) ** 2


def _synthesize_equally_loud(
    player: core.Synthesizer, part: Part, notes: Sequence[Note]
) -> np.ndarray:
    """Play notes without their bends, with all values moved into MIDI's ranges.

    Returns:
        float32 `[2, N]` that ends when the last note has decayed.
    """
    track = core.TrackSecond(part.name, part.program, part.is_drum)
    for note in sorted(notes, key=lambda note: (note.onset, note.pitch)):
        track.notes.append(
            core.NoteSecond(
                max(note.onset, 0.0), max(note.duration, 0.01), min(max(note.pitch, 0), 127), 127
            )
        )
    score = core.ScoreSecond(_TICKS_PER_QUARTER)
    score.tracks.append(track)
    return player.render(score, stereo=True)


def _is_bent(note: Note, bends: Sequence[PitchBend]) -> bool:
    before = [bend for bend in bends if bend.time <= note.onset]
    during = [bend for bend in bends if note.onset < bend.time < note.end]
    return any(bend.semitones for bend in [*before[-1:], *during])


def _add_bent(audio: np.ndarray, player: core.Synthesizer, part: Part, note: Note) -> None:
    """Play a note alone and without bend, and add it to `audio` at the speed of its bend."""
    start = round(note.onset * SAMPLE_RATE)
    span = min(round((note.duration + 0.1) * SAMPLE_RATE), audio.shape[1] - start)
    if span <= 0:
        return
    times = np.array([bend.time - note.onset for bend in part.bends])
    steps = np.array([0.0, *(bend.semitones for bend in part.bends)])
    seconds = np.arange(span) / SAMPLE_RATE
    semitones = steps[np.searchsorted(times, seconds, side="right")]
    # Bends change in steps; smoothing over 10 ms turns them into a slide without clicks.
    width = round(0.01 * SAMPLE_RATE)
    padded = np.pad(semitones, (width - 1, 0), mode="edge")
    smooth = np.convolve(padded, np.full(width, 1 / width), mode="valid")
    position = np.concatenate([[0.0], np.cumsum(2.0 ** (smooth / 12.0))[:-1]])
    # The note without bend must last as long as it is read.
    held = float(np.interp(note.duration * SAMPLE_RATE, np.arange(span), position)) / SAMPLE_RATE
    alone = _synthesize(
        player, part, [replace(note, onset=0.0, duration=held)], int(position[-1]) + 2
    )
    grid = np.arange(alone.shape[1])
    for channel in range(2):
        audio[channel, start : start + span] += np.interp(position, grid, alone[channel])
