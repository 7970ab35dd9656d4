"""Lies of the host, counted: whatever it says and whenever it enters, no byte inside changes by that."""

from __future__ import annotations

from typing import TYPE_CHECKING

from support.scale import scaled

if TYPE_CHECKING:
    from pathlib import Path

    from support.liar import Liar


def test_no_lie_in_an_answer_and_no_entry_changes_a_byte(liar: Liar, core: Path) -> None:
    """Every field of every OCALL; every ECALL at the wrong moment; faults at each instruction."""
    lies, entries = scaled(34_000), scaled(8_000)
    report = liar.report(core, "answers", "7", seed=1, lies=lies, entries=entries)
    assert report.lies >= lies + entries
    assert min(report.refused, report.flips, report.children) > 0
