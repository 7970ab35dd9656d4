"""The manifest: from what an image is to the exact text that is measured."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any

from enclavize.errors import InvalidImageError
from enclavize.libos.gramine.layout import uri
from enclavize.libos.gramine.limits import check_limits
from enclavize.libos.gramine.table import merge
from enclavize.resources import data_dir

if TYPE_CHECKING:
    from collections.abc import Mapping

    from enclavize.sgx.gramine_manifest import GramineManifest

TEMPLATE = "gramine.manifest.j2"

HELPER_THREADS = 3
"""Of Gramine itself: for messages between processes, for timers and events, for TLS handshakes ("Manifest
syntax", sgx.max_threads)."""

_UNITS = ((30, "G"), (20, "M"), (10, "K"))


@dataclass(frozen=True, kw_only=True)
class Mount:
    """An entry of ``fs.mounts``; ``path`` is the program's, ``uri`` the host's."""

    type: str
    path: str
    uri: str = ""


@dataclass(frozen=True, kw_only=True)
class LibosFile:
    """``libsysdb.so``: where it is in the image, and its SHA-256 in hexadecimal."""

    uri: str
    sha256: str


@dataclass(frozen=True, kw_only=True)
class ManifestValues:
    """What the template is filled with. ``arguments`` None: the host gives them.

    ``enclave_size`` is in bytes, ``trusted_files`` SHA-256 by absolute path; ``pinned_files`` are such that
    the host brings.
    """

    entrypoint: str
    arguments: tuple[str, ...] | None
    uid: int
    gid: int
    libos: LibosFile
    environment: Mapping[str, str]
    host_environment: tuple[str, ...]
    working_directory: str
    mounts: tuple[Mount, ...]
    debug: bool
    enclave_size: int
    max_threads: int
    isv_prod_id: int
    isv_svn: int
    allowed_files: tuple[str, ...]
    trusted_files: Mapping[str, str]
    pinned_files: Mapping[str, str] = field(default_factory=dict)
    use_exinfo: bool = False


def make_manifest(values: ManifestValues, table: Mapping[str, Any]) -> GramineManifest:
    """Render the template, merge the user's table, fill in Gramine's defaults.

    Raises UsageError for a table that is wrong, InvalidImageError for values that are no text.
    """
    from enclavize.libos.gramine.stated_files import with_pinned
    from enclavize.sgx.gramine_manifest import complete

    manifest = merge(tomllib.loads(render(values)), table, debuggable=values.debug)
    check_limits(manifest)
    listed = with_pinned(values.pinned_files, values.libos.sha256, values.trusted_files)
    manifest["sgx"]["trusted_files"] = [{"uri": uri(path), "sha256": sha256} for path, sha256 in listed]
    return complete(manifest)


def render(values: ManifestValues) -> str:
    """Return the manifest that the image gives, but for its trusted files, which may be many.

    Raises InvalidImageError for values that are no text.
    """
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(data_dir("templates")),
        undefined=StrictUndefined,
        autoescape=False,  # noqa: S701 - TOML, not HTML: the filter below escapes
        keep_trailing_newline=True,
    )
    environment.filters["toml"] = toml_value
    given = {item.name: getattr(values, item.name) for item in fields(values)}
    given["enclave_size"] = size_text(values.enclave_size)
    return environment.get_template(TEMPLATE).render(given)


def toml_value(value: str | bool | int | tuple[str, ...] | list[str]) -> str:
    """Write a value, or a key, as TOML. Raises InvalidImageError for lone surrogates and NUL."""
    import tomli_w

    for text in (value,) if isinstance(value, str) else value if isinstance(value, tuple | list) else ():
        if "\0" in text or any("\ud800" <= char <= "\udfff" for char in text):
            raise InvalidImageError(f"a manifest cannot hold {text[:60]!a}: it is not UTF-8, or has a NUL")
    if isinstance(value, tuple):
        value = list(value)
    return tomli_w.dumps({"v": value}).removeprefix("v = ").removesuffix("\n")


def enclave_size(memory: int) -> int:
    """Return the size of an enclave for ``memory`` bytes: SGX takes powers of two alone."""
    return 1 << max(memory - 1, 1).bit_length()


def size_text(size: int) -> str:
    """Write a size as Gramine does: with the largest unit that divides it."""
    for shift, unit in _UNITS:
        if size >> shift and not size & ((1 << shift) - 1):
            return f"{size >> shift}{unit}"
    return str(size)
