"""The audit log: what was signed and refused, for whom; one JSON object a line, only ever appended to.

    {"seq": 1, "prev": 64 zeros, "time": .., "event": .., ..}
    {"seq": 2, "prev": SHA-256 of the line before without its newline, ..}

So nothing inside can be changed without changing all that follows, and who noted number and hash of a line
sees whether lines up to there were cut off. A line is on disk before its signature leaves: the signature of a
line that a crash tore was never given out.
"""

from __future__ import annotations

import datetime as dt
import fcntl
import hashlib
import json
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, BinaryIO

from enclavize.errors import IntegrityError, UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

GENESIS = "0" * 64
MAX_LINE = 64 * 1024
"""Bytes of a line without its newline that are too many."""

MAX_TORN = 1024
"""Bytes of a torn line that the log keeps; each may take six in JSON."""


class EntryTooLongError(ValueError):
    """An entry that no line has room for."""


@dataclass(frozen=True, kw_only=True)
class Anchor:
    """What somebody noted of a log: that line ``count`` had the hash ``head``. Either may be missing."""

    head: str | None = None
    count: int | None = None


@dataclass(frozen=True, kw_only=True)
class Chain:
    """A consistent log. ``size`` is in bytes, without ``torn``: the bytes of an incomplete last line."""

    count: int
    head: str
    size: int
    torn: bytes


def verify_chain(stream: BinaryIO, name: str, anchor: Anchor | None = None) -> Chain:
    """Reads a whole log in constant memory. Raises ``IntegrityError`` naming the first line that is wrong."""
    count, head, size, torn = 0, GENESIS, 0, b""
    found = False
    while line := stream.readline(MAX_LINE + 1):
        if not line.endswith(b"\n"):
            if len(line) > MAX_LINE:
                raise IntegrityError(f"{name}, line {count + 1}: it is longer than {MAX_LINE} bytes")
            torn = line
            break
        _check_line(line, f"{name}, line {count + 1}", count + 1, head)
        count, head, size = count + 1, _hash(line), size + len(line)
        found = found or (anchor is not None and anchor.head == head and anchor.count in (None, count))
    if anchor and anchor.count is not None and count < anchor.count:
        raise IntegrityError(f"{name} was truncated: it has {count} lines and had {anchor.count}")
    if anchor and anchor.head is not None and not found:
        where = f"line {anchor.count}" if anchor.count is not None else "no line"
        verb = "does not have" if anchor.count is not None else "has"
        raise IntegrityError(f"{name} is not the log of which the hash was noted: {where} {verb} it")
    return Chain(count=count, head=head, size=size, torn=torn)


def _check_line(line: bytes, where: str, number: int, previous: str) -> None:
    try:
        entry = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise IntegrityError(f"{where}: it is not JSON") from error
    if not isinstance(entry, dict) or entry.get("seq") != number:
        raise IntegrityError(f"{where}: its number is wrong; lines are missing, doubled or exchanged")
    if entry.get("prev") != previous:
        raise IntegrityError(f"{where}: the chain is broken; this line or the one before was changed")


def _line(number: int, head: str, entry: Mapping[str, Any]) -> bytes:
    """A line without its newline. Raises ``EntryTooLongError``."""
    now = dt.datetime.now(dt.UTC).isoformat(timespec="microseconds")
    line = json.dumps({"seq": number, "prev": head, "time": now, **entry}).encode()
    if len(line) >= MAX_LINE:
        raise EntryTooLongError(f"an audit entry of {len(line)} bytes is too long")
    return line


def check_entry(entry: Mapping[str, Any]) -> None:
    """Raises ``EntryTooLongError`` if there is no room for the entry, whichever line it becomes."""
    _line(1 << 64, GENESIS, entry)


def _hash(line: bytes) -> str:
    return hashlib.sha256(line.removesuffix(b"\n")).hexdigest()


class AuditLog:
    """A log that is written to, by one process at a time. After a failed write it takes nothing more.

    ``recovered`` is what a crash left of a last line; it was removed, and the next line tells of it.
    """

    def __init__(self, path: Path) -> None:
        """Raises ``UsageError`` if it cannot be opened or is in use, ``IntegrityError`` if it was changed."""
        self.path = path
        self.is_broken = False
        try:
            self._descriptor = os.open(
                path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600
            )
        except OSError as error:
            raise UsageError(f"cannot open the audit log {path}: {error.strerror}") from error
        try:
            self._open()
        except BaseException:
            os.close(self._descriptor)
            raise

    def _open(self) -> None:
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise UsageError(f"the audit log {self.path} is in use by another service") from error
        with os.fdopen(os.dup(self._descriptor), "rb") as stream:
            chain = verify_chain(stream, str(self.path))
        self.count, self.head, self.recovered = chain.count, chain.head, chain.torn
        try:
            if chain.torn:
                os.ftruncate(self._descriptor, chain.size)
                self.append([_recovered(chain.torn)])
            os.fsync(self._descriptor)
            folder = os.open(self.path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                os.fsync(folder)  # the file's name
            finally:
                os.close(folder)
        except OSError as error:
            raise UsageError(f"cannot write the audit log {self.path}: {error.strerror}") from error

    def append(self, entries: Sequence[Mapping[str, Any]]) -> None:
        """Writes the entries and waits until they are on disk.

        Raises ``OSError``, and ``EntryTooLongError`` before anything is written.
        """
        if self.is_broken:
            raise OSError("an earlier write to the audit log failed")
        lines = []
        count, head = self.count, self.head
        for entry in entries:
            count += 1
            line = _line(count, head, entry)
            lines.append(line + b"\n")
            head = _hash(line)
        try:
            _write_all(self._descriptor, b"".join(lines))
            os.fsync(self._descriptor)
        except OSError:
            # What is on disk now is not known: only a start finds out, and only it may go on.
            self.is_broken = True
            raise
        self.count, self.head = count, head

    def close(self) -> None:
        os.close(self._descriptor)


def _recovered(torn: bytes) -> dict[str, Any]:
    """The entry about a torn line, which can be anything: a crash may leave zeros in its place."""
    return {
        "event": "recovered",
        "torn": torn[:MAX_TORN].decode(errors="backslashreplace"),
        "torn_bytes": len(torn),
        "torn_sha256": hashlib.sha256(torn).hexdigest(),
    }


def _write_all(descriptor: int, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(descriptor, rest) :]
