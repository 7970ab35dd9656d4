"""The HTTP side of the service."""

from __future__ import annotations

import asyncio
import logging
import math
import secrets
import time
from http import HTTPStatus
from typing import TYPE_CHECKING

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from enclavize.sgx.sigstruct import SIGNED_SIZE
from enclavize.signing.service.clients import Authenticator, ExpiredTokenError, RateLimiter
from enclavize.signing.service.core import RefusedError
from enclavize.signing.service.protocol import (
    HEALTH_PATH,
    MAX_IMAGE_REQUEST_SIZE,
    PING_PATH,
    PUBLIC_KEY_PATH,
    SIGN_IMAGE_PATH,
    SIGN_PATH,
    build_error,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from starlette.requests import Request

    from enclavize.signing.service.config import Client, ServiceConfig
    from enclavize.signing.service.core import SigningService

PEER_CERTIFICATE = "peer_certificate"
"""Name of the DER certificate in the state of a request; the server puts it there after TLS verified it."""

_LOG = logging.getLogger("enclavize.signer")


def make_app(config: ServiceConfig, service: SigningService) -> Starlette:
    """The ASGI application."""
    handlers = _Handlers(config, service)
    app = Starlette(
        routes=[
            Route(SIGN_PATH, handlers.endpoint(handlers.sign), methods=["POST"]),
            Route(SIGN_IMAGE_PATH, handlers.endpoint(handlers.sign_image), methods=["POST"]),
            Route(PUBLIC_KEY_PATH, handlers.endpoint(handlers.public_key), methods=["GET"]),
            Route(HEALTH_PATH, handlers.health, methods=["GET"]),
            Route(PING_PATH, lambda _request: PlainTextResponse("ping"), methods=["GET"]),
            Route("/", lambda _request: Response(), methods=["HEAD"]),
        ],
        exception_handlers={HTTPException: _no_endpoint, Exception: _defect},
    )
    app.router.redirect_slashes = False
    return app


def error_response(status: int, reason: str, headers: Mapping[str, str] | None = None) -> Response:
    """A refusal. The body may not have been read: the connection cannot go on."""
    return Response(
        build_error(reason), status, {**(headers or {}), "Connection": "close"}, media_type="application/json"
    )


def _no_endpoint(_request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return error_response(error.status_code, error.detail, error.headers)


def _defect(_request: Request, _error: Exception) -> Response:
    """Starlette lets the server log the exception."""
    return error_response(HTTPStatus.INTERNAL_SERVER_ERROR, "an internal error")


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
                response = error_response(refusal.status, reason, refusal.headers)
            except asyncio.CancelledError:  # only the end of the service cancels requests
                reason = "the service ends"
                response = error_response(HTTPStatus.SERVICE_UNAVAILABLE, reason)
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
        body = await _body(request, SIGNED_SIZE, "signing material has")
        facts = {"request": request_id, "address": _address(request)}
        answer = await self._service.sign(client, body, facts)
        return Response(answer, media_type="application/json")

    async def sign_image(self, request: Request, client: Client, request_id: str) -> Response:
        body = await _body(request, MAX_IMAGE_REQUEST_SIZE, "a request to sign an image has at most")
        facts = {"request": request_id, "address": _address(request)}
        answer = await self._service.sign_image(client, body, facts)
        return Response(answer, media_type="application/json")

    async def public_key(self, _request: Request, client: Client, _request_id: str) -> Response:
        return PlainTextResponse(self._service.public_key(client))

    def health(self, _request: Request) -> Response:
        if self._service.is_healthy:
            return PlainTextResponse("ok")
        return error_response(HTTPStatus.SERVICE_UNAVAILABLE, "the audit log cannot be written")

    def _identify(self, request: Request) -> Client:
        certificate = getattr(request.state, PEER_CERTIFICATE, None)
        reason = "a valid token or client certificate is missing"
        try:
            client = self._authenticator.identify(request.headers.get("authorization"), certificate)
        except ExpiredTokenError as error:
            client, reason = None, str(error)
        if client is None:
            raise RefusedError(HTTPStatus.UNAUTHORIZED, reason, {"WWW-Authenticate": "Bearer"})
        return client

    def _limit(self, client: Client) -> None:
        if delay := self._limiter.delay(client):
            raise RefusedError(
                HTTPStatus.TOO_MANY_REQUESTS,
                f"more than {client.requests_per_minute} requests a minute",
                {"Retry-After": str(math.ceil(delay))},
            )


async def _body(request: Request, limit: int, what: str) -> bytes:
    """The body, of at most ``limit`` bytes; the server limits how long it may take."""
    from starlette.requests import ClientDisconnect

    body = bytearray()
    try:
        async for chunk in request.stream():
            body += chunk
            if len(body) > limit:
                raise RefusedError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"{what} {limit} bytes")
    except ClientDisconnect as error:
        raise RefusedError(HTTPStatus.BAD_REQUEST, "the client went away") from error
    return bytes(body)


def _address(request: Request) -> str:
    return f"{request.client.host}:{request.client.port}" if request.client else ""
