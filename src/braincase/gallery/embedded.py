"""The embedded engine: exact nearest neighbours over all codes in memory. No server."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from braincase.gallery.cases import Code, NewCase
from braincase.gallery.engine_interface import Ranked
from braincase.gallery.exact import nearest_rows
from braincase.gallery.gallery import Gallery
from braincase.gallery.query import Weights
from braincase.gallery.record.record import Record, create_record
from braincase.gallery.record.selection import Selection, Snapshot


def create_embedded(
    folder: Path, fingerprint: str, resolution_mm: int, n_dimensions: int, encoder: str = ""
) -> Gallery:
    """Make an empty embedded gallery; see `braincase.gallery.create_gallery`."""
    create_record(folder, fingerprint, resolution_mm, n_dimensions, encoder)
    return open_embedded(folder)


def open_embedded(folder: Path) -> Gallery:
    """Open an embedded gallery; see `braincase.gallery.open_gallery`."""
    return Gallery(Record(folder), EmbeddedEngine(), str(folder))


class EmbeddedEngine:
    """A brute-force search over the codes that a snapshot has in memory.

    There is nothing to follow: the record's own memory is what it searches.
    """

    name = "embedded"

    def check_write(self, cases: Sequence[NewCase]) -> None:
        """Take any case."""

    def follow_write(self, erased: bool) -> None:
        """Do nothing: the next snapshot has what was written."""

    def rank(
        self, snapshot: Snapshot, selection: Selection, code: Code, k: int, weights: Weights | None
    ) -> Ranked:
        """Return the k nearest cases; the few to leave out are dropped from the answer."""
        memory = snapshot.memory
        rows = selection.passing.quickest if selection.only is None else selection.only
        most = k + len(selection.apart)
        places, squared = nearest_rows(memory.codes, memory.squares, code, most, rows, weights)
        if len(selection.apart):
            searched = ~np.isin(places, selection.apart)
            places, squared = places[searched], squared[searched]
        return Ranked(places[:k], squared[:k])

    def close(self) -> None:
        """Close nothing: the record has the only file."""
