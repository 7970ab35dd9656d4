"""Authentication as a conversation: a generator yields requests and is sent the answers.

Basic is RFC 7617, Bearer is RFC 6750 with the token service of the distribution project ("Docker Registry v2
authentication"). Tokens are kept by what they are good for, since one for one repository is refused by the
next, and are asked for again when they are old or refused.
"""

from __future__ import annotations

import base64
import re
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlencode, urlsplit, urlunsplit

from urllib3 import exceptions as http_errors

from enclavize.errors import AuthenticationError, InvalidImageError
from enclavize.oci.document import parse_document
from enclavize.oci.registry.address import origin_of
from enclavize.oci.registry.errors import TransientError, error_of_response, printable
from enclavize.oci.registry.transport import Request
from enclavize.oci.shape import Shape

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from enclavize.oci.registry.credentials import Credential
    from enclavize.oci.registry.transport import Answer

CLIENT_ID = "enclavize"
DEFAULT_LIFETIME = 60.0
"""Seconds a token lives whose service does not say, or nothing of use."""

SAFETY_MARGIN = 5.0
"""Seconds before its end at which a token counts as old; less for tokens that live shortly."""

MAX_LIFETIME = 10 * 365 * 24 * 3600
MAX_TOKEN_BODY = 1 << 20

_ANSWER_SHAPE = Shape(names="token access_token expires_in issued_at refresh_token")
_TOKEN = re.compile(r"[\x21-\x7e]+")
_SCHEME = re.compile(r"[\s,]*([A-Za-z][A-Za-z0-9-]*)(?=\s|,|$)")
_PARAMETER = re.compile(r'[\s,]*([A-Za-z_-]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,"]+))')


@dataclass(frozen=True, kw_only=True)
class Challenge:
    """What WWW-Authenticate asks for."""

    scheme: str
    realm: str
    service: str
    scope: str


@dataclass(frozen=True, kw_only=True)
class _Token:
    value: str
    expires: float


class Authenticator:
    """Credentials and tokens for one registry. Used by several threads at once."""

    def __init__(
        self,
        registry: str,
        base_url: str,
        credential: Callable[[], Credential],
        check_url: Callable[[str], None],
    ) -> None:
        self._registry = registry
        self._origin = origin_of(base_url)
        self._credential = credential
        self._check_url = check_url
        self._challenge: Challenge | None = None
        self._demanded: dict[str, str] = {}
        """What challenges have asked for, by what we would ask for: another one where names are mapped."""
        self._tokens: dict[tuple[str, str, str], _Token] = {}
        self._fetched: dict[tuple[str, str, str], threading.Lock] = {}
        """Held while a token is fetched: threads that want the same one wait for it."""
        self._lock = threading.Lock()

    def flow(self, request: Request) -> Generator[Request, Answer, None]:
        """Yield the requests that it takes; the answer to the last one is the answer to ``request``.

        Who gives up on the way closes it, or other threads would wait for what it holds.
        Only the registry itself decides who gets its credentials: a challenge of a storage service that it
        redirects to is not answered (CVE-2020-15157). Raises AuthenticationError where credentials are
        missing or refused.
        """
        if request.anonymous or origin_of(request.url) != self._origin:
            yield request
            return
        challenge, used = self._challenge, None
        if challenge:
            used = yield from self._authorization(challenge, request.scope, refused=None)
        answer = yield request.with_header("Authorization", used) if used else request
        if answer.response.status != 401 or answer.is_foreign:
            return
        challenge = parse_challenge(answer.response.headers.getlist("WWW-Authenticate"))
        if challenge is None:
            return
        self._challenge = challenge
        self._demanded[request.scope] = challenge.scope
        again = yield from self._authorization(challenge, request.scope, refused=used)
        if again and again != used:
            yield request.with_header("Authorization", again)

    def _authorization(
        self, challenge: Challenge, scope: str, *, refused: str | None
    ) -> Generator[Request, Answer, str | None]:
        """Return the value of the Authorization header, or None if there is nothing to offer."""
        if challenge.scheme == "basic":
            credential = self._credential()
            return _basic(credential) if credential.username else None
        scope = _united(scope, self._demanded.get(scope, ""))
        key = (challenge.realm, challenge.service, scope)
        with self._lock:
            fetched = self._fetched.setdefault(key, threading.Lock())
        with fetched:
            token = self._tokens.get(key)
            if token is None or token.expires <= time.monotonic() or f"Bearer {token.value}" == refused:
                token = self._tokens[key] = yield from self._fetch_token(challenge, scope)
        return f"Bearer {token.value}"

    def _fetch_token(self, challenge: Challenge, scope: str) -> Generator[Request, Answer, _Token]:
        self._check_url(challenge.realm)
        started = time.monotonic()
        answer = yield _token_request(challenge, scope, self._credential())
        response = answer.response
        if response.status != 200:
            raise _token_refused(error_of_response(response, self._registry, "give a token"), self._registry)
        try:
            value, lifetime = _parse_token(response.read(MAX_TOKEN_BODY))
        except http_errors.HTTPError as error:
            raise TransientError(f"the token service of {self._registry} breaks off") from error
        except InvalidImageError as error:
            raise AuthenticationError(
                f"the token service of {self._registry} gives no token: {error}"
            ) from error
        return _Token(value=value, expires=started + lifetime - min(SAFETY_MARGIN, lifetime / 4))


