"""Where verdicts are kept: a folder that no other user can look into or write to, gone with a reboot.

    /run/rune/verdicts/HEX                 of root
    $XDG_RUNTIME_DIR/rune/verdicts/HEX     of other users, and of root in a user namespace

HEX is the SHA-256 of the image's ``enclave.json``. What is not this user's alone does not count, and nothing
is written beside it: a verdict saves time, and whoever could write one could let any image in.
"""

from __future__ import annotations

import os
import stat
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from enclavize.lock import locked
from enclavize.rune.replace import replace_file
from enclavize.rune.verdict import parse_verdict

if TYPE_CHECKING:
    from collections.abc import Iterator

    from enclavize.rune.verdict import Verdict

_FOLDER = ("rune", "verdicts")
_ALL_IDS = ["0", "0", "4294967295"]
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_MAX_SIZE = 1 << 20
_MAX_VERDICTS = 1000


@dataclass(frozen=True)
class VerdictStore:
    """Verdicts in a folder below ``base``; without one, or where it is not safe, nothing is remembered."""

    base: Path | None

    def load(self, key: str) -> Verdict | None:
        """Return the verdict about an image, if there is one that this user wrote."""
        with suppress(OSError, ValueError):
            folder = self._open(create=False)
            try:
                descriptor = os.open(key, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder)
            finally:
                os.close(folder)
            with os.fdopen(descriptor, "rb") as file:
                status = os.fstat(descriptor)
                if stat.S_ISREG(status.st_mode) and _is_private(status) and status.st_nlink == 1:
                    return parse_verdict(file.read(_MAX_SIZE).decode("utf-8", "surrogateescape"))
        return None

    def save(self, key: str, verdict: Verdict) -> None:
        """Keep a verdict, and drop old ones where there are many."""
        data = verdict.to_text().encode("utf-8", "surrogateescape")
        if self.base is None or len(data) > _MAX_SIZE:
            return
        with suppress(OSError):
            os.close(self._open(create=True))
            folder = self.base.joinpath(*_FOLDER)
            replace_file(folder / key, data, mode=0o600)
            _drop_old(folder)

    @contextmanager
    def alone(self, key: str) -> Iterator[None]:
        """Let one process at a time verify an image: containers that start together need one verdict."""
        path = None
        with suppress(OSError):
            os.close(self._open(create=True))
            path = Path(self.base or "", *_FOLDER, f"{key}.lock")
        if path is None:
            yield
            return
        with locked(path):
            try:
                yield
            finally:
                path.unlink(missing_ok=True)

    def _open(self, *, create: bool) -> int:
        """Open the folder; raise PermissionError if others could write to it, or to one above it."""
        if self.base is None:
            raise FileNotFoundError
        current = os.open(self.base, _DIRECTORY)
        try:
            for number, name in enumerate(_FOLDER):
                if create:
                    with suppress(FileExistsError):
                        os.mkdir(name, 0o700, dir_fd=current)
                above, current = current, -1
                try:
                    current = os.open(name, _DIRECTORY, dir_fd=above)
                finally:
                    os.close(above)
                _check_folder(os.fstat(current), is_last=number == len(_FOLDER) - 1)
        except BaseException:
            if current >= 0:
                os.close(current)
            raise
        return current


def default_store() -> VerdictStore:
    """Return the store of this user: where runc would keep its state (rootless_linux.go), there is ours."""
    chosen = os.environ.get("XDG_RUNTIME_DIR", "")
    if os.geteuid() == 0 and (not _in_user_namespace() or os.environ.get("USER") == "root"):
        return VerdictStore(Path("/run"))
    base = Path(chosen)
    return VerdictStore(base if base.is_absolute() and _is_own_folder(base) else None)


def _in_user_namespace() -> bool:
    """The initial namespace is the one that maps all ids to themselves (user_namespaces(7))."""
    try:
        return Path("/proc/self/uid_map").read_text().split() != _ALL_IDS
    except OSError:
        return False


def _is_own_folder(path: Path) -> bool:
    try:
        return _is_own(path.lstat())
    except OSError:
        return False


def _check_folder(status: os.stat_result, *, is_last: bool) -> None:
    if not (_is_private(status) if is_last else _is_own(status)):
        raise PermissionError


def _is_own(status: os.stat_result) -> bool:
    return status.st_uid == os.geteuid() and not status.st_mode & (stat.S_IWGRP | stat.S_IWOTH)


def _is_private(status: os.stat_result) -> bool:
    return status.st_uid == os.geteuid() and not status.st_mode & (stat.S_IRWXG | stat.S_IRWXO)


def _drop_old(folder: Path) -> None:
    """Remove the oldest verdicts, a tenth of what may be there, and what killed processes left."""
    paths = list(folder.iterdir())
    if len(paths) <= _MAX_VERDICTS:
        return
    paths.sort(key=lambda path: path.lstat().st_mtime)
    for path in paths[: len(paths) - _MAX_VERDICTS * 9 // 10]:
        path.unlink(missing_ok=True)
