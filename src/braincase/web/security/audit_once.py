"""Audit events that come in crowds: the first is written, repetitions only after a while.

A page asks for dozens of slices of one image, and a program without a password may be refused a
thousand times a minute: one line says so, and the next one how often it happened meanwhile.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict

from braincase.web.security.audit import AuditLog

#: Seconds in which an equal event is not written again; events in memory.
REPEAT_S, MOST_EVENTS = 600.0, 5000


class AuditOnce:
    """Writes equal events once in `REPEAT_S`; thread-safe."""

    def __init__(self, audit: AuditLog) -> None:
        self._audit = audit
        self._written: OrderedDict[tuple[object, ...], tuple[float, int]] = OrderedDict()
        self._lock = threading.Lock()

    def write(self, user: str, action: str, **details: object) -> None:
        """Append an event, unless an equal one was appended a short while ago.

        Raises
        ------
        AuditError
            If it cannot be written; it counts as not written then.
        """
        key = (user, action, *sorted((name, str(value)) for name, value in details.items()))
        now = time.monotonic()
        with self._lock:
            since, repeats = self._written.get(key, (-REPEAT_S, 0))
            if now - since < REPEAT_S:
                self._written[key] = (since, repeats + 1)
                return
        meanwhile = {"repeats": repeats} if repeats else {}
        self._audit.write(user, action, **details, **meanwhile)
        with self._lock:
            self._written[key] = (now, 0)
            self._written.move_to_end(key)
            while len(self._written) > MOST_EVENTS:
                self._written.popitem(last=False)
