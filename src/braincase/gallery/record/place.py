"""Place of a gallery: where it was made or last relocated, so that a copy is known as one.

The folders of cohorts stand in a gallery as absolute paths. A copy of gallery and cohorts would go
on reading the original's images, and nobody would see it: so each answer says so until it is
settled (`braincase.workflows.relocation`).
"""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path

from braincase.gallery.record.database import FILE_NAME

PLACE = "place"


def place_of(folder: Path) -> str:
    """Return a folder's path as a gallery notes it."""
    return os.path.realpath(folder)


def note_place(connection: sqlite3.Connection, folder: Path, moved: bool = False) -> None:
    """Write down where a gallery lies, once, or anew with `moved`."""
    how = "REPLACE" if moved else "IGNORE"
    connection.execute(
        f"INSERT OR {how} INTO meta VALUES (?, ?)", (PLACE, os.fsencode(place_of(folder)).hex())
    )


def noted_place(connection: sqlite3.Connection) -> Path | None:
    """Return where a gallery lay when that was noted; older versions noted nothing."""
    row = connection.execute("SELECT value FROM meta WHERE key = ?", (PLACE,)).fetchone()
    try:
        return Path(os.fsdecode(bytes.fromhex(row[0]))) if row else None
    except (ValueError, TypeError):
        return None


def is_copy(connection: sqlite3.Connection, folder: Path) -> bool:
    """Return whether a gallery is a copy of one that still lies where this one was noted."""
    noted = noted_place(connection)
    elsewhere = noted is not None and str(noted) != place_of(folder)
    return noted is not None and elsewhere and (noted / FILE_NAME).is_file()


def copy_note(connection: sqlite3.Connection, folder: Path) -> tuple[str, ...]:
    """Return what to say of a copy whose cases have images in cohorts; never a path."""
    has_images = connection.execute("SELECT 1 FROM cohorts LIMIT 1").fetchone() is not None
    if not has_images or not is_copy(connection, folder):
        return ()
    return (
        "this gallery is a copy: images of its cases are read where the original's lie"
        " (settle it with: braincase gallery relocate GALLERY)",
    )
