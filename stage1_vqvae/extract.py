"""Write the codes of every song of a data folder: what `extract-codes` does.

Per song three views (the mixture, the accompaniment without bass, every source alone) and the bass's
notes, in one `.codes.safetensors` file; `manifest.json` lists the files and says of what format they are.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from shared.codes.codec import Codec, CodeFormat
from shared.codes.manifest import MANIFEST, read_manifest, write_manifest
from shared.codes.song_codes import SUFFIX, SongCodes
from shared.console import progress
from shared.errors import UserError
from shared.music.note_tracking import track_bass_notes
from shared.music.notes import Note, notes_to_tokens
from shared.songs.augment import Variation, vary_samples, vary_song
from shared.songs.cache import CachedSong, build_cache
from shared.sound.levels import accompaniment_gain
from shared.sources import BASS, SOURCES


@dataclass(frozen=True)
class Extraction:
    """What `extract_codes` did: files written now, and files that were there and current."""

    written: int
    current: int
    manifest: Path


def extract_codes(
    data: Path,
    codec: Codec,
    out: Path,
    variations: Sequence[Variation] = (Variation(),),
) -> Extraction:
    """Encode every song under `data` into `out/SPLIT/NAME.codes.safetensors`.

    A file is current, and left alone, if this codec made it from the same samples and song.json; songs of the
    valid and test splits are written without variations.

    Raises:
        UserError: unusable data, `out` holds another codec's codes, or cannot be written.
    """
    cache = build_cache(data, sample_rate=codec.sample_rate)
    _refuse_other_codec(out, codec)
    work = [
        (song, variation, _path(out, song, variation))
        for song in cache.songs
        for variation in (variations if song.split == "train" else (Variation(),))
    ]
    written = 0
    with progress("extracting codes", len(work)) as bar:
        for song, variation, path in work:
            if not _is_current(path, song, codec, variation):
                encode_song(song, codec, variation).save(path)
                written += 1
            bar.advance()
    manifest = write_manifest(out, CodeFormat.of(codec), [path for _, _, path in work])
    return Extraction(written, len(work) - written, manifest)


def encode_song(song: CachedSong, codec: Codec, variation: Variation | None = None) -> SongCodes:
    """All views of one song, and the notes of its bass (from song.json, else heard in the stem)."""
    variation = variation or Variation()
    stems = vary_samples(song.read_all(), song.sample_rate, variation)
    description = _description(song, variation)
    num_samples = stems.shape[-1]
    rms = np.sqrt(np.square(stems, dtype=np.float64).mean((1, 2)))
    accompaniment = stems.sum(0) - stems[BASS]
    gain = accompaniment_gain(accompaniment)
    alone = [codec.encode(stem * gain)[source] for source, stem in enumerate(stems)]
    frames = codec.num_frames(num_samples)
    notes, confidence = _notes(description, stems[BASS], song, frames, codec.frame_rate)
    return SongCodes(
        track=song.name + variation.suffix,
        split=song.split,
        sources=tuple(codec.sources),
        sample_rate=codec.sample_rate,
        hop=codec.hop,
        num_samples=num_samples,
        fingerprint=codec.fingerprint,
        gain=gain,
        rms=dict(zip(SOURCES, rms.tolist(), strict=True)),
        views={
            "mixture": codec.encode(stems.sum(0) * gain),
            "accompaniment": codec.encode(accompaniment * gain),
            "alone": np.stack(alone),
        },
        notes=notes,
        note_confidence=confidence,
        song=description,
    )


def _notes(
    description: dict[str, Any] | None,
    bass: np.ndarray,
    song: CachedSong,
    frames: int,
    frame_rate: float,
) -> tuple[np.ndarray, np.ndarray]:
    if description is not None and "bass_notes" in description:
        known = [Note(n["onset"], n["duration"], n["pitch"]) for n in description["bass_notes"]]
        return notes_to_tokens(known, frames, frame_rate), np.ones(frames, np.float32)
    tracked = track_bass_notes(bass, song.sample_rate, frames, frame_rate)
    return tracked.tokens, tracked.confidence


def _description(song: CachedSong, variation: Variation) -> dict[str, Any] | None:
    """What the song's song.json says of the variation; None where there is none."""
    if song.song_json is None:
        return None
    try:
        content = json.loads(song.song_json.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"cannot read {song.song_json} ({error}): mend or remove it") from error
    if not isinstance(content, dict):
        raise UserError(f"{song.song_json} is not a JSON object: mend or remove it")
    return vary_song(content, variation)


def _path(out: Path, song: CachedSong, variation: Variation) -> Path:
    return out / song.split / f"{song.name}{variation.suffix}{SUFFIX}"


def _is_current(path: Path, song: CachedSong, codec: Codec, variation: Variation) -> bool:
    """Whether the file is newer than the decoded song, of this codec, and says what song.json says."""
    if not path.is_file() or path.stat().st_mtime < song.path.stat().st_mtime:
        return False
    try:
        made = SongCodes.load(path)
    except UserError:  # damaged: write it again
        return False
    return made.fingerprint == codec.fingerprint and made.song == _description(song, variation)


def _refuse_other_codec(out: Path, codec: Codec) -> None:
    if not (out / MANIFEST).is_file():
        return
    made_by = read_manifest(out).format.fingerprint
    if made_by != codec.fingerprint:
        raise UserError(
            f"{out} holds codes of the codec checkpoint {made_by}, not of {codec.fingerprint}: "
            "choose another --out"
        )
