"""Start-up and the cost of a system call: native, under runc, in the enclave (simulation)."""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from bench.harness import Row, median, run, seconds, times
from support.programs import SAMPLES, static_musl

if TYPE_CHECKING:
    from bench.harness import Sample

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


def _image(
    base: Path, program: Path, name: str, environment: dict[str, str], data: Path | None = None
) -> str:
    rootfs = base / f"{name}-rootfs"
    (rootfs / "bin").mkdir(parents=True)
    shutil.copy(program, rootfs / "bin" / name)
    if data is not None:
        shutil.copy(data, rootfs / "data")
    layout = base / f"{name}-layout"
    for arguments in (
        ["init", "--layout", layout],
        ["new", "--image", f"{layout}:1"],
        ["insert", "--image", f"{layout}:1", rootfs, "/"],
        [
            "config",
            "--image",
            f"{layout}:1",
            "--architecture",
            "amd64",
            "--os",
            "linux",
            "--config.cmd",
            f"/bin/{name}",
        ],
        ["unpack", "--image", f"{layout}:1", base / f"{name}-bundle"],
    ):
        subprocess.run(["umoci", *arguments], check=True, capture_output=True)
    config = base / f"{name}-bundle" / "config.json"
    config.write_text(config.read_text().replace('"terminal": true', '"terminal": false'))
    subprocess.run(
        [
            sys.executable,
            "-m",
            "enclavize",
            "build",
            f"oci:{layout}:1",
            "--key",
            base / "key.pem",
            "-q",
            "-t",
            "bench:1",
            "-o",
            f"type=oci,dest={base / f'{name}-tee.tar'}",
        ],
        env=environment,
        check=True,
        capture_output=True,
    )
    return f"oci-archive:{base / f'{name}-tee.tar'}"


def _unpacked(base: Path, name: str, tee: str, environment: dict[str, str]) -> tuple[Path, dict[str, str]]:
    """Unpack an image by running it; return its runelet, and the environment that starts it directly.

    Without an engine in between, which would copy what the program writes from a pipe to its place.
    """
    cache = base / f"{name}-cache"
    run(
        [sys.executable, "-m", "enclavize", "run", "--simulate", tee],
        {**environment, "XDG_CACHE_HOME": str(cache)},
    )
    runelet = next(path for path in cache.rglob("runelet") if path.parent.name == "bin")
    root = runelet.parents[2]
    return runelet, {
        **environment,
        "ENCLAVIZE_SIMULATE": "1",
        "ENCLAVIZE_ROOT": str(root),
        "ENCLAVIZE_INSTANCE": str(root / ".enclave/instance"),
    }


def _figures(sample: Sample) -> list[float]:
    return [float(word) for word in sample.stdout.split()]


def _both_sides(
    base: Path, source: str, environment: dict[str, str], data: Path | None = None
) -> tuple[list[float], list[float]]:
    """Measure what a program prints, natively and in the enclave by turns; return both sides' medians."""
    name = Path(source).stem
    program = static_musl(Path(__file__).parent / source, base / name)
    runelet, direct = _unpacked(base, name, _image(base, program, name, environment, data), environment)
    native = [program] if data is None else [program, data]
    rounds = [(_figures(run(native)), _figures(run([runelet], direct))) for _ in range(COST_ROUNDS)]
    sides = (
        [statistics.median(figures) for figures in zip(*side, strict=True)]
        for side in zip(*rounds, strict=True)
    )
    return next(sides), next(sides)


def run_rows(base: Path) -> list[Row]:
    """Measure hello and the cost of calls."""
    environment = {
        **os.environ,
        "XDG_DATA_HOME": str(base / "data"),
        "XDG_CACHE_HOME": str(base / "cache"),
        "HOME": str(base),
    }
    hello = static_musl(SAMPLES / "hello" / "hello.c", base / "hello")
    enclavize = [sys.executable, "-m", "enclavize"]
    if not (base / "key.pem").exists():
        subprocess.run(
            [*enclavize, "keygen", base / "key.pem"], env=environment, check=True, capture_output=True
        )

    tee = _image(base, hello, "hello", environment)
    native = median(ROUNDS, lambda: run([hello]))
    runc = median(ROUNDS, lambda: run(["runc", "run", "--bundle", base / "hello-bundle", "bench-hello"]))
    whole = median(ROUNDS, lambda: run([*enclavize, "run", "--simulate", tee], environment))
    runelet_file, direct = _unpacked(base, "hello", tee, environment)
    runelet = median(ROUNDS, lambda: run([runelet_file], direct))

    file = base / "sequential"
    with file.open("wb") as stream:  # not held: a child's peak memory begins with its parent's
        for _ in range(DATA_SIZE >> 20):
            stream.write(os.urandom(1 << 20))
    native_calls, enclave_calls = _both_sides(base, "cost.c", environment, file)
    native_epoll, enclave_epoll = _both_sides(base, "epoll.c", environment)
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
            target="1 GB/s",
            ours=f"{enclave_calls[2]:.0f} MB/s",
            peer=f"{native_calls[2]:.0f} MB/s native",
            met=enclave_calls[2] >= 1000,
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
