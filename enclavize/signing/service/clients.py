"""Who is asking, and how often."""

from __future__ import annotations

import datetime as dt
import hashlib
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from enclavize.signing.service.config import Client

_BEARER = "bearer "


def hash_token(token: str) -> str:
    """As it is in the configuration. A fast hash will do: tokens have 256 random bits."""
    return hashlib.sha256(token.encode()).hexdigest()


class ExpiredTokenError(Exception):
    """The token was right until the time that the text names."""


class Authenticator:
    """Finds the client that a bearer token and a verified TLS certificate belong to.

    Only hashes are compared, so that how long it takes tells nothing about a token.
    """

    def __init__(
        self,
        clients: Iterable[Client],
        clock: Callable[[], dt.datetime] = lambda: dt.datetime.now(dt.UTC),
    ) -> None:
        self._clock = clock
        self._by_token: dict[str, Client] = {}
        self._by_certificate: dict[str, Client] = {}
        for client in clients:
            self._by_token |= dict.fromkeys(client.token_hashes, client)
            if not client.token_hashes:
                self._by_certificate |= dict.fromkeys(client.certificate_hashes, client)

    def identify(self, authorization: str | None, certificate: bytes | None) -> Client | None:
        """``authorization`` is the header, ``certificate`` DER. Each that is presented must be right.

        Raises ``ExpiredTokenError``.
        """
        shown = hashlib.sha256(certificate).hexdigest() if certificate else ""
        if authorization is None:
            return self._by_certificate.get(shown)
        if authorization[: len(_BEARER)].lower() != _BEARER:
            return None
        token = hash_token(authorization[len(_BEARER) :].strip())
        client = self._by_token.get(token)
        if client and client.certificate_hashes and shown not in client.certificate_hashes:
            return None
        if client and (end := client.token_expiry.get(token)) and self._clock() >= end:
            raise ExpiredTokenError(f"the token of {client.name} expired at {end.isoformat()}")
        return client


class RateLimiter:
    """A token bucket for each client: a minute's requests at once, then evenly."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._buckets: dict[str, tuple[float, float]] = {}

    def delay(self, client: Client) -> float:
        """0 if the request may go on, and is counted; else the seconds after which one may."""
        now, limit = self._clock(), client.requests_per_minute
        level, then = self._buckets.get(client.name, (float(limit), now))
        level = min(limit, level + (now - then) * limit / 60)
        if level < 1:
            self._buckets[client.name] = level, now
            return (1 - level) * 60 / limit
        self._buckets[client.name] = level - 1, now
        return 0.0
