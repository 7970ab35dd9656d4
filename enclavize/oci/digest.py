"""Content digests: ``algorithm:hex`` (image-spec, descriptor.md, "Digests")."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NewType

from enclavize.errors import InvalidImageError

if TYPE_CHECKING:
    from hashlib import _Hash

Digest = NewType("Digest", str)
"""A digest that was checked: a registered algorithm and lower-case hex of its length."""

HEX_LENGTHS = {"sha256": 64, "sha512": 128}
"""The registered algorithms and the length of their hex form."""

_HEX = re.compile(r"[0-9a-f]+")


def parse_digest(text: str) -> Digest:
    """Check ``text`` and return it as a digest. Raises InvalidImageError."""
    algorithm, _, hexadecimal = text.partition(":")
    if len(hexadecimal) != HEX_LENGTHS.get(algorithm) or not _HEX.fullmatch(hexadecimal):
        raise InvalidImageError(f"{text[:100]!r} is not a sha256 or sha512 digest")
    return Digest(text)


def sha256_digest(data: bytes) -> Digest:
    """Return the SHA-256 digest of ``data``."""
    import hashlib

    return Digest(f"sha256:{hashlib.sha256(data).hexdigest()}")


def algorithm_of(digest: Digest) -> str:
    """Return the name of the algorithm, for example ``sha256``."""
    return digest.partition(":")[0]


def hex_of(digest: Digest) -> str:
    """Return the hex part."""
    return digest.partition(":")[2]


def short(digest: Digest) -> str:
    """Return the twelve hex digits that people are shown."""
    return hex_of(digest)[:12]


def new_hash(digest: Digest) -> _Hash:
    """Return a fresh hash object of the digest's algorithm."""
    import hashlib  # which loads OpenSSL; not all who name digests make them

    return hashlib.new(algorithm_of(digest))
