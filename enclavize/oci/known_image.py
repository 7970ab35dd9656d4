"""Which image a local file was found to hold: known without reading it, as long as the file is as it was.

    <cache>/unpacked/.known/<facts> -> ../<hex>     a link to the unpacked image

``<facts>`` are all that decided: the version of enclavize, the kind and the tag of the location, and of each
file its inode, size and times. The kernel sets the time of the last change, and nobody else does; but its
clock ticks in milliseconds, that of some file systems in seconds. So of a file that was changed a moment ago
nothing is kept: it may change again, and its time not.
"""

from __future__ import annotations

import stat
import time
from contextlib import suppress
from typing import TYPE_CHECKING
from urllib.parse import quote

from enclavize import __version__
from enclavize.oci.location import DockerArchiveLocation, LayoutLocation, OciArchiveLocation

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from enclavize.oci.location import Location

_FOLDER = ".known"
_SETTLED = 3.0
"""Seconds; FAT's clock ticks in two."""
_NAME_MAX = 255


def facts_of(location: Location) -> str | None:
    """Return what decides which image a name stands for; None if that cannot be told, or not yet."""
    files, tag = _files_and_tag(location)
    if not files:
        return None
    facts = [__version__, type(location).__name__, *map(_state, files), quote(tag, safe="")]
    name = "_".join(facts)
    return name if all(facts[:-1]) and len(name) <= _NAME_MAX else None


def _files_and_tag(location: Location) -> tuple[tuple[Path, ...], str]:
    """Return the files that decide: of a layout those that are not named by what is in them."""
    match location:
        case OciArchiveLocation(path, tag):
            return (path,), tag or ""
        case DockerArchiveLocation(path, reference):
            return (path,), str(reference or "")
        case LayoutLocation(path, tag):
            return (path / "index.json", path / "oci-layout"), tag or ""
        case _:
            return (), ""


def _state(path: Path) -> str:
    """Return by what a file differs from others, and from itself at other times; "" if that is not sure."""
    try:
        status = path.stat()
    except OSError:
        return ""
    if not stat.S_ISREG(status.st_mode) or time.time() - status.st_ctime < _SETTLED:
        return ""
    numbers = (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)
    return "-".join(f"{number:x}" for number in numbers)


def known_image(store: Path, facts: str) -> Path | None:
    """Return the unpacked image that was found for these facts; a link to one that is gone goes, too."""
    link = _link(store, facts)
    with suppress(OSError):
        tree = store / link.readlink().name
        if tree.is_dir():
            return tree
        link.unlink()
    return None


def note_image(store: Path, facts: str, tree: Path) -> None:
    """Keep what was found, if the cache can be written to."""
    link = _link(store, facts)
    with suppress(OSError):
        link.parent.mkdir(mode=0o700, exist_ok=True)
        link.symlink_to(f"../{tree.name}")


def forget_images(store: Path) -> None:
    """Remove what leads to images that are gone."""
    for link in _links(store):
        if not link.exists():
            link.unlink(missing_ok=True)


def _links(store: Path) -> Iterator[Path]:
    with suppress(OSError):
        yield from (store / _FOLDER).iterdir()


def _link(store: Path, facts: str) -> Path:
    return store / _FOLDER / facts
