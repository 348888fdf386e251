"""Change feed of a record: which rows changed since a version, and what they hold now.

This is what a copy elsewhere (`braincase.gallery.milvus.sync`) reads of the record.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from braincase.gallery.record.connection import Database
from braincase.gallery.record.content import readable_rows
from braincase.gallery.record.database import checked_columns
from braincase.gallery.record.reading import in_parts, newest_version, placeholders, verify


@dataclass(frozen=True)
class CaseState:
    """One state of a case, with what a copy of it elsewhere needs; `removed_in` None: live."""

    row: int
    added_in: int
    removed_in: int | None
    labels: str
    code: bytes
    checksum: int


class ChangeFeed:
    """Change data capture: the changes of a record, each call in one read transaction."""

    def __init__(self, database: Database, n_dimensions: int) -> None:
        self._database, self._n_dimensions = database, n_dimensions

    def changed_rows(self, after: int) -> tuple[int, list[int]]:
        """Return the newest version, and the rows that began, ended or were erased after `after`.

        The rows are in increasing order.
        """
        with self._database.reading() as connection:
            rows = connection.execute(
                "SELECT row FROM cases WHERE added_in > ?"
                " UNION SELECT row FROM cases WHERE removed_in > ?"
                " UNION SELECT row FROM erased WHERE erased_in > ? ORDER BY 1",
                (after, after, after),
            )
            return newest_version(connection), [row for (row,) in rows]

    def rows_between(self, start: int, stop: int) -> list[int]:
        """Return the row numbers of the record from `start` up to, not including, `stop`."""
        with self._database.reading() as connection:
            rows = connection.execute(
                "SELECT row FROM cases WHERE row >= ? AND row < ? ORDER BY 1", (start, stop)
            )
            return [row for (row,) in rows]

    def states_of(self, record_rows: Sequence[int]) -> list[CaseState]:
        """Return the states of those rows that are not erased and can be read.

        Raises
        ------
        GalleryError
            If a row does not add up to its checksum.
        """
        states = []
        with self._database.reading() as connection:
            for part in in_parts(record_rows):
                rows = connection.execute(
                    f"SELECT {checked_columns(connection)} FROM cases"
                    f" WHERE row IN ({placeholders(part)})",
                    part,
                ).fetchall()
                for row in readable_rows(rows, self._n_dimensions)[0]:
                    verify(self._database.folder, row)
                    number, _, _, _, labels, code, added_in, removed_in, checksum = row[:9]
                    states.append(CaseState(number, added_in, removed_in, labels, code, checksum))
        return states
