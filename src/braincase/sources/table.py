"""Read a CSV, TSV or XLSX table that names the images: one row a scan.

=========  ======================================================  =========
column     also called                                             needed
=========  ======================================================  =========
path       image, file, filename, t1w                              yes
subject    subject_id, participant_id, patient_id, ptid, sub       yes
session    session_id, visit, viscode, timepoint, ses              if repeated
diagnosis  label                                                   to train
others     labels by their own names (age, sex, site, scanner)     no
=========  ======================================================  =========

A relative path is relative to the table. It may name an image, a DICOM folder or a DICOM zip.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from braincase.errors import UsageError
from braincase.labels import Value
from braincase.sources.cells import identifiers, is_missing
from braincase.sources.census import Census, no_label_note, take_census
from braincase.sources.choose import Dropped, image_marks
from braincase.sources.identity import PATH, SESSION, SUBJECT, column_among, placeholders
from braincase.sources.listing import file_problem
from braincase.sources.rows import (
    Labels,
    SourceTable,
    clean_subjects,
    label_column_of,
    label_name,
    label_rows,
    read_table_file,
    session_name,
)
from braincase.sources.scan import Scan
from braincase.sources.tables import legends_beside

#: Columns that repeat who a scan is, as tables of hits hold them.
REPEATS = ("scan_id", "image_hash")


@dataclass(frozen=True)
class _Columns:
    """The columns of path, subject and session, and the cleaned names in the last two."""

    where: str
    who: str
    when: str | None
    subjects: list[str]
    sessions: list[str]
    notes: tuple[str, ...]


def read_table(path: Path, label_column: str | None = None) -> tuple[list[Scan], Census]:
    """Return the scans that a table names, and their census.

    Parameters
    ----------
    path
        The file; the columns are in this module's docstring.
    label_column
        The column to count; if None, the one that most likely holds the class.

    Raises
    ------
    UsageError
        If it is no table, or has no path or no subject column.
    """
    table = read_table_file(path, lambda columns: column_among(columns, PATH) is not None)
    if not table.rows:
        raise UsageError(path, "a table without rows", "a header line, and a row a scan")
    columns = _columns(table)
    labels = _labels(table, columns)
    subjects = clean_subjects((name for name in columns.subjects if name), path)
    nobody = placeholders(columns.subjects)
    scans: dict[str, Scan] = {}
    dropped: Dropped = []
    for i, row in enumerate(table.rows):
        place = f"{path} line {table.lines[i]}"
        problem = _problem(path, row, columns, i, nobody)
        if problem:
            dropped.append((place, problem))
            continue
        scan = _scan(table, labels, columns, i, subjects[columns.subjects[i]])
        if scan.scan_id in scans:
            reason = f"{scan.scan_id} stands there twice; tell visits apart by a session column"
            dropped.append((place, reason))
        scans.setdefault(scan.scan_id, scan)
    listed = list(scans.values())
    column = label_name(label_column) or label_column_of(n for s in listed for n in s.labels)
    notes = [*(f"{table.name}: {note}" for note in table.notes), *columns.notes, *labels.notes]
    notes += no_label_note(listed, column)
    accounts = [
        f"{table.name}: {len(listed):,} of {len(table.rows):,} rows are scans",
        f"{table.name}: columns: {'; '.join(labels.columns)}",
    ]
    return listed, take_census(listed, dropped, column, image_marks(listed), notes, accounts)


def _columns(table: SourceTable) -> _Columns:
    where = column_among(table.columns, PATH)
    who = column_among([c for c in table.columns if c != where], SUBJECT)
    when = column_among([c for c in table.columns if c not in (where, who)], SESSION)
    if who is None or where is None:
        missing, names = ("path", PATH) if where is None else ("subject", SUBJECT)
        advice = "Without it one person's scans could land on both sides of a split."
        expected = f"one of {', '.join(names[:6])}"
        raise UsageError(
            table.path, f"no {missing} column", expected, advice if where else "Add the column."
        )
    subjects, notes = identifiers(table.cells(who))
    sessions, more = identifiers(table.cells(when)) if when else ([""] * len(table.rows), [])
    told = [*(f"{who}: {note}" for note in notes), *(f"{when}: {note}" for note in more)]
    return _Columns(
        where, who, when, subjects, sessions, tuple(f"{table.name}, {note}" for note in told)
    )


def _labels(table: SourceTable, columns: _Columns) -> Labels:
    skip = [columns.where, columns.who, *([columns.when] if columns.when else [])]
    skip += [name for name in REPEATS if name in table.columns]
    return label_rows(table, skip, legends_beside(table.path))


def _problem(
    path: Path, row: dict[str, str], columns: _Columns, index: int, nobody: set[str]
) -> str:
    written = row.get(columns.who, "")
    if not columns.subjects[index]:
        return f"a name that a spreadsheet shortened ({written})" if written else "no subject"
    if columns.subjects[index] in nobody:
        return f"{written} is a placeholder, no person: whose scan it is is not known"
    if is_missing(row.get(columns.where, "")):
        return "no path"
    image = _image(path, row[columns.where])
    try:
        os.lstat(image)
        return file_problem(image)
    except FileNotFoundError:
        return f"no such file: {row[columns.where]}"
    except (OSError, ValueError) as error:  # too long a name, a NUL in it, a closed folder
        return f"no path that can be looked at ({getattr(error, 'strerror', None) or error})"


def _scan(
    table: SourceTable, all_labels: Labels, columns: _Columns, index: int, subject: str
) -> Scan:
    """Return the scan of one row."""
    row, line = table.rows[index], table.place(index)
    labels: dict[str, Value] = dict(all_labels.rows[index])
    if "label" in labels and "diagnosis" not in labels:
        labels["diagnosis"] = labels.pop("label")
    evidence = [f"subject, session and labels from {line}"]
    session = session_name(columns.sessions[index]) or None
    image = _image(table.path, row[columns.where])
    return Scan(image, subject, session, labels, tuple(evidence))


def _image(table: Path, written: str) -> Path:
    """Return the file that a row names; a path from Windows is one of folders too."""
    image = table.parent / written
    if "\\" in written and not os.path.lexists(image):
        return table.parent / written.replace("\\", "/")
    return image
