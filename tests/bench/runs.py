"""Start-up and the cost of a system call: native, under runc, in the enclave (simulation)."""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from bench.harness import Row, median, median_of, run, seconds, times
from support.programs import SAMPLES, static_musl
from support.tee import Converter, ordinary_image

if TYPE_CHECKING:
    from bench.harness import Sample
    from support.tee import TeeTree

ROUNDS = 11
COST_ROUNDS = 5


TIMED = ("clock_gettime", "pipe there and back", "condition there and back", "thread made and joined")
"""What cost.c prints behind the first three figures. Wakes are quick with two free processors only."""

EPOLL = (
    "one of 4,000 idle sockets added to an epoll",
    "one of 4,000 sockets written, told of by epoll, read",
)
"""What epoll.c prints."""

DATA_SIZE = 64 << 20
"""Bytes of the file that is read."""


def _image(converter: Converter, program: Path, data: Path | None = None) -> TeeTree:
    """Make an image of one program, and convert it; ``NAME-tee.tar`` and ``NAME-tee`` are what it became.

    Its name is the program's. The runelet of the tree is started directly, without an engine in between,
    which would copy what the program writes from a pipe to its place.
    """
    name = program.name
    rootfs = converter.base / f"{name}-rootfs"
    (rootfs / "bin").mkdir(parents=True)
    shutil.copy(program, rootfs / "bin" / name)
    if data is not None:
        shutil.copy(data, rootfs / "data")
    layout = converter.base / f"{name}-ordinary"
    image = ordinary_image(layout, rootfs, config=["--config.cmd", f"/bin/{name}"])
    return converter.tree(image, f"{name}-tee")


def _bundle(converter: Converter, name: str) -> Path:
    """Unpack the image as it was for runc."""
    bundle = converter.base / f"{name}-bundle"
    image = f"{converter.base / f'{name}-ordinary'}:1"
    subprocess.run(["umoci", "unpack", "--image", image, bundle], check=True, capture_output=True)
    config = bundle / "config.json"
    config.write_text(config.read_text().replace('"terminal": true', '"terminal": false'))
    return bundle


def _figures(sample: Sample) -> list[float]:
    return [float(word) for word in sample.stdout.split()]


def _both_sides(
    converter: Converter, source: str, data: Path | None = None
) -> tuple[list[float], list[float]]:
    """Measure what a program prints, natively and in the enclave by turns; return both sides' medians."""
    program = static_musl(Path(__file__).parent / source, converter.base / Path(source).stem)
    tree = _image(converter, program, data)
    native = [program] if data is None else [program, data]
    rounds = [(_figures(run(native)), _figures(_started(tree))) for _ in range(COST_ROUNDS)]
    sides = (
        [statistics.median(figures) for figures in zip(*side, strict=True)]
        for side in zip(*rounds, strict=True)
    )
    return next(sides), next(sides)


def _started(tree: TeeTree) -> Sample:
    return run([tree.runelet], {**os.environ, **tree.environment})


def run_rows(base: Path) -> list[Row]:
    """Measure hello and the cost of calls."""
    folder = base / "runs"
    folder.mkdir()
    converter = Converter.create(folder)
    hello = static_musl(SAMPLES / "hello" / "hello.c", folder / "hello")
    tree = _image(converter, hello)
    bundle = _bundle(converter, "hello")
    archive = f"oci-archive:{folder / 'hello-tee.tar'}"
    command = [sys.executable, "-m", "enclavize", "run", "--simulate", archive]
    native = median(ROUNDS, lambda: run([hello]))
    runelet = median(ROUNDS, lambda: _started(tree))
    run(command, converter.environment)
    engines, wholes = [], []
    for _ in range(ROUNDS):
        engines.append(run(["runc", "run", "--bundle", bundle, "bench-hello"]))
        wholes.append(run(command, converter.environment))
    runc, whole = median_of(engines), median_of(wholes)

    file = folder / "sequential"
    with file.open("wb") as stream:  # not held: a child's peak memory begins with its parent's
        for _ in range(DATA_SIZE >> 20):
            stream.write(os.urandom(1 << 20))
    native_calls, enclave_calls = _both_sides(converter, "cost.c", file)
    native_epoll, enclave_epoll = _both_sides(converter, "epoll.c")
    return [
        Row(name="hello, native", target="-", ours=seconds(native.seconds), peer="-", met=None),
        Row(
            name="hello, runelet start to exit",
            target="< 15 ms",
            ours=seconds(runelet.seconds),
            peer=seconds(native.seconds),
            met=runelet.seconds < 0.015,
        ),
        Row(
            name="hello, enclavize run (peer: runc run)",
            target="< 100 ms",
            ours=times(whole),
            peer=times(runc),
            met=whole.seconds < 0.1,
        ),
        Row(
            name="getpid served inside",
            target="< 0.2 us",
            ours=f"{enclave_calls[0]:.0f} ns",
            peer=f"{native_calls[0]:.0f} ns native",
            met=enclave_calls[0] < 200,
        ),
        Row(
            name="write of 64 bytes, forwarded",
            target="< 0.6 us",
            ours=f"{enclave_calls[1]:.0f} ns",
            peer=f"{native_calls[1]:.0f} ns native",
            met=enclave_calls[1] < 600,
        ),
        Row(
            name="verified sequential read",
            target="2 GB/s",
            ours=f"{enclave_calls[2]:.0f} MB/s",
            peer=f"{native_calls[2]:.0f} MB/s native",
            met=enclave_calls[2] >= 2000,
        ),
        *(
            Row(
                name=name,
                target="2 x native",
                ours=f"{ours:.0f} ns, {ours / peer:.1f} x",
                peer=f"{peer:.0f} ns native",
                met=ours <= 2 * peer,
            )
            for name, ours, peer in zip(TIMED, enclave_calls[3:-2], native_calls[3:-2], strict=True)
        ),
        *(
            Row(
                name=name,
                target="2 x native",
                ours=f"{ours:.0f} ns, {ours / peer:.1f} x",
                peer=f"{peer:.0f} ns native",
                met=ours <= 2 * peer,
            )
            for name, ours, peer in zip(EPOLL, enclave_epoll, native_epoll, strict=True)
        ),
        Row(
            name="store to a page of two views by turns",
            target="-",
            ours=f"{enclave_calls[-2] / 1000:.1f} us",
            peer=f"{native_calls[-2]:.0f} ns native",
            met=None,
        ),
        Row(
            name="first touch of shared memory",
            target="-",
            ours=f"{enclave_calls[-1]:.0f} MB/s",
            peer=f"{native_calls[-1]:.0f} MB/s native",
            met=None,
        ),
    ]
