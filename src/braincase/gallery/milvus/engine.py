"""The distributed engine: the record on this machine, the vectors in a Milvus collection.

The collection only proposes. What it proposes is looked up in the record, which alone knows the
labels, the people and the codes: filter and person are checked there, and distances are computed
anew in float64. With the flat index the answer is proven to be that of a brute force, bit by bit;
where the proof fails (a filter that leaves very little) the record answers alone.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from braincase.errors import GalleryError, UsageError
from braincase.gallery.exact import Rows, squared_distances
from braincase.gallery.groups import keyed_hash
from braincase.gallery.interface import Neighbours, refuse_other_model
from braincase.gallery.milvus.collection import MOST_RESULTS, Collection
from braincase.gallery.milvus.inner_product import LARGEST, error_bound
from braincase.gallery.milvus.sync import Synced, SyncState, sync_engine
from braincase.gallery.record import database
from braincase.gallery.record.memory import NEVER
from braincase.gallery.record.record import Record
from braincase.gallery.record.selection import Selection, Snapshot
from braincase.gallery.records import Code, NewCase, Weights
from braincase.gallery.url import MilvusUrl

LOG = logging.getLogger(__name__)
#: Coarse groups named in one condition; more are not worth it.
MOST_LOTS = 500
#: A condition on groups pays if it leaves less than this share.
WORTH = 0.7
#: Codes read from the record at a time.
BLOCK = 20_000
SYNC = "Bring it up with: braincase gallery sync '{url}'"


def create_milvus(
    place: MilvusUrl, fingerprint: str, resolution_mm: int, n_dimensions: int
) -> MilvusGallery:
    """Make an empty record and its collection; see `braincase.gallery.create_gallery`."""
    collection = Collection(place)
    try:
        if collection.about() is not None:
            raise GalleryError(place.url, "a collection is here already", "a new name")
    finally:
        collection.close()
    meta = {
        "fingerprint": fingerprint,
        "resolution_mm": str(resolution_mm),
        "n_dimensions": str(n_dimensions),
    }
    database.create_database(place.record, meta)
    sync_milvus(place)
    return MilvusGallery(place)


def sync_milvus(place: MilvusUrl) -> Synced:
    """Make the collection what the record says, whatever is there; make it if it is missing.

    Raises
    ------
    GalleryError
        If there is no record, or the collection is that of another gallery.
    """
    record = Record(place.record, url=place.url, keep_codes=False)
    collection = Collection(place)
    try:
        marks = SyncState(place.record)
        about = collection.about()
        if about is not None:
            _check_owner(place, about, marks)
            if place.index not in (None, about["index"]):
                collection.drop()
                about = None
        if about is None:
            about = {
                "braincase": 1,
                "gallery": marks.gallery_id,
                "fingerprint": record.fingerprint,
                "index": place.index or "flat",
            }
            collection.create(about, record.n_dimensions)
        collection.load()
        return sync_engine(record, collection, marks, about["index"] == "flat", everything=True)
    finally:
        collection.close()
        record.close()


class MilvusGallery(Record):
    """A gallery whose vectors are searched by Milvus; see `braincase.gallery.Gallery`."""

    def __init__(self, place: MilvusUrl) -> None:
        """Open record and collection; `braincase.gallery.open_gallery` is the door."""
        super().__init__(
            place.record,
            url=place.url,
            engine="milvus",
            keep_codes=False,
            before_write=self._check_before,
            after_write=self._follow_after,
        )
        self._place = place
        self._collection = Collection(place)
        self._marks = SyncState(place.record)
        about = self._collection.about()
        if about is None:
            raise GalleryError(place.url, "no such collection", "", SYNC.format(url=place.url))
        _check_owner(place, about, self._marks)
        refuse_other_model(place.url, about["fingerprint"], self.fingerprint)
        if place.index not in (None, about["index"]):
            advice = SYNC.format(url=f"{place.url}&index={place.index}")
            raise GalleryError(place.url, f"index {about['index']}", place.index or "", advice)
        self._flat = about["index"] == "flat"
        self._engine = "milvus, exact" if self._flat else "milvus, approximate (HNSW)"
        self._collection.load()
        self._synced = sync_engine(self, self._collection, self._marks, self._flat)
        self._check_whole()

    def close(self) -> None:
        """Let go of files and connections."""
        self._collection.close()
        super().close()

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
        GalleryError
            If Milvus does not answer.
        """
        while True:
            snapshot = self.snapshot(as_of)
            self._follow(snapshot.memory.version)
            chosen = self.choose(snapshot, where, only_subject, without_subject)
            exact = True
            found = None
            if only_subject is None and (self._flat or weights is None):
                found = self._from_milvus(snapshot, chosen, code, k, weights)
                exact = self._flat or found is None
            if found is None:
                found = self._from_record(snapshot, chosen, code, k, weights)
            cases = self.cases_at(snapshot, found.places)
            if cases is not None:
                break
            self.check_changed_since(snapshot)  # one has been erased this very moment
        return Neighbours(
            cases,
            np.sqrt(found.squared),
            snapshot.version,
            snapshot.live.n_cases,
            chosen.passing.count,
            chosen.n_searched,
            exact,
            snapshot.notes,
        )

    def _from_milvus(
        self,
        snapshot: Snapshot,
        chosen: Selection,
        code: Code,
        k: int,
        weights: Weights | None,
    ) -> Ranked | None:
        """Return the nearest by way of the collection; None if that would prove nothing."""
        if not chosen.n_searched or np.abs(code).max() > LARGEST:
            return None
        condition, n_there = self._condition(snapshot, chosen)
        most = math.ceil(1.5 * k * n_there / chosen.n_searched) + 16
        while most <= MOST_RESULTS:
            keys, rough = self._collection.nearest(
                code, weights, most, condition, self._flat, self._synced.written_at
            )
            places = _places(snapshot, keys)
            best = self._ranked(snapshot, chosen.of(places), code, k, weights)
            if not self._flat and len(best.squared) == min(k, chosen.n_searched):
                return best
            if len(places) >= n_there:
                return best  # all of them were seen
            if len(keys) < most and self._flat:
                LOG.warning("%s lacks cases; %s", self._place.url, SYNC.format(url=self._place.url))
                return None
            if len(best.squared) == k and self._flat:
                last = float(best.squared[-1])
                if rough[-1] > last + error_bound(code, weights, last):
                    return best  # whatever was not seen is farther than the k-th
            most *= 4
        return None

    def _from_record(
        self,
        snapshot: Snapshot,
        chosen: Selection,
        code: Code,
        k: int,
        weights: Weights | None,
    ) -> Ranked:
        """Return the nearest by reading the chosen codes from the record."""
        places = chosen.places
        best = Ranked(np.empty(0, np.int64), np.empty(0))
        for start in range(0, len(places), BLOCK):
            part = self._ranked(snapshot, places[start : start + BLOCK], code, k, weights)
            best = best.merged(part, k)
        return best

    def _ranked(
        self, snapshot: Snapshot, places: Rows, code: Code, k: int, weights: Weights | None
    ) -> Ranked:
        there, codes = self.codes_at(snapshot, places)
        squared = squared_distances(codes, code, np.arange(len(codes)), weights)
        return Ranked(np.empty(0, np.int64), np.empty(0)).merged(Ranked(there, squared), k)

    def _condition(self, snapshot: Snapshot, chosen: Selection) -> tuple[str, int]:
        """Return what Milvus is asked to look at, and how many cases that are."""
        version, live = snapshot.version, snapshot.live
        condition = f"added_in <= {version} and removed_in > {version}"
        coarse = snapshot.memory.coarse
        if chosen.passing.count == live.n_cases or coarse is None:
            return condition, live.n_cases
        there = np.bincount(coarse.indices[live.mask], minlength=len(coarse.texts))
        wanted = np.bincount(coarse.indices[chosen.passing.mask], minlength=len(coarse.texts)) > 0
        n_there = int(there[wanted].sum())
        if n_there > WORTH * live.n_cases or wanted.sum() > MOST_LOTS:
            return condition, live.n_cases
        lots = [keyed_hash(self._marks.secret, str(text)) for text in coarse.texts[wanted]]
        return f"{condition} and lot in [{','.join(map(str, lots))}]", n_there

    def _check_before(self, cases: Sequence[NewCase]) -> None:
        """Refuse what Milvus could not take, before it is recorded; see that it answers."""
        for case in cases:
            if np.abs(np.asarray(case.code, np.float64)).max(initial=0) > LARGEST:
                found = "a code with numbers too large for Milvus"
                raise UsageError(case.scan_id, found, f"at most {LARGEST:g}")
        self._collection.about()

    def _follow_after(self, erased: bool) -> None:
        try:
            self._synced = sync_engine(self, self._collection, self._marks, self._flat)
            if erased:
                self._collection.forget_deleted()
        except GalleryError as error:
            # It is recorded, so it has happened; the collection follows at the next use.
            LOG.warning("recorded, but Milvus did not follow yet: %s", error)

    def _follow(self, version: int) -> None:
        if self._synced.version < version:
            self._synced = sync_engine(self, self._collection, self._marks, self._flat)

    def _check_whole(self) -> None:
        """Notice a collection that lost cases, or a record put back in time."""
        newest = self.snapshot().memory
        expected = int(np.count_nonzero(newest.removed_in >= 0))
        v = newest.version
        newer = f"added_in > {v} or (removed_in > {v} and removed_in < {NEVER})"
        lost = self._collection.count() < expected
        ahead = self._collection.count(newer) > 0 and self.snapshot().version == v
        if lost or ahead:
            what = "the collection lacks cases" if lost else "the collection is ahead of its record"
            raise GalleryError(
                self._place.url, what, "a copy of the record", SYNC.format(url=self._place.url)
            )


@dataclass(frozen=True, eq=False)
class Ranked:
    """Places in a snapshot and their squared distances, nearest first."""

    places: Rows
    squared: NDArray[np.float64]

    def merged(self, other: Ranked, k: int) -> Ranked:
        """Return the k nearest of both; equal distances in the order of the record."""
        places = np.concatenate([self.places, other.places])
        squared = np.concatenate([self.squared, other.squared])
        order = np.lexsort((places, squared))[:k]
        return Ranked(places[order], squared[order])


def _places(snapshot: Snapshot, keys: NDArray[np.int64]) -> Rows:
    """Return the places in memory of what Milvus found, each once; those unknown left out."""
    rows = np.unique(keys // 2)
    record_rows = snapshot.memory.record_rows
    places = np.searchsorted(record_rows, rows)
    known = places < len(record_rows)
    known[known] = record_rows[places[known]] == rows[known]
    places = places[known]
    return places[snapshot.live.mask[places]]


def _check_owner(place: MilvusUrl, about: dict[str, object], marks: SyncState) -> None:
    if about.get("gallery") != marks.gallery_id:
        advice = "Choose another name for the collection, or name the record it was made from."
        raise GalleryError(place.url, "the collection of another gallery", "its own", advice)
