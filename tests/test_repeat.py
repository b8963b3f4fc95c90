"""NAME.json is read as what it says, and refused where it does not fit."""

import json
from dataclasses import asdict
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from shared.errors import UserError
from shared.json_files import write_json
from shared.music.bar_tracking import BarHints
from shared.times import TimeRange
from shared.version import versions
from stage2_prior.arrange import ArrangeOptions
from stage2_prior.delivery import Delivery
from stage2_prior.edits import Edits
from stage2_prior.generation_report import sha256
from stage2_prior.harmony import Harmony
from stage2_prior.repeat import Recipe
from stage2_prior.sampling import SamplingSettings

SETTINGS = SamplingSettings(temperature=0.1 + 0.2, source_guidance={"drums": 2.0}, seed=7)
OPTIONS = ArrangeOptions(
    True,
    Edits(prompt=Path("riff.wav"), redo=(TimeRange(1, 2.5),)),
    BarHints(bpm=96.0, meter=(6, 8)),
    Harmony.parse("Am | F"),
    30,
    50,
    "slap",
    "both",
    bass_level=-3.0,
    delivery=Delivery("flac", "16", "take", peaks="limit"),
)


def written(folder: Path, **changes: Any) -> Path:
    """A song, and a NAME.json as generate-bass writes it of that."""
    song = folder / "song.wav"
    song.write_bytes(b"music")
    options = asdict(OPTIONS)
    del options["delivery"]["force"]
    content = {
        "name": "take",
        "song": song,
        "song_sha256": sha256(song),
        "settings": asdict(SETTINGS),
        "options": options,
        "sound": {"name": "paper"},
        "checkpoints": {"codec": "c", "prior": "p"},
        "versions": versions(),
        "rank": 1,
        "sha256": {"bass": "1", "mix": "2"},
    }
    path = folder / "take.json"
    write_json(path, content | changes)
    return path


def test_settings_and_options_are_those_of_the_run(tmp_path: Path) -> None:
    recipe = Recipe.read(written(tmp_path))
    assert recipe.settings == SETTINGS
    assert recipe.options == OPTIONS
    assert recipe.sound_option == "paper"
    assert recipe.find_song([]) == tmp_path / "song.wav"
    renamed = recipe.options_for(recipe.song, "other", True).delivery
    assert renamed == Delivery("flac", "16", "other", True, "limit")
    assert recipe.options_for(recipe.song, None, False) == OPTIONS


def test_the_files_have_their_old_name_although_the_song_has_another(tmp_path: Path) -> None:
    options = asdict(ArrangeOptions())
    del options["delivery"]["force"]
    recipe = Recipe.read(written(tmp_path, name="song", options=options))
    assert recipe.options_for(tmp_path / "song.wav", None, False) == ArrangeOptions()
    moved = recipe.options_for(tmp_path / "moved.wav", None, False)
    assert moved == ArrangeOptions(delivery=Delivery(name="song"))


def test_a_soundfont_is_named_with_its_program(tmp_path: Path) -> None:
    sound = {"name": "a.sf2:33", "soundfont": "fonts/a.sf2", "fingerprint": "x", "program": 33}
    assert Recipe.read(written(tmp_path, sound=sound)).sound_option == "fonts/a.sf2:33"


@pytest.mark.parametrize(
    "content",
    ["", "[]", "3", "{}", "[" * 100_000, '{"song": 3}', "no json"],
)
def test_other_files_are_refused(content: str, tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    path.write_text(content)
    with pytest.raises(UserError, match=r"x\.json does not say how to write its files again"):
        Recipe.read(path)
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UserError, match="does not say how"):
        Recipe.read(path)


@pytest.mark.parametrize(
    ("key", "value"),
    [("settings", {"temperature": -1}), ("settings", {"loud": 1}), ("options", {}), ("rank", "x")],
)
def test_wrong_values_are_refused(key: str, value: Any, tmp_path: Path) -> None:
    path = written(tmp_path, **{key: value})
    with pytest.raises(UserError, match="does not say how"):
        Recipe.read(path)


def test_another_song_is_refused(tmp_path: Path) -> None:
    recipe = Recipe.read(written(tmp_path))
    moved = tmp_path / "moved.wav"
    recipe.song.rename(moved)
    with pytest.raises(UserError, match=r"song\.wav is not there: say with --song where it is"):
        recipe.find_song([])
    assert recipe.find_song([moved]) == moved
    moved.write_bytes(b"noise")
    with pytest.raises(UserError, match="is not the song of"):
        recipe.find_song([moved])
    with pytest.raises(UserError, match="give --song once"):
        recipe.find_song([moved, moved])


def test_other_models_are_refused(tmp_path: Path) -> None:
    recipe = Recipe.read(written(tmp_path))
    codec: Any = SimpleNamespace(fingerprint="c")
    prior: Any = SimpleNamespace(fingerprint="p")
    sound: Any = SimpleNamespace(description=lambda: {"name": "paper"})
    recipe.require_models(codec, prior, sound)
    other: Any = SimpleNamespace(fingerprint="x", description=lambda: {"name": "codes"})
    with pytest.raises(UserError, match=r"with the codec c, but this one is x: .*--codec"):
        recipe.require_models(other, prior, sound)
    with pytest.raises(UserError, match=r"with the prior p, but this one is x: .*--prior"):
        recipe.require_models(codec, other, sound)
    with pytest.raises(UserError, match="with another sound"):
        recipe.require_models(codec, prior, other)


def test_the_verdict(tmp_path: Path) -> None:
    path = written(tmp_path)
    recipe = Recipe.read(path)
    same: Any = SimpleNamespace(figures={"sha256": {"bass": "1", "mix": "2"}})
    other: Any = SimpleNamespace(figures={"sha256": {"bass": "1", "mix": "3"}})
    said = f"the files are the same as those of {path}, byte for byte"
    assert recipe.verdict([same]) == said
    assert recipe.verdict([other]).startswith(f"mix differ from those of {path} (on another kind")
    content = json.loads(path.read_text())
    older = written(tmp_path, versions=content["versions"] | {"torch": "1.0"}, rank=2)
    aged = Recipe.read(older)
    assert (
        aged.verdict([other, same]) == f"the files are the same as those of {older}, byte for byte"
    )
    assert "(it was made with torch 1.0, now " in aged.verdict([same, other])
