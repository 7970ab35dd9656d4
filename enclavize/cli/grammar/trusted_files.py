"""Options of a build that are entries of the table ``[gramine]``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from enclavize.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

MAX_LIST_SIZE = 64 << 20
"""Bytes of a file of ``--only-opened``."""


def with_selection(
    tables: Mapping[str, Mapping[str, Any]],
    libos: str,
    *,
    keep: Sequence[str],
    leave_out: Sequence[str],
    only_opened: Sequence[Path],
    tmpfs: Sequence[str],
    ra_tls: bool = False,
    secret_provisioning: str | None = None,
) -> Mapping[str, Mapping[str, Any]]:
    """Return the tables of LibOSes with the options in them. Raises UsageError."""
    if not (keep or leave_out or only_opened or tmpfs or ra_tls or secret_provisioning):
        return tables
    if libos != "gramine":
        raise UsageError(
            "--keep, --leave-out, --only-opened, --tmpfs, --ra-tls and --secret-provisioning are for "
            "--libos gramine",
            hint="the enclaves of other LibOSes have all files of the image, and more places to write to",
        )
    from enclavize.libos.gramine.asked import TMPFS
    from enclavize.libos.gramine.attestation import PROVISIONING, RA_TLS
    from enclavize.libos.gramine.selection import KEEP, LEAVE_OUT, ONLY_OPENED

    table = dict(tables.get("gramine", {}))
    options = ((KEEP, keep), (LEAVE_OUT, leave_out), (ONLY_OPENED, _union(only_opened)), (TMPFS, tmpfs))
    for key, more in options:
        if more:
            table[key] = [*table.get(key, []), *more]
    if ra_tls:
        table[RA_TLS] = True
    if secret_provisioning:
        table[PROVISIONING] = secret_provisioning
    return {**tables, "gramine": table}


def _union(lists: Iterable[Path]) -> list[str]:
    """Return the absolute paths of all files, one on each line; lines that begin with # are comments."""
    found: set[str] = set()
    for path in lists:
        try:
            with path.open("rb") as file:
                data = file.read(MAX_LIST_SIZE + 1)
        except OSError as error:
            raise UsageError(f"--only-opened {path}: {error.strerror}") from error
        if len(data) > MAX_LIST_SIZE:
            raise UsageError(f"--only-opened {path}: a list has at most {MAX_LIST_SIZE} bytes")
        lines = [line for line in data.decode(errors="surrogateescape").splitlines() if line.strip()]
        opened = {line for line in lines if not line.startswith("#")}
        if not opened:
            raise UsageError(f"--only-opened {path}: it names no file")
        found |= opened
    return sorted(found)
