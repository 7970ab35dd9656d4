"""What is said on the daemon's socket, for rune's front end (native/rune/node.c) and ``enclavize node``.

One line of JSON each way, then the connection ends:

    {"version": 1, "operation": "convert", "id": ID, "bundle": PATH}
    {"version": 1, "operation": "status"}
    {"version": 1, "operation": "forget", "keys": [KEY, ...]}       those that begin so; [""]: all

    {"version": 1, "tree": PATH}                of convert: the folder that holds .enclave
    {"version": 1, "status": {...}}, {"version": 1, "forgotten": [KEY, ...], "in_use": [KEY, ...]}
    {"version": 1, "error": TEXT, "hint": TEXT or null}

A request has at most 64 KiB and ten seconds to arrive; an answer to ``convert`` comes when there is one. Only
root is answered.
"""

from __future__ import annotations

import json
import socket
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from enclavize.errors import EnclavizeError, InvalidImageError, UsageError
from enclavize.oci.document import canonical_json, parse_document

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

VERSION = 1
MAX_REQUEST = 64 << 10
MAX_ANSWER = 64 << 20
REQUEST_SECONDS = 10.0

_MAX_ID = 1024
_MAX_PATH = 4096


@dataclass(frozen=True, kw_only=True)
class Convert:
    """A container waits to be created."""

    id: str
    bundle: str


@dataclass(frozen=True)
class Status:
    """What is there, and what has been done."""


@dataclass(frozen=True)
class Forget:
    """Conversions whose keys begin so are to be dropped."""

    keys: tuple[str, ...]


Request = Convert | Status | Forget


def parse_request(line: bytes) -> Request:
    """Read a request. Raises UsageError."""
    try:
        document = parse_document(line, "the request")
        version = document.members.get("version")
        operation = document.text("operation")
        match operation:
            case _ if version != VERSION or isinstance(version, bool):
                raise UsageError(f"the request is of version {version!r}, and this is {VERSION}")
            case "convert":
                return Convert(
                    id=_bounded(document.text("id"), _MAX_ID), bundle=_bounded_path(document.text("bundle"))
                )
            case "status":
                return Status()
            case "forget":
                return Forget(keys=tuple(document.texts("keys")))
            case _:
                raise UsageError(f"the request asks for {operation[:40]!r}, which is unknown")
    except InvalidImageError as error:  # as documents call what is malformed
        raise UsageError(str(error)) from error


def error_answer(error: EnclavizeError) -> dict[str, Any]:
    """Return the answer for what went wrong."""
    return {"error": str(error), "hint": error.hint}


def encode(answer: Mapping[str, Any]) -> bytes:
    """Return a request or an answer as it is sent."""
    return canonical_json({"version": VERSION, **answer}) + b"\n"


def ask(path: Path, **request: Any) -> dict[str, Any]:
    """Ask the daemon, and wait. Raises EnclavizeError with its words, or if it does not answer."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        try:
            connection.connect(str(path))
            with suppress(BrokenPipeError):  # it may have said already why it reads nothing
                connection.sendall(encode(request))
            data = b"".join(iter(lambda: connection.recv(1 << 16), b""))
        except OSError as error:
            raise EnclavizeError(
                f"the node's daemon does not answer at {path}: {error.strerror or error}",
                hint="is it running? enclavize node serve",
            ) from error
    try:
        answer = json.loads(data)
    except ValueError as error:
        raise EnclavizeError(f"the node's daemon at {path} ended before it had answered") from error
    if not isinstance(answer, dict) or answer.get("version") != VERSION:
        raise EnclavizeError(f"what answers at {path} is of another version")
    if "error" in answer:
        raise EnclavizeError(str(answer["error"]), hint=answer.get("hint"))
    return answer


def _bounded(text: str, limit: int) -> str:
    if not text or len(text) > limit or "\0" in text or "/" in text:
        raise UsageError("the request names no container")
    return text


def _bounded_path(text: str) -> str:
    if not text.startswith("/") or len(text) > _MAX_PATH or "\0" in text or ".." in text.split("/"):
        raise UsageError("the request's bundle is no absolute path")
    return text
