"""Ledger (SQLite) of the studies: a durable state machine; every study, its state and its tries.

A state is written when its step is done, so that a step that a kill interrupted is done again.
Nothing in it names a patient: studies and instances have keyed hashes for names.
"""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from braincase.errors import UsageError
from braincase.files import create_file

#: The states of a study, in their order.
RECEIVED, COMPLETE, PREPARED, SEARCHED, MADE, SENT = STATES = (
    *("received", "complete", "prepared", "searched", "made", "sent"),
)
#: The end of a study that cannot be searched with; the reason stands beside it.
REFUSED = "refused"
ENDS = (SENT, REFUSED)
FILE = "studies.sqlite"
#: What is said of a study during whose step the node was killed, perhaps by it.
KILLED = "the node was killed while it worked on the study"
_TABLES = """
CREATE TABLE IF NOT EXISTS study (
    study TEXT PRIMARY KEY, subject TEXT NOT NULL DEFAULT '', state TEXT NOT NULL,
    problem TEXT NOT NULL DEFAULT '', attempts INTEGER NOT NULL DEFAULT 0,
    first REAL NOT NULL, last REAL NOT NULL, quiet_until REAL NOT NULL,
    next_try REAL NOT NULL DEFAULT 0, ended REAL, version INTEGER,
    results INTEGER NOT NULL DEFAULT 0, images INTEGER NOT NULL DEFAULT 1);
CREATE TABLE IF NOT EXISTS instance (
    study TEXT NOT NULL, instance TEXT NOT NULL, digest TEXT NOT NULL, bytes INTEGER NOT NULL,
    PRIMARY KEY (study, instance)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS result (
    study TEXT NOT NULL, name TEXT NOT NULL, sent REAL, PRIMARY KEY (study, name)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS patient (
    study TEXT NOT NULL, subject TEXT NOT NULL, PRIMARY KEY (study, subject)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS commitment (
    study TEXT PRIMARY KEY, request TEXT NOT NULL, asked REAL NOT NULL,
    given INTEGER NOT NULL DEFAULT 0) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS working (study TEXT PRIMARY KEY) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS event (
    name TEXT PRIMARY KEY, count INTEGER NOT NULL, last REAL NOT NULL);
"""


@dataclass(frozen=True)
class Study:
    """One study on its way.

    Parameters
    ----------
    study, subject
        Keyed hashes of the study's UID and the patient's ID.
    state, problem
        How far it is, and what went wrong last.
    attempts, next_try
        Failed tries of the step that comes next, and when (seconds since 1970) it is tried again.
    first, last, quiet_until
        When the first and the last instance came, and from when on it counts as complete.
    ended
        When it came to its end, or None.
    version
        Of the gallery that was searched, or None.
    results
        How many result objects were made.
    images
        Whether its images are still in the spool.
    """

    study: str
    subject: str
    state: str
    problem: str
    attempts: int
    first: float
    last: float
    quiet_until: float
    next_try: float
    ended: float | None
    version: int | None
    results: int
    images: int


@dataclass(frozen=True)
class Instance:
    """One instance: keyed hash of its UID, hash of its bytes, their number, whether it is MR."""

    name: str
    digest: str
    size: int
    is_mr: bool


