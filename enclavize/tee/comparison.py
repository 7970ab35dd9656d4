"""Compare a layer, while it is read, with what the writer of its format version gives for its contents.

Whatever two tar readers disagree on cannot be in a layer that equals what a build writes, byte for byte. No
byte is hashed for it: what a member contains is the same in both; what stands around it is compared.
"""

from __future__ import annotations

from collections import deque
from itertools import zip_longest
from typing import TYPE_CHECKING

from enclavize.errors import IntegrityError
from enclavize.rootfs.names import printable
from enclavize.rootfs.tar_header import RECORD_SIZE
from enclavize.tee.tar import LAYER_WRITERS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from enclavize.oci.descriptor import Descriptor

_CONVERTED_FILES = {"stargz.index.json", ".no.prefetch.landmark", ".prefetch.landmark"}
"""What converters put into a layer (containerd/stargz-snapshotter, docs/estargz.md)."""

_CONVERSIONS = {
    "containerd.io/snapshot/stargz/": "eStargz",
    "io.containers.estargz.": "eStargz",
    "io.github.containers.zstd-chunked.": "zstd:chunked",
}
"""By the beginning of an annotation of the layer's descriptor."""


def converted(layer: Descriptor) -> str:
    """Name the format to which a layer was converted, by its annotations; "" if there are none."""
    return next(
        (
            name
            for start, name in _CONVERSIONS.items()
            if any(key.startswith(start) for key in layer.annotations)
        ),
        "",
    )


def is_of_a_conversion(path: str) -> bool:
    """Whether converters put a file of that name into layers."""
    return path in _CONVERTED_FILES


def conversion_error(what: str, name: str) -> IntegrityError:
    """Return the error for a converted layer, which ``what`` names."""
    return IntegrityError(
        f"{what} was converted to {name} on the way, and is no longer what a build wrote",
        hint="copy the image as it is, without converting its layers",
    )


class LayerComparison:
    """Hand :meth:`chunks` to the tar reader, and tell of each member that it finds, in order."""

    def __init__(self, source: Iterator[bytes], version: int, what: str, conversion: str = "") -> None:
        self._source = source
        self._format = LAYER_WRITERS[version]
        self._what, self._version, self._conversion = what, version, conversion
        self._pending: deque[bytes] = deque()
        """What the reader has got, and was not compared."""
        self._at = 0
        self._size, self._padding = 0, b""
        """Of the last member: bytes of its data that are still to come, and what fills its last record."""
        self._paths: list[str] = []
        self._given: list[str] = []
        self._difference = ""

    def chunks(self) -> Iterator[bytes]:
        """Yield the source."""
        for chunk in self._source:
            if not self._difference:
                self._pending.append(chunk)
                self._pass_data()
            yield chunk

    def member(
        self, path: str, kind: bytes, mode: int, *, size: int = 0, target: str = "", implied: bool = False
    ) -> None:
        """Compare the header of the member that the reader has just found, and what is before it.

        ``implied``: it is a directory that is there for what is in it.
        """
        self._end_of_data()
        try:
            header = self._format.header(path, kind, mode, size, target)
        except ValueError:
            header = b""
        self._expect(header, path)
        self._size, self._padding = size, bytes(-size % RECORD_SIZE)
        self._paths.append(path)
        if not implied:
            self._given.append(path)

    def finish(self) -> None:
        """Read the source to its end, and compare what is left."""
        self._end_of_data()
        end = self._format.end
        for chunk in self._source:
            if sum(map(len, self._pending)) - self._at <= len(end):
                self._pending.append(chunk)
        self._expect(end, "its end")
        if self._pending:
            self._differ("its end")
        wanted = list(self._format.arrangement(self._given))
        if self._paths != wanted:
            pairs = zip_longest(self._paths, wanted, fillvalue="")
            self._differ(next(found or missing for found, missing in pairs if found != missing))

    def verify(self) -> None:
        """Raise IntegrityError if anything was different."""
        if not self._difference:
            return
        if self._conversion:
            raise conversion_error(self._what, self._conversion)
        raise IntegrityError(
            f"{self._what} is not what a build writes in format version {self._version}: "
            f"{printable(self._difference[:200])} differs",
            hint="somebody wrote the layer again: copy images as they are, with docker, skopeo or the like",
        )

    def _pass_data(self) -> None:
        """Forget the data of the last member: it may be longer than the memory is large."""
        while self._size and self._pending:
            self._size -= len(self._next(self._size))

    def _end_of_data(self) -> None:
        """Compare what is behind the data of the last member."""
        self._pass_data()
        if self._padding:
            self._expect(self._padding, self._paths[-1])
            self._padding = b""

    def _expect(self, wanted: bytes, where: str) -> None:
        """Compare what comes next."""
        missing = len(wanted)
        parts = []
        while missing and self._pending:
            parts.append(self._next(missing))
            missing -= len(parts[-1])
        if b"".join(parts) != wanted or not wanted:
            self._differ(where)

    def _next(self, size: int) -> memoryview:
        """Take at most ``size`` bytes from the first chunk that is pending."""
        chunk = self._pending[0]
        part = memoryview(chunk)[self._at : self._at + size]
        self._at += len(part)
        if self._at == len(chunk):
            self._pending.popleft()
            self._at = 0
        return part

    def _differ(self, where: str) -> None:
        self._difference = self._difference or where
        self._pending.clear()
        self._at = 0
