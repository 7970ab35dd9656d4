"""``--manifest FILE``: a manifest as Gramine Shielded Containers takes it, and ``[gramine]`` of a file.

Most of it is merged into the manifest of the image. What other options of a build decide is taken as these
options, where they are not given: sizes and numbers from both, and from ``--manifest`` also what it opens to
the host, as ``--volume``, ``--allow-env`` and ``--allow-args``.
"""

from __future__ import annotations

import posixpath
import re
from copy import deepcopy
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from enclavize.errors import UsageError
from enclavize.toml_file import parse_toml, read_bounded

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

MAX_MANIFEST_SIZE = 16 << 20
"""Bytes."""

_TEMPLATE = re.compile(rb"\{\{|\{%|\{#")
_SIZE = re.compile(r"(?:0[xX][0-9a-fA-F]{1,16}|[0-9]{1,19})[KMG]?", re.ASCII)
_SHIFTS = {"K": 10, "M": 20, "G": 30}


@dataclass(frozen=True, kw_only=True)
class ManifestOptions:
    """What a manifest says as options; ``tables`` has it as ``[gramine]``, but for what it opens.

    ``settings`` are values of ``--set``. ``None``: the manifest does not say it.
    """

    tables: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    settings: tuple[str, ...] = ()
    isv_prod_id: int | None = None
    isv_svn: int | None = None
    debug: bool = False
    volumes: tuple[str, ...] = ()
    allowed_variables: tuple[str, ...] = ()
    allows_arguments: bool = False


def read_manifest(path: Path) -> dict[str, Any]:
    """Read a manifest. Raises UsageError."""
    data = read_bounded(path, "manifest", MAX_MANIFEST_SIZE)
    if _TEMPLATE.search(data):
        raise UsageError(
            f"--manifest {path} is a template: it has Jinja's marks",
            hint="render it with gramine-manifest; paths of libraries and of the LibOS come from the build",
        )
    try:
        return parse_toml(data)
    except ValueError as error:
        raise UsageError(f"--manifest {path} is no valid TOML: {error}") from error


def manifest_options(
    tables: Mapping[str, Mapping[str, Any]], libos: str, path: Path | None
) -> ManifestOptions:
    """Find options in the table ``[gramine]`` and in a manifest, whose keys count before the table's.

    Raises UsageError.
    """
    if libos != "gramine":
        if path is not None:
            raise UsageError(
                "--manifest is for --libos gramine", hint="what other LibOSes take stands in --config FILE"
            )
        return ManifestOptions()
    from enclavize.libos.gramine.schema import check

    manifest = {} if path is None else read_manifest(path)
    check(manifest)
    merged = _merged(deepcopy(dict(tables.get("gramine", {}))), manifest)
    opened: dict[str, Any] = {}
    if path is not None:
        opened = {
            "volumes": tuple(map(_volume, _taken(merged, "sgx", "allowed_files") or ())),
            "allowed_variables": tuple(_passed_through(merged)),
            "debug": _get(merged, "sgx", "debug") is True,
            "allows_arguments": _get(merged, "loader", "insecure__use_cmdline_argv") is True,
        }
    return ManifestOptions(
        settings=tuple(_settings(merged)),
        isv_prod_id=_number(merged, "isvprodid"),
        isv_svn=_number(merged, "isvsvn"),
        tables={"gramine": merged},
        **opened,
    )


def _settings(table: dict[str, Any]) -> Iterator[str]:
    """Yield sizes; what is left in the table has to be the same as the build has in the end."""
    from enclavize.libos.gramine.manifest import HELPER_THREADS, size_text

    if (size := _get(table, "sgx", "enclave_size")) is not None:
        table["sgx"]["enclave_size"] = size_text(_bytes(size))
        yield f"memory={_bytes(size)}"
    if (threads := _get(table, "sgx", "max_threads")) is not None:
        yield f"threads={_threads(threads, HELPER_THREADS)}"


def _get(table: Mapping[str, Any], name: str, key: str) -> Any:
    part = table.get(name)
    return part.get(key) if isinstance(part, dict) else None


def _taken(table: dict[str, Any], name: str, key: str) -> Any:
    part = table.get(name)
    return part.pop(key, None) if isinstance(part, dict) else None


def _merged(table: Mapping[str, Any], manifest: Mapping[str, Any]) -> dict[str, Any]:
    result = dict(table)
    for key, value in manifest.items():
        there = result.get(key)
        if isinstance(there, dict) and isinstance(value, dict):
            result[key] = _merged(there, value)
        elif isinstance(there, list) and isinstance(value, list):
            result[key] = [*value, *there]
        else:
            result[key] = value
    return result


def _volume(uri: str) -> str:
    path = uri.removeprefix("file:")
    if path == uri or not path.startswith("/"):
        raise UsageError(
            f"--manifest: sgx.allowed_files has {uri[:100]!r}; it must be file: and an absolute path",
            hint="the program's folder in the image is no constant of Gramine: write the whole path",
        )
    # Gramine lets programs write there and run what is there.
    return f"{posixpath.normpath(path)}:exec"


def _passed_through(manifest: dict[str, Any]) -> list[str]:
    variables = manifest.get("loader", {}).get("env", {})
    names = [
        name for name, value in variables.items() if isinstance(value, dict) and value.get("passthrough")
    ]
    for name in names:
        del variables[name]
    return names


def _bytes(size: object) -> int:
    if not isinstance(size, str) or not _SIZE.fullmatch(size):
        raise UsageError(f"sgx.enclave_size: {str(size)[:40]!r} is no size such as '4G'")
    shift = _SHIFTS.get(size[-1], 0)
    return int(size[:-1] if shift else size, 0 if size[:2] in ("0x", "0X") else 10) << shift


def _threads(count: object, of_gramine: int) -> int:
    if not isinstance(count, int) or isinstance(count, bool):
        raise UsageError("sgx.max_threads is not a number")
    if count <= of_gramine:
        raise UsageError(
            f"sgx.max_threads is {count}: Gramine has up to {of_gramine} threads of its own, so that none "
            "is left for the program"
        )
    return count - of_gramine


def _number(table: dict[str, Any], key: str) -> int | None:
    value = _get(table, "sgx", key)
    if value is None or (isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= 0xFFFF):
        return value
    raise UsageError(f"sgx.{key} is not a number from 0 to {0xFFFF}")


def added(given: list[str] | None, of_file: Sequence[str] | None, more: Sequence[str]) -> list[str] | None:
    """Return the values of an option with those of a manifest, each once; None leaves them to the file."""
    if not more:
        return given
    return list(dict.fromkeys([*(given or of_file or ()), *more]))


def first(*values: int | None) -> int:
    """Return the first value that is one; the last one always is."""
    return next(value for value in values if value is not None)
