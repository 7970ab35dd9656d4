"""The operations of the distribution API that images need, on one registry."""

from __future__ import annotations

import re
import threading
from contextlib import closing, suppress
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, BinaryIO

from urllib3 import exceptions as http_errors

from enclavize.errors import IntegrityError, InvalidImageError, NotFoundError, RegistryError
from enclavize.oci.descriptor import Descriptor
from enclavize.oci.digest import hex_of, new_hash, parse_digest, sha256_digest
from enclavize.oci.limits import MAX_MANIFEST_SIZE
from enclavize.oci.manifest import parse_manifest
from enclavize.oci.media_types import DOCKER_INDEX, DOCKER_MANIFEST, OCI_INDEX, OCI_MANIFEST
from enclavize.oci.registry.address import join_url, site_of
from enclavize.oci.registry.auth import Authenticator
from enclavize.oci.registry.credentials import Credentials
from enclavize.oci.registry.download import ResumingStream
from enclavize.oci.registry.errors import (
    MAX_ERROR_BODY,
    LostSessionError,
    TransientError,
    error_of_response,
)
from enclavize.oci.registry.transport import Request, Transport
from enclavize.oci.stream import blob_name, verified

if TYPE_CHECKING:
    from collections.abc import Callable

    from urllib3 import BaseHTTPResponse

    from enclavize.oci.digest import Digest
    from enclavize.oci.registry.credentials import Credential
    from enclavize.oci.registry.transport import Answer, Method, Result
    from enclavize.oci.stream import Sink

ACCEPTED_MANIFESTS = f"{OCI_INDEX}, {OCI_MANIFEST}, {DOCKER_INDEX}, {DOCKER_MANIFEST}"

_RANGE = re.compile(r"\s*(?:bytes=)?0-(\d{1,19})\s*")

LOST_SESSION = frozenset({404, 410, 416})
"""What is answered to a session of which a registry knows no more, or less than it has got."""


def pull_scope(repository: str) -> str:
    """Return the access that reading takes."""
    return f"repository:{repository}:pull"


def push_scope(repository: str, mount_from: str | None = None) -> str:
    """Return the access that writing takes, and reading where blobs are mounted from."""
    scope = f"repository:{repository}:pull,push"
    return f"{scope} {pull_scope(mount_from)}" if mount_from else scope


