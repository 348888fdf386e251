"""Framing: length-prefixed messages over a stream socket between the service and its worker."""

from __future__ import annotations

import select
import socket
import struct
import time

from braincase.web.intake.messages import MOST_JSON, MessageError

#: Before each message: the bytes of its JSON, and of its arrays.
PREFIX = struct.Struct("!II")
#: Seconds for a whole message to come or go, once it has begun.
MESSAGE_S = 30.0


class Channel:
    """One end of the connection between the service and its worker.

    Parameters
    ----------
    end
        A stream socket; closed by `close`.
    """

    def __init__(self, end: socket.socket) -> None:
        self._end = end

    def close(self) -> None:
        """Close it: the other side sees the end."""
        self._end.close()

    def poll(self, seconds: float) -> bool:
        """Return whether something has come, or the end, within some seconds."""
        return bool(select.select([self._end], [], [], seconds)[0])

    def send(self, content: bytes, payload: bytes = b"") -> None:
        """Send a message.

        Raises
        ------
        OSError
            If the other side is gone, or does not take it in time.
        """
        self._end.settimeout(MESSAGE_S)
        self._end.sendall(PREFIX.pack(len(content), len(payload)) + content + payload)

    def receive(self, most_payload: int = 0) -> tuple[bytes, bytes]:
        """Wait for a message and return its JSON and the bytes of its arrays.

        Nothing is allocated for a message that is too long.

        Raises
        ------
        EOFError
            If the other side is gone.
        MessageError
            If it is too long, or takes too long.
        OSError
            If the connection fails.
        """
        self._end.settimeout(None)
        start = self._end.recv(1)
        until = time.monotonic() + MESSAGE_S
        content, payload = PREFIX.unpack(start + self._take(PREFIX.size - 1, until, bool(start)))
        if content > MOST_JSON or payload > most_payload:
            raise MessageError(f"a message of {content} and {payload} bytes")
        return self._take(content, until), self._take(payload, until)

    def _take(self, size: int, until: float, alive: bool = True) -> bytes:
        """Receive exactly so many bytes."""
        taken = bytearray()
        while len(taken) < size:
            try:
                self._end.settimeout(max(until - time.monotonic(), 0.001))
                part = self._end.recv(size - len(taken)) if alive else b""
            except TimeoutError:
                raise MessageError("a message that does not end") from None
            if not part:
                raise EOFError
            taken += part
        return bytes(taken)
