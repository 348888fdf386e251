"""Start the service and keep it running until Ctrl-C."""

from __future__ import annotations

import contextlib
import socket
import sys

import uvicorn
from fastapi import FastAPI

from braincase.errors import UsageError
from braincase.web.app import build_app
from braincase.web.settings import Settings

#: Connections at once; more are answered 503.
MOST_CONNECTIONS = 200
#: Seconds running requests get to end when the service is stopped.
GOODBYE_S = 5


def run(settings: Settings) -> None:
    """Serve until stopped.

    Raises
    ------
    UsageError
        If the port is taken or the address is not this machine's.
    BraincaseError
        If gallery, users or audit log cannot be used.
    """
    listening = open_port(settings.host, settings.port)
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
            uvicorn.Server(server_config(app, settings)).run(sockets=[listening])


def server_config(app: FastAPI, settings: Settings) -> uvicorn.Config:
    """Return how the server runs."""
    return uvicorn.Config(
        app,
        log_level="warning",
        access_log=False,  # the audit log tells who asked what, without addresses in it
        server_header=False,
        proxy_headers=False,
        limit_concurrency=MOST_CONNECTIONS,
        timeout_keep_alive=10,
        timeout_graceful_shutdown=GOODBYE_S,
        ssl_certfile=settings.certificate,
        ssl_keyfile=settings.key,
    )


def open_port(host: str, port: int) -> socket.socket:
    """Return a socket bound to an address; port 0 takes any free one.

    Raises
    ------
    UsageError
        If the port is taken or the address is not this machine's.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((host.strip("[]"), port))
    except (OSError, OverflowError) as error:
        listening.close()
        advice = "Choose another with --port." if port else ""
        reason = getattr(error, "strerror", None) or str(error)
        raise UsageError(f"{host}:{port}", reason, "a free port of this machine", advice) from None
    return listening
