"""Faults planted in the PAL: the fake finds each of them."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest

from support.sgx_mutations import MUTATIONS

if TYPE_CHECKING:
    from pathlib import Path

    from support.sgx_fake import Bench
    from support.sgx_mutations import Mutation

PATIENCE = 60.0


def _runs(bench: Bench, program: Path, torture: Path, mutation: Mutation) -> bool:
    try:
        done = bench.machine(program).run(torture, *mutation.arguments, fake=mutation.fake, timeout=PATIENCE)
    except subprocess.TimeoutExpired:
        return False
    return done.returncode == 0


@pytest.mark.parametrize("name", MUTATIONS)
def test_fault_is_found(name: str, bench: Bench, torture: Path) -> None:
    assert not _runs(bench, bench.mutate(MUTATIONS[name]), torture, MUTATIONS[name])


def test_without_a_fault_nothing_is_found(bench: Bench, torture: Path) -> None:
    """Else the faults would prove nothing: each way of running them must succeed."""
    ways = {(mutation.arguments, tuple(mutation.fake.items())): mutation for mutation in MUTATIONS.values()}
    for mutation in ways.values():
        assert _runs(bench, bench.program, torture, mutation), mutation
