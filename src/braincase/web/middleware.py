"""ASGI middleware: host, origin, body size and rate of every request; headers of every answer.

The checks run before anything reads the request. The headers keep a browser from running, framing,
sniffing or sending on anything that is not ours.
"""

from __future__ import annotations

import asyncio
import sys
import time
import traceback
from urllib.parse import urlsplit

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from braincase.errors import AuditError
from braincase.web.problems import Problem
from braincase.web.security.client_address import client_address, network_of
from braincase.web.security.gate import CHANGING
from braincase.web.security.headers import CSP, HEADERS
from braincase.web.security.oidc_settings import CALLBACK
from braincase.web.service import Service

UPLOADS = "/api/v1/uploads"
#: Seconds in which any body but an upload must have arrived.
BODY_S = 20.0
#: Statuses of requests that were refused to somebody, for the audit log.
DENIED = (401, 403, 404, 429)
#: Methods that metrics tell apart; any other word is counted as `other`.
METHODS = ("GET", "HEAD", "OPTIONS", *CHANGING)
#: What is told of an exception that nobody foresaw.
FAULT = "The service met a fault of its own; its log says where. Please tell whoever runs it."


def failure(problem: Problem) -> JSONResponse:
    """Return the JSON response of a failed request."""
    headers = {"Retry-After": str(problem.retry_s)} if problem.retry_s else None
    content = {"error": problem.error, "message": problem.message}
    return JSONResponse(content, problem.status, headers)


class Guard:
    """ASGI middleware around the whole application."""

    def __init__(self, app: ASGIApp, service: Service) -> None:
        self.app, self.service = app, service

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Check a request, then pass it on or answer it with an error."""
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self.app(scope, receive, send)
            return
        started = time.perf_counter()
        status, started_sending = 500, False

        async def sending(message: Message) -> None:
            nonlocal status, started_sending
            if message["type"] == "http.response.start":
                status, started_sending = message["status"], True
                self._add_headers(MutableHeaders(raw=message["headers"]))
            await send(message)

        try:
            self._check(scope)
            receive = await self._whole_body(scope, receive)
            await self.app(scope, receive, sending)
        except Problem as problem:
            scope.setdefault("state", {})["error"] = problem.error
            await failure(problem)(scope, receive, sending)
        except Exception as error:
            traceback.print_exception(error)
            if started_sending:
                raise  # the server breaks the connection off
            await failure(Problem(500, "fault", FAULT))(scope, receive, sending)
        finally:
            self._count(scope, status, time.perf_counter() - started)
            if self._is_denial(scope, status):
                await run_in_threadpool(self._note_denial, scope, status)

    def _add_headers(self, headers: MutableHeaders) -> None:
        headers.setdefault("content-security-policy", CSP)
        headers.setdefault("cache-control", "no-store")
        for name, value in HEADERS.items():
            headers.setdefault(name, value)
        if self.service.settings.encrypted:
            headers.setdefault("strict-transport-security", "max-age=31536000")

    def _check(self, scope: Scope) -> None:
        headers = Headers(scope=scope)
        host = headers.get("host", "")
        if not self._knows(host):
            # A page elsewhere whose name was made to point here (DNS rebinding) comes by its name.
            text = "The service does not answer under this name; start it with --name NAME."
            raise Problem(400, "host", text)
        if scope["method"] in CHANGING:
            _check_origin(headers, host)
        else:
            _check_reading_site(headers, scope["path"])
        limits, gate = self.service.settings.limits, self.service.gate
        gate.rates.spend(limits.requests, "requests", self._client(scope))

    def _client(self, scope: Scope) -> str:
        """Return whose rate a request counts for: a verified user of the proxy, or an address."""
        identity = self.service.gate.told_by_proxy(scope)
        if identity is not None:
            return f"user:{identity[0]}"
        return network_of(client_address(scope, self.service.settings))

    def _knows(self, host: str) -> bool:
        try:
            name = urlsplit(f"//{host}").hostname or ""
        except ValueError:
            return False
        return self.service.settings.knows_name(name)

    async def _whole_body(self, scope: Scope, receive: Receive) -> Receive:
        """Read a small body before anything else sees it; uploads are streamed elsewhere."""
        if scope["method"] not in CHANGING or scope["path"] == UPLOADS:
            return receive
        try:
            async with asyncio.timeout(BODY_S):
                body = await self._read(receive)
        except TimeoutError:
            raise Problem(408, "slow", "The request did not arrive in time.") from None
        sent = False

        async def replay() -> Message:
            nonlocal sent
            if sent:
                return await receive()
            sent = True
            return {"type": "http.request", "body": body, "more_body": False}

        return replay

    async def _read(self, receive: Receive) -> bytes:
        most, parts, size = self.service.settings.limits.body_bytes, [], 0
        while True:
            message = await receive()
            if message["type"] != "http.request":
                raise Problem(400, "gone", "The request was broken off.")
            parts.append(message.get("body", b""))
            size += len(parts[-1])
            if size > most:
                raise Problem(413, "too_large", f"The request is larger than {most:,} bytes.")
            if not message.get("more_body"):
                return b"".join(parts)

    def _is_denial(self, scope: Scope, status: int) -> bool:
        if scope["path"].endswith(("/login", CALLBACK)):  # note their own
            return False
        return status in DENIED or scope.get("state", {}).get("error") == "host"

    def _note_denial(self, scope: Scope, status: int) -> None:
        """Write into the audit log that a request was refused; equal ones once in a while."""
        state = scope.get("state", {})
        details = {
            "status": status,
            "error": state.get("error", "http"),
            "method": scope["method"] if scope["method"] in METHODS else "other",
            "route": getattr(scope.get("route"), "path", "none"),
            "client": client_address(scope, self.service.settings),
        }
        try:
            self.service.once.write(state.get("user", "unknown"), "denied", **details)
        except AuditError as error:  # it was refused already
            print(f"braincase: {error}", file=sys.stderr)

    def _count(self, scope: Scope, status: int, seconds: float) -> None:
        # Labels of fixed sets only: each new one stays in memory for ever.
        route = getattr(scope.get("route"), "path", "none")
        method = scope["method"] if scope["method"] in METHODS else "other"
        metrics = self.service.metrics
        metrics.requests.labels(method, route, str(status)).inc()
        metrics.seconds.labels(method, route).observe(seconds)


def _check_origin(headers: Headers, host: str) -> None:
    """Refuse a change that another site's page asks for; programs send no origin."""
    origin, site = headers.get("origin"), headers.get("sec-fetch-site", "same-origin")
    foreign = origin is not None and urlsplit(origin).netloc.lower() != host.lower()
    if foreign or site not in ("same-origin", "none"):
        raise Problem(403, "foreign", "Another web site asked for this change; it was refused.")


def _check_reading_site(headers: Headers, path: str) -> None:
    """Refuse what another site's page reads; it may lead to the front page, or back from login.

    Its answers are closed to that page anyway, but a search costs time, and writes the audit log.
    """
    if headers.get("sec-fetch-site", "none") in ("same-origin", "none"):
        return
    opened = (headers.get("sec-fetch-mode"), headers.get("sec-fetch-dest"))
    if path not in ("/", CALLBACK) or opened != ("navigate", "document"):
        raise Problem(403, "foreign", "Another web site asked for this; it was refused.")
