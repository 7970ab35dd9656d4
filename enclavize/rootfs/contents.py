"""Small files read from their layers when somebody asks for them.

The index keeps the content of files under well-known paths. A path is not a file's identity, though: what
``/etc/passwd`` leads to, through links and other layers, is known when all layers are merged. Such a file is
read now, by its place in the archive, and kept in the blob cache by its digest.
"""

from __future__ import annotations

import hashlib
from contextlib import suppress
from typing import TYPE_CHECKING

from enclavize.errors import IntegrityError, InvalidImageError
from enclavize.oci.descriptor import Descriptor
from enclavize.oci.digest import Digest, short
from enclavize.oci.fetch import fetch_blob
from enclavize.rootfs.decompress import decompressed
from enclavize.rootfs.layer import size_limit
from enclavize.rootfs.names import printable
from enclavize.rootfs.tar import TarReader

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import BinaryIO

    from enclavize.oci.cache import BlobCache
    from enclavize.oci.image import Image
    from enclavize.progress import Reporter
    from enclavize.rootfs.entry import Entry


def read_contents(
    image: Image, entries: Iterable[Entry], *, cache: BlobCache, reporter: Reporter
) -> dict[bytes, bytes]:
    """Return the content of regular files of an image, by its SHA-256; each layer is read once at most.

    Raises IntegrityError if a layer is not what was indexed, and what fetching it raises.
    """
    wanted = {entry.sha256: entry for entry in entries}
    found: dict[bytes, bytes] = {}
    for digest, entry in wanted.items():
        with suppress(FileNotFoundError), cache.open(_descriptor(entry)) as stream:
            found[digest] = stream.read()
    missing = [entry for digest, entry in wanted.items() if digest not in found]
    for number in sorted({entry.layer for entry in missing}):
        layer = image.layers[number]
        what = f"layer {short(layer.digest)}"
        members = {entry.member: entry for entry in missing if entry.layer == number}
        with (
            reporter.task(f"look again into {what}", total=layer.size) as task,
            fetch_blob(image, layer, cache, task) as blob,
        ):
            limit = size_limit(image.stored_size(layer))
            for entry, content in _members(blob, what, members, limit):
                with cache.writer(_descriptor(entry).digest) as output:
                    output.write(content)
                found[entry.sha256] = content
    return found


def _members(
    blob: BinaryIO, what: str, members: dict[int, Entry], limit: int
) -> Iterator[tuple[Entry, bytes]]:
    """Yield files of a layer by their place in its archive, which is read up to the last one of them."""
    left = dict(members)
    reader = TarReader(_limited(decompressed(blob, what), limit), what)
    for number, member in enumerate(reader):
        entry = left.pop(number, None)
        if entry is not None:
            content = b"".join(reader.pieces()) if member.size == entry.size else b""
            if hashlib.sha256(content).digest() != entry.sha256:
                raise IntegrityError(
                    f"{what} has another /{printable(entry.path)} than when it was indexed",
                    hint="it was changed in the meantime: run the same command again",
                )
            yield entry, content
        if not left:
            return
    raise IntegrityError(f"{what} has fewer files than when it was indexed")


def _limited(chunks: Iterator[bytes], limit: int) -> Iterator[bytes]:
    for chunk in chunks:
        limit -= len(chunk)
        if limit < 0:
            raise InvalidImageError("a layer has become larger since it was indexed")
        yield chunk


def _descriptor(entry: Entry) -> Descriptor:
    digest = Digest(f"sha256:{entry.sha256.hex()}")
    return Descriptor(media_type="application/octet-stream", digest=digest, size=entry.size)
