"""Turn a bass line, its codes and its notes, into sound.

There are three ways: the codec's own decoder (`PlainSound`), a decoder of its own that adds the
overtones (`FullSound`), and a SoundFont that plays the notes (`SoundFontSound`).
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt

from shared.codes.codec import Codec
from shared.codes.decoding import decode_bass
from shared.errors import UserError, require
from shared.music.notes import Note, tokens_to_notes
from shared.sound.samples import Samples, fit_length, resample, rms
from stage2_prior.articulation import articulate

Codes = npt.NDArray[np.uint16]
Notes = npt.NDArray[np.integer]

FINGERED_BASS = 33  # the General MIDI program that plays where none is named
LOUDNESS_SECONDS = 0.2  # how much of a note's beginning tells how loud it is
MEDIAN_VELOCITY = 90  # MIDI velocity of a note of median loudness


class BassSound(Protocol):
    """A way to turn a bass line into sound."""

    @property
    def name(self) -> str:
        """What NAME.json calls it."""

    def render(self, codes: Codes, notes: Notes, num_samples: int) -> Samples:
        """Render codes `[H, T]` with note tokens `[T]` as audio `[2, num_samples]`.

        The audio has the codec's sample rate and the level at which songs are encoded.
        """


class BassDecoder(Protocol):
    """A decoder of bass codes alone, such as that of `train-bass-decoder`."""

    def decode(self, codes: Codes, notes: Notes | None, num_samples: int) -> Samples:
        """Decode codes `[H, T]` with note tokens `[T]` to `[2, num_samples]`."""


@dataclass(frozen=True)
class PlainSound:
    """The sound of the codec's own decoder, with attacks where the notes have them."""

    codec: Codec
    name: str = "paper"

    def render(self, codes: Codes, notes: Notes, num_samples: int) -> Samples:
        """Render as `BassSound` says."""
        decoded = decoded_bass(codes, num_samples, 1.0, self.codec)
        return articulate(decoded, notes, self.codec.sample_rate, self.codec.hop)


@dataclass(frozen=True)
class FullSound:
    """The sound of a bass decoder, which has the overtones that the codec's decoder lacks."""

    decoder: BassDecoder
    name: str = "codes"

    def render(self, codes: Codes, notes: Notes, num_samples: int) -> Samples:
        """Render as `BassSound` says. Frames with negative tokens have unknown notes."""
        return self.decoder.decode(codes, notes, num_samples)


@dataclass(frozen=True)
class SoundFontSound:
    """The notes, played by a SoundFont as loudly as the decoded line is.

    Attributes:
        codec: decodes the line, to find how loud it is.
        path: the SoundFont.
        program: the General MIDI program that plays.
    """

    codec: Codec
    path: Path
    program: int = FINGERED_BASS

    @property
    def name(self) -> str:
        """What NAME.json calls it."""
        return f"{self.path.name}:{self.program}"

    def render(self, codes: Codes, notes: Notes, num_samples: int) -> Samples:
        """Render as `BassSound` says.

        Raises:
            UserError: the SoundFont cannot be played.
        """
        from shared.band.recording.render import SAMPLE_RATE, Orchestra
        from shared.band.scores.score import Part

        rate = self.codec.sample_rate
        decoded = decoded_bass(codes, num_samples, 1.0, self.codec)
        written = tokens_to_notes(np.maximum(notes, 0), self.codec.frame_rate)
        part = Part("bass", "bass", self.program, False, _with_loudness(written, decoded, rate))
        length = -(-num_samples * SAMPLE_RATE // rate)
        with Orchestra([self.path]) as orchestra:
            played = resample(orchestra.play(part, 0, length), SAMPLE_RATE, rate)
        played = fit_length(played, num_samples)
        level = rms(played)
        return played * np.float32(rms(decoded) / level if level > 0 else 0.0)


def choose_sound(wanted: str | None, codec: Codec, decoder: BassDecoder | None) -> BassSound:
    """Return the sound that the option `--sound` names.

    Args:
        wanted: "codes", "paper", the path of a SoundFont, or that and a program, as in
            "FILE.sf2:33". None takes the bass decoder where there is one.
        codec: the codec of the line.
        decoder: the bass decoder for this codec, or None if there is none.

    Raises:
        UserError: there is no such sound.
    """
    if wanted == "paper" or (wanted is None and decoder is None):
        return PlainSound(codec)
    if wanted is None or wanted == "codes":
        if decoder is None:
            raise UserError(
                f"there is no bass decoder for the codec {codec.fingerprint}: train one with "
                "train-bass-decoder and give it as --bass-decoder, or choose --sound paper"
            )
        return FullSound(decoder)
    return _parse_soundfont(wanted, codec)


def _parse_soundfont(wanted: str, codec: Codec) -> SoundFontSound:
    name, _, number = wanted.rpartition(":")
    path, program = (name, number) if name and number.isdecimal() else (wanted, str(FINGERED_BASS))
    require(
        Path(path).suffix.lower() in (".sf2", ".sf3"),
        f"there is no sound '{wanted}': give codes, paper, FILE.sf2 or FILE.sf2:PROGRAM",
    )
    require(int(program) < 128, f"there is no program {program} in '{wanted}': give 0 to 127")
    return SoundFontSound(codec, Path(path), int(program))


def _with_loudness(notes: list[Note], sound: Samples, sample_rate: int) -> tuple[Note, ...]:
    """Give notes the velocities at which they are as loud beside each other as in the sound."""
    levels = []
    for note in notes:
        start = round(note.onset * sample_rate)
        length = max(1, round(min(note.duration, LOUDNESS_SECONDS) * sample_rate))
        levels.append(rms(sound[:, start : start + length]))
    median = float(np.median(levels)) if levels else 0.0
    if median == 0:
        return tuple(notes)
    # The amplitude of a SoundFont's note is proportional to the square of its velocity.
    return tuple(
        replace(note, velocity=int(np.clip(MEDIAN_VELOCITY * (level / median) ** 0.5, 1, 127)))
        for note, level in zip(notes, levels, strict=True)
    )


def decoded_bass(codes: Codes, num_samples: int, gain: float, codec: Codec) -> Samples:
    """Decode bass codes `[H, T]` to audio `[2, num_samples]` at the codec's sample rate.

    Args:
        codes: the codes of the bass.
        num_samples: the length of the audio.
        gain: what the song was multiplied by before it was encoded; the audio is divided by it.
        codec: the codec that made the codes.
    """
    return decode_bass(codec, codes, num_samples) / np.float32(gain)
