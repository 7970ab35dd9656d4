"""What operations cost on SGX hardware, counted on its fake: each time that a thread leaves the enclave."""

from __future__ import annotations

import socket
import tempfile
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING

from bench.harness import Row
from support.programs import static_pie_musl
from support.sgx_fake import Bench
from support.tee import Converter, ordinary_image

if TYPE_CHECKING:
    from collections.abc import Sequence

    from support.sgx_fake import Machine
    from support.tee import TeeTree

CYCLES = 8_300
"""Of one way out and back, warm (Weisse, Bertacco, Austin: HotCalls, ISCA 2017): an estimate."""

FILE_PAGES = 2048
GIB_PAGES = 1 << 18
KINDS = ("eexit", "aex", "ioctl", "eaccept", "eaug")


@dataclass(frozen=True, kw_only=True)
class Counts:
    """Of a run, or for one operation."""

    numbers: dict[str, float]

    @property
    def transitions(self) -> float:
        return self.numbers["eexit"] + self.numbers["aex"]

    def per(self, before: Counts, operations: int) -> Counts:
        return Counts(
            numbers={kind: (self.numbers[kind] - before.numbers[kind]) / operations for kind in KINDS}
        )

    def __str__(self) -> str:
        told = ", ".join(f"{value:.4g} {kind.upper()}" for kind, value in self.numbers.items() if value)
        cycles = f"estimate {self.transitions * CYCLES / 1000:.4g} k cycles"
        return f"{self.transitions:.4g} transitions ({told or 'nothing'}), {cycles}"


def counts_of(report: str) -> Counts:
    """Read what the fake tells at its end."""
    lines = [line.split() for line in report.splitlines() if line.startswith("fake: ")]
    numbers = {name: float(number) for _, name, number in lines}
    return Counts(numbers={kind: numbers[kind] for kind in KINDS})


def _run(machine: Machine, tree: TeeTree, *arguments: str) -> Counts:
    done = machine.run(tree.instance, *arguments, options=f"root={tree.root}")
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(arguments)}: exit code {done.returncode}: {done.stderr}")
    return counts_of(done.stderr)


def _ask(output: IO[str], requests: int) -> None:
    with socket.create_connection(("127.0.0.1", int(output.readline())), timeout=120) as connection:
        for _ in range(requests):
            connection.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            connection.recv(4096)


def _serve(machine: Machine, tree: TeeTree, requests: int) -> Counts:
    reader, writer = socket.socketpair()
    with reader, reader.makefile("r") as output:
        client = threading.Thread(target=_ask, args=(output, requests))
        client.start()
        with writer:
            done = machine.run(
                tree.instance, "/transitions", "serve", str(requests), options=f"root={tree.root}",
                output=writer.fileno(),
            )  # fmt: skip
        client.join()
    return counts_of(done.stderr)


def _row(name: str, target: str, counts: Counts, met: bool | None) -> Row:
    return Row(name=name, target=target, ours=str(counts), peer="-", met=met)


def _each(machine: Machine, tree: TeeTree, arguments: Sequence[str], few: int, many: int) -> Counts:
    """Return what one operation more costs."""
    low, high = (_run(machine, tree, "/transitions", *arguments, str(count)) for count in (few, many))
    return high.per(low, many - few)


def transition_rows(base: Path) -> list[Row]:
    """Count them, for a start and for operations."""
    with tempfile.TemporaryDirectory(dir=base, prefix="transitions-") as scratch:
        folder = Path(scratch)
        rootfs = folder / "rootfs"
        rootfs.mkdir()
        static_pie_musl(Path(__file__).parent / "transitions.c", rootfs / "transitions", "-pthread")
        (rootfs / "file").write_bytes(bytes(range(256)) * 16 * FILE_PAGES)
        image = ordinary_image(folder / "layout", rootfs, config=["--config.cmd", "/transitions"])
        options = ("--debug", "--allow-args", "--allow-network", "all", "--set", "memory=1500M")
        tree = Converter.create(folder).tree(image, "tree", *options)
        (folder / "fake").mkdir()
        bench = Bench.create(folder / "fake")
        machine = bench.machine(bench.program)
        start = _run(machine, tree, "/transitions", "start")
        heap = _run(machine, tree, "/transitions", "heap", "1024").per(start, GIB_PAGES // 64)
        thread = _each(machine, tree, ["thread"], 10, 110)
        spawn = _each(machine, tree, ["spawn"], 2, 22)
        page = _each(machine, tree, ["file", "/file"], 1, FILE_PAGES)
        few, many = (_serve(machine, tree, count) for count in (20, 220))
        request = many.per(few, 200)
        return [
            _row("start of hello", "60 transitions", start, start.transitions < 60),
            _row("64 pages of 1 GiB of touched heap", "1 transition", heap, heap.transitions <= 1),
            _row("thread, created and joined", "-", thread, None),
            _row("fork + exec + wait", "-", spawn, None),
            _row("page of a verified file, touched", "-", page, None),
            _row("GET, connection kept", "3 transitions", request, request.transitions <= 3),
        ]
