"""A score's parts played by soundfonts, with symusic's synthesiser, and the score as a MIDI file.

symusic 0.5.9 hears notes, velocity and program. It is deaf to tuning outside a sample's header (see
`soundfont`) and to pitch bends, so bent notes are played alone and resampled along the bend.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from symusic import core

from shared.band.score import Part, PitchBend, Score, ScoreNote
from shared.band.soundfont import write_tuned
from shared.errors import UserError

SAMPLE_RATE = 44100
# libsamplerate's fastest sinc: 30 dB to 80 dB from the best (4), which takes 4 times as long.
_QUALITY = 2
_SILENCE = 1e-4  # a part that has notes and stays below this peak was not played
_TICKS_PER_QUARTER = 480
# What to play where no soundfont has the program; General MIDI's own firsts.
_FALLBACK_PROGRAM = {"bass": 33, "drums": 0, "vocals": 52, "other": 0}

# TimGM6mb's acoustic bass, transposed down three octaves, speaks a fourth low for its first 200 ms:
# short notes never reach their pitch. Its fretless bass is the nearest that does.
_DEFAULT_REPLACES = {32: 35}


def default_soundfont() -> Path:
    """TimGM6mb.sf2, the General MIDI soundfont in pretty_midi's wheel."""
    import pretty_midi

    return Path(pretty_midi.__file__).parent / "TimGM6mb.sf2"


class Orchestra:
    """Soundfonts ready to play. A context manager: it keeps tuned copies in a temporary folder.

    Raises UserError, when made, for a soundfont that is missing or invalid.
    """

    def __init__(self, soundfonts: Sequence[Path] = ()) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="soundfonts-")
        self._players: list[core.Synthesizer] = []
        self._names: list[str] = []
        try:
            for path in [Path(path) for path in soundfonts] or [default_soundfont()]:
                self._players.append(self._open(path))
                self._names.append(path.name)
        except UserError:
            self._folder.cleanup()
            raise

    def _open(self, path: Path) -> core.Synthesizer:
        tuned = Path(self._folder.name) / f"{len(self._players)}{path.suffix}"
        write_tuned(path, tuned)
        try:
            return core.Synthesizer(str(tuned), SAMPLE_RATE, _QUALITY)
        except RuntimeError as error:
            raise UserError(
                f"the soundfont {path} cannot be played ({error}); try another"
            ) from error

    def __enter__(self) -> Orchestra:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Forget the soundfonts and delete the copies."""
        self._players.clear()
        self._folder.cleanup()

    def __len__(self) -> int:
        return len(self._players)

    def play(self, part: Part, soundfont: int, num_samples: int) -> np.ndarray:
        """Play `part` with the soundfont of that index: float32 `[2, num_samples]`, cut at the end.

        Where that soundfont lacks the program the others are tried, then a fallback program.
        Raises UserError when the part has notes and none of it sounds.
        """
        if not part.notes:
            return np.zeros((2, num_samples), np.float32)
        order = [(soundfont + step) % len(self) for step in range(len(self))]
        wanted = part.program
        if self._names[soundfont] == default_soundfont().name and not part.is_drum:
            wanted = _DEFAULT_REPLACES.get(wanted, wanted)
        for program in (wanted, _FALLBACK_PROGRAM[part.source]):
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
    player: core.Synthesizer, part: Part, notes: Sequence[ScoreNote], num_samples: int
) -> np.ndarray:
    """Play `notes` unbent. Values a synthesiser could choke on are brought into MIDI's ranges."""
    if not notes:
        return np.zeros((2, num_samples), np.float32)
    track = core.TrackSecond(part.name, part.program, part.is_drum)
    for note in sorted(notes, key=lambda note: (note.onset, note.pitch)):
        track.notes.append(
            core.NoteSecond(
                max(note.onset, 0.0),
                max(note.duration, 0.01),
                min(max(note.pitch, 0), 127),
                min(max(note.velocity, 1), 127),
            )
        )
    score = core.ScoreSecond(_TICKS_PER_QUARTER)
    score.tracks.append(track)
    played = player.render(score, stereo=True)[:, :num_samples]
    audio = np.zeros((2, num_samples), np.float32)
    audio[:, : played.shape[1]] = played
    return audio


