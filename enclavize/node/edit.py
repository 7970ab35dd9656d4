"""Changes of files that belong to others: shown first, backed up, made in one step, and only once."""

from __future__ import annotations

import difflib
import stat
from dataclasses import dataclass
from typing import TYPE_CHECKING

from enclavize.errors import EnclavizeError
from enclavize.rune.replace import replace_file

if TYPE_CHECKING:
    from pathlib import Path

BACKUP_SUFFIX = ".before-enclavize"
_MAX_SIZE = 4 << 20
_NEW_MODE = 0o644


@dataclass(frozen=True, kw_only=True)
class Edit:
    """A file as it is and as it is to be. None: it is not there."""

    path: Path
    before: bytes | None
    after: bytes | None

    @property
    def changes(self) -> bool:
        """Whether there is anything to do."""
        return self.before != self.after

    def diff(self) -> str:
        """Return the change as ``diff -u`` shows it."""
        old, new = (
            (data or b"").decode("utf-8", "replace").splitlines(keepends=True)
            for data in (self.before, self.after)
        )
        old_name, new_name = (
            str(self.path) if data is not None else "/dev/null" for data in (self.before, self.after)
        )
        lines = difflib.unified_diff(old, new, old_name, new_name)
        return "".join(line if line.endswith("\n") else f"{line}\n" for line in lines)

    def apply(self) -> Path | None:
        """Make the change; return where the file as it was first is kept. Raises EnclavizeError."""
        if not self.changes:
            return None
        try:
            return self._apply()
        except OSError as error:
            raise EnclavizeError(f"cannot write {self.path}: {error.strerror}") from error

    def _apply(self) -> Path | None:
        backup = None
        if self.before is not None and self.after is not None:
            backup = self.path.with_name(self.path.name + BACKUP_SUFFIX)
            if not backup.exists():
                replace_file(backup, self.before, mode=_mode(self.path))
        if self.after is None:
            self.path.unlink()
        else:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            replace_file(self.path, self.after, mode=_mode(self.path))
        return backup


def read_file(path: Path) -> bytes | None:
    """Return the content of a configuration file, None if it is not there. Raises EnclavizeError."""
    try:
        with path.open("rb") as file:
            data = file.read(_MAX_SIZE + 1)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise EnclavizeError(f"cannot read {path}: {error.strerror}") from error
    if len(data) > _MAX_SIZE:
        raise EnclavizeError(f"{path} has more than {_MAX_SIZE} bytes")
    return data


def _mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode) if path.exists() else _NEW_MODE
