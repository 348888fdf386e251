"""SQL queries that read cases and versions; each runs inside one read transaction."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from braincase.errors import GalleryError
from braincase.files import is_plain_relative
from braincase.gallery.cases import StoredCase, Version
from braincase.gallery.record.content import read_labels
from braincase.gallery.record.database import (
    FILE_NAME,
    SqlRow,
    checked_columns,
    has_table,
    is_whole,
)

Item = TypeVar("Item")

_FIELDS = "cases.row, scan_id, subject, session, labels, code, cohorts.folder, image, image_hash"
#: SQLite takes this many parameters in one statement at least.
MOST_PARAMETERS = 900


def newest_version(connection: sqlite3.Connection) -> int:
    """Return the gallery's version."""
    (version,) = connection.execute("SELECT max(version) FROM versions").fetchone()
    return int(version)


def time_of(connection: sqlite3.Connection, version: int) -> str:
    """Return when a version came about."""
    (at,) = connection.execute("SELECT at FROM versions WHERE version = ?", (version,)).fetchone()
    return str(at)


def _fields(connection: sqlite3.Connection) -> str:
    """Return what is selected for `_stored`, and from where."""
    cases = "FROM cases LEFT JOIN cohorts USING (cohort)"
    if has_table(connection, "views"):  # older records have none
        return f"{_FIELDS}, added_in, view, view_hash {cases} LEFT JOIN views USING (row)"
    return f"{_FIELDS}, added_in, NULL, NULL {cases}"


def cases_of(
    connection: sqlite3.Connection, record_rows: Iterable[int]
) -> tuple[StoredCase, ...] | None:
    """Return the cases of some rows of the record, in that order; None if one is there no more."""
    wanted = [int(row) for row in record_rows]
    case_of_row: dict[int, StoredCase] = {}
    for part in in_parts(wanted):
        condition = f"cases.row IN ({placeholders(part)})"
        rows = connection.execute(f"SELECT {_fields(connection)} WHERE {condition}", part)
        case_of_row |= {row[0]: _stored(row) for row in rows}
    if len(case_of_row) < len(set(wanted)):
        return None
    return tuple(case_of_row[row] for row in wanted)


def cases_named(
    connection: sqlite3.Connection, scan_ids: Sequence[str], version: int, bad: Collection[int] = ()
) -> dict[str, StoredCase]:
    """Return those of the named cases that were live at `version`, by scan_id, but no bad rows."""
    cases: dict[str, StoredCase] = {}
    for part in in_parts(scan_ids):
        rows = connection.execute(
            f"SELECT {_fields(connection)} WHERE scan_id IN ({placeholders(part)})"
            " AND added_in <= ? AND (removed_in IS NULL OR removed_in > ?)",
            (*part, version, version),
        )
        cases |= {row[1]: _stored(row) for row in rows if row[0] not in bad}
    return cases


def codes_of(
    connection: sqlite3.Connection, folder: Path, record_rows: Sequence[int], n_dimensions: int
) -> tuple[list[int], NDArray[np.float32]]:
    """Return which of some rows are (still) there, and their codes, shape (n, n_dimensions).

    Raises
    ------
    GalleryError
        If a row does not add up to its checksum.
    """
    blobs: dict[int, bytes] = {}
    for part in in_parts(record_rows):
        rows = connection.execute(
            f"SELECT {checked_columns(connection)} FROM cases WHERE row IN ({placeholders(part)})",
            part,
        )
        for row in rows:
            verify(folder, row)
            blobs[row[0]] = row[5]
    there = [row for row in record_rows if row in blobs]
    codes = np.frombuffer(b"".join(blobs[row] for row in there), "<f4")
    return there, codes.reshape(len(there), n_dimensions)


def verify(folder: Path, row: SqlRow) -> None:
    """Compare a row of `checked_columns` with its checksum.

    Raises
    ------
    GalleryError
        If it does not add up.
    """
    if not is_whole(row):
        advice = "Restore the gallery from a backup, or erase and index this scan again."
        raise GalleryError(folder / FILE_NAME, f"{row[1]} is damaged", "a whole row", advice)


def thumbnail_of_case(connection: sqlite3.Connection, scan_id: str, version: int) -> bytes | None:
    """Return the small picture of a case live at `version`, if it has one."""
    row = connection.execute(
        "SELECT picture FROM thumbnails JOIN cases USING (row) WHERE scan_id = ?"
        " AND added_in <= ? AND (removed_in IS NULL OR removed_in > ?)",
        (scan_id, version, version),
    ).fetchone()
    return row[0] if row and isinstance(row[0], bytes) else None


def history(connection: sqlite3.Connection) -> tuple[Version, ...]:
    """Return all versions, oldest first."""
    rows = connection.execute("SELECT version, at, what FROM versions ORDER BY 1")
    return tuple(Version(*row) for row in rows)


def erased_note(connection: sqlite3.Connection, version: int) -> tuple[str, ...]:
    """Return one sentence if cases of this version have since been erased."""
    (count,) = connection.execute(
        "SELECT count(*) FROM erased WHERE added_in <= ?"
        " AND (removed_in IS NULL OR removed_in > ?) AND erased_in > ?",
        (version, version, version),
    ).fetchone()
    return (f"{count} case(s) of this version have since been erased.",) if count else ()


def in_parts(values: Sequence[Item]) -> Iterator[list[Item]]:
    """Yield the values in lists that fit into one SQL statement."""
    for start in range(0, len(values), MOST_PARAMETERS):
        yield list(values[start : start + MOST_PARAMETERS])


def placeholders(values: Sequence[object]) -> str:
    """Return one SQL placeholder a value."""
    return ",".join("?" * len(values))


def _stored(row: SqlRow) -> StoredCase:
    """Return a row that can be read as a case."""
    _, scan_id, subject, session, labels, code, cohort, image, image_hash, since, *views = row
    view, view_hash = views
    return StoredCase(
        scan_id,
        subject,
        session,
        read_labels(labels),
        np.frombuffer(code, "<f4"),
        Path(cohort or ".", image) if _is_file(cohort, image) else None,
        image_hash if isinstance(image_hash, str) else None,
        since,
        Path(cohort) if isinstance(cohort, str) and cohort.isprintable() else None,
        Path(cohort or ".", view) if _is_file(cohort, view) else None,
        view_hash if isinstance(view_hash, str) else None,
    )


def _is_file(cohort: object, name: object) -> bool:
    """Return whether a row names an image in a cohort; another name leads to no file."""
    there = isinstance(name, str) and is_plain_relative(name)
    return there and (cohort is None or (isinstance(cohort, str) and cohort.isprintable()))
