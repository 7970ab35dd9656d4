"""How fast layers are indexed, beside the tools that do a part of it: inflate or hash.

python tests/bench/index_bench.py [LAYER.tar.gz ...]

Without arguments a layer is made of this machine's /usr/lib. Prints MB/s of the uncompressed bytes, wall
clock and CPU.
"""

from __future__ import annotations

import hashlib
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from enclavize.oci.cache import BlobCache
from enclavize.oci.location import parse_location
from enclavize.oci.resolve import resolve
from enclavize.progress import Reporter
from enclavize.rootfs.accelerator import native_hash_blocks
from enclavize.rootfs.decompress import decompressed
from enclavize.rootfs.erofs import write_erofs
from enclavize.rootfs.index import index_image

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

SAMPLE_SIZE = 200_000_000
RUNS = 3


def sample_layer(folder: Path) -> Path:
    """Make a layer of files of this machine."""
    names = folder / "names"
    size = 0
    with names.open("wb") as output:
        for path in sorted(Path("/usr/lib").rglob("*")):
            if path.is_file() and not path.is_symlink():
                size += path.stat().st_size
                if size > SAMPLE_SIZE:
                    break
                output.write(os.fsencode(path) + b"\0")
    layer = folder / "sample.tar.gz"
    subprocess.run(f"tar cf - --null -T {names} 2>/dev/null | gzip -6 > {layer}", shell=True, check=True)
    return layer


def layout_of(layers: list[Path], folder: Path, command: Sequence[str] = ()) -> tuple[Path, int]:
    """Write a layout with the image ``1`` of the layers; return it and their size when uncompressed."""
    blobs = folder / "layout" / "blobs" / "sha256"
    blobs.mkdir(parents=True)
    total = 0

    def put(data: bytes) -> dict[str, object]:
        digest = hashlib.sha256(data).hexdigest()
        (blobs / digest).write_bytes(data)
        return {"digest": f"sha256:{digest}", "size": len(data)}

    descriptors, diff_ids = [], []
    for layer in layers:
        diff_id = hashlib.sha256()
        with layer.open("rb") as stream:
            for chunk in decompressed(stream, layer.name):
                total += len(chunk)
                diff_id.update(chunk)
        diff_ids.append(f"sha256:{diff_id.hexdigest()}")
        descriptors.append(
            {"mediaType": "application/vnd.oci.image.layer.v1.tar+gzip", **put(layer.read_bytes())}
        )
    config = {
        "architecture": "amd64",
        "os": "linux",
        "config": {"Cmd": [*command]},
        "rootfs": {"type": "layers", "diff_ids": diff_ids},
    }
    manifest = {
        "schemaVersion": 2,
        "config": {
            "mediaType": "application/vnd.oci.image.config.v1+json",
            **put(json.dumps(config).encode()),
        },
        "layers": descriptors,
    }
    entry = {
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        **put(json.dumps(manifest).encode()),
        "annotations": {"org.opencontainers.image.ref.name": "1"},
    }
    layout = folder / "layout"
    (layout / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [entry]}))
    (layout / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
    return layout, total


def measure(name: str, size: int, action: Callable[[], object]) -> None:
    """Print the best of some runs."""
    results = []
    for _ in range(RUNS):
        before = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
        start = time.perf_counter()
        action()
        wall = time.perf_counter() - start
        after = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
        cpu = sum(
            b.ru_utime + b.ru_stime - a.ru_utime - a.ru_stime for a, b in zip(before, after, strict=True)
        )
        results.append((wall, cpu))
    wall, cpu = min(results)
    print(f"{name:40} {wall:7.3f} s {size / wall / 1e6:7.0f} MB/s   CPU {cpu:6.3f} s")


def main() -> None:
    """Measure."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        layers = [Path(argument) for argument in sys.argv[1:]] or [sample_layer(folder)]
        layout, size = layout_of(layers, folder)
        names = " ".join(map(str, layers))
        reporter = Reporter()
        cache = BlobCache(folder / "cache")
        image = resolve(parse_location(f"oci:{layout}"), cache=cache, reporter=reporter)
        print(f"{size / 1e6:.0f} MB; native hashing: {'yes' if native_hash_blocks() else 'no'}")
        for name, command in {
            "gzip -dc": f"cat {names} | gzip -dc > /dev/null",
            "gzip -dc | openssl dgst -sha256": f"cat {names} | gzip -dc | openssl dgst -sha256 > /dev/null",
        }.items():
            measure(name, size, partial(subprocess.run, command, shell=True, check=True))
        measure(
            "index, first time",
            size,
            lambda: index_image(image, cache=cache, reporter=reporter, refresh=True),
        )
        measure("index, known layers", size, lambda: index_image(image, cache=cache, reporter=reporter))
        rootfs = index_image(image, cache=cache, reporter=reporter)
        measure(
            f"write_erofs, {len(rootfs)} paths",
            size,
            lambda: write_erofs(rootfs, folder / "e", folder / "v", inline=frozenset()),
        )
        print(f"peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MiB")


if __name__ == "__main__":
    main()
