"""What the program sees besides the image's files: folders in memory, volumes, what engines replace."""

from __future__ import annotations

import posixpath
from itertools import takewhile
from typing import TYPE_CHECKING, Any

from enclavize.errors import IncompatibleImageError, UsageError
from enclavize.libos.gramine.layout import NETWORK_FILE_NAMES, NETWORK_FILES, absolute, uri
from enclavize.libos.gramine.manifest import Mount
from enclavize.rootfs.entry import FileType
from enclavize.tee.policy import TERMINATION_LOG

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

    from enclavize.rootfs.entry import Entry
    from enclavize.rootfs.tree import Rootfs
    from enclavize.tee.policy import Volume

MEMORY_FOLDERS = ("/tmp", "/run", "/dev/shm")  # noqa: S108 - paths inside the enclave
"""Where programs expect to write, and where nothing lasts in a container either."""


LOCALHOST = b"127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n"


def network_files(rootfs: Rootfs) -> dict[str, bytes]:
    """Return the image's own /etc/hosts and its like, by name. Raises IncompatibleImageError.

    Engines mount the host's over them. The enclave gets a copy from beside its manifest. An image without
    /etc/hosts leaves that file to engines: it gets one with localhost.
    """
    found: dict[str, bytes] = {}
    for name in NETWORK_FILE_NAMES:
        entry = rootfs.find(f"etc/{name}")
        if entry is None and name == "hosts":
            found[name] = LOCALHOST
        if entry is not None and entry.type is FileType.REGULAR:
            content = rootfs.content(entry)
            if content is None:
                raise IncompatibleImageError(f"/etc/{name} of the image is too large ({entry.size} bytes)")
            found[name] = content
    return found


def network_mounts(names: Iterable[str]) -> tuple[Mount, ...]:
    """Return the mounts of the copies."""
    return tuple(
        Mount(type="chroot", path=f"/etc/{name}", uri=uri(absolute(f"{NETWORK_FILES}/{name}")))
        for name in names
    )


def link_mounts(links: Mapping[str, str]) -> tuple[Mount, ...]:
    """Return the mounts by which files are reached through links to folders."""
    return tuple(Mount(type="chroot", path=path, uri=uri(folder)) for path, folder in links.items())


def user_mounts(table: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    """Return the mounts of the table ``[gramine]``."""
    mounts: Sequence[Mapping[str, Any]] = table.get("fs", {}).get("mounts", [])
    return mounts


def may_mount_links(own: Sequence[Mount], table: Mapping[str, Any]) -> bool:
    """Tell whether mounts of links will be known from the user's: another mount of ours stands between."""
    return bool(own) or not user_mounts(table)


def mounted_links(mounts: Iterable[Mapping[str, Any]]) -> Iterator[tuple[str, str]]:
    """Yield path and folder of the mounts in a manifest that stand for links: those before all others."""
    own = uri(absolute(""))
    for mount in takewhile(lambda mount: mount.get("type") == "chroot", mounts):
        if mount.get("uri", "").startswith(own) or not mount.get("uri", "").startswith("file:"):
            return
        yield mount.get("path", ""), mount.get("uri", "").removeprefix("file:")


def memory_mounts(
    rootfs: Rootfs,
    working_directory: str,
    volumes: Iterable[Volume],
    table: Mapping[str, Any],
    *,
    of_image: Iterable[str] = (),
    asked: Iterable[str] = (),
) -> tuple[Mount, ...]:
    """Return the folders in memory: where the image has no files, nobody a volume, and the user no mount.

    A working directory that the image does not have is one of them: engines would make an empty one. So are
    the volumes ``of_image``, for which engines make folders that can be written. Folders that were ``asked``
    for hide the image's files.
    """
    taken = [volume.path for volume in volumes] + [
        posixpath.normpath(mount["path"]) for mount in user_mounts(table)
    ]
    usual = [*MEMORY_FOLDERS, *(_absolute(path) for path in of_image)]
    if rootfs.find(working_directory) is None:
        usual.append(working_directory)
    wanted = dict.fromkeys(usual, False) | {_absolute(path): True for path in asked}
    found: list[str] = []
    for path, hides_files in sorted(wanted.items()):
        is_free = not any(_overlap(path, other) for other in taken) and path != "/"
        is_new = not any(path.startswith(f"{other}/") for other in found)
        if is_free and is_new and (hides_files or not _has_files(rootfs, path)):
            found.append(path)
    return tuple(Mount(type="tmpfs", path=path) for path in found)


def _absolute(path: str) -> str:
    return posixpath.normpath(posixpath.join("/", path)).replace("//", "/")


def allowed_files(rootfs: Rootfs, volumes: Collection[Volume], *, network: bool) -> tuple[str, ...]:
    """Return the URIs of what is the host's; those of folders end with a slash."""
    if any(volume.path == TERMINATION_LOG for volume in volumes):
        raise UsageError(f"--volume {TERMINATION_LOG}: Gramine has no files of the host among its devices")
    found = [uri(f"{volume.path}{'' if _is_file(rootfs, volume.path) else '/'}") for volume in volumes]
    if network:
        found += [uri(f"/etc/{name}") for name in NETWORK_FILE_NAMES]
    return tuple(found)


def _is_file(rootfs: Rootfs, path: str) -> bool:
    entry = rootfs.find(path)
    return entry is not None and entry.type is FileType.REGULAR


def _has_files(rootfs: Rootfs, path: str) -> bool:
    """Whether there is anything but folders below ``path``."""
    entry = rootfs.find(path)
    return entry is not None and any(_files_below(rootfs, entry))


def _files_below(rootfs: Rootfs, entry: Entry) -> Iterator[Entry]:
    for child in rootfs.children(entry.path):
        if child.type is FileType.DIRECTORY:
            yield from _files_below(rootfs, child)
        else:
            yield child


def _overlap(path: str, other: str) -> bool:
    return path == other or path.startswith(f"{other}/") or other.startswith(f"{path}/")
