"""Trusted files: every path by which the program can open a file of the image, with the file's SHA-256.

Gramine compares the path as it is opened, and does not know the image's symbolic links: the host follows
them. So a file has to be listed under each of its names: ``/lib/x.so`` and ``/usr/lib/x.so`` on a merged
``/usr``. The index of the image has all hashes already; nothing is read here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from enclavize.errors import IncompatibleImageError
from enclavize.libos.gramine.layout import NETWORK_FILE_NAMES
from enclavize.rootfs.entry import PATH_MAX, FileType, printable

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

    from enclavize.rootfs.entry import Entry
    from enclavize.rootfs.tree import Rootfs
    from enclavize.tee.policy import Volume

MAX_TRUSTED_FILES = 500_000
"""Gramine searches the list from its start for every file that is opened."""

MAX_PATHS = 2 * MAX_TRUSTED_FILES
"""Paths to anything: links between folders can make any number, also to nothing."""

LIBOS_FOLDERS = frozenset({"/proc", "/sys", "/dev"})
"""What Gramine has of its own; the image's are never seen."""

_READABLE = 0o444


@dataclass(frozen=True, kw_only=True)
class TrustedFiles:
    """SHA-256 in hexadecimal by absolute path, sorted; and why others can never be opened."""

    hashes: dict[str, str]
    left_out: dict[str, str]


def hidden_paths(volumes: Iterable[Volume]) -> tuple[str, ...]:
    """Return paths at and below which the program does not see the image's own files."""
    return (*(volume.path for volume in volumes), *(f"/etc/{name}" for name in NETWORK_FILE_NAMES))


def trusted_files(rootfs: Rootfs, hidden: Collection[str] = ()) -> TrustedFiles:
    """List the files of an image but for those at and below ``hidden``. Raises IncompatibleImageError."""
    hidden_paths = LIBOS_FOLDERS | set(hidden)
    hashes: dict[str, str] = {}
    left_out: dict[str, str] = {}
    for path, entry in _walk(rootfs, hidden_paths):
        match entry.type:
            case FileType.REGULAR:
                if reason := _reason(path, entry):
                    left_out[path] = reason
                    continue
                hashes[path] = entry.sha256.hex()
                if len(hashes) > MAX_TRUSTED_FILES:
                    raise _too_many(f"{MAX_TRUSTED_FILES} paths to files")
            case FileType.CHARACTER_DEVICE | FileType.BLOCK_DEVICE:
                major, minor = entry.rdev
                raise IncompatibleImageError(
                    f"the image has the {entry.type} {printable(path)} ({major}:{minor}), "
                    "which Gramine cannot protect",
                    hint="remove it from the image",
                )
            case _:
                pass
    return TrustedFiles(hashes=dict(sorted(hashes.items())), left_out=left_out)


def unlisted_files(rootfs: Rootfs, listed: Collection[str], hidden: Collection[str]) -> Iterator[str]:
    """Yield the files of an image that ``listed`` should have and has not, by their own names."""
    hidden_paths = LIBOS_FOLDERS | set(hidden)
    for entry in rootfs.entries:
        path = f"/{entry.path}"
        missing = entry.type is FileType.REGULAR and path not in listed and not _reason(path, entry)
        if missing and not _is_hidden(path, hidden_paths):
            yield path


def _too_many(what: str) -> IncompatibleImageError:
    return IncompatibleImageError(
        f"the image has more than {what}, which is more than Gramine can search",
        hint="remove folders that the program does not need, or links between folders",
    )


def _reason(path: str, entry: Entry) -> str:
    """Tell why a file cannot be listed; "" if it can."""
    if not entry.mode & _READABLE:
        return "nobody may read it"
    try:
        path.encode()
    except UnicodeEncodeError:
        return "its name is not UTF-8, which a manifest cannot hold"
    return ""


def _walk(rootfs: Rootfs, hidden: Collection[str]) -> Iterator[tuple[str, Entry]]:
    """Yield every path and what it leads to; links to folders are followed, but never around in a circle.

    A circle is a link to a folder on the way to the link, by its own name or by another one. Paths that are
    too long to be opened end it, too.
    """
    root = rootfs.get("")
    assert root is not None
    count = 0
    pending: list[tuple[str, Entry, tuple[str, ...]]] = [("", root, ())]
    while pending:
        folder, real, left = pending.pop()  # left: the folders in which links were followed before
        for child in rootfs.children(real.path):
            path = f"{folder}/{child.path.rpartition('/')[2]}"
            is_link = child.type is FileType.SYMLINK
            entry = rootfs.find(child.path) if is_link else child
            if entry is None or path in hidden or _is_hidden(f"/{entry.path}", hidden):
                continue
            count += 1
            if count > MAX_PATHS:
                raise _too_many(f"{MAX_PATHS} paths")
            if entry.type is not FileType.DIRECTORY:
                yield path, entry
            elif len(path) > PATH_MAX:
                continue
            elif not is_link:
                pending.append((path, entry, left))
            elif not any(_is_at_or_above(entry.path, passed) for passed in (real.path, *left)):
                pending.append((path, entry, (real.path, *left)))


def _is_at_or_above(path: str, other: str) -> bool:
    return not path or f"{other}/".startswith(f"{path}/")


def _is_hidden(path: str, hidden: Collection[str]) -> bool:
    """Tell whether a path or a folder above it is in ``hidden``, which has any number of them."""
    while path and path not in hidden:
        path = path.rpartition("/")[0]
    return path != ""
