"""Link file (SQLite, mode 0600): which study of the archive a pseudonymous session is.

It is the only place where a UID stands in clear, and it never leaves this machine. Its keys are the
pseudonyms under this machine's key, so that a gallery without it says nothing of the archive.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from braincase.files import create_file, make_folder

FILE = "links.sqlite"
_TABLE = """CREATE TABLE IF NOT EXISTS link (
    session TEXT PRIMARY KEY, subject TEXT NOT NULL, study TEXT NOT NULL, accession TEXT NOT NULL)
    WITHOUT ROWID"""


@dataclass(frozen=True)
class Link:
    """One study: the session's and the subject's pseudonym, StudyInstanceUID, AccessionNumber."""

    session: str
    subject: str
    study: str
    accession: str


def add_link(folder: Path, link: Link) -> None:
    """Note which study a session is; what is there already is replaced."""
    path = folder / FILE
    if not path.exists():
        make_folder(folder)
        create_file(path)
    os.chmod(path, 0o600)
    with closing(sqlite3.connect(path, timeout=30)) as base, base:
        base.execute(_TABLE)
        row = (link.session, link.subject, link.study, link.accession)
        base.execute("INSERT OR REPLACE INTO link VALUES (?, ?, ?, ?)", row)


def studies_of(folder: Path, sessions: Iterable[str]) -> dict[str, str]:
    """Return the StudyInstanceUIDs of sessions, of those that are known."""
    path = folder / FILE
    if not path.exists():
        return {}
    with closing(sqlite3.connect(path, timeout=30)) as base:
        query = "SELECT study FROM link WHERE session = ?"
        rows = {session: base.execute(query, (session,)).fetchone() for session in sessions}
    return {session: str(row[0]) for session, row in rows.items() if row}


def forget_subject(folder: Path, subject: str) -> int:
    """Remove the links of a person, and return how many there were."""
    path = folder / FILE
    if not path.exists():
        return 0
    with closing(sqlite3.connect(path, timeout=30)) as base, base:
        base.execute("PRAGMA secure_delete = ON")
        return base.execute("DELETE FROM link WHERE subject = ?", (subject,)).rowcount
