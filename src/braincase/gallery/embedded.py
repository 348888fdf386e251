"""The embedded engine: a folder with one SQLite file, and all codes in memory. No server."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from braincase.gallery.exact import Rows, nearest_rows
from braincase.gallery.interface import Neighbours
from braincase.gallery.record import database
from braincase.gallery.record.memory import Memory
from braincase.gallery.record.record import Record
from braincase.gallery.record.selection import Selection
from braincase.gallery.records import Code, Weights


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


class EmbeddedGallery(Record):
    """A gallery in a folder; see `braincase.gallery.Gallery` for what each method does."""

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

        Other threads may read and write meanwhile: only the record is shared, and it is held just
        long enough to learn the newest state and to fetch the hits.

        Raises
        ------
        UsageError
            If the filter cannot be understood, or there was no version `as_of`.
        """
        while True:
            snapshot = self.snapshot(as_of)
            chosen = self.choose(snapshot, where, only_subject, without_subject)
            found, squared = _nearest(snapshot.memory, chosen, code, k, weights)
            cases = self.cases_at(snapshot, found)
            if cases is not None:
                break
            self.check_changed_since(snapshot)  # one has been erased this very moment
        return Neighbours(
            cases,
            np.sqrt(squared),
            snapshot.version,
            snapshot.live.n_cases,
            chosen.passing.count,
            chosen.n_searched,
            True,
            snapshot.notes,
        )


def _nearest(
    memory: Memory, chosen: Selection, code: Code, k: int, weights: Weights | None
) -> tuple[Rows, NDArray[np.float64]]:
    """Return places and squared distances; the few to leave out are dropped from the answer."""
    rows = chosen.passing.quickest if chosen.only is None else chosen.only
    most = k + len(chosen.apart)
    found, squared = nearest_rows(memory.codes, memory.squares, code, most, rows, weights)
    if len(chosen.apart):
        kept = ~np.isin(found, chosen.apart)
        found, squared = found[kept], squared[kept]
    return found[:k], squared[:k]
