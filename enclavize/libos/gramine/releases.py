"""Releases of Gramine that enclaves are made for, and what the older one does not have.

Source: github.com/gramineproject/gramine, tags v1.8 and v1.9. Both measure the same pages in the same order
and read the same manifests, but for attestation by EPID, which Intel has ended, and for the recovery of
encrypted files, which is new in 1.9. Loaders of 1.8 that were built for the old driver, outside of the
kernel, want a launch token beside the image, which is made on the machine that runs it.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from enclavize.errors import UsageError
from enclavize.libos.gramine.files import read

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from enclavize.libos.toolchain.model import Toolchain

_KNOWN = re.compile(r"1\.[89](\.\d+)?", re.ASCII)
_WITHOUT_RECOVERY = re.compile(r"1\.8(\.\d+)?", re.ASCII)
_LOADER = "sgx/loader"
_WANTS_TOKEN = b"gramine-sgx-get-token"
"""Of the loader's message about a missing token."""


def require_known(toolchain: Toolchain) -> None:
    """Raises UsageError for a version whose enclaves are not known, or a build that needs tokens."""
    if not _KNOWN.fullmatch(toolchain.version):
        raise UsageError(
            f"the toolchain {toolchain.origin} has Gramine {toolchain.version}; "
            "how the enclaves of that version are built is not known here, only those of 1.8 and 1.9",
            hint="give --toolchain a Gramine 1.9",
        )
    if _LOADER in toolchain.files and _WANTS_TOKEN in read(toolchain, _LOADER):
        raise UsageError(
            f"the Gramine of the toolchain {toolchain.origin} was built for SGX's old driver outside of "
            "the kernel, whose launch tokens no image can have",
            hint="take a Gramine built with -Dsgx_driver=upstream, as its packages are",
        )


def require_served(table: Mapping[str, Any], version: str) -> None:
    """Raises UsageError for keys of a manifest that a release does not have."""
    if _WITHOUT_RECOVERY.fullmatch(version) and any("enable_recovery" in mount for mount in _mounts(table)):
        raise UsageError(
            f"[gramine] fs.mounts: enable_recovery is unknown to Gramine {version}",
            hint="leave it out, or give --toolchain a Gramine 1.9",
        )


def _mounts(table: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    yield from table.get("fs", {}).get("mounts", ())
    yield table.get("fs", {}).get("root", {})
