"""From start to exit of large interpreters: native, and in the enclave (simulation), in CPU time."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from bench.harness import Row, seconds
from support.tee import Converter, ordinary_image

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

ROUNDS = 7
INTERPRETERS = {"python3": ("-c", "print(1)"), "node": ("-e", "console.log(1)")}
"""Programs of this machine, where they are there, and what they are told to do."""


def _copy(path: str, rootfs: Path) -> None:
    target = rootfs / path.removeprefix("/")
    target.parent.mkdir(parents=True, exist_ok=True)
    if not target.exists():
        shutil.copy2(Path(path).resolve(), target)


def _library_folders(program: str) -> list[str]:
    """Return Python's own modules, if the program is one."""
    code = "import sysconfig; print(sysconfig.get_path('stdlib'))"
    if Path(program).name != "python3":
        return []
    return subprocess.run([program, "-c", code], capture_output=True, text=True, check=True).stdout.split()


def _rootfs(program: str, rootfs: Path) -> None:
    """Put the program and what it needs into a root file system."""
    (rootfs / "tmp").mkdir(parents=True)
    _copy(program, rootfs)
    listed = subprocess.run(["ldd", program], capture_output=True, text=True, check=True).stdout
    for library in re.findall(r"(/\S+) \(0x", listed):
        _copy(library, rootfs)
    for folder in _library_folders(program):
        leave_out = shutil.ignore_patterns("test", "tests", "config-*", "dist-packages", "site-packages")
        shutil.copytree(folder, rootfs / folder.removeprefix("/"), symlinks=True, ignore=leave_out)


def _cpu_seconds(command: Sequence[str | Path], environment: Mapping[str, str] | None = None) -> float:
    """Return the least of some runs, user and system."""
    times = []
    for _ in range(ROUNDS):
        with subprocess.Popen(
            list(map(str, command)), env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        ) as process:  # fmt: skip
            _pid, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode != 0:
            raise SystemExit(f"{command}: exit code {process.returncode}")
        times.append(usage.ru_utime + usage.ru_stime)
    return min(times)


def start_rows(base: Path) -> list[Row]:
    """Measure each interpreter that this machine has."""
    rows = []
    for name, arguments in INTERPRETERS.items():
        program = shutil.which(name, path="/usr/bin:/usr/local/bin")
        if program is None:
            continue
        with tempfile.TemporaryDirectory(dir=base, prefix=f"{name}-") as scratch:
            folder = Path(scratch)
            _rootfs(program, folder / "rootfs")
            image = ordinary_image(folder / "layout", folder / "rootfs", config=["--config.cmd", program])
            options = ("--allow-args", "--set", "threads=32", "--set", "memory=4G")
            tree = Converter.create(folder).tree(image, "tree", *options)
            native = _cpu_seconds(["chroot", folder / "rootfs", program, *arguments])
            ours = _cpu_seconds([tree.runelet, program, *arguments], tree.environment)
        rows.append(
            Row(
                name=f"{name}, start to exit (CPU time)",
                target="2.5 x native",
                ours=f"{seconds(ours)}, {ours / native:.1f} x",
                peer=f"{seconds(native)} native",
                met=ours <= 2.5 * native,
            )
        )
    return rows
