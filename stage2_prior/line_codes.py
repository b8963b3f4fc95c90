"""The codes of a song with its new bass, as a codes file."""

import numpy as np

from shared.codes.codec import Codec, Codes
from shared.codes.song_codes import SongCodes
from shared.json_files import jsonable
from shared.music.song_facts import SongChord, SongFacts
from shared.sound.samples import rms
from shared.sound.sliced import SlicedSamples
from shared.sources import BASS
from stage2_prior.sampling import GeneratedBass

MEASURED_SECONDS = 5.0  # of the middle of a song, in which the level of each source is measured


def codes_of_line(
    name: str,
    heard: Codes,
    line: GeneratedBass,
    key: str | None,
    bass: SlicedSamples,
    gain: float,
    codec: Codec,
) -> SongCodes:
    """Put the codes of a song and of its new bass into one file.

    The view "without_bass" has the codes of the song without its bass. The view "mixture" has the
    same with the new bass in place of the codes of the bass, so that it decodes to the new mix.

    Args:
        name: the name of the song.
        heard: the codes of the song without its bass `[S, H, T]`.
        line: the new bass.
        key: the key of the song; None where it is not known.
        bass: the sound of the new bass `[2, N]` at the codec's sample rate and the song's level.
        gain: what the song was multiplied by before it was encoded.
        codec: the codec that made the codes.
    """
    mixture = heard.copy()
    mixture[BASS] = line.codes
    levels = _levels_of_others(heard, gain, codec) | {codec.sources[BASS]: rms(bass)}
    return SongCodes(
        track=name,
        split="test",
        sources=tuple(codec.sources),
        sample_rate=codec.sample_rate,
        hop=codec.hop,
        num_samples=bass.shape[-1],
        fingerprint=codec.fingerprint,
        gain=float(gain),
        rms=levels,
        views={
            "mixture": mixture.astype(np.uint16),
            "without_bass": heard.astype(np.uint16),
        },
        notes=line.notes.astype(np.uint8),
        note_confidence=np.ones(len(line.notes), np.float32),
        song=jsonable(_facts(line, key, bass.shape[-1] / codec.sample_rate).to_dict()),
    )


def _levels_of_others(heard: Codes, gain: float, codec: Codec) -> dict[str, float]:
    """Measure the RMS of each source but the bass, at the song's level, in the middle of it."""
    frames = heard.shape[-1]
    count = min(frames, max(2, round(MEASURED_SECONDS * codec.frame_rate)))
    first = (frames - count) // 2
    part = heard[:, :, first : first + count]
    length = (count - 1) * codec.hop
    others = [source for source in codec.sources if source != codec.sources[BASS]]
    return {source: rms(codec.decode(part, length, [source])) / gain for source in others}


def _facts(line: GeneratedBass, key: str | None, seconds: float) -> SongFacts:
    """Return what is known of the song, from its beginning on."""
    grid = line.grid
    return SongFacts(
        tempo=round(grid.tempo, 2),
        meter=grid.meter,
        key=key,
        duration=seconds,
        beats=tuple(grid.beats[grid.beats >= 0].round(4).tolist()),
        downbeats=tuple(grid.downbeats[grid.downbeats >= 0].round(4).tolist()),
        chords=tuple(SongChord.of(chord) for chord in line.chords if chord.start >= 0),
        bass_notes=tuple(note for note in line.played if note.onset >= 0),
    )
