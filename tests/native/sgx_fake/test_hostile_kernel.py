"""A hostile kernel on the interface of hardware: what it says of memory and exceptions changes no byte."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from support.scale import scaled

if TYPE_CHECKING:
    from support.sgx_fake import Machine
    from support.tee import TeeTree

STATUS_FOUND = 99
UNNOTICED = ("again", "skip", "exception")
"""What the enclave does not believe from anybody but its CPU."""
NOTICED = ("no-page", "idle", "too-many", "restrict", "remove", "read-only", "untracked")
"""What makes the enclave end, or the program get an error, sooner or later."""
PERIODS = (2, 3, 7, 50, 211)[: scaled(5, least=2)]


@pytest.mark.parametrize("each", PERIODS)
@pytest.mark.parametrize("lie", UNNOTICED + NOTICED)
def test_lies_change_no_byte(lie: str, each: int, machine: Machine, tree: TeeTree) -> None:
    fake: dict[str, str | int] = {"lie": lie, "lie_each": each}
    done = machine.run(tree.instance, "/lied_to", options=f"root={tree.root}", fake=fake)
    assert done.returncode == 0 if lie in UNNOTICED else done.returncode != STATUS_FOUND, done.stderr
    assert "fake: refused" not in done.stderr, done.stderr


STORMS = [{kind: each} for each in (2, 1, 3, 5) for kind in ("interrupt", "spurious")]


@pytest.mark.parametrize("fake", STORMS[: scaled(len(STORMS), least=3)])
def test_program_sees_nothing_of_storms(machine: Machine, tree: TeeTree, fake: dict[str, str | int]) -> None:
    """Interrupts before each instruction that a kernel or a CPU answers, or before many of them."""
    done = machine.run(tree.instance, "/lied_to", options=f"root={tree.root}", fake=fake)
    assert done.returncode == 0, done.stderr
