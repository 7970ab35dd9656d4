"""Encrypted and plain connections."""

from __future__ import annotations

import socket
import ssl
import threading
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Self

import pytest

from enclavize.errors import RegistryError
from enclavize.oci.registry.client import RegistryClient
from enclavize.oci.registry.target import RegistryTarget
from enclavize.oci.registry.transport import Transport
from support.certificates import make_certificate
from support.images import to_write
from support.registry import running_registry

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from enclavize.progress import Reporter
    from support.images import BuiltImage
    from support.registry import Registry

pytestmark = pytest.mark.integration


@pytest.fixture
def certificate(tmp_path: Path) -> tuple[Path, Path]:
    """A certificate for 127.0.0.1 that nobody trusts yet, and its key."""
    return make_certificate(tmp_path)


class TlsSite:
    """A site that asks for a certificate, and takes note whether it was shown one; it may redirect."""

    def __init__(
        self, certificate: tuple[Path, Path], trusted: Path, *, leads_to: TlsSite | None = None
    ) -> None:
        self.certificates: list[bool] = []
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*certificate)
        context.load_verify_locations(trusted)
        context.verify_mode = ssl.CERT_OPTIONAL
        site = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                if self.path != "/v2/":
                    site.certificates.append(bool(self.connection.getpeercert()))
                self.send_response(307 if leads_to and self.path != "/v2/" else 200)
                if leads_to:
                    self.send_header("Location", f"https://{leads_to.host}/x")
                self.send_header("Content-Length", "2")
                self.end_headers()
                self.wfile.write(b"{}")

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self.host = f"127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@pytest.fixture
def encrypted(tmp_path: Path, certificate: tuple[Path, Path]) -> Iterator[Registry]:
    """A registry that speaks TLS."""
    with running_registry(tmp_path / "encrypted", tls=certificate) as running:
        yield running


def test_a_certificate_of_nobody_is_refused(
    encrypted: Registry, image: BuiltImage, reporter: Reporter
) -> None:
    with pytest.raises(RegistryError, match="is not trusted") as caught:
        RegistryTarget().deliver(to_write(image, f"{encrypted.host}/app:1"), reporter)
    assert caught.value.hint is not None
    assert "--insecure" in caught.value.hint


def test_a_trusted_certificate_is_used(
    encrypted: Registry,
    certificate: tuple[Path, Path],
    image: BuiltImage,
    reporter: Reporter,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate[0]))
    RegistryTarget().deliver(to_write(image, f"{encrypted.host}/app:1"), reporter)
    assert encrypted.has_stored(image.descriptor.digest)


