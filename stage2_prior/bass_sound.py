"""Turn a bass line, its codes and its notes, into sound.

There are three ways: the codec's own decoder (`PlainSound`), a decoder of its own that adds the
overtones (`FullSound`), and a SoundFont that plays the notes (`SoundFontSound`).
"""

import hashlib
import weakref
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from shared.codes.bass_decoder import BassDecoder, Notes
from shared.codes.codec import Codec, Codes
from shared.codes.decoding import decode_bass, decode_bass_blocks
from shared.errors import UserError, require
from shared.music.notes import Note, tokens_to_notes
from shared.sound.samples import Samples, fit_length, resample, rms
from stage2_prior.articulation import articulate_blocks

FINGERED_BASS = 33  # the General MIDI program that plays where none is named
LOUDNESS_SECONDS = 0.2  # how much of a note's beginning tells how loud it is
MEDIAN_VELOCITY = 90  # MIDI velocity of a note of median loudness
OVERHANG_SECONDS = 1.0  # how long a SoundFont plays on after the song, so that its last note sounds
TRIED_PITCHES = (28, 33, 38, 43, 48, 53)  # MIDI numbers, E1 to F3


class BassSound(Protocol):
    """A way to turn a bass line into sound."""

    def description(self) -> dict[str, Any]:
        """Return its `name`, and what one needs to render the same again.

        The codec's checkpoint is not part of it.
        """

    def render(self, codes: Codes, notes: Notes, num_samples: int) -> Samples:
        """Render codes `[H, T]` with note tokens `[T]` as audio `[2, num_samples]`.

        The audio has the codec's sample rate and the level at which songs are encoded.
        """

    def render_blocks(self, codes: Codes, notes: Notes, num_samples: int) -> Iterator[Samples]:
        """Render as `render` does, block after block `[2, n]`."""


@dataclass(frozen=True)
class PlainSound:
    """The sound of the codec's own decoder, with attacks where the notes have them."""

    codec: Codec

    def description(self) -> dict[str, Any]:
        """Describe the sound as `BassSound` says."""
        return {"name": "paper"}

    def render(self, codes: Codes, notes: Notes, num_samples: int) -> Samples:
        """Render as `BassSound` says."""
        return np.concatenate([*self.render_blocks(codes, notes, num_samples)], axis=1)

    def render_blocks(self, codes: Codes, notes: Notes, num_samples: int) -> Iterator[Samples]:
        """Render block after block, so that memory stays flat."""
        blocks = decode_bass_blocks(self.codec, codes, num_samples)
        return articulate_blocks(blocks, notes, self.codec.sample_rate, self.codec.hop)


@dataclass(frozen=True)
class FullSound:
    """The sound of a bass decoder, with attacks where the notes have them.

    It has the overtones that the codec's decoder lacks.
    """

    decoder: BassDecoder
    codec: Codec

    def description(self) -> dict[str, Any]:
        """Describe the sound as `BassSound` says."""
        return {"name": "codes", **self.decoder.description()}

    def render(self, codes: Codes, notes: Notes, num_samples: int) -> Samples:
        """Render as `BassSound` says. Frames with negative tokens have unknown notes."""
        return np.concatenate([*self.render_blocks(codes, notes, num_samples)], axis=1)

    def render_blocks(self, codes: Codes, notes: Notes, num_samples: int) -> Iterator[Samples]:
        """Render block after block, so that memory stays flat."""
        blocks = self.decoder.decode_blocks(codes, notes, num_samples)
        return articulate_blocks(blocks, notes, self.codec.sample_rate, self.codec.hop)


