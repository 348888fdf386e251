"""In-memory column store: all codes and labels of a gallery, refreshed from the record."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from braincase.gallery.columns import (
    Column,
    TextColumn,
    column_of,
    columns_of_labels,
    join_tables,
    join_texts,
    text_column,
)
from braincase.gallery.exact import Rows, squared_lengths
from braincase.gallery.groups import coarse_text
from braincase.gallery.record.content import BadRow, readable_rows
from braincase.gallery.record.database import SqlRow, checked_columns
from braincase.gallery.record.reading import newest_version, verify
from braincase.labels import Value

#: Rows read from the record at a time.
BATCH = 20_000
#: The end of a case that has not ended.
NEVER = np.iinfo(np.int64).max
#: Room for growth when the buffer of codes is full, so that many small adds copy little.
GROWTH = 1.25


@dataclass(frozen=True, eq=False)
class Memory:
    """A column store: every state of every case, in the order of the record.

    Parameters
    ----------
    version
        The newest version this knows.
    buffer
        Codes, shape (capacity, n_cells), the first ``len(record_rows)`` filled; or (capacity, 0)
        where the codes stay in the record.
    squares
        Squared length of each code, shape (n,).
    record_rows
        Row number in the record, increasing, shape (n,).
    added_in, removed_in
        Versions between which each state was live, shape (n,).
    columns
        ``subject``, ``session`` and the labels, each of n rows.
    coarse
        The coarse group of each row (`braincase.gallery.groups`), where the codes stay outside.
    bad
        Rows of the record that cannot be read; they are none of the n.
    """

    version: int
    buffer: NDArray[np.float32]
    squares: NDArray[np.float32]
    record_rows: Rows
    added_in: Rows
    removed_in: Rows
    columns: Mapping[str, Column] = field(default_factory=dict)
    coarse: TextColumn | None = None
    bad: tuple[BadRow, ...] = ()

    @property
    def codes(self) -> NDArray[np.float32]:
        """The codes, shape (n, n_cells)."""
        return self.buffer[: len(self.record_rows)]

    def people(self) -> TextColumn:
        """Return whose each state is."""
        people = self.columns.get("subject", _NOBODY)
        assert isinstance(people, TextColumn)
        return people

    def rows_of_person(self, subject: str) -> Rows:
        """Return where the states of one person are, in increasing order."""
        people = self.people()
        number = people.index_of(subject)
        if number is None:
            return np.empty(0, np.int64)
        order, indices = self._by_person
        start, stop = np.searchsorted(indices, [number, number + 1])
        return order[start:stop]

    @cached_property
    def _by_person(self) -> tuple[Rows, NDArray[np.int32]]:
        """All rows ordered by person, and whose each then is; made when first asked for."""
        indices = self.people().indices
        order = np.argsort(indices, kind="stable")
        return order, indices[order]

    def live(self, version: int) -> Live:
        """Return which states were live at `version`."""
        mask = (self.added_in <= version) & (self.removed_in > version)
        people = np.bincount(self.people().indices[mask], minlength=1)
        return Live(mask, int(mask.sum()), int((people > 0).sum()))


@dataclass(frozen=True, eq=False)
class Live:
    """The states live at one version: a mask of shape (n,), how many, and of how many people."""

    mask: NDArray[np.bool_]
    n_cases: int
    n_people: int


_NOBODY = TextColumn(np.empty(0, np.int32), np.empty(0, np.str_))


def empty_memory(n_dimensions: int, keep_codes: bool = True) -> Memory:
    """Return the memory of a gallery before its first version."""
    none = np.empty(0, np.int64)
    buffer = np.empty((0, n_dimensions if keep_codes else 0), np.float32)
    return Memory(-1, buffer, np.empty(0, np.float32), none, none, none)


def refresh(memory: Memory, connection: sqlite3.Connection, folder: Path) -> Memory:
    """Return `memory` with all that the record holds since; call inside one read transaction.

    Raises
    ------
    GalleryError
        If a row does not add up to its checksum.
    """
    version = newest_version(connection)
    if version == memory.version:
        return memory
    after = (memory.version,)
    parts = list(_new_parts(memory, connection, folder))
    ended = connection.execute(
        "SELECT row, removed_in FROM cases WHERE removed_in > ? AND typeof(removed_in) = 'integer'",
        after,
    )
    erased = connection.execute("SELECT row, -1 FROM erased WHERE erased_in > ?", after)
    memory = _note_ends(_joined([memory, *parts]), dict(ended))
    return replace(_note_ends(memory, dict(erased)), version=version)


def _new_parts(memory: Memory, connection: sqlite3.Connection, folder: Path) -> Iterator[Memory]:
    """Yield what was added since, in batches, all in one buffer behind the codes it has."""
    after = (memory.version,)
    (count,) = connection.execute("SELECT count(*) FROM cases WHERE added_in > ?", after).fetchone()
    filled = len(memory.record_rows)
    buffer = _with_room(memory.buffer, filled, count)
    code = "code" if buffer.shape[1] else "NULL"
    rows = connection.execute(
        f"SELECT {checked_columns(connection, code)} FROM cases WHERE added_in > ? ORDER BY row",
        after,
    )
    while batch := rows.fetchmany(BATCH):
        good, labels, bad = readable_rows(batch, buffer.shape[1])
        if good:
            yield _part(good, labels, buffer, filled, folder)
        if bad:
            yield replace(empty_memory(buffer.shape[1]), buffer=buffer, bad=tuple(bad))
        filled += len(good)


def _part(
    batch: Sequence[SqlRow],
    labels: Sequence[Mapping[str, Value]],
    buffer: NDArray[np.float32],
    filled: int,
    folder: Path,
) -> Memory:
    columns = zip(*(row[:8] for row in batch), strict=True)
    record_rows, _, subjects, sessions, _, blobs, added, removed = columns
    codes = buffer[filled : filled + len(batch)]
    coarse = None
    if codes.shape[1]:
        for row in batch:
            verify(folder, row)
        codes[:] = np.frombuffer(b"".join(blobs), "<f4").reshape(codes.shape)
    else:
        coarse = text_column([coarse_text(row) for row in labels])
    table = columns_of_labels(labels)
    identity = {"subject": column_of(subjects), "session": column_of(sessions)}
    return Memory(
        -1,
        buffer,
        squared_lengths(codes),
        np.array(record_rows, np.int64),
        np.array(added, np.int64),
        np.array([NEVER if end is None else end for end in removed], np.int64),
        {**identity, **table, **identity},
        coarse,
    )


def _joined(parts: Sequence[Memory]) -> Memory:
    if len(parts) == 1:
        return parts[0]
    coarse = [part.coarse for part in parts if part.coarse is not None]
    return Memory(
        parts[0].version,
        parts[-1].buffer,
        np.concatenate([part.squares for part in parts]),
        np.concatenate([part.record_rows for part in parts]),
        np.concatenate([part.added_in for part in parts]),
        np.concatenate([part.removed_in for part in parts]),
        join_tables([(part.columns, len(part.record_rows)) for part in parts]),
        join_texts(coarse) if coarse else None,
        tuple(row for part in parts for row in part.bad),
    )


def _with_room(buffer: NDArray[np.float32], filled: int, count: int) -> NDArray[np.float32]:
    """Return a buffer with room for more; what earlier memories see of it stays."""
    needed = filled + count
    if needed <= len(buffer):
        return buffer
    larger = np.empty((max(needed, int(filled * GROWTH)), buffer.shape[1]), np.float32)
    larger[:filled] = buffer[:filled]
    return larger


def _note_ends(memory: Memory, ends: Mapping[int, int]) -> Memory:
    """Return `memory` with the version at which some record rows ended; -1: they are erased."""
    if not ends:
        return memory
    memory = replace(memory, bad=tuple(_bad_ended(memory.bad, ends)))
    rows = np.array(list(ends), np.int64)
    places = np.searchsorted(memory.record_rows, rows)
    present = places < len(memory.record_rows)
    present[present] = memory.record_rows[places[present]] == rows[present]
    removed_in = memory.removed_in.copy()
    removed_in[places[present]] = np.array(list(ends.values()), np.int64)[present]
    return replace(memory, removed_in=removed_in)


def _bad_ended(bad: Sequence[BadRow], ends: Mapping[int, int]) -> Iterator[BadRow]:
    for row in bad:
        end = ends.get(row.row, row.removed_in)
        if end != -1:
            yield replace(row, removed_in=end)
