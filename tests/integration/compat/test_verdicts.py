"""What the check says is true: what can run does so in the enclave, and what cannot fails there."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from enclavize.compat.report import Verdict

if TYPE_CHECKING:
    from integration.compat.conftest import Corpus

pytestmark = pytest.mark.integration

MUSL_STATIC = ("runs", "runs", "does not run", "does not run")
MUSL_DYNAMIC = ("runs", "runs", "runs", "runs")
MUSL_FIXED = ("runs", "runs", "does not run", "does not run")
GLIBC = ("runs", "runs", "does not run", "")
SCRIPT = ("runs", "runs", "does not run", "does not run")
ANY_OCCLUM = ("runs", "runs", "", "")
PROFILES = ("builtin", "gramine", "occlum@0.18.1", "occlum")
"""Expected verdicts stand in this order; "" is for what depends on the versions on this machine."""

RUNNABLE = [
    (MUSL_STATIC, "/bin/hello"),
    (MUSL_STATIC, "/bin/hello-pie"),
    (MUSL_STATIC, "hello"),
    (MUSL_STATIC, "/bin/link"),
    (MUSL_STATIC, "/bin/goroutines"),
    (MUSL_STATIC, "/bin/busybox", "true"),
    (MUSL_STATIC, "/bin/busybox", "echo", "a"),
    (MUSL_STATIC, "/bin/busybox", "ls", "/"),
    (MUSL_DYNAMIC, "/bin/dynamic"),
    (MUSL_DYNAMIC, "/bin/pie"),
    (MUSL_FIXED, "/bin/fixed"),
    (MUSL_STATIC, "/lib/ld-musl-x86_64.so.1", "/bin/pie"),
    (MUSL_DYNAMIC, "/bin/runpath"),
    (MUSL_DYNAMIC, "/bin/rpath"),
    (MUSL_DYNAMIC, "/bin/uses-socket"),
    *((SCRIPT, f"/bin/script{depth}") for depth in range(1, 5)),
    (SCRIPT, "/bin/with-argument"),
    (SCRIPT, "/bin/with-blanks"),
    (ANY_OCCLUM, "/bin/ninja", "--version"),
    (ANY_OCCLUM, "/bin/patchelf", "--version"),
    (ANY_OCCLUM, "/bin/ruff", "--version"),
    (GLIBC, "/bin/awk", "BEGIN { print 1 }"),
    (GLIBC, "/bin/bash", "-c", "echo a"),
    (GLIBC, "/bin/cat", "/bin/script1"),
    (GLIBC, "/bin/dash", "-c", "echo a"),
    (GLIBC, "/bin/date"),
    (GLIBC, "/bin/env"),
    (GLIBC, "/bin/find", "/etc"),
    (GLIBC, "/bin/git", "--version"),
    (GLIBC, "/bin/grep", "bin", "/bin/script1"),
    (GLIBC, "/bin/gzip", "--version"),
    (GLIBC, "/bin/id"),
    (GLIBC, "/bin/ls", "/"),
    (GLIBC, "/bin/openssl", "version"),
    (GLIBC, "/bin/perl", "-e", "print 1 + 1"),
    (GLIBC, "/bin/sed", "--version"),
    (GLIBC, "/bin/seq", "3"),
    (GLIBC, "/bin/sha256sum", "/bin/hello"),
    (GLIBC, "/bin/sort", "/bin/script1"),
    (GLIBC, "/bin/tar", "--version"),
    (GLIBC, "/bin/true"),
    (GLIBC, "/bin/uname"),
    (GLIBC, "/bin/wc", "/bin/script1"),
    (GLIBC, "/bin/xz", "--version"),
]

IMPOSSIBLE = {
    "/bin/nothing": "OCC002",
    "nothing": "OCC002",
    "/bin": "OCC002",
    "/broken/dangling": "OCC002",
    "/broken/circle": "OCC002",
    "/broken/script-lost": "OCC002",
    "/broken/script-crlf": "OCC002",
    "/broken/script-loop": "OCC010",
    "/bin/script5": "OCC010",
    "/broken/script6": "OCC010",
    "/broken/script-text": "OCC014",
    "/broken/script-empty": "OCC014",
    "/broken/no-permission": "OCC003",
    "/broken/x86": "OCC004",
    "/broken/aarch64": "OCC004",
    "/broken/object": "OCC014",
    "/opt/lib/libopt.so": "OCC014",
    "/broken/text": "OCC014",
    "/broken/empty": "OCC014",
    "/broken/truncated": "OCC025",
    "/broken/header": "OCC025",
    "/broken/no-loader": "OCC005",
    "/broken/no-library": "OCC007",
    "/broken/no-glibc-library": "OCC007",
    "/proc/hello": "OCC032",
}


@pytest.mark.parametrize("case", RUNNABLE, ids=lambda case: " ".join(case[1:]))
def test_what_the_check_calls_runnable_runs(corpus: Corpus, case: tuple[tuple[str, ...], str]) -> None:
    expected, *argv = case
    _need(corpus, argv[0])
    for libos, verdict in zip(PROFILES, expected, strict=True):
        report = corpus.report(libos, *argv)
        runs = "does not run" if report.verdict is Verdict.FAILS else "runs"
        assert verdict in ("", runs), (libos, report.findings)
    done = corpus.tree.run(*argv)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(("path", "code"), IMPOSSIBLE.items(), ids=IMPOSSIBLE)
def test_what_the_check_calls_impossible_fails(corpus: Corpus, path: str, code: str) -> None:
    if path.endswith("glibc-library"):
        _need(corpus, path)
    report = corpus.report("builtin", path)
    assert code in [finding.code for finding in report.errors]
    done = corpus.tree.run(path)
    assert done.returncode != 0
    assert done.stdout == b""


def test_a_program_that_forks_runs(corpus: Corpus) -> None:
    assert corpus.report("builtin", "/bin/uses-fork").verdict is Verdict.RUNS
    assert corpus.tree.run("/bin/uses-fork").returncode == 0


def test_a_runnable_program_without_forks_or_sockets_gives_no_warning(corpus: Corpus) -> None:
    for path in ("/bin/hello", "/bin/hello-pie", "/bin/dynamic", "/bin/busybox", "/bin/goroutines"):
        assert corpus.report("builtin", path).verdict is Verdict.RUNS, corpus.report("builtin", path).findings


def test_go_is_recognised_in_a_real_program(corpus: Corpus) -> None:
    report = corpus.report("occlum", "/bin/goroutines")
    assert any("occlum-go" in finding.remedy for finding in report.errors)
    assert "OCC030" in [finding.code for finding in report.findings]


def _need(corpus: Corpus, path: str) -> None:
    if not corpus.has(path if "/" in path else f"/bin/{path}"):
        pytest.skip(f"{path} cannot be had here")
