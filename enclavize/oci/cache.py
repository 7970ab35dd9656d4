"""The blob cache: files named by their digest, below the user's cache folder.

    <root>/sha256/<hex>     a blob; it got its name by rename, after its bytes were verified
    <root>/tmp/<random>     a blob that is being written; its writer holds a lock on it
    <root>/users/<random>   as long as it is locked, a command uses what it touches from that time on

Builds may share a cache and be killed at any moment: two that fetch the same blob both write a file of their
own, and the second rename changes nothing. A temporary file that nobody has locked was left by a killed build
and is removed by the next one. Blobs are verified again whenever they are read, so a damaged disk is noticed.
"""

from __future__ import annotations

import fcntl
import os
import weakref
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Self

from enclavize.errors import IntegrityError
from enclavize.folders import user_cache
from enclavize.lock import try_lock
from enclavize.oci.arrival import Arrivals
from enclavize.oci.digest import Digest, algorithm_of, hex_of, new_hash
from enclavize.oci.storage import storage_errors
from enclavize.oci.stream import verified

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import TracebackType

    from enclavize.oci.descriptor import Descriptor

USERS = "users"

_ANY_SHA256 = Digest("sha256:")


def default_cache_root() -> Path:
    """Return ``enclavize/blobs`` below the user's cache folder (XDG_CACHE_HOME)."""
    return user_cache() / "blobs"


class TemporaryBlob:
    """A blob without a name. Whoever commits it vouches for the digest."""

    def __init__(self, cache: BlobCache) -> None:
        import tempfile

        self._cache = cache
        with locked_folder(cache.root, fcntl.LOCK_SH):  # so that nobody removes it before it is locked
            self._descriptor, name = tempfile.mkstemp(dir=cache.temporary_folder)
            fcntl.flock(self._descriptor, fcntl.LOCK_EX)
        self._path = Path(name)
        self._open = True

    def write(self, data: bytes | memoryview) -> None:
        """Add bytes."""
        with storage_errors("write", self._path):
            view = memoryview(data)
            while view:
                view = view[os.write(self._descriptor, view) :]

    def commit(self, digest: Digest) -> None:
        """Give the blob its name."""
        path = self._cache.path(digest)
        with storage_errors("write", path):
            path.parent.mkdir(parents=True, exist_ok=True)
            os.fchmod(self._descriptor, 0o444)
            self._path.rename(path)
        self._release()

    def duplicate(self) -> int:
        """Return a descriptor of the file for whoever reads beside the writer; the caller closes it."""
        return os.dup(self._descriptor)

    def abort(self) -> None:
        """Throw the blob away, unless it was committed."""
        if self._open:
            self._path.unlink(missing_ok=True)
            self._release()

    def _release(self) -> None:
        self._open = False
        os.close(self._descriptor)


class BlobWriter:
    """Writes one blob. Leaving the ``with`` block in peace commits it, an exception throws it away."""

    def __init__(self, blob: TemporaryBlob, expected: Digest | None) -> None:
        self._blob = blob
        self._expected = expected
        self._hash = new_hash(expected or _ANY_SHA256)
        self.size = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if error is None:
                if self._expected not in (None, self.digest):
                    raise IntegrityError(f"the data for blob {self._expected} has digest {self.digest}")
                self._blob.commit(self.digest)
        finally:
            self._blob.abort()

    @property
    def digest(self) -> Digest:
        """The digest of what was written so far."""
        return Digest(f"{self._hash.name}:{self._hash.hexdigest()}")

    def write(self, data: bytes) -> None:
        """Add bytes."""
        self._hash.update(data)
        self.size += len(data)
        self._blob.write(data)


class BlobCache:
    """A folder of verified blobs; see the head of this module.

    From its first use to its end, nothing that is touched by it is pruned (``oci/pruning.py``).
    """

    def __init__(self, root: Path | None = None) -> None:
        self.root = root or default_cache_root()
        self.temporary_folder = self.root / "tmp"
        self.arrivals = Arrivals()
        self._swept = False
        self._used = False

    def path(self, digest: Digest) -> Path:
        """Return where a blob is, or would be."""
        return self.root / algorithm_of(digest) / hex_of(digest)

    def folder(self, name: str) -> Path:
        """Return a folder beside the blobs, for what is made of them."""
        self._use()
        return self.root / name

    def has(self, digest: Digest) -> bool:
        """Tell whether the blob is here."""
        self._use()
        path = self.path(digest)
        touch(path)
        return path.is_file()

    def open(self, descriptor: Descriptor, *, advance: Callable[[int], None] | None = None) -> BinaryIO:
        """Open a blob. It is verified while it is read; a damaged one is removed.

        Raises FileNotFoundError if it is not here; the stream raises IntegrityError.
        """
        self._use()
        path = self.path(descriptor.digest)
        stream = path.open("rb", buffering=0)
        touch(stream.fileno())
        return verified(
            stream,
            descriptor,
            f"the cached copy of blob {descriptor.digest} was damaged and is now removed (try again): it",
            advance=advance,
            on_mismatch=lambda: path.unlink(missing_ok=True),
        )

    def writer(self, digest: Digest | None = None) -> BlobWriter:
        """Start a blob; ``digest`` is what it must have, if known."""
        return BlobWriter(self.temporary_blob(), digest)

    def temporary_blob(self) -> TemporaryBlob:
        """Start a blob that the caller verifies."""
        with storage_errors("write", self.root):
            self._use()
            self.temporary_folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            if not self._swept:
                self._swept = True
                self.remove_abandoned()
            return TemporaryBlob(self)

    def spool(self) -> BinaryIO:
        """Return a nameless file on the cache's disk, for data that must be seekable for a while."""
        import tempfile

        with storage_errors("write", self.root):
            self.temporary_folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            return tempfile.TemporaryFile(dir=self.temporary_folder)

    def remove_abandoned(self) -> None:
        """Remove the temporary files and marks that killed builds left: those that nobody has locked."""
        folders = [path for path in (self.temporary_folder, self.root / USERS) if path.is_dir()]
        if not folders:
            return
        with locked_folder(self.root, fcntl.LOCK_EX):
            for path in (path for folder in folders for path in folder.iterdir()):
                with suppress(OSError), path.open("rb") as stream:
                    if try_lock(stream.fileno()):
                        path.unlink()

    def _use(self) -> None:
        """Say that the cache is in use, as long as this object is; not while others prune it."""
        if self._used:
            return
        self._used = True
        import tempfile

        folder = self.root / USERS
        with suppress(OSError):  # the cache may belong to somebody else
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            with locked_folder(self.root, fcntl.LOCK_SH):
                descriptor, name = tempfile.mkstemp(dir=folder, prefix="")
                fcntl.flock(descriptor, fcntl.LOCK_EX)
            weakref.finalize(self, _unmark, descriptor, Path(name))


def _unmark(descriptor: int, mark: Path) -> None:
    mark.unlink(missing_ok=True)
    os.close(descriptor)


def touch(file: Path | int) -> None:
    """Note that a file is used now; the least recently used ones go first."""
    with suppress(OSError):  # it may belong to somebody else, or not be there
        os.utime(file)


@contextmanager
def locked_folder(folder: Path, kind: int) -> Iterator[None]:
    """Hold flock(2)'s lock of a folder, shared or exclusive."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, kind)
        yield
    finally:
        os.close(descriptor)
