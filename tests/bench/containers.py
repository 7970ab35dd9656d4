"""What a container costs from create to delete: rune against runc, ordinary and TEE, one and twenty at once.

CPU time is that of the runtime's commands (create, start, delete, and what they wait for). The TEE container
is simulated; its program and that of the ordinary one do nothing.
"""

from __future__ import annotations

import json
import os
import select
import shutil
import statistics
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bench.harness import Row, seconds
from support.programs import busybox
from support.rune import ENTRYPOINT, RuneInstallation, read_spec, write_bundle
from support.tee import Converter, ordinary_image

if TYPE_CHECKING:
    from pathlib import Path

ROUNDS = 15
CROWD = 20
CROWD_ROUNDS = 3
LIMIT = 1.5
"""What a TEE container may cost of an ordinary one."""


@dataclass(frozen=True, kw_only=True)
class Cost:
    """Seconds: of CPU of ``create``, of CPU of all commands, of wall clock from create to delete."""

    create: float
    cpu: float
    wall: float


@dataclass(frozen=True, kw_only=True)
class Runtime:
    """A runtime and the bundle that it runs."""

    program: str
    bundle: Path

    def _command(self, *arguments: str | Path) -> float:
        """Run to the end; return seconds of CPU."""
        with subprocess.Popen(
            [self.program, *map(str, arguments)],
            env={**os.environ, "ENCLAVIZE_SIMULATE": "1"},
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        ) as process:  # fmt: skip
            _pid, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode != 0:
            raise SystemExit(f"{self.program} {arguments[0]}: exit code {process.returncode}")
        return usage.ru_utime + usage.ru_stime

    def once(self, name: str) -> Cost:
        """Let a container live; engines have a bundle for each one."""
        bundle = self.bundle.with_name(f"{self.bundle.name}-{name}")
        bundle.mkdir()
        spec = read_spec(self.bundle)
        spec["root"]["path"] = str(self.bundle / "rootfs")
        (bundle / "config.json").write_text(json.dumps(spec))
        name = f"bench-{os.getpid()}-{bundle.name}"
        start = time.perf_counter()
        create = self._command("create", "--pid-file", bundle / "pid", "--bundle", bundle, name)
        process = os.pidfd_open(int((bundle / "pid").read_text()))
        cpu = create + self._command("start", name)
        select.select([process], [], [])
        os.close(process)
        cpu += self._command("delete", name)
        cost = Cost(create=create, cpu=cpu, wall=time.perf_counter() - start)
        shutil.rmtree(bundle)
        return cost

    def crowd(self, number: int) -> float:
        """Let containers live at once; return the seconds until all are gone."""
        start = time.perf_counter()
        with ThreadPoolExecutor(CROWD) as pool:
            list(pool.map(self.once, (f"{number}-{index}" for index in range(CROWD))))
        return time.perf_counter() - start


def _runtimes(base: Path) -> dict[str, Runtime]:
    rootfs = base / "rootfs"
    (rootfs / "bin").mkdir(parents=True)
    shutil.copy(busybox(), rootfs / "bin" / "true")
    source = ordinary_image(base / "layout", rootfs, config=["--config.entrypoint", "/bin/true"])
    ordinary, tee = base / "ordinary", base / "tee"
    for bundle in (ordinary, tee):
        bundle.mkdir()
    rootfs.rename(ordinary / "rootfs")
    Converter.create(base).tree(source, "tree").root.rename(tee / "rootfs")
    write_bundle(ordinary, ["/bin/true"])
    write_bundle(tee, [ENTRYPOINT])
    (base / "installed").mkdir()
    rune = str(RuneInstallation.create(base / "installed").rune)
    runc = shutil.which("runc") or "runc"
    return {
        "runc": Runtime(program=runc, bundle=ordinary),
        "rune": Runtime(program=rune, bundle=ordinary),
        "tee": Runtime(program=rune, bundle=tee),
    }


def container_rows(base: Path) -> list[Row]:
    """Measure all by turns, so that a change of the machine's load is everybody's."""
    folder = base / "containers"
    folder.mkdir()
    runtimes = _runtimes(folder)
    for runtime in runtimes.values():
        runtime.once("first")
    alone = [{key: item.once(str(number)) for key, item in runtimes.items()} for number in range(ROUNDS)]
    crowds = [{key: item.crowd(number) for key, item in runtimes.items()} for number in range(CROWD_ROUNDS)]
    figures = {
        "CPU of create": {key: statistics.median(row[key].create for row in alone) for key in runtimes},
        "CPU of create, start and delete": {
            key: statistics.median(row[key].cpu for row in alone) for key in runtimes
        },
        "create to delete": {key: statistics.median(row[key].wall for row in alone) for key in runtimes},
        f"{CROWD} at once": {key: statistics.median(row[key] for row in crowds) for key in runtimes},
    }
    return [row for name, values in figures.items() for row in _rows(name, values)]


def _rows(name: str, values: dict[str, float]) -> list[Row]:
    runc = values["runc"]
    limited = name == "CPU of create" or "at once" in name
    return [
        Row(
            name=f"container, {kind}: {name}",
            target=f"{limit} x runc" if limit else "-",
            ours=f"{seconds(values[key])}, {values[key] / runc:.2f} x",
            peer=f"{seconds(runc)} runc, ordinary",
            met=values[key] <= limit * runc if limit else None,
        )
        for key, kind, limit in (("rune", "ordinary", 0.0), ("tee", "TEE", LIMIT if limited else 0.0))
    ]
