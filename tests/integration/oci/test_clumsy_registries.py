"""Registries and storage services as they are: what docker gets along with, we do, too."""

from __future__ import annotations

import json
import random
import socket
import urllib.parse
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest

from enclavize.errors import IntegrityError, RegistryError
from enclavize.oci.descriptor import Descriptor
from enclavize.oci.digest import sha256_digest
from enclavize.oci.media_types import OCI_LAYER
from enclavize.oci.registry import transport
from enclavize.oci.registry.client import RegistryClient
from enclavize.oci.registry.credentials import Credentials
from enclavize.oci.registry.upload import Transfer, push_bytes
from support.registry import Front, auth_entry, running_registry

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from support.registry import FrontHandler, Registry

    Manner = Callable[["Visit"], bool]

pytestmark = pytest.mark.integration

BLOB = random.Random(1).randbytes(700_000)
LAYER = Descriptor(media_type=OCI_LAYER, digest=sha256_digest(BLOB), size=len(BLOB))
SMALL = Descriptor(media_type=OCI_LAYER, digest=sha256_digest(b"small"), size=5)
FIRST = 300_000
"""Bytes that come before the first connection breaks."""


@pytest.fixture(autouse=True)
def _hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "FIRST_DELAY", 0.001)


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    """One docker-registry, with the blob in ``app``."""
    with running_registry(tmp_path_factory.mktemp("registry") / "r", relative_urls=True) as running:
        client = RegistryClient(running.host)
        push_bytes(client, "app", LAYER, BLOB)
        client.close()
        yield running


@dataclass
class Visit:
    """One request for the blob: the first one breaks, the manners of a registry show in those after it."""

    handler: FrontHandler
    earlier: list[str] = field(default_factory=list)

    @property
    def wanted(self) -> str:
        """The range."""
        return str(self.handler.headers.get("Range", ""))

    @property
    def start(self) -> int:
        """The first byte that is asked for."""
        return int(self.wanted.removeprefix("bytes=").partition("-")[0] or 0)

    def cut(self, data: bytes, size: int = FIRST, *, status: int = 200, **headers: str) -> bool:
        """Announce all of ``data``, send the start, and hang up."""
        self.begin(status, {"Content-Length": str(len(data)), **headers})
        return self.hang_up(data[:size])

    def begin(self, status: int, headers: dict[str, str]) -> None:
        """Send the head of an answer."""
        self.handler.send_response(status)
        for name, value in headers.items():
            self.handler.send_header(name.replace("_", "-"), value)
        self.handler.end_headers()

    def hang_up(self, data: bytes) -> bool:
        """Send the last bytes."""
        self.handler.wfile.write(data)
        self.handler.wfile.flush()
        self.handler.close_connection = True
        self.handler.connection.shutdown(socket.SHUT_RDWR)
        return True

    def part(self, start: int, *, status: int = 206, told: int | None = None) -> bool:
        """Answer with the blob from ``start`` on, and tell that it starts at ``told``."""
        where = f"bytes {start if told is None else told}-{len(BLOB) - 1}/{len(BLOB)}"
        return self.handler.answer(status, BLOB[start:], {"Content-Range": where})


def refuses(status: int, *, closed: bool = True) -> Manner:
    """Return the manner to refuse ranges, open ones alone or all of them."""

    def manner(visit: Visit) -> bool:
        if visit.wanted and (closed or visit.wanted.endswith("-")):
            return visit.handler.answer(status)
        return visit.handler.answer(200, BLOB) if closed else visit.part(visit.start)

    return manner


def multipart(visit: Visit) -> bool:
    """Answer a range as if there had been two."""
    if not visit.wanted:
        return visit.handler.answer(200, BLOB)
    return visit.handler.answer(
        206, BLOB[visit.start :], {"Content-Type": "multipart/byteranges; boundary=x"}
    )


def without_closing_chunk(visit: Visit) -> bool:
    """Send all that is there, but not the mark of its end."""
    visit.begin(200, {"Transfer-Encoding": "chunked"})
    return visit.hang_up(b"%x\r\n%b\r\n" % (len(BLOB), BLOB))


def in_broken_chunks(visit: Visit) -> bool:
    """Break in the middle of a chunk."""
    if len(visit.earlier) > 2:
        return visit.part(visit.start)
    visit.begin(206, {"Transfer-Encoding": "chunked", "Content-Range": f"bytes {visit.start}-/*"})
    return visit.hang_up(b"20000\r\n" + BLOB[visit.start : visit.start + 0x20000] + b"\r\n20000\r\nx")


