"""Write the codes of every song of a data folder: what `extract-codes` does.

Each song gets one `.codes.safetensors` file with four views (the mixture, the
accompaniment without bass, the same with the bass taken out by the codec, and every source alone)
and the notes of its bass. `manifest.json` lists the files and states the format that they share.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from shared.codes.codec import Codec, CodeFormat
from shared.codes.manifest import MANIFEST, read_manifest, write_manifest
from shared.codes.song_codes import SUFFIX, SongCodes
from shared.console import progress
from shared.dropped import Dropped, reason_of
from shared.errors import UserError
from shared.file_lock import file_lock
from shared.music.note_tracking import TrackedNotes, track_bass_notes
from shared.music.notes import notes_to_tokens
from shared.music.song_facts import SongFacts, read_song_facts
from shared.shard import WHOLE, Shard
from shared.songs.augment import Variation, vary_facts, vary_samples
from shared.songs.cache import CachedSong, decode_songs
from shared.songs.tracks import SPLITS, Split
from shared.sound.levels import accompaniment_gain
from shared.sound.separation import separate_mixture
from shared.sources import BASS, SOURCES

LOCK_NAME = ".lock"  # in the folder of codes, while its manifest is written

_Key = tuple[Split, str]  # the split and the name of a song


@dataclass(frozen=True)
class Extraction:
    """What `extract_codes` did.

    Attributes:
        written: how many files it wrote.
        current: how many files were there already and needed no change.
        manifest: the path of the manifest.
        failed: the songs that have no codes because something is wrong with them.
    """

    written: int
    current: int
    manifest: Path
    failed: tuple[Dropped, ...] = ()


def extract_codes(
    data: Path,
    codec: Codec,
    out: Path,
    variations: Sequence[Variation] = (Variation(),),
    add: bool = False,
    shard: Shard = WHOLE,
) -> Extraction:
    """Encode every song under `data` into `out/SPLIT/NAME.codes.safetensors`.

    A file is left alone if this codec made it from the same samples and the same song.json. Where a
    song cannot be used, the others are encoded, and the manifest does not list it.

    Args:
        data: folder of songs.
        codec: what encodes them.
        out: folder for the codes.
        variations: keys and tempi in which each training song is encoded. Songs of the valid and
            test splits are encoded as they are.
        add: keep the songs that the manifest in `out` lists, whose audio may be gone.
        shard: encode only this part of the songs and their variations. Parts may be encoded at the
            same time. The manifest lists all songs of `data` that are there when a part is done, so
            that the last part completes it.

    Raises:
        UserError: the data cannot be used, or `out` holds the codes of another codec or cannot be
            written.
    """
    _refuse_other_codec(out, codec)
    songs, failed = _readable_songs(data, codec)
    # Songs that cannot be used count, so that all parts divide the work in the same way.
    work = [
        (key, variation, out / key[0] / f"{key[1]}{variation.suffix}{SUFFIX}")
        for key in sorted([*songs, *failed], key=lambda key: (SPLITS.index(key[0]), key[1]))
        for variation in (variations if key[0] == "train" else (Variation(),))
    ]
    share = shard.share(work)
    written = current = 0
    with progress("extracting codes", len(share)) as bar:
        for key, variation, path in share:
            if key not in failed:
                try:
                    is_new = _encode_file(*songs[key], codec, variation, path)
                    written, current = written + is_new, current + (not is_new)
                except Exception as error:
                    failed[key] = reason_of(error)
            bar.advance()
            bar.note(f"{len(failed)} failed" if failed else "")
    with file_lock(out / LOCK_NAME, "write the manifest"):
        files = {path for _, _, path in work if path.is_file()}
        if add and (out / MANIFEST).is_file():
            files |= {file for file in read_manifest(out).files if file.is_file()}
        # They may have codes of an earlier time, when they were others.
        files -= {path for key, _, path in work if key in failed}
        manifest = write_manifest(out, CodeFormat.of(codec), sorted(files))
    lost = dict.fromkeys(key for key, _, _ in share if key in failed)
    dropped = tuple(Dropped("/".join(key), failed[key]) for key in lost)
    return Extraction(written, current, manifest, dropped)


def encode_song(
    song: CachedSong, codec: Codec, facts: SongFacts | None, variation: Variation
) -> SongCodes:
    """Encode all views of a variation of a song, and find the notes of its bass.

    Args:
        song: the song as it is.
        codec: what encodes it.
        facts: what is known of the variation. A pitch tracker finds bass notes that are not known.
        variation: the key and the tempo.
    """
    stems = vary_samples(song.read_all(), song.sample_rate, variation)
    num_samples = stems.shape[-1]
    rms = np.sqrt(np.square(stems, dtype=np.float64).mean((1, 2)))
    mixture = stems.sum(0)
    accompaniment = mixture - stems[BASS]
    gain = accompaniment_gain(accompaniment)
    rest = mixture - separate_mixture(mixture, codec, [SOURCES[BASS]])[0]
    alone = [codec.encode(stem * gain)[source] for source, stem in enumerate(stems)]
    notes = _bass_notes(facts, stems[BASS], codec)
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
            "mixture": codec.encode(mixture * gain),
            "accompaniment": codec.encode(accompaniment * gain),
            "without_bass": codec.encode(rest * accompaniment_gain(rest)),
            "alone": np.stack(alone),
        },
        notes=notes.tokens,
        note_confidence=notes.confidence,
        song=None if facts is None else facts.to_dict(),
    )


def _bass_notes(facts: SongFacts | None, bass: np.ndarray, codec: Codec) -> TrackedNotes:
    """Return known notes with confidence 1, or else what the pitch tracker finds in the stem."""
    frames = codec.num_frames(bass.shape[-1])
    if facts is None or facts.bass_notes is None:
        return track_bass_notes(bass, codec.sample_rate, frames, codec.frame_rate)
    tokens = notes_to_tokens(facts.bass_notes, frames, codec.frame_rate)
    return TrackedNotes(tokens, np.ones(frames, np.float32))


def _readable_songs(
    data: Path, codec: Codec
) -> tuple[dict[_Key, tuple[CachedSong, SongFacts | None]], dict[_Key, str]]:
    """Decode the songs, and read what is known of them; say why some cannot be read."""
    cache = decode_songs(data, sample_rate=codec.sample_rate)
    songs: dict[_Key, tuple[CachedSong, SongFacts | None]] = {}
    failed = dict(cache.defects)
    for song in cache.songs:
        key = (song.split, song.name)
        try:
            facts = None if song.song_json is None else read_song_facts(song.song_json)
            songs[key] = (song, facts)
        except UserError as error:
            failed[key] = str(error)
    return songs, failed


def _encode_file(
    song: CachedSong, facts: SongFacts | None, codec: Codec, variation: Variation, path: Path
) -> bool:
    """Write the codes of a variation of a song, unless they are there; return whether it did."""
    facts = None if facts is None else vary_facts(facts, variation)
    if _is_current(path, song, codec, facts):
        return False
    encode_song(song, codec, facts, variation).save(path)
    return True


def _is_current(path: Path, song: CachedSong, codec: Codec, facts: SongFacts | None) -> bool:
    """Whether the file is newer than the decoded song, and made by this codec from these facts."""
    if not path.is_file() or path.stat().st_mtime < song.path.stat().st_mtime:
        return False
    try:
        made = SongCodes.load(path)
    except UserError:  # a damaged file is written again
        return False
    expected = None if facts is None else facts.to_dict()
    return made.fingerprint == codec.fingerprint and made.song == expected


def _refuse_other_codec(out: Path, codec: Codec) -> None:
    if not (out / MANIFEST).is_file():
        return
    made_by = read_manifest(out).format.fingerprint
    if made_by != codec.fingerprint:
        raise UserError(
            f"{out} holds codes of the codec checkpoint {made_by}, not of {codec.fingerprint}: "
            "choose another --out"
        )
