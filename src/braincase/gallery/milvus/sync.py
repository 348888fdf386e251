"""One-way synchronisation (replication) of a record into its collection.

The record is written first; the collection follows. How far it has come is noted in a file beside
the record, in the same transaction that locks other processes out, so a process that dies anywhere
in between leaves work to do again and nothing else: what is there already is not put again, and
what should not be there is deleted. A case that ends gets a second entity before the first is
deleted, so a search that runs meanwhile never misses it.
"""

from __future__ import annotations

import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import numpy as np

from braincase.errors import GalleryError
from braincase.gallery.groups import coarse_text, keyed_hash
from braincase.gallery.milvus.collection import MOST_RESULTS, Collection, Entities, keys_condition
from braincase.gallery.milvus.inner_product import LARGEST
from braincase.gallery.milvus.sync_state import UNKNOWN, SyncState
from braincase.gallery.record.change_feed import CaseState, ChangeFeed
from braincase.gallery.record.memory import NEVER
from braincase.gallery.record.record import Record
from braincase.json_values import parse_json
from braincase.progress import progress

#: Rows of the record looked at in one go; Milvus lists at most 16,384 keys, two a row.
ROWS = 4_000


@dataclass(frozen=True)
class SyncResult:
    """What a synchronisation did to a collection.

    `written_at` is when something last was written to the collection, seconds since 1970.
    """

    version: int
    put: int = 0
    deleted: int = 0
    written_at: float = 0.0

    def line(self) -> str:
        """Return what to tell the user."""
        return f"Milvus is at version {self.version}: {self.put} put, {self.deleted} deleted"


class CollectionSync:
    """The synchronisation of one collection with one record."""

    def __init__(self, record: Record, collection: Collection, state: SyncState) -> None:
        self._record, self._collection, self._state = record, collection, state
        self._changes = ChangeFeed(record.database, record.n_dimensions)
        #: What the newest run did.
        self.newest = SyncResult(UNKNOWN)

    def run(self, everything: bool = False) -> SyncResult:
        """Bring the collection up to the newest version of the record.

        Parameters
        ----------
        everything
            Compare every entity, not only those of the versions since the sync point.
        """
        with self._state.locked(self._collection.url) as point:
            version, rows = self._changes.changed_rows(UNKNOWN if everything else point.version)
            put = deleted = 0
            parts = self._ranges(rows) if everything else _lists(rows)
            with _shown(len(rows)) as advance:
                for part, condition in parts:
                    more, fewer = self._replace(part, condition)
                    put, deleted = put + more, deleted + fewer
                    advance(len(part))
            if everything:
                deleted += self._delete_beyond(rows[-1] + 1 if rows else 0)
            point.version = version
            if put or deleted:
                point.written_at = time.time()
        self.newest = SyncResult(version, put, deleted, point.written_at)
        return self.newest

    def catch_up(self, version: int) -> None:
        """Bring the collection up to a version, if it is not there yet."""
        if self.newest.version < version:
            self.run()

    def _ranges(self, rows: Sequence[int]) -> Iterator[tuple[list[int], str]]:
        """Yield all rows with conditions that leave no key between them out."""
        for start in range(0, rows[-1] + 1 if rows else 0, ROWS):
            stop = start + ROWS
            condition = f"key >= {2 * start} and key < {2 * stop}"
            yield self._changes.rows_between(start, stop), condition

    def _replace(self, rows: Sequence[int], condition: str) -> tuple[int, int]:
        """Make the entities under a condition those of some rows.

        Returns how many were put and deleted.
        """
        wanted = self._entities(self._changes.states_of(rows))
        present = self._collection.checksums(condition)
        checksums = dict(zip(wanted.keys.tolist(), wanted.checksums.tolist(), strict=True))
        # The same key with another content: the record was put back in time.
        stale = {
            key for key, checksum in present.items() if checksums.get(key, checksum) != checksum
        }
        self._collection.delete(stale)
        lacking = [
            position
            for position, key in enumerate(wanted.keys.tolist())
            if key not in present or key in stale
        ]
        for start in range(0, len(lacking), ROWS):
            self._collection.put(wanted.at(lacking[start : start + ROWS]))
        gone = [key for key in present if key not in checksums]
        self._collection.delete(gone)
        return len(lacking), len(stale) + len(gone)

    def _delete_beyond(self, row: int) -> int:
        deleted = 0
        while beyond := self._collection.checksums(f"key >= {2 * row}", MOST_RESULTS):
            self._collection.delete(beyond)
            deleted += len(beyond)
        return deleted

    def _entities(self, states: Sequence[CaseState]) -> Entities:
        n, record, secret = len(states), self._record, self._state.secret
        codes = np.frombuffer(b"".join(state.code for state in states), "<f4")
        codes = codes.reshape(n, record.n_dimensions)
        if n and np.abs(codes).max() > LARGEST:
            raise GalleryError(record.folder, "codes too large for Milvus", f"at most {LARGEST:g}")
        keys = [2 * state.row + (state.removed_in is not None) for state in states]
        added = [state.added_in for state in states]
        removed = [NEVER if state.removed_in is None else state.removed_in for state in states]
        lots = [keyed_hash(secret, coarse_text(parse_json(state.labels))) for state in states]
        checksums = [
            zlib.crc32(f"{start} {end} {lot} {state.checksum}".encode())
            for start, end, lot, state in zip(added, removed, lots, states, strict=True)
        ]
        return Entities(
            np.array(keys, np.int64),
            np.array(added, np.int64),
            np.array(removed, np.int64),
            np.array(lots, np.int64),
            np.array(checksums, np.int64),
            codes,
        )


def _shown(n_rows: int) -> AbstractContextManager[Callable[..., None]]:
    """Show progress where it takes longer than two seconds."""
    return progress("copying to Milvus", n_rows) if n_rows > ROWS else nullcontext(lambda n: None)


def _lists(rows: Sequence[int]) -> Iterator[tuple[list[int], str]]:
    """Yield some rows in parts, with the condition that names all their keys."""
    for start in range(0, len(rows), ROWS):
        part = list(rows[start : start + ROWS])
        yield part, keys_condition([key for row in part for key in (2 * row, 2 * row + 1)])
