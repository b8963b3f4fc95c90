"""The files of a song: in which form they are written, how they are called, what they may replace.

The files for a song NAME are:

    NAME.bass.wav           the new bass
    NAME.backing.wav        the song without its own bass
    NAME.mix.wav            the backing and the new bass together
    NAME.mid                the notes of the new bass, on the bars of the song, with its chords
    NAME.codes.safetensors  the codes of the song without its bass, and with the new one
    NAME.png                a picture of the backing, the new bass, and its notes, bars and chords
    NAME.json               what is needed to generate the same again, and what was measured

The JSON file is written last. Where it is missing, a run was cut off. Where several takes are kept,
the files of the second one are called NAME.take2.bass.wav and so on.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from shared.codes.song_codes import SUFFIX
from shared.errors import require
from shared.outputs import require_free
from shared.songs.tracks import mix_name
from shared.sound.encoding import Bits, Container, Encoding
from stage2_prior.peaks import PeakHandling

SOUNDS = ("bass", "backing", "mix")
AUDIO_SUFFIXES = (
    *(".wav", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".m4a", ".mp4", ".aac", ".aif", ".aiff"),
    *(".aifc", ".caf", ".w64", ".rf64", ".au", ".wv", ".wma", ".webm", ".mka"),
)


@dataclass(frozen=True)
class Delivery:
    """How the files of a song are written.

    Attributes:
        container: the format of the sounds.
        bits: the bits of their samples; None is 24, or those of the song if it has more.
        name: what the files are called; None calls them after the song.
        force: whether files that exist may be replaced. Files that are read never are.
        peaks: what is done about samples beyond full scale (peaks.py).

    Raises:
        UserError: the format or the name does not exist.
    """

    container: Container = "wav"
    bits: Bits | None = None
    name: str | None = None
    force: bool = False
    peaks: PeakHandling = "rescale"

    def __post_init__(self) -> None:
        """Check the format and the name."""
        Encoding(self.container, self.bits or "24")
        if self.name is not None:
            plain = self.name.strip() not in ("", ".", "..") and Path(self.name).name == self.name
            require(
                plain and "\0" not in self.name,
                f"'{self.name}' cannot be the name of files: give a name without folders, and "
                "choose the folder with --out",
            )

    def name_of(self, song: Path) -> str:
        """Return what the files of a song are called."""
        return default_name(song) if self.name is None else self.name

    def paths(self, song: Path, out: Path, take: int | None = None) -> dict[str, Path]:
        """Return the files of a song in the folder `out` by kind, in the order of writing.

        `take` is the number of the take, where there are several.
        """
        name = self.name_of(song) if take is None else f"{self.name_of(song)}.take{take}"
        endings = {kind: f".{kind}.{self.container}" for kind in SOUNDS}
        endings |= {"midi": ".mid", "codes": SUFFIX, "picture": ".png", "json": ".json"}
        return {kind: out / f"{name}{ending}" for kind, ending in endings.items()}

    def checked_paths(
        self, song: Path, out: Path, inputs: Iterable[Path], take: int | None = None
    ) -> dict[str, Path]:
        """Return the files as `paths` does.

        `inputs` are the files that are read beside the song.

        Raises:
            UserError: one of the files is an input, or exists and may not be replaced.
        """
        paths = self.paths(song, out, take)
        require_free(paths.values(), [song, *inputs], self.force)
        return paths


def default_name(song: Path) -> str:
    """Name the files of a song after it, without its ending.

    The ending stays where the same folder has the song in two formats, such as a.wav and a.flac,
    so that their files differ.
    """
    name = mix_name(song)
    if song.suffix.lower() not in AUDIO_SUFFIXES:
        return name
    try:
        names = [path.name for path in song.parent.iterdir()]
    except OSError:
        return name
    twins = [
        each
        for each in names
        if each != song.name
        and mix_name(Path(each)).casefold() == name.casefold()
        and Path(each).suffix.lower() in AUDIO_SUFFIXES
    ]
    return song.name if twins else name
