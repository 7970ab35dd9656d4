"""A download of a blob that goes on where it broke."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from urllib3 import exceptions as http_errors

from enclavize.errors import AuthenticationError, IntegrityError, NotFoundError, RegistryError
from enclavize.oci.registry.errors import TransientError
from enclavize.oci.stream import CHUNK_SIZE, blob_name, size_problem

if TYPE_CHECKING:
    from urllib3 import BaseHTTPResponse

    from enclavize.oci.descriptor import Descriptor
    from enclavize.oci.registry.client import RegistryClient

MAX_BREAKS = 50
"""Broken connections that one download survives."""

MAX_RANGE_FAILURES = 2
"""How often a range may fail in a way that may pass, until it is asked for in another way."""

_CONTENT_RANGE = re.compile(r"\s*bytes (\d{1,19})-")


class ResumingStream:
    """What ``verified`` reads a blob from.

    Registries, storage services and caches differ in what they do with ranges. After a break, the rest is
    asked for by an open range; where that is refused by a closed one, and then everything once more, of which
    what is there already is passed over. The digest of all bytes tells whether they belong together.
    """

    def __init__(self, client: RegistryClient, repository: str, descriptor: Descriptor) -> None:
        self._client = client
        self._repository = repository
        self._descriptor = descriptor
        self._count = 0
        self._breaks = 0
        self._ranges = ["bytes={0}-", "bytes={0}-{1}"]
        """Forms of a range that are still worth a try."""
        self._failures = 0
        self._response: BaseHTTPResponse | None = client.repeated(self._connect)
        self._check_announced_size(self._response)

    def read(self, size: int, /) -> bytes:
        """Return up to ``size`` bytes."""
        data = self._client.repeated(lambda: self._read_once(size))
        self._count += len(data)
        return data

    def close(self) -> None:
        """Close the connection if bytes are left in it, else give it back."""
        if self._response and self._count == self._descriptor.size:
            self._response.release_conn()
        elif self._response:
            self._response.close()

    def _connect(self) -> BaseHTTPResponse:
        """Return an answer that goes on where the last one broke."""
        while self._count and self._ranges:
            response = self._ask_for_rest(self._ranges[0])
            if response is not None:
                return response
            del self._ranges[0]
            self._failures = 0
        if self._count:
            self._client.warn(f"{self._client.registry} cannot resume downloads: one starts anew")
        response = self._client.get_blob(self._repository, self._descriptor.digest)
        self._pass_over(response, self._count)
        return response

    def _ask_for_rest(self, form: str) -> BaseHTTPResponse | None:
        """Ask for what is missing; None if that cannot be had in this way."""
        wanted = form.format(self._count, self._descriptor.size - 1)
        try:
            response = self._client.get_blob(self._repository, self._descriptor.digest, wanted)
        except (NotFoundError, AuthenticationError):
            raise
        except TransientError:
            self._failures += 1
            if self._failures < MAX_RANGE_FAILURES:
                raise
            return None
        except RegistryError:
            return None
        found = _CONTENT_RANGE.match(response.headers.get("Content-Range", ""))
        start = int(found[1]) if found else 0
        if (response.status == 206 and not found) or start > self._count:
            response.close()
            return None
        self._pass_over(response, self._count - start)
        return response

    def _pass_over(self, response: BaseHTTPResponse, size: int) -> None:
        """Read bytes that are there already."""
        while size:
            data = self._received(response, min(size, CHUNK_SIZE))
            if not data:
                raise IntegrityError(f"{self._client.registry} gives another blob than before: a shorter one")
            size -= len(data)

    def _check_announced_size(self, response: BaseHTTPResponse) -> None:
        """Refuse early: the size bounds what a layer may unpack to."""
        announced = response.headers.get("Content-Length", "")
        if announced.isdecimal() and (problem := size_problem(int(announced), self._descriptor)):
            response.close()
            raise IntegrityError(f"{blob_name(self._descriptor.digest)} of {self._client.registry} {problem}")

    def _read_once(self, size: int) -> bytes:
        is_whole = self._count == self._descriptor.size
        if self._response is None:
            if is_whole:
                return b""
            self._response = self._connect()
        try:
            return self._received(self._response, size)
        except RegistryError:
            self._response = None
            if is_whole:  # what is missing is the mark of the end
                return b""
            raise

    def _received(self, response: BaseHTTPResponse, size: int) -> bytes:
        try:
            data = response.read(size)
        except (http_errors.HTTPError, OSError) as error:
            response.close()
            raise self._broken() from error
        if not data and self._count < self._descriptor.size and not _tells_its_end(response):
            response.close()
            raise self._broken()
        return data

    def _broken(self) -> RegistryError:
        self._breaks += 1
        kind = TransientError if self._breaks <= MAX_BREAKS else RegistryError
        return kind(
            f"the connection to {self._client.registry} broke after {self._count} of "
            f"{self._descriptor.size} bytes of blob {self._descriptor.digest}"
        )


def _tells_its_end(response: BaseHTTPResponse) -> bool:
    """Tell whether an answer that was cut off can be told from one that is whole (RFC 9112, 6.3)."""
    return "Content-Length" in response.headers or "Transfer-Encoding" in response.headers
