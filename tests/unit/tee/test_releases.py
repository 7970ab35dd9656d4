"""The table of released components, and the step that writes it."""

from __future__ import annotations

import hashlib
import importlib.util
import shutil
from typing import TYPE_CHECKING

import pytest

from enclavize import __version__
from enclavize.tee.releases import COMPONENTS, TABLE, read_releases, version_of
from support.programs import REPOSITORY

if TYPE_CHECKING:
    from pathlib import Path
    from types import ModuleType

    from _pytest.monkeypatch import MonkeyPatch

OLD = dict.fromkeys(COMPONENTS, "1" * 64)
NEW = dict.fromkeys(COMPONENTS, "2" * 64)


@pytest.fixture
def table(tmp_path: Path) -> Path:
    copy = tmp_path / "releases.toml"
    shutil.copy(TABLE, copy)
    return copy


@pytest.fixture(scope="module")
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("release", REPOSITORY / "native" / "release.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_table_of_the_package_is_well_formed() -> None:
    for release in read_releases():
        assert set(release.components) == set(COMPONENTS)
        assert all(len(digest) == 64 and int(digest, 16) for digest in release.components.values())


def test_a_release_step_adds_what_verify_knows_then(table: Path, script: ModuleType) -> None:
    known = len(read_releases(table))
    assert version_of("runelet", "1" * 64, table=table) is None
    read_releases.cache_clear()
    assert "added" in script.add_release(table, "90.1", OLD)
    assert "added" in script.add_release(table, "90.2", NEW)
    assert len(read_releases(table)) == known + 2
    assert version_of("runelet", "1" * 64, table=table) == "90.1"
    assert version_of("libos.so", "2" * 64, table=table) == "90.2"
    assert version_of("runelet", "3" * 64, table=table) is None
    assert version_of("rune", "1" * 64, table=table) is None
    text = table.read_text()
    assert "already" in script.add_release(table, "90.1", OLD)
    with pytest.raises(SystemExit, match="a release does not change"):
        script.add_release(table, "90.1", NEW)
    assert table.read_text() == text


def test_the_step_and_the_package_speak_of_the_same(script: ModuleType) -> None:
    assert script.COMPONENTS == COMPONENTS
    assert script.TABLE == TABLE
    assert script.current_version() == __version__


def test_the_installed_component_is_known(tmp_path: Path, monkeypatch: MonkeyPatch) -> None:
    monkeypatch.setattr("enclavize.resources.native_file", tmp_path.joinpath)
    digest = hashlib.sha256(b"a runelet").hexdigest()
    assert version_of("runelet", digest) is None
    (tmp_path / "runelet").write_bytes(b"a runelet")
    assert version_of("runelet", digest) == __version__
