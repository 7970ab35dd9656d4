"""Engines and writers that run for the whole corpus."""

from __future__ import annotations

import os
from functools import cache
from typing import TYPE_CHECKING

import pytest
from docker import DockerClient

from support.engines import running_dockerd
from support.go import go_tars
from support.readers import Dockerd, LayoutRegistry

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@pytest.fixture(scope="package")
def dockerd() -> Iterator[Dockerd]:
    """Run dockerd, which keeps each layer in a folder of its own."""
    with running_dockerd(None, os.environ, options=("--storage-driver=vfs",)) as engine:
        client = DockerClient(base_url=f"unix://{engine.folder}/docker.sock", timeout=60)
        yield Dockerd(engine=engine, client=client)
        client.close()


@pytest.fixture(scope="package")
def registry() -> Iterator[LayoutRegistry]:
    """Run a registry of layouts."""
    with LayoutRegistry({}) as running:
        yield running


@pytest.fixture(scope="package")
def go_archives(tmp_path_factory: pytest.TempPathFactory) -> Callable[[], list[bytes]]:
    """Return what gives the archives of Go's own writer."""

    @cache
    def written() -> list[bytes]:
        return go_tars(tmp_path_factory.mktemp("go"))[0].written()

    return written
