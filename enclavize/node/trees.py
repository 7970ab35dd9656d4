"""What was converted, by content: bounded; the least recently used goes first, never what a container has.

    <root>/lock                         held by the daemon
    <root>/trees/<key>/.enclave/        as it is mounted, read-only
    <root>/trees/<key>/conversion.json  the statement about it; its time is that of the last use
    <root>/trees/<key>/users/<hash>     path of a container's bundle, which mounts it as long as it exists
    <root>/trees/<key>/users/<hash>.written/   what that container writes (enclavize/rune/written.py)
    <root>/trees/.new-*, .gone-*        being made, being removed: what a killed daemon left
    <root>/cache/                       the blob cache of conversions

A tree gets its name in one step. Nothing in a tree is believed when a container starts: rune admits it as it
does every TEE image.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import tempfile
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from enclavize.errors import EnclavizeError, UsageError
from enclavize.oci.storage import atomic_file, storage_errors
from enclavize.rune.converted import STATEMENT
from enclavize.rune.written import SUFFIX, USERS, note_name
from enclavize.tee.layout import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_NEW, _GONE = ".new-", ".gone-"
_PENDING_SECONDS = 120
"""A kubelet's patience."""

MANY_NOTES = 256
"""More than a node has containers of one image, mostly."""

_FOLDER_MODE = 0o711
"""Containers in user namespaces reach the tree, and see of the folders above that they are there."""


@dataclass(frozen=True, kw_only=True)
class Tree:
    """One conversion. ``size`` in bytes on the disk; ``last_used`` in seconds since the epoch."""

    key: str
    path: Path
    size: int
    last_used: float
    users: tuple[str, ...]

    def statement(self) -> dict[str, Any]:
        """Return what was said about it; empty if that cannot be read."""
        with suppress(OSError, ValueError):
            found = json.loads((self.path / STATEMENT).read_text())
            if isinstance(found, dict):
                return found
        return {}


class Trees:
    """The folder. Not for several threads at once, but for ``make``."""

    def __init__(self, root: Path, max_size: int) -> None:
        """Take the folder for this process. Raises UsageError if another one has it."""
        self.root = root
        self.max_size = max_size
        self._folder = root / "trees"
        with storage_errors("make", root):
            self._folder.mkdir(parents=True, exist_ok=True)
            for folder in (root, self._folder):
                folder.chmod(_FOLDER_MODE)
            self._lock = os.open(root / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(self._lock)
            raise UsageError(f"another daemon has {root}", hint="give this one a folder: --cache") from None
        for stale in self._folder.glob(".*"):
            shutil.rmtree(stale, ignore_errors=True)

    def close(self) -> None:
        """Let others have it."""
        os.close(self._lock)

    def find(self, key: str) -> Path | None:
        """Return the tree of a key, which is used now."""
        tree = self._folder / key
        try:
            os.utime(tree / STATEMENT)
        except OSError:
            return None
        return tree

    @contextmanager
    def make(self, key: str, statement: Mapping[str, Any]) -> Iterator[Path]:
        """Give a folder to be filled; at the end of the block it is the tree. An exception removes it.

        ``statement`` is read at the end.
        """
        with storage_errors("write", self._folder):
            folder = Path(tempfile.mkdtemp(dir=self._folder, prefix=_NEW))
        try:
            yield folder
            with storage_errors("write", self._folder):
                folder.chmod(_FOLDER_MODE)
                (folder / USERS).mkdir(mode=0o700)
                with atomic_file(folder / STATEMENT, 0o600) as output:
                    output.write(json.dumps(statement, indent=2).encode())
                folder.rename(self._folder / key)
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise

    def note_user(self, key: str, bundle: str) -> None:
        """Note that a container's bundle mounts a tree from now on.

        Those that are gone are forgotten when they are many, or have left what they wrote.
        """
        path = self._folder / key / USERS / note_name(bundle)
        with storage_errors("write", path), atomic_file(path, 0o600) as output:
            output.write(os.fsencode(bundle))
        names = [item.name for item in path.parent.iterdir()]
        if len(names) > MANY_NOTES or any(name.endswith(SUFFIX) for name in names):
            list(_users(self._folder / key))

    def all(self) -> list[Tree]:
        """Return what there is, the least recently used first."""
        found = [tree for path in self._folder.iterdir() if (tree := self._tree(path))]
        return sorted(found, key=lambda tree: tree.last_used)

    def remove(self, tree: Tree) -> bool:
        """Remove one that nobody uses; return whether it is gone."""
        if tree.users:
            return False
        doomed = self._folder / f"{_GONE}{tree.key}"
        try:
            tree.path.rename(doomed)
        except OSError as error:
            raise EnclavizeError(f"cannot remove {tree.path}: {error.strerror}") from error
        shutil.rmtree(doomed, ignore_errors=True)
        return True

    def trim(self) -> None:
        """Remove the least recently used ones until the bound is kept."""
        trees = self.all()
        size = sum(tree.size for tree in trees)
        for tree in trees[:-1]:  # the last one has just been asked for
            if size > self.max_size and self.remove(tree):
                size -= tree.size

    def _tree(self, path: Path) -> Tree | None:
        if path.name.startswith("."):
            return None
        with suppress(FileNotFoundError):
            return Tree(
                key=path.name,
                path=path,
                size=_size_of(path / ROOT),
                last_used=(path / STATEMENT).stat().st_mtime,
                users=tuple(_users(path)),
            )
        return None


def _users(tree: Path) -> Iterator[str]:
    """Yield the bundles that mount a tree, and forget those that do not any more."""
    wanted = os.fsencode(tree)
    for note in (tree / USERS).iterdir():
        if note.suffix == SUFFIX:
            continue
        bundle = Path(os.fsdecode(note.read_bytes()))
        try:
            is_used = wanted in (bundle / "config.json").read_bytes() or _is_pending(note)
        except FileNotFoundError:
            is_used = False
        except OSError:
            is_used = True
        if is_used:
            yield str(bundle)
        else:
            shutil.rmtree(note.with_name(f"{note.name}{SUFFIX}"), ignore_errors=True)
            note.unlink(missing_ok=True)


def _is_pending(note: Path) -> bool:
    """Whether a bundle was promised a tree so short a time ago that it may not name it yet."""
    return abs(time.time() - note.stat().st_mtime) < _PENDING_SECONDS


def _size_of(tree: Path) -> int:
    return sum(
        (Path(folder) / name).lstat().st_blocks * 512 for folder, _, names in os.walk(tree) for name in names
    )
