"""From a song to a new bass line for it: the whole way of `generate-bass`.

    song -> take its bass out -> codes of the accompaniment -> prior -> bass codes and notes -> audio

The files, for a song NAME:

    NAME.bass.wav   the new bass, stereo, at the song's sample rate and of its exact length
    NAME.mix.wav    the song with the new bass: its own bass is replaced where one was taken out,
                    otherwise the new bass is added to the song as it is
    NAME.mid        the line as notes
    NAME.png        the song without bass, the new bass and its notes, over time
    NAME.json       all that is needed to make the same again, and what was measured on the way
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from shared.atomic import files_together
from shared.codes.codec import Codec
from shared.codes.song_codes import require_fingerprint
from shared.errors import UserError
from shared.json_files import write_json
from shared.music.midi import write_midi
from shared.music.notes import Note, tokens_to_notes
from shared.plots import save_generation_picture
from shared.songs.tracks import STEM_MP4, song_name
from shared.sound.files import read_audio, write_wav
from shared.sound.samples import Samples, fit_length, resample, rms, to_stereo
from stage2_prior.accompaniment import PreparedSong, prepare_song
from stage2_prior.balance import balance_gain
from stage2_prior.bass_sound import bass_sound
from stage2_prior.edits import Edits, GivenBass, given_bass
from stage2_prior.model import Prior
from stage2_prior.sampling import GeneratedBass, SamplingSettings, generate

ENDINGS = {
    "bass": "bass.wav",
    "mix": "mix.wav",
    "midi": "mid",
    "picture": "png",
    "json": "json",
}
SILENCE = 1e-5  # RMS, -100 dBFS
INFILL_CANDIDATES = 4  # at least: only among several can the bass after a gap choose


@dataclass(frozen=True)
class ArrangeOptions:
    """What to do with the song.

    remove_bass: take the song's own bass out first; None where it has one (accompaniment.py).
    edits: what of the new line is fixed.
    """

    remove_bass: bool | None = None
    edits: Edits = field(default_factory=Edits)


@dataclass(frozen=True)
class Arrangement:
    """What `generate_bass` leaves.

    files: by kind: bass, mix, midi, picture, json.
    notes: the new line.
    timings: s, per step.
    figures: the content of NAME.json.
    """

    files: dict[str, Path]
    notes: tuple[Note, ...]
    timings: dict[str, float]
    figures: dict[str, Any]


def generate_bass(
    song: Path,
    out: Path,
    codec: Codec,
    prior: Prior,
    settings: SamplingSettings,
    options: ArrangeOptions | None = None,
) -> Arrangement:
    """Write a new bass line for a song, and its files into the folder `out`, all or none.

    The bass is as loud as the prior writes it against the accompaniment, within the range of balance.py where
    no other bass sets the level. Where it or the mix would clip, that file is scaled as a whole.
    NAME.json says by how much.
    Where the song's own bass is kept, it is its sound that is heard, not its codes decoded; and where
    it is kept after a gap, at least `INFILL_CANDIDATES` are written for the gap.

    Raises:
        UserError: a song that cannot be read or is shorter than a frame, edits that do not fit it,
            a place that cannot be written, a prior of another codec.
    """
    options = options or ArrangeOptions()
    require_fingerprint(prior.format.fingerprint, codec.fingerprint, "the codes of this prior")
    watch = _Stopwatch()
    with watch("read"):
        audio = read_audio(song)
        stereo = to_stereo(audio.samples)
        mixture = resample(stereo, audio.sample_rate, codec.sample_rate)
    if mixture.shape[-1] < codec.hop:
        raise UserError(
            f"{song} lasts {1000 * mixture.shape[-1] / codec.sample_rate:.0f} ms, less than a frame "
            f"of {1000 / codec.frame_rate:.0f} ms: give a longer song"
        )
    name = _name(song)
    paths = {kind: out / f"{name}.{end}" for kind, end in ENDINGS.items()}
    with files_together(paths) as files:
        with watch("take bass out"):
            heard = prepare_song(mixture, codec, options.remove_bass)
        with watch("encode"):
            accompaniment = codec.encode(heard.accompaniment * np.float32(heard.gain))
            given = given_bass(options.edits, heard, codec)
        if given.follows_a_gap:
            settings = replace(settings, candidates=max(settings.candidates, INFILL_CANDIDATES))
        with watch("write bass"):
            line = _write_line(prior, accompaniment, settings, given)
        with watch("decode"):
            bass = _sound(line, heard, codec, options.edits)
            # A line that goes on from a given one has its level.
            balance = 1.0 if given.has_sound else balance_gain(
                bass, line.notes, heard.gain, prior.balance
            )
            bass *= np.float32(balance)
            bass = fit_length(
                resample(bass, codec.sample_rate, audio.sample_rate), stereo.shape[-1]
            )
            rest = stereo
            if heard.bass is not None:
                own = resample(heard.bass, codec.sample_rate, audio.sample_rate)
                rest = stereo - fit_length(own, stereo.shape[-1])
        with watch("write files"):
            notes = tokens_to_notes(line.notes, codec.frame_rate)
            mix = rest + bass
            bass_scale = _write_unclipped(files["bass"], bass, audio.sample_rate)
            mix_scale = _write_unclipped(files["mix"], mix, audio.sample_rate)
            write_midi(files["midi"], notes)
            save_generation_picture(files["picture"], rest, bass, audio.sample_rate, notes, name)
        figures = {
            "song": song,
            "sample_rate": audio.sample_rate,
            "samples": stereo.shape[-1],
            "seconds": stereo.shape[-1] / audio.sample_rate,
            "silent": rms(stereo) < SILENCE,
            "bass_removed": heard.bass is not None,
            "encoder_gain": heard.gain,
            "balance": balance,
            "bass_scale": bass_scale,
            "mix_scale": mix_scale,
            "rms_db": {
                "song": _decibels(stereo),
                "accompaniment": _decibels(rest),
                "bass": _decibels(bass),
                "removed_bass": None if heard.bass is None else _decibels(heard.bass),
            },
            "notes": len(notes),
            "log_prob": {
                "given_song": line.log_prob_conditional,
                "given_none": line.log_prob_unconditional,
            },
            "seed": settings.seed,
            "settings": asdict(settings),
            "options": asdict(options),
            "checkpoints": {"codec": codec.fingerprint, "prior": prior.fingerprint},
            "timings": watch.seconds,
            "files": {kind: path.name for kind, path in paths.items()},
        }
        write_json(files["json"], figures)
    return Arrangement(paths, tuple(notes), watch.seconds, figures)


def _name(song: Path) -> str:
    return song_name(song) if song.name.endswith(STEM_MP4) else song.stem


def _write_line(
    prior: Prior,
    accompaniment: npt.NDArray[np.uint16],
    settings: SamplingSettings,
    given: GivenBass,
) -> GeneratedBass:
    """Sample, and cut off what lies ahead of the song."""
    lead = ((0, 0), (0, 0), (given.lead, 0))
    line = generate(
        prior,
        np.pad(accompaniment, lead, constant_values=prior.dropped),
        settings,
        fixed=given.tokens,
        allowed_notes=given.allowed_notes,
    )
    return replace(line, codes=line.codes[:, given.lead :], notes=line.notes[given.lead :])


def _sound(line: GeneratedBass, song: PreparedSong, codec: Codec, edits: Edits) -> Samples:
    """The line `[2, N]` at the codec's rate and the song's own level."""
    length = song.accompaniment.shape[-1]
    bass = bass_sound(line.codes, line.notes, length, song.gain, codec)
    kept = edits.kept_frames(line.codes.shape[1], codec.frame_rate)
    if song.bass is None or not kept.any():
        return bass
    # From frame to frame: fades of one hop.
    own = np.interp(np.arange(length) / codec.hop, np.arange(len(kept)), kept).astype(np.float32)
    return own * song.bass + (1 - own) * bass


def _write_unclipped(path: Path, samples: Samples, sample_rate: int) -> float:
    """Write, scaled as a whole where it would clip; returns the scale."""
    peak = float(np.abs(samples).max())
    scale = 1.0 if peak <= 1 else 1 / peak
    write_wav(path, samples * np.float32(scale), sample_rate)
    return scale


def _decibels(samples: Samples) -> float | None:
    """RMS in dBFS; None for silence."""
    level = rms(samples)
    return round(20 * float(np.log10(level)), 2) if level > 0 else None


class _Stopwatch:
    """Seconds per named step."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def __call__(self, step: str) -> Iterator[None]:
        started = time.perf_counter()
        yield
        self.seconds[step] = round(time.perf_counter() - started, 3)
