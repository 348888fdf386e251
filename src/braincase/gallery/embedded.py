"""The embedded engine: a folder with one SQLite file, and all codes in memory. No server."""

from __future__ import annotations

import json
import shutil
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from braincase.errors import GalleryError, UsageError
from braincase.gallery import database
from braincase.gallery.closest import closest_pair
from braincase.gallery.exact import nearest_rows
from braincase.gallery.interface import Neighbours, refuse_other_model
from braincase.gallery.memory import Live, Memory, empty_memory, refresh
from braincase.gallery.records import (
    Change,
    Code,
    GalleryInfo,
    NewCase,
    StoredCase,
    Version,
    Weights,
)
from braincase.gallery.where import parse_where, select
from braincase.gallery.writing import erase_cases, put_cases, remove_cases

_FIELDS = (
    "cases.row, scan_id, subject, session, labels, code, cohorts.folder, image, image_hash,"
    " added_in FROM cases LEFT JOIN cohorts USING (cohort)"
)
#: SQLite takes this many parameters in one statement at least.
MOST_PARAMETERS = 900


def create_embedded(
    folder: Path, fingerprint: str, resolution_mm: int, n_dimensions: int
) -> EmbeddedGallery:
    """Make an empty embedded gallery; see `braincase.gallery.create_gallery`."""
    meta = {
        "fingerprint": fingerprint,
        "resolution_mm": str(resolution_mm),
        "n_dimensions": str(n_dimensions),
    }
    database.create_database(folder, meta)
    return EmbeddedGallery(folder)


