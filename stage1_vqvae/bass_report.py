"""How the decoded bass sounds beside the true bass, for each decoder that can decode its codes.

The bass is encoded by itself, as a bass that the prior writes would be, and its codes are decoded.
SDR says little about the result, because codes of this rate cannot hold phases. The figures here
are therefore of magnitudes, pitches and attacks:

- Log-spectral distance and level error in bands (shared/sound/spectral_distance.py).
- Log-mel distance: the mean absolute difference of log-mel spectrograms in dB, over four window
  sizes.
- Pitch accuracy: the share of the frames in which pyin finds a pitch in the true bass where it
  finds the same pitch, within 50 cents, in the decoded one.
- Onset F1: the attacks are compared with those of the true bass, one to one, within 50 ms.
- Hiss: the level of the decoded bass where the true bass is quiet, relative to its level where the
  true bass is loud.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from shared.codes.bass_decoder import BassDecoder, Notes
from shared.codes.codec import Codec, Codes
from shared.codes.decoding import decode_bass, decode_bass_blocks
from shared.music.bass_metrics import FRAME_RATE, ONSET_TOLERANCE, match_onsets
from shared.music.notes import Tokens, notes_to_tokens
from shared.music.pitch import PitchTrack, track_pitch
from shared.music.song_facts import SongFacts
from shared.sound.samples import Samples
from shared.sound.spectral_distance import BANDS, FLOOR_DB, BandDistance, band_distances
from shared.sources import BASS
from stage1_vqvae.embedding_report import AUDIBLE, frame_rms
from stage1_vqvae.sdr_table import decibels

LONGEST_SECONDS = 60.0  # the middle of a song that is measured at most
PITCH_TOLERANCE = 0.5  # semitones
MEL_WINDOWS = {512: 20, 1024: 40, 2048: 80, 4096: 160}  # window in samples: number of mel bands
MEL_HIGHEST = 8000.0  # Hz
QUIET_DB = 50.0  # frames of the true bass so far below its loudest frame lie between notes
LOUD_DB = 20.0  # frames of the true bass that are at most so far below its loudest frame are loud
LOWEST_HISS_DB = -120.0
FRAME_HOP = 1024  # samples, half of a frame in which quiet and loud are told apart


class CodecBassDecoder:
    """Implements `shared.codes.bass_decoder.BassDecoder` with the codec, which needs no notes."""

    def __init__(self, codec: Codec) -> None:
        """Wrap a codec."""
        self._codec = codec

    def decode(self, codes: Codes, notes: Notes | None, num_samples: int) -> Samples:
        """Decode codes `[H, T]` to audio `[2, num_samples]`."""
        return decode_bass(self._codec, codes, num_samples)

    def decode_blocks(
        self, codes: Codes, notes: Notes | None, num_samples: int
    ) -> Iterator[Samples]:
        """Decode codes `[H, T]`, block after block `[2, n]`."""
        return decode_bass_blocks(self._codec, codes, num_samples)

    def description(self) -> dict[str, Any]:
        """Return nothing, because the codec's checkpoint determines the sound."""
        return {}


@dataclass(frozen=True)
class BassSound:
    """How a decoded bass compares with the true one. What cannot be measured is nan.

    Attributes:
        bands: log-spectral distance and level error in each of BANDS, in dB.
        mel_distance: the log-mel distance in dB.
        pitch_accuracy: the share of the pitched frames that have the right pitch.
        onset_f1: how well the attacks agree.
        hiss: the level between notes relative to the level of loud notes, in dB.
    """

    bands: tuple[BandDistance, ...]
    mel_distance: float
    pitch_accuracy: float
    onset_f1: float
    hiss: float


@dataclass(frozen=True)
class BassRow:
    """The figures of one decoder, each a mean over the songs in which it can be measured.

    Attributes:
        name: of the decoder.
        sound: the figures.
    """

    name: str
    sound: BassSound


