"""Fixtures for all tests: a home of its own for each, and no settings from outside."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

import pytest

from support.downloads import downloads

if TYPE_CHECKING:
    from pathlib import Path

_FROM_OUTSIDE = ("DOCKER_", "ENCLAVIZE_", "SOURCE_DATE_EPOCH", "NO_COLOR", "XDG_", "REGISTRY_")
_KEPT = (
    "ENCLAVIZE_TEST_SCALE",
    "ENCLAVIZE_TEST_STRICT",
    "ENCLAVIZE_SGX_SIGN",
    "ENCLAVIZE_GRAMINE_TOOLCHAIN",
    "ENCLAVIZE_OCCLUM_TOOLCHAIN",
)

# Tests have homes of their own, but Go's standard library is not compiled anew in each.
os.environ.setdefault("GOCACHE", str(downloads() / "go"))

# Jobs in the background of a shell ignore these, and so would all that tests start.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGQUIT, signal.SIG_DFL)


@pytest.fixture(autouse=True)
def _own_home(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give each test an empty HOME, cache and data folder, and none of the caller's settings."""
    for name in list(os.environ):
        if name.startswith(_FROM_OUTSIDE) and name not in _KEPT:
            monkeypatch.delenv(name)
    home = tmp_path_factory.mktemp("home")
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("XDG_CACHE_HOME", str(home / "cache"))
    monkeypatch.setenv("XDG_DATA_HOME", str(home / "data"))
    return home
