"""Memory that stays flat, and kills that do no harm."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from enclavize.oci.cache import BlobCache
from enclavize.oci.fetch import fetch_blob
from enclavize.oci.location import parse_location
from enclavize.oci.registry.target import RegistryTarget
from enclavize.oci.resolve import resolve
from support.images import build_image, file, to_write
from support.registry import Front

if TYPE_CHECKING:
    from enclavize.progress import Reporter
    from support.registry import FrontHandler, Registry

pytestmark = pytest.mark.integration

ROOT = Path(__file__).parents[3]
PEAK_LIMIT = 120 << 20

STREAM_THROUGH = """
import hashlib, io, sys
from pathlib import Path
from enclavize.oci.archive_target import ArchiveStyle, ArchiveTarget
from enclavize.oci.cache import BlobCache
from enclavize.oci.descriptor import Descriptor
from enclavize.oci.digest import Digest, sha256_digest
from enclavize.oci.document import canonical_json
from enclavize.oci.fetch import fetch_blob
from enclavize.oci.location import parse_location
from enclavize.oci.manifest import image_manifest
from enclavize.oci.media_types import OCI_CONFIG, OCI_LAYER, OCI_MANIFEST
from enclavize.oci.registry.target import RegistryTarget
from enclavize.oci.resolve import resolve
from enclavize.oci.target import ImageToWrite, LayerToWrite
from enclavize.progress import Reporter

host, scratch, size = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])

class Pattern(io.RawIOBase):
    left = size
    def read(self, count=-1):
        count = min(count, self.left)
        self.left -= count
        return bytes(count)

hasher = hashlib.sha256()
stream = Pattern()
while data := stream.read(1 << 20):
    hasher.update(data)
digest = Digest("sha256:" + hasher.hexdigest())
layer = Descriptor(media_type=OCI_LAYER, digest=digest, size=size)
rootfs = {"type": "layers", "diff_ids": [digest]}
config = canonical_json({"architecture": "amd64", "os": "linux", "rootfs": rootfs})
described = Descriptor(media_type=OCI_CONFIG, digest=sha256_digest(config), size=len(config))
image = ImageToWrite(
    manifest_bytes=image_manifest(described, (layer,)), manifest_media_type=OCI_MANIFEST, config_bytes=config,
    layers=(LayerToWrite(descriptor=layer, diff_id=digest, open=Pattern),), references=(host + "/big:1",),
)
reporter = Reporter()
RegistryTarget().deliver(image, reporter)
ArchiveTarget(scratch / "big.tar", ArchiveStyle.DOCKER).deliver(image, reporter)
cache = BlobCache(scratch / "cache")
archive = str(scratch / "big.tar")
for location in (host + "/big:1", "docker-archive:" + archive, "oci-archive:" + archive):
    found = resolve(parse_location(location), cache=cache, reporter=reporter)
    with fetch_blob(found, found.layers[0], cache) as stream:
        while stream.read(1 << 20):
            pass
    found.source.close()
    cache.path(digest).unlink(missing_ok=True)
# Not ru_maxrss: exec hands the peak of the parent down to it.
status = Path("/proc/self/status").read_text()
print(int(status.partition("VmHWM:")[2].split()[0]) * 1024)
"""


def test_a_blob_of_any_size_takes_little_memory(registry: Registry, tmp_path: Path) -> None:
    command = [sys.executable, "-c", STREAM_THROUGH, registry.host, str(tmp_path), str(300 << 20)]
    result = subprocess.run(command, check=True, capture_output=True, text=True, cwd=ROOT, timeout=300)
    assert int(result.stdout) < PEAK_LIMIT


FETCH = """
import signal
import sys
from pathlib import Path
from enclavize.oci.cache import BlobCache
from enclavize.oci.fetch import fetch_blob
from enclavize.oci.location import parse_location
from enclavize.oci.resolve import resolve
from enclavize.progress import Reporter

signal.signal(signal.SIGINT, signal.default_int_handler)  # shells let background jobs ignore it
cache = BlobCache(Path(sys.argv[2]))
found = resolve(parse_location(sys.argv[1]), cache=cache, reporter=Reporter())
with fetch_blob(found, found.layers[0], cache) as stream:
    while stream.read(1 << 16):
        pass
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_a_fetch_that_is_killed_leaves_what_the_next_one_removes(
    registry: Registry, tmp_path: Path, reporter: Reporter, number: signal.Signals
) -> None:
    image = build_image([[file("noise", os.urandom(4 << 20))]], compression="none")
    name = f"{registry.host}/app:1"
    RegistryTarget().deliver(to_write(image, name), reporter)
    layer = image.layers[0].descriptor
    cache = BlobCache(tmp_path / "cache")

    def stall(handler: FrontHandler) -> bool:
        if handler.command == "GET" and layer.digest in handler.path:
            handler.send_response(200)
            handler.send_header("Content-Length", str(layer.size))
            handler.end_headers()
            handler.wfile.write(image.layers[0].blob[: 2 << 20])
            handler.wfile.flush()
            handler.rfile.read(1)  # until the other side is gone
            handler.close_connection = True
            return True
        return False

    with Front(registry.port, stall) as front:
        command = [sys.executable, "-c", FETCH, f"{front.host}/app:1", str(cache.root)]
        process = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.DEVNULL)
        while not (files := list(cache.temporary_folder.glob("*"))) or files[0].stat().st_size < 1 << 20:
            assert process.poll() is None
            time.sleep(0.01)
        living = BlobCache(cache.root)
        living.writer().__enter__().__exit__(None, None, None)
        assert files[0].exists(), "a file that is being written is not removed"
        process.send_signal(number)
        process.wait(timeout=120)
        assert len(list(cache.temporary_folder.iterdir())) == (1 if number is signal.SIGKILL else 0)
    assert not cache.has(layer.digest)
    found = resolve(parse_location(name), cache=cache, reporter=reporter)
    with fetch_blob(found, layer, cache) as stream:
        assert stream.read() == image.layers[0].blob
    found.source.close()
    assert cache.has(layer.digest)
    assert list(cache.temporary_folder.iterdir()) == []
