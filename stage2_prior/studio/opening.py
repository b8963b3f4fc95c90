"""Open a song: take its bass out, and find its bars, chords and level, once for all takes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile

from shared.codes.codec import Codec, Codes
from shared.codes.song_codes import require_fingerprint
from shared.errors import UserError, require
from shared.music.chord_recogniser import recognise_chords
from shared.music.key_estimation import key_of_chords
from shared.music.lead_sheet import GOES_ON, lead_sheet
from shared.music.onset_envelope import onset_envelope
from shared.sound.files import read_audio, write_wav
from shared.sound.integrated_loudness import integrated_loudness
from shared.sound.samples import Samples, fit_length, resample, unclipped
from shared.sound.sliced import whole
from stage2_prior.accompaniment import prepare_song
from stage2_prior.balance import song_end
from stage2_prior.chord_line import REPEATS
from stage2_prior.composer.features import guided_hearing
from stage2_prior.mixing import SongFile
from stage2_prior.sampling import find_bars, heard_chords_of, with_roots
from stage2_prior.studio.band import Band
from stage2_prior.studio.orders import OpenSong
from stage2_prior.studio.song_facts import (
    BACKING_FILE,
    CODES_FILE,
    ORIGINAL_FILE,
    SongFacts,
)

WORD_SIZE = "PCM_24"

Progressing = Callable[[str, float], None]


def open_song(order: OpenSong, band: Band, progress: Progressing) -> None:
    """Open a song, and write what is found of it into the folder of its session.

    The files are `original.wav` and `backing.wav`, the song with and without its bass, in stereo at
    the song's own sample rate; `codes.npz`, the codes of the accompaniment; and `song.json`
    (song_facts.py), which is written last.

    Raises:
        UserError: the song cannot be read, or is too short or too long. The sentence names the song
            as its user does.
    """
    codec = band.codec
    require_fingerprint(band.prior.format.fingerprint, codec.fingerprint, "the codes of this prior")
    progress("reading the song", 0.0)
    song = _read(order, codec)
    original, scale = unclipped(whole(song.stereo))
    write_wav(order.session / ORIGINAL_FILE, original, song.sample_rate, WORD_SIZE)
    progress("taking its bass out", 0.1)
    prepared = prepare_song(whole(song.mixture) * np.float32(scale), codec, None)
    length = original.shape[-1]
    backing = original
    if prepared.bass is not None:
        own = resample(whole(prepared.bass), codec.sample_rate, song.sample_rate)
        backing = original - fit_length(own, length)
    backing, _ = unclipped(backing)
    write_wav(order.session / BACKING_FILE, backing, song.sample_rate, WORD_SIZE)
    progress("encoding it", 0.5)
    codes = codec.encode(prepared.heard)
    np.savez(order.session / CODES_FILE, codes=codes)
    progress("naming its chords", 0.6)
    recognised = recognise_chords(song.mixture, codec.sample_rate)
    progress("finding its bars", 0.9)
    hearing = guided_hearing(band.prior.listener, codes, {})
    if recognised is not None:
        hearing = with_roots(hearing, recognised)
    onsets = onset_envelope(prepared.accompaniment, codec.sample_rate)
    grid = find_bars(hearing, None, onsets)
    heard = heard_chords_of(hearing, grid)
    sheet = lead_sheet(heard, grid) if heard else ""
    SongFacts(
        sample_rate=song.sample_rate,
        samples=length,
        bass_removed=prepared.bass is not None,
        loudness=integrated_loudness(original, song.sample_rate),
        gain=prepared.gain,
        end=song_end(prepared.accompaniment, codec.sample_rate),
        grid=grid,
        heard=heard,
        recognised=recognised,
        key=key_of_chords(heard) if heard else None,
        chord_line=_playable(sheet),
    ).save(order.session)
    order.upload.unlink(missing_ok=True)


@dataclass(frozen=True, eq=False)
class OpenedSong:
    """A song that was opened, as takes need it.

    Attributes:
        facts: what is known of it.
        codes: the codes of its accompaniment `[S, H, T]`.
        backing: the song without its bass `[2, M]` at the codec's sample rate.
    """

    facts: SongFacts
    codes: Codes
    backing: Samples

    @classmethod
    def load(cls, session: Path, codec: Codec) -> OpenedSong:
        """Read what `open_song` wrote."""
        facts = SongFacts.load(session)
        with np.load(session / CODES_FILE, allow_pickle=False) as stored:
            codes = stored["codes"]
        audio = read_audio(session / BACKING_FILE)
        backing = resample(audio.samples, audio.sample_rate, codec.sample_rate)
        return cls(facts, codes, backing)


def _read(order: OpenSong, codec: Codec) -> SongFile:
    try:
        _require_length(order, _stated_seconds(order.upload))
        song = SongFile.read(order.upload, codec)
        _require_length(order, song.stereo.shape[-1] / song.sample_rate)
        return song
    except UserError as error:
        raise UserError(str(error).replace(str(order.upload), order.name)) from error


def _require_length(order: OpenSong, seconds: float) -> None:
    require(
        seconds <= order.most_seconds,
        f"{order.name} lasts {seconds / 60:.1f} minutes, but {order.most_seconds / 60:g} are the "
        "most: cut it, or start the page with a larger --most-minutes",
    )


def _stated_seconds(path: Path) -> float:
    """Return the length that the header states; 0 where libsndfile cannot tell."""
    try:
        return float(soundfile.info(str(path)).duration)
    except (soundfile.LibsndfileError, TypeError):
        return 0.0


def _playable(sheet: str) -> str:
    """Turn a lead sheet into a line of chords that can be played (chord_line.py).

    A pickup is left out, because a line of chords begins with the first bar.
    """
    _, _, bars = sheet.partition("|")
    symbols = [REPEATS[1] if word == GOES_ON else word for word in bars.split()]
    return " ".join(symbols).removesuffix(" |")
