"""The record of a gallery: everything but the search, which each engine adds."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from braincase.errors import GalleryError, ParameterError, UnknownCaseError
from braincase.gallery.exact import Rows
from braincase.gallery.interface import refuse_other_model
from braincase.gallery.record import database, reading
from braincase.gallery.record.closest import closest_pair, even_sample
from braincase.gallery.record.memory import Live, Memory, empty_memory, refresh
from braincase.gallery.record.selection import Filters, Selection, Snapshot, choose
from braincase.gallery.record.writing import erase_cases, put_cases, remove_cases
from braincase.gallery.records import Change, GalleryInfo, NewCase, StoredCase, Version

#: What is learned from the cases lies in this folder of the record.
CACHE = "learned"


class Record:
    """The SQLite record in a folder and its labels (and codes) in memory.

    Several threads may share one object, and several processes one folder: writers take turns,
    readers see the newest whole state and never wait for them.
    """

    def __init__(
        self,
        folder: Path,
        *,
        url: str = "",
        engine: str = "embedded",
        keep_codes: bool = True,
        before_write: Callable[[Sequence[NewCase]], None] = lambda cases: None,
        after_write: Callable[[bool], None] = lambda erased: None,
    ) -> None:
        """Open the record; `braincase.gallery.open_gallery` is the door.

        Parameters
        ----------
        folder
            Where the record is.
        url, engine
            What `info` names.
        keep_codes
            Whether all codes come into memory, or only labels and coarse groups.
        before_write, after_write
            Called around each change; the one with the new cases, the other told if it erased.
        """
        self.folder = folder
        self.cache_folder = folder / CACHE
        self._url, self._engine = url or str(folder), engine
        self._before_write, self._after_write = before_write, after_write
        self._connection = database.connect(folder)
        self._lock = threading.RLock()
        with database.gallery_errors(folder):
            meta = dict(self._connection.execute("SELECT key, value FROM meta"))
        try:
            self.fingerprint: str = meta["fingerprint"]
            self.resolution_mm = int(meta["resolution_mm"])
            self.n_dimensions = int(meta["n_dimensions"])
        except (KeyError, ValueError) as error:
            raise GalleryError(folder, f"damaged (meta: {error})", "a whole gallery") from None
        self._memory: Memory = empty_memory(self.n_dimensions, keep_codes)
        self._known_closest: tuple[Live, float] | None = None
        self._known_live: tuple[Memory, int, Live] | None = None
        self._known_snapshot: Snapshot | None = None
        self._filters = Filters()

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
        refuse_other_model(self._url, self.fingerprint, fingerprint)
        self._before_write(cases)
        with self._lock, database.writing(self._connection, self.folder):
            change = put_cases(
                self._connection, self.folder, cases, self.n_dimensions, replace_changed
            )
        self._after_write(False)
        return change

    def remove(self, scan_ids: Sequence[str], erase: bool = False) -> Change:
        """Take cases out; with `erase`, from the earlier versions and from the disk too.

        Raises
        ------
        UsageError
            If a scan is not in the gallery; nothing is removed then.
        """
        self._before_write(())
        with self._lock, database.writing(self._connection, self.folder):
            change = (erase_cases if erase else remove_cases)(
                self._connection, self.folder, scan_ids
            )
        if erase:
            # What was learned from the erased scans goes too; see `braincase.population.cache`.
            shutil.rmtree(self.cache_folder, ignore_errors=True)
            with self._lock, database.gallery_errors(self.folder):
                self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        self._after_write(erase)
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
            raise UnknownCaseError("scan_id", f"no scan '{scan_id}'", f"a scan of {self._url}")
        return found[scan_id]

    def find(self, scan_ids: Sequence[str], as_of: int | None = None) -> dict[str, StoredCase]:
        """Return those of the named cases that are there, by scan_id."""
        with self._reading() as newest:
            return reading.cases_named(self._connection, scan_ids, _version(as_of, newest))

    def person(
        self, subject: str, as_of: int | None = None, ever: bool = False
    ) -> tuple[StoredCase, ...]:
        """Return all scans of one person, in the order they were added.

        With `ever`, each state that any of them had at any version and that is not erased.
        """
        with self._reading() as newest:
            memory = self._memory
            mask = memory.removed_in >= 0 if ever else self._live(_version(as_of, newest)).mask
            places = memory.rows_of_person(subject)
            return self._cases_now(places[mask[places]])

    def one_scan_each(
        self, most: int, seed: int = 0, as_of: int | None = None
    ) -> tuple[StoredCase, ...]:
        """Return one random scan of each of at most `most` random people."""
        with self._reading() as newest:
            rows = np.flatnonzero(self._live(_version(as_of, newest)).mask)
            rng = np.random.default_rng(seed)
            shuffled = rng.permutation(rows)
            _, first = np.unique(self._memory.people().indices[shuffled], return_index=True)
            return self._cases_now(shuffled[rng.permutation(first)[:most]])

    def thumbnail(self, scan_id: str, as_of: int | None = None) -> bytes | None:
        """Return the small picture of a case, if it has one."""
        with self._reading() as newest:
            return reading.thumbnail_of_case(self._connection, scan_id, _version(as_of, newest))

    def closest_people(self, as_of: int | None = None) -> float:
        """Return the smallest distance between cases of different people, or infinity.

        Pairs with exactly the same code are one image under two names and do not count. Of a
        large gallery an even sample is compared; the answer is kept until the gallery changes.
        """
        snapshot = self.snapshot(as_of)
        known = self._known_closest
        if known is None or known[0] is not snapshot.live:
            places = even_sample(np.flatnonzero(snapshot.live.mask))
            there, codes = self.codes_at(snapshot, places)
            people = snapshot.memory.people().indices[there]
            known = self._known_closest = (snapshot.live, closest_pair(codes, people))
        return known[1]

    def info(self, as_of: int | None = None) -> GalleryInfo:
        """Return what the gallery holds."""
        snapshot = self.snapshot(as_of)
        memory, live, version = snapshot.memory, snapshot.live, snapshot.version
        with self._lock, database.gallery_errors(self.folder):
            at = reading.time_of(self._connection, version)
        return GalleryInfo(
            url=self._url,
            engine=self._engine,
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
            return reading.history(self._connection)

    def close(self) -> None:
        """Let go of files and connections."""
        with self._lock:
            self._connection.close()

    def snapshot(self, as_of: int | None = None) -> Snapshot:
        """Hold one version fast.

        Raises
        ------
        UsageError
            If there was no such version.
        """
        with self._lock:
            known = self._known_snapshot
            if known and self._is_new(known.memory) and known.is_as_of(as_of):
                return known
        with self._reading() as newest:
            version = _version(as_of, newest)
            notes = reading.erased_note(self._connection, version)
            known = Snapshot(self._memory, self._live(version), version, notes)
            self._known_snapshot = known
            return known

    def choose(
        self, snapshot: Snapshot, where: str, only_subject: str | None, without_subject: str | None
    ) -> Selection:
        """Return what a search looks at.

        Raises
        ------
        UsageError
            If the filter cannot be understood, names no column, or compares numbers with text.
        """
        with self._lock:
            passing = self._filters.passing(snapshot, where)
        return choose(snapshot, passing, only_subject, without_subject)

    def cases_at(self, snapshot: Snapshot, places: Rows) -> tuple[StoredCase, ...] | None:
        """Return the cases at places of a snapshot; None if one has been erased since."""
        if not len(places):
            return ()
        with self._lock, database.gallery_errors(self.folder):
            return reading.cases_of(self._connection, snapshot.memory.record_rows[places])

    def check_changed_since(self, snapshot: Snapshot) -> None:
        """Tell rows erased since a snapshot from rows that are lost.

        Raises
        ------
        GalleryError
            If nothing was erased, so the record is damaged.
        """
        if self.snapshot(snapshot.version).memory is snapshot.memory:
            advice = "Restore it from a copy, or index the cohort anew."
            raise GalleryError(self.folder, "damaged (a case is lost)", "a whole gallery", advice)

    def codes_at(self, snapshot: Snapshot, places: Rows) -> tuple[Rows, NDArray[np.float32]]:
        """Return those of some places of a snapshot that are not erased, and their codes."""
        memory = snapshot.memory
        if memory.codes.shape[1]:
            return places, memory.codes[places]
        rows = memory.record_rows[places].tolist()
        with self._lock, database.reading(self._connection, self.folder):
            there, codes = reading.codes_of(self._connection, self.folder, rows, self.n_dimensions)
        return places[np.isin(memory.record_rows[places], there)], codes

    def changed_rows(self, after: int) -> tuple[int, list[int]]:
        """Return the newest version, and the rows that changed after another one."""
        with self._reading() as newest:
            return newest, reading.changed_rows(self._connection, after)

    def rows_between(self, start: int, stop: int) -> list[int]:
        """Return the row numbers of the record from `start` up to, not including, `stop`."""
        with self._reading():
            return reading.rows_between(self._connection, start, stop)

    def states_of(self, record_rows: Sequence[int]) -> list[reading.State]:
        """Return the states of those rows that are not erased."""
        with self._reading():
            return reading.states_of(self._connection, self.folder, record_rows)

    def _is_new(self, memory: Memory) -> bool:
        """Say whether memory is that of the newest version; one query, no transaction."""
        with database.gallery_errors(self.folder):
            return reading.newest_version(self._connection) == memory.version

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

    def _cases_now(self, places: Rows) -> tuple[StoredCase, ...]:
        return reading.cases_of(self._connection, self._memory.record_rows[places]) or ()


def _version(as_of: int | None, newest: int) -> int:
    if as_of is None:
        return newest
    if not 0 <= as_of <= newest:
        raise ParameterError("as_of", f"version {as_of}", f"0 to {newest}, the newest")
    return as_of
