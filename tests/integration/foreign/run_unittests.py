"""Runs tests of CPython's suite one by one: ``run_unittests.py MODULE [WITHOUT]...``.

It runs where the tests run, in the enclave or in a chroot, with Python's standard library alone. Before each
test it writes ``@@ begin ID``, behind it ``@@ OUTCOME ID``, and for a failure the end of its traceback.
"""

from __future__ import annotations

import fcntl
import importlib
import os
import sys
import unittest
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

REPORT_DESCRIPTOR = 200
"""Tests capture and close standard output, and count on the lowest free descriptors."""

LAST_LINES = 4


def flat(suite: unittest.TestSuite) -> Iterator[unittest.TestCase]:
    """Give the tests of a suite in their order."""
    for test in suite:
        if isinstance(test, unittest.TestSuite):
            yield from flat(test)
        else:
            yield test


def outcome(result: unittest.TestResult) -> tuple[str, str]:
    """Return what became of the one test since the lists were cleared, and why."""
    for _, traceback in (*result.errors, *result.failures):
        return "failed", " | ".join(traceback.strip().splitlines()[-LAST_LINES:])
    if result.unexpectedSuccesses:
        return "failed", "unexpected success"
    return ("skipped", "") if result.skipped or result.expectedFailures else ("passed", "")


def main(module: str, *without: str) -> None:
    """Run the tests of ``test.MODULE`` but those whose ids are in ``without``."""
    report = os.fdopen(fcntl.fcntl(1, fcntl.F_DUPFD_CLOEXEC, REPORT_DESCRIPTOR), "w", buffering=1)
    os.chdir("/tmp")
    support = importlib.import_module("test.support")
    support.verbose, support.use_resources = False, ("network",)  # type: ignore[attr-defined] # as regrtest sets them
    result = unittest.TestResult()
    result._testRunEntered = True  # type: ignore[attr-defined] # so it keeps which fixtures are set up
    kept = (
        result.errors,
        result.failures,
        result.skipped,
        result.expectedFailures,
        result.unexpectedSuccesses,
    )
    for test in flat(unittest.defaultTestLoader.loadTestsFromName(f"test.{module}")):
        name = test.id().removeprefix("test.")
        if name in without:
            continue
        for outcomes in kept:
            outcomes.clear()
        report.write(f"@@ begin {name}\n")
        alone = unittest.TestSuite([test])
        alone.run(result)
        word, why = outcome(result)
        report.write(f"@@ {word} {name} {why}\n")
    report.write("@@ end\n")
    report.flush()
    os._exit(0)  # threads that a failed test left behind keep nobody waiting


if __name__ == "__main__":
    main(*sys.argv[1:])
