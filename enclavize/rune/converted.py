"""What the node's daemon tells about an image that it has converted, beside the image's ``.enclave``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from enclavize.oci.document import parse_document
from enclavize.oci.storage import storage_errors

if TYPE_CHECKING:
    from pathlib import Path

STATEMENT = "conversion.json"
_LIMIT = 1 << 20


def read_entrypoint(tree: Path) -> tuple[str, ...]:
    """Return the entrypoint of the image that a tree was made of. Raises EnclavizeError."""
    path = tree / STATEMENT
    with storage_errors("read", path), path.open("rb") as file:
        return parse_document(file.read(_LIMIT), str(path)).texts("entrypoint")