class SoundFontSound:
    """The notes, played by a SoundFont as loudly as the decoded line is."""

    def __init__(self, codec: Codec, path: Path, program: int = FINGERED_BASS) -> None:
        """Read a SoundFont, and try whether it plays a bass.

        Args:
            codec: decodes the line, to find how loud it is.
            path: the SoundFont.
            program: the General MIDI program that plays.

        Raises:
            UserError: the SoundFont cannot be read, or does not have the program.
        """
        from shared.band.recording.render import Orchestra

        self.codec, self.path, self.program = codec, path, program
        self._orchestra = Orchestra([path])
        weakref.finalize(self, self._orchestra.close)
        try:
            self._play(tuple(Note(0.0, 0.5, pitch) for pitch in TRIED_PITCHES), 0.5)
        except UserError as error:
            raise UserError(
                f"the SoundFont {path} plays no bass with program {program}: name another program, "
                f"as in {path.name}:{FINGERED_BASS}"
            ) from error

    def description(self) -> dict[str, Any]:
        """Describe the sound as `BassSound` says; the fingerprint is of the SoundFont's bytes."""
        with self.path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()[:16]
        return {
            "name": f"{self.path.name}:{self.program}",
            "soundfont": str(self.path),
            "fingerprint": digest,
            "program": self.program,
        }

    def render(self, codes: Codes, notes: Notes, num_samples: int) -> Samples:
        """Render as `BassSound` says.

        Raises:
            UserError: the line has notes, and the SoundFont plays none of them.
        """
        from shared.band.recording.render import SAMPLE_RATE

        rate = self.codec.sample_rate
        decoded = decoded_bass(codes, num_samples, 1.0, self.codec)
        written = tokens_to_notes(np.maximum(notes, 0), self.codec.frame_rate)
        loud = _with_loudness(written, decoded, rate)
        whole = self._play(loud, num_samples / rate + OVERHANG_SECONDS)
        played = resample(whole, SAMPLE_RATE, rate)
        # Levels are compared while notes sound, also beyond the end of the song: the beginning of a
        # note that is cut off there says little of how loud it is.
        sounding = _sounding(written, played.shape[-1], rate)
        level = rms(played[:, sounding])
        scale = rms(decoded[:, sounding[:num_samples]]) / level if level > 0 else 0.0
        return fit_length(played, num_samples) * np.float32(scale)

    def render_blocks(self, codes: Codes, notes: Notes, num_samples: int) -> Iterator[Samples]:
        """Render in one block, because the synthesiser plays a song as a whole."""
        yield self.render(codes, notes, num_samples)

    def _play(self, notes: tuple[Note, ...], seconds: float) -> Samples:
        """Play notes to `[2, N]` at the synthesiser's sample rate."""
        from shared.band.recording.render import SAMPLE_RATE
        from shared.band.scores.score import Part

        part = Part("bass", "bass", self.program, False, notes)
        return self._orchestra.play(part, 0, round(seconds * SAMPLE_RATE), substitute=False)


def choose_sound(
    wanted: str | None, codec: Codec, find_decoder: Callable[[], BassDecoder | None]
) -> BassSound:
    """Return the sound that the option `--sound` names.

    Args:
        wanted: "codes", "paper", the path of a SoundFont, or that and a program, as in
            "FILE.sf2:33". None takes the bass decoder where there is one.
        codec: the codec of the line.
        find_decoder: loads the bass decoder for this codec, or returns None if there is none. It is
            only called where a bass decoder may be used.

    Raises:
        UserError: there is no such sound.
    """
    if wanted == "paper":
        return PlainSound(codec)
    if not uses_bass_decoder(wanted):
        assert wanted is not None
        return _parse_soundfont(wanted, codec)
    decoder = find_decoder()
    if decoder is not None:
        return FullSound(decoder, codec)
    if wanted == "codes":
        raise UserError(
            f"there is no bass decoder for the codec {codec.fingerprint}: train one with "
            "train-bass-decoder and give it as --bass-decoder, or choose --sound paper"
        )
    return PlainSound(codec)


def uses_bass_decoder(wanted: str | None) -> bool:
    """Whether a bass decoder renders the sound that the option `--sound` names, if there is one."""
    return wanted in (None, "codes")


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


def _sounding(notes: Sequence[Note], num_samples: int, sample_rate: int) -> npt.NDArray[np.bool_]:
    """Whether any note sounds at each sample `[num_samples]`."""
    sounding = np.zeros(num_samples, np.bool_)
    for note in notes:
        sounding[round(note.onset * sample_rate) : round(note.end * sample_rate)] = True
    return sounding


def decoded_bass(codes: Codes, num_samples: int, gain: float, codec: Codec) -> Samples:
    """Decode bass codes `[H, T]` to audio `[2, num_samples]` at the codec's sample rate.

    Args:
        codes: the codes of the bass.
        num_samples: the length of the audio.
        gain: what the song was multiplied by before it was encoded; the audio is divided by it.
        codec: the codec that made the codes.
    """
    return decode_bass(codec, codes, num_samples) / np.float32(gain)