def _is_bent(note: ScoreNote, bends: Sequence[PitchBend]) -> bool:
    before = [bend for bend in bends if bend.time <= note.onset]
    during = [bend for bend in bends if note.onset < bend.time < note.end]
    return any(bend.semitones for bend in [*before[-1:], *during])


def _add_bent(audio: np.ndarray, player: core.Synthesizer, part: Part, note: ScoreNote) -> None:
    """Add one bent note to `audio`: play it straight and alone, read it at the bend's speed."""
    start = round(note.onset * SAMPLE_RATE)
    span = min(round((note.duration + 0.1) * SAMPLE_RATE), audio.shape[1] - start)
    if span <= 0:
        return
    times = np.array([bend.time - note.onset for bend in part.bends])
    steps = np.array([0.0, *(bend.semitones for bend in part.bends)])
    seconds = np.arange(span) / SAMPLE_RATE
    semitones = steps[np.searchsorted(times, seconds, side="right")]
    # A bend wheel moves in steps; 10 ms of smoothing turns them into a slide without clicks.
    width = round(0.01 * SAMPLE_RATE)
    padded = np.pad(semitones, (width - 1, 0), mode="edge")
    smooth = np.convolve(padded, np.full(width, 1 / width), mode="valid")
    position = np.concatenate([[0.0], np.cumsum(2.0 ** (smooth / 12.0))[:-1]])
    # The straight note must last until its bent reading ends.
    held = float(np.interp(note.duration * SAMPLE_RATE, np.arange(span), position)) / SAMPLE_RATE
    alone = _synthesize(
        player, part, [replace(note, onset=0.0, duration=held)], int(position[-1]) + 2
    )
    grid = np.arange(alone.shape[1])
    for channel in range(2):
        audio[channel, start : start + span] += np.interp(position, grid, alone[channel])


def write_score_midi(path: Path, score: Score) -> None:
    """Write the score as a MIDI file whose bars and beats lie on the score's; times keep to 1 tick.

    A track a part, named `source: name`. Pitch bends span +-2 semitones, MIDI's default.
    """
    compound = score.time_signature[1] == 8 and score.time_signature[0] % 3 == 0
    beat_ticks = _TICKS_PER_QUARTER * 3 // 2 if compound else _TICKS_PER_QUARTER
    times, ticks = _beat_grid(score, beat_ticks)
    midi = core.ScoreTick(_TICKS_PER_QUARTER)
    midi.time_signatures.append(core.TimeSignatureTick(0, *score.time_signature))
    last = 0.0
    for index, (span, length) in enumerate(zip(np.diff(times), np.diff(ticks), strict=True)):
        tempo = 60.0 * length / _TICKS_PER_QUARTER / span
        if abs(tempo - last) > 1e-3 * tempo:
            midi.tempos.append(core.TempoTick(int(ticks[index]), tempo))
            last = tempo

    def tick(seconds: float) -> int:
        return round(float(np.interp(seconds, times, ticks)))

    for part in score.parts:
        track = core.TrackTick(f"{part.source}: {part.name}", part.program, part.is_drum)
        for note in part.notes:
            onset = tick(note.onset)
            length = max(tick(note.end) - onset, 1)
            track.notes.append(core.NoteTick(onset, length, note.pitch, note.velocity))
        for bend in part.bends:
            value = round(min(max(bend.semitones / 2.0, -1.0), 1.0) * 8191)
            track.pitch_bends.append(core.PitchBendTick(tick(bend.time), value))
        midi.tracks.append(track)
    midi.dump_midi(str(path))


def _beat_grid(score: Score, beat_ticks: int) -> tuple[np.ndarray, np.ndarray]:
    """Times (s) and ticks of the beats, with a part of a beat before the first and after the last."""
    beats = np.array([beat for beat in score.beats if beat < score.duration - 1e-3])
    period = 60.0 / score.tempo
    if not len(beats):
        beats = np.array([0.0])
    ticks = beat_ticks * np.arange(len(beats), dtype=np.float64)
    if beats[0] > 1e-3:
        lead = max(round(beat_ticks * beats[0] / period), 1)
        beats, ticks = np.concatenate([[0.0], beats]), np.concatenate([[0.0], ticks + lead])
    tail = max(score.duration - beats[-1], 1e-3)
    rest = max(round(beat_ticks * tail / period), 1)
    return np.append(beats, beats[-1] + tail), np.append(ticks, ticks[-1] + rest)
