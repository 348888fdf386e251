"""SQL statements that change cases; each function runs inside one write transaction."""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Sequence
from pathlib import Path

from braincase.errors import GalleryError, UnknownCaseError, UsageError
from braincase.gallery.cases import Change, NewCase
from braincase.gallery.record.content import CheckedCase, checked_case
from braincase.gallery.record.database import (
    SqlRow,
    add_views,
    checked_columns,
    checksum_of,
    full_checksum_of,
    has_full_checksum,
    is_whole,
    now,
)
from braincase.gallery.record.place import note_place
from braincase.gallery.record.reading import newest_version
from braincase.gallery.record.tombstones import Tombstones

#: In the record's description while bytes of erased cases may still be in its files.
ERASING = "erasing"


def put_cases(
    connection: sqlite3.Connection,
    folder: Path,
    cases: Sequence[NewCase],
    n_dimensions: int,
    replace_changed: bool,
) -> Change:
    """Add or, with `replace_changed`, update cases; nothing new makes no new version.

    Raises
    ------
    GalleryError
        If a scan_id is there with other content and `replace_changed` is false.
    UsageError
        If a case could not be read again (see `checked_case`), or a scan_id comes twice.
    """
    add_full_checksum(connection)
    add_views(connection)
    note_place(connection, folder)
    version = newest_version(connection)
    tombstones = Tombstones(connection, folder)
    added: list[str] = []
    updated: list[str] = []
    unchanged: list[str] = []
    erased_before: list[str] = []
    duplicates: list[tuple[str, str]] = []
    for checked in _checked(cases, n_dimensions):
        case, text, code = checked.case, checked.labels, checked.code
        live = connection.execute(
            "SELECT row, subject, session, labels, code, image_hash FROM cases"
            " WHERE scan_id = ? AND removed_in IS NULL",
            (case.scan_id,),
        ).fetchone()
        if live and _same(live, case, text, code) and _has_view(connection, live[0], case):
            unchanged.append(case.scan_id)
            continue
        if live and not replace_changed:
            advice = "Use update to put the new one in its place."
            raise GalleryError(folder, f"{case.scan_id} is there, but differs", "", advice)
        if tombstones.has(case.scan_id, _content(case, code), case.subject):
            erased_before.append(case.scan_id)
            continue
        if live:
            _end_row(connection, live[0], version + 1)
        duplicates += _duplicates(connection, case, code)
        _insert(connection, case, text, code, version + 1)
        (updated if live else added).append(case.scan_id)
    if added or updated:
        version += 1
        _note_version(connection, version, f"{len(added)} added, {len(updated)} updated")
    return Change(
        version,
        tuple(added),
        tuple(updated),
        tuple(unchanged),
        duplicates=tuple(duplicates),
        erased_before=tuple(erased_before),
    )


def remove_cases(connection: sqlite3.Connection, folder: Path, scan_ids: Sequence[str]) -> Change:
    """End cases; earlier versions still have them."""
    rows = [_live_row(connection, folder, scan_id) for scan_id in scan_ids]
    if not rows:
        return Change(newest_version(connection))
    version = newest_version(connection) + 1
    add_full_checksum(connection)
    for row in rows:
        _end_row(connection, row, version)
    _note_version(connection, version, f"{len(rows)} removed")
    return Change(version, removed=tuple(scan_ids))


def erase_cases(connection: sqlite3.Connection, folder: Path, scan_ids: Sequence[str]) -> Change:
    """Delete every state that these scans ever had, so that nothing of them stays in the file."""
    add_views(connection)
    rows: list[int] = []
    version = newest_version(connection) + 1
    tombstones = Tombstones(connection, folder)
    people: dict[str, list[str]] = {}
    for scan_id in dict.fromkeys(scan_ids):
        states = connection.execute(
            "SELECT row, content, subject FROM cases WHERE scan_id = ?", (scan_id,)
        ).fetchall()
        if not states:
            raise UnknownCaseError("scan_id", f"no scan '{scan_id}'", f"a scan of {folder}")
        rows += [row for row, _, _ in states]
        tombstones.add(scan_id, [str(content) for _, content, _ in states], version)
        for subject in {str(subject) for _, _, subject in states}:
            people.setdefault(subject, []).append(scan_id)
    if not rows:
        return Change(newest_version(connection))
    for row in rows:
        connection.execute(
            "INSERT INTO erased SELECT row, added_in, removed_in, ? FROM cases WHERE row = ?",
            (version, row),
        )
        connection.execute("DELETE FROM thumbnails WHERE row = ?", (row,))
        connection.execute("DELETE FROM views WHERE row = ?", (row,))
        connection.execute("DELETE FROM cases WHERE row = ?", (row,))
    for subject, theirs in people.items():
        of_person = "SELECT 1 FROM cases WHERE subject = ? LIMIT 1"
        if connection.execute(of_person, (subject,)).fetchone() is None:
            tombstones.add_person(subject, theirs, version)
    connection.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (ERASING, str(version)))
    _note_version(connection, version, f"{len(scan_ids)} erased")
    return Change(version, removed=tuple(scan_ids))


