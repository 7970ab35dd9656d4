"""What this machine has and lacks to run TEE containers: one finding a fact, each bad one with a way out."""

from __future__ import annotations

import os
import platform
import re
import shutil
import stat
import struct
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

from enclavize.errors import EnclavizeError
from enclavize.rune.mode import ENCLAVE_DEVICES
from enclavize.rune.sgx_devices import AESM_SOCKET, PROVISION_DEVICES, present

if TYPE_CHECKING:
    from collections.abc import Iterator


class Status(StrEnum):
    """``WARNING``: something cannot be used. ``ERROR``: nothing can."""

    OK = "ok"
    WARNING = "warning"
    ERROR = "error"


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One line. ``fix`` says what to do, where the status is not OK."""

    name: str
    status: Status
    text: str
    fix: str = ""


_SGX_KERNEL = (5, 11)
_EDMM_KERNEL = (6, 0)
"""Linux with dynamic memory of enclaves, which the builtin LibOS needs (Documentation/arch/x86/sgx.rst)."""

_CGROUPS = Path("sys/fs/cgroup")

_AT_HWCAP2 = 26
_HWCAP2_FSGSBASE = 2
"""arch/x86/include/uapi/asm/hwcap2.h, since Linux 5.9."""


def diagnose(root: Path = Path("/")) -> Iterator[Finding]:
    """Look at the machine whose files are below ``root``."""
    yield _kernel()
    yield _processor(root)
    yield from _devices(root)
    yield from _memory(root)
    yield _fsgsbase(root)
    yield _seccomp(root)
    yield _cgroups(root)
    yield _runc()
    yield _rune()
    yield _settings()
    yield from _engines(root)


def _kernel() -> Finding:
    found = platform.release()
    match = re.match(r"(\d+)\.(\d+)", found)
    version = (int(match[1]), int(match[2])) if match else (0, 0)
    if version < _SGX_KERNEL:
        return Finding(
            name="kernel",
            status=Status.WARNING,
            text=f"Linux {found} has no SGX driver of its own",
            fix="Linux 5.11 or later; 6.0 for the builtin LibOS",
        )
    if version < _EDMM_KERNEL:
        return Finding(
            name="kernel",
            status=Status.WARNING,
            text=f"Linux {found} has no dynamic memory of enclaves, which the builtin LibOS needs",
            fix="Linux 6.0 or later",
        )
    return Finding(name="kernel", status=Status.OK, text=f"Linux {found}")


def _processor(root: Path) -> Finding:
    flags = set(_first_line(root, "proc/cpuinfo", "flags").split())
    if "sgx" not in flags:
        return Finding(
            name="processor",
            status=Status.WARNING,
            text="no SGX, or not switched on: enclaves can only be simulated, which protects nothing",
            fix="a processor with SGX and flexible launch control, switched on in the firmware; in a virtual "
            "machine, given to it by the host",
        )
    if "sgx_lc" not in flags:
        return Finding(
            name="processor",
            status=Status.WARNING,
            text="SGX without flexible launch control, which Linux' driver needs",
            fix="switch flexible launch control on in the firmware",
        )
    return Finding(name="processor", status=Status.OK, text="SGX with flexible launch control")


def _devices(root: Path) -> Iterator[Finding]:
    enclave, provision = present(ENCLAVE_DEVICES, root), present(PROVISION_DEVICES, root)
    if enclave and _is_noexec(root / "dev"):
        yield Finding(
            name="device",
            status=Status.WARNING,
            text="/dev is mounted noexec: no enclave can be mapped from there",
            fix="mount -o remount,exec /dev",
        )
    elif enclave and (lacking := _without_access(root / enclave[0].lstrip("/"))):
        yield Finding(
            name="device",
            status=Status.WARNING,
            text=f"this user may not use {enclave[0]} ({lacking})",
            fix="as root: usermod -aG GROUP USER, and log in again; containers of root have it by themselves",
        )
    elif enclave:
        yield Finding(name="device", status=Status.OK, text=", ".join(enclave))
    else:
        yield Finding(
            name="device",
            status=Status.WARNING,
            text="no /dev/sgx_enclave: enclaves can only be simulated",
            fix="see kernel and processor; dmesg | grep -i sgx tells why the driver gave up",
        )
        return
    if provision:
        yield Finding(name="provisioning", status=Status.OK, text=", ".join(provision))
    else:
        yield Finding(
            name="provisioning",
            status=Status.WARNING,
            text="no /dev/sgx_provision: no attestation by DCAP",
            fix="udev rules of the kernel's distribution make it",
        )
    if (root / str(AESM_SOCKET).lstrip("/")).exists():
        yield Finding(name="aesm", status=Status.OK, text=str(AESM_SOCKET))
    else:
        yield Finding(
            name="aesm",
            status=Status.WARNING,
            text=f"no {AESM_SOCKET}: quotes only from within the program's own process",
            fix="install and start Intel's sgx-aesm-service, if programs need it",
        )


def _without_access(device: Path) -> str:
    """Return whose a device is, if this user may not use it; else nothing."""
    import grp

    if os.access(device, os.R_OK | os.W_OK) or not device.exists():
        return ""
    status = device.stat()
    try:
        group = grp.getgrgid(status.st_gid).gr_name
    except KeyError:
        group = str(status.st_gid)
    return f"group {group}, mode {stat.S_IMODE(status.st_mode):04o}"


def _is_noexec(folder: Path) -> bool:
    try:
        return bool(os.statvfs(folder).f_flag & os.ST_NOEXEC)
    except OSError:
        return False


def _memory(root: Path) -> Iterator[Finding]:
    """Tell of the enclave page cache: how much there is, whether it is counted, how much is taken."""
    total = _epc_by_sysfs(root) or _epc_by_cpuid(root)
    if not total:
        if present(ENCLAVE_DEVICES, root):
            yield Finding(
                name="epc",
                status=Status.WARNING,
                text="how much enclave page cache there is cannot be told",
                fix="Linux 5.17 or later tells; before, as root: modprobe cpuid",
            )
        return
    yield Finding(name="epc", status=Status.OK, text=f"{total >> 20} MiB of enclave page cache")
    # Documentation/admin-guide/cgroup-v2.rst, "Misc": each line is a resource and how much of it there is.
    if _misc(root, "misc.capacity") is None:
        yield Finding(
            name="epc-limit",
            status=Status.WARNING,
            text="one container can take the enclave page cache of all: no control group counts it",
            fix="a kernel whose misc controller of version 2 has sgx_epc",
        )
        return
    text = 'containers can be limited: linux.resources.unified, "misc.max": "sgx_epc BYTES"'
    yield Finding(name="epc-limit", status=Status.OK, text=text)
    yield from _pressure(root, total)


def _epc_by_sysfs(root: Path) -> int:
    """Sum up the sections of all nodes (Documentation/ABI/stable/sysfs-devices-node); 0: not told."""
    files = sorted((root / "sys/devices/system/node").glob("node*/x86/sgx_total_bytes"))
    return sum(int(text) for file in files if (text := _read(file).strip()).isdecimal())


_CPUID_SGX = 0x12
_CPUID_SECTIONS = range(2, 34)
_CPUID_IS_EPC = 1


def _epc_by_cpuid(root: Path) -> int:
    """Sum up the sections of CPUID.12H, from subleaf 2 on (SDM volume 3D, "Enumeration"); 0: not told.

    cpuid(4): 16 bytes of EAX, EBX, ECX, EDX at the place that is the leaf, and above 32 bits the subleaf.
    """
    total = 0
    try:
        device = os.open(root / "dev/cpu/0/cpuid", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return 0
    try:
        for subleaf in _CPUID_SECTIONS:
            words = os.pread(device, 16, _CPUID_SGX | subleaf << 32)
            eax, _, ecx, edx = struct.unpack("<4I", words) if len(words) == 16 else (0, 0, 0, 0)
            if eax & 0xF != _CPUID_IS_EPC:
                break
            total += (edx & 0xFFFFF) << 32 | ecx & 0xFFFFF000
    except OSError:
        return 0
    finally:
        os.close(device)
    return total


_FULL = 0.9


def _pressure(root: Path, total: int) -> Iterator[Finding]:
    """Tell how much is taken: of all control groups together, or of those at the top."""
    used = _misc(root, "misc.current")
    if used is None:
        files = (path.relative_to(root) for path in (root / _CGROUPS).glob("*/misc.current"))
        of_groups = [
            value for path in files if (value := _misc(root, path.relative_to(_CGROUPS))) is not None
        ]
        used = sum(of_groups) if of_groups else None
    if used is None:
        return
    text = f"{used >> 20} of {total >> 20} MiB are taken"
    if used >= _FULL * total:
        yield Finding(
            name="epc-use",
            status=Status.WARNING,
            text=f"{text}: pages of enclaves are written out of it, which makes them slow, or refused",
            fix="limit containers by misc.max, or run fewer",
        )
    else:
        yield Finding(name="epc-use", status=Status.OK, text=text)


def _misc(root: Path, name: str | Path) -> int | None:
    """Return the value of ``sgx_epc`` in a file of the misc controller; None if it has none."""
    for line in _read(root / _CGROUPS / name).splitlines():
        match line.split():
            case ["sgx_epc", value] if value.isdecimal():
                return int(value)
            case _:
                continue
    return None


def _fsgsbase(root: Path) -> Finding:
    if _auxiliary(root, _AT_HWCAP2) & _HWCAP2_FSGSBASE:
        return Finding(name="fsgsbase", status=Status.OK, text="programs may set FS and GS base themselves")
    return Finding(
        name="fsgsbase",
        status=Status.ERROR,
        text="programs may not set FS and GS base themselves, as every LibOS does",
        fix="Linux 5.9 or later, and no nofsgsbase on its command line",
    )


def _auxiliary(root: Path, wanted: int) -> int:
    """Return an entry of the auxiliary vector (getauxval(3)), 0 if it is not there."""
    data = _read_bytes(root / "proc/self/auxv")
    numbers = [int.from_bytes(data[at : at + 8], "little") for at in range(0, len(data) // 16 * 16, 8)]
    return dict(zip(numbers[::2], numbers[1::2], strict=True)).get(wanted, 0)


def _seccomp(root: Path) -> Finding:
    actions = _read(root / "proc/sys/kernel/seccomp/actions_avail").split()
    if "trap" in actions:
        return Finding(name="seccomp", status=Status.OK, text="filters can be used")
    return Finding(
        name="seccomp",
        status=Status.WARNING,
        text="no seccomp filters: engines cannot confine containers, simulation needs another way",
        fix="a kernel with CONFIG_SECCOMP_FILTER",
    )


def _cgroups(root: Path) -> Finding:
    if (root / "sys/fs/cgroup/cgroup.controllers").exists():
        return Finding(name="cgroups", status=Status.OK, text="version 2")
    if (root / "sys/fs/cgroup").is_dir() and any((root / "sys/fs/cgroup").iterdir()):
        return Finding(name="cgroups", status=Status.OK, text="version 1")
    return Finding(
        name="cgroups",
        status=Status.WARNING,
        text="none are mounted: memory and processors of containers cannot be limited",
        fix="mount -t cgroup2 none /sys/fs/cgroup",
    )


def _runc() -> Finding:
    from enclavize.rune.runc import find_runc

    try:
        return Finding(name="runc", status=Status.OK, text=find_runc())
    except EnclavizeError as error:
        return Finding(name="runc", status=Status.ERROR, text=str(error), fix=error.hint or "")


def _rune() -> Finding:
    from enclavize.node.runtime import find_rune

    try:
        return Finding(name="rune", status=Status.OK, text=str(find_rune()))
    except EnclavizeError as error:
        return Finding(
            name="rune",
            status=Status.ERROR,
            text=str(error),
            fix="pip install enclavize, or make it found in PATH",
        )


def _settings() -> Finding:
    from enclavize.rune.policy import load_policy
    from enclavize.rune.settings import settings_file

    path, _ = settings_file()
    try:
        settings = load_policy().settings
    except EnclavizeError as error:
        return Finding(
            name="settings",
            status=Status.ERROR,
            text=f"{error}: no TEE container starts",
            fix=error.hint or "docs/rune.md lists the keys",
        )
    simulation = {True: "allowed", False: "forbidden", None: "if asked for"}[settings.allow_simulation]
    source = str(path) if path.exists() else f"defaults (no {path})"
    return Finding(name="settings", status=Status.OK, text=f"{source}; simulation: {simulation}")


def _engines(root: Path) -> Iterator[Finding]:
    from enclavize.node import containerd, docker, podman

    for name, program, module in (
        ("docker", "dockerd", docker),
        ("containerd", "containerd", containerd),
        ("podman", "podman", podman),
    ):
        if not shutil.which(program, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"):
            continue
        path = root / str(module.CONFIG).lstrip("/")
        try:
            is_named = module.names_rune(path)
        except EnclavizeError as error:
            yield Finding(name=name, status=Status.WARNING, text=str(error), fix=error.hint or "")
            continue
        if is_named:
            yield Finding(name=name, status=Status.OK, text=f"{module.CONFIG} names rune")
        else:
            yield Finding(
                name=name,
                status=Status.WARNING,
                text=f"{module.CONFIG} does not name rune",
                fix=f"enclavize setup {name}",
            )


def _first_line(root: Path, path: str, name: str) -> str:
    for line in _read(root / path).splitlines():
        key, _, value = line.partition(":")
        if key.strip() == name:
            return value
    return ""


def _read(path: Path) -> str:
    return _read_bytes(path).decode("utf-8", "replace")


def _read_bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""
