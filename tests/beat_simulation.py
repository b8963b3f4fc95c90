"""Songs whose beats are known, and the activations that an imperfect network gives for them."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

FRAME_RATE = 44_100 / 1024

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Song:
    beats: Floats
    downbeats: Floats
    beat: Floats  # activation [T]
    downbeat: Floats
    duration: float


def simulate(
    seed: int = 0,
    bpm: float = 100.0,
    meter: int = 4,
    duration: float = 60.0,
    start: float = 0.2,
    pickup: int = 0,
    drift: float = 0.0,
    jitter: float = 0.0,
    missing: float = 0.0,
    false_peaks: float = 0.0,
    noise: float = 0.0,
    gap: tuple[float, float] | None = None,
    weak_beats: float = 0.9,
    offbeats: float = 0.0,
) -> Song:
    """Make a song and its activations.

    Args:
        seed: of everything random.
        bpm: the tempo in the middle of the song.
        meter: beats in a bar.
        duration: in seconds.
        start: of the first beat.
        pickup: beats before the first bar.
        drift: relative change of the tempo from the beginning to the end, in a curve.
        jitter: standard deviation of the peaks' times, in seconds.
        missing: share of the beats without a peak.
        false_peaks: per beat, at random times.
        noise: mean of the background.
        gap: seconds without any peak.
        weak_beats: height of every second beat; the others have 0.9.
        offbeats: height of peaks between the beats.
    """
    rng = np.random.default_rng(seed)
    beats = [start]
    while beats[-1] < duration - 0.1:
        place = beats[-1] / duration
        beats.append(beats[-1] + 60 / (bpm * (1 + drift * (place**2 - 0.25))))
    times = np.array(beats[:-1])
    downs = (np.arange(len(times)) - pickup) % meter == 0
    heights = np.where(np.arange(len(times)) % 2 == 0, 0.9, weak_beats)
    heights = heights * rng.uniform(0.6, 1.0, len(times)) if noise else heights
    heard = rng.random(len(times)) >= missing
    if gap is not None:
        heard &= (times < gap[0]) | (times >= gap[1])
    played = times + rng.normal(0, jitter, len(times)) if jitter else times
    beat = np.zeros(round(duration * FRAME_RATE))
    downbeat = beat.copy()
    for time, height, down in zip(played[heard], heights[heard], downs[heard], strict=True):
        _add_peak(beat, time, height)
        share = 0.8 if down else 0.1
        _add_peak(downbeat, time, height * np.clip(rng.normal(share, 0.25 * (noise > 0)), 0, 1))
    for time in rng.uniform(0, duration, round(false_peaks * len(times))):
        _add_peak(beat, time, rng.uniform(0.2, 0.9))
    for time in (times[1:] + times[:-1]) / 2:
        _add_peak(beat, time, offbeats)
    if noise:
        beat, downbeat = (
            np.clip(each + rng.exponential(noise, len(beat)), 0, 1) for each in (beat, downbeat)
        )
    return Song(times, times[downs], beat, downbeat, duration)


def random_song(seed: int) -> Song:
    """Draw a song of one to two minutes with all kinds of errors at once."""
    rng = np.random.default_rng(seed)
    meter = int(rng.choice([4, 3, 2, 5, 6, 7], p=[0.6, 0.15, 0.1, 0.05, 0.05, 0.05]))
    duration = float(rng.uniform(60, 120))
    gap = float(rng.uniform(5, duration - 15))
    return simulate(
        seed=seed,
        bpm=float(np.exp(rng.uniform(np.log(60), np.log(180)))),
        meter=meter,
        duration=duration,
        start=float(rng.uniform(0, 0.3)),
        pickup=int(rng.integers(meter)),
        drift=float(rng.uniform(-0.08, 0.08)),
        jitter=0.015,
        missing=0.15,
        false_peaks=0.3,
        noise=0.04,
        gap=(gap, gap + float(rng.uniform(0, 10))),
        weak_beats=float(rng.uniform(0.4, 0.9)),
        offbeats=float(rng.uniform(0, 0.2)),
    )


def _add_peak(activation: Floats, time: float, height: float) -> None:
    """Raise three frames to a peak of this height, whose centre lies between frames."""
    at = time * FRAME_RATE
    for frame in range(int(at) - 1, int(at) + 3):
        if 0 <= frame < len(activation):
            value = height * np.exp(-0.5 * ((frame - at) / 0.7) ** 2)
            activation[frame] = max(activation[frame], value)
