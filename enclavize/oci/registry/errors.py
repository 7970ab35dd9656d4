"""Error answers of registries (distribution-spec, "Error Codes"), in words and with a way out."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING

from enclavize.errors import AuthenticationError, InvalidImageError, NotFoundError, RegistryError
from enclavize.oci.document import parse_document
from enclavize.oci.shape import Shape

if TYPE_CHECKING:
    from urllib3 import BaseHTTPResponse

MAX_ERROR_BODY = 64 << 10
MAX_MESSAGE_LENGTH = 500

_BODY_SHAPE = Shape(names="", below={"errors": Shape(names="code message detail")})

TRANSIENT_STATUSES = frozenset({408, 429, 500, 502, 503, 504})


class TransientError(RegistryError):
    """A failure that may be gone in a moment. ``retry_after`` is what the registry asks for, in seconds."""

    def __init__(self, message: str, *, hint: str | None = None, retry_after: float | None = None) -> None:
        super().__init__(message, hint=hint)
        self.retry_after = retry_after


class LostSessionError(RegistryError):
    """The registry knows nothing any more of an upload, or has less of it than it has got."""


def printable(text: str) -> str:
    """Return text of a stranger so that it cannot steer a terminal or flood it."""
    shown = "".join(character if character.isprintable() else " " for character in text)
    return shown[:MAX_MESSAGE_LENGTH]


def error_of_response(
    response: BaseHTTPResponse, registry: str, action: str, elsewhere: str | None = None
) -> RegistryError:
    """Return the error for an answer with a bad status; reads and closes the response.

    ``elsewhere`` is the site that gave it, where the registry redirected: to log in does not help there.
    """
    try:
        body = response.read(MAX_ERROR_BODY)
    except Exception:  # noqa: BLE001 - the status alone says what happened
        body = b""
    finally:
        response.close()
    message = f"{registry} refused to {action}: {_describe(response.status, body)}"
    if elsewhere:
        reason = _describe(response.status, b"")
        message = f"{elsewhere}, where {registry} redirects to, refused to {action}: {reason}"
    match response.status:
        case 401 | 403 if elsewhere:
            return RegistryError(message)
        case 401:
            return AuthenticationError(message, hint=f"log in with: docker login {registry}")
        case 403:
            return AuthenticationError(
                message, hint=f"check your rights there, or log in as another user: docker login {registry}"
            )
        case 404:
            return NotFoundError(message, hint="check the name and the tag")
        case status if status in TRANSIENT_STATUSES:
            return TransientError(message, retry_after=_retry_after(response))
        case _:
            return RegistryError(message)


def _describe(status: int, body: bytes) -> str:
    """Return ``CODE: message`` of the first error in the body, or the status where there is none."""
    try:
        first, *_ = parse_document(body, "the answer", _BODY_SHAPE).documents("errors")
        text = ": ".join(filter(None, (first.text("code"), first.text("message"))))
    except (InvalidImageError, ValueError):  # ValueError: the list is empty
        text = ""
    if not text:
        phrase = HTTPStatus(status).phrase if status in HTTPStatus.__members__.values() else ""
        return f"HTTP status {status} {phrase}".rstrip()
    return f"{printable(text)} (HTTP status {status})"


def _retry_after(response: BaseHTTPResponse) -> float | None:
    """Parse Retry-After, seconds or a date (RFC 9110, 10.2.3)."""
    from urllib3 import Retry

    value = response.headers.get("Retry-After")
    try:
        return Retry().parse_retry_after(value) if value else None
    except Exception:  # noqa: BLE001 - a header that nobody can read asks for nothing
        return None
