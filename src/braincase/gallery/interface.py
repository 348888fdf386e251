"""The gallery interface (`typing.Protocol`): what every gallery can do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from braincase.errors import FingerprintError
from braincase.gallery.cases import (
    Change,
    ClosestPeople,
    Code,
    GalleryInfo,
    NewCase,
    StoredCase,
    Version,
)
from braincase.gallery.query import Weights


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


class Gallery(Protocol):
    """A versioned case database with nearest-neighbour search; a protocol for every engine.

    Every change is one transaction: when the call returns, it is on the disk; if it raises, nothing
    happened. `as_of` names an earlier version; None is the newest.
    """

    fingerprint: str
    #: The folder of its record.
    folder: Path
    #: A folder for what is learned from its cases; erasing a case removes it.
    cache_folder: Path

    def add(self, cases: Sequence[NewCase], fingerprint: str) -> Change:
        """Add new cases; one that is there already, the same, is left as it is."""
        ...

    def update(self, cases: Sequence[NewCase], fingerprint: str) -> Change:
        """Put cases in the place of those with the same scan_id; new ones are added."""
        ...

    def remove(self, scan_ids: Sequence[str], erase: bool = False) -> Change:
        """Take cases out; with `erase`, from the earlier versions and from the disk too."""
        ...

    def readmit(self, scan_ids: Sequence[str]) -> None:
        """Let scans that were erased be added again."""
        ...

    def get(self, scan_id: str, as_of: int | None = None) -> StoredCase:
        """Return one case."""
        ...

    def person(
        self, subject: str, as_of: int | None = None, ever: bool = False
    ) -> tuple[StoredCase, ...]:
        """Return all scans of one person, or each state that any of them `ever` had."""
        ...

    def one_scan_each(
        self, most: int, seed: int = 0, as_of: int | None = None
    ) -> tuple[StoredCase, ...]:
        """Return one random scan of each of at most `most` random people."""
        ...

    def thumbnail(self, scan_id: str, as_of: int | None = None) -> bytes | None:
        """Return the small picture of a case, if it has one."""
        ...

    def cases(self, where: str = "", as_of: int | None = None) -> tuple[StoredCase, ...]:
        """Return all cases that pass a filter, in the order they were added."""
        ...

    def find(self, scan_ids: Sequence[str], as_of: int | None = None) -> dict[str, StoredCase]:
        """Return those of the named cases that are there, by scan_id."""
        ...

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
        """
        ...

    def closest_people(self, as_of: int | None = None) -> ClosestPeople:
        """Return the smallest distance between two people's cases, and of how many people."""
        ...

    def info(self, as_of: int | None = None) -> GalleryInfo:
        """Return what the gallery holds."""
        ...

    def versions(self) -> tuple[Version, ...]:
        """Return the history, oldest first."""
        ...

    def close(self) -> None:
        """Close files and connections."""
        ...


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
