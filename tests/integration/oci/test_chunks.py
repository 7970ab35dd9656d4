"""Large blobs go up in chunks: what a registry has is not sent again, and who takes none gets one piece."""

from __future__ import annotations

import io
import random
import re
import socket
import threading
import time
import tracemalloc
from typing import TYPE_CHECKING

import pytest

from enclavize.errors import AuthenticationError, IntegrityError, RegistryError
from enclavize.oci.descriptor import Descriptor
from enclavize.oci.digest import sha256_digest
from enclavize.oci.media_types import OCI_LAYER
from enclavize.oci.registry import chunks, pieces, transport, upload
from enclavize.oci.registry.client import RegistryClient
from enclavize.oci.registry.upload import Transfer, push_blob
from support.registry import Front, running_registry

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import TypeAlias

    from support.registry import FrontHandler, Registry

    Manner: TypeAlias = Callable[["Uploads", FrontHandler], bool]

pytestmark = pytest.mark.integration

CHUNK = 100_000
SIZE = 1_050_000


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "FIRST_DELAY", 0.001)
    monkeypatch.setattr(chunks, "CHUNK_SIZE", CHUNK)
    monkeypatch.setattr(upload, "CHUNK_SIZE", CHUNK)
    monkeypatch.setattr(pieces, "PIECE", 30_000)


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    """One docker-registry for all tests, each of which has a blob of its own."""
    with running_registry(tmp_path_factory.mktemp("registry") / "r", relative_urls=True) as running:
        yield running


class Uploads:
    """A registry that keeps uploads itself, byte by byte, as the specification wants it; blobs are checked.

    ``manner`` may answer a request in its place.
    """

    def __init__(self, manner: Manner) -> None:
        self.data = bytearray()
        self.blobs: list[bytes] = []
        self.sessions = 0
        self.patches = 0
        self.sent = 0
        """Bytes of all bodies."""
        self._manner = manner

    @property
    def location(self) -> dict[str, str]:
        """What every answer of a session has."""
        return {"Location": f"/v2/app/blobs/uploads/s{self.sessions}"}

    @property
    def state(self) -> dict[str, str]:
        """The same with what is there."""
        return {**self.location, "Range": f"0-{max(len(self.data) - 1, 0)}"}

    def body(self, handler: FrontHandler, size: int | None = None) -> bytes:
        """Read a request's body, or its start."""
        length = int(handler.headers.get("Content-Length", "0"))
        data = handler.rfile.read(length if size is None else min(size, length))
        if size is None:
            handler.headers.replace_header("Content-Length", "0")
        self.sent += len(data)
        return data

    def __call__(self, handler: FrontHandler) -> bool:
        """Answer."""
        self.patches += handler.command == "PATCH"
        if self._manner(self, handler):
            return True
        match handler.command:
            case "POST":
                self.sessions += 1
                self.data.clear()
                return handler.answer(202, b"", self.location)
            case "PATCH" | "GET" if f"/s{self.sessions}" not in handler.path:
                return handler.answer(404)
            case "PATCH":
                start, end = map(int, handler.headers["Content-Range"].split("-"))
                data = self.body(handler)
                if start != len(self.data) or end + 1 - start != len(data):
                    return handler.answer(416, b"", self.state)
                self.data += data
                return handler.answer(202, b"", self.state)
            case "GET":
                return handler.answer(204, b"", self.state)
            case "PUT":
                self.data += self.body(handler)
                digest = handler.path.partition("digest=")[2].replace("%3A", ":")
                if sha256_digest(bytes(self.data)) != digest:
                    return handler.answer(400, b'{"errors":[{"code":"DIGEST_INVALID"}]}')
                self.blobs.append(bytes(self.data))
                return handler.answer(201)
            case "HEAD":
                return handler.answer(200 if self.blobs else 404)
            case _:
                return handler.answer(204)


def hang_up(handler: FrontHandler) -> bool:
    handler.close_connection = True
    handler.connection.shutdown(socket.SHUT_RDWR)
    return True


def on_patch(number: int, action: Manner) -> Manner:
    """Return the manner to do something at one PATCH."""
    return lambda uploads, handler: (
        handler.command == "PATCH" and uploads.patches == number and action(uploads, handler)
    )


def takes(
    size: int, then: Callable[[Uploads, FrontHandler], bool]
) -> Callable[[Uploads, FrontHandler], bool]:
    """Take the start of a chunk only."""

    def action(uploads: Uploads, handler: FrontHandler) -> bool:
        data = uploads.body(handler)
        uploads.sent -= len(data[size:])
        uploads.data += data[:size]
        return then(uploads, handler)

    return action


def answers(status: int, **headers: str) -> Manner:
    return lambda uploads, handler: handler.answer(
        status, b"", {**uploads.location, **{key.replace("_", "-"): value for key, value in headers.items()}}
    )


def forgets(uploads: Uploads, handler: FrontHandler) -> bool:
    """Lose the session."""
    uploads.sessions += 1
    return handler.answer(404)