def _united(ours: str, demanded: str) -> str:
    """Return all scopes, ours first; one that a challenge repeats word for word stands once."""
    return " ".join(dict.fromkeys([*ours.split(), *demanded.split()]))


def _parse_token(body: bytes) -> tuple[str, float]:
    """Return the token and its lifetime in seconds. Raises InvalidImageError."""
    answer = parse_document(body, "the answer", _ANSWER_SHAPE)
    value = answer.text("token") or answer.text("access_token")
    if not _TOKEN.fullmatch(value):  # it becomes part of a header
        raise answer.wrong("token", "a token")
    lifetime = answer.members.get("expires_in")
    if not isinstance(lifetime, int | float) or lifetime <= 0:
        return value, DEFAULT_LIFETIME
    return value, float(min(lifetime, MAX_LIFETIME))


def parse_challenge(headers: list[str]) -> Challenge | None:
    """Return the challenge to answer, Bearer rather than Basic, or None.

    Each header may have several (RFC 9110, 11.6.1); of several of one scheme the first one counts.
    """
    found: dict[str, Challenge] = {}
    for header in headers:
        position = 0
        while start := _SCHEME.match(header, position):
            position = start.end()
            parameters: dict[str, str] = {}
            while match := _PARAMETER.match(header, position):
                quoted, plain = match[2], match[3]
                value = plain if quoted is None else re.sub(r"\\(.)", r"\1", quoted)
                parameters.setdefault(match[1].lower(), value)
                position = match.end()
            scheme = start[1].lower()
            challenge = Challenge(
                scheme=scheme,
                realm=parameters.get("realm", ""),
                service=parameters.get("service", ""),
                scope=parameters.get("scope", ""),
            )
            if challenge.realm or scheme != "bearer":
                found.setdefault(scheme, challenge)
    return found.get("bearer") or found.get("basic")


def _token_request(challenge: Challenge, scope: str, credential: Credential) -> Request:
    """Return the request for a token: OAuth2 for identity tokens, else the GET that all services know."""
    if credential.identity_token:
        form = urlencode(
            {
                "grant_type": "refresh_token",
                "service": challenge.service,
                "client_id": CLIENT_ID,
                "scope": scope,
                "refresh_token": credential.identity_token,
            }
        ).encode()
        return Request(
            method="POST",
            url=challenge.realm,
            headers={"Content-Type": "application/x-www-form-urlencoded", "Content-Length": str(len(form))},
            body=lambda: iter([form]),
        )
    parts = urlsplit(challenge.realm)
    query = [("service", challenge.service)] if challenge.service else []
    query += [("scope", item) for item in scope.split(" ") if item]
    if credential.username:
        query.append(("account", credential.username))
    joined = "&".join(part for part in (parts.query, urlencode(query)) if part)
    request = Request(method="GET", url=urlunsplit(parts._replace(query=joined)))
    return request.with_header("Authorization", _basic(credential)) if credential.username else request


def _token_refused(error: Exception, registry: str) -> Exception:
    """Say of a refused log-in that it is one, whatever the service called it."""
    if isinstance(error, AuthenticationError):
        return AuthenticationError(
            f"{registry} does not accept these credentials ({printable(str(error))})",
            hint=f"log in with: docker login {registry}",
        )
    return error


def _basic(credential: Credential) -> str:
    text = f"{credential.username}:{credential.password}"
    return f"Basic {base64.b64encode(text.encode()).decode()}"
