"""A PAL of somebody else, as the administrator of a node lists it: docs/pal.md describes the file.

libos = "occlum"
version = "0.31.0"
mode = "hardware"
exit_status = "wait"
signals = ["TERM", "KILL"]
pal = "libocclum-pal.so"
loader = "ld-linux-x86-64.so.2"

[files]
"libocclum-pal.so" = { path = "/opt/occlum/build/lib/libocclum-pal.so.0.31.0", sha256 = HEX }
"""

from __future__ import annotations

import hashlib
import re
import signal
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from enclavize.errors import EnclavizeError
from enclavize.rune.mode import Mode

if TYPE_CHECKING:
    from collections.abc import Mapping

EXIT_STATUSES = ("code", "wait")
RESERVED = frozenset({"runelet", "run"})
"""Names in the folder of the files that are rune's own."""

_KEYS = ("libos", "version", "mode", "exit_status", "signals", "pal", "loader", "files")
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+-]{0,99}", re.ASCII)
_HASH = re.compile(r"[0-9a-f]{64}")
_MAX_FILES = 256


@dataclass(frozen=True, kw_only=True)
class PalFile:
    """A file outside of the enclave. ``path`` None: it is the image's copy. ``sha256`` is in hex."""

    path: Path | None
    sha256: str


@dataclass(frozen=True, kw_only=True)
class PalList:
    """What runs the enclaves of one release of a LibOS in one mode.

    ``pal`` and ``loader`` are names of ``files``; ``signals`` are numbers. ``origin`` is for messages.
    """

    origin: Path
    libos: str
    version: str
    mode: Mode
    exit_status: str
    signals: tuple[int, ...]
    pal: str
    loader: str
    files: Mapping[str, PalFile]

    @property
    def title(self) -> str:
        """What messages call it."""
        return f"the PAL of {self.libos} {self.version} for {self.mode} ({self.origin})"

    @property
    def content(self) -> str:
        """SHA-256 in hex of names and digests of all files, wherever they are."""
        lines = "".join(f"{file.sha256}  {name}\n" for name, file in sorted(self.files.items()))
        return hashlib.sha256(lines.encode()).hexdigest()

    def is_named(self, path: str) -> bool:
        """Whether ENCLAVE_RUNTIME_PATH means this PAL, by its last part: nothing is opened by it."""
        listed = self.files[self.pal].path
        return path.rpartition("/")[2] in {self.pal, *([listed.name] if listed else [])}


def read_pal_list(data: bytes, origin: Path) -> PalList:
    """Read the content of the file ``origin``. Raises EnclavizeError."""
    from enclavize.toml_file import parse_toml

    try:
        return _parse(parse_toml(data), origin)
    except ValueError as error:
        raise EnclavizeError(f"{origin}: {error}") from error


def _parse(table: Mapping[str, Any], origin: Path) -> PalList:
    for name in table:
        if name not in _KEYS:
            raise ValueError(f"unknown key {name}; known are {', '.join(_KEYS)}")
    files = _files(table.get("files"))
    return PalList(
        origin=origin,
        libos=_text(table, "libos"),
        version=_text(table, "version"),
        mode=Mode(_one_of(table, "mode", tuple(Mode))),
        exit_status=_one_of(table, "exit_status", EXIT_STATUSES),
        signals=_signals(table.get("signals", [])),
        pal=_one_of(table, "pal", tuple(files)),
        loader=_one_of(table, "loader", tuple(files)),
        files=files,
    )


def _text(table: Mapping[str, Any], key: str) -> str:
    value = table.get(key)
    if not isinstance(value, str) or not value or not value.isprintable():
        raise ValueError(f"{key} must be text, in quotes")
    return value


def _one_of(table: Mapping[str, Any], key: str, choices: tuple[str, ...]) -> str:
    value = _text(table, key)
    if value not in choices:
        raise ValueError(f"{key} must be one of {', '.join(choices)}")
    return value


def _signals(names: object) -> tuple[int, ...]:
    known = {item.name: int(item) for item in signal.Signals}
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise ValueError('signals must be a list such as ["TERM", "KILL"]')
    for name in names:
        if f"SIG{name.removeprefix('SIG')}" not in known:
            raise ValueError(f"signals: {name!r} is no signal")
    return tuple(sorted({known[f"SIG{name.removeprefix('SIG')}"] for name in names}))


def _files(table: object) -> dict[str, PalFile]:
    if not isinstance(table, dict) or not 0 < len(table) <= _MAX_FILES:
        raise ValueError(f"[files] must be a table of at most {_MAX_FILES} files")
    return {_name(name): _file(name, value) for name, value in table.items()}


def _name(name: str) -> str:
    if not _NAME.fullmatch(name) or name in RESERVED:
        raise ValueError(f"[files] {name!r} is no name of a library")
    return name


def _file(name: str, value: object) -> PalFile:
    if not isinstance(value, dict) or not value.keys() <= {"path", "sha256"}:
        raise ValueError(f'[files] {name} must be a table such as {{ path = "/opt/...", sha256 = "..." }}')
    path, sha256 = value.get("path"), value.get("sha256")
    if path is not None and (not isinstance(path, str) or not path.startswith("/") or not path.isprintable()):
        raise ValueError(f"[files] {name}: path must be absolute, in quotes")
    if not isinstance(sha256, str) or not _HASH.fullmatch(sha256):
        raise ValueError(f"[files] {name}: sha256 must be 64 hexadecimal digits, in quotes")
    return PalFile(path=Path(path) if path else None, sha256=sha256)
