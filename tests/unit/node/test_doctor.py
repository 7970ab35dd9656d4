"""What doctor finds on machines that have, and on those that lack."""

from __future__ import annotations

import os
import platform
import struct
from typing import TYPE_CHECKING

import pytest

from enclavize.node import doctor
from enclavize.node.doctor import Status, diagnose

if TYPE_CHECKING:
    from pathlib import Path

FSGSBASE = (26).to_bytes(8, "little") + (2).to_bytes(8, "little") + bytes(16)


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine with SGX that lacks nothing."""
    for path, content in {
        "proc/cpuinfo": b"processor\t: 0\nflags\t\t: fpu sgx sgx_lc avx\n",
        "proc/self/auxv": FSGSBASE,
        "proc/sys/kernel/seccomp/actions_avail": b"kill_process trap errno allow\n",
        "sys/fs/cgroup/cgroup.controllers": b"cpu memory\n",
        "sys/devices/system/node/node0/x86/sgx_total_bytes": b"134217728\n",
        "sys/devices/system/node/node1/x86/sgx_total_bytes": b"134217728\n",
        "sys/fs/cgroup/misc.capacity": b"sev 5\nsgx_epc 268435456\n",
        "var/run/aesmd/aesm.socket": b"",
    }.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_bytes(content)
    monkeypatch.setattr(platform, "release", lambda: "6.8.0-45-generic")
    monkeypatch.setattr(doctor, "present", lambda paths, _root: [paths[0]])
    return tmp_path


def found(root: Path) -> dict[str, tuple[Status, str]]:
    return {finding.name: (finding.status, finding.text) for finding in diagnose(root)}


def test_devices_on_a_file_system_without_programs_are_no_use(
    machine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (machine / "dev").mkdir()
    seen = os.statvfs(machine)
    noexec = os.statvfs_result((*tuple(seen)[:8], seen.f_flag | os.ST_NOEXEC, *tuple(seen)[9:]))
    monkeypatch.setattr(os, "statvfs", lambda _path: noexec)
    assert found(machine)["device"] == (
        Status.WARNING,
        "/dev is mounted noexec: no enclave can be mapped from there",
    )


def test_who_may_not_use_the_device_is_told_whose_it_is(
    machine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    device = machine / "dev/sgx_enclave"
    device.parent.mkdir()
    device.touch(0o660)
    device.chmod(0o660)
    monkeypatch.setattr(os, "access", lambda *_arguments: False)
    status, text = found(machine)["device"]
    assert status is Status.WARNING
    assert text.startswith("this user may not use /dev/sgx_enclave (group ")
    assert text.endswith(", mode 0660)")


def test_a_machine_that_has_everything(machine: Path) -> None:
    findings = found(machine)
    for name in (
        "kernel",
        "processor",
        "device",
        "provisioning",
        "aesm",
        "epc",
        "epc-limit",
        "fsgsbase",
        "seccomp",
        "cgroups",
    ):
        assert findings[name][0] is Status.OK, findings[name]
    assert findings["epc"][1].startswith("256 MiB")
    assert findings["cgroups"][1] == "version 2"


@pytest.mark.parametrize("capacity", [None, b"", b"sev 5\n", b"sgx_epc_other 1\n"])
def test_who_could_take_all_of_the_enclave_page_cache(machine: Path, capacity: bytes | None) -> None:
    path = machine / "sys/fs/cgroup/misc.capacity"
    path.unlink()
    if capacity is not None:
        path.write_bytes(capacity)
    assert found(machine)["epc-limit"][0] is Status.WARNING


def _section(size: int, kind: int = 1) -> bytes:
    """EAX to EDX of a subleaf of CPUID.12H; the base is of no matter."""
    return struct.pack("<4I", 0x70200000 | kind, 0, (size & 0xFFFFF000) | 1, size >> 32)


@pytest.mark.parametrize(
    ("sections", "size"),
    [
        ([_section(0x5E00000)], "94 MiB"),
        ([_section(0x1_8000_0000), _section(0x1000_0000), _section(0x1000_0000, kind=0)], "6400 MiB"),
        ([_section(0, kind=0)], None),
    ],
)
def test_older_kernels_tell_the_size_by_cpuid(machine: Path, sections: list[bytes], size: str | None) -> None:
    for node in ("node0", "node1"):
        (machine / f"sys/devices/system/node/{node}/x86/sgx_total_bytes").unlink()
    path = machine / "dev/cpu/0/cpuid"
    path.parent.mkdir(parents=True)
    with path.open("wb") as file:
        for subleaf, words in enumerate(sections, start=2):
            file.seek(0x12 | subleaf << 32)
            file.write(words)
    status, text = found(machine)["epc"]
    assert (status is Status.OK) == (size is not None)
    assert text.startswith(size or "how much enclave page cache there is cannot be told")


@pytest.mark.parametrize(
    ("files", "status"),
    [
        ({"misc.current": "sev 3\nsgx_epc 1048576\n"}, Status.OK),
        ({"misc.current": "sgx_epc 268435456\n"}, Status.WARNING),
        ({"a/misc.current": "sgx_epc 200000000\n", "b/misc.current": "sgx_epc 60000000\n"}, Status.WARNING),
        ({"a/misc.current": "sgx_epc 1048576\n", "b/misc.current": "sev 1\n"}, Status.OK),
        ({}, None),
        ({"misc.current": "sgx_epc many\n"}, None),
    ],
)
def test_how_much_of_the_enclave_page_cache_is_taken(
    machine: Path, files: dict[str, str], status: Status | None
) -> None:
    for name, content in files.items():
        path = machine / "sys/fs/cgroup" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(content)
    finding = found(machine).get("epc-use")
    assert (finding[0] if finding else None) is status


@pytest.mark.parametrize(
    ("release", "word"),
    [("5.4.0", "no SGX driver"), ("5.15.0-91", "no dynamic memory"), ("strange", "no SGX driver")],
)
def test_old_kernels(machine: Path, monkeypatch: pytest.MonkeyPatch, release: str, word: str) -> None:
    monkeypatch.setattr(platform, "release", lambda: release)
    status, text = found(machine)["kernel"]
    assert status is Status.WARNING
    assert word in text


@pytest.mark.parametrize(
    ("path", "content", "name", "status"),
    [
        ("proc/cpuinfo", b"flags\t: fpu\n", "processor", Status.WARNING),
        ("proc/cpuinfo", b"flags\t: fpu sgx\n", "processor", Status.WARNING),
        ("proc/self/auxv", bytes(16), "fsgsbase", Status.ERROR),
        ("proc/self/auxv", FSGSBASE[:10], "fsgsbase", Status.ERROR),
        ("proc/sys/kernel/seccomp/actions_avail", None, "seccomp", Status.WARNING),
        ("var/run/aesmd/aesm.socket", None, "aesm", Status.WARNING),
    ],
)
def test_what_is_lacking_is_told_with_a_way_out(
    machine: Path, path: str, content: bytes | None, name: str, status: Status
) -> None:
    if content is None:
        (machine / path).unlink()
    else:
        (machine / path).write_bytes(content)
    finding = next(finding for finding in diagnose(machine) if finding.name == name)
    assert finding.status is status
    assert finding.fix


def test_every_bad_finding_has_a_way_out(tmp_path: Path) -> None:
    for finding in diagnose(tmp_path):
        assert finding.text
        assert finding.fix or finding.status is Status.OK


def test_a_wrong_policy_is_an_error(machine: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "config.toml").write_text("ordinray = 1\n")
    monkeypatch.setenv("ENCLAVIZE_RUNE_CONFIG", str(tmp_path / "config.toml"))
    status, text = found(machine)["settings"]
    assert status is Status.ERROR
    assert "ordinray" in text
