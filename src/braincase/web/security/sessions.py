"""Sessions in memory: begun by a login, ended by logout, idleness or a working day."""

from __future__ import annotations

import secrets
import threading
import time
from dataclasses import dataclass, replace

from braincase.web.schema import Role

#: Seconds a session lasts: a working day. Seconds after which an idle one ends.
SESSION_S, IDLE_S = 12 * 3600, 3600.0
#: Sessions of one user; the least recently used go first.
MOST_SESSIONS = 50


@dataclass(frozen=True)
class ExternalUser:
    """A user signed in by an OpenID provider: stable name, role until logout, name to show."""

    name: str
    role: Role
    shown: str


@dataclass(frozen=True)
class Session:
    """One session: whose, when it began and when it was last used (seconds since 1970).

    `external` is its user where an OpenID provider has signed them in; None: the file of users.
    """

    user: str
    begun: float
    used: float
    external: ExternalUser | None = None

    def is_over(self, now: float) -> bool:
        """Return whether it lasted or was idle for too long; a clock set back ends none."""
        return now - self.begun > SESSION_S or now - self.used > IDLE_S


class Sessions:
    """All sessions of a service by their secret ids; thread-safe."""

    def __init__(self) -> None:
        self._sessions: dict[str, Session] = {}
        self._lock = threading.Lock()

    def begin(self, user: str, external: ExternalUser | None = None) -> str:
        """Begin a session of a user who has proven who they are; return its id."""
        now, session = time.time(), secrets.token_urlsafe(16)
        with self._lock:
            self._sessions = {k: s for k, s in self._sessions.items() if not s.is_over(now)}
            own = sorted((s.used, k) for k, s in self._sessions.items() if s.user == user)
            for _, oldest in own[: len(own) - MOST_SESSIONS + 1]:
                del self._sessions[oldest]
            self._sessions[session] = Session(user, now, now, external)
        return session

    def external_of(self, session: str) -> ExternalUser | None:
        """Return the user of a session that an OpenID provider began; None for any other."""
        with self._lock:
            known = self._sessions.get(session)
            return known.external if known else None

    def use(self, session: str, user: str) -> bool:
        """Note that a session is used; return whether it is one, and the user's."""
        now = time.time()
        with self._lock:
            known = self._sessions.get(session)
            if known is None or known.user != user or known.is_over(now):
                self._sessions.pop(session, None)
                return False
            self._sessions[session] = replace(known, used=now)
            return True

    def end(self, session: str) -> None:
        """End a session."""
        with self._lock:
            self._sessions.pop(session, None)

    def end_all(self, user: str) -> None:
        """End all sessions of a user."""
        with self._lock:
            self._sessions = {k: s for k, s in self._sessions.items() if s.user != user}

    def of(self, user: str) -> dict[str, Session]:
        """Return a user's sessions by their ids, the most recently used first."""
        now = time.time()
        with self._lock:
            own = [(k, s) for k, s in self._sessions.items() if s.user == user]
        return {k: s for k, s in sorted(own, key=lambda one: -one[1].used) if not s.is_over(now)}
