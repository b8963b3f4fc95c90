"""Open a song: take its bass out, and find its bars, chords and level, once for all takes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile

from shared.codes.codec import Codec, Codes
from shared.errors import UserError, require
from shared.music.key_estimation import key_of_chords
from shared.music.lead_sheet import GOES_ON, lead_sheet
from shared.sound.files import read_audio, write_wav
from shared.sound.integrated_loudness import integrated_loudness
from shared.sound.samples import Samples, resample, unclipped
from shared.sound.sliced import whole
from stage2_prior.accompaniment import prepare_song
from stage2_prior.chord_line import REPEATS
from stage2_prior.heard_song import SongEvidence, hear_song
from stage2_prior.mixing import SongFile
from stage2_prior.own_bass import OwnBass
from stage2_prior.studio.band import Band
from stage2_prior.studio.orders import OpenSong
from stage2_prior.studio.song_facts import (
    BACKING_FILE,
    CODES_FILE,
    ORIGINAL_FILE,
    WORD_SIZE,
    SongFacts,
)

Progressing = Callable[[str, float], None]


def open_song(order: OpenSong, band: Band, progress: Progressing) -> None:
    """Open a song, and write what is found of it into the folder of its session.

    The files are `original.wav` and `backing.wav`, the song with and without its bass, in stereo at
    the song's own sample rate; `codes.npz`, the codes of the accompaniment and the pitch of the
    bass; and `song.json` (song_facts.py), which is written last.

    Raises:
        UserError: the song cannot be read, or is too short or too long. The sentence names the song
            as its user does.
    """
    codec = band.codec
    band.prior.require_codec(codec)
    progress("reading the song", 0.0)
    song = _read(order, codec)
    original, scale = unclipped(whole(song.stereo))
    write_wav(order.session / ORIGINAL_FILE, original, song.sample_rate, WORD_SIZE)
    progress("taking its bass out", 0.1)
    prepared = prepare_song(whole(song.mixture) * np.float32(scale), codec, order.remove_bass)
    length = original.shape[-1]
    backing = original
    if prepared.bass is not None:
        backing = original - whole(song.brought_home(prepared.bass, codec))
    backing, _ = unclipped(backing)
    write_wav(order.session / BACKING_FILE, backing, song.sample_rate, WORD_SIZE)
    progress("encoding it", 0.5)
    codes = codec.encode(prepared.heard)
    progress("naming its chords", 0.6)
    evidence = SongEvidence.of_sound(song.mixture, prepared, codec.sample_rate)
    own = {} if evidence.own_bass is None else vars(evidence.own_bass)
    np.savez(order.session / CODES_FILE, codes=codes, **own)
    progress("finding its bars", 0.9)
    heard = hear_song(band.prior.listener, codes, evidence)
    chords = heard.chords()
    sheet = lead_sheet(chords, heard.grid) if chords else ""
    SongFacts(
        sample_rate=song.sample_rate,
        samples=length,
        bass_removed=prepared.bass is not None,
        loudness=integrated_loudness(original, song.sample_rate),
        gain=prepared.gain,
        end=evidence.end,
        grid=heard.grid,
        heard=chords,
        recognised=evidence.chords,
        key=key_of_chords(chords),
        chord_line=_playable(sheet),
    ).save(order.session)
    order.upload.unlink(missing_ok=True)


@dataclass(frozen=True, eq=False)
class OpenedSong:
    """A song that was opened, as takes need it.

    Attributes:
        facts: what is known of it.
        codes: the codes of its accompaniment `[S, H, T]`.
        own_bass: the bass that was found in it and taken out; None where there was none.
        backing: the song without its bass `[2, M]` at the codec's sample rate.
    """

    facts: SongFacts
    codes: Codes
    own_bass: OwnBass | None
    backing: Samples

    @classmethod
    def load(cls, session: Path, codec: Codec) -> OpenedSong:
        """Read what `open_song` wrote."""
        facts = SongFacts.load(session)
        with np.load(session / CODES_FILE, allow_pickle=False) as stored:
            codes = stored["codes"]
            own = OwnBass(stored["times"], stored["pitch"]) if "times" in stored else None
        audio = read_audio(session / BACKING_FILE)
        backing = resample(audio.samples, audio.sample_rate, codec.sample_rate)
        return cls(facts, codes, own, backing)


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
