"""Children of language runtimes: what they say, and how they end, is as natively."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from integration.children.conftest import PYTHON
from support.scale import scaled

if TYPE_CHECKING:
    from integration.children.conftest import Places

pytestmark = pytest.mark.integration

IS_QUICK = scaled(100) < 100
METHODS = ("fork",) if IS_QUICK else ("fork", "spawn", "forkserver")
"""The others start a new Python for each worker."""
MECHANISMS = ("POSIX_SPAWN", "FORK") if IS_QUICK else ("POSIX_SPAWN", "VFORK", "FORK")
"""POSIX_SPAWN is Java's own choice, by jspawnhelper."""
JAVA = ("/jre/bin/java", "-Xmx64m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-cp", "/classes")


def test_subprocess_of_python(tools: Places) -> None:
    tools.check(PYTHON, "/subprocesses.py")


@pytest.mark.parametrize("method", METHODS)
def test_multiprocessing_of_python(tools: Places, method: str) -> None:
    tools.check(PYTHON, "/pools.py", method)


def test_child_process_of_node(runtimes: Places) -> None:
    runtimes.check("/usr/bin/node", "/children.js")


def test_cluster_of_node(runtimes: Places) -> None:
    runtimes.check("/usr/bin/node", "/cluster.js")


def test_os_exec_of_go(runtimes: Places) -> None:
    runtimes.check("/usr/bin/children")


@pytest.mark.parametrize("mechanism", MECHANISMS)
def test_process_builder_of_java(runtimes: Places, mechanism: str) -> None:
    runtimes.check(*JAVA, f"-Djdk.lang.Process.launchMechanism={mechanism}", "Children")
