"""The SQLite database of a record: its schema, transactions and clear errors.

Nothing that was acknowledged is lost: write-ahead log, ``synchronous=FULL``, one transaction a
call. A row of `cases` is never changed except to note the version that ended it, so every earlier
version of the gallery can be read again.
"""

from __future__ import annotations

import sqlite3
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeAlias

from braincase.errors import GalleryError, ReadOnlyGalleryError
from braincase.files import create_file, make_folder

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
    removed_in INTEGER REFERENCES versions,
    full_checksum INTEGER
);
CREATE UNIQUE INDEX one_live_case_a_scan ON cases (scan_id) WHERE removed_in IS NULL;
CREATE INDEX by_scan ON cases (scan_id, added_in);
CREATE INDEX by_content ON cases (content) WHERE removed_in IS NULL;
CREATE INDEX by_start ON cases (added_in);
CREATE INDEX by_end ON cases (removed_in) WHERE removed_in IS NOT NULL;
CREATE TABLE thumbnails (row INTEGER PRIMARY KEY REFERENCES cases, picture BLOB NOT NULL);
CREATE TABLE views (
    row INTEGER PRIMARY KEY REFERENCES cases, view TEXT NOT NULL, view_hash TEXT NOT NULL
);
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
        make_folder(folder)
        create_file(folder / FILE_NAME)
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
    if has_tables(connection):
        raise GalleryError(folder, "a gallery is here already", "a new place")
    if connection.execute("SELECT 1 FROM sqlite_master").fetchone():
        raise GalleryError(folder / FILE_NAME, "a database of another program", "a new place")
    for statement in _SCHEMA.split(";"):
        connection.execute(statement)
    connection.executemany("INSERT INTO meta VALUES (?, ?)", meta.items())
    connection.execute("INSERT INTO versions VALUES (0, ?, 'created')", (now(),))


def now() -> str:
    """Return the time as versions record it: UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def has_tables(connection: sqlite3.Connection) -> bool:
    """Return whether a gallery was made in a database: a killed process may leave an empty one."""
    return has_table(connection, "meta")


def has_table(connection: sqlite3.Connection, name: str) -> bool:
    """Return whether a database has a table of a name."""
    wanted = "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = ?"
    return connection.execute(wanted, (name,)).fetchone() is not None


def begin(connection: sqlite3.Connection, folder: Path) -> None:
    """Begin a write transaction; whoever waits for it is not in any order."""
    connection.execute("BEGIN IMMEDIATE")


@contextmanager
def writing(
    connection: sqlite3.Connection,
    folder: Path,
    begin: Callable[[sqlite3.Connection, Path], None] = begin,
) -> Iterator[None]:
    """Run a block as one write transaction: all of it is on the disk afterwards, or nothing."""
    with gallery_errors(folder):
        begin(connection, folder)
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


def primary_code(error: sqlite3.Error) -> int:
    """Return SQLite's primary result code; `SQLITE_OK` where Python raised without asking it."""
    return getattr(error, "sqlite_errorcode", sqlite3.SQLITE_OK) & 0xFF


def busy_error(folder: Path) -> GalleryError:
    """Return what is told when another process writes for longer than one waits."""
    advice = "Try again when the other process has finished."
    return GalleryError(folder, "another process is writing", "a free gallery", advice)


def _gallery_error(folder: Path, error: sqlite3.Error) -> GalleryError:
    match primary_code(error):
        case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED | sqlite3.SQLITE_PROTOCOL:
            return busy_error(folder)
        case sqlite3.SQLITE_FULL:
            advice = "Nothing half was written."
            return GalleryError(folder, "the disk is full", "free space", advice)
        case sqlite3.SQLITE_READONLY:
            found = "the gallery cannot be written"
            return ReadOnlyGalleryError(folder, found, "a folder you may write to")
        case sqlite3.SQLITE_CANTOPEN:
            found = "a file of the gallery cannot be opened"
            return GalleryError(folder, found, "a folder you may read and write")
        case sqlite3.SQLITE_IOERR:
            advice = "Nothing half was written. Check the disk, its quota and its connection."
            return GalleryError(folder, f"the disk fails ({error})", "a working disk", advice)
    if isinstance(error, (sqlite3.InterfaceError, sqlite3.ProgrammingError)):  # the file is whole
        return GalleryError(folder, str(error))
    advice = "Restore it from a copy, or index the cohort anew."
    return GalleryError(folder / FILE_NAME, f"damaged ({error})", "a whole gallery", advice)


def checksum_of(scan_id: str, labels: str, code: bytes) -> int:
    """Return the first CRC-32 of a row, of what a search shows."""
    return zlib.crc32(code, zlib.crc32(f"{scan_id}\n{labels}\n".encode()))


def full_checksum_of(row: SqlRow) -> int:
    """Return the CRC-32 of all that a row of `checked_columns` says; SQLite itself has none."""
    _, scan_id, subject, session, labels, code, added_in, removed_in, _, _, *more = row
    cohort, image, image_hash, content = more
    text = (
        f"{scan_id}\n{subject}\n{session}\n{labels}\n{added_in}\n{removed_in}\n"
        f"{cohort}\n{image}\n{image_hash}\n{content}\n"
    )
    return zlib.crc32(code, zlib.crc32(text.encode("utf-8", "surrogatepass")))


def checked_columns(connection: sqlite3.Connection, code: str = "code") -> str:
    """Return the columns of `cases` that `is_whole` asks for; older records have no full checksum.

    `code` may be NULL where codes are not wanted.
    """
    full = "full_checksum" if has_full_checksum(connection) else "NULL"
    return (
        f"row, scan_id, subject, session, labels, {code}, added_in, removed_in, checksum, {full},"
        " cohort, image, image_hash, content"
    )


def add_views(connection: sqlite3.Connection) -> None:
    """Give an older record the table of view volumes."""
    if not has_table(connection, "views"):
        (statement,) = (s for s in _SCHEMA.split(";") if "TABLE views" in s)
        connection.execute(statement)


def has_full_checksum(connection: sqlite3.Connection) -> bool:
    """Return whether a record has checksums of whole rows, for those written since it has."""
    wanted = "SELECT 1 FROM pragma_table_info('cases') WHERE name = 'full_checksum'"
    return connection.execute(wanted).fetchone() is not None


def is_whole(row: SqlRow) -> bool:
    """Return whether a row of `checked_columns` adds up to its checksum."""
    _, scan_id, _, _, labels, code, _, _, checksum, full, *_ = row
    if full is not None:
        return bool(full == full_checksum_of(row))
    return bool(checksum == checksum_of(scan_id, labels, code))
