"""Toolchains for tests, made once; tests that change one take a copy."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

from enclavize.libos.toolchain import open_toolchain
from enclavize.oci.cache import BlobCache
from enclavize.progress import Reporter
from support.stand_in_toolchain import gramine_toolchain, occlum_toolchain, stand_in_gramine, stand_in_occlum

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from enclavize.libos.toolchain import Toolchain


@pytest.fixture(scope="session")
def gramine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give an installation of Gramine: the real one if the environment names it."""
    return gramine_toolchain(tmp_path_factory.mktemp("gramine") / "prefix")


@pytest.fixture(scope="session")
def occlum(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give an installation of Occlum: the real one if the environment names it."""
    return occlum_toolchain(tmp_path_factory.mktemp("occlum") / "prefix")


@pytest.fixture(scope="session")
def gramine_stand_in(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a stand-in of Gramine; it is not to be changed."""
    return stand_in_gramine(tmp_path_factory.mktemp("stand-in") / "gramine")


@pytest.fixture(scope="session")
def occlum_stand_in(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a stand-in of Occlum; it is not to be changed."""
    return stand_in_occlum(tmp_path_factory.mktemp("stand-in") / "occlum")


@pytest.fixture
def gramine_copy(gramine_stand_in: Path, tmp_path: Path) -> Path:
    """Give a stand-in of Gramine that the test may change."""
    return shutil.copytree(gramine_stand_in, tmp_path / "gramine", symlinks=True)


@pytest.fixture
def occlum_copy(occlum_stand_in: Path, tmp_path: Path) -> Path:
    """Give a stand-in of Occlum that the test may change."""
    return shutil.copytree(occlum_stand_in, tmp_path / "occlum", symlinks=True)


@pytest.fixture
def cache(tmp_path: Path) -> BlobCache:
    """Give an empty cache."""
    return BlobCache(tmp_path / "blobs")


@pytest.fixture
def opened(cache: BlobCache) -> Callable[..., Toolchain]:
    """Give ``open_toolchain`` with this cache."""

    def opener(text: str | Path, libos: str | None = None) -> Toolchain:
        return open_toolchain(str(text), libos=libos, cache=cache, reporter=Reporter())

    return opener
