"""Read a CSV or TSV table that names the images: one row a scan.

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

from pathlib import Path

from braincase.errors import UsageError
from braincase.sources.census import Census, take_census
from braincase.sources.choose import Dropped, image_marks
from braincase.sources.rows import Row, clean, clean_subjects, label_column_of, labels_of, read_rows
from braincase.sources.scan import Scan

PATH = ("path", "image", "file", "filename", "t1w")
SUBJECT = ("subject", "subject_id", "participant_id", "patient_id", "ptid", "sub")
SESSION = ("session", "session_id", "visit", "viscode", "timepoint", "ses")


def read_table(path: Path, label_column: str | None = None) -> tuple[list[Scan], Census]:
    """Return the scans that a table names, and their census.

    Parameters
    ----------
    path
        The CSV or TSV file; the columns are in this module's docstring.
    label_column
        The column to count; if None, the one that most likely holds the class.

    Raises
    ------
    UsageError
        If it is no table, or has no path or no subject column.
    """
    rows = read_rows(path)
    if not rows:
        raise UsageError(path, "a table without rows", "a header line, and a row a scan")
    columns = list(rows[0])
    where, who, when = (_column(path, columns, names) for names in (PATH, SUBJECT, SESSION))
    if who is None or where is None:
        missing, names = ("path", PATH) if where is None else ("subject", SUBJECT)
        advice = "Without it one person's scans could land on both sides of a split."
        expected = f"one of {', '.join(names)}"
        raise UsageError(
            path, f"no {missing} column", expected, advice if where else "Add the column."
        )
    subjects = clean_subjects((row[who] for row in rows if row.get(who)), path)
    scans: dict[str, Scan] = {}
    dropped: Dropped = []
    for number, row in enumerate(rows, start=2):
        problem = _problem(path, row, where, who)
        if problem:
            dropped.append((f"{path} line {number}", problem))
            continue
        scan = _scan(path, row, subjects[row[who]], (where, who, when))
        if scan.scan_id in scans:
            reason = f"{scan.scan_id} stands there twice; tell visits apart by a session column"
            dropped.append((f"{path} line {number}", reason))
        scans.setdefault(scan.scan_id, scan)
    listed = list(scans.values())
    column = label_column or label_column_of(name for scan in listed for name in scan.labels)
    return listed, take_census(listed, dropped, column, image_marks(listed))


def _column(path: Path, columns: list[str], names: tuple[str, ...]) -> str | None:
    """Return the one column that goes by one of these names."""
    return next((name for name in names if name in columns), None)


def _problem(path: Path, row: Row, where: str, who: str) -> str:
    if not row.get(who):
        return "no subject"
    if not row.get(where):
        return "no path"
    try:
        exists = (path.parent / row[where]).exists()
    except (OSError, ValueError) as error:  # too long a name, a NUL in it, a closed folder
        return f"no path that can be looked at ({getattr(error, 'strerror', None) or error})"
    return "" if exists else f"no such file: {row[where]}"


def _scan(path: Path, row: Row, subject: str, columns: tuple[str, str, str | None]) -> Scan:
    """Return the scan of one row; `columns` are those of the path, the subject and the session."""
    where, _, when = columns
    session = clean(row.get(when, "")) if when else ""
    labels = labels_of(row, [column for column in columns if column])
    if "label" in labels and "diagnosis" not in labels:
        labels["diagnosis"] = labels.pop("label")
    return Scan((path.parent / row[where]), subject, session or None, labels)
