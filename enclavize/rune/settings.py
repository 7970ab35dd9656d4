"""What the administrator of a node decides: ``/etc/rune/config.toml``. docs/rune.md describes the keys.

A file that cannot be read, is malformed, or has an unknown key stops every TEE container: a policy with a
typing error must not become no policy.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from enclavize.errors import EnclavizeError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

SETTINGS_FILE = Path("/etc/rune/config.toml")
CONFIG_VARIABLE = "ENCLAVIZE_RUNE_CONFIG"
"""The front end's word for ``rune --config FILE``."""

ORDINARY = ("run", "refuse", "convert")
LIBOSES = ("builtin", "gramine", "occlum")
LOG_LEVELS = ("error", "warning", "info", "debug", "trace")


@dataclass(frozen=True, kw_only=True)
class Settings:
    """``allow_simulation`` None leaves it to the caller's ENCLAVIZE_SIMULATE; an empty tuple allows all.

    ``min_libos`` are versions by LibOS. ``host_files`` are lists of digests of what runs outside of enclaves,
    ``pals`` lists of PALs of others with what they need,
    ``pal_copies`` is where their copies are kept, ``known_flaws`` lists of LibOS releases with flaws;
    ``allow_flaws`` are ids of those that are accepted.
    ``ordinary`` is what becomes of containers that are no TEE containers.
    """

    allow_simulation: bool | None = None
    allow_debug: bool = True
    mrsigners: tuple[bytes, ...] = ()
    product_ids: tuple[int, ...] = ()
    min_isvsvn: int = 0
    libos: tuple[str, ...] = ()
    min_libos: Mapping[str, str] = field(default_factory=dict)
    host_files: tuple[Path, ...] = ()
    allow_unchecked_host_files: bool = False
    allow_integrity_only: bool = False
    pals: tuple[Path, ...] = ()
    pal_copies: Path | None = None
    known_flaws: tuple[Path, ...] = ()
    allow_flaws: tuple[str, ...] = ()
    log_level: str = "warning"
    ordinary: str = "run"


VARIABLES = (CONFIG_VARIABLE, "XDG_CONFIG_HOME", "HOME")
"""What chooses between files of settings."""


def settings_file() -> tuple[Path, bool]:
    """Return the file that counts, and whether it has to be there.

    That of ``--config``; else the administrator's; else, where there is none, the user's own, for rootless
    engines. native/rune/settings.c looks into the same ones.
    """
    if chosen := os.environ.get(CONFIG_VARIABLE):
        return Path(chosen), True
    own = own_settings_file()
    if own and not SETTINGS_FILE.exists() and own.exists():
        return own, True
    return SETTINGS_FILE, False


def own_settings_file() -> Path | None:
    """Return where a user's own settings would be."""
    folder = os.environ.get("XDG_CONFIG_HOME") or (
        f"{os.environ['HOME']}/.config" if os.environ.get("HOME") else ""
    )
    return Path(folder) / "rune/config.toml" if folder else None


def absent_settings() -> tuple[Path, ...]:
    """Return the files that would count now if they were there."""
    if os.environ.get(CONFIG_VARIABLE):
        return ()
    own = own_settings_file()
    if SETTINGS_FILE.exists():
        return ()
    return (SETTINGS_FILE, *([own] if own and not own.exists() else ()))


def read_settings(data: bytes, path: Path) -> Settings:
    """Read the content of the file ``path``. Raises EnclavizeError."""
    from enclavize.toml_file import parse_toml

    try:
        return parse_settings(parse_toml(data))
    except ValueError as error:
        raise EnclavizeError(f"{path}: {error}") from error


def parse_settings(table: dict[str, Any]) -> Settings:
    """Check each key. Raises ValueError."""
    known = {field.name for field in fields(Settings)}
    for name in table:
        if name not in known:
            raise ValueError(f"unknown key {name}; known are {', '.join(sorted(known))}")
    values = {name: _PARSERS[name](name, value) for name, value in table.items()}
    return Settings(**values)


def _flag(name: str, value: object) -> bool:
    if not isinstance(value, bool):
        raise ValueError(f"{name} must be true or false")  # noqa: TRY004 - one kind of error for a malformed file
    return value


def _u16(name: str, value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= 0xFFFF:
        raise ValueError(f"{name} must be a number from 0 to 65535")
    return value


def _list(name: str, value: object) -> list[object]:
    if not isinstance(value, list) or not value:
        raise ValueError(f"{name} must be a list that is not empty")
    return value


def _mrsigners(name: str, value: object) -> tuple[bytes, ...]:
    signers = []
    for item in _list(name, value):
        if not isinstance(item, str) or not re.fullmatch(r"[0-9a-fA-F]{64}", item):
            raise ValueError(f"{name}: each one must be 64 hexadecimal digits, in quotes")
        signers.append(bytes.fromhex(item))
    return tuple(signers)


def _product_ids(name: str, value: object) -> tuple[int, ...]:
    return tuple(_u16(name, item) for item in _list(name, value))


def _libos_names(name: str, value: object) -> tuple[str, ...]:
    return tuple(_libos_name(name, item) for item in _list(name, value))


def _libos_name(name: str, value: object) -> str:
    if not isinstance(value, str) or value not in LIBOSES:
        raise ValueError(f"{name}: {value!r} is no LibOS; known are {', '.join(LIBOSES)}")
    return value


def _min_libos(name: str, value: object) -> Mapping[str, str]:
    if not isinstance(value, dict):
        raise ValueError(f'{name} must be a table such as {{ builtin = "0.2.0" }}')  # noqa: TRY004 - as above
    for libos, version in value.items():
        _libos_name(name, libos)
        if not isinstance(version, str) or not re.fullmatch(r"\d+(\.\d+)*", version, re.ASCII):
            raise ValueError(f"{name}.{libos} must be a version, in quotes")
    return value


def _files(name: str, value: object) -> tuple[Path, ...]:
    paths = []
    for item in _list(name, value):
        if not isinstance(item, str) or not item.startswith("/") or not item.isprintable():
            raise ValueError(f"{name}: each one must be an absolute path, in quotes")
        paths.append(Path(item))
    return tuple(paths)


def _path(name: str, value: object) -> Path:
    (path,) = _files(name, [value])
    return path


def _texts(name: str, value: object) -> tuple[str, ...]:
    texts = tuple(item for item in _list(name, value) if isinstance(item, str) and item)
    if not isinstance(value, list) or len(texts) != len(value):
        raise ValueError(f"{name}: each one must be text, in quotes")
    return texts


def _log_level(name: str, value: object) -> str:
    if value not in LOG_LEVELS or not isinstance(value, str):
        raise ValueError(f"{name} must be one of {', '.join(LOG_LEVELS)}")
    return value


def _ordinary(name: str, value: object) -> str:
    if value not in ORDINARY or not isinstance(value, str):
        raise ValueError(f"{name} must be one of {', '.join(ORDINARY)}")
    return value


_PARSERS: dict[str, Callable[[str, object], Any]] = {
    "allow_simulation": _flag,
    "allow_debug": _flag,
    "mrsigners": _mrsigners,
    "product_ids": _product_ids,
    "min_isvsvn": _u16,
    "libos": _libos_names,
    "min_libos": _min_libos,
    "host_files": _files,
    "allow_unchecked_host_files": _flag,
    "allow_integrity_only": _flag,
    "pals": _files,
    "pal_copies": _path,
    "known_flaws": _files,
    "allow_flaws": _texts,
    "log_level": _log_level,
    "ordinary": _ordinary,
}