@pytest.fixture
def certificates(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of docker's certificates."""
    monkeypatch.setattr("enclavize.oci.registry.certificates.CERTIFICATES_FOLDER", tmp_path / "certs.d")
    (tmp_path / "certs.d").mkdir()
    return tmp_path / "certs.d"


def test_an_authority_in_dockers_folder_for_the_registry_is_trusted_there_alone(
    encrypted: Registry,
    certificate: tuple[Path, Path],
    certificates: Path,
    image: BuiltImage,
    reporter: Reporter,
) -> None:
    folder = certificates / encrypted.host
    folder.mkdir()
    (folder / "ca.pem").write_bytes(certificate[0].read_bytes())
    with pytest.raises(RegistryError, match="is not trusted") as caught:
        RegistryTarget().deliver(to_write(image, f"{encrypted.host}/app:1"), reporter)
    assert caught.value.hint is not None
    assert f"/etc/docker/certs.d/{encrypted.host}/ca.crt" in caught.value.hint
    (folder / "ca.pem").rename(folder / "ca.crt")
    RegistryTarget().deliver(to_write(image, f"{encrypted.host}/app:1"), reporter)
    assert encrypted.has_stored(image.descriptor.digest)
    folder.rename(certificates / "127.0.0.1:1")
    with pytest.raises(RegistryError, match="is not trusted"):
        RegistryTarget().deliver(to_write(image, f"{encrypted.host}/app:1"), reporter)


def test_a_certificate_of_our_own_is_shown_to_the_registry_and_not_to_where_it_leads(
    tmp_path: Path, certificate: tuple[Path, Path], certificates: Path
) -> None:
    own = make_certificate(tmp_path / "own")
    with (
        TlsSite(certificate, own[0]) as elsewhere,
        TlsSite(certificate, own[0], leads_to=elsewhere) as registry,
    ):
        folder = certificates / registry.host
        folder.mkdir()
        for source, name in ((certificate[0], "ca.crt"), (own[0], "me.cert"), (own[1], "me.key")):
            (folder / name).write_bytes(source.read_bytes())
        client = RegistryClient(registry.host)
        assert client.get_document("a/x", "a", "application/json", 100)[0] == b"{}"
        client.close()
        assert registry.certificates == [True]
        assert elsewhere.certificates == [False]


@pytest.mark.parametrize("name", ["me.cert", "ca.crt"])
def test_what_cannot_be_used_in_dockers_folder_is_a_warning(
    encrypted: Registry, certificate: tuple[Path, Path], certificates: Path, name: str
) -> None:
    folder = certificates / encrypted.host
    folder.mkdir()
    (folder / "good.crt").write_bytes(certificate[0].read_bytes())
    (folder / name).write_text("nothing")
    warnings: list[str] = []
    client = RegistryClient(encrypted.host, warn=warnings.append)
    assert not client.has_manifest("app", "1")
    client.close()
    assert [name in warning for warning in warnings] == [True]


def test_insecure_accepts_any_certificate(encrypted: Registry, image: BuiltImage, reporter: Reporter) -> None:
    RegistryTarget(insecure=True).deliver(to_write(image, f"{encrypted.host}/app:1"), reporter)
    assert encrypted.has_stored(image.descriptor.digest)


def test_no_authorities_are_read_for_a_registry_without_tls(
    registry: Registry, image: BuiltImage, reporter: Reporter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("enclavize.oci.registry.connections.tls_contexts", None)
    RegistryTarget().deliver(to_write(image, f"{registry.host}/plain/app:1"), reporter)
    assert registry.has_stored(image.descriptor.digest)


def test_plain_http_beyond_this_machine_needs_to_be_allowed(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("enclavize.oci.registry.transport.is_loopback", lambda _host: False)
    with pytest.raises(RegistryError, match="does not speak TLS") as caught:
        RegistryClient(registry.host).has_manifest("app", "1")
    assert caught.value.hint == "--insecure allows plain HTTP for this registry"
    client = RegistryClient(registry.host, insecure=True)
    assert not client.has_manifest("app", "1")
    client.close()


@contextmanager
def taking_connections(
    answer: Callable[[socket.socket], object],
) -> Iterator[tuple[str, list[socket.socket]]]:
    """A site that does something with each connection, one after the other; its name, and those it took."""
    taken: list[socket.socket] = []
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            with suppress(OSError):  # closed
                while True:
                    connection, _ = listening.accept()
                    taken.append(connection)
                    answer(connection)

        threading.Thread(target=serve, daemon=True).start()
        yield f"127.0.0.1:{listening.getsockname()[1]}", taken
        for connection in taken:
            connection.close()


@pytest.fixture
def _hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("enclavize.oci.registry.connections._PATIENCE", 0.05)
    monkeypatch.setattr("enclavize.oci.registry.transport.FIRST_DELAY", 0.001)


@pytest.mark.usefixtures("_hurry")
def test_who_waits_for_the_end_of_a_line_is_told_that_the_offer_of_tls_is_complete() -> None:
    def answer(connection: socket.socket) -> None:
        while connection.recv(4096):
            pass
        connection.sendall(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")

    with taking_connections(answer) as (host, taken):
        assert Transport(host).base_url() == f"http://{host}"
        assert len(taken) == 1


@pytest.mark.usefixtures("_hurry")
def test_a_port_that_never_says_anything_is_named_after_one_connection(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("CONNECT_TIMEOUT", "READ_TIMEOUT"):
        monkeypatch.setattr(f"enclavize.oci.registry.connections.{name}", 0.2)
    with taking_connections(lambda _connection: None) as (host, taken):
        with pytest.raises(RegistryError, match=f"{host} takes connections, but says nothing"):
            RegistryClient(host).has_manifest("app", "1")
        assert len(taken) == 1
