"""The HTTP side of the service."""

from __future__ import annotations

import logging
import math
import secrets
import time
from http import HTTPStatus
from typing import TYPE_CHECKING

from starlette.applications import Starlette
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from enclavize.sgx.sigstruct import SIGNED_SIZE
from enclavize.signing.service.clients import Authenticator, RateLimiter
from enclavize.signing.service.core import RefusedError
from enclavize.signing.service.protocol import (
    HEALTH_PATH,
    PING_PATH,
    PUBLIC_KEY_PATH,
    SIGN_PATH,
    build_error,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from starlette.requests import Request

    from enclavize.signing.service.config import Client, ServiceConfig
    from enclavize.signing.service.core import SigningService

PEER_CERTIFICATE = "peer_certificate"
"""Name of the DER certificate in the state of a request; the server puts it there after TLS verified it."""

_LOG = logging.getLogger("enclavize.signer")


def make_app(config: ServiceConfig, service: SigningService) -> Starlette:
    """The ASGI application."""
    handlers = _Handlers(config, service)
    return Starlette(
        routes=[
            Route(SIGN_PATH, handlers.endpoint(handlers.sign), methods=["POST"]),
            Route(PUBLIC_KEY_PATH, handlers.endpoint(handlers.public_key), methods=["GET"]),
            Route(HEALTH_PATH, handlers.health, methods=["GET"]),
            Route(PING_PATH, lambda _request: PlainTextResponse("ping"), methods=["GET"]),
            Route("/", lambda _request: Response(), methods=["HEAD"]),
        ]
    )


class _Handlers:
    def __init__(self, config: ServiceConfig, service: SigningService) -> None:
        self._service = service
        self._authenticator = Authenticator(config.clients)
        self._limiter = RateLimiter()

    def endpoint(
        self, handler: Callable[[Request, Client, str], Awaitable[Response]]
    ) -> Callable[[Request], Awaitable[Response]]:
        """Wraps what only known clients may call, at their rate; every call is logged."""

        async def handle(request: Request) -> Response:
            start = time.monotonic()
            request_id, client, reason = secrets.token_hex(8), None, ""
            try:
                client = self._identify(request)
                self._limit(client)
                response = await handler(request, client, request_id)
            except RefusedError as refusal:
                reason = refusal.reason
                # The body may not have been read: the connection cannot go on.
                headers = {**refusal.headers, "Connection": "close"}
                response = Response(
                    build_error(reason), refusal.status, headers, media_type="application/json"
                )
            response.headers["X-Request-Id"] = request_id
            _LOG.info(
                "request",
                extra={
                    "facts": {
                        "request": request_id,
                        "method": request.method,
                        "path": request.url.path,
                        "status": response.status_code,
                        "client": client.name if client else None,
                        "address": _address(request),
                        "milliseconds": round((time.monotonic() - start) * 1000, 1),
                        **({"reason": reason} if reason else {}),
                    }
                },
            )
            return response

        return handle

    async def sign(self, request: Request, client: Client, request_id: str) -> Response:
        body = await _body(request)
        facts = {"request": request_id, "address": _address(request)}
        answer = await self._service.sign(client, body, facts)
        return Response(answer, media_type="application/json")

    async def public_key(self, _request: Request, client: Client, _request_id: str) -> Response:
        return PlainTextResponse(self._service.public_key(client))

    def health(self, _request: Request) -> Response:
        if self._service.is_healthy:
            return PlainTextResponse("ok")
        return PlainTextResponse("the audit log cannot be written", HTTPStatus.SERVICE_UNAVAILABLE)

    def _identify(self, request: Request) -> Client:
        certificate = getattr(request.state, PEER_CERTIFICATE, None)
        client = self._authenticator.identify(request.headers.get("authorization"), certificate)
        if client is None:
            raise RefusedError(
                HTTPStatus.UNAUTHORIZED,
                "a valid token or client certificate is missing",
                {"WWW-Authenticate": "Bearer"},
            )
        return client

    def _limit(self, client: Client) -> None:
        if delay := self._limiter.delay(client):
            raise RefusedError(
                HTTPStatus.TOO_MANY_REQUESTS,
                f"more than {client.requests_per_minute} requests a minute",
                {"Retry-After": str(math.ceil(delay))},
            )


async def _body(request: Request) -> bytes:
    """The body, as long as it can be material; the server limits how long it may take."""
    from starlette.requests import ClientDisconnect

    body = bytearray()
    try:
        async for chunk in request.stream():
            body += chunk
            if len(body) > SIGNED_SIZE:
                raise RefusedError(
                    HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"signing material has {SIGNED_SIZE} bytes"
                )
    except ClientDisconnect as error:
        raise RefusedError(HTTPStatus.BAD_REQUEST, "the client went away") from error
    return bytes(body)


def _address(request: Request) -> str:
    return f"{request.client.host}:{request.client.port}" if request.client else ""
