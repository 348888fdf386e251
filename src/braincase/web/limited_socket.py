"""A listening TCP socket with a limit on open connections, of all and of one client address.

Connections over a limit are closed as soon as they are accepted, before TLS or HTTP: a client that
opens many and stays silent takes its own share, and not that of everybody.
"""

from __future__ import annotations

import socket
import threading
from collections import Counter
from typing import Any

from braincase.web.security.client_address import network_of


class Connections:
    """The open connections by client; thread-safe."""

    def __init__(self, most: int, most_of_one: int) -> None:
        self._most, self._most_of_one = most, most_of_one
        self._open: Counter[str] = Counter()
        self._lock = threading.Lock()

    def enter(self, client: str) -> bool:
        """Count one more connection, or return False if that is one too many."""
        with self._lock:
            if self._open.total() >= self._most or self._open[client] >= self._most_of_one:
                return False
            self._open[client] += 1
            return True

    def leave(self, client: str) -> None:
        """Count one connection less."""
        with self._lock:
            self._open[client] -= 1
            self._open += Counter()  # drops those that have none


class _Connection(socket.socket):
    """An accepted connection that is counted until it is closed."""

    def __init__(self, connections: Connections, client: str, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._counted: tuple[Connections, str] | None = (connections, client)

    def close(self) -> None:
        """Close it; a second time does nothing."""
        counted, self._counted = self._counted, None
        super().close()
        if counted is not None:
            counted[0].leave(counted[1])


class LimitedSocket(socket.socket):
    """A listening socket whose `accept` keeps to the limits of `connections`."""

    connections: Connections | None = None

    def accept(self) -> tuple[socket.socket, Any]:
        """Accept a connection, or close it at once where it is one too many.

        Raises
        ------
        ConnectionAbortedError
            If it was one too many; `asyncio` then waits for the next.
        """
        accepted, address = super().accept()
        client = network_of(str(address[0]))
        if self.connections is None:
            return accepted, address
        if not self.connections.enter(client):
            accepted.close()
            raise ConnectionAbortedError(f"too many connections of {client}")
        family, kind, protocol = accepted.family, accepted.type, accepted.proto
        return _Connection(
            self.connections, client, family, kind, protocol, fileno=accepted.detach()
        ), address
