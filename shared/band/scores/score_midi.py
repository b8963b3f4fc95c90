"""A score as a MIDI file whose bars and beats lie on the song's own.

symusic writes it, because pretty_midi cannot write tempo changes.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from symusic import core

from shared.band.scores.score import Score

_TICKS_PER_QUARTER = 480
_BEND_RANGE = 2.0  # semitones, MIDI's default


def write_score_midi(path: Path, score: Score) -> None:
    """Write a track named `source: name` for each part; times are exact to one tick."""
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
            value = round(min(max(bend.semitones / _BEND_RANGE, -1.0), 1.0) * 8191)
            track.pitch_bends.append(core.PitchBendTick(tick(bend.time), value))
        midi.tracks.append(track)
    midi.dump_midi(str(path))


def _beat_grid(score: Score, beat_ticks: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the times (s) and the ticks of the beats, and of the song's beginning and end."""
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
