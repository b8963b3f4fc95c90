"""Names of priors that are compared."""

from pathlib import Path

import pytest

from shared.errors import UserError
from stage2_prior.prior_names import name_priors


def test_a_prior_is_named_after_its_folder_or_file() -> None:
    paths = [None, Path("runs/first"), Path("weights/compact.v2.safetensors")]
    assert name_priors(paths) == ("shipped", "first", "compact.v2")


def test_equal_names_get_those_of_their_folders() -> None:
    paths = [Path("/a/x/prior"), Path("/b/x/prior.safetensors"), Path("/b/y/prior"), Path("/b/z")]
    assert name_priors(paths) == ("a-x-prior", "b-x-prior", "y-prior", "z")
    assert name_priors([None, Path("/runs/shipped")]) == ("shipped", "runs-shipped")


def test_a_prior_is_given_once() -> None:
    with pytest.raises(UserError, match="given more than once"):
        name_priors([Path("runs/a"), Path("runs/b/../a")])
