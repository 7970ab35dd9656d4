"""Fixtures: a registry, a cache and a reporter of one's own for each test."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from enclavize.oci.cache import BlobCache
from enclavize.progress import Reporter
from support.images import build_image, directory, file, symlink
from support.registry import running_registry

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from support.images import BuiltImage
    from support.registry import Registry


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[Registry]:
    """A running registry without authentication."""
    with running_registry(tmp_path / "registry") as running:
        yield running


@pytest.fixture
def cache(tmp_path: Path) -> BlobCache:
    """An empty blob cache."""
    return BlobCache(tmp_path / "blobs")


@pytest.fixture
def reporter() -> Reporter:
    """A reporter that nobody listens to."""
    return Reporter()


@pytest.fixture
def image() -> BuiltImage:
    """An image of two layers."""
    return build_image(
        [
            [directory("bin/"), file("bin/true", b"\x7fELF" + bytes(5000), 0o755), symlink("bin/sh", "true")],
            [file("etc/motd", "hello\n" * 1000)],
        ]
    )
