"""The list of deliberate faults fits the code, so that each of them can be put in."""

import pytest

from benchmarks.mutations import ROOT, Mutation, read_mutations

MUTATIONS = read_mutations()


def test_there_are_many_and_their_names_differ() -> None:
    names = [mutation.name for mutation in MUTATIONS]
    assert len(names) >= 72
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.name)
def test_a_fault_can_be_put_in(mutation: Mutation) -> None:
    mutated = mutation.mutated(ROOT)
    compile(mutated, mutation.file, "exec")
    assert all((ROOT / test).is_file() for test in mutation.tests)
