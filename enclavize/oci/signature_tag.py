"""Under which tag cosign keeps the signatures of an image (SIGNATURE_SPEC.md, "Storage")."""

from __future__ import annotations

from typing import TYPE_CHECKING

from enclavize.oci.digest import hex_of

if TYPE_CHECKING:
    from enclavize.oci.digest import Digest


def signature_tag(signed: Digest) -> str:
    """Return the tag for the signatures of a manifest."""
    return f"sha256-{hex_of(signed)}.sig"
