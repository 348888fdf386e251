"""Link file (SQLite, mode 0600): which study of the archive a pseudonymous session is.

It is the only place where a UID stands in clear, and it never leaves this machine. Its keys are the
pseudonyms under this machine's key, so that a gallery without it says nothing of the archive.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from braincase.errors import UsageError
from braincase.files import create_file, make_folder

#: Its name in the spool of a DICOM node.
FILE = "links.sqlite"
_TABLES = """
CREATE TABLE IF NOT EXISTS link (
    session TEXT PRIMARY KEY, subject TEXT NOT NULL, study TEXT NOT NULL, accession TEXT NOT NULL)
    WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS image (
    session TEXT PRIMARY KEY, sop_class TEXT NOT NULL, instance TEXT NOT NULL, series TEXT NOT NULL)
    WITHOUT ROWID;
"""
#: SOP class, SOP instance UID and series UID of one image.
ImageReference = tuple[str, str, str]


@dataclass(frozen=True)
class Link:
    """One study of the archive.

    Parameters
    ----------
    session, subject
        The pseudonyms of the study and the patient.
    study, accession
        StudyInstanceUID and AccessionNumber.
    image
        The middle image of the series that was used; None in link files of earlier versions.
    """

    session: str
    subject: str
    study: str
    accession: str
    image: ImageReference | None = None


def add_link(path: Path, link: Link) -> None:
    """Note which study a session is; what is there already is replaced."""
    if not path.exists():
        make_folder(path.parent)
        create_file(path)
    os.chmod(path, 0o600)
    with _writing(path) as base:
        row = (link.session, link.subject, link.study, link.accession)
        base.execute("INSERT OR REPLACE INTO link VALUES (?, ?, ?, ?)", row)
        if link.image is not None:
            row = (link.session, *link.image)
            base.execute("INSERT OR REPLACE INTO image VALUES (?, ?, ?, ?)", row)


@contextmanager
def _writing(path: Path) -> Iterator[sqlite3.Connection]:
    """Yield a connection in which what is moved or removed is overwritten, so that it is gone."""
    with closing(sqlite3.connect(path, timeout=30)) as base, base:
        base.execute("PRAGMA secure_delete = ON")  # not every SQLite has it by itself
        base.executescript(_TABLES)
        yield base


def links_of(path: Path, sessions: Iterable[str]) -> dict[str, Link]:
    """Return the links of sessions, of those that are known.

    Raises
    ------
    UsageError
        If the file is no link file.
    """
    wanted = sorted(set(sessions))
    marks = ", ".join("?" * len(wanted))
    return {link.session: link for link in _links(path, f"session IN ({marks})", *wanted)}


def find_links(path: Path, study: str = "", accession: str = "", subject: str = "") -> list[Link]:
    """Return the links of a StudyInstanceUID, of an AccessionNumber or of a person's pseudonym.

    Raises
    ------
    UsageError
        If the file is no link file.
    """
    wanted = {"study": study, "accession": accession, "subject": subject}
    column, value = next((pair for pair in wanted.items() if pair[1]), ("study", ""))
    return _links(path, f"{column} = ?", value) if value else []


def _links(path: Path, condition: str, *values: str) -> list[Link]:
    if not path.exists():
        return []
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as base:
            base.execute("PRAGMA busy_timeout = 30000")
            images = {str(row[0]) for row in base.execute("SELECT name FROM sqlite_master")}
            joined = " LEFT JOIN image USING (session)" if "image" in images else ""
            columns = "sop_class, instance, series" if joined else "NULL, NULL, NULL"
            query = f"SELECT session, subject, study, accession, {columns} FROM link{joined}"
            rows = base.execute(f"{query} WHERE {condition} ORDER BY session", values).fetchall()
    except sqlite3.Error as error:
        found = f"cannot be read ({error})"
        raise UsageError(path, found, "the link file of a DICOM node") from None
    return [
        Link(session, subject, study, accession, None if kind is None else (kind, image, series))
        for session, subject, study, accession, kind, image, series in rows
    ]


def forget_session(path: Path, session: str) -> int:
    """Remove the link of a study, and return how many there were."""
    if not path.exists():
        return 0
    with _writing(path) as base:
        base.execute("DELETE FROM image WHERE session = ?", (session,))
        return base.execute("DELETE FROM link WHERE session = ?", (session,)).rowcount
