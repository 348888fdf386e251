"""API tokens for programs: made from 256 random bits, kept as SHA-256, revoked one by one."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

#: What every token begins with, so that scanners of source code know a leaked one.
PREFIX = "braincase_"


@dataclass(frozen=True)
class Token:
    """One API token: its id for lists and logs, the hash of its secret, when and what for.

    `until` is when it ends (ISO 8601, UTC); empty if never.
    """

    id: str
    hashed: str
    made: str
    note: str
    until: str = ""

    @property
    def is_over(self) -> bool:
        """Whether its time has ended."""
        return bool(self.until) and datetime.now(UTC).isoformat(timespec="seconds") >= self.until

    def accepts(self, secret: str) -> bool:
        """Return whether a secret is this token's, in constant time, and it has not ended."""
        return hmac.compare_digest(self.hashed, _hash(secret)) and not self.is_over


def make_token(note: str = "", days: float | None = None) -> tuple[Token, str]:
    """Return a new token, which ends after some days or never, and its text, kept nowhere."""
    key, secret = secrets.token_hex(4), secrets.token_urlsafe(32)
    now = datetime.now(UTC)
    made = now.isoformat(timespec="seconds")
    until = "" if days is None else (now + timedelta(days=days)).isoformat(timespec="seconds")
    token = Token(key, _hash(secret), made, " ".join(note.split()), until)
    return token, f"{PREFIX}{key}_{secret}"


def split_token(text: str) -> tuple[str, str] | None:
    """Return id and secret of a token's text, or None if it is none."""
    if not text.startswith(PREFIX):
        return None
    key, _, secret = text.removeprefix(PREFIX).partition("_")
    return (key, secret) if key and secret else None


def _hash(secret: str) -> str:
    # A fast hash is enough: nobody guesses 256 random bits.
    return hashlib.sha256(secret.encode()).hexdigest()
