"""A local file whose image is known is not read again, and one that is not as it was is."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

import pytest

from enclavize.oci import known_image
from enclavize.oci.cache import BlobCache
from enclavize.oci.known_image import facts_of, note_image
from enclavize.oci.location import parse_location
from enclavize.oci.pruning import prune
from enclavize.oci.unpacked import lock_of, unpacked_folder

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

LATER = 60.0
"""Seconds after which every change is an old one."""


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    path = tmp_path / "image.tar"
    path.write_bytes(b"first")
    return path


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let what was done now be long ago."""
    now = time.time
    monkeypatch.setattr(time, "time", lambda: now() + LATER)


def await_tick(path: Path) -> None:
    """Wait until the clock by which files get their times has gone on."""
    probe = path.with_name("probe")
    while True:
        probe.write_bytes(b"")
        if probe.stat().st_ctime_ns > path.stat().st_ctime_ns:
            return


def replace(path: Path) -> None:
    """Put another file of the same size and time of modification in the place of one."""
    times = path.stat()
    other = path.with_name("other")
    other.write_bytes(bytes(times.st_size))
    os.utime(other, ns=(times.st_atime_ns, times.st_mtime_ns))
    other.rename(path)


def rewrite(path: Path) -> None:
    """Change the content alone, and set the time of modification back."""
    times = path.stat()
    await_tick(path)
    path.write_bytes(bytes(times.st_size))
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))


@pytest.mark.usefixtures("later")
@pytest.mark.parametrize("change", [replace, rewrite])
def test_a_file_that_changes_is_not_known_any_more(archive: Path, change: Callable[[Path], None]) -> None:
    location = parse_location(f"oci-archive:{archive}:1")
    before = facts_of(location)
    assert before
    assert facts_of(location) == before
    change(archive)
    assert facts_of(location) not in (None, before)


@pytest.mark.usefixtures("later")
def test_a_layout_is_known_by_its_index(tmp_path: Path) -> None:
    for name in ("index.json", "oci-layout"):
        (tmp_path / name).write_text("{}")
    location = parse_location(f"oci:{tmp_path}:1")
    before = facts_of(location)
    assert before
    rewrite(tmp_path / "index.json")
    assert facts_of(location) not in (None, before)


@pytest.mark.usefixtures("later")
def test_another_name_or_another_version_may_find_another_image(
    archive: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = ("oci-archive:{}:1", "oci-archive:{}:2", "docker-archive:{}:a:1", "docker-archive:{}")
    found = {facts_of(parse_location(name.format(archive))) for name in names}
    assert len(found - {None}) == len(names)
    monkeypatch.setattr(known_image, "__version__", "another")
    assert facts_of(parse_location(names[0].format(archive))) not in found


def test_of_a_file_that_has_just_changed_nothing_is_kept(archive: Path, tmp_path: Path) -> None:
    assert facts_of(parse_location(f"oci-archive:{archive}")) is None
    os.mkfifo(tmp_path / "pipe")
    for name in ("pipe", "missing"):
        assert facts_of(parse_location(f"oci-archive:{tmp_path / name}")) is None
    assert facts_of(parse_location("example.org/app:1")) is None


def test_what_is_known_goes_with_the_image(tmp_path: Path) -> None:
    cache = BlobCache(tmp_path / "cache" / "blobs")
    store = unpacked_folder(cache)
    tree = store / "0123"
    tree.mkdir(parents=True)
    lock_of(tree).write_text("4096")
    note_image(store, "facts", tree)
    note_image(store, "facts", tree)
    assert known_image.known_image(store, "facts") == tree
    assert known_image.known_image(store, "others") is None
    prune(cache, max_size=1 << 40)
    assert known_image.known_image(store, "facts") == tree
    prune(cache)
    assert known_image.known_image(store, "facts") is None
    assert list((store / ".known").iterdir()) == []


def test_a_link_to_an_image_that_is_gone_goes_when_it_is_followed(tmp_path: Path) -> None:
    (tmp_path / "0123").mkdir()
    note_image(tmp_path, "facts", tmp_path / "0123")
    (tmp_path / "0123").rmdir()
    assert known_image.known_image(tmp_path, "facts") is None
    assert list((tmp_path / ".known").iterdir()) == []
