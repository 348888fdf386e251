"""SQLite connections to a record: how it is opened with and without write rights, and shared.

Whoever may write opens the file as any. Whoever may not reads by way of the write-ahead log's files
if another process has them open. Otherwise nobody writes at this moment: the file is read as if it
were immutable, and opened anew as soon as it is not what it was.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from braincase.errors import GalleryError
from braincase.files import did_you_mean
from braincase.gallery.record.database import (
    FILE_NAME,
    FORMAT,
    PATIENCE_S,
    gallery_errors,
    has_tables,
    primary_code,
    reading,
    writing,
)
from braincase.gallery.record.turns import begin_in_turn

#: What a file and its log are at one moment: inode, size and time of each, 0 for one without bytes.
FileState = tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Opened:
    """An open connection; `state` is the file's if SQLite takes it for immutable, or else None."""

    connection: sqlite3.Connection
    state: FileState | None


def state_of(folder: Path) -> FileState:
    """Return what a record's file and its log are now."""
    state: list[int] = []
    for name in (FILE_NAME, f"{FILE_NAME}-wal"):
        try:
            stat = (folder / name).stat()
            state += [stat.st_ino, stat.st_size, stat.st_mtime_ns] if stat.st_size else [0, 0, 0]
        except OSError:
            state += [0, 0, 0]
    return tuple(state)


def connect(folder: Path) -> Opened:
    """Open a connection to an existing record, read-only where it cannot be written.

    Raises
    ------
    GalleryError
        If there is no gallery, or the file is damaged or of another format.
    """
    advice = "Make one with: braincase index COHORT --gallery GALLERY --model MODEL"
    try:
        there = (folder / FILE_NAME).is_file()
    except OSError as error:
        raise GalleryError(folder, f"cannot be read ({error.strerror})", "a folder") from None
    if not there:
        advice = advice if folder.exists() else did_you_mean(folder, advice)
        raise GalleryError(folder, "no gallery here", f"a folder with {FILE_NAME}", advice)
    with gallery_errors(folder):
        opened = _open(folder)
        try:
            connection = opened.connection
            # Text that is no UTF-8 makes one row unreadable, not the whole query.
            connection.text_factory = partial(str, encoding="utf-8", errors="surrogateescape")
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute("PRAGMA secure_delete = ON")  # erased means overwritten
            connection.execute("PRAGMA trusted_schema = OFF")
            _refuse_what_computes(connection, folder)
            if not has_tables(connection):
                found = "no gallery here, but a file that was never filled"
                raise GalleryError(folder, found, "a whole gallery", advice)
            row = connection.execute("SELECT value FROM meta WHERE key = 'format'").fetchone()
            if row != (str(FORMAT),):
                found = f"format {str(row[0])[:20]}" if row else "no format number"
                raise GalleryError(folder, found, f"format {FORMAT}", "Index the cohort anew.")
        except BaseException:
            opened.connection.close()
            raise
    return opened


def _refuse_what_computes(connection: sqlite3.Connection, folder: Path) -> None:
    """Refuse a file that runs something where rows are read or written: it may have no end.

    A gallery has tables and indices of stored values. A view, a trigger, a virtual table or a
    generated column is somebody else's, who may have sent the file.
    """
    objects = (
        connection.execute(
            "SELECT type, name FROM sqlite_master"
            " WHERE type NOT IN ('table', 'index') OR sql LIKE 'CREATE VIRTUAL %'"
        ).fetchone()
        or connection.execute(
            "SELECT 'generated column', it.name || '.' || of_it.name"
            " FROM sqlite_master AS it, pragma_table_xinfo(it.name) AS of_it"
            " WHERE it.type = 'table' AND of_it.hidden"
        ).fetchone()
    )
    if objects is not None:
        kind, name = ("virtual table" if one == "table" else one for one in objects)
        found = f"a {kind} {name[:40]!r}"
        advice = (
            "Take no gallery from a stranger; restore it from a copy, or index the cohort anew."
        )
        raise GalleryError(folder / FILE_NAME, found, "plain tables", advice)


def _open(folder: Path) -> Opened:
    for mode in ("rw", "ro"):
        try:
            return Opened(_connection(folder, f"mode={mode}"), None)
        except sqlite3.OperationalError as error:
            if primary_code(error) not in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN):
                raise
    state = state_of(folder)
    if any(state[3:]):
        found = "changes in gallery.sqlite3-wal that can be read only where the folder is writable"
        advice = "Open the gallery once with the right to write, or copy the folder and open that."
        raise GalleryError(folder, found, "a gallery whose changes are in its file", advice)
    return Opened(_connection(folder, "mode=ro&immutable=1"), state)


def _connection(folder: Path, how: str) -> sqlite3.Connection:
    path = (folder / FILE_NAME).absolute().as_uri()
    connection = sqlite3.connect(
        f"{path}?{how}", uri=True, timeout=PATIENCE_S, isolation_level=None, check_same_thread=False
    )
    try:
        connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    except BaseException as error:
        connection.close()
        if isinstance(error, UnicodeDecodeError):  # SQLite's message quotes a damaged schema
            raise sqlite3.DatabaseError("malformed database schema") from None
        raise
    return connection


def is_made(folder: Path) -> bool:
    """Return whether a gallery was made in a folder; a file left half made by a kill is none."""
    path = folder / FILE_NAME
    if not path.is_file() or path.stat().st_size == 0:
        return False
    try:
        with closing(_open(folder).connection) as connection:
            return has_tables(connection)
    except (sqlite3.Error, GalleryError):
        return True  # something is there, and whoever opens it is told what


class Database:
    """A SQLite connection that threads share: they take turns by a reentrant lock."""

    def __init__(self, folder: Path) -> None:
        """Open the record in a folder; see `connect`."""
        self.folder = folder
        self.lock = threading.RLock()
        self._opened = connect(folder)
        self._closed = False

    @property
    def connection(self) -> sqlite3.Connection:
        """The connection as it is now; a reader without rights opens a changed file anew."""
        return self._opened.connection

    @contextmanager
    def querying(self) -> Iterator[sqlite3.Connection]:
        """Yield the connection for single statements, without a transaction."""
        with self.lock, gallery_errors(self.folder), self._unchanging():
            yield self.connection

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """Yield the connection inside one read transaction."""
        with self.lock, self._unchanging(), reading(self.connection, self.folder):
            yield self.connection

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """Yield the connection inside one write transaction."""
        with (
            self.lock,
            self._unchanging(),
            writing(self.connection, self.folder, begin_in_turn),
        ):
            yield self.connection

    @contextmanager
    def _unchanging(self) -> Iterator[None]:
        """Open the file anew if it has changed, where SQLite does not notice; check afterwards.

        Raises
        ------
        GalleryError
            If the record is closed, or was changed meanwhile.
        """
        if self._closed:
            raise GalleryError(self.folder, "closed", "an open gallery", "Open it again.")
        if self._opened.state is None or self.connection.in_transaction:
            yield
            return
        if self._opened.state != state_of(self.folder):
            opened = connect(self.folder)
            self.connection.close()
            self._opened = opened
        yield
        if self._opened.state is not None and self._opened.state != state_of(self.folder):
            found = "the gallery was changed while it was read"
            raise GalleryError(self.folder, found, "an unchanged file", "Try again.")

    def close(self) -> None:
        """Close the connection."""
        with self.lock:
            self._closed = True
            self.connection.close()