def _checked(cases: Sequence[NewCase], n_dimensions: int) -> list[CheckedCase]:
    seen: set[str] = set()
    checked = []
    for case in cases:
        checked.append(checked_case(case, n_dimensions))
        if case.scan_id in seen:
            raise UsageError(case.scan_id, "the scan comes twice", "each scan once")
        seen.add(case.scan_id)
    return checked


def _same(live: SqlRow, case: NewCase, labels: str, code: bytes) -> bool:
    """Return whether the live case is this one; the same image may give codes a rounding apart."""
    _, *identity, live_code, live_hash = live
    same_image = live_hash == case.image_hash if case.image_hash else live_code == code
    return same_image and identity == [case.subject, case.session, labels]


def _has_view(connection: sqlite3.Connection, row: int, case: NewCase) -> bool:
    """Return whether the live case's view volume is this one's, or neither has any."""
    there = connection.execute("SELECT view, view_hash FROM views WHERE row = ?", (row,)).fetchone()
    return bool(there == _view(case))


def _view(case: NewCase) -> tuple[str, str] | None:
    """Return name and hash of a case's view volume; without a hash it can never be known again."""
    return (case.view, case.view_hash) if case.view and case.view_hash else None


def _duplicates(
    connection: sqlite3.Connection, case: NewCase, code: bytes
) -> list[tuple[str, str]]:
    others = connection.execute(
        "SELECT scan_id FROM cases WHERE content = ? AND removed_in IS NULL AND scan_id != ?",
        (_content(case, code), case.scan_id),
    )
    return [(case.scan_id, other) for (other,) in others]


def _insert(
    connection: sqlite3.Connection, case: NewCase, labels: str, code: bytes, version: int
) -> None:
    row = connection.execute(
        "INSERT INTO cases (scan_id, subject, session, labels, code, checksum, cohort, image,"
        " image_hash, content, added_in) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            case.scan_id,
            case.subject,
            case.session,
            labels,
            code,
            checksum_of(case.scan_id, labels, code),
            _cohort_number(connection, case.cohort),
            case.image,
            case.image_hash,
            _content(case, code),
            version,
        ),
    ).lastrowid
    assert row is not None
    _stamp(connection, _row(connection, row))
    if case.thumbnail is not None:
        connection.execute("INSERT INTO thumbnails VALUES (?, ?)", (row, case.thumbnail))
    if view := _view(case):
        connection.execute("INSERT INTO views VALUES (?, ?, ?)", (row, *view))


def add_full_checksum(connection: sqlite3.Connection) -> None:
    """Give an older record the column for checksums of whole rows; its rows stay without."""
    if not has_full_checksum(connection):
        connection.execute("ALTER TABLE cases ADD COLUMN full_checksum INTEGER")


def _row(connection: sqlite3.Connection, row: int) -> SqlRow:
    columns = checked_columns(connection)
    found: SqlRow = connection.execute(
        f"SELECT {columns} FROM cases WHERE row = ?", (row,)
    ).fetchone()
    return found


def _stamp(connection: sqlite3.Connection, row: SqlRow) -> None:
    """Write the checksum of a whole row."""
    values = (full_checksum_of(row), row[0])
    connection.execute("UPDATE cases SET full_checksum = ? WHERE row = ?", values)


def _end_row(connection: sqlite3.Connection, row: int, version: int) -> None:
    """End a state of a case; its checksum follows, unless it was damaged or has none."""
    try:
        before = _row(connection, row)
        whole = before[9] is not None and is_whole(before)
    except (TypeError, ValueError):  # a row that cannot be read can be ended nevertheless
        whole = False
    connection.execute("UPDATE cases SET removed_in = ? WHERE row = ?", (version, row))
    if whole:
        _stamp(connection, _row(connection, row))


def readmit_cases(connection: sqlite3.Connection, folder: Path, scan_ids: Sequence[str]) -> None:
    """Lift the tombstones of erased scans, so that they may be added again.

    Raises
    ------
    UnknownCaseError
        If one was never erased.
    """
    tombstones = Tombstones(connection, folder)
    for scan_id in scan_ids:
        if not tombstones.lift(scan_id):
            found = f"no scan '{scan_id}' was erased"
            raise UnknownCaseError("scan_id", found, f"an erased scan of {folder}")


def _cohort_number(connection: sqlite3.Connection, cohort: str | Path | None) -> int | None:
    if cohort is None:
        return None
    folder = str(Path(cohort).absolute())
    connection.execute("INSERT OR IGNORE INTO cohorts (folder) VALUES (?)", (folder,))
    row = connection.execute("SELECT cohort FROM cohorts WHERE folder = ?", (folder,)).fetchone()
    return int(row[0])


def _content(case: NewCase, code: bytes) -> str:
    return case.image_hash or "code:" + hashlib.sha256(code).hexdigest()


def _live_row(connection: sqlite3.Connection, folder: Path, scan_id: str) -> int:
    live = connection.execute(
        "SELECT row FROM cases WHERE scan_id = ? AND removed_in IS NULL", (scan_id,)
    ).fetchone()
    if live is None:
        raise UnknownCaseError("scan_id", f"no scan '{scan_id}'", f"a scan of {folder}")
    return int(live[0])


def _note_version(connection: sqlite3.Connection, version: int, what: str) -> None:
    connection.execute("INSERT INTO versions VALUES (?, ?, ?)", (version, now(), what))
