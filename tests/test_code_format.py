"""What the format of codes must have."""

import pytest

from shared.codes.codec import CodeFormat
from shared.errors import UserError


@pytest.mark.parametrize("sources", [(), ("bass",)])
def test_codes_are_of_a_source_at_least(sources: tuple[str, ...]) -> None:
    settings = {"codebooks": 2, "cardinality": 8, "sample_rate": 44100, "hop": 512}
    if sources:
        assert CodeFormat(sources, **settings, fingerprint="toy").sources == sources
        return
    with pytest.raises(UserError, match=r"^'codes\.sources' names no source"):
        CodeFormat(sources, **settings, fingerprint="toy")
