"""``enclavize doctor --selftest`` where there is no SGX, and what it makes of each outcome of a step."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

import pytest
import typer

from enclavize.cli.choices import ListFormat
from enclavize.cli.doctor import doctor
from enclavize.node import selftest as module
from enclavize.node.doctor import Finding, Status
from enclavize.node.selftest import Step, is_shown, selftest

if TYPE_CHECKING:
    from pathlib import Path

MACHINE = ["kernel", "processor", "device", "epc"]
STEPS = ["start", "memory", "exceptions", "threads", "interrupts", "processes", "reports", "keys"]


def _machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, *, device: Status = Status.OK) -> None:
    findings = [
        Finding(name="kernel", status=Status.OK, text="Linux 6.8"),
        Finding(
            name="device", status=device, text="no /dev/sgx_enclave" if device != "ok" else "/dev/sgx_enclave"
        ),
    ]
    monkeypatch.setattr(module, "diagnose", lambda _root: iter(findings))
    monkeypatch.setattr(module, "convert_program", lambda _folder: tmp_path)


def _runelet(tmp_path: Path, script: str) -> Path:
    """A program in the place of the runelet: its argument is the step."""
    path = tmp_path / "runelet"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return path


def _steps(tmp_path: Path, script: str) -> dict[str, Step]:
    return {step.name: step for step in selftest(tmp_path, runelet=_runelet(tmp_path, script))}


def test_without_a_device_nothing_is_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _machine(monkeypatch, tmp_path, device=Status.WARNING)
    steps = list(selftest(tmp_path, runelet=tmp_path / "never run"))
    assert [step.name for step in steps] == [*MACHINE, *STEPS, "kernel-log"]
    for step in steps[len(MACHINE) :]:
        assert (step.status, step.fix) == (Status.WARNING, "no /dev/sgx_enclave")
        assert "not shown" in step.text
    assert all(step.settles for step in steps)
    assert not is_shown(steps)


def test_all_steps_that_pass_are_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _machine(monkeypatch, tmp_path)
    steps = list(selftest(tmp_path, runelet=_runelet(tmp_path, "echo same")))
    assert [step.name for step in steps] == [*MACHINE, *STEPS, "kernel-log"]
    assert is_shown(steps)


def test_step_that_fails_says_the_last_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _machine(monkeypatch, tmp_path)
    steps = _steps(
        tmp_path, 'test "$1" != memory || { echo first >&2; echo a page has lost its content >&2; exit 1; }'
    )
    assert steps["memory"].status is Status.ERROR
    assert steps["memory"].text == "a page has lost its content (exit code 1)"
    assert steps["threads"].status is Status.OK
    assert not is_shown(list(steps.values()))


def test_enclave_that_does_not_start_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _machine(monkeypatch, tmp_path)
    steps = _steps(tmp_path, "echo 'enclavize: error: the enclave page cache (EPC) is full' >&2; exit 125")
    assert {steps[name].text for name in STEPS} == {"the enclave page cache (EPC) is full"}


def test_key_that_is_another_one_at_the_second_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _machine(monkeypatch, tmp_path)
    steps = _steps(tmp_path, "echo $$")
    assert steps["keys"].status is Status.ERROR
    assert "another one at the second start" in steps["keys"].text


def test_step_that_hangs_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _machine(monkeypatch, tmp_path)
    monkeypatch.setattr(module, "_PATIENCE", 0.2)
    monkeypatch.setattr(module, "_STEPS", {"start": "all"})
    steps = _steps(tmp_path, "exec sleep 100")
    assert "it hangs" in steps["start"].text


def test_options_of_the_runelet_in_the_environment_do_not_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever has simulation switched on for himself must not see hardware where there is none."""
    _machine(monkeypatch, tmp_path)
    monkeypatch.setenv("ENCLAVIZE_SIMULATE", "1")
    monkeypatch.setenv("ENCLAVIZE_LOG_LEVEL", "trace")
    steps = _steps(tmp_path, 'test "$ENCLAVIZE_SIMULATE$ENCLAVIZE_LOG_LEVEL" = 0 || exit 9')
    assert steps["start"].status is Status.OK, steps["start"]


@pytest.mark.parametrize(
    ("record", "status"),
    [(b"6,1,2,-;usb 1-1: new\n", Status.OK), (b"4,1,2,-;sgx: EREMOVE returned 13\n KEY=x\n", Status.WARNING)],
)
def test_kernel_log_is_looked_at(
    record: bytes, status: Status, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    records = [record]
    monkeypatch.setattr(os, "open", lambda *_arguments: 77)
    monkeypatch.setattr(os, "lseek", lambda *_arguments: 0)
    monkeypatch.setattr(os, "read", lambda *_arguments: records.pop() if records else b"")
    monkeypatch.setattr(os, "close", lambda *_arguments: None)
    with module._KernelLog.open(tmp_path) as log:
        assert log.step().status is status


def test_command_tells_it_in_two_forms(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    steps = [
        Step(name="start", status=Status.OK, text="as it should be", settles="EINIT"),
        Step(name="memory", status=Status.ERROR, text="a page is lost", settles="EAUG", fix="look"),
    ]
    monkeypatch.setattr(module, "selftest", lambda: iter(steps))
    with pytest.raises(typer.Exit):
        doctor(form=ListFormat.JSON, selftest=True)
    told = json.loads(capsys.readouterr().out)
    assert told == [
        {"name": "start", "status": "ok", "text": "as it should be", "settles": "EINIT", "fix": ""},
        {"name": "memory", "status": "error", "text": "a page is lost", "settles": "EAUG", "fix": "look"},
    ]
    with pytest.raises(typer.Exit):
        doctor(selftest=True)
    plain = capsys.readouterr().out
    assert "settles: EAUG" in plain
    assert "A step failed" in plain
    del steps[1]
    with pytest.raises(typer.Exit):  # the other steps were not tried
        doctor(selftest=True)
    steps.extend(Step(name=name, status=Status.OK, text="", settles="") for name in STEPS[1:])
    doctor(selftest=True)
    assert "All steps passed" in capsys.readouterr().out