def says_nothing(uploads: Uploads, handler: FrontHandler) -> bool:
    """Lose the connection, and not answer for the state."""
    if handler.command == "GET" and "uploads" in handler.path:
        return handler.answer(204, b"", uploads.location)
    return on_patch(4, lambda _uploads, handler: hang_up(handler))(uploads, handler)


def lies(size: int) -> Manner:
    """Claim another state than there is."""

    def manner(uploads: Uploads, handler: FrontHandler) -> bool:
        if uploads.sessions == 1 and handler.command == "GET" and "uploads" in handler.path:
            return handler.answer(204, b"", {**uploads.location, "Range": f"0-{size}"})
        return on_patch(4, lambda _uploads, handler: hang_up(handler))(uploads, handler)

    return manner


def loses_the_last_answer(uploads: Uploads, handler: FrontHandler) -> bool:
    """Take the closing PUT, and hang up."""
    if handler.command == "PUT":
        uploads.blobs.append(bytes(uploads.data))
        return hang_up(handler)
    return False


def is_busy_at_the_end(uploads: Uploads, handler: FrontHandler) -> bool:
    """Answer the first closing PUT with 503."""
    if handler.command == "PUT" and not hasattr(uploads, "was_busy"):
        uploads.was_busy = True  # type: ignore[attr-defined]
        return handler.answer(503)
    return False


RESUMED: dict[str, Manner] = {
    "as the specification says": lambda _uploads, _handler: False,
    "hangs up before the fourth chunk": on_patch(4, lambda _uploads, handler: hang_up(handler)),
    "hangs up in the fourth chunk": on_patch(4, takes(30_000, lambda _uploads, handler: hang_up(handler))),
    "hangs up after the fourth chunk": on_patch(4, takes(CHUNK, lambda _uploads, handler: hang_up(handler))),
    "takes a part of a chunk": on_patch(
        4, takes(30_000, lambda uploads, handler: handler.answer(202, b"", uploads.state))
    ),
    "says no range": on_patch(4, takes(CHUNK, answers(202))),
    "502 for a chunk": on_patch(4, takes(0, answers(502))),
    "502 for a chunk that it has": on_patch(4, takes(CHUNK, answers(502))),
    "429 for a chunk": on_patch(4, takes(0, answers(429, Retry_After="0"))),
    "503 for the closing PUT": is_busy_at_the_end,
    "loses the answer to the closing PUT": loses_the_last_answer,
}
"""None of these costs more than a chunk."""

BEGUN_ANEW: dict[str, Manner] = {
    "loses the session": on_patch(4, forgets),
    "416 for a chunk": on_patch(4, takes(0, answers(416))),
    "410 for a chunk": on_patch(4, takes(0, answers(410))),
    "does not say what it has": says_nothing,
    "has less than it had": lies(150_000),
    "has more than it got": lies(900_000),
}

ONE_PIECE: dict[str, Manner] = {
    f"{status} for PATCH": on_patch(1, takes(0, answers(status))) for status in (400, 405, 413, 501)
} | {
    "a redirect of PATCH to another site": on_patch(
        1, takes(0, answers(307, Location="http://127.0.0.2:1/elsewhere"))
    )
}

HOSTILE: dict[str, tuple[Manner, str]] = {
    "another site for the rest": (
        on_patch(3, takes(CHUNK, answers(202, Location="http://192.0.2.1/x"))),
        "which is not encrypted",
    ),
    "a negative range": (lambda uploads, handler: always(uploads, handler, "0--1"), ""),
    "a range without end": (lambda uploads, handler: always(uploads, handler, "0-" + "9" * 30), ""),
}


def always(uploads: Uploads, handler: FrontHandler, found: str) -> bool:
    """Give every chunk the same range."""
    if handler.command != "PATCH":
        return False
    uploads.data += uploads.body(handler)
    return handler.answer(202, b"", {**uploads.location, "Range": found})


def blob_of(name: str) -> tuple[Descriptor, bytes]:
    data = random.Random(name).randbytes(SIZE)
    return Descriptor(media_type=OCI_LAYER, digest=sha256_digest(data), size=SIZE), data


def push(name: str, manner: Manner) -> tuple[Uploads, list[int], Transfer, bytes]:
    """Push a blob to a registry with this manner; return what it saw, and the steps that were told."""
    descriptor, data = blob_of(name)
    uploads = Uploads(manner)
    steps: list[int] = []
    with Front(0, uploads) as front:
        client = RegistryClient(front.host)
        try:
            transfer = push_blob(client, "app", descriptor, lambda: io.BytesIO(data), advance=steps.append)
        finally:
            client.close()
    return uploads, steps, transfer, data


@pytest.mark.parametrize("name", RESUMED)
def test_what_a_registry_has_is_not_sent_again(name: str) -> None:
    uploads, steps, transfer, data = push(name, RESUMED[name])
    assert (transfer, uploads.blobs) == (Transfer.UPLOADED, [data])
    assert (uploads.sessions, sum(steps)) == (1, SIZE)
    assert uploads.sent <= SIZE + CHUNK


