"""Start-up and the cost of a system call: native, under runc, in the enclave (simulation)."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from bench.harness import Row, median, run, seconds
from support.programs import SAMPLES, static_musl

if TYPE_CHECKING:
    from bench.harness import Sample

ROUNDS = 11


def _image(base: Path, program: Path, name: str, environment: dict[str, str]) -> str:
    rootfs = base / f"{name}-rootfs"
    (rootfs / "bin").mkdir(parents=True)
    shutil.copy(program, rootfs / "bin" / name)
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


def run_rows(base: Path) -> list[Row]:
    """Measure hello and the cost of calls."""
    environment = {
        **os.environ,
        "XDG_DATA_HOME": str(base / "data"),
        "XDG_CACHE_HOME": str(base / "cache"),
        "HOME": str(base),
    }
    hello = static_musl(SAMPLES / "hello" / "hello.c", base / "hello")
    cost = static_musl(Path(__file__).parent / "cost.c", base / "cost")
    enclavize = [sys.executable, "-m", "enclavize"]
    if not (base / "key.pem").exists():
        subprocess.run(
            [*enclavize, "keygen", base / "key.pem"], env=environment, check=True, capture_output=True
        )

    tee = _image(base, hello, "hello", environment)
    native = median(ROUNDS, lambda: run([hello]))
    runc = median(ROUNDS, lambda: run(["runc", "run", "--bundle", base / "hello-bundle", "bench-hello"]))
    whole = median(ROUNDS, lambda: run([*enclavize, "run", "--simulate", tee], environment))
    bundle = next(
        path.parent for path in sorted((base / "cache").rglob("runelet")) if path.parent.name == "bin"
    )
    root = bundle.parents[1]
    direct = {
        **environment,
        "ENCLAVIZE_SIMULATE": "1",
        "ENCLAVIZE_ROOT": str(root),
        "ENCLAVIZE_INSTANCE": str(root / ".enclave/instance"),
    }
    runelet = median(ROUNDS, lambda: run([bundle / "runelet"], direct))

    cost_tee = _image(base, cost, "cost", environment)
    native_calls = [float(word) for word in run([cost]).stdout.split()]
    enclave: Sample = run([*enclavize, "run", "--simulate", cost_tee], environment)
    enclave_calls = [float(word) for word in enclave.stdout.split()]
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
            target="-",
            ours=seconds(whole.seconds),
            peer=seconds(runc.seconds),
            met=None,
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
    ]
