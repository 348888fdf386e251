"""The SQLite database of a record: its schema, transactions and clear errors.

Nothing that was acknowledged is lost: write-ahead log, ``synchronous=FULL``, one transaction a
call. A row of `cases` is never changed except to note the version that ended it, so every earlier
version of the gallery can be read again.
"""

from __future__ import annotations

import sqlite3
import threading
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

from braincase.errors import GalleryError

#: A row that a query gives; sqlite3 does not type its columns.
SqlRow: TypeAlias = tuple[Any, ...]

FILE_NAME = "gallery.sqlite3"
FORMAT = 1
#: Seconds to wait for another process to finish writing.
PATIENCE_S = 60.0

_SCHEMA = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE versions (version INTEGER PRIMARY KEY, at TEXT NOT NULL, what TEXT NOT NULL);
CREATE TABLE cohorts (cohort INTEGER PRIMARY KEY, folder TEXT NOT NULL UNIQUE);
CREATE TABLE cases (
    row INTEGER PRIMARY KEY AUTOINCREMENT,
    scan_id TEXT NOT NULL,
    subject TEXT NOT NULL,
    session TEXT,
    labels TEXT NOT NULL,
    code BLOB NOT NULL,
    checksum INTEGER NOT NULL,
    cohort INTEGER REFERENCES cohorts,
    image TEXT,
    image_hash TEXT,
    content TEXT NOT NULL,
    added_in INTEGER NOT NULL REFERENCES versions,
    removed_in INTEGER REFERENCES versions
);
CREATE UNIQUE INDEX one_live_case_a_scan ON cases (scan_id) WHERE removed_in IS NULL;
CREATE INDEX by_scan ON cases (scan_id, added_in);
CREATE INDEX by_content ON cases (content) WHERE removed_in IS NULL;
CREATE INDEX by_start ON cases (added_in);
CREATE INDEX by_end ON cases (removed_in) WHERE removed_in IS NOT NULL;
CREATE TABLE thumbnails (row INTEGER PRIMARY KEY REFERENCES cases, picture BLOB NOT NULL);
CREATE TABLE erased (
    row INTEGER PRIMARY KEY,
    added_in INTEGER NOT NULL,
    removed_in INTEGER,
    erased_in INTEGER NOT NULL REFERENCES versions
);
"""


def create_database(folder: Path, meta: Mapping[str, str]) -> None:
    """Make an empty gallery in `folder`, at version 0.

    Raises
    ------
    GalleryError
        If the folder holds a gallery already, or cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise GalleryError(folder, str(error.strerror), "a folder that can be written") from None
    with gallery_errors(folder):
        connection = sqlite3.connect(folder / FILE_NAME, timeout=PATIENCE_S, isolation_level=None)
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")
            with writing(connection, folder):
                _create_tables(connection, folder, {**meta, "format": str(FORMAT)})
        finally:
            connection.close()


def _create_tables(connection: sqlite3.Connection, folder: Path, meta: Mapping[str, str]) -> None:
    # Inside the transaction, so that of two processes that create the same gallery one wins, and a
    # file left empty by a killed process is no obstacle.
    if connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'meta'").fetchone():
        raise GalleryError(folder, "a gallery is here already", "a new place")
    for statement in _SCHEMA.split(";"):
        connection.execute(statement)
    connection.executemany("INSERT INTO meta VALUES (?, ?)", meta.items())
    connection.execute("INSERT INTO versions VALUES (0, ?, 'created')", (now(),))


