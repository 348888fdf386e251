"""Pseudonyms: keyed hashes (HMAC) of patient identifiers, which nobody can turn back.

A plain hash of a hospital number can be guessed by trying all numbers, so the hash is keyed
(HMAC-SHA256). The key is made once on this machine, readable by its user only, and must stay there:
whoever holds it can check a guess. Keep it, and the same patient keeps the same pseudonym.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
from pathlib import Path

from braincase.errors import UsageError

#: Environment variable that names another key file, for one shared by several machines.
KEY_FILE = "BRAINCASE_KEY_FILE"
LETTERS = "0123456789abcdefghjkmnpqrstvwxyz"
LENGTH, SESSION_LENGTH = 12, 8


def pseudonym(identifier: str, key: bytes, length: int = LENGTH) -> str:
    """Return letters and digits that stand for an identifier under this key (5 bits each)."""
    content = identifier.strip().encode(errors="backslashreplace")  # half characters of old files
    number = int.from_bytes(hmac.digest(key, content, hashlib.sha256))
    return "".join(LETTERS[(number >> (5 * i)) & 31] for i in range(length))


def session_of(study: str) -> str:
    """Return the pseudonym of a session: the beginning of that of its study."""
    return study[:SESSION_LENGTH]


def local_key() -> bytes:
    """Return this machine's secret key, made on first use.

    Raises
    ------
    UsageError
        If the key file cannot be read or made, or is too short to be a key.
    """
    path = _key_path()
    try:
        if not path.exists():
            _make(path)
        key = path.read_bytes()
    except OSError as error:
        advice = f"Set {KEY_FILE} to a file that you can read, or name the subject yourself."
        raise UsageError(path, f"no key for pseudonyms ({error})", "", advice) from error
    if len(key) < 16:
        raise UsageError(path, "a key that is too short", "at least 16 bytes")
    return key


def _key_path() -> Path:
    home = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config")
    return Path(os.environ.get(KEY_FILE) or home / "braincase" / "pseudonym.key")


def _make(path: Path) -> None:
    """Write a new key; where two processes try at once, the first one's stays."""
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{path.name}-{os.getpid()}")
    descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(secrets.token_bytes(32))
        os.link(aside, path)
    except FileExistsError:
        pass
    finally:
        aside.unlink(missing_ok=True)
