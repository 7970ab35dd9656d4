"""Test suites that others wrote: what passes natively must pass in the enclave, but for known failures."""

from __future__ import annotations

import shlex
import subprocess
import tomllib
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from support.programs import REPOSITORY, need, need_root

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

EXPECTED = REPOSITORY / "tests" / "integration" / "foreign" / "expected.toml"
PASSED = "passed"
CAPABILITIES = (
    "chown", "dac_override", "fowner", "fsetid", "kill", "setgid", "setuid", "setpcap", "net_bind_service",
    "net_raw", "sys_chroot", "mknod", "audit_write", "setfcap",
)  # fmt: skip
"""Those that engines leave a container's root."""

OWN_NETWORK = ("unshare", "--net", "sh", "-c", 'ip link set lo up && exec "$@"', "sh")
"""What starts a command in a network of its own, which has loopback."""

NAMESPACES = ("unshare", "--fork", "--pid", "--mount", "--ipc", "--uts", "--net", "--kill-child")


@dataclass(frozen=True, kw_only=True)
class Expected:
    """What ``expected.toml`` says of one suite: reasons by test."""

    fails: Mapping[str, str]
    left_out: Mapping[str, str]

    @staticmethod
    def of(suite: str) -> Expected:
        """Read it. A test that is named twice is an error."""
        document = tomllib.loads(EXPECTED.read_text())
        tables = [
            {test: reason for reason, test in _rows(document.get(kind, []), suite)}
            for kind in ("fails", "left_out")
        ]
        assert not tables[0].keys() & tables[1].keys()
        return Expected(fails=tables[0], left_out=tables[1])

    def without(self, module: str) -> list[str]:
        """Return the tests of a module, or package, that are left out on both sides."""
        return sorted(test for test in self.left_out if belongs(test, module))


def _rows(tables: Sequence[Mapping[str, object]], suite: str) -> Iterator[tuple[str, str]]:
    seen = set()
    for table in tables:
        assert table.keys() == {"suite", "reason", "tests"}, table
        tests = table["tests"]
        assert isinstance(tests, list)
        for test in tests:
            assert (table["suite"], test) not in seen, f"{test} is named twice"
            seen.add((table["suite"], test))
            if table["suite"] == suite:
                yield str(table["reason"]), test


def belongs(test: str, module: str) -> bool:
    """Tell whether a test is of this module: its name starts with it and a point."""
    return test.startswith(f"{module}.")


def differences(
    module: str, native: Mapping[str, str], inside: Mapping[str, str], expected: Expected
) -> list[str]:
    """Return a line for each test that is not as natively and not expected to differ, or expected and not so.

    ``native`` and ``inside`` have outcomes by test. What does not pass natively says nothing of the LibOS.
    """
    lines = []
    for test, outcome in native.items():
        if outcome != PASSED or test in expected.left_out:
            continue
        found = inside.get(test, "never ended")
        if found == PASSED and test in expected.fails:
            lines.append(f"{test} passes, but is expected to fail: {expected.fails[test]}")
        elif found != PASSED and test not in expected.fails:
            lines.append(f"{test} passes natively, but not inside: {found}")
    known = [test for test in (*expected.fails, *expected.left_out) if belongs(test, module)]
    lines += [
        f"{test} is named in {EXPECTED.name}, but there is no such test"
        for test in known
        if test in expected.fails and test not in native
    ]
    return lines


@dataclass(frozen=True, kw_only=True)
class Chroot:
    """A root file system in which programs run natively, in namespaces of their own."""

    root: Path

    def run(
        self, *argv: str, environment: Mapping[str, str], timeout: float
    ) -> subprocess.CompletedProcess[bytes]:
        """Run; what a test kills or fills is its own, not the machine's."""
        need_root()
        need("unshare", "setpriv", "chroot", "mount", "ip")
        left = ",".join(("-all", *(f"+{name}" for name in CAPABILITIES)))
        root = shlex.quote(str(self.root))
        script = (
            f"ip link set lo up && mount -t proc proc {root}/proc && mount --rbind /dev {root}/dev "
            f"&& mount -t tmpfs -o mode=1777 tmpfs {root}/tmp "
            f'&& exec setpriv --inh-caps=-all --bounding-set={left} chroot {root} "$@"'
        )
        done = subprocess.run(
            [*NAMESPACES, "sh", "-c", script, "sh", *argv],
            env=environment, stdin=subprocess.DEVNULL, capture_output=True, check=False, timeout=timeout,
        )  # fmt: skip
        if b"unshare failed" in done.stderr:
            pytest.skip("no namespaces here")
        return done
