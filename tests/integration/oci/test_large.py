"""What is large in one way or another: a blob of 20 GB, an image of 127 layers."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from enclavize.oci.fetch import fetch_blob
from enclavize.oci.limits import MAX_LAYERS
from enclavize.oci.location import parse_location
from enclavize.oci.registry.target import CONCURRENT_UPLOADS, RegistryTarget
from enclavize.oci.resolve import resolve
from support.images import build_image, file, to_write
from support.registry import Front
from support.scale import scaled

if TYPE_CHECKING:
    from enclavize.oci.cache import BlobCache
    from enclavize.progress import Reporter
    from support.registry import Registry

pytestmark = pytest.mark.integration

TESTS = Path(__file__).parents[2]
WHOLE = 20_000_000_000
SMALL = 96 << 20


def test_a_blob_of_20_gb_goes_to_a_registry_and_back(tmp_path: Path) -> None:
    if not shutil.which("docker-registry"):
        pytest.skip("docker-registry is not installed")
    size = WHOLE if scaled(WHOLE) == WHOLE else SMALL
    if shutil.disk_usage(tmp_path).free < size * 3 // 2:
        pytest.skip(f"there is no room for {size} bytes")
    done = subprocess.run(
        [sys.executable, "-m", "support.large_blob", str(tmp_path), str(size)],
        capture_output=True,
        text=True,
        check=False,
        cwd=TESTS,
        env={**os.environ, "PYTHONPATH": str(TESTS)},
    )
    shutil.rmtree(tmp_path, ignore_errors=True)
    assert done.stdout.strip() == "whole", done.stderr[-2000:]


def test_127_layers_go_over_few_connections(registry: Registry, cache: BlobCache, reporter: Reporter) -> None:
    image = build_image([[file(f"file-{number}", str(number))] for number in range(MAX_LAYERS)])
    with Front(registry.port) as front:
        RegistryTarget().deliver(to_write(image, f"{front.host}/many:1"), reporter)
        pushed = front.connections
        found = resolve(parse_location(f"{front.host}/many:1"), cache=cache, reporter=reporter)
        for layer, made in zip(found.layers, image.layers, strict=True):
            with fetch_blob(found, layer, cache) as stream:
                assert stream.read() == made.blob
        found.source.close()
        # One more asks for TLS first.
        assert pushed <= CONCURRENT_UPLOADS + 2
        assert front.connections - pushed <= 3