def without_length(visit: Visit) -> bool:
    """End by hanging up, once too early."""
    visit.begin(
        206 if visit.wanted else 200, {"Content-Range": f"bytes {visit.start}-/*"} if visit.wanted else {}
    )
    return visit.hang_up(BLOB[visit.start :][: FIRST if len(visit.earlier) < 2 else None])


def later(visit: Visit) -> bool:
    """Leave out some bytes of a range."""
    return visit.part(visit.start + 7) if visit.wanted else visit.handler.answer(200, BLOB)


def busy_with_ranges(visit: Visit) -> bool:
    """Fail whenever a range is asked for."""
    return visit.handler.answer(503 if visit.wanted else 200, b"" if visit.wanted else BLOB)


MANNERS: dict[str, Manner] = {
    "ranges are ignored": lambda visit: visit.handler.answer(200, BLOB),
    "416 to open ranges": refuses(416, closed=False),
    "416 to all ranges": refuses(416),
    "400 to all ranges": refuses(400),
    "405 to all ranges": refuses(405),
    "501 to all ranges": refuses(501),
    "500 to all ranges": refuses(500),
    "503 to all ranges": busy_with_ranges,
    "206 from an earlier byte": lambda visit: visit.part(visit.start - 1000),
    "206 with everything": lambda visit: visit.part(0),
    "206 from a later byte": later,
    "206 without a place": lambda visit: visit.handler.answer(206 if visit.wanted else 200, BLOB),
    "206 in several parts": multipart,
    "everything but the closing chunk": without_closing_chunk,
    "chunks that break in the middle": in_broken_chunks,
    "no length, and hung up too early": without_length,
}  # fmt: skip


def download(registry: Registry, manner: Manner) -> tuple[bytes, list[str]]:
    """Fetch the blob from a registry with this manner; return it, and the ranges that were asked for."""
    seen: list[str] = []

    def answer(handler: FrontHandler) -> bool:
        if LAYER.digest not in handler.path:
            return False
        visit = Visit(handler, list(seen))
        seen.append(visit.wanted)
        if manner in (without_closing_chunk, without_length) or visit.earlier:
            return manner(visit)
        return visit.cut(BLOB)

    with Front(registry.port, answer) as front:
        client = RegistryClient(front.host)
        try:
            with client.open_blob("app", LAYER) as stream:
                return stream.read(), seen
        finally:
            client.close()


@pytest.mark.parametrize("name", MANNERS)
def test_a_broken_download_ends_well(registry: Registry, name: str) -> None:
    data, ranges = download(registry, MANNERS[name])
    assert data == BLOB
    assert len(ranges) <= 6


def other_bytes(visit: Visit) -> bool:
    """Go on with something else."""
    return visit.handler.answer(
        206, bytes(len(BLOB) - visit.start), {"Content-Range": f"bytes {visit.start}-/*"}
    )


