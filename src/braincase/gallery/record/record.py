"""The record: the SQLite store of a gallery's cases and versions; an engine searches it."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import final

import numpy as np
from numpy.typing import NDArray

from braincase.errors import GalleryError, UsageError
from braincase.gallery.cases import Change, NewCase, StoredCase, Version
from braincase.gallery.exact import Rows
from braincase.gallery.record import reading
from braincase.gallery.record.connection import Database
from braincase.gallery.record.database import create_database
from braincase.gallery.record.erasure import finish_erasure
from braincase.gallery.record.reading import newest_version
from braincase.gallery.record.selection import Selection, Snapshot
from braincase.gallery.record.snapshot_cache import SnapshotCache, version_as_of
from braincase.gallery.record.writing import (
    ERASING,
    erase_cases,
    put_cases,
    readmit_cases,
    remove_cases,
)

#: What is learned from the cases lies in this folder of the record.
CACHE = "learned"
#: More than any model has; a gallery that claims more would have memory for it set aside.
MOST_DIMENSIONS = 100_000
MOST_RESOLUTION_MM = 100
#: Seconds to wait for readers that keep erased bytes in the files: when erasing, and when opening.
ERASE_WAIT_S, OPEN_WAIT_S = 5.0, 0.2


def create_record(
    folder: Path, fingerprint: str, resolution_mm: int, n_dimensions: int, encoder: str = ""
) -> None:
    """Make the record of an empty gallery; `encoder` names a foreign encoder.

    Raises
    ------
    GalleryError
        If the folder holds a gallery already, or cannot be written.
    """
    try:
        in_range(n_dimensions, MOST_DIMENSIONS)
        in_range(resolution_mm, MOST_RESOLUTION_MM)
    except ValueError as error:
        raise UsageError(folder, f"dimensions or resolution {error}", "those of a model") from None
    meta = {
        "fingerprint": fingerprint,
        "resolution_mm": str(resolution_mm),
        "n_dimensions": str(n_dimensions),
        **({"encoder": encoder} if encoder else {}),
    }
    create_database(folder, meta)


def in_range(number: str | int, most: int) -> int:
    """Return a number of the description of a gallery.

    Raises
    ------
    ValueError
        If it is none from 1 to `most`.
    """
    if not 1 <= int(number) <= most:
        raise ValueError(f"{str(number)[:20]}, which is not from 1 to {most}")
    return int(number)


@final
class Record:
    """The SQLite store of a gallery in a folder, with its labels (and codes) in memory.

    Several threads may share one object, and several processes one folder: writers take turns,
    readers see the newest whole state and never wait for them.
    """

    def __init__(self, folder: Path, *, keep_codes: bool = True) -> None:
        """Open the record.

        Parameters
        ----------
        folder
            Where the record is.
        keep_codes
            Whether all codes come into memory, or only labels and coarse groups.

        Raises
        ------
        GalleryError
            If there is none, or it is damaged.
        """
        self.folder = folder
        self.cache_folder = folder / CACHE
        self.database = Database(folder)
        try:
            with self.database.querying() as connection:
                meta = dict(connection.execute("SELECT key, value FROM meta"))
                newest_version(connection)
            self.fingerprint: str = meta["fingerprint"]
            self.resolution_mm = in_range(meta["resolution_mm"], MOST_RESOLUTION_MM)
            self.n_dimensions = in_range(meta["n_dimensions"], MOST_DIMENSIONS)
            self.encoder = str(meta.get("encoder", ""))[:60]
        except (KeyError, ValueError, TypeError) as error:
            self.database.close()
            raise GalleryError(folder, f"damaged (meta: {error})", "a whole gallery") from None
        except BaseException:
            self.database.close()
            raise
        if ERASING in meta:
            # On a full disk it waits for the next opening: one can search all the same.
            with contextlib.suppress(GalleryError):
                finish_erasure(self.database, OPEN_WAIT_S)
        self._snapshots = SnapshotCache(self.database, self.n_dimensions, keep_codes)

    def put(self, cases: Sequence[NewCase], replace_changed: bool) -> Change:
        """Add or, with `replace_changed`, update cases in one transaction."""
        with self.database.writing() as connection:
            return put_cases(connection, self.folder, cases, self.n_dimensions, replace_changed)

    def remove(self, scan_ids: Sequence[str]) -> Change:
        """End cases in one transaction; earlier versions still have them."""
        with self.database.writing() as connection:
            return remove_cases(connection, self.folder, scan_ids)

    def erase(self, scan_ids: Sequence[str]) -> Change:
        """Delete all states of cases from the disk, and what was learned from them."""
        with self.database.writing() as connection:
            change = erase_cases(connection, self.folder, scan_ids)
        # What was learned from the erased scans goes too; see `braincase.population.cache`.
        shutil.rmtree(self.cache_folder, ignore_errors=True)
        return replace(change, notes=finish_erasure(self.database, ERASE_WAIT_S))

    def readmit(self, scan_ids: Sequence[str]) -> None:
        """Let erased scans be added again, in one transaction."""
        with self.database.writing() as connection:
            readmit_cases(connection, self.folder, scan_ids)

    def find(self, scan_ids: Sequence[str], as_of: int | None = None) -> dict[str, StoredCase]:
        """Return those of the named cases that are there, by scan_id."""
        with self._snapshots.reading() as (connection, memory):
            bad = {row.row for row in memory.bad}
            return reading.cases_named(connection, scan_ids, version_as_of(as_of, memory), bad)

    def refuse_unreadable(self, scan_id: str, as_of: int | None = None) -> None:
        """Stop if a scan is there, but cannot be read.

        Raises
        ------
        GalleryError
            If so; it says why.
        """
        snapshot = self.snapshot(as_of)
        for row in snapshot.memory.bad:
            if row.scan_id == scan_id and row.is_live(snapshot.version):
                advice = "Remove it from the gallery, or index it again."
                found = f"{scan_id} cannot be read ({row.reason})"
                raise GalleryError(self.folder, found, "", advice)

    def person(
        self, subject: str, as_of: int | None = None, ever: bool = False
    ) -> tuple[StoredCase, ...]:
        """Return all scans of one person, or each of their states; see `Gallery.person`."""
        with self._snapshots.reading() as (connection, memory):
            if ever:
                mask = memory.removed_in >= 0
            else:
                mask = self._snapshots.live(memory, version_as_of(as_of, memory)).mask
            places = memory.rows_of_person(subject)
            rows = memory.record_rows[places[mask[places]]]
            return reading.cases_of(connection, rows) or ()

    def one_scan_each(
        self, most: int, seed: int = 0, as_of: int | None = None, where: str = ""
    ) -> tuple[StoredCase, ...]:
        """Return one random scan of each of some random people; see `Gallery.one_scan_each`."""
        while True:
            snapshot = self.snapshot(as_of)
            rng = np.random.default_rng(seed)
            shuffled = rng.permutation(self.select(snapshot, where, None, None).places)
            owners = snapshot.memory.people().indices[shuffled]
            _, first = np.unique(owners, return_index=True)
            cases = self.cases_at(snapshot, shuffled[rng.permutation(first)[:most]])
            if cases is not None:
                return cases
            self.check_changed_since(snapshot)  # one has been erased this very moment

    def thumbnail(self, scan_id: str, as_of: int | None = None) -> bytes | None:
        """Return the small picture of a case, if it has one."""
        with self._snapshots.reading() as (connection, memory):
            return reading.thumbnail_of_case(connection, scan_id, version_as_of(as_of, memory))

    def versions(self) -> tuple[Version, ...]:
        """Return the history, oldest first."""
        with self._snapshots.reading() as (connection, _):
            return reading.history(connection)

    def time_of(self, version: int) -> str:
        """Return when a version came about (UTC)."""
        with self.database.querying() as connection:
            return reading.time_of(connection, version)

    def snapshot(self, as_of: int | None = None) -> Snapshot:
        """Return a snapshot of one version; see `SnapshotCache.snapshot`."""
        return self._snapshots.snapshot(as_of)

    def select(
        self, snapshot: Snapshot, where: str, only_subject: str | None, without_subject: str | None
    ) -> Selection:
        """Return the cases a search looks at; see `SnapshotCache.select`."""
        return self._snapshots.select(snapshot, where, only_subject, without_subject)

    def cases_at(self, snapshot: Snapshot, places: Rows) -> tuple[StoredCase, ...] | None:
        """Return the cases at places of a snapshot; None if one has been erased since."""
        if not len(places):
            return ()
        with self.database.querying() as connection:
            return reading.cases_of(connection, snapshot.memory.record_rows[places])

    def codes_at(self, snapshot: Snapshot, places: Rows) -> tuple[Rows, NDArray[np.float32]]:
        """Return those of some places of a snapshot that are not erased, and their codes."""
        memory = snapshot.memory
        if memory.codes.shape[1]:
            return places, memory.codes[places]
        rows = memory.record_rows[places].tolist()
        with self.database.reading() as connection:
            there, codes = reading.codes_of(connection, self.folder, rows, self.n_dimensions)
        return places[np.isin(memory.record_rows[places], there)], codes

    def check_changed_since(self, snapshot: Snapshot) -> None:
        """Distinguish rows erased since a snapshot from rows that are lost.

        Raises
        ------
        GalleryError
            If nothing was erased, so the record is damaged.
        """
        if self.snapshot(snapshot.version).memory is snapshot.memory:
            advice = "Restore it from a copy, or index the cohort anew."
            raise GalleryError(self.folder, "damaged (a case is lost)", "a whole gallery", advice)

    def close(self) -> None:
        """Close the database."""
        self.database.close()
