"""Fair locking (a turnstile of two locks): processes that write one gallery take turns.

SQLite lets whoever asks at the right moment write, so of two busy writers one may wait for half a
minute. Here a writer first takes the queue's lock, a file beside the record, waits with it for
SQLite's own lock, and gives it back when it has that. Whoever has just written must queue again
behind the one who waits.
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path

from braincase.files import private_mode
from braincase.gallery.record.database import PATIENCE_S, busy_error, primary_code

QUEUE_FILE = "gallery.lock"
#: Seconds between two tries; a write takes several times as long.
PAUSE_S = 0.001


def begin_in_turn(connection: sqlite3.Connection, folder: Path) -> None:
    """Begin a write transaction when it is this process's turn.

    Raises
    ------
    GalleryError
        If others have written for longer than `PATIENCE_S`.
    sqlite3.OperationalError
        If the record cannot be written.
    """
    deadline = time.monotonic() + PATIENCE_S
    queue = _open_queue(folder)
    try:
        if queue is not None:
            _wait_for(lambda: _lock(queue), deadline, folder)
        connection.execute("PRAGMA busy_timeout = 0")
        try:
            _wait_for(lambda: _begin(connection), deadline, folder)
        finally:
            connection.execute(f"PRAGMA busy_timeout = {int(PATIENCE_S * 1000)}")
    finally:
        if queue is not None:
            os.close(queue)


def _open_queue(folder: Path) -> int | None:
    """Open the queue's file; None where there can be none, and SQLite's own lock must do."""
    try:
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        return os.open(folder / QUEUE_FILE, flags, private_mode(folder) & 0o666)
    except OSError:
        return None


def _wait_for(succeeds: Callable[[], bool], deadline: float, folder: Path) -> None:
    while not succeeds():
        if time.monotonic() > deadline:
            raise busy_error(folder)
        time.sleep(PAUSE_S)


def _lock(queue: int) -> bool:
    try:
        fcntl.flock(queue, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return True  # a file system without locks: SQLite's own must do
    return True


def _begin(connection: sqlite3.Connection) -> bool:
    try:
        connection.execute("BEGIN IMMEDIATE")
    except sqlite3.OperationalError as error:
        if primary_code(error) != sqlite3.SQLITE_BUSY:
            raise
        return False
    return True
