"""What stands before every request: host, origin and token, size and pace of the body, security headers.

Plain ASGI, so that it holds for the API, the page and whatever is mounted later. Left out: what a request means.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterable
from http.cookies import CookieError, SimpleCookie
from typing import Any

from starlette.datastructures import Headers, QueryParams
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.security import DATA_POLICY, HEADERS, PAGE_POLICY, TOKEN_COOKIE, Gatekeeper, bearer

DATA_PATHS = ("/v1", "/healthz", "/openapi.json", "/docs", "/mcp", "/login")
_OPEN_PATHS = ("/healthz", "/login")
_SAFE_METHODS = ("GET", "HEAD", "OPTIONS")
_STATUS_TYPES = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}


class Guard:
    """ASGI middleware.

    Args:
        app: what is guarded.
        gatekeeper: see `security.Gatekeeper`.
        api_bytes, page_bytes: the most that a body to the API, or to the page (several files), may have.
        idle_seconds: between two pieces of a body. body_seconds: for a whole body.
    """

    def __init__(
        self,
        app: ASGIApp,
        gatekeeper: Gatekeeper,
        *,
        api_bytes: int,
        page_bytes: int,
        idle_seconds: float = 20.0,
        body_seconds: float = 300.0,
    ) -> None:
        self._app = app
        self._gate = gatekeeper
        self._bytes = {True: api_bytes, False: page_bytes}
        self._idle = idle_seconds
        self._whole = body_seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":  # nothing here speaks it
            await receive()
            await send({"type": "websocket.close", "code": 1008})
            return
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers, path = Headers(scope=scope), scope["path"]
        data = any(path == p or path.startswith(p + "/") for p in DATA_PATHS)
        send = _with_headers(send, DATA_POLICY if data else PAGE_POLICY, data)
        refusal = self._refusal(scope, headers, path)
        if refusal is not None:
            await respond(send, *refusal)
            return
        await self._limited(scope, receive, send, headers, self._bytes[data])

    def _refusal(self, scope: Scope, headers: Headers, path: str) -> tuple[int, str, str, dict[str, str]] | None:
        """(status, code, message, headers) of the first reason not to let a request in."""
        host = headers.get("host")
        if not self._gate.host_allowed(host):
            return 403, "wrong_host", "this server does not answer to that host name; use the address it printed", {}
        origin, site = headers.get("origin"), headers.get("sec-fetch-site")
        if scope["method"] not in _SAFE_METHODS and not self._gate.origin_allowed(origin, host, site):
            return 403, "wrong_origin", "a page of another site may not use this server; open its own page", {}
        if self._gate.token is None or path in _OPEN_PATHS:
            return None
        address = (scope.get("client") or ("", 0))[0]
        offered = bearer(headers.get("authorization")) or _cookie(headers)
        if scope["method"] == "GET" and offered is None:
            offered = QueryParams(scope.get("query_string", b"")).get("token")
        wait = self._gate.wait_for(address)
        if wait:
            return 429, "too_many_guesses", f"too many wrong tokens; wait {wait} s", {"retry-after": str(wait)}
        if self._gate.token_allowed(offered):
            return None
        if offered is not None:
            self._gate.failed(address)
        message = "a token is needed: `Authorization: Bearer TOKEN`, or open /login in a browser"
        return 401, "invalid_token", message, {"www-authenticate": "Bearer"}

    async def _limited(self, scope: Scope, receive: Receive, send: Send, headers: Headers, most: int) -> None:
        """Runs the app with a body that is neither too large nor too slow."""
        length = headers.get("content-length", "")
        if length.isdigit() and int(length) > most:
            await respond(send, *_too_large(most))
            return
        problem: tuple[int, str, str, dict[str, str]] | None = None
        started = complete = False
        taken, deadline = 0, time.monotonic() + self._whole

        async def receive_limited() -> Message:
            nonlocal problem, taken, complete
            if problem is not None:
                return {"type": "http.disconnect"}
            if complete:
                return await receive()
            try:
                patience = min(self._idle, max(0.0, deadline - time.monotonic()))
                message = await asyncio.wait_for(receive(), patience)
            except (TimeoutError, asyncio.TimeoutError):
                problem = 408, "too_slow", "the request came too slowly and was given up; send it again", {}
                return {"type": "http.disconnect"}
            taken += len(message.get("body", b""))
            complete = message["type"] != "http.request" or not message.get("more_body", False)
            if taken > most:
                problem = _too_large(most)
                return {"type": "http.disconnect"}
            return message

        async def send_unless_refused(message: Message) -> None:
            nonlocal started
            if problem is None or started:
                started = started or message["type"] == "http.response.start"
                await send(message)

        try:
            await self._app(scope, receive_limited, send_unless_refused)
        except Exception:
            if problem is None:
                raise
        if problem is not None and not started:
            await respond(send, *problem)


def _too_large(most: int) -> tuple[int, str, str, dict[str, str]]:
    return 413, "too_large", f"the request is larger than {most / 2**20:.0f} MiB, the limit of this server", {}


def _cookie(headers: Headers) -> str | None:
    try:
        morsel = SimpleCookie(headers.get("cookie", "")).get(TOKEN_COOKIE)
    except CookieError:
        return None
    return morsel.value if morsel else None


def _with_headers(send: Send, policy: str, data: bool) -> Send:
    """Adds the security headers to a response, but for those it has."""
    extra = {**HEADERS, "content-security-policy": policy}
    if data:
        extra["cache-control"] = "no-store"

    async def send_with_headers(message: Message) -> None:
        if message["type"] == "http.response.start":
            present = {name.lower() for name, _ in message.get("headers", [])}
            added = [(k.encode(), v.encode()) for k, v in extra.items() if k.encode() not in present]
            kept = [(k, v) for k, v in message.get("headers", []) if k.lower() != b"server"]
            message = {**message, "headers": [*kept, *added]}
        await send(message)

    return send_with_headers


def error_body(status: int, code: str, message: str) -> dict[str, Any]:
    """An error in the form that clients of OpenAI's API expect; one form for the whole server."""
    kind = _STATUS_TYPES.get(status, "invalid_request_error" if status < 500 else "server_error")
    return {"error": {"message": message, "type": kind, "param": None, "code": code}}


async def respond(send: Send, status: int, code: str, message: str, headers: dict[str, str]) -> None:
    """A whole response with an error in it."""
    body = json.dumps(error_body(status, code, message)).encode()
    pairs: Iterable[tuple[str, str]] = {
        "content-type": "application/json",
        "content-length": str(len(body)),
        **headers,
    }.items()
    raw = [(k.encode(), v.encode()) for k, v in pairs]
    await send({"type": "http.response.start", "status": status, "headers": raw})
    await send({"type": "http.response.body", "body": body})
