"""Conversion of a ~500 MB image, registry to registry, beside ``skopeo copy`` of the same image."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

from bench.harness import Row, median_of, megabytes, run, times
from bench.images import large_image
from support.registry import running_registry

if TYPE_CHECKING:
    from pathlib import Path

ROUNDS = 5


def build_rows(base: Path) -> list[Row]:
    """Measure first build, rebuild, memory and bytes pushed."""
    layout, rootfs = large_image(base)
    environment = {
        **os.environ,
        "XDG_DATA_HOME": str(base / "data"),
        "HOME": str(base),
        "SOURCE_DATE_EPOCH": "0",
    }
    key = base / "key.pem"
    enclavize = [sys.executable, "-m", "enclavize"]
    subprocess.run([*enclavize, "keygen", key], env=environment, check=True, capture_output=True)
    ours, peer, rebuilds = [], [], []
    pushed = 0
    with running_registry(base / "source") as source:
        subprocess.run(
            [
                "skopeo",
                "copy",
                "-q",
                "--dest-tls-verify=false",
                f"oci:{layout}:1",
                f"docker://{source.host}/big:1",
            ],
            check=True,
        )
        for number in range(ROUNDS):
            with running_registry(base / f"peer{number}") as target:
                peer.append(
                    run(
                        [
                            "skopeo",
                            "copy",
                            "-q",
                            "--src-tls-verify=false",
                            "--dest-tls-verify=false",
                            f"docker://{source.host}/big:1",
                            f"docker://{target.host}/out:1",
                        ]
                    )
                )
            with running_registry(base / f"ours{number}") as target:
                cached = {**environment, "XDG_CACHE_HOME": str(base / f"cache{number}")}
                command = [
                    *enclavize,
                    "build",
                    f"{source.host}/big:1",
                    "-t",
                    f"{target.host}/out:1",
                    "--key",
                    str(key),
                    "--push",
                    "-q",
                ]
                ours.append(run(command, cached))
                rebuilds.append(run(command, cached))
        before = source.stored_bytes()
        run(
            [
                *enclavize,
                "build",
                f"{source.host}/big:1",
                "-t",
                f"{source.host}/big:tee",
                "--key",
                str(key),
                "--push",
                "-q",
            ],
            {**environment, "XDG_CACHE_HOME": str(base / "cache0")},
        )
        pushed = source.stored_bytes() - before
    build, copy, rebuild = map(median_of, (ours, peer, rebuilds))
    limit = rootfs * 0.02 + 1e6
    return [
        Row(
            name="first build, registry to registry",
            target="<= 2 x skopeo copy",
            ours=times(build),
            peer=times(copy),
            met=build.seconds <= 2 * copy.seconds,
        ),
        Row(
            name="rebuild, nothing changed",
            target="< 0.3 s",
            ours=times(rebuild),
            peer="-",
            met=rebuild.seconds < 0.3,
        ),
        Row(
            name="peak memory of the build",
            target="< 100 MB",
            ours=megabytes(build.peak),
            peer=megabytes(copy.peak),
            met=build.peak < 100e6,
        ),
        Row(
            name="bytes pushed beyond the source",
            target="< 2 % of the rootfs + 1 MB",
            ours=megabytes(pushed),
            peer=megabytes(limit),
            met=pushed < limit,
        ),
    ]
