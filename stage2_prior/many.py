"""Write basses for several songs: find them, name their files, and go on after one that fails."""

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from glob import glob, has_magic
from pathlib import Path

from shared.dropped import reason_of
from shared.errors import require
from shared.reporting import Reporter
from stage2_prior.arrange import Arrangement
from stage2_prior.delivery import AUDIO_SUFFIXES, SOUNDS, default_name

_WRITTEN = re.compile(rf"(.+)\.(?:{'|'.join(SOUNDS)})\.(?:wav|flac)")


@dataclass(frozen=True)
class Outcome:
    """What became of a song: the takes of its bass, or the sentence that says why there are none.

    Attributes:
        song: the song.
        takes: what was written, the best first; empty where it failed.
        error: why it failed; None where it did not.
    """

    song: Path
    takes: Sequence[Arrangement] = ()
    error: str | None = None

    def row(self, name: str) -> list[str]:
        """Return the song, under a name, in the table at the end: see HEADING."""
        if self.error is not None:
            return [name, "", "", "", f"failed: {self.error}"]
        rows, best = self.takes[0].summary.rows, self.takes[0]
        files = len(self.takes) * len(best.files)
        told = (rows.get("tempo", "").removesuffix(" beats per minute"), rows.get("key", ""))
        return [name, *told, rows.get("new bass", "silent"), f"{files} files"]


HEADING = ("song", "tempo", "key", "new bass", "result")


def find_songs(named: Sequence[str]) -> list[Path]:
    """Find the songs that the user names as files, folders or patterns such as `mixes/*.wav`.

    A folder stands for the audio files in it, but not for those that `generate-bass` has written
    there. A song that is named twice counts once.

    Raises:
        UserError: a folder or a pattern stands for no song.
    """
    songs: dict[Path, Path] = {}
    for text in named:
        for path in _songs_of(text):
            songs.setdefault(path.resolve(), path)
    return list(songs.values())


def _songs_of(text: str) -> list[Path]:
    path = Path(text)
    if path.is_dir():
        found = sorted(each for each in path.iterdir() if _is_song(each))
        require(bool(found), f"the folder {path} holds no songs: name audio files")
        return found
    if path.exists() or not has_magic(text):
        return [path]
    matching = map(Path, glob(text, recursive=True))  # noqa: PTH207 - it may be absolute
    found = sorted(path for path in matching if _is_song(path))
    require(bool(found), f"no audio file is called {text}: check the pattern")
    return found


def _is_song(path: Path) -> bool:
    if path.suffix.lower() not in AUDIO_SUFFIXES or path.name.startswith(".") or path.is_dir():
        return False
    written = _WRITTEN.fullmatch(path.name)
    return written is None or not path.with_name(f"{written[1]}.json").exists()


def names_of(songs: Sequence[Path]) -> dict[Path, str]:
    """Give each song's files a name, so that none of them collide in one folder.

    Songs of the same name in several folders have the name of their folder before it, and a number
    after it where that is not enough.
    """
    names = [default_name(song) for song in songs]
    folders = [song.absolute().parent.name for song in songs]
    pairs = zip(folders, names, strict=True)
    names = _apart(names, [f"{folder} - {name}" for folder, name in pairs])
    names = _apart(names, [f"{name} ({number})" for number, name in enumerate(names, 1)])
    return dict(zip(songs, names, strict=True))


def _apart(names: Sequence[str], others: Sequence[str]) -> list[str]:
    """Replace each name that occurs more than once by the other one in its place."""
    counts = Counter(name.casefold() for name in names)
    pairs = zip(names, others, strict=True)
    return [other if counts[name.casefold()] > 1 else name for name, other in pairs]


def write_songs(
    songs: Sequence[Path],
    write: Callable[[Path, str | None], Sequence[Arrangement]],
    reporter: Reporter,
    names: Mapping[Path, str] | None = None,
) -> list[Outcome]:
    """Write the basses of songs one after the other.

    Args:
        songs: the songs.
        write: writes the takes of a song under a name; None names its files after it.
        reporter: is told of every song.
        names: the names of songs that do not have the default one.

    Returns:
        What became of each song.

    Raises:
        UserError: the only song failed, or the disk is full.
    """
    reporter.expect(songs)
    if len(songs) == 1:
        reporter.begin_song(songs[0])
        return [_written(songs[0], write(songs[0], (names or {}).get(songs[0])), reporter)]
    outcomes = []
    for song in songs:
        reporter.begin_song(song)
        try:
            outcome = _written(song, write(song, (names or {}).get(song)), reporter)
        except Exception as error:
            sentence = reason_of(error)
            reporter.failed(song, sentence)
            outcome = Outcome(song, error=sentence)
        outcomes.append(outcome)
    rows = [outcome.row(reporter.names[outcome.song]) for outcome in outcomes]
    reporter.table(HEADING, rows)
    return outcomes


def _written(song: Path, takes: Sequence[Arrangement], reporter: Reporter) -> Outcome:
    for take in takes:
        reporter.result(take.result)
    return Outcome(song, takes)
