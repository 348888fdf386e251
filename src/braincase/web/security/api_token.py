"""API tokens for programs: made from 256 random bits, kept as SHA-256, revoked one by one."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime

#: What every token begins with, so that scanners of source code know a leaked one.
PREFIX = "braincase_"


@dataclass(frozen=True)
class Token:
    """One API token: its id for lists and logs, the hash of its secret, when and what for."""

    id: str
    hashed: str
    made: str
    note: str

    def accepts(self, secret: str) -> bool:
        """Return whether a secret is this token's, in constant time."""
        return hmac.compare_digest(self.hashed, _hash(secret))


def make_token(note: str = "") -> tuple[Token, str]:
    """Return a new token, and its text, which is kept nowhere."""
    key, secret = secrets.token_hex(4), secrets.token_urlsafe(32)
    made = datetime.now(UTC).isoformat(timespec="seconds")
    return Token(key, _hash(secret), made, " ".join(note.split())), f"{PREFIX}{key}_{secret}"


def split_token(text: str) -> tuple[str, str] | None:
    """Return id and secret of a token's text, or None if it is none."""
    if not text.startswith(PREFIX):
        return None
    key, _, secret = text.removeprefix(PREFIX).partition("_")
    return (key, secret) if key and secret else None


def _hash(secret: str) -> str:
    # A fast hash is enough: nobody guesses 256 random bits.
    return hashlib.sha256(secret.encode()).hexdigest()