def now() -> str:
    """Return the time as versions record it: UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def connect(folder: Path) -> sqlite3.Connection:
    """Open a connection to an existing record, read-only where the folder cannot be written.

    Raises
    ------
    GalleryError
        If there is no gallery, or the file is damaged or of another format.
    """
    path = folder / FILE_NAME
    if not path.is_file():
        advice = "Make one with: braincase index COHORT --gallery GALLERY --model MODEL"
        raise GalleryError(folder, "no gallery here", f"a folder with {FILE_NAME}", advice)
    with gallery_errors(folder):
        connection = _connect(path)
        # Text that is no UTF-8 makes one row unreadable, not the whole query.
        connection.text_factory = partial(str, encoding="utf-8", errors="surrogateescape")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA secure_delete = ON")  # erased means overwritten
        row = connection.execute("SELECT value FROM meta WHERE key = 'format'").fetchone()
    if row != (str(FORMAT),):
        found = f"format {row[0]}" if row else "no format number"
        raise GalleryError(folder, found, f"format {FORMAT}", "Index the cohort anew.")
    return connection


def _connect(path: Path) -> sqlite3.Connection:
    options = {"timeout": PATIENCE_S, "isolation_level": None, "check_same_thread": False}
    quoted = path.absolute().as_uri()
    try:
        connection = sqlite3.connect(f"{quoted}?mode=rw", uri=True, **options)  # type: ignore[call-overload]
        connection.execute("SELECT count(*) FROM meta")
    except sqlite3.OperationalError as error:
        if "readonly" not in str(error) and "unable to open" not in str(error):
            raise
        # A write-ahead log needs a writable folder even to read; a file nobody can write is whole.
        connection = sqlite3.connect(f"{quoted}?mode=ro&immutable=1", uri=True, **options)  # type: ignore[call-overload]
    return connection  # type: ignore[no-any-return]


@contextmanager
def writing(connection: sqlite3.Connection, folder: Path) -> Iterator[None]:
    """Run a block as one write transaction: all of it is on the disk afterwards, or nothing."""
    with gallery_errors(folder):
        connection.execute("BEGIN IMMEDIATE")
        try:
            yield
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise


@contextmanager
def reading(connection: sqlite3.Connection, folder: Path) -> Iterator[None]:
    """Run a block as one read transaction: it sees one state, whatever other processes write."""
    with gallery_errors(folder):
        connection.execute("BEGIN")
        try:
            yield
        finally:
            if connection.in_transaction:
                connection.execute("ROLLBACK")


@contextmanager
def gallery_errors(folder: Path) -> Iterator[None]:
    """Translate SQLite's exceptions to `GalleryError`: one line that says what to do."""
    try:
        yield
    except sqlite3.Error as error:
        raise _gallery_error(folder, error) from error


def _gallery_error(folder: Path, error: sqlite3.Error) -> GalleryError:
    text = str(error)
    if "locked" in text or "busy" in text:
        advice = "Try again when the other process has finished."
        return GalleryError(folder, "another process is writing", "a free gallery", advice)
    if "full" in text:
        return GalleryError(folder, "the disk is full", "free space", "Nothing half was written.")
    if "readonly" in text:
        return GalleryError(folder, "the gallery cannot be written", "a folder you may write to")
    if isinstance(error, sqlite3.DatabaseError):
        advice = "Restore it from a copy, or index the cohort anew."
        return GalleryError(folder / FILE_NAME, f"damaged ({text})", "a whole gallery", advice)
    return GalleryError(folder, text)


def checksum_of(scan_id: str, labels: str, code: bytes) -> int:
    """Return the CRC-32 of a row; SQLite itself does not notice a changed byte."""
    return zlib.crc32(code, zlib.crc32(f"{scan_id}\n{labels}\n".encode()))


class Database:
    """A SQLite connection that threads share: they take turns by a reentrant lock."""

    def __init__(self, folder: Path) -> None:
        """Open the record in a folder; see `connect`."""
        self.folder = folder
        self.connection = connect(folder)
        self.lock = threading.RLock()

    @contextmanager
    def querying(self) -> Iterator[sqlite3.Connection]:
        """Yield the connection for single statements, without a transaction."""
        with self.lock, gallery_errors(self.folder):
            yield self.connection

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """Yield the connection inside one read transaction."""
        with self.lock, reading(self.connection, self.folder):
            yield self.connection

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """Yield the connection inside one write transaction."""
        with self.lock, writing(self.connection, self.folder):
            yield self.connection

    def close(self) -> None:
        """Close the connection."""
        with self.lock:
            self.connection.close()
