"""What the administrator of a node decides: ``/etc/rune/config.toml``. docs/rune.md describes the keys.

A file that cannot be read, is malformed, or has an unknown key stops every TEE container: a policy with a
typing error must not become no policy.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from enclavize.errors import EnclavizeError

if TYPE_CHECKING:
    from collections.abc import Callable

SETTINGS_FILE = Path("/etc/rune/config.toml")
LOG_LEVELS = ("error", "warning", "info", "debug", "trace")


@dataclass(frozen=True, kw_only=True)
class Settings:
    """``allow_simulation`` None leaves it to the caller's ENCLAVIZE_SIMULATE; an empty tuple allows all."""

    allow_simulation: bool | None = None
    allow_debug: bool = True
    mrsigners: tuple[bytes, ...] = ()
    product_ids: tuple[int, ...] = ()
    min_isvsvn: int = 0
    log_level: str = "warning"


def load_settings(path: Path = SETTINGS_FILE) -> Settings:
    """Read the settings; a file that is not there means the defaults. Raises EnclavizeError."""
    import tomllib

    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return Settings()
    except (OSError, UnicodeDecodeError) as error:
        raise EnclavizeError(f"cannot read {path}: {error}") from error
    try:
        return parse_settings(tomllib.loads(text))
    except (tomllib.TOMLDecodeError, ValueError) as error:
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


def _log_level(name: str, value: object) -> str:
    if value not in LOG_LEVELS or not isinstance(value, str):
        raise ValueError(f"{name} must be one of {', '.join(LOG_LEVELS)}")
    return value


_PARSERS: dict[str, Callable[[str, object], Any]] = {
    "allow_simulation": _flag,
    "allow_debug": _flag,
    "mrsigners": _mrsigners,
    "product_ids": _product_ids,
    "min_isvsvn": _u16,
    "log_level": _log_level,
}
