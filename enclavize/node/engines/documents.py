"""Manifests and configurations that were read lately: each start of a container asks for the same ones.

They are known by their digests, so none can be out of date.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from enclavize.oci.digest import Digest

MAX_BYTES = 8 << 20


class Documents:
    """A bounded memory of documents, for several threads."""

    def __init__(self, max_bytes: int = MAX_BYTES) -> None:
        self._max_bytes = max_bytes
        self._lock = threading.Lock()
        self._known: OrderedDict[Digest, bytes] = OrderedDict()
        self._bytes = 0

    def get(self, digest: Digest) -> bytes | None:
        """Return a document, if it is known."""
        with self._lock:
            if digest in self._known:
                self._known.move_to_end(digest)
            return self._known.get(digest)

    def keep(self, digest: Digest, data: bytes) -> None:
        """Keep a document that was verified; the least recently used ones go."""
        with self._lock:
            if digest in self._known or len(data) > self._max_bytes:
                return
            self._known[digest] = data
            self._bytes += len(data)
            while self._bytes > self._max_bytes:
                _, gone = self._known.popitem(last=False)
                self._bytes -= len(gone)
