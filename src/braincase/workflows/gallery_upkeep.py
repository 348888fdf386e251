"""Integrity check and backup of a gallery: every checksum, every image, who may read it, a copy."""

from __future__ import annotations

import shutil
import sqlite3
import stat
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from braincase.cohort.stored_image import read_stored_image, read_stored_view
from braincase.errors import GalleryError, ScanError, UsageError
from braincase.files import atomic_write, make_folder, private_mode
from braincase.gallery.record.connection import Database
from braincase.gallery.record.content import readable_rows
from braincase.gallery.record.database import (
    FILE_NAME,
    checked_columns,
    gallery_errors,
    is_whole,
)
from braincase.gallery.record.record import Record
from braincase.gallery.record.tombstones import KEY_FILE, Tombstones
from braincase.gallery.record.writing import ERASING
from braincase.gallery.url import record_folder
from braincase.images.geometry import grid_of_resolution
from braincase.progress import progress

#: Rows read at a time.
BATCH = 5_000
#: Files beside the record that a backup takes too: a database, and the key of the erased scans.
MILVUS_FILE = "milvus.sqlite3"


@dataclass(frozen=True)
class Verified:
    """What a check found: how many rows and images it looked at, and what is wrong.

    `problems` are losses and damage, `warnings` are what should be changed; a sentence each.
    """

    rows: int
    images: int
    problems: tuple[str, ...]
    warnings: tuple[str, ...]


def verify_gallery(url: str | Path, images: bool = True) -> Verified:
    """Check every row's checksum, every live case's image and who may read the gallery's files.

    Parameters
    ----------
    url
        The gallery.
    images
        Whether images are read too and compared with their hashes.

    Raises
    ------
    GalleryError
        If there is none, or it cannot be opened.
    """
    folder = record_folder(url)
    with closing(Record(folder, keep_codes=False)) as record:
        problems = list(_structure(record.database))
        n_rows, bad = _rows(record)
        problems += bad
        n_images = 0
        if images:
            n_images, bad = _images(record)
            problems += bad
        warnings = [*_rights(folder), *_unfinished(record)]
    return Verified(n_rows, n_images, tuple(problems), tuple(warnings))


def _structure(database: Database) -> Iterator[str]:
    with database.reading() as connection:
        for (line,) in connection.execute("PRAGMA integrity_check(10)").fetchall():
            if line != "ok":
                yield f"{FILE_NAME}: {line}"


def _rows(record: Record) -> tuple[int, list[str]]:
    """Return how many rows there are, of all versions, and what is wrong with them."""
    problems: list[str] = []
    n_rows = 0
    with record.database.reading() as connection:
        cursor = connection.execute(f"SELECT {checked_columns(connection)} FROM cases")
        while batch := cursor.fetchmany(BATCH):
            n_rows += len(batch)
            good, _, bad = readable_rows(batch, record.n_dimensions)
            problems += [f"{row.scan_id!a}: cannot be read ({row.reason})" for row in bad]
            problems += [f"{row[1]}: damaged (checksum)" for row in good if not is_whole(row)]
    return n_rows, problems


def _images(record: Record) -> tuple[int, list[str]]:
    """Return how many live cases name an image, and what is wrong with those."""
    snapshot = record.snapshot()
    grid = grid_of_resolution(record.resolution_mm)
    problems: list[str] = []
    n_images = 0
    places = snapshot.live.mask.nonzero()[0]
    with progress("reading images", len(places)) as advance:
        for start in range(0, len(places), BATCH):
            # None if one has been erased this moment: then these are not looked at.
            cases = record.cases_at(snapshot, places[start : start + BATCH]) or ()
            for case in cases:
                n_images += case.image is not None
                try:
                    if case.image is not None:
                        read_stored_image(case.cohort, case.image, case.image_hash, grid)
                    if case.view is not None:
                        read_stored_view(case.cohort, case.view, case.view_hash)
                except ScanError as error:
                    problems.append(f"{case.scan_id}: {error}")
                advance()
    return n_images, problems


def _rights(folder: Path) -> Iterator[str]:
    """Yield what others may read although the folder is not shared with them on purpose."""
    meant = private_mode(folder)
    for path in (folder, *sorted(folder.iterdir())):
        extra = stat.S_IMODE(path.stat().st_mode) & 0o077 & ~meant
        if extra:
            who = "everybody" if extra & 0o007 else "its group"
            yield f"{path} can be used by {who}; chmod -R go= {folder} keeps it private"
            return


def _unfinished(record: Record) -> Iterator[str]:
    with record.database.reading() as connection:
        if connection.execute("SELECT 1 FROM meta WHERE key = ?", (ERASING,)).fetchone():
            yield "bytes of erased scans are still in the files until other readers have ended"
        there = (record.folder / KEY_FILE).is_file()
        if Tombstones(connection, record.folder).any() and not there:
            yield f"{KEY_FILE} is missing: erased scans could come back; restore it from a backup"
    for path in sorted(record.folder.glob(".writing-*")):
        yield f"{path} was left by a process that was killed, and can be deleted"


def backup_gallery(url: str | Path, target: Path) -> int:
    """Copy a gallery into a new folder, consistent while others write; returns its version.

    Images stay where they are: their cohorts are backed up as any other files.

    Raises
    ------
    UsageError
        If the folder is there and not empty.
    GalleryError
        If there is no gallery, or the copy cannot be written.
    """
    folder = record_folder(url)
    if target.exists() and not (target.is_dir() and not any(target.iterdir())):
        raise UsageError(target, "exists already", "a new or empty folder")
    with closing(Database(folder)) as database:
        try:
            make_folder(target)
            if (folder / KEY_FILE).is_file():
                with atomic_write(target / KEY_FILE) as aside:
                    shutil.copyfile(folder / KEY_FILE, aside)
            if (folder / MILVUS_FILE).is_file():
                with closing(sqlite3.connect(folder / MILVUS_FILE)) as state:
                    _copy(state, target / MILVUS_FILE, target)
            with database.querying() as connection:
                _copy(connection, target / FILE_NAME, target)
        except OSError as error:
            found = f"cannot be written ({error.strerror})"
            raise GalleryError(target, found, "a folder with space") from None
    with closing(Record(target, keep_codes=False)) as copy:
        return copy.snapshot().version


def _copy(source: sqlite3.Connection, path: Path, folder: Path) -> None:
    with gallery_errors(folder), atomic_write(path) as aside:
        with closing(sqlite3.connect(aside)) as target:
            source.backup(target)
        for ending in ("-wal", "-shm", "-journal"):
            aside.with_name(aside.name + ending).unlink(missing_ok=True)