class RegistryClient:
    """A registry. Methods raise RegistryError, and AuthenticationError where access is refused."""

    def __init__(
        self,
        registry: str,
        *,
        auth: Credentials | None = None,
        insecure: bool = False,
        warn: Callable[[str], None] | None = None,
    ) -> None:
        self.registry = registry
        self.takes_chunks = True
        """Whether large blobs may be sent in chunks; False once they were refused."""
        self._auth = auth
        self._transport = Transport(registry, insecure=insecure, warn=warn)
        self._lock = threading.Lock()

    def close(self) -> None:
        """Close connections. What other threads have under way ends at once, with an error."""
        self._transport.close()

    def repeated(self, action: Callable[[], Result]) -> Result:
        """Do something that may be done twice, again after transient errors, until the client is closed."""
        return self._transport.repeated(action)

    # Manifests

    def get_manifest(self, repository: str, version: str) -> tuple[Descriptor, bytes]:
        """Fetch a manifest or index by tag or digest. Raises IntegrityError, InvalidImageError."""
        name = f"{self.registry}/{repository}:{version}"

        def fetch() -> bytes:
            request = self._request(
                "GET", f"{repository}/manifests/{version}", pull_scope(repository), accept=ACCEPTED_MANIFESTS
            )
            with self._exchange(request, f"give the manifest of {name}").response as response:
                return self._read_small(response, MAX_MANIFEST_SIZE, name)

        data = self.repeated(fetch)
        if ":" in version:
            expected = parse_digest(version)
            hasher = new_hash(expected)
            hasher.update(data)
            if hasher.hexdigest() != hex_of(expected):
                raise IntegrityError(f"the manifest that {self.registry} gives for {name} has another digest")
            digest = expected
        else:
            digest = sha256_digest(data)
        media_type = parse_manifest(data, name).media_type
        return Descriptor(media_type=media_type, digest=digest, size=len(data)), data

    def put_manifest(self, repository: str, version: str, media_type: str, data: bytes) -> bool:
        """Store a manifest under a tag or digest. Tells whether the registry has indexed its subject."""
        request = self._request("PUT", f"{repository}/manifests/{version}", push_scope(repository))
        request = replace(
            request,
            headers={"Content-Type": media_type, "Content-Length": str(len(data))},
            body=lambda: iter([data]),
        )

        def store() -> bool:
            action = f"store the manifest {self.registry}/{repository}:{version}"
            return "OCI-Subject" in _finish(self._exchange(request, action).response).headers

        return self.repeated(store)

    def has_manifest(self, repository: str, version: str) -> bool:
        """Tell whether a manifest is there."""
        request = self._request(
            "HEAD", f"{repository}/manifests/{version}", pull_scope(repository), accept=ACCEPTED_MANIFESTS
        )
        return self._exists(request)

    # Blobs

    def has_blob(self, repository: str, digest: Digest) -> bool:
        """Tell whether it is known that a repository has a blob; not every registry lets itself be asked."""
        request = self._request("HEAD", f"{repository}/blobs/{digest}", push_scope(repository))
        return 200 <= _finish(self._converse(request).response).status < 300

    def open_blob(
        self,
        repository: str,
        descriptor: Descriptor,
        *,
        advance: Callable[[int], None] | None = None,
        sink: Sink | None = None,
    ) -> BinaryIO:
        """Open a blob as a stream that survives broken connections and verifies what it delivers."""
        stream = ResumingStream(self, repository, descriptor)
        return verified(stream, descriptor, blob_name(descriptor.digest), advance=advance, sink=sink)

    def get_blob(self, repository: str, digest: Digest, wanted: str = "") -> BaseHTTPResponse:
        """Start a download, of a range if ``wanted`` is one (RFC 9110, 14.2). The answer is not read yet.

        It may be more than that range, or another one.
        """
        request = self._request("GET", f"{repository}/blobs/{digest}", pull_scope(repository))
        if wanted:
            request = request.with_header("Range", wanted)
        return self._exchange(request, f"give blob {digest} of {repository}").response

    def warn(self, text: str) -> None:
        """Show a warning, each once."""
        self._transport.warn(text)

    # HTTP

    def open_session(self, path: str, scope: str, *, mounts: bool) -> Request | None:
        """Send the POST that begins an upload; return a request to where it goes on.

        None if ``mounts`` and the blob is there now (201; 202 opens an ordinary session). Where another site
        than the registry answers, that does not choose what our credentials are used for.
        """
        request = self._request("POST", path, scope).with_header("Content-Length", "0")
        answer = self._exchange(request, f"take an upload to {path.partition('/blobs/')[0]}")
        response = _finish(answer.response)
        if mounts and response.status == 201:
            return None
        location = response.headers.get("Location")
        if not location:
            raise RegistryError(f"{self.registry} opens an upload without telling where")
        return self._at(location, answer, scope)

    def send(self, request: Request, action: str) -> None:
        """Send any request to this registry, or to where it pointed."""
        _finish(self._exchange(request, action).response)

    def send_upload(self, request: Request, action: str) -> tuple[Request, int | None]:
        """Send a request of an upload session, or ask for its state.

        Returns a request to where it goes on, and how many bytes the registry has, where it says so. Raises
        LostSessionError.
        """
        answer = self._converse(request)
        if answer.response.status in LOST_SESSION:
            raise LostSessionError(str(self._error(answer, action)))
        response = _finish(self._required(answer, action).response)
        location = response.headers.get("Location")
        session = request
        if location and request.method != "PUT":  # that of a PUT is the blob's
            session = self._at(location, answer, request.scope)
        return replace(session, anonymous=request.anonymous or session.anonymous), _received(response)

    def _at(self, location: str, answer: Answer, scope: str) -> Request:
        """Return a request to where an answer sends an upload. Raises RegistryError."""
        url = join_url(answer.url, location)
        self._transport.check_url(url, answer.url)
        return Request(method="PUT", url=url, scope=scope, anonymous=answer.is_foreign)

    def get_document(self, path: str, repository: str, accept: str, limit: int) -> tuple[bytes, str]:
        """Fetch a small JSON document; returns it with the Link header (RFC 8288)."""
        request = self._request("GET", path, pull_scope(repository), accept=accept)

        def fetch() -> tuple[bytes, str]:
            with self._exchange(request, f"answer for {path}").response as response:
                return self._read_small(response, limit, path), response.headers.get("Link", "")

        return self.repeated(fetch)

    @cached_property
    def _base_url(self) -> str:
        return self._transport.base_url()

    @cached_property
    def _authenticator(self) -> Authenticator:
        base = self._base_url
        return Authenticator(
            self.registry, base, lambda: self._credential, lambda url: self._transport.check_url(url, base)
        )

    @cached_property
    def _credential(self) -> Credential:
        return (self._auth or Credentials.load()).for_registry(self.registry)

    def _request(self, method: Method, path: str, scope: str, accept: str | None = None) -> Request:
        with self._lock:
            url = f"{self._base_url}/v2/{path}"
        headers = {"Accept": accept} if accept else {}
        return Request(method=method, url=url, headers=headers, scope=scope)

    def _exists(self, request: Request) -> bool:
        def ask() -> bool:
            try:
                self.send(request, f"show {request.url.partition('/v2/')[2]}")
            except NotFoundError:
                return False
            return True

        return self.repeated(ask)

    def _exchange(self, request: Request, action: str) -> Answer:
        """Send a request with what authentication it takes; raises for every bad status."""
        return self._required(self._converse(request), action)

    def _required(self, answer: Answer, action: str) -> Answer:
        if not 200 <= answer.response.status < 300:
            raise self._error(answer, action)
        return answer

    def _error(self, answer: Answer, action: str) -> RegistryError:
        elsewhere = site_of(answer.url) if answer.is_foreign else None
        return error_of_response(answer.response, self.registry, action, elsewhere)

    def _converse(self, request: Request) -> Answer:
        with self._lock:  # or threads that start together would each make one, and lose its tokens
            authenticator = self._authenticator
        with closing(authenticator.flow(request)) as flow:
            outgoing = next(flow)
            while True:
                answer = self._transport.send(outgoing)
                try:
                    outgoing = flow.send(answer)
                except StopIteration:
                    return answer
                except BaseException:
                    answer.response.close()
                    raise
                _finish(answer.response)

    def _read_small(self, response: BaseHTTPResponse, limit: int, what: str) -> bytes:
        try:
            data = response.read(limit + 1)
        except http_errors.HTTPError as error:
            raise TransientError(
                f"the connection to {self.registry} broke: {type(error).__name__}"
            ) from error
        if len(data) > limit:
            raise InvalidImageError(f"{what}: {self.registry} sends more than {limit} bytes")
        return data


def _received(response: BaseHTTPResponse) -> int | None:
    """Return how many bytes an upload session has: ``Range: 0-END`` with the last one's number.

    The reference registry says 0-0 also of none (distribution, registry/handlers/blobupload.go).
    """
    found = _RANGE.fullmatch(response.headers.get("Range", ""))
    if not found:
        return None
    return int(found[1]) + 1 if int(found[1]) else 0


def _finish(response: BaseHTTPResponse) -> BaseHTTPResponse:
    """Read what is left, if it is little, so that the connection can be used again."""
    with suppress(http_errors.HTTPError):
        response.read(MAX_ERROR_BODY)
    response.close()
    return response
