"""Tombstones (keyed hashes, HMAC) of erased scans: indexing a cohort again brings nobody back.

Nothing of an erased scan stays but two numbers: the HMACs of its scan_id and of its image's hash,
by a key of the gallery that lies in a file of its own. Whoever has the numbers without the key
learns nothing; with the key it can be asked whether a scan was erased, which is what they are for.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import secrets
import sqlite3
from collections.abc import Sequence
from pathlib import Path

from braincase.errors import GalleryError
from braincase.files import atomic_write
from braincase.gallery.record.database import has_table

KEY_FILE = "gallery.key"
KEY_BYTES = 32
_TABLE = (
    "CREATE TABLE IF NOT EXISTS tombstones (mark BLOB NOT NULL, scan BLOB NOT NULL,"
    " erased_in INTEGER NOT NULL, PRIMARY KEY (mark, scan)) WITHOUT ROWID"
)


class Tombstones:
    """The tombstones of a record; each call runs inside one write transaction."""

    def __init__(self, connection: sqlite3.Connection, folder: Path) -> None:
        self._connection, self._folder = connection, folder

    def add(self, scan_id: str, contents: Sequence[str], version: int) -> None:
        """Set tombstones for a scan and for each content (an image's hash) that it had."""
        key = self._key(make=True)
        self._connection.execute(_TABLE)
        scan = _mark(key, "scan", scan_id)
        marks = [scan, *(_mark(key, "content", content) for content in contents)]
        self._connection.executemany(
            "INSERT OR REPLACE INTO tombstones VALUES (?, ?, ?)",
            [(mark, scan, version) for mark in marks],
        )

    def add_person(self, subject: str, scan_ids: Sequence[str], version: int) -> None:
        """Set the tombstone of a person of whom nothing is left; it goes with any of the scans'."""
        key = self._key(make=True)
        self._connection.execute(_TABLE)
        mark = _mark(key, "person", subject)
        self._connection.executemany(
            "INSERT OR REPLACE INTO tombstones VALUES (?, ?, ?)",
            [(mark, _mark(key, "scan", scan_id), version) for scan_id in scan_ids],
        )

    def has(self, scan_id: str, content: str, subject: str) -> bool:
        """Return whether a scan, any of the same content, or the whole person was erased before."""
        if not self.any():
            return False
        key = self._key(make=False)
        found = self._connection.execute(
            "SELECT 1 FROM tombstones WHERE mark IN (?, ?, ?)",
            (
                _mark(key, "scan", scan_id),
                _mark(key, "content", content),
                _mark(key, "person", subject),
            ),
        )
        return found.fetchone() is not None

    def lift(self, scan_id: str) -> bool:
        """Remove the tombstones of a scan and of its person, and say whether there were any.

        Other erased scans of the person stay out: each has a tombstone of its own.
        """
        if not self.any():
            return False
        scan = _mark(self._key(make=False), "scan", scan_id)
        deleted = self._connection.execute(
            "DELETE FROM tombstones WHERE mark IN (SELECT mark FROM tombstones WHERE scan = ?)",
            (scan,),
        )
        return deleted.rowcount > 0

    def any(self) -> bool:
        """Return whether there are tombstones."""
        if not has_table(self._connection, "tombstones"):
            return False
        return self._connection.execute("SELECT 1 FROM tombstones LIMIT 1").fetchone() is not None

    def _key(self, make: bool) -> bytes:
        path = self._folder / KEY_FILE
        with contextlib.suppress(FileNotFoundError):
            key = path.read_bytes()
            if len(key) == KEY_BYTES:
                return key
        if not make or self.any():
            advice = "Restore it from a backup: without it, erased scans could come back unseen."
            raise GalleryError(path, "the key of the erased scans is missing", "", advice)
        key = secrets.token_bytes(KEY_BYTES)
        with atomic_write(path) as aside:
            aside.write_bytes(key)
        return key


def _mark(key: bytes, kind: str, text: str) -> bytes:
    return hmac.new(key, f"{kind}:{text}".encode(), hashlib.sha256).digest()
