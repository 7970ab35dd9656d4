"""Pulling from and pushing to a real registry."""

from __future__ import annotations

import hashlib
import subprocess
from typing import TYPE_CHECKING

import pytest
from support.images import build_image, build_index, build_layer, file, to_write, write_layout
from support.registry import Front, Registry, free_port, running_registry

from enclavize.errors import IntegrityError, InvalidImageError, RegistryError
from enclavize.oci.fetch import fetch_blob
from enclavize.oci.location import parse_location
from enclavize.oci.reference import parse_reference
from enclavize.oci.registry.target import RegistryTarget
from enclavize.oci.source import resolve

if TYPE_CHECKING:
    from pathlib import Path

    from support.images import BuiltImage

    from enclavize.oci.cache import BlobCache
    from enclavize.oci.image import Image
    from enclavize.progress import Reporter

pytestmark = pytest.mark.integration


def skopeo_copy(source: str, destination: str, *options: str) -> None:
    """Copy with the reference tool."""
    command = ["skopeo", "copy", "-q", "--insecure-policy", *options, source, destination]
    subprocess.run(command, check=True, timeout=120)


def push(registry: Registry, image: BuiltImage, name: str, reporter: Reporter) -> str:
    """Push an image and return its whole name."""
    reference = f"{registry.host}/{name}"
    RegistryTarget().deliver(to_write(image, reference), reporter)
    return reference


def pull(name: str, cache: BlobCache, reporter: Reporter) -> Image:
    """Resolve a location."""
    return resolve(parse_location(name), cache=cache, reporter=reporter)


def check_layers(found: Image, image: BuiltImage, cache: BlobCache) -> None:
    """Read all layers through the cache, and compare."""
    assert len(found.layers) == len(image.layers)
    for descriptor, layer in zip(found.layers, image.layers, strict=True):
        with fetch_blob(found, descriptor, cache) as stream:
            assert stream.read() == layer.blob
    found.source.close()


@pytest.mark.parametrize("compression", ["gzip", "zstd", "none"])
@pytest.mark.parametrize("docker", [False, True])
def test_what_was_pushed_is_pulled(
    registry: Registry, cache: BlobCache, reporter: Reporter, compression: str, docker: bool
) -> None:
    image = build_image(
        [[file("a", "1")], [file("b", bytes(3 << 20))]], compression=compression, docker=docker
    )  # type: ignore[arg-type]
    name = push(registry, image, "demo/app:1", reporter)
    found = pull(name, cache, reporter)
    assert found.manifest == image.descriptor
    assert found.manifest_bytes == image.manifest_bytes
    assert found.config_bytes == image.config_bytes
    assert found.config.cmd == ("/bin/true",)
    check_layers(found, image, cache)
    assert all(cache.has(layer.descriptor.digest) for layer in image.layers)
