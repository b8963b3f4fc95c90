"""Write the same files again that a NAME.json describes: the option `--from`."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from shared.codes.codec import Codec
from shared.config import config_from_dict
from shared.errors import UserError, require
from shared.version import versions
from stage2_prior.arrange import Arrangement, ArrangeOptions
from stage2_prior.bass_sound import BassSound
from stage2_prior.delivery import default_name
from stage2_prior.generation_report import sha256
from stage2_prior.model import Prior
from stage2_prior.sampling import SamplingSettings


@dataclass(frozen=True)
class Recipe:
    """What a NAME.json says of how its files were made.

    Attributes:
        path: that file.
        name: what the files were called.
        song: where the song was.
        song_sha256: the fingerprint of its bytes.
        settings: how the line was written.
        options: what was done with the song.
        sound: how the line was rendered, as `BassSound.description` says.
        checkpoints: the fingerprints of the codec and the prior.
        versions: of the packages that it was made with.
        rank: the place of the line among all candidates, from 1.
        sha256: the fingerprints of the files, by kind.
    """

    path: Path
    name: str
    song: Path
    song_sha256: str
    settings: SamplingSettings
    options: ArrangeOptions
    sound: Mapping[str, Any]
    checkpoints: Mapping[str, str]
    versions: Mapping[str, str]
    rank: int
    sha256: Mapping[str, str]

    @classmethod
    def read(cls, path: Path) -> "Recipe":
        """Read a NAME.json.

        Raises:
            UserError: the file cannot be read, or `generate-bass` did not write it.
        """
        require(path.is_file(), f"there is no file {path}: name a NAME.json of generate-bass")
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            for part in ("edits", "hints", "harmony", "delivery"):
                content["options"][part]  # an empty one would stand for the defaults
            known = {each.name: content[each.name] for each in fields(cls) if each.name != "path"}
            return config_from_dict(cls, {**known, "path": path})
        except (ValueError, RecursionError) as error:
            raise _unusable(path, "it is not JSON") from error
        except (LookupError, TypeError) as error:
            raise _unusable(path, "a part of it is missing") from error
        except (OSError, UserError) as error:
            raise _unusable(path, str(error)) from error

    def __post_init__(self) -> None:
        """Check what joins several values."""
        missing = [name for name in ("codec", "prior") if name not in self.checkpoints]
        require(not missing, f"it names no {' and no '.join(missing)}")
        require(
            1 <= self.rank <= self.settings.candidates,
            f"its line has the place {self.rank} among {self.settings.candidates}",
        )

    @property
    def sound_option(self) -> str:
        """The sound, as the option `--sound` names it."""
        if "soundfont" in self.sound:
            return f"{self.sound['soundfont']}:{self.sound.get('program')}"
        return str(self.sound.get("name"))

    def options_for(self, song: Path, name: str | None, force: bool) -> ArrangeOptions:
        """Return the options for the song where it is now, under the old or another name."""
        delivery = self.options.delivery
        name = name or delivery.name
        if name is None and default_name(song) != self.name:
            name = self.name
        return replace(self.options, delivery=replace(delivery, name=name, force=force))

    def find_song(self, elsewhere: Sequence[Path]) -> Path:
        """Return the song, or the file that the user says it is now.

        Raises:
            UserError: it is not there, or it is another song.
        """
        require(len(elsewhere) <= 1, "--from repeats one song: give --song once, or leave it out")
        song = elsewhere[0] if elsewhere else self.song
        require(song.is_file(), f"the song {song} is not there: say with --song where it is")
        require(
            sha256(song) == self.song_sha256,
            f"{song} is not the song of {self.path}, or was changed: give that song as --song",
        )
        return song

    def require_models(self, codec: Codec, prior: Prior, sound: BassSound) -> None:
        """Check that the models are those with which the files were made.

        Raises:
            UserError: one of them is another one.
        """
        for kind, loaded in (("codec", codec), ("prior", prior)):
            wanted = self.checkpoints[kind]
            require(
                loaded.fingerprint == wanted,
                f"{self.path} was made with the {kind} {wanted}, but this one is "
                f"{loaded.fingerprint}: give that one as --{kind}",
            )
        require(
            dict(sound.description()) == dict(self.sound),
            f"{self.path} was made with another sound, {dict(self.sound)}: give its bass "
            "decoder as --bass-decoder, or put its SoundFont where it was",
        )

    def verdict(self, takes: Sequence[Arrangement]) -> str:
        """Say whether the files are the same again."""
        made = takes[self.rank - 1 if len(takes) > 1 else 0].figures["sha256"]
        different = [kind for kind, digest in self.sha256.items() if made.get(kind) != digest]
        if not different:
            return f"the files are the same as those of {self.path}, byte for byte"
        now = versions()
        changed = [
            f"{name} {then}, now {now.get(name)}"
            for name, then in self.versions.items()
            if now.get(name) != then
        ]
        why = f"it was made with {'; '.join(changed)}" if changed else "on another kind of machine"
        return f"{', '.join(different)} differ from those of {self.path} ({why})"


def _unusable(path: Path, reason: str) -> UserError:
    return UserError(
        f"{path} does not say how to write its files again ({reason}): name a NAME.json that "
        "generate-bass wrote"
    )
