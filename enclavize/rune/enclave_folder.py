"""``/.enclave`` of a root file system on this machine, whose owner is not trusted.

Every step is taken by descriptor and follows no link, as openat2(2) with RESOLVE_BENEATH and
RESOLVE_NO_SYMLINKS would; files are regular, of the size that was seen first, and few enough.
"""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from enclavize.errors import IntegrityError, InvalidImageError
from enclavize.tee.layout import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from types import TracebackType

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_MAX_ENTRIES = 4096
UNLISTED = {
    "instance/build/mount/__ROOT": ("metadata",),
    "instance/run/mount/__ROOT": (),
    "instance/run/initfs/__ROOT": (),
}
"""Folders whose content no instance is described by, with the names in them that are looked at all the same.

Occlum's: a file for each one of the root file system, which the enclave verifies itself when it reads it,
and what the LibOS writes (libos/occlum/format.py).
"""

_MAX_DEPTH = 8
_CHUNK = 1 << 20


@dataclass(frozen=True, kw_only=True)
class FoundFile:
    """A regular file: its permission bits, and its size in bytes."""

    mode: int
    size: int


class EnclaveFolder:
    """The folder, open. ``files`` and ``links`` are all that is below it, by path, with sizes and targets.

    ``unlisted`` are folders of which only some files are among them."""

    def __init__(self, rootfs: Path) -> None:
        self.path = rootfs / ROOT
        self.files: dict[str, FoundFile] = {}
        self.links: dict[str, str] = {}
        self.unlisted: set[str] = set()
        self._directories: dict[str, int] = {}
        self._entries = 0
        try:
            root = os.open(rootfs, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                self._enter("", root, ROOT)
            finally:
                os.close(root)
        except OSError as error:
            self._close()
            raise InvalidImageError(
                f"the TEE image has no readable /{ROOT}: {error.strerror} ({error.filename})"
            ) from error
        except BaseException:
            self._close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close()

    def pieces(self, name: str) -> Iterator[bytes]:
        """Yield the content of a file, once. Raises InvalidImageError, IntegrityError if it has changed."""
        folder, _, base = name.rpartition("/")
        found = self.files.get(name)
        if found is None:
            raise InvalidImageError(f"the TEE image has no /{ROOT}/{name}")
        try:
            descriptor = os.open(base, _FILE, dir_fd=self._directories[folder])
            try:
                left = found.size
                if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                    raise _changed(name)
                while data := os.read(descriptor, _CHUNK):
                    left -= len(data)
                    if left < 0:
                        raise _changed(name)
                    yield data
                if left:
                    raise _changed(name)
            finally:
                os.close(descriptor)
        except OSError as error:
            raise InvalidImageError(
                f"cannot read /{ROOT}/{name} of the TEE image: {error.strerror}"
            ) from error

    def read(self, name: str, limit: int) -> bytes:
        """Return the content of a file of at most ``limit`` bytes. Raises as ``pieces``."""
        if name in self.files and self.files[name].size > limit:
            raise InvalidImageError(f"/{ROOT}/{name} is not a regular file of at most {limit} bytes")
        return b"".join(self.pieces(name))

    def sha256(self, name: str) -> str:
        """Return the digest of a file in hex. Raises as ``pieces``."""
        import hashlib  # which loads OpenSSL

        digest = hashlib.sha256()
        for data in self.pieces(name):
            digest.update(data)
        return digest.hexdigest()

    def _enter(self, path: str, parent: int, name: str) -> None:
        """Open a directory and note what is in it."""
        descriptor = os.open(name, _DIRECTORY, dir_fd=parent)
        self._directories[path] = descriptor
        for entry in self._names(path, descriptor):
            below = f"{path}/{entry}" if path else entry
            self._entries += 1
            if self._entries > _MAX_ENTRIES or below.count("/") >= _MAX_DEPTH:
                raise InvalidImageError(f"/{ROOT} of the TEE image has more in it than an enclave")
            status = os.stat(entry, dir_fd=descriptor, follow_symlinks=False)
            match stat.S_IFMT(status.st_mode):
                case stat.S_IFDIR:
                    self._enter(below, descriptor, entry)
                case stat.S_IFREG:
                    self.files[below] = FoundFile(mode=stat.S_IMODE(status.st_mode), size=status.st_size)
                case stat.S_IFLNK:
                    self.links[below] = os.readlink(entry, dir_fd=descriptor)
                case _:
                    raise InvalidImageError(f"/{ROOT}/{below!a} of the TEE image is no file")

    def _names(self, path: str, descriptor: int) -> list[str]:
        names = UNLISTED.get(path)
        if names is None:
            return os.listdir(descriptor)
        self.unlisted.add(path)
        found = []
        for name in names:
            with suppress(FileNotFoundError):
                os.stat(name, dir_fd=descriptor, follow_symlinks=False)
                found.append(name)
        return found

    def _close(self) -> None:
        for descriptor in self._directories.values():
            os.close(descriptor)
        self._directories.clear()


def _changed(name: str) -> IntegrityError:
    return IntegrityError(f"/{ROOT}/{name} changes while it is read")
