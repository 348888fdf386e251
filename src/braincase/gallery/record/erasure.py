"""Erasure to the last byte: the write-ahead log is merged (checkpoint) and cut to nothing.

A deleted row is overwritten (``secure_delete``), but the pages it was on are still in the log, or,
as long as somebody reads an older state, in the file itself.
"""

from __future__ import annotations

import contextlib
import sqlite3
import time

from braincase.errors import ReadOnlyGalleryError
from braincase.gallery.record.connection import Database
from braincase.gallery.record.database import PATIENCE_S
from braincase.gallery.record.writing import ERASING

_PAUSE_S = 0.05
NOTE = (
    "Nobody finds the erased scans any more, but their bytes are still in the gallery's files,"
    " because another process reads an older state. They are overwritten when the gallery is next"
    " opened after that: see 'braincase gallery verify'."
)


def finish_erasure(database: Database, wait_s: float) -> tuple[str, ...]:
    """Overwrite what is left of erased cases in the files; return one sentence if that must wait.

    Parameters
    ----------
    database
        The record's.
    wait_s
        Seconds to wait for readers of an older state; for writers it is not waited.

    Raises
    ------
    GalleryError
        If the disk is full or fails: what is left stays to be overwritten.
    """
    deadline = time.monotonic() + wait_s
    try:
        with database.querying() as connection:
            connection.execute("PRAGMA busy_timeout = 0")
            try:
                while not _merged(connection):
                    if time.monotonic() > deadline:
                        return (NOTE,)
                    time.sleep(_PAUSE_S)
                # Where the mark cannot be removed now, a later opening merges once more.
                with contextlib.suppress(sqlite3.OperationalError):
                    connection.execute("DELETE FROM meta WHERE key = ?", (ERASING,))
            finally:
                connection.execute(f"PRAGMA busy_timeout = {int(PATIENCE_S * 1000)}")
    except ReadOnlyGalleryError:
        return (NOTE,)  # a reader without rights has opened it
    return ()


def _merged(connection: sqlite3.Connection) -> bool:
    """Merge the log into the file and cut it; False if somebody still reads an older state."""
    busy, *_ = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    return not busy
