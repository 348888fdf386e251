"""The engine interface: how a search engine plugs into a gallery (nearest-neighbour ranking)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from braincase.gallery.cases import Code, NewCase
from braincase.gallery.exact import Rows
from braincase.gallery.query import Weights
from braincase.gallery.record.selection import Selection, Snapshot


@dataclass(frozen=True, eq=False)
class Ranked:
    """A ranking: places in a snapshot and their squared distances, nearest first.

    `exact` is False if nearer cases may have been missed.
    """

    places: Rows
    squared: NDArray[np.float64]
    exact: bool = True


class Engine(Protocol):
    """A search engine: it ranks the cases of a snapshot, and follows what the record writes."""

    #: What `GalleryInfo.engine` says.
    name: str

    def check_write(self, cases: Sequence[NewCase]) -> None:
        """Refuse, before a change is recorded, cases that the engine could not take."""
        ...

    def follow_write(self, erased: bool) -> None:
        """Bring the engine up to the record after a change; `erased` if cases were erased."""
        ...

    def rank(
        self, snapshot: Snapshot, selection: Selection, code: Code, k: int, weights: Weights | None
    ) -> Ranked:
        """Return the k nearest of the selected cases; equal distances in the record's order."""
        ...

    def close(self) -> None:
        """Close connections."""
        ...
