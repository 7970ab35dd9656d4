"""Who an enclave is, and whether this node admits that."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from enclavize.errors import EnclavizeError
from enclavize.rune.enclave_folder import EnclaveFolder
from enclavize.tee.layout import DESCRIPTION, MAX_DESCRIPTION_SIZE

if TYPE_CHECKING:
    from pathlib import Path

    from enclavize.rune.settings import Settings
    from enclavize.tee.description import TeeDescription

RUNELETS = {"builtin": "runelet", "gramine": "runelet-gramine"}
"""The host's runelet for each LibOS, among the native components."""
READS_LAYERS = "builtin"
"""The LibOS whose PAL finds files in layers as they are."""
LAYERS = ".rune/layers"
"""Where the root of a container has the layers of its image, if it has not their files."""


@dataclass(frozen=True, kw_only=True)
class Enclave:
    """Who signed the enclave, as what; ``debug`` if its memory can be read from outside."""

    libos: str
    mrenclave: bytes
    mrsigner: bytes
    isv_prod_id: int
    isv_svn: int
    debug: bool


def read_description(rootfs: Path) -> TeeDescription:
    """Read ``enclave.json`` below ``rootfs``. Raises InvalidImageError."""
    from enclavize.tee.description import parse_description

    with EnclaveFolder(rootfs) as folder:
        return parse_description(folder.read(DESCRIPTION, MAX_DESCRIPTION_SIZE))


def admit(enclave: Enclave, settings: Settings) -> None:
    """Compare with the administrator's policy. Raises EnclavizeError with what is wrong."""
    if settings.mrsigners and enclave.mrsigner not in settings.mrsigners:
        raise EnclavizeError(f"this node does not admit enclaves of signer {enclave.mrsigner.hex()}")
    if settings.product_ids and enclave.isv_prod_id not in settings.product_ids:
        raise EnclavizeError(f"this node does not admit product id {enclave.isv_prod_id}")
    if enclave.isv_svn < settings.min_isvsvn:
        raise EnclavizeError(
            f"this node admits security version {settings.min_isvsvn} and later, not {enclave.isv_svn}"
        )
    if enclave.debug and not settings.allow_debug:
        raise EnclavizeError("this node does not admit debug enclaves")
