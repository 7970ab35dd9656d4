"""The table ``[occlum]`` of enclavize.toml: members of Occlum.json, and options of our own."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from enclavize.errors import UsageError
from enclavize.libos.occlum.build import ImageKey, SgxMode
from enclavize.libos.occlum.init_ra import GRPC_RATLS, load_ra_configuration
from enclavize.libos.occlum.sefs.keys import read_image_key

if TYPE_CHECKING:
    from collections.abc import Mapping

    from enclavize.libos.occlum.init_ra import RaConfiguration

IMAGE_KEY = "image-key"
BUILT_IN_KEY = "builtin-image-key"
EDMM = "edmm"
SGX_MODE = "sgx-mode"

INIT_RA = "init-ra"
INIT_RA_CONFIGURATION = "init-ra-conf"

_OWN = (IMAGE_KEY, BUILT_IN_KEY, EDMM, SGX_MODE, INIT_RA, INIT_RA_CONFIGURATION)

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
    init_ra: RaConfiguration | None = None


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
        init_ra=_init_ra(table, built_in=built_in),
    )


def _init_ra(table: Mapping[str, Any], *, built_in: bool) -> RaConfiguration | None:
    kind, name = table.get(INIT_RA), table.get(INIT_RA_CONFIGURATION)
    if kind is None and name is None:
        return None
    if kind != GRPC_RATLS:
        raise UsageError(
            f"[occlum] {INIT_RA}: {GRPC_RATLS} is the one that is known here",
            hint="for another, put your init in place of build/bin/init of the toolchain",
        )
    if not isinstance(name, str):
        raise UsageError(
            f"[occlum] {INIT_RA} needs {INIT_RA_CONFIGURATION}, the name of a file",
            hint="'enclavize occlum new PATH --init-ra grpc_ratls' writes one to be filled in",
        )
    if built_in:
        raise UsageError(
            f"[occlum] {BUILT_IN_KEY} and {INIT_RA} contradict each other",
            hint=f"the init gets the key by remote attestation: leave {BUILT_IN_KEY} out",
        )
    return load_ra_configuration(Path(name))


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
