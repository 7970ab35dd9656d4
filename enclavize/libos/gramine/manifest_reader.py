"""Read the manifest of a TEE image, which may be anything: bounded before it is parsed, then checked.

An image of 500,000 files has a manifest of some 100 MB. TOML of that size can become many gigabytes of empty
lists, or tables within tables to any depth, so the text without its strings is looked at first.
"""

from __future__ import annotations

import functools
import re
from typing import Any

from enclavize.errors import InvalidImageError, UsageError
from enclavize.libos.gramine import layout
from enclavize.libos.gramine.schema import check
from enclavize.tee.layout import ROOT
from enclavize.toml_file import parse_toml

MAX_MANIFEST_SIZE = 256 << 20
"""Bytes."""

_MAX_SKELETON_SIZE = 32 << 20
"""Bytes besides strings; each trusted file has 31 of them."""

_STRING = re.compile(rb'"[^"\\\n]*+(?:\\.[^"\\\n]*+)*+"?')
_DEEP_KEY = re.compile(rb"(?:\.[^.\n]*+){8}")
_OTHER_QUOTES = re.compile(rb"'|\"\"\"")
_NO_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))
_MAX_DEPTH = 16
_WHAT = f"/{ROOT}/{layout.MANIFEST}"


@functools.lru_cache(maxsize=1)
def read_manifest(text: bytes) -> dict[str, Any]:
    """Parse a manifest and compare it with Gramine's schema. Raises InvalidImageError.

    A large one takes seconds, and several checks want it.
    """
    _check_text(text)
    try:
        manifest = parse_toml(text)
    except ValueError as error:
        raise InvalidImageError(f"{_WHAT} is no valid TOML: {error}") from error
    try:
        check(manifest)
    except UsageError as error:
        raise InvalidImageError(f"{_WHAT}: {error}") from error
    # What has no hash would be completed with files of this machine.
    trusted = manifest.get("sgx", {}).get("trusted_files", [None])
    entrypoint = manifest.get("loader", {}).get("entrypoint")
    if not {"fs", "libos"} <= manifest.keys() or not all(
        isinstance(file, dict) and len(file) == len(("uri", "sha256")) for file in (entrypoint, *trusted)
    ):
        raise InvalidImageError(f"{_WHAT} is not complete")
    return manifest


def _check_text(text: bytes) -> None:
    """Refuse what Gramine's tools do not write, and what would need too much memory."""
    if len(text) > MAX_MANIFEST_SIZE:
        raise InvalidImageError(f"{_WHAT} has more than {MAX_MANIFEST_SIZE} bytes")
    skeleton = _STRING.sub(b'"', text)
    if len(skeleton) > _MAX_SKELETON_SIZE:
        raise InvalidImageError(f"{_WHAT} has more than {_MAX_SKELETON_SIZE} bytes besides its strings")
    brackets = skeleton.translate(None, delete=_NO_BRACKETS)
    for _ in range(_MAX_DEPTH):
        brackets = brackets.replace(b"[]", b"").replace(b"{}", b"")
    if brackets or _OTHER_QUOTES.search(skeleton) or _DEEP_KEY.search(skeleton):
        raise InvalidImageError(f"{_WHAT} is not as Gramine's tools write it")
