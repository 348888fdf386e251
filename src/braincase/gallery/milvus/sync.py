"""A collection as a copy of the record: how it is brought up to it, and how far it is.

The record is written first; the collection follows. How far it has come is noted in a file beside
the record, in the same transaction that holds other processes off, so a process that dies anywhere
in between leaves work to do again and nothing else: what is there already is not put again, and
what should not be there is deleted. A case that ends gets a second entity before the first is
deleted, so a search that runs meanwhile never misses it.
"""

from __future__ import annotations

import json
import secrets
import sqlite3
import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, closing, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from braincase.errors import GalleryError
from braincase.gallery.groups import coarse_text, keyed_hash
from braincase.gallery.milvus.collection import MOST_RESULTS, Collection, Entities, key_list
from braincase.gallery.milvus.inner_product import LARGEST
from braincase.gallery.record.database import PATIENCE_S, gallery_errors, writing
from braincase.gallery.record.memory import NEVER
from braincase.gallery.record.reading import State
from braincase.gallery.record.record import Record
from braincase.gallery.url import MilvusUrl
from braincase.progress import progress

MARKS = "milvus.sqlite3"
#: Rows of the record looked at in one go; Milvus lists at most 16,384 keys, two a row.
ROWS = 4_000
#: The version of a collection of which nothing is known.
UNKNOWN = -1


@dataclass(frozen=True)
class Synced:
    """What bringing a collection up to its record did.

    `written_at` is when something last was written to the collection, seconds since 1970.
    """

    version: int
    put: int = 0
    deleted: int = 0
    written_at: float = 0.0

    def line(self) -> str:
        """Return what to tell the user."""
        return f"Milvus is at version {self.version}: {self.put} put, {self.deleted} deleted"


class SyncState:
    """The file beside the record that says how far each collection has come."""

    def __init__(self, folder: Path) -> None:
        """Open or make the file; it also keeps the secret of the opaque numbers."""
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
    def held(self, place: MilvusUrl) -> Iterator[Mark]:
        """Hold other processes off while a collection is brought up; note its mark at the end."""
        where = (place.server, place.collection)
        with self._connected() as connection, writing(connection, self.folder):
            found = connection.execute(
                "SELECT version, written_at FROM marks WHERE server = ? AND collection = ?", where
            ).fetchone()
            mark = Mark(*found) if found else Mark()
            yield mark
            now = (*where, mark.version, mark.written_at)
            connection.execute("INSERT OR REPLACE INTO marks VALUES (?, ?, ?, ?)", now)

    @contextmanager
    def _connected(self) -> Iterator[sqlite3.Connection]:
        # One connection a use: threads and processes take turns by SQLite's own lock.
        with gallery_errors(self.folder):
            path = self.folder / MARKS
            connection = sqlite3.connect(path, timeout=PATIENCE_S * 10, isolation_level=None)
            with closing(connection):
                yield connection


@dataclass
class Mark:
    """How far a collection has come, and when it was last written to; changed while it is held."""

    version: int = UNKNOWN
    written_at: float = 0.0


def sync_engine(
    record: Record, collection: Collection, marks: SyncState, flat: bool, everything: bool = False
) -> Synced:
    """Bring a collection up to the newest version of the record.

    Parameters
    ----------
    record, collection, marks
        What is copied, to where, and how far it is.
    flat
        Whether the collection holds lifted vectors.
    everything
        Compare every entity, not only those of the versions since the mark.
    """
    with marks.held(collection.place) as mark:
        newest, rows = record.changed_rows(UNKNOWN if everything else mark.version)
        put = deleted = 0
        parts = _ranges(record, rows, newest) if everything else _lists(rows)
        with _shown(len(rows)) as advance:
            for part, condition in parts:
                more, fewer = _compare(record, collection, marks, part, condition, flat)
                put, deleted = put + more, deleted + fewer
                advance(len(part))
        if everything:
            deleted += _delete_beyond(collection, rows[-1] + 1 if rows else 0)
        mark.version = newest
        if put or deleted:
            mark.written_at = time.time()
    return Synced(newest, put, deleted, mark.written_at)


def _shown(n_rows: int) -> AbstractContextManager[Callable[..., None]]:
    """Show progress where it takes longer than two seconds."""
    return progress("copying to Milvus", n_rows) if n_rows > ROWS else nullcontext(lambda n: None)


def _lists(rows: Sequence[int]) -> Iterator[tuple[list[int], str]]:
    for start in range(0, len(rows), ROWS):
        part = list(rows[start : start + ROWS])
        yield part, key_list([key for row in part for key in (2 * row, 2 * row + 1)])


def _ranges(record: Record, rows: Sequence[int], newest: int) -> Iterator[tuple[list[int], str]]:
    """Yield all rows with conditions that leave no key between them out."""
    for start in range(0, rows[-1] + 1 if rows else 0, ROWS):
        stop = start + ROWS
        condition = f"key >= {2 * start} and key < {2 * stop}"
        yield record.rows_between(start, stop), condition


def _compare(
    record: Record,
    collection: Collection,
    marks: SyncState,
    rows: Sequence[int],
    condition: str,
    flat: bool,
) -> tuple[int, int]:
    """Make the entities under a condition those of some rows; return how many were put, deleted."""
    wanted = _entities(record, record.states_of(rows), marks.secret)
    held = collection.held(condition)
    checksums = dict(zip(wanted.keys.tolist(), wanted.checksums.tolist(), strict=True))
    other = [key for key, found in held.items() if checksums.get(key, found) != found]
    collection.delete(other)  # the same key with another content: the record was put back in time
    lacking = [
        place
        for place, key in enumerate(wanted.keys.tolist())
        if key not in held or key in set(other)
    ]
    for start in range(0, len(lacking), ROWS):
        collection.put(wanted.part(lacking[start : start + ROWS]), flat)
    gone = [key for key in held if key not in checksums]
    collection.delete(gone)
    return len(lacking), len(other) + len(gone)


def _delete_beyond(collection: Collection, row: int) -> int:
    deleted = 0
    while beyond := collection.held(f"key >= {2 * row}", MOST_RESULTS):
        collection.delete(beyond)
        deleted += len(beyond)
    return deleted


def _entities(record: Record, states: Sequence[State], secret: bytes) -> Entities:
    n = len(states)
    codes = np.frombuffer(b"".join(state.code for state in states), "<f4")
    codes = codes.reshape(n, record.n_dimensions)
    if n and np.abs(codes).max() > LARGEST:
        raise GalleryError(record.folder, "codes too large for Milvus", f"at most {LARGEST:g}")
    keys = np.array([2 * state.row + (state.removed_in is not None) for state in states], np.int64)
    added = np.array([state.added_in for state in states], np.int64)
    removed = np.array(
        [NEVER if state.removed_in is None else state.removed_in for state in states], np.int64
    )
    lots = np.array(
        [keyed_hash(secret, coarse_text(json.loads(state.labels))) for state in states], np.int64
    )
    checksums = [
        zlib.crc32(f"{one} {other} {lot} {state.checksum}".encode())
        for one, other, lot, state in zip(added, removed, lots, states, strict=True)
    ]
    return Entities(keys, added, removed, lots, np.array(checksums, np.int64), codes)
