"""Run the ASGI server (uvicorn) until Ctrl-C."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import logging
import socket
import sys
import termios
from copy import deepcopy
from functools import partial
from typing import Any

import uvicorn
from fastapi import FastAPI
from uvicorn.config import LOGGING_CONFIG
from uvicorn.protocols.http.h11_impl import H11Protocol

from braincase.errors import UsageError
from braincase.web.app import build_app
from braincase.web.limited_socket import Connections, LimitedSocket
from braincase.web.service_settings import ServiceSettings

#: Connections at once; more are answered 503.
MOST_CONNECTIONS = 400
#: Connections that are accepted at all, and those of one client address.
MOST_ACCEPTED, MOST_OF_ONE = 500, 100
#: Seconds for a TLS handshake.
HANDSHAKE_S = 5.0
#: Seconds until a connection must have brought a whole request head.
HEAD_S = 20.0
#: Seconds between two looks at an answer that waits to be read, and bytes a second that must be.
UNREAD_S, LEAST_BYTES_PER_S = 30.0, 16 << 10
#: Seconds running requests get to end when the service is stopped.
GOODBYE_S = 5


class PatientProtocol(H11Protocol):
    """HTTP over a connection that ends when its client neither asks nor reads.

    It is closed when no whole request head comes within `HEAD_S`, and broken off when an answer is
    read at less than `LEAST_BYTES_PER_S`. uvicorn itself waits for ever, so that a few hundred
    silent connections would be all it has.
    """

    _look: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Wait for the first request."""
        super().connection_made(transport)
        self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait for nothing any more."""
        self._stop_looking()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        """Wait for the client to read."""
        super().pause_writing()
        self._look_later()

    def resume_writing(self) -> None:
        """Write on; of a connection that is being closed, the rest must still be read."""
        super().resume_writing()
        if not self.transport.is_closing():
            self._stop_looking()

    def on_response_complete(self) -> None:
        """Wait for the next request."""
        super().on_response_complete()
        self._await_head()

    def _await_head(self) -> None:
        self.loop.call_later(HEAD_S, self._close_if_silent, self.cycle)

    def _close_if_silent(self, before: object) -> None:
        answered = self.cycle is None or self.cycle.response_complete
        if self.cycle is before and answered:
            self.transport.close()  # once all is read
            self._look_later()

    def _look_later(self) -> None:
        self._stop_looking()
        if self.transport.get_write_buffer_size():
            self._look = self.loop.call_later(UNREAD_S, self._abort_if_unread, self._unread())

    def _stop_looking(self) -> None:
        if self._look is not None:
            self._look.cancel()

    def _unread(self) -> int:
        """Return the bytes that wait here, and in the system until the client takes them."""
        sent = 0
        with contextlib.suppress(OSError):
            queue = fcntl.ioctl(self.transport.get_extra_info("socket"), termios.TIOCOUTQ, bytes(4))
            sent = int.from_bytes(queue, sys.byteorder)
        return self.transport.get_write_buffer_size() + sent

    def _abort_if_unread(self, before: int) -> None:
        read = before - self._unread()
        if self.transport.get_write_buffer_size() and read < UNREAD_S * LEAST_BYTES_PER_S:
            self.transport.abort()
        else:
            self._look_later()


class PatientServer(uvicorn.Server):
    """A server whose TLS handshakes end within `HANDSHAKE_S`; uvicorn's may take a minute."""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start to listen."""
        if self.config.is_ssl:
            loop = asyncio.get_running_loop()
            limited = partial(loop.create_server, ssl_handshake_timeout=HANDSHAKE_S)
            loop.create_server = limited  # type: ignore[method-assign]
        await super().startup(sockets)


def run(settings: ServiceSettings) -> None:
    """Serve until stopped.

    Raises
    ------
    UsageError
        If the port is taken or the address is not this machine's.
    BraincaseError
        If gallery, users or audit log cannot be used.
    """
    listening = open_port(settings.host, settings.port)
    if settings.behind_proxy:  # all connections come from its address
        listening.connections = Connections(MOST_ACCEPTED, MOST_ACCEPTED)
    with listening:
        app = build_app(settings)
        host, port = listening.getsockname()[:2]
        scheme = "https" if settings.certificate else "http"
        shown = f"[{host}]" if ":" in host else host
        print(f"Braincase: {scheme}://{shown}:{port}/  (Ctrl-C ends it)", flush=True)
        if not (settings.static / "index.html").is_file():
            print(
                "The page is not built (npm): plain pages with pictures instead.", file=sys.stderr
            )
        with contextlib.suppress(KeyboardInterrupt):  # the usual end
            PatientServer(server_config(app, settings)).run(sockets=[listening])


def server_config(app: FastAPI, settings: ServiceSettings) -> uvicorn.Config:
    """Return how the server runs."""
    return uvicorn.Config(
        app,
        loop="asyncio",  # `PatientServer` knows this one
        http=PatientProtocol,
        log_level="info" if settings.access_log else settings.log_level,
        log_config=_log_config(),
        access_log=settings.access_log,  # the audit log tells who asked what, without addresses
        server_header=False,
        proxy_headers=False,
        limit_concurrency=MOST_CONNECTIONS,
        timeout_keep_alive=10,
        timeout_graceful_shutdown=GOODBYE_S,
        ssl_certfile=settings.certificate,
        ssl_keyfile=settings.key,
    )


class PathOnly(logging.Filter):
    """A log filter that cuts query strings off: ``/?study=`` names a patient's study."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Keep the line, with the path alone."""
        if isinstance(record.args, tuple):
            record.args = tuple(
                part.partition("?")[0] if isinstance(part, str) else part for part in record.args
            )
        return True


def _log_config() -> dict[str, Any]:
    """Return uvicorn's own logging with the query strings left out of it."""
    config = deepcopy(LOGGING_CONFIG)
    config["filters"] = {"path_only": {"()": PathOnly}}
    config["handlers"]["access"]["filters"] = ["path_only"]
    return config


def open_port(host: str, port: int) -> LimitedSocket:
    """Return a socket bound to an address; port 0 takes any free one.

    Raises
    ------
    UsageError
        If the port is taken or the address is not this machine's.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = LimitedSocket(family, socket.SOCK_STREAM)
    listening.connections = Connections(MOST_ACCEPTED, MOST_OF_ONE)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((host.strip("[]"), port))
    except (OSError, OverflowError) as error:
        listening.close()
        advice = "Choose another with --port." if port else ""
        reason = getattr(error, "strerror", None) or str(error)
        raise UsageError(f"{host}:{port}", reason, "a free port of this machine", advice) from None
    return listening
