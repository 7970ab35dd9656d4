"""Conversion of a ~500 MB image, registry to registry, beside ``skopeo copy`` of the same image."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bench.harness import Row, median_of, megabytes, run, times
from bench.images import large_image, large_layer
from support.registry import running_registry

if TYPE_CHECKING:
    from pathlib import Path

    from bench.harness import Sample
    from bench.images import LargeImage
    from support.registry import Registry

ROUNDS = 5
REBUILD = 0.3
"""Seconds."""
PEAK = 100e6

_ENCLAVIZE = (sys.executable, "-m", "enclavize")


@dataclass(frozen=True, kw_only=True)
class _Figures:
    build: Sample
    copy: Sample
    rebuild: Sample
    pushed: int
    """Bytes that the source's registry has more, when the TEE image is pushed there."""


def build_rows(base: Path) -> list[Row]:
    """Measure first build, rebuild, memory and bytes pushed."""
    image = large_image()
    several, single = _measured(base / "several", image), _measured(base / "single", large_layer())
    limit = image.size * 0.02 + 1e6
    return [
        _first_row("first build, registry to registry", several, 2.0),
        _first_row("the same, one single layer", single, 2.5),
        Row(
            name="rebuild, nothing changed",
            target=f"< {REBUILD} s",
            ours=times(several.rebuild),
            peer="-",
            met=several.rebuild.seconds < REBUILD,
        ),
        Row(
            name="peak memory of the build",
            target=f"< {megabytes(PEAK)}",
            ours=megabytes(max(several.build.peak, single.build.peak)),
            peer=megabytes(several.copy.peak),
            met=max(several.build.peak, single.build.peak) < PEAK,
        ),
        Row(
            name="bytes pushed beyond the source",
            target="< 2 % of the rootfs + 1 MB",
            ours=megabytes(several.pushed),
            peer=megabytes(limit),
            met=several.pushed < limit,
        ),
    ]


def _first_row(name: str, figures: _Figures, target: float) -> Row:
    build, copy = figures.build, figures.copy
    return Row(
        name=name,
        target=f"<= {target:g} x skopeo copy",
        ours=f"{times(build)}, {build.seconds / copy.seconds:.1f} x",
        peer=times(copy),
        met=build.seconds <= target * copy.seconds,
    )


def _measured(base: Path, image: LargeImage) -> _Figures:
    """Copy, build and build again, in turn."""
    base.mkdir()
    environment = {
        **os.environ,
        "XDG_DATA_HOME": str(base / "data"),
        "HOME": str(base),
        "SOURCE_DATE_EPOCH": "0",
    }
    key = base / "key.pem"
    subprocess.run([*_ENCLAVIZE, "keygen", key], env=environment, check=True, capture_output=True)
    ours, peer, rebuilds = [], [], []
    with running_registry(base / "source") as source:
        copy = ["skopeo", "copy", "-q", "--src-tls-verify=false", "--dest-tls-verify=false"]
        subprocess.run([*copy, f"oci:{image.layout}", _docker(source, "big:1")], check=True)
        build = [*_ENCLAVIZE, "build", f"{source.host}/big:1", "--key", str(key), "--push", "-q", "-t"]
        cache = base / "cache"
        cached = {**environment, "XDG_CACHE_HOME": str(cache)}
        for _ in range(ROUNDS):
            with running_registry(base / "peer") as target:
                peer.append(run([*copy, _docker(source, "big:1"), _docker(target, "out:1")]))
            shutil.rmtree(base / "peer")
            shutil.rmtree(cache, ignore_errors=True)
            with running_registry(base / "ours") as target:
                command = [*build, f"{target.host}/out:1"]
                ours.append(run(command, cached))
                rebuilds.append(run(command, cached))
            shutil.rmtree(base / "ours")
        before = source.stored_bytes()
        run([*build, f"{source.host}/big:tee"], cached)
        pushed = source.stored_bytes() - before
    shutil.rmtree(base)
    return _Figures(build=median_of(ours), copy=median_of(peer), rebuild=median_of(rebuilds), pushed=pushed)


def _docker(registry: Registry, name: str) -> str:
    return f"docker://{registry.host}/{name}"
