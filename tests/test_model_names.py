"""Names of models that are compared."""

from pathlib import Path

import pytest

from shared.errors import UserError
from shared.model_names import name_models


def test_a_prior_is_named_after_its_folder_or_file() -> None:
    paths = [None, Path("runs/first"), Path("weights/compact.v2.safetensors")]
    assert name_models(paths) == ("shipped", "first", "compact.v2")


def test_equal_names_get_those_of_their_folders() -> None:
    paths = [Path("/a/x/prior"), Path("/b/x/prior.safetensors"), Path("/b/y/prior"), Path("/b/z")]
    assert name_models(paths) == ("a-x-prior", "b-x-prior", "y-prior", "z")
    assert name_models([None, Path("/runs/shipped")]) == ("shipped", "runs-shipped")


def test_a_prior_is_given_once() -> None:
    with pytest.raises(UserError, match=r"the codec .*runs/a is given more than once"):
        name_models([Path("runs/a"), Path("runs/b/../a")], kind="codec")


def test_labels_take_the_place_of_names() -> None:
    paths = [None, Path("runs/a")]
    assert name_models(paths, ["old", "new"]) == ("old", "new")
    for labels in (["one"], ["same", "same"], ["", "b"], ["a", "b", "c"]):
        with pytest.raises(UserError, match="different --label for each model: give 2 of them"):
            name_models(paths, labels)
