"""Generate a bass line for a song: everything that `generate-bass` does.

    song -> without its bass -> codes of the accompaniment -> prior -> codes and notes -> sound

The files for a song NAME are:

    NAME.bass.wav   the new bass, stereo, with the sample rate and the exact length of the song
    NAME.mix.wav    the song with the new bass, which replaces the song's own bass where that was
                    removed, and is added to the song as it is otherwise
    NAME.mid        the notes of the new bass
    NAME.png        the song without bass, the new bass, and its notes, over time
    NAME.json       what is needed to generate the same again, and what was measured on the way
"""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from shared.atomic import files_together
from shared.codes.codec import Codec, require_frame
from shared.codes.song_codes import require_fingerprint
from shared.json_files import write_json
from shared.music.midi import write_midi
from shared.music.notes import Note, tokens_to_notes
from shared.plots import save_generation_picture
from shared.songs.tracks import mix_name
from shared.sound.files import read_audio, write_wav
from shared.sound.samples import Samples, fit_length, resample, rms, to_stereo, unclipped
from stage2_prior.accompaniment import PreparedSong, prepare_song
from stage2_prior.balance import balance_envelope
from stage2_prior.bass_search import BassSearch
from stage2_prior.bass_sound import BassSound, PlainSound
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
INFILL_CANDIDATES = 4  # What follows a gap has an influence only by choosing among candidates.


@dataclass(frozen=True)
class ArrangeOptions:
    """What to do with the song.

    Attributes:
        remove_bass: whether to remove the song's own bass first; None removes it if the song has
            one (accompaniment.py).
        edits: what the user fixes of the new line.
    """

    remove_bass: bool | None = None
    edits: Edits = field(default_factory=Edits)


@dataclass(frozen=True)
class Arrangement:
    """What `generate_bass` leaves.

    Attributes:
        files: the files by kind: bass, mix, midi, picture and json.
        notes: the notes of the new line.
        timings: seconds that each step took.
        figures: the content of NAME.json.
        search: what was found when a bass was looked for in the song; None if it was not.
    """

    files: dict[str, Path]
    notes: tuple[Note, ...]
    timings: dict[str, float]
    figures: dict[str, Any]
    search: BassSearch | None


@dataclass(frozen=True, eq=False)
class _Song:
    """A song `[2, N]` at its own sample rate, and `mixture`, the same at the codec's."""

    path: Path
    stereo: Samples
    sample_rate: int
    mixture: Samples


@dataclass(frozen=True, eq=False)
class _Mix:
    """Sound at the song's sample rate `[2, N]`: the song without its bass, the new bass, and both.

    `balance` is what the decoded bass was multiplied by: the median over time.
    """

    rest: Samples
    bass: Samples
    balance: float

    @property
    def whole(self) -> Samples:
        return self.rest + self.bass


def generate_bass(
    song: Path,
    out: Path,
    codec: Codec,
    prior: Prior,
    settings: SamplingSettings,
    options: ArrangeOptions | None = None,
    sound: BassSound | None = None,
) -> Arrangement:
    """Generate a bass line for a song, and write its files into the folder `out`, all or none.

    `sound` renders the line; without it the codec decodes it.

    The level of the bass is brought into the prior's range (balance.py), unless the sound of a bass
    is given for a part of the line; that sets the level then. A bass or a mix that would clip is
    scaled as a whole. NAME.json says by how much.

    Where the song's own bass is kept, its own sound is used and not its decoded codes. Where it is
    kept after a gap, at least `INFILL_CANDIDATES` lines are generated to choose from.

    Raises:
        UserError: the song cannot be read or is shorter than a frame, an edit does not fit it, a
            file cannot be written, or the prior was trained on the codes of another codec.
    """
    options = options or ArrangeOptions()
    sound = sound or PlainSound(codec)
    require_fingerprint(prior.format.fingerprint, codec.fingerprint, "the codes of this prior")
    watch = _Stopwatch()
    with watch("read"):
        read = _read(song, codec)
    paths = {kind: out / f"{mix_name(song)}.{ending}" for kind, ending in ENDINGS.items()}
    with files_together(paths) as files:
        with watch("take bass out"):
            prepared = prepare_song(read.mixture, codec, options.remove_bass)
        with watch("encode"):
            codes = codec.encode(prepared.heard)
            given = given_bass(options.edits, prepared, codec)
        with watch("write bass"):
            settings = _with_enough_candidates(settings, given)
            line = _write_line(prior, codes, settings, given)
        with watch("decode"):
            bass = _render(line, prepared, codec, options.edits, sound)
            mix = _mix(
                read, prepared, bass, _balance(bass, line, prepared, given, codec, prior), codec
            )
        notes = tuple(tokens_to_notes(line.notes, codec.frame_rate))
        with watch("write files"):
            scales = _save_sound(files, mix, read.sample_rate)
            write_midi(files["midi"], notes)
            save_generation_picture(
                files["picture"], mix.rest, mix.bass, read.sample_rate, notes, mix_name(song)
            )
        figures = {
            **_sound_figures(read, prepared, mix, scales),
            **_line_figures(line, notes, settings, options),
            "sound": sound.name,
            "checkpoints": {"codec": codec.fingerprint, "prior": prior.fingerprint},
            "timings": watch.seconds,
            "files": {kind: path.name for kind, path in paths.items()},
        }
        write_json(files["json"], figures)
    return Arrangement(paths, notes, watch.seconds, figures, prepared.search)


