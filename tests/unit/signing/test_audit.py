"""The audit log's chain: every change is found, a torn line is not taken for one."""

from __future__ import annotations

import hashlib
import io
import json
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from enclavize.errors import IntegrityError, UsageError
from enclavize.signing.service.audit import (
    GENESIS,
    MAX_LINE,
    Anchor,
    AuditLog,
    Chain,
    EntryTooLongError,
    check_entry,
    verify_chain,
)
from support.scale import scaled

if TYPE_CHECKING:
    from pathlib import Path


def check(data: bytes, anchor: Anchor | None = None) -> Chain:
    return verify_chain(io.BytesIO(data), "log", anchor)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("audit") / "log"
    log = AuditLog(path)
    log.append([{"event": "one", "text": "ü\n"}])
    log.append([{"event": "two"}, {"event": "three"}])
    log.close()
    assert path.stat().st_mode & 0o777 == 0o600
    return path.read_bytes()


def test_a_log_verifies_and_goes_on(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "log").write_bytes(data)
    log = AuditLog(tmp_path / "log")
    assert (log.count, log.recovered) == (3, b"")
    log.append([{"event": "four"}])
    log.close()
    chain = check((tmp_path / "log").read_bytes())
    assert (chain.count, chain.head) == (4, log.head)
    assert check(b"") == Chain(count=0, head=GENESIS, size=0, torn=b"")


def test_every_changed_byte_but_the_last_lines_is_found(data: bytes) -> None:
    last = data.rstrip(b"\n").rindex(b"\n") + 1
    noted = check(data)
    for position in range(len(data)):
        changed = data[:position] + bytes([data[position] ^ 1]) + data[position + 1 :]
        anchor = Anchor(head=noted.head, count=3) if position >= last else None
        with pytest.raises(IntegrityError):
            check(changed, anchor)


def test_missing_doubled_and_exchanged_lines_are_found(data: bytes) -> None:
    one, two, three = data.splitlines(keepends=True)
    for lines in (
        [two, three],
        [one, three],
        [one, one, two],
        [two, one, three],
        [one, b"\n"],
        [one, b"[]\n"],
    ):
        with pytest.raises(IntegrityError, match="line"):
            check(b"".join(lines))


def test_lines_cut_off_at_the_end_are_found_by_what_was_noted(data: bytes) -> None:
    chain = check(data)
    short = b"".join(data.splitlines(keepends=True)[:2])
    assert check(data, Anchor(head=chain.head, count=3)).count == 3
    assert check(data, Anchor(head=check(short).head, count=2)).count == 3
    assert check(data, Anchor(head=check(short).head)).count == 3
    with pytest.raises(IntegrityError, match="truncated: it has 2 lines and had 3"):
        check(short, Anchor(head=chain.head, count=3))
    with pytest.raises(IntegrityError, match="no line has it"):
        check(short, Anchor(head=chain.head))
    with pytest.raises(IntegrityError, match="line 2 does not have it"):
        check(data, Anchor(head=chain.head, count=2))


@settings(max_examples=scaled(10_000, least=100), deadline=None)
@given(st.integers(min_value=0, max_value=10_000), st.binary(max_size=40))
def test_any_end_is_whole_torn_or_an_integrity_error(data: bytes, length: int, rest: bytes) -> None:
    try:
        chain = check(data[:length] + rest)
    except IntegrityError:
        return
    assert chain.size + len(chain.torn) == len(data[:length] + rest)


def test_a_torn_line_is_removed_and_told_of(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "log"
    for length in range(len(data) - 90, len(data)):
        path.write_bytes(data[:length])
        log = AuditLog(path)
        log.close()
        chain = check(path.read_bytes())
        assert chain.torn == b""
        assert chain.count == (3 if log.recovered else 2)
        assert (b'"recovered"' in path.read_bytes()) is bool(log.recovered)


def test_a_log_is_opened_once_and_never_through_a_link(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "log"
    path.write_bytes(data)
    log = AuditLog(path)
    with pytest.raises(UsageError, match="in use"):
        AuditLog(path)
    log.close()
    (tmp_path / "link").symlink_to(path)
    with pytest.raises(UsageError, match="cannot open"):
        AuditLog(tmp_path / "link")
    path.write_bytes(data.replace(b"one", b"One"))
    with pytest.raises(IntegrityError, match="line 2: the chain is broken"):
        AuditLog(path)


def test_a_failed_write_ends_the_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = AuditLog(tmp_path / "log")
    log.append([{"event": "one"}])
    with monkeypatch.context() as patch:
        patch.setattr("os.fsync", lambda _descriptor: (_ for _ in ()).throw(OSError(5, "I/O error")))
        with pytest.raises(OSError, match="I/O error"):
            log.append([{"event": "two"}])
    with pytest.raises(OSError, match="earlier write"):
        log.append([{"event": "three"}])
    log.close()
    assert b"three" not in (tmp_path / "log").read_bytes()


def test_lines_are_bounded(tmp_path: Path) -> None:
    with pytest.raises(IntegrityError, match="longer than"):
        check(b"x" * (MAX_LINE + 5))
    log = AuditLog(tmp_path / "log")
    for length in (MAX_LINE, MAX_LINE - 100):  # the rest is number, hash and time
        too_long = {"event": "x" * length}
        with pytest.raises(EntryTooLongError):
            check_entry(too_long)
        with pytest.raises(EntryTooLongError):
            log.append([{"event": "good"}, too_long])
    longest = {"event": "x" * (MAX_LINE - 200)}
    check_entry(longest)
    log.append([longest])
    log.close()
    assert check((tmp_path / "log").read_bytes()).count == 1


@pytest.mark.parametrize(
    "torn", [bytes(MAX_LINE - 1), b"\xff" * 30_000, b"{" + b"\x1b" * 20_000, b"\\" * 60_000]
)
def test_a_service_starts_again_whatever_a_crash_left(tmp_path: Path, data: bytes, torn: bytes) -> None:
    path = tmp_path / "log"
    path.write_bytes(data + torn)
    log = AuditLog(path)
    assert log.recovered == torn
    log.close()
    assert check(path.read_bytes()).count == 4
    entry = json.loads(path.read_bytes().splitlines()[-1])
    assert (entry["event"], entry["torn_bytes"]) == ("recovered", len(torn))
    assert entry["torn_sha256"] == hashlib.sha256(torn).hexdigest()
