"""The table ``[occlum]`` of enclavize.toml: members of Occlum.json, and four options of our own."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from enclavize.errors import UsageError
from enclavize.libos.occlum.build import ImageKey, SgxMode
from enclavize.libos.occlum.sefs.keys import read_image_key

if TYPE_CHECKING:
    from collections.abc import Mapping

IMAGE_KEY = "image-key"
BUILT_IN_KEY = "builtin-image-key"
EDMM = "edmm"
SGX_MODE = "sgx-mode"

_OWN = (IMAGE_KEY, BUILT_IN_KEY, EDMM, SGX_MODE)

_ELSEWHERE = {
    "product_id": "--isvprodid",
    "version_number": "--isvsvn",
    "debuggable": "--debug",
}
"""Members of ``metadata`` that options of the command line decide."""


@dataclass(frozen=True, kw_only=True)
class OcclumOptions:
    """What the table says. ``changes`` are laid over the Occlum.json that is made of everything else."""

    changes: Mapping[str, Any]
    image_key: ImageKey | None = None
    edmm: bool = False
    mode: SgxMode = SgxMode.HARDWARE


def parse_table(table: Mapping[str, Any]) -> OcclumOptions:
    """Read the table. Raises UsageError; what is in ``changes`` is checked with the whole Occlum.json."""
    changes = {name: value for name, value in table.items() if name not in _OWN}
    metadata = changes.get("metadata")
    for name, option in _ELSEWHERE.items():
        if isinstance(metadata, dict) and name in metadata:
            raise UsageError(
                f"[occlum] metadata.{name} is given by {option}", hint="leave it out of the table"
            )
    key, built_in = table.get(IMAGE_KEY), _flag(table, BUILT_IN_KEY)
    if key is None and built_in:
        raise UsageError(f"[occlum] {BUILT_IN_KEY} needs a key", hint=f"add {IMAGE_KEY} = FILE")
    if key is not None and not isinstance(key, str):
        raise UsageError(f"[occlum] {IMAGE_KEY} is not the name of a file")
    mode = _mode(table)
    if mode is SgxMode.SIMULATION and _flag(table, EDMM):
        raise UsageError(f"[occlum] {EDMM}: a simulation has no SGX 2")
    return OcclumOptions(
        changes=changes,
        image_key=None if key is None else ImageKey(key=read_image_key(Path(key)), built_in=built_in),
        edmm=_flag(table, EDMM),
        mode=mode,
    )


def _mode(table: Mapping[str, Any]) -> SgxMode:
    value = table.get(SGX_MODE, SgxMode.HARDWARE.value)
    if value not in [mode.value for mode in SgxMode]:
        raise UsageError(f"[occlum] {SGX_MODE} is neither HW nor SIM")
    return SgxMode(value)


def _flag(table: Mapping[str, Any], name: str) -> bool:
    value = table.get(name, False)
    if not isinstance(value, bool):
        raise UsageError(f"[occlum] {name} is neither true nor false")
    return value
