"""Generate a bass line for a song: everything that `generate-bass` does.

    song -> without its bass -> codes of the accompaniment -> bars, chords, notes, codes -> sound

The files for a song NAME are:

    NAME.bass.wav   the new bass, stereo, with the sample rate and the exact length of the song
    NAME.mix.wav    the song with the new bass, which replaces the song's own bass where that was
                    removed, and is added to the song as it is otherwise
    NAME.mid        the notes of the new bass, on the bars and beats of the song, with its chords
    NAME.png        the song without bass, the new bass, and its notes, bars and chords, over time
    NAME.json       what is needed to generate the same again, and what was measured on the way
"""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from shared.atomic import files_together
from shared.codes.codec import Codec, require_frame
from shared.codes.song_codes import require_fingerprint
from shared.errors import require
from shared.json_files import write_json
from shared.music.bar_tracking import BarHints
from shared.music.chord_recogniser import recognise_chords
from shared.music.key_estimation import key_of_chords
from shared.music.lead_sheet import lead_sheet
from shared.music.midi import MidiScore, Timing, write_midi
from shared.music.notes import Note
from shared.music.onset_envelope import onset_envelope
from shared.plots import save_generation_picture
from shared.songs.tracks import mix_name
from shared.sound.files import read_audio, write_wav
from shared.sound.samples import Samples, fit_length, resample, rms, to_stereo, unclipped
from stage2_prior.accompaniment import PreparedSong, prepare_song
from stage2_prior.balance import balance_envelope, song_end
from stage2_prior.bass_sound import BassSound, PlainSound
from stage2_prior.composer.sampling import E1, G3
from stage2_prior.edits import Edits, GivenBass, given_bass
from stage2_prior.harmony import Harmony, HarmonySource
from stage2_prior.model import Prior
from stage2_prior.performer.tone import TONES, UNKNOWN_TONE
from stage2_prior.sampling import GeneratedBass, SamplingSettings, SongEvidence, Wishes, generate
from stage2_prior.summary import Summary

ENDINGS = {
    "bass": "bass.wav",
    "mix": "mix.wav",
    "midi": "mid",
    "picture": "png",
    "json": "json",
}
SILENCE = 1e-5  # RMS, -100 dBFS


@dataclass(frozen=True)
class ArrangeOptions:
    """What to do with the song.

    Attributes:
        remove_bass: whether to remove the song's own bass first; None removes it if the song has
            one (accompaniment.py).
        edits: what the user fixes of the new line.
        hints: what the user knows of the bars.
        harmony: where the chords come from.
        lowest: the lowest pitch of the line, as a MIDI number.
        highest: the highest pitch.
        tone: how the bass sounds, one of TONES.
        midi_timing: whether the MIDI file has the notes on the grid, as they are played, or both.

    Raises:
        UserError: two options exclude each other.
    """

    remove_bass: bool | None = None
    edits: Edits = field(default_factory=Edits)
    hints: BarHints = field(default_factory=BarHints)
    harmony: Harmony = field(default_factory=Harmony)
    lowest: int = E1
    highest: int = G3
    tone: str = TONES[UNKNOWN_TONE]
    midi_timing: Timing = "grid"

    def __post_init__(self) -> None:
        """Check that no two options exclude each other."""
        require(
            self.edits.midi is None or self.harmony.source is not HarmonySource.GIVEN,
            "a MIDI line and chords exclude each other: give one of them",
        )
        require(self.tone in TONES, f"there is no tone '{self.tone}': give {', '.join(TONES)}")


