"""Whose a file is that claims to be one of enclavize's own: the installed one, or that of a release.

The table is ``releases.toml`` beside this module; ``native/release.py`` writes it.

    [[release]]
    version = "0.2.0"

    [release.components]
    "libos.so" = HEX
    "runelet" = HEX
    "runelet-gramine" = HEX
"""

from __future__ import annotations

import functools
import hashlib
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from enclavize import __version__
from enclavize.errors import EnclavizeError

if TYPE_CHECKING:
    from collections.abc import Mapping

TABLE = Path(__file__).with_name("releases.toml")

COMPONENTS = ("libos.so", "runelet", "runelet-gramine")
"""Native components that are in TEE images."""


@dataclass(frozen=True, kw_only=True)
class Release:
    """SHA-256 in hex of a release's components, by name."""

    version: str
    components: Mapping[str, str]


def version_of(component: str, digest: str, *, table: Path | None = None) -> str | None:
    """Return the version of enclavize that has this component; None if it is of no known one.

    ``table`` takes the place of the package's.
    """
    return next(iter(versions_of(component, digest, table=table)), None)


def versions_of(component: str, digest: str, *, table: Path | None = None) -> tuple[str, ...]:
    """Return all versions that have this component, the installed one first: releases may share it."""
    installed = [__version__] if digest == _installed(component) else []
    releases = read_releases(table or TABLE)
    found = [release.version for release in releases if release.components.get(component) == digest]
    return tuple(dict.fromkeys(installed + found))


@functools.cache
def read_releases(table: Path = TABLE) -> tuple[Release, ...]:
    """Read the table, the newest release last."""
    document = tomllib.loads(table.read_text(encoding="utf-8"))
    return tuple(
        Release(version=release["version"], components=release["components"])
        for release in document.get("release", ())
    )


def _installed(component: str) -> str:
    """Return the digest of the file that this command would put into an image, "" if there is none."""
    from enclavize.resources import native_file

    try:
        return hashlib.sha256(native_file(component).read_bytes()).hexdigest()
    except (OSError, EnclavizeError):
        return ""
