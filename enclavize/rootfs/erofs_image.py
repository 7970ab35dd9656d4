"""What is known of a measured tree that was written."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class ErofsImage:
    """What was written."""

    size: int
    """Bytes of ``rootfs.erofs``."""
    digest: bytes
    """fs-verity digest of ``rootfs.erofs``: with ``size``, all that the enclave has to trust."""
    verity_size: int
    """Bytes of ``rootfs.verity``."""
