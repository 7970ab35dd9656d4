"""Trusted files: every path by which the program can open a file of the image, with the file's SHA-256.

Gramine compares the path as it is opened, and does not know the image's symbolic links: the host follows
them. So a file has to be listed under each of its names. Those that it has by a link to a folder, such as
``/lib/x.so`` on a merged ``/usr``, are made by a mount instead (``/lib`` shows ``file:/usr/lib``): the list
stays short. The index of the image has all hashes already; nothing is read here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from enclavize.errors import IncompatibleImageError
from enclavize.libos.gramine.layout import NETWORK_FILE_NAMES
from enclavize.libos.gramine.selection import Selection
from enclavize.rootfs.entry import PATH_MAX, FileType
from enclavize.rootfs.names import printable

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

    from enclavize.rootfs.entry import Entry
    from enclavize.rootfs.tree import Rootfs
    from enclavize.tee.policy import Volume

MAX_TRUSTED_FILES = 500_000
"""Gramine searches the list from its start for every file that is opened."""

MAX_PATHS = 2 * MAX_TRUSTED_FILES
"""Paths to anything: links between folders can make any number, also to nothing."""

MAX_MOUNTED_LINKS = 256
"""Gramine goes through its mounts for every path; with more links than that, names are listed instead."""

LIBOS_FOLDERS = frozenset({"/proc", "/sys", "/dev"})
"""What Gramine has of its own; the image's are never seen."""

EVERYTHING_SELECTED = Selection()

_READABLE = 0o444


@dataclass(frozen=True, kw_only=True)
class TrustedFiles:
    """SHA-256 in hexadecimal by absolute path, sorted; and why others can never be opened.

    ``links`` are links to folders, with the folders, to be mounted in this order. ``not_selected`` is the
    number of files that the selection leaves out.
    """

    hashes: dict[str, str]
    left_out: dict[str, str]
    links: dict[str, str]
    not_selected: int


def hidden_paths(volumes: Iterable[Volume]) -> tuple[str, ...]:
    """Return paths at and below which the program does not see the image's own files."""
    return (*(volume.path for volume in volumes), *(f"/etc/{name}" for name in NETWORK_FILE_NAMES))


def trusted_files(
    rootfs: Rootfs,
    hidden: Collection[str] = (),
    selection: Selection = EVERYTHING_SELECTED,
    *,
    may_mount: bool = True,
) -> TrustedFiles:
    """List the files of an image but for those at and below ``hidden``. Raises IncompatibleImageError.

    Unless folders ``may_mount`` where links to them are, files are listed by names through links, too.
    """
    links = _mountable_links(rootfs, hidden) if may_mount else {}
    found = _Names(rootfs, LIBOS_FOLDERS | set(hidden), links, selection)
    used = {folder for path in found.hashes for folder in _folders_above(path)}
    return TrustedFiles(
        hashes=dict(sorted(found.hashes.items())),
        left_out=found.left_out,
        links={path: folder for path, folder in links.items() if folder in used},
        not_selected=found.not_selected,
    )


class _Names:
    """All names that are listed."""

    def __init__(
        self, rootfs: Rootfs, hidden: Collection[str], mounted: Collection[str], selection: Selection
    ) -> None:
        self.hashes: dict[str, str] = {}
        self.left_out: dict[str, str] = {}
        self.not_selected = 0
        for path, entry in _walk(rootfs, hidden, mounted):
            match entry.type:
                case FileType.REGULAR if selection.leaves_out(path, f"/{entry.path}"):
                    self.not_selected += 1
                case FileType.REGULAR if reason := _reason(path, entry):
                    self.left_out[path] = reason
                case FileType.REGULAR:
                    self.hashes[path] = entry.sha256.hex()
                    if len(self.hashes) > MAX_TRUSTED_FILES:
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


def _mountable_links(rootfs: Rootfs, hidden: Collection[str]) -> dict[str, str]:
    """Return the links to folders, and the folders, the outer ones first; none if they are too many.

    A volume is the host's by its path alone: it stays so if nothing is mounted above it.
    """
    above = {folder for path in hidden for folder in (path, *_folders_above(path))}
    links: dict[str, str] = {}
    for path, entry in _walk(rootfs, LIBOS_FOLDERS | set(hidden), None):
        if entry.type is FileType.DIRECTORY and path not in above:
            links[path] = f"/{entry.path}"
            if len(links) > MAX_MOUNTED_LINKS:
                return {}
    return dict(sorted(links.items()))


def _folders_above(path: str) -> Iterator[str]:
    while path := path.rpartition("/")[0]:
        yield path


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


def _walk(
    rootfs: Rootfs, hidden: Collection[str], mounted: Collection[str] | None
) -> Iterator[tuple[str, Entry]]:
    """Yield every path and what it leads to; links to folders are followed, but never around in a circle.

    A circle is a link to a folder on the way to the link, by its own name or by another one. Paths that are
    too long to be opened end it, too. Links that are ``mounted`` are not followed; None: nothing but the
    links to folders is yielded.
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
                if mounted is not None:
                    yield path, entry
            elif len(path) > PATH_MAX or (mounted and path in mounted):
                continue
            elif not is_link:
                pending.append((path, entry, left))
            elif not any(_is_at_or_above(entry.path, passed) for passed in (real.path, *left)):
                if mounted is None:
                    yield path, entry
                pending.append((path, entry, (real.path, *left)))


def _is_at_or_above(path: str, other: str) -> bool:
    return not path or f"{other}/".startswith(f"{path}/")


def _is_hidden(path: str, hidden: Collection[str]) -> bool:
    """Tell whether a path or a folder above it is in ``hidden``, which has any number of them."""
    while path and path not in hidden:
        path = path.rpartition("/")[0]
    return path != ""
