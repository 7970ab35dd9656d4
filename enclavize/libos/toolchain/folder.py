"""Toolchains in folders of this machine."""

from __future__ import annotations

import hashlib
import os
import stat
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from enclavize.errors import EnclavizeError, UsageError
from enclavize.libos.toolchain.tree import FILE, MAX_NAMES, Content, Found, checked_size
from enclavize.oci.descriptor import Descriptor
from enclavize.oci.digest import Digest
from enclavize.oci.storage import storage_errors
from enclavize.oci.stream import chunks, verified
from enclavize.rootfs.elf import MAGIC, ElfScanner
from enclavize.rootfs.names import printable

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from enclavize.progress import Reporter
    from enclavize.rootfs.entry import ElfFacts


class FolderTree:
    """The files below ``root``. Symbolic links may lead anywhere below it, but not out of it."""

    def __init__(self, root: Path) -> None:
        with storage_errors("read", root):
            self._root = root.resolve(strict=True)
        self.name = f"{str(self._root).rstrip('/')}/"

    def find(self, path: str) -> Found | None:
        """Return the file at ``path``."""
        real = self._real(path)
        if real is None:
            return None
        with storage_errors("read", real):
            status = real.lstat()
        relative = str(real.relative_to(self._root))
        if not stat.S_ISREG(status.st_mode):
            raise UsageError(f"{self.name}{printable(path)} is no regular file")
        checked_size(self.name, path, status.st_size)
        return Found(path=relative, mode=stat.S_IMODE(status.st_mode), size=status.st_size)

    def names(self, folder: str) -> tuple[str, ...]:
        """Return the names in a folder, sorted."""
        real = self._real(folder)
        if real is None or not real.is_dir():
            return ()
        with storage_errors("read", real):
            names = [child.name for child in real.iterdir()]
        if len(names) > MAX_NAMES:
            raise UsageError(f"{real} has more than {MAX_NAMES} files")
        return tuple(sorted(filter(str.isprintable, names)))

    def elf(self, found: Found) -> ElfFacts | None:
        """Read the file's headers, or all of it where they refer to its end."""
        scanner = ElfScanner()
        with self._open(found) as stream:
            first = stream.read(1 << 16)
            if first[:4] != MAGIC:
                return None
            scanner.feed(first)
            for piece in chunks(stream):
                scanner.feed(piece)
        return scanner.facts()

    def contents(self, files: Collection[Found], reporter: Reporter) -> Mapping[str, Content]:
        """Hash the files; they are read again, and verified, when they are opened."""
        contents = {}
        with reporter.task(f"read {self.name}", total=sum(found.size for found in files)) as task:
            for found in files:
                content = hashlib.sha256()
                size = 0
                with self._open(found) as stream:
                    for piece in chunks(stream):
                        content.update(piece)
                        size += len(piece)
                        task.advance(len(piece))
                        if size > found.size:
                            break
                if size != found.size:
                    raise EnclavizeError(
                        f"{self.name}{found.path} changed while it was read", hint="try again"
                    )
                descriptor = Descriptor(
                    media_type=FILE, digest=Digest(f"sha256:{content.hexdigest()}"), size=found.size
                )
                contents[found.path] = Content(
                    sha256=content.hexdigest(), open=partial(self._verified, found, descriptor)
                )
        return contents

    def _real(self, path: str) -> Path | None:
        """Return where ``path`` leads to, through all links; None if it leads nowhere."""
        try:
            real = Path(os.path.realpath(self._root / path, strict=True))
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise UsageError(f"{self.name}{printable(path)}: {error.strerror}") from error
        if not real.is_relative_to(self._root):
            raise UsageError(
                f"{self.name}{printable(path)} is a link to {real}, outside the toolchain",
                hint="give the folder that holds both, or copy the files",
            )
        return real

    def _open(self, found: Found) -> BinaryIO:
        path = self._root / found.path
        with storage_errors("read", path):
            # The file may have become a FIFO in the meantime, on which open(2) would wait.
            descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
            return os.fdopen(descriptor, "rb")

    def _verified(self, found: Found, descriptor: Descriptor) -> BinaryIO:
        return verified(self._open(found), descriptor, f"{self.name}{found.path} has changed: it")
