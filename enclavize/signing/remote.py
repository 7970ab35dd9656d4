"""The client of a signing service: HTTPS, a token or a client certificate, and no trust in the answer."""

from __future__ import annotations

import time
from functools import cached_property
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import urllib3
from urllib3.exceptions import ConnectTimeoutError, HTTPError, NewConnectionError, SSLError

from enclavize import __version__
from enclavize.errors import EnclavizeError, SigningRefusedError, SigningServiceError, UsageError
from enclavize.signing.image_keys import is_signed_by
from enclavize.signing.image_payload import build_payload
from enclavize.signing.keys import check_sgx_key
from enclavize.signing.secret_file import read_secret
from enclavize.signing.service.protocol import (
    MAX_ANSWER_SIZE,
    PUBLIC_KEY_PATH,
    SIGN_IMAGE_PATH,
    SIGN_PATH,
    build_image_request,
    parse_answer,
    parse_error,
)

if TYPE_CHECKING:
    from pathlib import Path

    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

    from enclavize.signing.material import SigningMaterial

SCHEME = "https://"
CONNECT_TIMEOUT = 10.0
READ_TIMEOUT = 60.0  # seconds; a token may be slow
ATTEMPTS = 4
FIRST_DELAY = 0.5
MAX_DELAY = 30.0  # seconds between attempts, whatever Retry-After asks for

_TRY_LATER = (429, 503)
_UNAUTHORIZED = 401
_NOT_FOUND = 404
_REFUSALS = (400, 403, 413, 429)
"""What the service says of a request of a client that it knows."""