@pytest.mark.parametrize("name", BEGUN_ANEW)
def test_a_session_whose_state_is_lost_is_begun_anew(name: str) -> None:
    uploads, steps, _, data = push(name, BEGUN_ANEW[name])
    assert uploads.blobs == [data]
    assert uploads.sessions >= 2
    assert sum(steps) == SIZE


@pytest.mark.parametrize("name", ONE_PIECE)
def test_a_registry_that_takes_no_chunks_gets_one_piece(name: str) -> None:
    uploads, steps, _, data = push(name, ONE_PIECE[name])
    assert uploads.blobs == [data]
    assert (uploads.patches, sum(steps)) == (1, SIZE)


@pytest.mark.parametrize("name", HOSTILE)
def test_an_upload_cannot_be_led_astray(name: str) -> None:
    manner, message = HOSTILE[name]
    if message:
        with pytest.raises(RegistryError, match=message):
            push(name, manner)
    else:
        uploads, _, _, data = push(name, manner)
        assert uploads.blobs == [data]


def test_no_chunk_is_held_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (chunks, upload):
        monkeypatch.setattr(module, "CHUNK_SIZE", 4 << 20)
    data = bytes(8 << 20)
    descriptor = Descriptor(media_type=OCI_LAYER, digest=sha256_digest(data), size=len(data))
    largest = 0

    def take(handler: FrontHandler) -> bool:
        nonlocal largest
        if handler.command == "PATCH":
            largest = max(largest, tracemalloc.get_traced_memory()[0])
            return handler.answer(202, b"", {"Location": "/v2/app/blobs/uploads/s"})
        return handler.answer({"POST": 202, "HEAD": 404}.get(handler.command, 201), b"", {"Location": "/s"})

    with Front(0, take) as front:
        client = RegistryClient(front.host)
        client.has_blob("app", descriptor.digest)  # what is loaded for the first request is no part of it
        tracemalloc.start()
        try:
            push_blob(client, "app", descriptor, lambda: io.BytesIO(data))
        finally:
            tracemalloc.stop()
            client.close()
    assert 0 < largest < 2 << 20


def test_what_is_read_again_after_a_failure_is_verified_again() -> None:
    descriptor, data = blob_of("changed")
    readings = [data, bytes(SIZE)]
    uploads = Uploads(on_patch(4, takes(0, answers(502))))
    with Front(0, uploads) as front:
        client = RegistryClient(front.host)
        with pytest.raises(IntegrityError):
            push_blob(client, "app", descriptor, lambda: io.BytesIO(readings.pop(0)))
        client.close()
    assert not readings
    assert not uploads.blobs


def test_who_may_not_write_is_told_so_and_nothing_is_tried_in_another_way() -> None:
    with pytest.raises(AuthenticationError):
        push("denied", on_patch(1, takes(0, answers(403))))


def test_the_reference_registry_takes_chunks(registry: Registry) -> None:
    descriptor, data = blob_of("whole")
    with Front(registry.port) as front:
        client = RegistryClient(front.host)
        push_blob(client, "app", descriptor, lambda: io.BytesIO(data))
        client.close()
        assert front.count("PATCH /v2/app") == -(-SIZE // CHUNK)
    assert registry.blob_path(descriptor.digest).read_bytes() == data


def test_the_reference_registry_survives_a_connection_that_breaks(registry: Registry) -> None:
    descriptor, data = blob_of("broken")
    broken: list[str] = []

    def cut(handler: FrontHandler) -> bool:
        found = re.match(r"(\d+)-", handler.headers.get("Content-Range", ""))
        if found and int(found[1]) >= 500_000 and not broken:
            broken.append(handler.path)
            return hang_up(handler)
        return False

    with Front(registry.port, cut) as front:
        client = RegistryClient(front.host)
        push_blob(client, "app", descriptor, lambda: io.BytesIO(data))
        client.close()
        assert broken
        assert front.count("POST ") == 1
    assert registry.blob_path(descriptor.digest).read_bytes() == data


@pytest.mark.parametrize("stalls", ["answer", "body"])
def test_a_closed_client_ends_what_is_under_way(stalls: str) -> None:
    descriptor, data = blob_of("stalled")
    reached, ended = threading.Event(), threading.Event()

    def stall(_uploads: Uploads, handler: FrontHandler) -> bool:
        if handler.command == "PATCH":
            if stalls == "answer":
                handler.rfile.read(int(handler.headers["Content-Length"]))
            reached.set()
            ended.wait(30)
            return hang_up(handler)
        return False

    with Front(0, Uploads(stall)) as front:
        client = RegistryClient(front.host)
        errors: list[BaseException] = []

        def work() -> None:
            try:
                push_blob(client, "app", descriptor, lambda: io.BytesIO(data))
            except RegistryError as error:
                errors.append(error)

        thread = threading.Thread(target=work)
        thread.start()
        assert reached.wait(30)
        time.sleep(0.1)
        client.close()
        thread.join(10)
        ended.set()
        assert not thread.is_alive()
        assert errors
