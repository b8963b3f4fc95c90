"""Parts of a job are disjoint, and together they are the whole."""

import pytest

from shared.errors import UserError
from shared.shard import Shard


@pytest.mark.parametrize("count", [1, 2, 3, 7, 20])
def test_the_parts_are_the_whole(count: int) -> None:
    parts = [Shard(number, count).share(range(10)) for number in range(1, count + 1)]
    assert sorted(item for part in parts for item in part) == list(range(10))
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


def test_a_part_is_divided_into_parts() -> None:
    part = Shard(2, 3)
    parts = [part.divided(number, 4).share(range(50)) for number in range(4)]
    assert sorted(item for each in parts for item in each) == part.share(range(50))
    assert Shard().divided(0, 1) == Shard()


def test_it_is_written_as_it_is_read() -> None:
    assert Shard.parse("3/8") == Shard(3, 8)
    assert str(Shard(3, 8)) == "3/8"
    assert Shard().share("abc") == ["a", "b", "c"]


@pytest.mark.parametrize("text", ["0/4", "5/4", "4", "1/0", "-1/4", "1/4/2", "", "a/b"])
def test_other_parts_are_refused(text: str) -> None:
    with pytest.raises(UserError) as error:
        Shard.parse(text)
    assert str(error.value) == (
        f"the shard '{text}' is not K/N with K from 1 to N: write the first of four as 1/4"
    )
