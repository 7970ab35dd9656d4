"""``--image-key``, ``--builtin-image-key``, ``--sgx-mode`` and ``--init-ra``: of the table ``[occlum]``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from enclavize.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


def with_image_key(
    tables: Mapping[str, Mapping[str, Any]], libos: str, key: Path | None, *, built_in: bool
) -> Mapping[str, Mapping[str, Any]]:
    """Return the tables of LibOSes with the options in them. Raises UsageError for a LibOS without keys."""
    if key is None and not built_in:
        return tables
    if libos != "occlum":
        raise UsageError("--image-key is for --libos occlum", hint="the images of other LibOSes have no key")
    from enclavize.libos.occlum.options import BUILT_IN_KEY, IMAGE_KEY

    table = dict(tables.get("occlum", {}))
    if key is not None:
        table[IMAGE_KEY] = str(key)
    if built_in:
        table[BUILT_IN_KEY] = True
    return {**tables, "occlum": table}


def with_sgx_mode(
    tables: Mapping[str, Mapping[str, Any]], libos: str, mode: str | None
) -> Mapping[str, Mapping[str, Any]]:
    """Return the tables with the mode in them. Raises UsageError for a LibOS whose enclaves run in both."""
    if mode is None:
        return tables
    if libos != "occlum":
        raise UsageError(
            "--sgx-mode is for --libos occlum", hint="enclaves of other LibOSes run in both modes"
        )
    from enclavize.libos.occlum.options import SGX_MODE

    return {**tables, "occlum": {**tables.get("occlum", {}), SGX_MODE: str(mode)}}


def with_init_ra(
    tables: Mapping[str, Mapping[str, Any]], libos: str, kind: str | None, configuration: Path | None
) -> Mapping[str, Mapping[str, Any]]:
    """Return the tables with the init and its configuration in them. Raises UsageError for other LibOSes."""
    if kind is None and configuration is None:
        return tables
    if libos != "occlum":
        raise UsageError("--init-ra is for --libos occlum", hint="other LibOSes have no init")
    from enclavize.libos.occlum.options import INIT_RA, INIT_RA_CONFIGURATION

    table = dict(tables.get("occlum", {}))
    if kind is not None:
        table[INIT_RA] = str(kind)
    if configuration is not None:
        table[INIT_RA_CONFIGURATION] = str(configuration)
    return {**tables, "occlum": table}
