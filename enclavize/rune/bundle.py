"""Bundles of ``enclavize run``: each lives as long as its run.

    <runtime>/bundles/<name>/config.json
    <runtime>/bundles/<name>/lock       held by the run
    <runtime>/lock                      held while bundles are made and removed
    <runtime>/runc/                     runc's state

A run that is killed leaves its bundle without a lock; the next run deletes what is left of that container.
"""

from __future__ import annotations

import json
import os
import re
import stat
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from enclavize.errors import EnclavizeError, UsageError
from enclavize.lock import locked
from enclavize.oci.storage import storage_errors

if TYPE_CHECKING:
    from collections.abc import Iterator

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}", re.ASCII)
_LOCK = "lock"
STATE = "runc"
"""Folder of runc's state below the runtime folder."""


@dataclass(frozen=True, kw_only=True)
class Bundle:
    """A bundle, and the name of its container."""

    path: Path
    name: str

    def write(self, spec: dict[str, Any]) -> None:
        """Write config.json. Raises UsageError for words that are no text, which JSON cannot hold."""
        path = self.path / "config.json"
        try:
            data = json.dumps(spec, ensure_ascii=False).encode()
        except UnicodeEncodeError as error:
            raise UsageError("arguments, variables and paths of volumes must be UTF-8") from error
        with storage_errors("write", path):
            path.write_bytes(data)


def runtime_folder() -> Path:
    """Return the folder, this user's alone, for what need not outlive a reboot. Raises EnclavizeError."""
    uid = os.geteuid()
    chosen = os.environ.get("XDG_RUNTIME_DIR")
    if uid == 0:
        folder = Path("/run/enclavize")
    elif chosen and Path(chosen).is_dir():
        folder = Path(chosen) / "enclavize"
    else:
        import tempfile

        folder = Path(tempfile.gettempdir()) / f"enclavize-{uid}"
    with storage_errors("make", folder):
        folder.mkdir(mode=0o700, exist_ok=True)
        status = folder.lstat()
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != uid or status.st_mode & 0o022:
        raise EnclavizeError(
            f"{folder} is not a folder of this user alone", hint="set XDG_RUNTIME_DIR to one"
        )
    return folder


@contextmanager
def temporary_bundle(runtime: Path, runc: str, name: str | None) -> Iterator[Bundle]:
    """Make an empty bundle for a container ``name`` (or one that is made up); remove it when the block ends.

    Raises UsageError if the name is malformed or in use.
    """
    if name is not None and not _NAME.fullmatch(name):
        raise UsageError(f"--name {name!r}: letters, digits, '.', '_' and '-' are allowed, 63 at most")
    name = name or f"enclavize-{os.urandom(6).hex()}"
    path = runtime / "bundles" / name
    with ExitStack() as stack:
        with storage_errors("make", path), locked(runtime / "lock"):
            path.parent.mkdir(mode=0o700, exist_ok=True)
            _remove_abandoned(runtime, runc)
            if path.exists():
                raise UsageError(f"a container named {name} runs already", hint="choose another --name")
            path.mkdir(mode=0o700)
            stack.enter_context(locked(path / _LOCK))
            stack.callback(_remove, path)
        yield Bundle(path=path, name=name)


def _remove_abandoned(runtime: Path, runc: str) -> None:
    """Delete containers and bundles of runs that were killed."""
    for path in (runtime / "bundles").iterdir():
        # One that just ended may vanish under our hands.
        with suppress(BlockingIOError, FileNotFoundError), locked(path / _LOCK, wait=False):
            import subprocess

            subprocess.run(
                [runc, "--root", runtime / STATE, "delete", "--force", path.name],
                stdin=subprocess.DEVNULL, capture_output=True, check=False,
            )  # fmt: skip
            _remove(path)


def _remove(bundle: Path) -> None:
    """Remove a bundle, as far as that is possible. Most have no folder in them."""
    with suppress(OSError):
        for path in list(bundle.iterdir()):
            path.unlink()
        bundle.rmdir()
        return
    import shutil  # which takes longer to load than most bundles to be removed

    shutil.rmtree(bundle, ignore_errors=True)
