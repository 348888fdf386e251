"""Which cases a search looks at: the filter's, less those of the query's own person."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from braincase.gallery.exact import DENSE, Rows
from braincase.gallery.filter import parse_where, select
from braincase.gallery.record.memory import Live, Memory

#: Filters remembered; a calibration or a reader asks hundreds of times with the same.
MOST_FILTERS = 8


@dataclass(frozen=True, eq=False)
class Snapshot:
    """One version of a gallery, held fast: what later writes change is not seen here."""

    memory: Memory
    live: Live
    version: int
    notes: tuple[str, ...]

    def is_as_of(self, version: int | None) -> bool:
        """Say whether this is what was asked for, as far as `memory` knows; None: the newest."""
        return self.version == (self.memory.version if version is None else version)


@dataclass(frozen=True, eq=False)
class Passing:
    """The live cases that pass a filter: a mask of shape (n,) and how many."""

    mask: NDArray[np.bool_]
    count: int

    @cached_property
    def rows(self) -> Rows:
        """Their places in memory, increasing."""
        return np.flatnonzero(self.mask)

    @property
    def quickest(self) -> Rows | NDArray[np.bool_] | None:
        """What `nearest_rows` searches them fastest by."""
        if self.count == len(self.mask):
            return None
        return self.mask if self.count > DENSE * len(self.mask) else self.rows


@dataclass(frozen=True, eq=False)
class Selection:
    """What one search looks at.

    Parameters
    ----------
    passing
        The cases that pass the filter.
    apart
        Places of those among them that are left out: the person's own.
    only
        Places of those to look at alone, or None for all that pass.
    """

    passing: Passing
    apart: Rows
    only: Rows | None

    @property
    def n_searched(self) -> int:
        """How many cases are looked at."""
        return (self.passing.count if self.only is None else len(self.only)) - len(self.apart)

    @property
    def places(self) -> Rows:
        """Places of all cases looked at, increasing."""
        places = self.passing.rows if self.only is None else self.only
        return places[~np.isin(places, self.apart)] if len(self.apart) else places

    def of(self, places: Rows) -> Rows:
        """Return those of some places that are looked at."""
        kept = places[self.passing.mask[places] & ~np.isin(places, self.apart)]
        return kept if self.only is None else kept[np.isin(kept, self.only)]


class Filters:
    """The last filters asked, evaluated; a filter is one pass over each column it names."""

    def __init__(self) -> None:
        self._known: OrderedDict[str, tuple[Live, Passing]] = OrderedDict()

    def passing(self, snapshot: Snapshot, where: str) -> Passing:
        """Return the live cases that pass a filter.

        Raises
        ------
        UsageError
            If the filter cannot be understood, names no column, or compares numbers with text.
        """
        if not where.strip():
            return Passing(snapshot.live.mask, snapshot.live.n_cases)
        known = self._known.get(where)
        if known is not None and known[0] is snapshot.live:
            return known[1]
        mask = snapshot.live.mask & select(parse_where(where), snapshot.memory.columns)
        passing = Passing(mask, int(np.count_nonzero(mask)))
        self._known[where] = (snapshot.live, passing)
        while len(self._known) > MOST_FILTERS:
            self._known.popitem(last=False)
        return passing


def choose(
    snapshot: Snapshot, passing: Passing, only_subject: str | None, without_subject: str | None
) -> Selection:
    """Return what a search looks at; people are looked up, not compared row by row."""
    none = np.empty(0, np.int64)
    only = None
    if only_subject is not None:
        only = snapshot.memory.rows_of_person(only_subject)
        only = only[passing.mask[only]]
    apart = none
    if without_subject is not None:
        apart = snapshot.memory.rows_of_person(without_subject)
        apart = apart[passing.mask[apart]]
        if only is not None:
            apart = apart[np.isin(apart, only)]
    return Selection(passing, apart, only)