class EmbeddedGallery:
    """A gallery in a folder; see `braincase.gallery.Gallery` for what each method does.

    Several threads may share one object, and several processes one folder: writers take turns,
    readers see the newest whole state and never wait.
    """

    def __init__(self, folder: Path) -> None:
        """Open the gallery in `folder`; `braincase.gallery.open_gallery` is the door."""
        self.folder = folder
        self._connection = database.connect(folder)
        self._lock = threading.RLock()
        with database.speaking_clearly(folder):
            meta = dict(self._connection.execute("SELECT key, value FROM meta"))
        try:
            self.fingerprint: str = meta["fingerprint"]
            self.resolution_mm = int(meta["resolution_mm"])
            self.n_dimensions = int(meta["n_dimensions"])
        except (KeyError, ValueError) as error:
            raise GalleryError(folder, f"damaged (meta: {error})", "a whole gallery") from None
        self._memory: Memory = empty_memory(self.n_dimensions)
        self._known_closest: tuple[Live, float] | None = None
        self._known_live: tuple[Memory, int, Live] | None = None

    def add(self, cases: Sequence[NewCase], fingerprint: str) -> Change:
        """Add new cases in one transaction; the same case again is left as it is.

        Raises
        ------
        FingerprintError
            If the codes are another model's.
        GalleryError
            If a scan_id is there with another image, code or labels: that is an `update`.
        """
        return self._put(cases, fingerprint, replace_changed=False)

    def update(self, cases: Sequence[NewCase], fingerprint: str) -> Change:
        """Put cases in the place of those with the same scan_id, or add them."""
        return self._put(cases, fingerprint, replace_changed=True)

    def _put(self, cases: Sequence[NewCase], fingerprint: str, replace_changed: bool) -> Change:
        refuse_other_model(self.folder, self.fingerprint, fingerprint)
        with self._lock, database.writing(self._connection, self.folder):
            return put_cases(
                self._connection, self.folder, cases, self.n_dimensions, replace_changed
            )

    def remove(self, scan_ids: Sequence[str], erase: bool = False) -> Change:
        """Take cases out; with `erase`, from the earlier versions and from the disk too.

        Raises
        ------
        UsageError
            If a scan is not in the gallery; nothing is removed then.
        """
        with self._lock, database.writing(self._connection, self.folder):
            change = (erase_cases if erase else remove_cases)(
                self._connection, self.folder, scan_ids
            )
        if erase:
            # What was learned from the erased scans goes too; see `braincase.learned`.
            shutil.rmtree(self.folder / "learned", ignore_errors=True)
            with self._lock, database.speaking_clearly(self.folder):
                self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        return change

    def get(self, scan_id: str, as_of: int | None = None) -> StoredCase:
        """Return one case.

        Raises
        ------
        UsageError
            If the scan is not in the gallery.
        """
        found = self.find([scan_id], as_of)
        if scan_id not in found:
            raise UsageError(self.folder, f"no scan '{scan_id}'", "a scan of this gallery")
        return found[scan_id]

    def find(self, scan_ids: Sequence[str], as_of: int | None = None) -> dict[str, StoredCase]:
        """Return those of the named cases that are there, by scan_id."""
        with self._reading() as newest:
            version = self._version(as_of, newest)
            found: dict[str, StoredCase] = {}
            for part in _parts(scan_ids):
                rows = self._connection.execute(
                    f"SELECT {_FIELDS} WHERE scan_id IN ({_marks(part)})"
                    " AND added_in <= ? AND (removed_in IS NULL OR removed_in > ?)",
                    (*part, version, version),
                )
                found |= {case.scan_id: case for case in map(_stored, rows)}
            return found

    def person(self, subject: str, as_of: int | None = None) -> tuple[StoredCase, ...]:
        """Return all scans of one person, in the order they were added."""
        with self._reading() as newest:
            mask = self._live(self._version(as_of, newest)).mask
            rows = np.flatnonzero(mask & self._memory.people().is_text(subject))
            return self._cases(self._memory.record_rows[rows])

    def one_scan_each(
        self, most: int, seed: int = 0, as_of: int | None = None
    ) -> tuple[StoredCase, ...]:
        """Return one random scan of each of at most `most` random people."""
        with self._reading() as newest:
            rows = np.flatnonzero(self._live(self._version(as_of, newest)).mask)
            rng = np.random.default_rng(seed)
            shuffled = rng.permutation(rows)
            _, first = np.unique(self._memory.people().indices[shuffled], return_index=True)
            chosen = shuffled[rng.permutation(first)[:most]]
            return self._cases(self._memory.record_rows[chosen])

    def thumbnail(self, scan_id: str, as_of: int | None = None) -> bytes | None:
        """Return the small picture of a case, if it has one."""
        with self._reading() as newest:
            version = self._version(as_of, newest)
            found = self._connection.execute(
                "SELECT picture FROM thumbnails JOIN cases USING (row) WHERE scan_id = ?"
                " AND added_in <= ? AND (removed_in IS NULL OR removed_in > ?)",
                (scan_id, version, version),
            ).fetchone()
            return bytes(found[0]) if found else None

    def nearest(
        self,
        code: Code,
        k: int,
        *,
        where: str = "",
        only_subject: str | None = None,
        without_subject: str | None = None,
        weights: Weights | None = None,
        as_of: int | None = None,
    ) -> Neighbours:
        """Return the k nearest cases that pass the filter and the condition on the person.

        Raises
        ------
        UsageError
            If the filter cannot be understood, or there was no version `as_of`.
        """
        expression = parse_where(where) if where.strip() else None
        with self._reading() as newest:
            version = self._version(as_of, newest)
            memory, live = self._memory, self._live(version)
            mask = live.mask
            if expression is not None:
                mask = mask & select(expression, memory.columns)
            n_selected = int(mask.sum())
            mask = _of_people(memory, mask, only_subject, without_subject)
            rows = None if mask.all() else np.flatnonzero(mask)
            found, squared = nearest_rows(memory.codes, memory.squares, code, k, rows, weights)
            cases = self._cases(memory.record_rows[found])
            notes = self._erased_note(version)
        n_searched = len(mask) if rows is None else len(rows)
        return Neighbours(
            cases, np.sqrt(squared), version, live.n_cases, n_selected, n_searched, True, notes
        )

    def closest_people(self, as_of: int | None = None) -> float:
        """Return the smallest distance between cases of different people, or infinity.

        Pairs with exactly the same code are one image under two names and do not count. Of a
        large gallery an even sample is compared; the answer is kept until the gallery changes.
        """
        with self._reading() as newest:
            memory, live = self._memory, self._live(self._version(as_of, newest))
        if self._known_closest is None or self._known_closest[0] is not live:
            rows = np.flatnonzero(live.mask)
            distance = closest_pair(memory.codes, rows, memory.people().indices)
            self._known_closest = (live, distance)
        return self._known_closest[1]

    def info(self, as_of: int | None = None) -> GalleryInfo:
        """Return what the gallery holds."""
        with self._reading() as newest:
            version = self._version(as_of, newest)
            memory, live = self._memory, self._live(version)
            (at,) = self._connection.execute(
                "SELECT at FROM versions WHERE version = ?", (version,)
            ).fetchone()
        return GalleryInfo(
            url=str(self.folder),
            engine="embedded",
            version=version,
            fingerprint=self.fingerprint,
            resolution_mm=self.resolution_mm,
            n_dimensions=self.n_dimensions,
            cases=live.n_cases,
            people=live.n_people,
            columns=tuple(memory.columns),
            changed=at,
        )

    def versions(self) -> tuple[Version, ...]:
        """Return the history, oldest first."""
        with self._reading():
            rows = self._connection.execute("SELECT version, at, what FROM versions ORDER BY 1")
            return tuple(Version(*row) for row in rows)

    def close(self) -> None:
        """Let go of files and connections."""
        with self._lock:
            self._connection.close()

    @contextmanager
    def _reading(self) -> Iterator[int]:
        """Hold one state of the record, memory brought up to it; yield its version."""
        with self._lock, database.reading(self._connection, self.folder):
            self._memory = refresh(self._memory, self._connection, self.folder)
            yield self._memory.version

    def _live(self, version: int) -> Live:
        """Return what was live at a version; kept, since most searches ask for the same one."""
        if self._known_live is None or self._known_live[:2] != (self._memory, version):
            self._known_live = (self._memory, version, self._memory.live(version))
        return self._known_live[2]

    def _version(self, as_of: int | None, newest: int) -> int:
        if as_of is None:
            return newest
        if not 0 <= as_of <= newest:
            raise UsageError("--as-of", f"version {as_of}", f"0 to {newest}, the newest")
        return as_of

    def _cases(self, record_rows: Iterable[int]) -> tuple[StoredCase, ...]:
        wanted = [int(row) for row in record_rows]
        found: dict[int, StoredCase] = {}
        for part in _parts(wanted):
            rows = self._connection.execute(
                f"SELECT {_FIELDS} WHERE cases.row IN ({_marks(part)})", part
            )
            found |= {row[0]: _stored(row) for row in rows}
        return tuple(found[row] for row in wanted)

    def _erased_note(self, version: int) -> tuple[str, ...]:
        (count,) = self._connection.execute(
            "SELECT count(*) FROM erased WHERE added_in <= ?"
            " AND (removed_in IS NULL OR removed_in > ?) AND erased_in > ?",
            (version, version, version),
        ).fetchone()
        return (f"{count} case(s) of this version have since been erased.",) if count else ()


def _of_people(memory: Memory, mask: Any, only: str | None, without: str | None) -> Any:
    if only is not None:
        mask = mask & memory.people().is_text(only)
    if without is not None:
        mask = mask & ~memory.people().is_text(without)
    return mask


def _stored(row: Any) -> StoredCase:
    _, scan_id, subject, session, labels, code, cohort, image, image_hash, since = row
    return StoredCase(
        scan_id,
        subject,
        session,
        json.loads(labels),
        np.frombuffer(code, "<f4"),
        Path(cohort or ".", image) if image else None,
        image_hash,
        since,
    )


def _parts(values: Sequence[Any]) -> Iterator[list[Any]]:
    for start in range(0, len(values), MOST_PARAMETERS):
        yield list(values[start : start + MOST_PARAMETERS])


def _marks(values: Sequence[Any]) -> str:
    return ",".join("?" * len(values))