@dataclass(frozen=True)
class BassReport:
    """How the decoded bass sounds.

    Attributes:
        songs: how many songs with an audible bass were measured.
        rows: one for each decoder; none if no song has an audible bass.
    """

    songs: int
    rows: tuple[BassRow, ...]

    def as_markdown(self) -> str:
        """Return the section of `report.md`."""
        heading = "## Sound of the bass"
        if not self.rows:
            return f"{heading}\n\nNo song has an audible bass, so that there is nothing to measure."
        return "\n\n".join(
            [
                heading,
                f"The bass of {self.songs} songs, encoded alone and decoded, beside the true bass. "
                "In bands: log-spectral distance and, in brackets, level error, in dB.",
                self._bands_table(),
                "Of the notes: the share of the pitched frames that are within 50 cents, the F1 of "
                "the attacks within 50 ms, and the level between notes relative to that of loud "
                "notes.",
                self._notes_table(),
            ]
        )

    def _bands_table(self) -> str:
        names = " | ".join(f"{low}-{high} Hz" for low, high in BANDS)
        lines = [f"| bass | {names} | log-mel |", "|---|" + "---:|" * (len(BANDS) + 1)]
        for row in self.rows:
            bands = " | ".join(
                f"{decibels(band.distance)} ({decibels(band.level_error)})"
                for band in row.sound.bands
            )
            lines.append(f"| {row.name} | {bands} | {decibels(row.sound.mel_distance)} |")
        return "\n".join(lines)

    def _notes_table(self) -> str:
        lines = ["| bass | pitch accuracy | onset F1 | hiss, dB |", "|---|---:|---:|---:|"]
        for row in self.rows:
            sound = row.sound
            figures = (sound.pitch_accuracy, sound.onset_f1, sound.hiss)
            lines.append(f"| {row.name} | {' | '.join(map(decibels, figures))} |")
        return "\n".join(lines)


class BassCollector:
    """Decodes and measures the bass of songs that are added one after another."""

    def __init__(self, codec: Codec, decoders: Mapping[str, BassDecoder]) -> None:
        """Prepare to compare decoders, by name, of the codes of one codec."""
        self._codec = codec
        self._decoders = decoders
        self._songs = 0
        self._sounds: dict[str, list[BassSound]] = {name: [] for name in decoders}

    def add(self, bass: Samples, facts: SongFacts, start: float) -> None:
        """Add a song, unless its bass is silent.

        Args:
            bass: the stem `[2, N]`, at the level at which songs are encoded.
            facts: what is known of the song.
            start: where in the song the samples begin, in seconds.
        """
        if frame_rms(bass, self._codec.hop).max() <= AUDIBLE:
            return
        self._songs += 1
        codes = self._codec.encode(bass)[BASS]
        notes = note_tokens(facts, start, codes.shape[-1], self._codec.frame_rate)
        true = TrackedSound.of(bass, self._codec.sample_rate)
        for name, decoder in self._decoders.items():
            decoded = decoder.decode(codes, notes, bass.shape[-1])
            sound = compare_bass(TrackedSound.of(decoded, self._codec.sample_rate), true)
            self._sounds[name].append(sound)

    def report(self) -> BassReport:
        """Summarise the songs added."""
        if not self._songs:
            return BassReport(0, ())
        rows = [BassRow(name, _mean_sound(sounds)) for name, sounds in self._sounds.items()]
        return BassReport(self._songs, tuple(rows))


def note_tokens(
    facts: SongFacts, start: float, num_frames: int, frame_rate: float
) -> Tokens | None:
    """Return the bass's note tokens `[num_frames]` from `start` seconds on; None if not known.

    A note that sounds at the start begins there.
    """
    if facts.bass_notes is None:
        return None
    heard = [note for note in facts.bass_notes if note.end > start]
    begins = [max(note.onset, start) for note in heard]
    moved = [
        replace(note, onset=begin - start, duration=note.end - begin)
        for note, begin in zip(heard, begins, strict=True)
    ]
    return notes_to_tokens(moved, num_frames, frame_rate)


@dataclass(frozen=True, eq=False)
class TrackedSound:
    """A bass line, and what is heard in it.

    Attributes:
        samples: `[N]`, the mean of the channels.
        sample_rate: in Hz.
        track: its pitch and its attacks.
    """

    samples: npt.NDArray[np.float32]
    sample_rate: int
    track: PitchTrack

    @classmethod
    def of(cls, audio: Samples, sample_rate: int) -> "TrackedSound":
        """Track audio `[2, N]`."""
        return cls(audio.mean(0), sample_rate, track_pitch(audio, sample_rate, FRAME_RATE))


