"""What the composer knows of a song: the listener's probabilities, on the grid of its bars.

The probabilities are of pitches, roots and chord tones, so that a song in another key has the same
numbers at other places. The composer therefore learns every song in twelve keys, although the
codes of the song exist in one.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from scipy.special import expit, logit

from shared.errors import require
from shared.music.bar_grid import BarGrid
from shared.music.notes import NoteVocabulary
from stage2_prior.composer.grid_notes import LOWEST, PITCHES
from stage2_prior.listener.network import Heard, Listener

# The columns of the features: each pitch of the bass, the root of the chord, the tones of the
# chord, an onset of the bass, and a rest of the bass.
PITCH = slice(0, PITCHES)
ROOT = slice(PITCHES, PITCHES + 12)
TONES = slice(PITCHES + 12, PITCHES + 24)
ONSET = PITCHES + 24
REST = PITCHES + 25
FEATURES = PITCHES + 26
PITCH_CLASS = (LOWEST + np.arange(PITCHES)) % 12  # of each pitch of the bass

READ_SECONDS = 0.14  # harmony is averaged from a position until this much later
LARGEST_LOWERING, BISECTIONS = 12.0, 30  # nats; how often the interval of nats is halved
ONSET_SECONDS = 0.035  # an onset belongs to a position that it is at most this far from

AT_ONCE = 1 << 14  # positions or frames that are worked on together

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Hearing:
    """What the listener hears in a song, for each of its T frames.

    Attributes:
        features: probabilities `[T, FEATURES]`.
        beats: probabilities of a beat and of a downbeat `[T, 2]`.
        frame_rate: frames per second.
    """

    features: Floats
    beats: Floats
    frame_rate: float

    def with_fewer_rests(self, nats: float) -> "Hearing":
        """Lower the log-odds of a rest in every frame, and raise all that sounds accordingly."""
        features = self.features.copy()
        for part in blocks_of_rows(features):
            sounding = 1 - part[:, REST]
            rest = part[:, REST] * np.exp(-nats)
            raised = 1 / np.maximum(rest + sounding, 1e-9)
            part[:, REST] = rest * raised
            for columns in (PITCH, slice(ONSET, ONSET + 1)):
                part[:, columns] = np.minimum(part[:, columns] * raised[:, None], 1)
        return replace(self, features=features)

    def nats_for_rests(self, most: float) -> float:
        """Return by how much rests must be lowered to have at most a share `most` of the time.

        The share is the mean probability of a rest in all frames. The result is in nats, from 0 to
        LARGEST_LOWERING, as `with_fewer_rests` takes it.
        """
        rest = self.features[:, REST].astype(np.float64)

        def share(nats: float) -> float:
            lowered = rest * np.exp(-nats)
            return float((lowered / np.maximum(lowered + 1 - rest, 1e-9)).mean())

        low, high = 0.0, LARGEST_LOWERING
        if share(low) <= most:
            return low
        for _ in range(BISECTIONS):
            middle = (low + high) / 2
            low, high = (low, middle) if share(middle) <= most else (middle, high)
        return high

    def on_grid(self, grid: BarGrid) -> Floats:
        """Read the features at the positions of a grid `[P, FEATURES]`.

        Positions outside the song have zeros.
        """
        read = np.empty((grid.positions, FEATURES), np.float32)
        for positions in blocks_of_rows(np.arange(grid.positions)):
            read[positions] = self._at(grid.time_of(positions))
        return read

    def _at(self, times: npt.NDArray[np.float64]) -> Floats:
        """Read the features at some times, in rising order `[K, FEATURES]`."""
        frames = len(self.features)
        first = np.round(times * self.frame_rate).astype(int)
        last = first + max(1, round(READ_SECONDS * self.frame_rate))
        low, high = first.clip(0, frames), last.clip(0, frames)
        start = int(low[0])
        part = self.features[start : high[-1]].cumsum(0, dtype=np.float64)
        sums = np.concatenate((np.zeros((1, FEATURES)), part))
        read = (sums[high - start] - sums[low - start]) / np.maximum(high - low, 1)[:, None]
        reach = round(ONSET_SECONDS * self.frame_rate)
        nearby = first[:, None] + np.arange(-reach, reach + 1)
        onsets = self.features[nearby.clip(0, frames - 1), ONSET]
        read[:, ONSET] = np.where((nearby >= 0) & (nearby < frames), onsets, 0).max(1)
        read[(first < 0) | (first >= frames)] = 0
        return read.astype(np.float32)


@torch.inference_mode()
def listen(
    listener: Listener,
    accompaniment: npt.NDArray[np.integer],
    hidden: npt.NDArray[np.bool_] | None = None,
) -> Hearing:
    """Let the listener hear a whole song.

    Songs that are longer than its window are heard in windows that overlap by half. Each frame is
    taken from the window in which it is nearest to the middle.

    Args:
        listener: a listener in eval mode.
        accompaniment: codes `[S, H, T]`.
        hidden: which codes to hide `[S, H, T]`; none by default.
    """
    device = next(listener.parameters()).device
    frames, length = accompaniment.shape[-1], listener.window
    starts = sorted({*range(0, max(1, frames - length), length // 2), max(0, frames - length)})
    middles = np.array(starts) + min(length, frames) / 2
    # Halfway between two middles, a frame belongs to the earlier one.
    edges = np.floor((middles[1:] + middles[:-1]) / 2).astype(int) + 1
    features = np.empty((frames, FEATURES), np.float32)
    beats = np.empty((frames, 2), np.float32)
    for start, first, last in zip(starts, [0, *edges], [*edges, frames], strict=True):
        part = slice(start, start + length)
        codes = torch.from_numpy(accompaniment[..., part].astype(np.int64))
        if hidden is not None:
            codes[torch.from_numpy(hidden[..., part])] = listener.dropped
        heard = listener(codes[None].to(device))
        within = slice(first - start, last - start)
        features[first:last] = probabilities(heard)[within]
        beats[first:last] = heard.beats[0].sigmoid().cpu().numpy()[within]
    return Hearing(features, beats, listener.format.frame_rate)


def require_known(named: Iterable[str], sources: Sequence[str]) -> None:
    """Check that sources are among those of the codes.

    Raises:
        UserError: one is not.
    """
    unknown = sorted({*named} - {*sources})
    require(
        not unknown, f"there is no source '{', '.join(unknown)}': choose from {', '.join(sources)}"
    )


def guided_hearing(
    listener: Listener, accompaniment: npt.NDArray[np.integer], guidance: Mapping[str, float]
) -> Hearing:
    """Let the listener hear a song, with some of its sources more or less telling than they are.

    The log-odds of all probabilities move away from those that are heard without the source.

    Args:
        listener: a listener in eval mode.
        accompaniment: codes `[S, H, T]`.
        guidance: how telling a source is, by its name: 1 changes nothing, 0 leaves it out.

    Raises:
        UserError: there is no such source.
    """
    sources = listener.format.sources
    require_known(guidance, sources)
    whole = listen(listener, accompaniment)
    scales = {source: scale for source, scale in guidance.items() if scale != 1}
    if not scales:
        return whole
    features, beats = _log_odds(whole.features), _log_odds(whole.beats)
    for source, scale in scales.items():
        hidden = np.zeros(accompaniment.shape, np.bool_)
        hidden[sources.index(source)] = True
        without = listen(listener, accompaniment, hidden)
        features = features + (scale - 1) * (
            _log_odds(whole.features) - _log_odds(without.features)
        )
        beats = beats + (scale - 1) * (_log_odds(whole.beats) - _log_odds(without.beats))
    return Hearing(
        expit(features).astype(np.float32), expit(beats).astype(np.float32), whole.frame_rate
    )


def blocks_of_rows(table: npt.NDArray[Any]) -> Iterator[npt.NDArray[Any]]:
    """Return views of AT_ONCE rows of a table each, for computations that need much memory."""
    for first in range(0, len(table), AT_ONCE):
        yield table[first : first + AT_ONCE]


def _log_odds(probability: Floats) -> Floats:
    return np.asarray(logit(probability.clip(1e-4, 1 - 1e-4)))


def probabilities(heard: Heard) -> Floats:
    """Turn the logits of one window into features `[F, FEATURES]`."""
    note = heard.note[0].softmax(-1).cpu().numpy()
    features = np.empty((len(note), FEATURES), np.float32)
    sounding = note[:, 1:].reshape(len(note), PITCHES, 2)
    features[:, PITCH] = sounding.sum(2)
    features[:, ROOT] = heard.root[0].softmax(-1).cpu().numpy()
    features[:, TONES] = heard.tones[0].sigmoid().cpu().numpy()
    features[:, ONSET] = sounding[..., NoteVocabulary.IS_ONSET[1:3].argmax()].sum(1)
    features[:, REST] = note[:, NoteVocabulary.REST]
    return features


def pitch_classes(features: Floats) -> Floats:
    """Add up the probabilities of the pitches of each pitch class: `[P, FEATURES]` to `[P, 12]`."""
    octaves = -(-PITCHES // 12)
    whole = np.pad(features[:, PITCH], ((0, 0), (0, 12 * octaves - PITCHES)))
    return np.roll(whole.reshape(len(features), octaves, 12).sum(1), LOWEST % 12, axis=1)


def transpose(features: Floats, semitones: int) -> Floats:
    """Move features `[..., FEATURES]` into another key. Pitches that leave the range are lost."""
    moved = features.copy()
    pitch = np.zeros_like(features[..., PITCH])
    if semitones >= 0:
        pitch[..., semitones:] = features[..., PITCH][..., : PITCHES - semitones]
    else:
        pitch[..., :semitones] = features[..., PITCH][..., -semitones:]
    moved[..., PITCH] = pitch
    moved[..., ROOT] = np.roll(features[..., ROOT], semitones, -1)
    moved[..., TONES] = np.roll(features[..., TONES], semitones, -1)
    return moved
