"""Decode the codes of a bass alone, and a codes file to a WAV file."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from shared.codes.codec import Codec, Codes
from shared.codes.song_codes import SongCodes, require_codec
from shared.outputs import require_free
from shared.sound.files import write_wav
from shared.sound.samples import Samples, unclipped
from shared.sources import BASS


def decode_file(
    file: Path,
    out: Path,
    codec: Codec,
    view: str = "mixture",
    sources: Sequence[str] | None = None,
    force: bool = False,
) -> None:
    """Write the sound of a view's codes as a WAV file.

    It has the level of the song, and is made quieter as a whole where it would clip. `sources` are
    decoded together; None decodes all. `force` replaces a file that exists.

    Raises:
        UserError: a file cannot be read or written or would be replaced, or the codes are not the
            codec's.
    """
    require_free([out], [file], force)
    song = SongCodes.load(file)
    require_codec(song, codec)
    decoded = codec.decode(song.view(view), song.num_samples, sources)
    write_wav(out, unclipped(decoded / np.float32(song.gain))[0], song.sample_rate)


def decode_bass(codec: Codec, codes: npt.NDArray[np.integer], num_samples: int) -> Samples:
    """Decode bass codes `[H, T]` by themselves to `[2, num_samples]`, at the codes' level."""
    return codec.decode(_with_bass(codec, codes), num_samples, [codec.sources[BASS]])


def decode_bass_blocks(
    codec: Codec, codes: npt.NDArray[np.integer], num_samples: int
) -> Iterator[Samples]:
    """Decode as `decode_bass` does, block after block `[2, n]`."""
    return codec.decode_blocks(_with_bass(codec, codes), num_samples, [codec.sources[BASS]])


def _with_bass(codec: Codec, codes: npt.NDArray[np.integer]) -> Codes:
    every = np.zeros((len(codec.sources), *codes.shape), np.uint16)
    every[BASS] = codes
    return every