class RemoteSigner:
    """Signs at a service. Repeated is only what the service has certainly not served: a connection that was
    not made, and the answers "too many requests" and "unavailable". A redirect is an error: the token is for
    this host.
    """

    def __init__(
        self,
        url: str,
        *,
        token_file: Path | None = None,
        ca: Path | None = None,
        certificate: Path | None = None,
    ) -> None:
        """``url`` is https://HOST[:PORT][/PREFIX]. ``ca`` replaces the system's certificate authorities;
        ``certificate`` is a client certificate with its key, in one PEM file.

        Raises ``UsageError``.
        """
        self._url = _checked_url(url)
        self._headers = {"User-Agent": f"enclavize/{__version__}", "Content-Type": "text/plain"}
        self._token_file = token_file
        if token_file:
            self._headers["Authorization"] = f"Bearer {read_token(token_file)}"
        for path in filter(None, (ca, certificate)):
            if not path.is_file():
                raise UsageError(f"there is no file {path}")
        self._pool = urllib3.PoolManager(
            timeout=urllib3.Timeout(connect=CONNECT_TIMEOUT, read=READ_TIMEOUT),
            cert_reqs="CERT_REQUIRED",
            ca_certs=str(ca) if ca else None,
            cert_file=str(certificate) if certificate else None,
        )

    @cached_property
    def public_key(self) -> RSAPublicKey:
        """The key that the service signs with for us, asked once.

        Raises ``SigningServiceError``, and ``SigningRefusedError`` for one that SGX does not take.
        """
        return self._parse_key(self._request("GET", PUBLIC_KEY_PATH))

    def sign(self, material: SigningMaterial) -> bytes:
        """Raises ``SigningRefusedError`` with the service's reason, or if its answer does not verify, and
        ``SigningServiceError`` if it cannot be reached or does not know us.
        """
        signature, pem = parse_answer(self._request("POST", SIGN_PATH, material.header_and_body))
        if self._parse_key(pem) != self.public_key:
            raise SigningRefusedError(f"{self._url} signed with another key than the one it shows")
        try:
            material.sigstruct.with_signature(signature, self.public_key)
        except EnclavizeError as error:
            raise SigningRefusedError(f"the answer of {self._url} is no signature: {error}") from error
        return signature

    def sign_image(self, name: str, digest: str) -> bytes:
        """The service builds what it signs. Raises as ``sign``, and ``UsageError`` for no name or digest."""
        payload = build_payload(name, digest)
        signature, pem = parse_answer(
            self._request("POST", SIGN_IMAGE_PATH, build_image_request(name, digest))
        )
        if self._parse_key(pem) != self.public_key:
            raise SigningRefusedError(f"{self._url} signed with another key than the one it shows")
        if not is_signed_by(self.public_key, payload, signature):
            raise SigningRefusedError(f"the answer of {self._url} is no signature of {name}@{digest}")
        return signature

    def _parse_key(self, pem: bytes) -> RSAPublicKey:
        from cryptography.exceptions import UnsupportedAlgorithm
        from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
        from cryptography.hazmat.primitives.serialization import load_pem_public_key

        try:
            key = load_pem_public_key(pem)
        except (ValueError, UnsupportedAlgorithm) as error:
            raise SigningRefusedError(f"{self._url} does not show a public key in PEM format") from error
        if not isinstance(key, RSAPublicKey):
            raise SigningRefusedError(f"{self._url} does not sign with RSA, which SGX wants")
        check_sgx_key(key, f"of {self._url}")
        return key

    def _request(self, method: str, path: str, body: bytes | None = None) -> bytes:
        delay = FIRST_DELAY
        for attempt in range(1, ATTEMPTS + 1):
            try:
                status, data, wait = self._once(method, path, body)
            except SSLError as error:
                raise SigningServiceError(
                    f"{self._url}: the TLS connection fails: {error}",
                    hint="Name the certificate authority with --signer-ca.",
                ) from error
            except (NewConnectionError, ConnectTimeoutError) as error:
                if attempt == ATTEMPTS:
                    raise SigningServiceError(f"{self._url} cannot be reached: {error}") from error
                wait = delay
            except HTTPError as error:
                raise SigningServiceError(f"{self._url}: the connection broke: {error}") from error
            else:
                if status == 200:
                    return data
                if status not in _TRY_LATER or attempt == ATTEMPTS:
                    raise self._refusal(path, status, data)
            time.sleep(min(max(wait, delay), MAX_DELAY))
            delay *= 2
        raise AssertionError("unreachable")

    def _once(self, method: str, path: str, body: bytes | None) -> tuple[int, bytes, float]:
        """Status, body, and the seconds that Retry-After asks for."""
        response = self._pool.request(
            method,
            self._url + path,
            body=body,
            headers=self._headers,
            redirect=False,
            retries=False,
            preload_content=False,
        )
        try:
            data = response.read(MAX_ANSWER_SIZE + 1)
        finally:
            response.release_conn()
        if len(data) > MAX_ANSWER_SIZE:
            response.close()
            raise SigningRefusedError(f"{self._url} answers with more than {MAX_ANSWER_SIZE} bytes")
        wait = response.headers.get("Retry-After", "")
        return response.status, data, float(wait) if wait.isascii() and wait.isdigit() else 0.0

    def _refusal(self, path: str, status: int, data: bytes) -> EnclavizeError:
        reason = parse_error(data) or "no reason given"
        if status in _REFUSALS:
            return SigningRefusedError(f"{self._url} refuses with status {status}: {reason}")
        if status == _NOT_FOUND and path == SIGN_IMAGE_PATH:
            return SigningRefusedError(f"{self._url} does not sign images: it has no {path}")
        hint = None
        if status == _UNAUTHORIZED:
            hint = "Give --signer-token-file, or --signer-certificate."
            if self._token_file:
                hint = f"Put a token that the service knows into {self._token_file}."
        return SigningServiceError(f"{self._url} answers with status {status}: {reason}", hint=hint)


def _checked_url(url: str) -> str:
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError as error:
        raise UsageError(f"the signing service {url[:200]!r} is no address: {error}") from error
    if parts.scheme != "https" or not parts.hostname or parts.query or parts.fragment:
        raise UsageError(f"the signing service {url[:200]!r} must be https://HOST[:PORT]")
    if parts.username is not None:
        raise UsageError("a secret does not belong into the address of the signing service")
    return url.rstrip("/")


def read_token(path: Path) -> str:
    """The token in the first line of ``path``. Raises ``UsageError``."""
    token = read_secret(path, "token").strip()
    if not token or not all(0x21 <= byte <= 0x7E for byte in token):
        raise UsageError(f"{path} has no token in its first line")
    return token.decode()
