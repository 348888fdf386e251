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

import numpy as np
from numpy.typing import NDArray

from braincase.errors import GalleryError, UsageError
from braincase.gallery.cases import Code, NewCase
from braincase.gallery.engine_interface import Ranked
from braincase.gallery.exact import Rows, squared_distances
from braincase.gallery.groups import keyed_hash
from braincase.gallery.milvus.collection import MOST_RESULTS, Collection
from braincase.gallery.milvus.inner_product import LARGEST, error_bound
from braincase.gallery.milvus.sync import CollectionSync
from braincase.gallery.query import Weights
from braincase.gallery.record.record import Record
from braincase.gallery.record.selection import Selection, Snapshot
from braincase.gallery.url import MilvusUrl

LOG = logging.getLogger(__name__)
#: Coarse groups named in one condition; more are not worth it.
MOST_LOTS = 500
#: A condition on groups pays if it leaves less than this share.
WORTH = 0.7
#: Codes read from the record at a time.
BLOCK = 20_000


class MilvusEngine:
    """A search by a Milvus collection whose proposals the record proves."""

    def __init__(
        self, record: Record, collection: Collection, sync: CollectionSync, secret: bytes
    ) -> None:
        """Search an open collection that is up to its record.

        Parameters
        ----------
        record, collection, sync
            What proves, what proposes, and how the one follows the other.
        secret
            The key of the hashes that stand for coarse groups.
        """
        self._record, self._collection = record, collection
        self._sync, self._secret = sync, secret
        self.name = "milvus, exact" if collection.flat else "milvus, approximate (HNSW)"

    def check_write(self, cases: Sequence[NewCase]) -> None:
        """Refuse what Milvus could not take, before it is recorded; see that it answers.

        Raises
        ------
        UsageError
            If numbers of a code are too large.
        GalleryError
            If Milvus does not answer.
        """
        for case in cases:
            if np.abs(np.asarray(case.code, np.float64)).max(initial=0) > LARGEST:
                found = "a code with numbers too large for Milvus"
                raise UsageError(case.scan_id, found, f"at most {LARGEST:g}")
        self._collection.description()

    def follow_write(self, erased: bool) -> None:
        """Synchronise the collection; if that fails it is done at the next use."""
        try:
            self._sync.run()
            if erased:
                self._collection.compact()
        except GalleryError as error:
            # It is recorded, so it has happened; the collection follows at the next use.
            LOG.warning("recorded, but Milvus did not follow yet: %s", error)

    def rank(
        self, snapshot: Snapshot, selection: Selection, code: Code, k: int, weights: Weights | None
    ) -> Ranked:
        """Return the k nearest by way of the collection, or else of the record.

        Raises
        ------
        GalleryError
            If Milvus does not answer.
        """
        self._sync.catch_up(snapshot.memory.version)
        # A graph knows one distance, and a person's few scans are quicker read than searched for.
        if selection.only is None and (self._collection.flat or weights is None):
            ranked = self._rank_in_milvus(snapshot, selection, code, k, weights)
            if ranked is not None:
                return ranked
        return self._rank_in_record(snapshot, selection, code, k, weights)

    def close(self) -> None:
        """Close the connection to Milvus."""
        self._collection.close()

    def _rank_in_milvus(
        self, snapshot: Snapshot, selection: Selection, code: Code, k: int, weights: Weights | None
    ) -> Ranked | None:
        """Return the nearest by way of the collection; None if that would prove nothing."""
        if not selection.n_searched or np.abs(code).max() > LARGEST:
            return None
        flat, url = self._collection.flat, self._collection.url
        condition, n_there = self._condition(snapshot, selection)
        most = math.ceil(1.5 * k * n_there / selection.n_searched) + 16
        while most <= MOST_RESULTS:
            keys, rough = self._collection.nearest(
                code, weights, most, condition, self._sync.newest.written_at
            )
            places = _places_of(snapshot, keys)
            there, squared = self._distances(snapshot, selection.of(places), code, weights)
            best = _best(there, squared, k, exact=flat)
            if not flat and len(best.squared) == min(k, selection.n_searched):
                return best
            if len(places) >= n_there:
                return best  # all of them were seen
            if len(keys) < most and flat:
                LOG.warning("%s lacks cases; %s", url, sync_advice(url))
                return None
            if len(best.squared) == k and flat:
                last = float(best.squared[-1])
                if rough[-1] > last + error_bound(code, weights, last):
                    return best  # whatever was not seen is farther than the k-th
            most *= 4
        return None

    def _rank_in_record(
        self, snapshot: Snapshot, selection: Selection, code: Code, k: int, weights: Weights | None
    ) -> Ranked:
        """Return the nearest by reading the selected codes from the record."""
        places = selection.places
        best = Ranked(np.empty(0, np.int64), np.empty(0))
        for start in range(0, len(places), BLOCK):
            block = places[start : start + BLOCK]
            there, squared = self._distances(snapshot, block, code, weights)
            best = _best(
                np.concatenate([best.places, there]), np.concatenate([best.squared, squared]), k
            )
        return best

    def _distances(
        self, snapshot: Snapshot, places: Rows, code: Code, weights: Weights | None
    ) -> tuple[Rows, NDArray[np.float64]]:
        """Return those of some places that are not erased, and their squared distances."""
        there, codes = self._record.codes_at(snapshot, places)
        return there, squared_distances(codes, code, np.arange(len(codes)), weights)

    def _condition(self, snapshot: Snapshot, selection: Selection) -> tuple[str, int]:
        """Return the filter expression for Milvus, and how many cases it leaves."""
        version, live = snapshot.version, snapshot.live
        condition = f"added_in <= {version} and removed_in > {version}"
        coarse = snapshot.memory.coarse
        if selection.passing.count == live.n_cases or coarse is None:
            return condition, live.n_cases
        n_groups = len(coarse.texts)
        there = np.bincount(coarse.indices[live.mask], minlength=n_groups)
        wanted = np.bincount(coarse.indices[selection.passing.mask], minlength=n_groups) > 0
        n_there = int(there[wanted].sum())
        if n_there > WORTH * live.n_cases or wanted.sum() > MOST_LOTS:
            return condition, live.n_cases
        lots = [keyed_hash(self._secret, str(text)) for text in coarse.texts[wanted]]
        return f"{condition} and lot in [{','.join(map(str, lots))}]", n_there


def sync_advice(url: MilvusUrl, index: str | None = None) -> str:
    """Return the command that synchronises a collection, with another index if named."""
    suffix = "" if index is None else f"&index={index}"
    return f"Bring it up with: braincase gallery sync '{url}{suffix}'"


def _best(places: Rows, squared: NDArray[np.float64], k: int, exact: bool = True) -> Ranked:
    """Return the k nearest; equal distances in the order of the record."""
    order = np.lexsort((places, squared))[:k]
    return Ranked(places[order], squared[order], exact)


def _places_of(snapshot: Snapshot, keys: NDArray[np.int64]) -> Rows:
    """Return the places in memory of Milvus's keys, each once; those not live are left out."""
    rows = np.unique(keys // 2)
    record_rows = snapshot.memory.record_rows
    places = np.searchsorted(record_rows, rows)
    present = places < len(record_rows)
    present[present] = record_rows[places[present]] == rows[present]
    places = places[present]
    return places[snapshot.live.mask[places]]
