"""A push and a pull over a bad link: ``unshare --net python -m support.lossy_link FOLDER BYTES``.

The loopback device of a network namespace becomes 20 MB/s fast, loses packets of 1,500 bytes, and sometimes
a whole connection.
"""

from __future__ import annotations

import random
import subprocess
import sys
from pathlib import Path

from enclavize.oci.cache import BlobCache
from enclavize.oci.fetch import fetch_blob
from enclavize.oci.location import parse_location
from enclavize.oci.registry.target import RegistryTarget
from enclavize.oci.resolve import resolve
from enclavize.progress import Reporter
from support.images import build_image, file, to_write
from support.registry import running_registry

LAYERS = 4
IMPOSSIBLE = 77
"""Exit code where the kernel has no such links, or we may not make them."""

LOSS = 0.05
PACKET = 1500
BREAKS = 3
"""Connections that break, about, one of so many packets each: so none has more luck than another."""
SETUP = (
    f"ip link set lo mtu {PACKET} up",
    "tc qdisc add dev lo root tbf rate 160mbit burst 64k latency 100ms",
    f"iptables -A INPUT -p tcp -m statistic --mode random --probability {LOSS} -j DROP",
)
BREAK = (
    "iptables -A INPUT -p tcp --dport {} -m statistic --mode nth --every {} --packet 0 "
    "-j REJECT --reject-with tcp-reset"
)


def main() -> None:
    folder, size = Path(sys.argv[1]), int(sys.argv[2])
    for command in (*SETUP, BREAK.format(1, 2)):
        if subprocess.run(command.split(), check=False).returncode:
            sys.exit(IMPOSSIBLE)
    noise = random.Random(1)
    contents = [[file(f"noise{number}", noise.randbytes(size // LAYERS))] for number in range(LAYERS)]
    image = build_image(contents, compression="none")
    with running_registry(folder / "registry") as registry:
        subprocess.run(BREAK.format(registry.port, size // PACKET // BREAKS).split(), check=True)
        RegistryTarget().deliver(to_write(image, f"{registry.host}/app:1"), Reporter())
        cache = BlobCache(folder / "cache")
        found = resolve(parse_location(f"{registry.host}/app:1"), cache=cache, reporter=Reporter())
        for layer, made in zip(found.layers, image.layers, strict=True):
            with fetch_blob(found, layer, cache) as stream:
                assert stream.read() == made.blob
        found.source.close()
    print("whole")


if __name__ == "__main__":
    main()
