"""``sgx.trusted_files`` of the user's table: files of the image, and files that the host brings by hash.

The latter stand first in the manifest's list, before the LibOS's own file, which they are told apart by.
Gramine compares what it opens with the hash, unless ``sgx.allowed_files`` has a folder above: then it does
not look at hashes at all (Gramine 1.9, libos/src/fs/chroot/fs.c, ``setup_inode_data``).
"""

from __future__ import annotations

import posixpath
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from enclavize.errors import UsageError
from enclavize.libos.gramine.layout import LIBOS, absolute, uri
from enclavize.rootfs.entry import FileType
from enclavize.rootfs.names import printable
from enclavize.tee.policy import Volume

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from enclavize.rootfs.tree import Rootfs

_HASH = re.compile(r"[0-9a-fA-F]{64}", re.ASCII)
_OF_GSC = "/gramine/"
"""Where images of Gramine Shielded Containers have its own files; ours have them elsewhere."""


@dataclass(frozen=True, kw_only=True)
class StatedFiles:
    """``kept``: absolute paths of the image. ``pinned``: SHA-256 in hexadecimal by path of the host's."""

    kept: tuple[str, ...]
    pinned: Mapping[str, str]

    @property
    def volumes(self) -> tuple[Volume, ...]:
        """What the host may mount for them."""
        return _volumes(self.pinned)


def stated_files(rootfs: Rootfs, table: Mapping[str, Any], volumes: Iterable[Volume]) -> StatedFiles:
    """Compare the files of ``table`` with the image. Raises UsageError for what cannot hold."""
    opened = [volume.path for volume in volumes]
    kept: list[str] = []
    pinned: dict[str, str] = {}
    for item in table.get("sgx", {}).get("trusted_files", []):
        path, sha256 = _parsed(item)
        above = next((place for place in opened if f"{path}/".startswith(f"{place}/")), None)
        if above is not None:
            raise _wrong(
                path,
                f"with --volume {above} Gramine lets the host change it, whatever its hash is",
                f"name what the host may change below {above} instead of all of it",
            )
        entry = rootfs.find(path)
        if entry is None and sha256:
            pinned[path] = sha256
        elif entry is None and not path.startswith(_OF_GSC):
            raise _wrong(
                path, "it is not in the image", "give its sha256, too, if the host is to bring it later"
            )
        elif entry is not None:
            if sha256 and (entry.type is not FileType.REGULAR or entry.sha256.hex() != sha256):
                raise _wrong(path, "the image has another file there", "leave its sha256 out")
            kept.append(path)
    return StatedFiles(kept=tuple(kept), pinned=dict(sorted(pinned.items())))


def with_pinned(
    pinned: Mapping[str, str], libos_sha256: str, files: Mapping[str, str]
) -> list[tuple[str, str]]:
    """Return the manifest's list, paths and hashes, in its order."""
    mark = [(absolute(LIBOS), libos_sha256)] if pinned else []
    return [*pinned.items(), *mark, *files.items()]


def pinned_files(manifest: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the paths of the files in a manifest that the host brings."""
    uris = [file["uri"] for file in manifest["sgx"].get("trusted_files", [])]
    mark = uri(absolute(LIBOS))
    return tuple(item.removeprefix("file:") for item in uris[: uris.index(mark) if mark in uris else 0])


def pinned_volumes(manifest: Mapping[str, Any]) -> tuple[Volume, ...]:
    """Return them as a policy says it."""
    return _volumes(pinned_files(manifest))


def _volumes(paths: Iterable[str]) -> tuple[Volume, ...]:
    return tuple(Volume(path=path, read_only=True, executable=True) for path in paths)


def _parsed(item: str | Mapping[str, str]) -> tuple[str, str]:
    given, sha256 = (item, "") if isinstance(item, str) else (item.get("uri", ""), item.get("sha256", ""))
    path = given.removeprefix("file:")
    if path == given or not path.startswith("/") or ".." in path.split("/") or "\0" in path:
        raise UsageError(
            f"[gramine] sgx.trusted_files has {printable(given[:100])}; it must be file: and an absolute path"
        )
    if sha256 and not _HASH.fullmatch(sha256):
        raise _wrong(path, f"{sha256[:80]!r} is no SHA-256 in hexadecimal", "write its 64 digits")
    return posixpath.normpath(path), sha256.lower()


def _wrong(path: str, problem: str, hint: str) -> UsageError:
    return UsageError(f"[gramine] sgx.trusted_files: {printable(path)}: {problem}", hint=hint)
