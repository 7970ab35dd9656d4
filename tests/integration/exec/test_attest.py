"""``rune attest``: local reports of enclaves whose PAL is rune's own."""

from __future__ import annotations

import json
import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

from support.programs import busybox
from support.rune import write_bundle

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from support.commands import Container, Trees
    from support.rune import RuneInstallation

pytestmark = pytest.mark.integration

MRENCLAVE = slice(64, 96)
REPORT_DATA = slice(320, 384)
KEY_ID = slice(384, 416)
"""SDM volume 3D, REPORT."""


def _attest(
    container: Container, *options: str | Path, before: tuple[str | Path, ...] = ()
) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [container.rune, "--root", container.state, *before, "attest", *options, container.name],
        stdin=subprocess.DEVNULL, capture_output=True, check=False, timeout=60,
    )  # fmt: skip


def test_a_report_says_which_enclave_runs_and_that_it_is_simulated(
    run: Callable[..., Container], trees: Trees, tmp_path: Path
) -> None:
    """It takes no command that the policy would have to allow."""
    container = run(trees.closed)
    described = json.loads((trees.closed.root / ".enclave" / "enclave.json").read_text())
    (tmp_path / "target").write_bytes(bytes(512))
    for options in ((), ("--target-info", tmp_path / "target"), ("--report-file", tmp_path / "report")):
        done = _attest(container, *options)
        assert done.returncode == 0, done.stderr
        report = (tmp_path / "report").read_bytes() if "--report-file" in options else done.stdout
        assert len(report) == 432
        assert report[MRENCLAVE].hex() == described["mrenclave"]
        assert report[REPORT_DATA] == bytes(64)
        assert report[KEY_ID] == b"SIMULATED REPORT, NO PROTECTION!"
        assert b"a simulated enclave, and proves nothing" in done.stderr


def test_what_is_wrong_with_a_target_is_in_the_log(
    run: Callable[..., Container], trees: Trees, tmp_path: Path
) -> None:
    container = run(trees.closed)
    (tmp_path / "target").write_bytes(bytes(511))
    log = tmp_path / "log.json"
    done = _attest(
        container, "--target-info", tmp_path / "target", before=("--log", log, "--log-format", "json")
    )
    assert (done.returncode, done.stdout) == (1, b"")
    (record,) = [json.loads(line) for line in log.read_text().splitlines()]
    assert "not a file with a TARGETINFO, which has 512 bytes" in record["msg"]


def test_enclave_makes_no_report_for_what_is_no_target(
    run: Callable[..., Container], trees: Trees, tmp_path: Path
) -> None:
    """EREPORT would fault (SDM volume 3D, TARGETINFO): reserved fields have to be zero."""
    container = run(trees.closed)
    (tmp_path / "target").write_bytes(bytes(511) + b"\1")
    done = _attest(container, "--target-info", tmp_path / "target")
    assert (done.returncode, done.stdout) == (1, b"")
    assert b"the TARGETINFO is not one: fields that are reserved are not zero" in done.stderr
    (tmp_path / "target").write_bytes(bytes(range(32)) + bytes(480))
    assert len(_attest(container, "--target-info", tmp_path / "target").stdout) == 432


def test_who_does_not_answer_is_named(run: Callable[..., Container], trees: Trees, tmp_path: Path) -> None:
    container = run(trees.closed)
    log = tmp_path / "log.json"
    runc: list[str | Path] = ["runc", "--root", container.state]
    subprocess.run([*runc, "kill", container.name, "KILL"], check=True)
    for _ in range(1000):
        state = subprocess.run([*runc, "state", container.name], capture_output=True, check=False)
        if state.returncode or json.loads(state.stdout)["status"] == "stopped":
            break
    done = _attest(container, before=("--log", log, "--log-format", "json"))
    assert (done.returncode, done.stdout) == (1, b"")
    (record,) = [json.loads(line) for line in log.read_text().splitlines()]
    assert record["msg"].startswith("attest: ")


def test_an_ordinary_container_has_no_enclave(
    installation: RuneInstallation, ordinary_bundle: Path, tmp_path: Path
) -> None:
    name, state = f"attest-{tmp_path.name}", tmp_path / "state"
    command: list[str | Path] = ["runc", "--root", state]
    nothing = subprocess.DEVNULL
    subprocess.run(
        [*command, "create", "--bundle", ordinary_bundle, name],
        stdin=nothing, stdout=nothing, stderr=nothing, check=True,
    )  # fmt: skip
    try:
        done = subprocess.run(
            [installation.rune, "--root", state, "attest", name], capture_output=True, check=False
        )
        assert (done.returncode, done.stdout) == (1, b"")
        assert b"this is no TEE container, so there is no enclave" in done.stderr
    finally:
        subprocess.run([*command, "delete", "--force", name], capture_output=True, check=False)


@pytest.fixture
def ordinary_bundle(tmp_path: Path) -> Path:
    folder = tmp_path / "ordinary"
    (folder / "rootfs" / "bin").mkdir(parents=True)
    shutil.copy(busybox(), folder / "rootfs" / "bin" / "busybox")
    return write_bundle(folder, ["/bin/busybox", "sleep", "100"])
