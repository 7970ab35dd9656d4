"""An image that the node's daemon has converted: what it tells beside the image's ``.enclave``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from enclavize.oci.document import parse_document
from enclavize.oci.storage import storage_errors

if TYPE_CHECKING:
    from pathlib import Path

STATEMENT = "conversion.json"
_LIMIT = 1 << 20


@dataclass(frozen=True, kw_only=True)
class ConvertedImage:
    """``tree`` has ``.enclave``; ``entrypoint`` is that of the image that it was made of.

    ``argv`` is the measured command line, ``debug`` whether the enclave can be debugged.
    """

    tree: Path
    entrypoint: tuple[str, ...]
    argv: tuple[str, ...] | None
    debug: bool


def read_entrypoint(tree: Path) -> tuple[str, ...]:
    """Return the entrypoint of the image that a tree was made of. Raises EnclavizeError."""
    path = tree / STATEMENT
    with storage_errors("read", path), path.open("rb") as file:
        return parse_document(file.read(_LIMIT), str(path)).texts("entrypoint")