class Ledger:
    """The ledger of one spool; its methods may be called from every thread.

    Parameters
    ----------
    folder
        The spool.
    read_only
        To look only, beside a node that runs.
    """

    def __init__(self, folder: Path, read_only: bool = False) -> None:
        path = folder / FILE
        if read_only and not path.exists():
            raise UsageError(path, "the file is missing", "the spool of a node that has run")
        if not path.exists():
            create_file(path)
        self._lock = threading.RLock()
        self._base = sqlite3.connect(
            path, check_same_thread=False, isolation_level=None, timeout=30
        )
        self._base.row_factory = sqlite3.Row
        if not read_only:
            self._base.execute("PRAGMA journal_mode = WAL")
            self._base.execute("PRAGMA synchronous = FULL")
            self._base.executescript(_TABLES)
            self._count_killed()

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._base.close()

    @contextmanager
    def _change(self) -> Iterator[sqlite3.Connection]:
        """Yield the connection inside one transaction, which is on the disk when the block ends."""
        with self._lock:
            self._base.execute("BEGIN IMMEDIATE")
            try:
                yield self._base
            except BaseException:
                self._base.execute("ROLLBACK")
                raise
            self._base.execute("COMMIT")

    def _rows(self, query: str, *values: object) -> list[sqlite3.Row]:
        with self._lock, closing(self._base.execute(query, values)) as cursor:
            return cursor.fetchall()

    def _count_killed(self) -> None:
        """Count a step that a kill interrupted as a failed try: the study may be why."""
        with self._change() as base:
            base.execute(
                "UPDATE study SET attempts = attempts + 1, problem = ?"
                " WHERE study IN (SELECT study FROM working) AND state NOT IN (?, ?)",
                (KILLED, *ENDS),
            )
            base.execute("DELETE FROM working")

    @contextmanager
    def working_on(self, study: str) -> Iterator[None]:
        """Note that a study is worked on; if the note is still there at the next start, a kill was.

        Otherwise a study that takes the node's memory would be taken first again and again.
        """
        with self._change() as base:
            base.execute("INSERT OR REPLACE INTO working VALUES (?)", (study,))
        try:
            yield
        finally:
            with self._change() as base:
                base.execute("DELETE FROM working")

    def cap_times(self, quiet_s: float, pause_s: float) -> None:
        """Take moments out of the future: instances came, or steps failed, by a wrong clock.

        Parameters
        ----------
        quiet_s, pause_s
            The longest that a study waits for more instances, and for its next try.
        """
        now = time.time()
        past = "UPDATE {0} SET {1} = :most WHERE {1} > :most"
        latest = {
            **dict.fromkeys(["first", "last", "ended"], now),
            "quiet_until": now + quiet_s,
            "next_try": now + pause_s,
        }
        with self._change() as base:
            for column, most in latest.items():
                base.execute(past.format("study", column), {"most": most})
            base.execute(past.format("commitment", "asked"), {"most": now})

    def digest_of(self, study: str, instance: str) -> str | None:
        """Return the hash of an instance that came before, or None."""
        rows = self._rows(
            "SELECT digest FROM instance WHERE study = ? AND instance = ?", study, instance
        )
        return str(rows[0][0]) if rows else None

    def size_of(self, study: str) -> tuple[int, int]:
        """Return how many instances of a study came, and their bytes."""
        query = "SELECT count(*), coalesce(sum(bytes), 0) FROM instance WHERE study = ?"
        ((count, size),) = self._rows(query, study)
        return int(count), int(size)

    def spooled_bytes(self) -> int:
        """Return the bytes of all images that are still in the spool."""
        query = (
            "SELECT coalesce(sum(bytes), 0) FROM instance JOIN study USING (study) WHERE images = 1"
        )
        return int(self._rows(query)[0][0])

    def add_instance(self, study: str, subject: str, instance: Instance, quiet_s: float) -> None:
        """Note an instance that is on the disk; an MR image opens its study again."""
        now = time.time()
        with self._change() as base:
            base.execute(
                "INSERT OR REPLACE INTO instance VALUES (?, ?, ?, ?)",
                (study, instance.name, instance.digest, instance.size),
            )
            base.execute("INSERT OR IGNORE INTO patient VALUES (?, ?)", (study, subject))
            base.execute(
                "INSERT INTO study (study, state, first, last, quiet_until) VALUES (?, ?, ?, ?, ?)"
                " ON CONFLICT (study) DO UPDATE SET last = excluded.last, images = 1",
                (study, RECEIVED, now, now, now + quiet_s),
            )
            if instance.is_mr:
                base.execute(
                    "UPDATE study SET state = ?, problem = '', attempts = 0, next_try = 0,"
                    " ended = NULL, quiet_until = ? WHERE study = ?",
                    (RECEIVED, now + quiet_s, study),
                )

    def shorten_quiet(self, studies: set[str], quiet_s: float) -> None:
        """Count studies as complete after a shorter quiet: their sender has said goodbye."""
        until = time.time() + quiet_s
        with self._change() as base:
            for study in studies:
                base.execute(
                    "UPDATE study SET quiet_until = min(quiet_until, ?) WHERE study = ?",
                    (until, study),
                )

    def due(self) -> Study | None:
        """Return the study whose next step is to be done now, longest waiting first."""
        now = time.time()
        rows = self._rows(
            "SELECT * FROM study WHERE state NOT IN (?, ?) AND next_try <= ?"
            " AND (state != ? OR quiet_until <= ?) ORDER BY attempts, first LIMIT 1",
            *(*ENDS, now, RECEIVED, now),
        )
        return Study(**rows[0]) if rows else None

    def get(self, study: str) -> Study | None:
        """Return one study, or None."""
        rows = self._rows("SELECT * FROM study WHERE study = ?", study)
        return Study(**rows[0]) if rows else None

    def studies(self) -> list[Study]:
        """Return all studies, the newest last."""
        return [Study(**row) for row in self._rows("SELECT * FROM study ORDER BY first")]

    def advance(self, study: Study, state: str, **values: object) -> bool:
        """Note that a step is done; False if new instances have opened the study meanwhile.

        Parameters
        ----------
        study
            As it was when the step began.
        state
            The next state.
        values
            Further columns: subject, version, results, problem.
        """
        ended = time.time() if state in ENDS else None
        columns = {"problem": "", **values, "state": state, "ended": ended}
        columns |= {"attempts": 0, "next_try": 0}
        names = ", ".join(f"{name} = ?" for name in columns)
        with self._change() as base:
            changed = base.execute(
                f"UPDATE study SET {names} WHERE study = ? AND state = ? AND last = ?",
                (*columns.values(), study.study, study.state, study.last),
            )
            return changed.rowcount == 1

    def postpone(self, study: Study, problem: str, pause_s: float) -> None:
        """Note that a step has failed and when it is tried again."""
        with self._change() as base:
            base.execute(
                "UPDATE study SET problem = ?, attempts = attempts + 1, next_try = ?"
                " WHERE study = ? AND state = ? AND last = ?",
                (problem, time.time() + pause_s, study.study, study.state, study.last),
            )

    def set_results(self, study: str, names: list[str]) -> None:
        """Note the result files of a study; those of before that are made again are not resent."""
        with self._change() as base:
            old = {
                name
                for (name,) in base.execute("SELECT name FROM result WHERE study = ?", (study,))
            }
            for name in set(names) - old:
                base.execute("INSERT INTO result VALUES (?, ?, NULL)", (study, name))
            for name in old - set(names):
                base.execute("DELETE FROM result WHERE study = ? AND name = ?", (study, name))

    def unsent(self, study: str) -> list[str]:
        """Return the result files that the archive does not have yet."""
        query = "SELECT name FROM result WHERE study = ? AND sent IS NULL ORDER BY name"
        return [str(name) for (name,) in self._rows(query, study)]

    def mark_sent(self, study: str, name: str) -> None:
        """Note that the archive has a result."""
        with self._change() as base:
            base.execute(
                "UPDATE result SET sent = ? WHERE study = ? AND name = ?",
                (time.time(), study, name),
            )

    def ask_commitment(self, study: str, request: str) -> None:
        """Note that the archive is asked to commit to keeping a study's results."""
        with self._change() as base:
            base.execute(
                "INSERT OR REPLACE INTO commitment VALUES (?, ?, ?, 0)",
                (study, request, time.time()),
            )

    def commitment(self, study: str) -> tuple[float, bool] | None:
        """Return when the archive was asked to commit and whether it has; None if it was not."""
        rows = self._rows("SELECT asked, given FROM commitment WHERE study = ?", study)
        return (float(rows[0][0]), bool(rows[0][1])) if rows else None

    def drop_commitment(self, study: str) -> None:
        """Note that results were sent, so that no earlier word holds for them."""
        with self._change() as base:
            base.execute("DELETE FROM commitment WHERE study = ?", (study,))

    def note_commitment(self, request: str, failed: list[str]) -> None:
        """Note the archive's word; results that it does not keep are sent again."""
        with self._change() as base:
            row = base.execute("SELECT study FROM commitment WHERE request = ?", (request,))
            found = row.fetchone()
            if found is None:
                return
            if failed:
                base.execute("DELETE FROM commitment WHERE study = ?", tuple(found))
                for name in failed:
                    query = "UPDATE result SET sent = NULL WHERE study = ? AND name = ?"
                    base.execute(query, (*found, name))
                return
            base.execute("UPDATE commitment SET given = 1 WHERE study = ?", tuple(found))
            base.execute("UPDATE study SET next_try = 0 WHERE study = ?", tuple(found))

    def count(self, name: str) -> None:
        """Count an event, such as a refused peer."""
        with self._change() as base:
            base.execute(
                "INSERT INTO event VALUES (?, 1, ?)"
                " ON CONFLICT (name) DO UPDATE SET count = count + 1, last = excluded.last",
                (name, time.time()),
            )

    def events(self) -> dict[str, int]:
        """Return how often each event happened."""
        return {
            row["name"]: row["count"] for row in self._rows("SELECT * FROM event ORDER BY name")
        }

    def to_purge(self, before: float) -> list[str]:
        """Return the studies that ended before a moment and whose images are still there."""
        query = "SELECT study FROM study WHERE images = 1 AND ended < ?"
        return [str(study) for (study,) in self._rows(query, before)]

    def purged(self, study: str) -> None:
        """Note that a study's images are gone."""
        with self._change() as base:
            base.execute("UPDATE study SET images = 0 WHERE study = ?", (study,))

    def of_subject(self, subject: str) -> list[str]:
        """Return the studies of a person."""
        query = "SELECT study FROM patient WHERE subject = ?"
        return [str(study) for (study,) in self._rows(query, subject)]

    def subjects_of(self, study: str) -> list[str]:
        """Return the people whom a study's instances name; more than one is a mix-up."""
        query = "SELECT subject FROM patient WHERE study = ?"
        return [str(subject) for (subject,) in self._rows(query, study)]

    def forget(self, study: str) -> None:
        """Remove all that is known of a study."""
        with self._change() as base:
            for table in ("study", "instance", "patient", "result", "commitment", "working"):
                base.execute(f"DELETE FROM {table} WHERE study = ?", (study,))