def _read(path: Path, codec: Codec) -> _Song:
    """Read a song, and bring it to the codec's sample rate."""
    audio = read_audio(path)
    stereo = to_stereo(audio.samples)
    require_frame(path, stereo.shape[-1] / audio.sample_rate, codec)
    mixture = resample(stereo, audio.sample_rate, codec.sample_rate)
    return _Song(path, stereo, audio.sample_rate, mixture)


def _with_enough_candidates(settings: SamplingSettings, given: GivenBass) -> SamplingSettings:
    """Raise the number of candidates where a bass that is given after a gap chooses among them."""
    if not given.follows_a_gap:
        return settings
    return replace(settings, candidates=max(settings.candidates, INFILL_CANDIDATES))


def _write_line(
    prior: Prior,
    accompaniment: npt.NDArray[np.uint16],
    settings: SamplingSettings,
    given: GivenBass,
) -> GeneratedBass:
    """Sample the line for an accompaniment `[S, H, T]`, and cut off what precedes the song."""
    lead = ((0, 0), (0, 0), (given.lead, 0))
    line = generate(
        prior,
        np.pad(accompaniment, lead, constant_values=prior.dropped),
        settings,
        fixed=given.tokens,
        allowed_notes=given.allowed_notes,
    )
    return replace(line, codes=line.codes[:, given.lead :], notes=line.notes[given.lead :])


def _render(
    line: GeneratedBass, song: PreparedSong, codec: Codec, edits: Edits, sound: BassSound
) -> Samples:
    """Return the sound of the line `[2, N]` at the codec's sample rate and the song's own level.

    Where the song's own bass is kept, its sound is faded in and out within one frame.
    """
    length = song.accompaniment.shape[-1]
    bass = sound.render(line.codes, line.notes, length) / np.float32(song.gain)
    kept = edits.kept_frames(line.codes.shape[1], codec.frame_rate)
    if song.bass is None or not kept.any():
        return bass
    own = np.interp(np.arange(length) / codec.hop, np.arange(len(kept)), kept).astype(np.float32)
    return own * song.bass + (1 - own) * bass


def _balance(
    bass: Samples,
    line: GeneratedBass,
    song: PreparedSong,
    given: GivenBass,
    codec: Codec,
    prior: Prior,
) -> npt.NDArray[np.float32]:
    """Return what to multiply the bass by `[N]`: 1 if it continues a sound that is given."""
    if given.has_sound:
        return np.ones(bass.shape[-1], np.float32)
    return balance_envelope(bass, line.notes, song.accompaniment, codec.sample_rate, prior.balance)


def _mix(
    song: _Song,
    prepared: PreparedSong,
    bass: Samples,
    balance: npt.NDArray[np.float32],
    codec: Codec,
) -> _Mix:
    """Bring the bass to the song's sample rate, and put it in place of the song's own bass."""

    def at_rate_of_song(samples: Samples) -> Samples:
        resampled = resample(samples, codec.sample_rate, song.sample_rate)
        return fit_length(resampled, song.stereo.shape[-1])

    removed = None if prepared.bass is None else at_rate_of_song(prepared.bass)
    rest = song.stereo if removed is None else song.stereo - removed
    return _Mix(rest, at_rate_of_song(bass * balance), float(np.median(balance)))


def _save_sound(files: Mapping[str, Path], mix: _Mix, sample_rate: int) -> dict[str, float]:
    """Write the bass and the mix, and return the scales that keep them from clipping."""
    scales = {}
    for kind, samples in (("bass", mix.bass), ("mix", mix.whole)):
        scaled, scales[kind] = unclipped(samples)
        write_wav(files[kind], scaled, sample_rate)
    return scales


def _sound_figures(
    song: _Song, prepared: PreparedSong, mix: _Mix, scales: Mapping[str, float]
) -> dict[str, Any]:
    """Describe the song and the levels, for NAME.json."""
    length = song.stereo.shape[-1]
    return {
        "song": song.path,
        "sample_rate": song.sample_rate,
        "samples": length,
        "seconds": length / song.sample_rate,
        "silent": rms(song.stereo) < SILENCE,
        "bass_removed": prepared.bass is not None,
        "bass_search": None if prepared.search is None else asdict(prepared.search),
        "encoder_gain": prepared.gain,
        "balance": mix.balance,
        "bass_scale": scales["bass"],
        "mix_scale": scales["mix"],
        "rms_db": {
            "song": _decibels(song.stereo),
            "accompaniment": _decibels(mix.rest),
            "bass": _decibels(mix.bass),
            "removed_bass": None if prepared.bass is None else _decibels(prepared.bass),
        },
    }


def _line_figures(
    line: GeneratedBass,
    notes: tuple[Note, ...],
    settings: SamplingSettings,
    options: ArrangeOptions,
) -> dict[str, Any]:
    """Describe the line and how it was sampled, for NAME.json."""
    return {
        "notes": len(notes),
        "log_prob": {
            "given_song": line.log_prob_conditional,
            "given_none": line.log_prob_unconditional,
        },
        "seed": settings.seed,
        "settings": asdict(settings),
        "options": asdict(options),
    }


def _decibels(samples: Samples) -> float | None:
    """Return the RMS in dBFS; None for silence."""
    level = rms(samples)
    return round(20 * float(np.log10(level)), 2) if level > 0 else None


class _Stopwatch:
    """The seconds that each named step took."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def __call__(self, step: str) -> Iterator[None]:
        started = time.perf_counter()
        yield
        self.seconds[step] = round(time.perf_counter() - started, 3)