@dataclass(frozen=True)
class Arrangement:
    """What `generate_bass` leaves.

    Attributes:
        files: the files by kind: bass, mix, midi, picture and json.
        notes: the notes of the new line.
        timings: seconds that each step took.
        figures: the content of NAME.json.
        summary: what is known of the song and of its new bass.
    """

    files: dict[str, Path]
    notes: tuple[Note, ...]
    timings: dict[str, float]
    figures: dict[str, Any]
    summary: Summary


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

    Chords are recognised in the whole song, because its own bass tells their roots, and multiplied
    with what the listener hears, if a recogniser is installed (shared/music/chord_recogniser.py).

    Where the song's own bass is kept, its own sound is used and not its decoded codes.

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
        with watch("hear"):
            evidence = _evidence(read, prepared, codec, options)
        with watch("write bass"):
            wishes = _wishes(options, given)
            line = generate(prior, codes, settings, wishes, evidence)
        with watch("decode"):
            bass = _render(line, prepared, codec, options.edits, sound)
            balance = _balance(bass, line, prepared, given, codec, prior)
            mix = _mix(read, prepared, bass, balance, codec)
        key = key_of_chords(line.chords) if line.chords else None
        with watch("write files"):
            scales = _save_sound(files, mix, read.sample_rate)
            score = MidiScore(line.grid, key, line.chords)
            write_midi(files["midi"], line.played, score, options.midi_timing)
            save_generation_picture(
                files["picture"],
                mix.rest,
                mix.bass,
                read.sample_rate,
                line.played,
                mix_name(song),
                line.grid,
                line.chords,
            )
        figures = {
            **_sound_figures(read, prepared, mix, scales),
            **_song_figures(line, key),
            **_line_figures(line, settings, options),
            "sound": sound.description(),
            "checkpoints": {"codec": codec.fingerprint, "prior": prior.fingerprint},
            "timings": watch.seconds,
            "files": {kind: path.name for kind, path in paths.items()},
        }
        write_json(files["json"], figures)
    summary = Summary(
        notes=line.played,
        silent=figures["silent"],
        grid=line.grid,
        key=key,
        chords=line.chords,
        search=prepared.search,
        bass_removed=prepared.bass is not None,
        level=_level_beside(figures["rms_db"]),
    )
    return Arrangement(paths, line.played, watch.seconds, figures, summary)


def _read(path: Path, codec: Codec) -> _Song:
    """Read a song, and bring it to the codec's sample rate."""
    audio = read_audio(path)
    stereo = to_stereo(audio.samples)
    require_frame(path, stereo.shape[-1] / audio.sample_rate, codec)
    mixture = resample(stereo, audio.sample_rate, codec.sample_rate)
    return _Song(path, stereo, audio.sample_rate, mixture)


def _evidence(
    song: _Song, prepared: PreparedSong, codec: Codec, options: ArrangeOptions
) -> SongEvidence:
    """Look at the sound of a song for what its codes do not say."""
    chords = None
    if options.harmony.source is HarmonySource.AUTO:
        chords = recognise_chords(song.mixture, codec.sample_rate)
    rest, rate = prepared.accompaniment, codec.sample_rate
    return SongEvidence(chords=chords, onsets=onset_envelope(rest, rate), end=song_end(rest, rate))


def _wishes(options: ArrangeOptions, given: GivenBass) -> Wishes:
    return Wishes(
        hints=options.hints,
        harmony=options.harmony,
        lowest=options.lowest,
        highest=options.highest,
        tone=TONES.index(options.tone),
        fixed=given.tokens,
        lead=given.lead,
    )


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


def _song_figures(line: GeneratedBass, key: str | None) -> dict[str, Any]:
    """Describe the bars and the chords of the song, for NAME.json."""
    grid = line.grid
    return {
        "tempo": round(grid.tempo, 2),
        "meter": list(grid.meter),
        "key": key,
        "beats": grid.beats.round(4).tolist(),
        "downbeats": grid.downbeats.round(4).tolist(),
        "chords": [
            {"start": round(chord.start, 3), "end": round(chord.end, 3), "symbol": chord.symbol}
            for chord in line.chords
        ],
        "lead_sheet": lead_sheet(line.chords, grid) if line.chords else None,
    }


def _line_figures(
    line: GeneratedBass, settings: SamplingSettings, options: ArrangeOptions
) -> dict[str, Any]:
    """Describe the line and how it was written, for NAME.json."""
    pitches = [note.pitch for note in line.played]
    return {
        "notes": len(pitches),
        "range": [min(pitches), max(pitches)] if pitches else None,
        "log_prob": {
            "given_song": line.log_prob_conditional,
            "given_none": line.log_prob_unconditional,
        },
        "candidates": [round(fit, 4) for fit in line.fits],
        "seed": settings.seed,
        "settings": asdict(settings),
        "options": asdict(options),
    }


def _level_beside(rms_db: Mapping[str, float | None]) -> float | None:
    """Return the level of the bass relative to the accompaniment in dB; None for silence."""
    bass, song = rms_db["bass"], rms_db["accompaniment"]
    return None if bass is None or song is None else bass - song


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
