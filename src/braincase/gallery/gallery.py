"""The gallery (versioned case database): a record that stores, and an engine that ranks."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import final

import numpy as np
from numpy.typing import NDArray

from braincase.errors import FingerprintError, UnknownCaseError
from braincase.gallery.cases import (
    Change,
    ClosestPeople,
    Code,
    GalleryInfo,
    NewCase,
    StoredCase,
    Version,
)
from braincase.gallery.engine_interface import Engine, Ranked
from braincase.gallery.query import Weights
from braincase.gallery.record.closest import closest_pair, even_sample
from braincase.gallery.record.memory import Live
from braincase.gallery.record.record import Record
from braincase.gallery.record.selection import Selection, Snapshot, why_none_passes

#: The folder, beside the gallery's own files, of the cases that curators save from uploads.
SAVED = "saved"


@dataclass(frozen=True, eq=False)
class Neighbours:
    """The nearest cases to a code: `distances` is Euclidean, shape (len(cases),), increasing.

    `n_cases` were in the gallery at `version`, `n_selected` passed the filter, and `n_searched` of
    these were left when the people to leave out were gone.
    """

    cases: tuple[StoredCase, ...]
    distances: NDArray[np.float64]
    version: int
    n_cases: int
    n_selected: int
    n_searched: int
    exact: bool = True
    notes: tuple[str, ...] = ()


@final
class Gallery:
    """A versioned case database with nearest-neighbour search: a record and a search engine.

    Every engine has the same record, so people, filters, versions and distances are the same code
    for all of them. Every change is one transaction: when the call returns, it is on the disk; if
    it raises, nothing happened. `as_of` names an earlier version; None is the newest.

    Attributes
    ----------
    fingerprint
        The model whose codes it holds.
    folder
        The folder of its record.
    cache_folder
        A folder for what is learned from its cases; erasing a case removes it.
    """

    def __init__(self, record: Record, engine: Engine, url: str) -> None:
        """Join an open record and its engine; both are closed with the gallery.

        Parameters
        ----------
        record, engine
            What stores, and what searches.
        url
            What `info` names.
        """
        self._record, self._engine, self._url = record, engine, url
        self.fingerprint = record.fingerprint
        self.folder = record.folder
        self.cache_folder = record.cache_folder
        self._closest: tuple[Live, ClosestPeople] | None = None

    @property
    def saved_folder(self) -> Path:
        """Where a service keeps the cohort of the cases that curators save from uploads."""
        return self.folder / SAVED

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
        self._engine.check_write(cases)
        change = self._record.put(cases, replace_changed)
        self._engine.follow_write(erased=False)
        return change

    def remove(self, scan_ids: Sequence[str], erase: bool = False) -> Change:
        """Take cases out; with `erase`, from the earlier versions and from the disk too.

        Raises
        ------
        UnknownCaseError
            If a scan is not in the gallery; nothing is removed then.
        """
        self._engine.check_write(())
        change = self._record.erase(scan_ids) if erase else self._record.remove(scan_ids)
        self._engine.follow_write(erased=erase)
        return change

    def readmit(self, scan_ids: Sequence[str]) -> None:
        """Let scans that were erased be added again.

        Raises
        ------
        UnknownCaseError
            If one was never erased; nothing is changed then.
        """
        self._record.readmit(scan_ids)

    def get(self, scan_id: str, as_of: int | None = None) -> StoredCase:
        """Return one case.

        Raises
        ------
        UnknownCaseError
            If the scan is not in the gallery.
        GalleryError
            If it is there, but cannot be read.
        """
        cases = self.find([scan_id], as_of)
        if scan_id not in cases:
            self._record.refuse_unreadable(scan_id, as_of)
            raise UnknownCaseError("scan_id", f"no scan '{scan_id}'", f"a scan of {self._url}")
        return cases[scan_id]

    def find(self, scan_ids: Sequence[str], as_of: int | None = None) -> dict[str, StoredCase]:
        """Return those of the named cases that are there, by scan_id."""
        return self._record.find(scan_ids, as_of)

    def cases(self, where: str = "", as_of: int | None = None) -> tuple[StoredCase, ...]:
        """Return all cases that pass a filter, in the order they were added.

        Raises
        ------
        FilterError
            If the filter cannot be understood.
        """
        while True:
            snapshot = self._record.snapshot(as_of)
            selection = self._record.select(snapshot, where, None, None)
            cases = self._record.cases_at(snapshot, selection.places)
            if cases is not None:
                return cases
            self._record.check_changed_since(snapshot)  # one has been erased this very moment

    def person(
        self, subject: str, as_of: int | None = None, ever: bool = False
    ) -> tuple[StoredCase, ...]:
        """Return all scans of one person, in the order they were added.

        With `ever`, each state that any of them had at any version and that is not erased.
        """
        return self._record.person(subject, as_of, ever)

    def one_scan_each(
        self, most: int, seed: int = 0, as_of: int | None = None, where: str = ""
    ) -> tuple[StoredCase, ...]:
        """Return one random scan, of those that pass a filter, of each of at most `most` people."""
        return self._record.one_scan_each(most, seed, as_of, where)

    def thumbnail(self, scan_id: str, as_of: int | None = None) -> bytes | None:
        """Return the small picture of a case, if it has one."""
        return self._record.thumbnail(scan_id, as_of)

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
        one_scan_each: bool = False,
    ) -> Neighbours:
        """Return the k nearest cases that pass the filter and the condition on the person.

        With `one_scan_each` the nearest scan of each of the k nearest people.

        Other threads may read and write meanwhile: only the record is shared, and it is locked just
        long enough to learn the newest state and to fetch the hits.

        Raises
        ------
        FilterError
            If the filter cannot be understood.
        ParameterError
            If there was no version `as_of`.
        GalleryError
            If the engine does not answer.
        """
        while True:
            snapshot = self._record.snapshot(as_of)
            selection = self._record.select(snapshot, where, only_subject, without_subject)
            rank = self._rank_people if one_scan_each else self._engine.rank
            ranked = rank(snapshot, selection, code, k, weights)
            cases = self._record.cases_at(snapshot, ranked.places)
            if cases is not None:
                break
            self._record.check_changed_since(snapshot)  # one has been erased this very moment
        return Neighbours(
            cases,
            np.sqrt(ranked.squared),
            snapshot.version,
            snapshot.live.n_cases,
            selection.passing.count,
            selection.n_searched,
            ranked.exact,
            (*snapshot.notes, *why_none_passes(snapshot, where, selection.passing)),
        )

    def _rank_people(
        self, snapshot: Snapshot, selection: Selection, code: Code, k: int, weights: Weights | None
    ) -> Ranked:
        """Return the nearest scan of each of the k nearest people: more cases until there are k."""
        owners = snapshot.memory.people().indices
        most = math.ceil(k * snapshot.live.n_cases / max(snapshot.live.n_people, 1))
        while True:
            ranked = self._engine.rank(snapshot, selection, code, most, weights)
            _, first = np.unique(owners[ranked.places], return_index=True)
            if len(first) >= k or most >= selection.n_searched:
                nearest = np.sort(first)[:k]
                return Ranked(ranked.places[nearest], ranked.squared[nearest], ranked.exact)
            most *= 2

    def closest_people(self, as_of: int | None = None) -> ClosestPeople:
        """Return the smallest distance between cases of different people, and of how many people.

        Pairs with exactly the same code are one image under two names and do not count. Of a
        large gallery an even sample is compared; the answer is cached until the gallery changes.
        """
        snapshot = self._record.snapshot(as_of)
        if self._closest is not None and self._closest[0] is snapshot.live:
            return self._closest[1]
        places = even_sample(np.flatnonzero(snapshot.live.mask))
        there, codes = self._record.codes_at(snapshot, places)
        owners = snapshot.memory.people().indices[there]
        closest = ClosestPeople(closest_pair(codes, owners), len(np.unique(owners)))
        self._closest = (snapshot.live, closest)
        return closest

    def info(self, as_of: int | None = None) -> GalleryInfo:
        """Return what the gallery holds."""
        snapshot = self._record.snapshot(as_of)
        return GalleryInfo(
            url=self._url,
            engine=self._engine.name,
            version=snapshot.version,
            fingerprint=self.fingerprint,
            resolution_mm=self._record.resolution_mm,
            n_dimensions=self._record.n_dimensions,
            cases=snapshot.live.n_cases,
            people=snapshot.live.n_people,
            columns=tuple(snapshot.memory.columns),
            changed=self._record.time_of(snapshot.version),
            notes=(*snapshot.notes, *snapshot.spellings),
            encoder=self._record.encoder,
        )

    def spelling_notes(self) -> tuple[str, ...]:
        """Return which labels most likely are one and count as several, a sentence each."""
        return self._record.snapshot(None).spellings

    def versions(self) -> tuple[Version, ...]:
        """Return the history, oldest first."""
        return self._record.versions()

    def close(self) -> None:
        """Close the engine's connections and the record's file."""
        self._engine.close()
        self._record.close()


def refuse_other_model(where: str | Path, own: str, offered: str) -> None:
    """Compare two models' fingerprints and stop before codes of two models meet.

    Raises
    ------
    FingerprintError
        If the fingerprints differ.
    """
    if own != offered:
        advice = "Codes of two models cannot be compared: use that model, or index with this one."
        raise FingerprintError(where, f"model {offered[:12]}", f"model {own[:12]}", advice)
