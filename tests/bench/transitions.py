"""What operations cost on SGX hardware, counted on its fake: each time that a thread leaves the enclave."""

from __future__ import annotations

import socket
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from bench.harness import Row
from support.http_servers import COMMANDS, MINIMAL, server_tree
from support.programs import static_pie_musl
from support.sgx_fake import Bench
from support.tee import Converter, ordinary_image

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from support.sgx_fake import Machine
    from support.tee import TeeTree

CYCLES = 8_300
"""Of one way out and back, warm (Weisse, Bertacco, Austin: HotCalls, ISCA 2017): an estimate. Gramine's
documentation (performance.rst) says 8,000 to 12,000; what the kernel does at an asynchronous exit comes
on top."""

GRAMINE_HELLO = "Gramine's documentation: 192 EEXIT, 201 AEX"
"""performance.rst: its helloworld, with the interrupts of a real machine."""

OPTIONS = ("--debug", "--allow-args", "--allow-network", "all", "--set", "memory=1500M")
FILE_PAGES = 2048
GIB_PAGES = 1 << 18
KINDS = ("eenter", "eexit", "aex", "ioctl", "eaccept", "eaug", "eremove")

REQUEST = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
WARM_UP, REQUESTS = 200, 2_000
SERVERS = {"epoll": "epoll in C", "go": "Go net/http", "node": "Node http"}


@dataclass(frozen=True, kw_only=True)
class Counts:
    """Of a run, or for one operation."""

    numbers: Mapping[str, float]

    @property
    def transitions(self) -> float:
        """Ways out: for OCALLs, at the end of what the enclave was entered for, and asynchronous ones."""
        return self.numbers["eexit"] + self.numbers["aex"]

    def per(self, before: Counts, operations: int) -> Counts:
        return Counts(
            numbers={kind: (self.numbers[kind] - before.numbers[kind]) / operations for kind in KINDS}
        )

    def __str__(self) -> str:
        told = ", ".join(f"{_short(self.numbers[kind])} {kind.upper()}" for kind in KINDS)
        cycles = f"{self.transitions * CYCLES / 1000:.3g} k cycles (estimate)"
        return f"{_short(self.transitions)} transitions, {cycles}: {told}"


def _short(number: float) -> str:
    return f"{number:.0f}" if number >= 100 else f"{number:.2f}".rstrip("0").rstrip(".")


def counts_of(report: str) -> Counts:
    """Read what the fake tells at its end."""
    lines = [line.split() for line in report.splitlines() if line.startswith("fake: ")]
    return Counts(numbers={name: float(number) for _, name, number in lines})


def _run(machine: Machine, tree: TeeTree, *arguments: str) -> Counts:
    done = machine.run(tree.instance, *arguments, options=f"root={tree.root}")
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(arguments)}: exit code {done.returncode}: {done.stderr}")
    return counts_of(done.stderr)


def _each(machine: Machine, tree: TeeTree, arguments: Sequence[str], few: int, many: int) -> Counts:
    """Return what one operation more costs."""
    low, high = (_run(machine, tree, "/transitions", *arguments, str(count)) for count in (few, many))
    return high.per(low, many - few)


def _ask(connection: socket.socket, requests: int) -> None:
    for _ in range(requests):
        connection.sendall(REQUEST)
        if not connection.recv(4096):
            raise SystemExit("the server has closed a connection that was to be kept")


def _request(machine: Machine, folder: Path, server: str, *settings: str) -> Counts:
    """Return what a request costs that comes when the last one was answered."""
    runtime, *command = (COMMANDS | MINIMAL)[server]
    folder.mkdir()
    tree = server_tree(runtime, folder, *settings)
    with (
        machine.serving(tree, *command, counts_file=folder / "counts") as served,
        socket.create_connection(("127.0.0.1", served.port), timeout=120) as connection,
    ):
        _ask(connection, WARM_UP)
        before = Counts(numbers=served.counts())
        _ask(connection, REQUESTS)
        return Counts(numbers=served.counts()).per(before, REQUESTS)


def _row(name: str, target: str, counts: Counts, met: bool | None, *, peer: str = "-") -> Row:
    return Row(name=name, target=target, ours=str(counts), peer=peer, met=met)


def _operations(machine: Machine, folder: Path) -> list[Row]:
    rootfs = folder / "rootfs"
    rootfs.mkdir()
    static_pie_musl(Path(__file__).parent / "transitions.c", rootfs / "transitions", "-pthread")
    (rootfs / "file").write_bytes(bytes(range(256)) * 16 * FILE_PAGES)
    image = ordinary_image(folder / "layout", rootfs, config=["--config.cmd", "/transitions"])
    tree = Converter.create(folder).tree(image, "tree", *OPTIONS)
    start = _run(machine, tree, "/transitions", "start")
    heap = _run(machine, tree, "/transitions", "heap", "1024").per(start, GIB_PAGES // 64)
    return [
        _row("start of hello", "60 transitions", start, start.transitions < 60, peer=GRAMINE_HELLO),
        _row("64 pages of 1 GiB of touched heap", "1 transition", heap, heap.transitions <= 1),
        _row("thread, created and joined", "-", _each(machine, tree, ["thread"], 10, 110), None),
        _row("fork + exec + wait", "-", _each(machine, tree, ["spawn"], 2, 22), None),
        _row(
            "page of a verified file, touched", "-",
            _each(machine, tree, ["file", "/file"], 1, FILE_PAGES), None,
        ),
    ]  # fmt: skip


def _requests(machine: Machine, folder: Path) -> list[Row]:
    rows = []
    for server, name in SERVERS.items():
        counts = _request(machine, folder / server, server)
        met = round(counts.transitions, 1) <= 3  # runtimes look at clocks and wake threads at times
        rows.append(_row(f"GET, connection kept: {name}", "3 transitions", counts, met))
        counts = _request(machine, folder / f"{server}-switchless", server, "switchless=1")
        met = round(counts.transitions, 1) <= 3
        rows.append(_row(f"GET, connection kept, switchless=1: {name}", "3 transitions", counts, met))
    return rows


def transition_rows(base: Path) -> list[Row]:
    """Count them, for a start and for operations."""
    with tempfile.TemporaryDirectory(dir=base, prefix="transitions-") as scratch:
        folder = Path(scratch)
        for name in ("operations", "servers", "fake"):
            (folder / name).mkdir()
        bench = Bench.create(folder / "fake")
        machine = bench.machine(bench.program)
        return [*_operations(machine, folder / "operations"), *_requests(machine, folder / "servers")]
