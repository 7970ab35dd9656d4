"""``enclavize doctor --selftest`` on the fake of SGX hardware: whole, and with what makes it fail."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

import pytest

from enclavize.node import selftest as module
from enclavize.node.doctor import Finding, Status
from enclavize.node.selftest import convert_program, is_shown, selftest
from support.programs import need, need_native, need_root
from support.sgx_fake import compile_fake_runelet

if TYPE_CHECKING:
    from pathlib import Path

MRENCLAVE, REPORT_DATA, KEY_ID = slice(64, 96), slice(320, 384), slice(384, 416)
"""SDM volume 3D, REPORT."""


@pytest.fixture(scope="module")
def runelet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    need_native("selftest")
    return compile_fake_runelet(tmp_path_factory.mktemp("runelet"))


@pytest.fixture(autouse=True)
def own_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("XDG_CACHE_HOME", "XDG_DATA_HOME", "HOME"):
        monkeypatch.setenv(name, str(tmp_path / "home"))
    findings = [
        Finding(name=name, status=Status.OK, text="fine") for name in ("kernel", "processor", "device", "epc")
    ]
    monkeypatch.setattr(module, "diagnose", lambda _root: iter(findings))


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The program, converted once."""
    folder = tmp_path_factory.mktemp("converted")
    with pytest.MonkeyPatch.context() as patch:
        for name in ("XDG_CACHE_HOME", "XDG_DATA_HOME", "HOME"):
            patch.setenv(name, str(folder / "home"))
        return convert_program(folder)


@pytest.fixture
def converted(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "convert_program", lambda _folder: tree)


def test_every_step_passes(runelet: Path, tmp_path: Path) -> None:
    steps = list(selftest(tmp_path, runelet=runelet))
    assert [step for step in steps if step.status is Status.ERROR] == []
    assert is_shown(steps)


@pytest.mark.parametrize(
    ("setting", "text"),
    [
        (("FAKE_KERNEL", "launch-control"), "launch control"),
        (("FAKE_KERNEL", "vdso=0"), "has no __vdso_sgx_enter_enclave"),
        (("FAKE_KERNEL", "forbidden"), "/dev/sgx_enclave cannot be opened"),
        (("FAKE_CPU", "sgx1"), "needs SGX2"),
    ],
)
@pytest.mark.usefixtures("converted")
def test_cause_is_told(
    setting: tuple[str, str], text: str, runelet: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(*setting)
    monkeypatch.setattr(module, "_STEPS", {"start": "all"})
    start = next(step for step in selftest(tmp_path, runelet=runelet) if step.name == "start")
    assert (start.status, text in start.text) == (Status.ERROR, True), start


@pytest.mark.usefixtures("converted")
def test_step_that_needs_more_than_there_is_fails_alone(
    runelet: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_EPC", "8000")
    monkeypatch.setattr(module, "_STEPS", {"start": "all", "memory": "more"})
    steps = {step.name: step for step in selftest(tmp_path, runelet=runelet)}
    assert steps["start"].status is Status.OK
    assert steps["memory"].status is Status.ERROR


def test_report_for_the_host(runelet: Path, tree: Path, tmp_path: Path) -> None:
    """What ``rune attest`` asks for: the enclave on hardware makes it, beside its program."""
    need_root()
    need("unshare")
    environment = {
        **os.environ,
        "ENCLAVIZE_ROOT": str(tree),
        "ENCLAVIZE_INSTANCE": str(tree / ".enclave" / "instance"),
    }
    script = (
        f"{runelet} wait & "
        f"until head -c 512 /dev/zero | {runelet} exec --report > report 2> /dev/null; do sleep 0.1; done; "
        "kill %1; wait"
    )
    subprocess.run(
        ["unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "bash", "-c", script],
        cwd=tmp_path, env=environment, stdin=subprocess.DEVNULL, capture_output=True, check=False,
        timeout=300,
    )  # fmt: skip
    report = (tmp_path / "report").read_bytes()
    assert len(report) == 432
    assert report[REPORT_DATA] == bytes(64)
    assert report[KEY_ID] == b"K" * 32
    assert any(report[MRENCLAVE])
