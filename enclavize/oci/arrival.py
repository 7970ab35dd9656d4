"""Blobs on their way into the cache, which another thread reads as far as they have come.

So a layer is uploaded while it is downloaded and indexed, and none of these waits for a slower one: whoever
follows reads the file that grows in the cache.
"""

from __future__ import annotations

import io
import os
import threading
from typing import TYPE_CHECKING, BinaryIO

from enclavize.errors import EnclavizeError
from enclavize.oci.stream import VerifiedStream, blob_name

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

    from enclavize.oci.cache import TemporaryBlob
    from enclavize.oci.descriptor import Descriptor
    from enclavize.oci.digest import Digest


class Arrival:
    """The sink of a blob that is being read and verified (``stream.verified``), into a file of the cache."""

    def __init__(self, blob: TemporaryBlob, descriptor: Descriptor, arrivals: Arrivals) -> None:
        self.descriptor = descriptor
        self._blob = blob
        self._arrivals = arrivals
        self._changed = threading.Condition()
        self._size = 0
        self._is_verified = False
        self._has_ended = False

    def write(self, data: bytes | memoryview) -> None:
        """Add bytes."""
        self._blob.write(data)
        with self._changed:
            self._size += len(data)
            self._changed.notify_all()

    def commit(self, digest: Digest) -> None:
        """Give the blob its name in the cache."""
        self._blob.commit(digest)
        self._end(is_verified=True)

    def abort(self) -> None:
        """Throw the blob away, unless it was committed."""
        self._blob.abort()
        self._end(is_verified=False)

    def follow(self) -> VerifiedStream | None:
        """Open the blob from its beginning; None: it has ended, and is in the cache or is not.

        The last byte is handed out after the check only: whoever sees them all has seen verified bytes. The
        stream raises EnclavizeError for a blob that is thrown away.
        """
        with self._changed:
            if self._has_ended:
                return None
            return VerifiedStream(_Follower(self, self._blob.duplicate()), self.descriptor)

    def wait_beyond(self, count: int) -> int:
        """Wait until more than ``count`` bytes may be seen, or all are there; return how many.

        Raises EnclavizeError.
        """
        with self._changed:
            while not self._has_ended:
                if (visible := min(self._size, self.descriptor.size - 1)) > count:
                    return visible
                self._changed.wait()
            if not self._is_verified:
                raise EnclavizeError(f"{blob_name(self.descriptor.digest)} did not arrive")
            return self._size

    def _end(self, *, is_verified: bool) -> None:
        with self._changed:
            if self._has_ended:
                return
            self._has_ended, self._is_verified = True, is_verified
            self._changed.notify_all()
        self._arrivals.forget(self)


class _Follower(io.RawIOBase):
    def __init__(self, arrival: Arrival, descriptor: int) -> None:
        self._arrival = arrival
        self._descriptor = descriptor
        self._count = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer) -> int:
        view = memoryview(buffer).cast("B")
        left = self._arrival.wait_beyond(self._count) - self._count
        size = os.preadv(self._descriptor, [view[:left]], self._count) if left else 0
        self._count += size
        return size

    def close(self) -> None:
        if not self.closed:
            os.close(self._descriptor)
        super().close()


class Arrivals:
    """What one command fetches into its cache at the moment."""

    def __init__(self) -> None:
        self._found: dict[Digest, Arrival] = {}

    def begin(self, descriptor: Descriptor, blob: TemporaryBlob) -> Arrival:
        """Return the sink for a blob, which others can follow from now on."""
        arrival = Arrival(blob, descriptor, self)
        self._found[descriptor.digest] = arrival
        return arrival

    def follow(self, descriptor: Descriptor) -> BinaryIO | None:
        """Open a blob that is on its way; None if it is not."""
        arrival = self._found.get(descriptor.digest)
        if arrival is None or arrival.descriptor.size != descriptor.size:
            return None
        return arrival.follow()

    def forget(self, arrival: Arrival) -> None:
        """Note that a blob is not on its way any more."""
        if self._found.get(arrival.descriptor.digest) is arrival:
            del self._found[arrival.descriptor.digest]
