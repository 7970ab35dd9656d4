"""Lies of the host, counted: whatever it says and whenever it enters, no byte inside changes by that."""

from __future__ import annotations

from typing import TYPE_CHECKING

from support.scale import scaled

if TYPE_CHECKING:
    from pathlib import Path

    from support.liar import Liar
    from support.tee import TeeTree


def test_no_lie_in_an_answer_and_no_entry_changes_a_byte(liar: Liar, core: Path) -> None:
    """Every field of every OCALL; every ECALL at the wrong moment; faults at each instruction."""
    lies, entries = scaled(36_000), scaled(6_000, least=400)
    report = liar.report(core, "answers", "7", seed=1, lies=lies, entries=entries)
    assert report.lies >= lies + entries
    assert min(report.refused, report.flips, report.children) > 0


def test_program_in_the_libos_sees_nothing_of_the_lies(liar: Liar, victim: TeeTree) -> None:
    """SmashEx among them: the first thread is attacked while it sleeps on a futex."""
    children, entries, starts = scaled(40, least=3), scaled(1_000), scaled(300)
    report = liar.attack(victim, children=children, entries=entries, starts=starts, seed=2)
    assert report.lies >= scaled(8_000)
    assert report.children > entries
    # Handles of the image's files are closed when 128 of them are open; no command is run.
    assert report.honest == ["DATA_CLOSE", "INTERFACES", "COMMAND_END"]


def test_instructions_that_are_illegal_in_enclaves_are_answered(liar: Liar, victim: TeeTree) -> None:
    """CPUID, RDTSC and RDTSCP: the simulation lets them pass, so here the host makes the fault."""
    liar.attack(victim, "/victim", "illegal", children=0, entries=0, seed=3)


def test_production_enclave_tells_nothing_whatever_the_host_asks_for(
    liar: Liar, victim: TeeTree, production_victim: TeeTree
) -> None:
    """A trace and a profile are asked for past the PAL, which would refuse."""

    def lines(tree: TeeTree) -> bytes:
        options = f"root={tree.root}"
        done = liar.run(
            tree.instance, "/victim", "illegal", options=options, real=1, children=0, entries=0, boot_flags=6
        )
        assert done.returncode == 0, done.stderr
        return done.stderr

    told = lines(victim)
    assert b"exit_group(0) = ?" in told
    assert b"profile:" in told
    told = lines(production_victim)
    assert b"exit_group" not in told
    assert b"profile:" not in told