def compare_bass(decoded: TrackedSound, true: TrackedSound) -> BassSound:
    """Compare a decoded bass with the true one, which has the same length and sample rate."""
    return BassSound(
        band_distances(decoded.samples, true.samples, true.sample_rate),
        mel_distance(decoded.samples, true.samples, true.sample_rate),
        _pitch_accuracy(decoded.track.pitch, true.track.pitch),
        _onset_f1(decoded.track.onsets, true.track.onsets),
        hiss(decoded.samples, true.samples),
    )


def mel_distance(
    estimate: npt.NDArray[np.float32], target: npt.NDArray[np.float32], sample_rate: int
) -> float:
    """Compute the mean absolute difference of the log-mel spectrograms of `[N]` in dB.

    It is the mean over MEL_WINDOWS. Levels count as at least FLOOR_DB below the target's loudest.
    It is nan where the target is silent.
    """
    from shared.sound.librosa_guard import librosa

    distances = []
    for size, bands in MEL_WINDOWS.items():
        made, goal = (
            librosa.feature.melspectrogram(
                y=samples,
                sr=sample_rate,
                n_fft=size,
                hop_length=size // 4,
                n_mels=bands,
                fmax=MEL_HIGHEST,
            )
            for samples in (estimate, target)
        )
        floor = goal.max() * 10 ** (-FLOOR_DB / 10)
        if floor == 0:
            return float("nan")
        ratio = np.log10(np.maximum(made, floor)) - np.log10(np.maximum(goal, floor))
        distances.append(10 * np.abs(ratio).mean())
    return float(np.mean(distances))


def hiss(estimate: npt.NDArray[np.float32], target: npt.NDArray[np.float32]) -> float:
    """Compute the level of the estimate `[N]` between the notes of the target, in dB.

    It is relative to the estimate's level where the target is loud, and at least LOWEST_HISS_DB. It
    is nan where the target is never quiet, or the estimate is silent where the target is loud.
    """
    made, goal = (_frame_power(samples) for samples in (estimate, target))
    quiet = goal < goal.max() * 10 ** (-QUIET_DB / 10)
    loud = goal >= goal.max() * 10 ** (-LOUD_DB / 10)
    if not quiet.any() or not made[loud].any():
        return float("nan")
    ratio = made[quiet].mean() / made[loud].mean()
    return float(10 * np.log10(max(ratio, 10 ** (LOWEST_HISS_DB / 10))))


def _frame_power(samples: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    """Compute the power of half-overlapping frames of `[N]`; an incomplete last frame is left out.

    Samples that do not fill a frame are one frame with zeros at its end.
    """
    blocks = max(2, len(samples) // FRAME_HOP)
    padded = np.pad(samples.astype(np.float64), (0, max(0, blocks * FRAME_HOP - len(samples))))
    power = np.square(padded[: blocks * FRAME_HOP]).reshape(blocks, FRAME_HOP).mean(1)
    return (power[:-1] + power[1:]) / 2


def _pitch_accuracy(decoded: npt.NDArray[np.float64], true: npt.NDArray[np.float64]) -> float:
    pitched = ~np.isnan(true)
    if not pitched.any():
        return float("nan")
    return float(np.mean(np.abs(decoded - true)[pitched] <= PITCH_TOLERANCE))


def _onset_f1(decoded: npt.NDArray[np.float64], true: npt.NDArray[np.float64]) -> float:
    if not len(true):
        return float("nan")
    return 2 * match_onsets(true, decoded, ONSET_TOLERANCE) / (len(true) + len(decoded))


def _mean_sound(sounds: Sequence[BassSound]) -> BassSound:
    """Average the figures of songs, each over those in which it could be measured."""
    bands = [
        replace(
            each[0],
            distance=_mean([band.distance for band in each]),
            level_error=_mean([band.level_error for band in each]),
        )
        for each in zip(*(sound.bands for sound in sounds), strict=True)
    ]
    return BassSound(
        tuple(bands),
        _mean([sound.mel_distance for sound in sounds]),
        _mean([sound.pitch_accuracy for sound in sounds]),
        _mean([sound.onset_f1 for sound in sounds]),
        _mean([sound.hiss for sound in sounds]),
    )


def _mean(values: Sequence[float]) -> float:
    known = [value for value in values if value == value]
    return float(np.mean(known)) if known else float("nan")
