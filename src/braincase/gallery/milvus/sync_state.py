"""Sync state: how far each collection is synchronised with its record, kept in a file beside it."""

from __future__ import annotations

import secrets
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from braincase.gallery.groups import keyed_hash
from braincase.gallery.record.database import PATIENCE_S, gallery_errors, writing
from braincase.gallery.url import MilvusUrl

STATE_FILE = "milvus.sqlite3"
#: The version of a collection of which nothing is known.
UNKNOWN = -1


@dataclass
class SyncPoint:
    """How far a collection has come, and when it was last written to (seconds since 1970).

    It may be changed while it is locked.
    """

    version: int = UNKNOWN
    written_at: float = 0.0


class SyncState:
    """The file of sync points beside a record; it also keeps the secret of the keyed hashes."""

    def __init__(self, folder: Path) -> None:
        """Open or make the file."""
        self.folder = folder
        with self._connected() as connection, writing(connection, folder):
            connection.execute(
                "CREATE TABLE IF NOT EXISTS marks (server TEXT, collection TEXT,"
                " version INTEGER NOT NULL, written_at REAL NOT NULL,"
                " PRIMARY KEY (server, collection))"
            )
            connection.execute("CREATE TABLE IF NOT EXISTS secret (value BLOB NOT NULL)")
            connection.execute(
                "INSERT INTO secret SELECT ? WHERE NOT EXISTS (SELECT 1 FROM secret)",
                (secrets.token_bytes(32),),
            )
        with self._connected() as connection:
            (self.secret,) = connection.execute("SELECT value FROM secret").fetchone()

    @property
    def gallery_id(self) -> str:
        """An opaque name of this gallery."""
        return f"{keyed_hash(self.secret, 'gallery'):016x}"

    @contextmanager
    def locked(self, url: MilvusUrl) -> Iterator[SyncPoint]:
        """Lock other processes out while a collection is synchronised; save its sync point."""
        name = (url.server, url.collection)
        with self._connected() as connection, writing(connection, self.folder):
            row = connection.execute(
                "SELECT version, written_at FROM marks WHERE server = ? AND collection = ?", name
            ).fetchone()
            point = SyncPoint(*row) if row else SyncPoint()
            yield point
            values = (*name, point.version, point.written_at)
            connection.execute("INSERT OR REPLACE INTO marks VALUES (?, ?, ?, ?)", values)

    @contextmanager
    def _connected(self) -> Iterator[sqlite3.Connection]:
        # One connection a use: threads and processes take turns by SQLite's own lock.
        with gallery_errors(self.folder):
            path = self.folder / STATE_FILE
            connection = sqlite3.connect(path, timeout=PATIENCE_S * 10, isolation_level=None)
            with closing(connection):
                yield connection