@pytest.mark.parametrize(
    ("manner", "error", "message"),
    [
        (other_bytes, IntegrityError, "has digest"),
        (lambda visit: visit.handler.answer(200, BLOB[:100]), IntegrityError, "a shorter one"),
        (lambda visit: visit.cut(BLOB), RegistryError, "broke after 300000 of"),
        (lambda visit: visit.handler.answer(404), RegistryError, "HTTP status 404"),
        (lambda visit: visit.handler.answer(403), RegistryError, "HTTP status 403"),
        (refuses(200), IntegrityError, "a shorter one"),
    ],
    ids=["other bytes", "a shorter blob", "always cut there", "gone", "forbidden", "nothing"],
)
def test_a_broken_download_does_not_end_with_other_bytes(
    registry: Registry, manner: Manner, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        download(registry, manner)


def test_a_storage_service_that_ignores_ranges_is_enough(registry: Registry) -> None:
    with Front(0, lambda handler: handler.answer(200, BLOB)) as storage:
        manner: Manner = lambda visit: visit.handler.answer(  # noqa: E731
            307, headers={"Location": f"http://{storage.host}/blob"}
        )
        assert download(registry, manner)[0] == BLOB
        assert [headers.get("Range") for _, headers in storage.requests] == [f"bytes={FIRST}-"]


@pytest.mark.parametrize("status", [400, 403, 404, 405, 416, 500, 501, 503])
def test_a_refused_question_for_a_blob_means_that_nothing_is_known(registry: Registry, status: int) -> None:
    def refuse(handler: FrontHandler) -> bool:
        return handler.command == "HEAD" and handler.answer(status)

    with Front(registry.port, refuse) as front:
        client = RegistryClient(front.host)
        assert push_bytes(client, f"head{status}", SMALL, b"small") is Transfer.UPLOADED
        assert front.count("HEAD") == 1
        client.close()


@pytest.mark.parametrize("status", [404, 410, 416, 502])
def test_a_lost_upload_session_is_begun_anew(registry: Registry, status: int) -> None:
    lost: list[str] = []

    def lose(handler: FrontHandler) -> bool:
        if handler.command == "PUT" and not lost:
            lost.append(handler.path)
            return handler.answer(status, b'{"errors":[{"code":"BLOB_UPLOAD_UNKNOWN"}]}')
        return False

    with Front(registry.port, lose) as front:
        client = RegistryClient(front.host)
        assert push_bytes(client, f"lost{status}", SMALL, b"small") is Transfer.UPLOADED
        assert front.count("POST") == 2
        client.close()


def test_an_upload_whose_answer_was_lost_is_not_done_again(registry: Registry) -> None:
    def lose(handler: FrontHandler) -> bool:
        if handler.command != "PUT":
            return False
        client = RegistryClient(registry.host)  # the registry has it, and says that it does not
        push_bytes(client, "answer", SMALL, b"small")
        client.close()
        return handler.answer(404)

    with Front(registry.port, lose) as front:
        client = RegistryClient(front.host)
        assert push_bytes(client, "answer", SMALL, b"small") is Transfer.PRESENT
        assert front.count("PUT") == 1
        client.close()


def test_a_registry_that_loses_every_session_is_given_up(registry: Registry) -> None:
    with Front(registry.port, lambda handler: handler.command == "PUT" and handler.answer(404)) as front:
        client = RegistryClient(front.host)
        with pytest.raises(RegistryError, match="HTTP status 404"):
            push_bytes(client, "always", SMALL, b"small")
        assert front.count("PUT") == transport.ATTEMPTS
        client.close()


TARGETS = {
    "escapes in lower case": ("/s/x%2fy?sig=a%2bb%3d", "/s/x%2fy?sig=a%2bb%3d"),
    "escapes in both cases": ("/s/%2F%2f%c3%A9", "/s/%2F%2f%c3%A9"),
    "escapes of plain letters": ("/s/%41%7E?%61=%62", "/s/%41%7E?%61=%62"),
    "dots in the path": ("/s/../t/./u//v", "/s/../t/./u//v"),
    "signs that others escape": ("/s/a+b,c;d=e!$&'()*@:[]?q=|{}^`\"<>",) * 2,
    "a backslash in the path": ("/s/a\\b", "/s/a%5Cb"),
    "spaces": ("/s/a b?c=d e", "/s/a%20b?c=d%20e"),
    "letters beyond ASCII": ("/s/é?ü", "/s/%C3%A9?%C3%BC"),
    "a percent sign alone": ("/s/100%?50%", "/s/100%?50%"),
    "a fragment": ("/s/a?b#c", "/s/a?b"),
    "a query alone": ("?a=b%2f", "/?a=b%2f"),
    "an empty query": ("/s?", "/s?"),
}  # fmt: skip


@pytest.mark.parametrize("name", TARGETS)
def test_an_address_is_asked_for_as_it_was_given(registry: Registry, name: str) -> None:
    given, asked = TARGETS[name]
    with Front(0, lambda handler: handler.answer(200, BLOB)) as storage:

        def redirect(handler: FrontHandler) -> bool:
            location = f"http://{storage.host}{given}".encode().decode("latin-1")
            return LAYER.digest in handler.path and handler.answer(307, headers={"Location": location})

        with Front(registry.port, redirect) as front:
            client = RegistryClient(front.host)
            with client.open_blob("app", LAYER) as stream:
                assert stream.read() == BLOB
            client.close()
        assert [line for line, _ in storage.requests] == [f"GET {asked}"]


@pytest.mark.parametrize(
    ("location", "asked"),
    [
        ("/x/y?a=%2f", "/x/y?a=%2f"),
        ("y?a=%2f", "/v2/app/blobs/y?a=%2f"),
        ("./y", "/v2/app/blobs/y"),
        ("../y", "/v2/app/y"),
        ("?a=%2f", "{path}?a=%2f"),
        ("//{host}/y%2f", "/y%2f"),
    ],
)
def test_a_relative_address_is_one_of_the_site_that_answers(
    registry: Registry, location: str, asked: str
) -> None:
    path = f"/v2/app/blobs/{LAYER.digest}"

    def redirect(handler: FrontHandler) -> bool:
        if handler.path == path:
            return handler.answer(307, headers={"Location": location.format(host=handler.headers["Host"])})
        return ("/y" in handler.path or "?" in handler.path) and handler.answer(200, BLOB)

    with Front(registry.port, redirect) as front:
        client = RegistryClient(front.host)
        with client.open_blob("app", LAYER) as stream:
            assert stream.read() == BLOB
        client.close()
        assert front.requests[-1][0] == f"GET {asked.format(path=path)}"


@pytest.mark.parametrize("form", ["absolute", "path", "last part", "query"])
def test_an_upload_goes_on_at_the_location_word_for_word(registry: Registry, form: str) -> None:
    """docker-registry signs ``_state``, whose padding is an escape in lower case here."""
    repository = f"upload-{form.replace(' ', '-')}"
    states: list[str] = []

    def point(handler: FrontHandler) -> bool:
        path, _, query = handler.path.partition("?")
        if handler.command == "POST":
            state = f"_state=a%2fb%3d{len(states)}"
            states.append(state)
            base = f"/v2/{repository}/blobs/uploads/"
            location = {
                "absolute": f"http://{handler.headers['Host']}{base}u1?{state}",
                "path": f"{base}u1?{state}",
                "last part": f"u1?{state}",
                "query": f"?{state}",
            }[form]
            return handler.answer(202, headers={"Location": location})
        if handler.command == "PUT":
            wanted = f"/v2/{repository}/blobs/uploads/" + ("" if form == "query" else "u1")
            good = path == wanted and query == f"{states[-1]}&digest={urllib.parse.quote(SMALL.digest)}"
            return handler.answer(201 if good else 400)
        return False

    with Front(registry.port, point) as front:
        client = RegistryClient(front.host)
        assert push_bytes(client, repository, SMALL, b"small") is Transfer.UPLOADED
        client.close()


SCOPES = {
    "the scope of the path": "repository:app:pull",
    "the scope of a mapped name": "repository:mapped/local/app:pull",
    "two scopes": "repository:mapped/local/app:pull repository:base/app:pull",
    "no scope": "",
}


@pytest.mark.parametrize("name", SCOPES)
@pytest.mark.parametrize("login", ["nobody", "a password", "an identity token"])
def test_the_scopes_of_a_challenge_are_asked_for_beside_our_own(
    registry: Registry, name: str, login: str
) -> None:
    scope = SCOPES[name]
    asked: list[set[str]] = []

    def check(handler: FrontHandler) -> bool:
        path, _, query = handler.path.partition("?")
        if path == "/token":
            if handler.command == "POST":
                query = handler.rfile.read(int(handler.headers["Content-Length"])).decode()
                handler.headers.replace_header("Content-Length", "0")
            scopes = " ".join(urllib.parse.parse_qs(query).get("scope", [])).split()
            asked.append(set(scopes))
            assert len(set(scopes)) == len(scopes)
            token = (
                json.dumps({"token": "good", "access_token": "good"})
                if set(scope.split()) <= set(scopes)
                else "{}"
            )
            return handler.answer(200, token.encode())
        if handler.headers.get("Authorization") == "Bearer good":
            return False
        realm = f'Bearer realm="http://{handler.headers["Host"]}/token",service="s",scope="{scope}"'
        return handler.answer(401, headers={"WWW-Authenticate": realm})

    with Front(registry.port, check) as front:
        entry = {"a password": auth_entry(), "an identity token": {"identitytoken": "i"}}.get(login, {})
        client = RegistryClient(front.host, auth=Credentials({"auths": {front.host: entry}}))
        for _ in range(2):
            with client.open_blob("app", LAYER) as stream:
                assert stream.read() == BLOB
        client.close()
    assert asked == [{"repository:app:pull", *scope.split()}]


def test_the_table_is_long() -> None:
    assert len(MANNERS) + len(TARGETS) + len(SCOPES) >= 30
