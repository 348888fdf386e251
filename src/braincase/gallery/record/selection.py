"""Snapshot and selection: the cases a search looks at, by filter and by person."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from braincase.gallery.columns import NumberColumn, distinct_values
from braincase.gallery.exact import DENSE, Rows
from braincase.gallery.filter import absent_values, parse_where, select
from braincase.gallery.record.memory import Live, Memory
from braincase.labels import RESERVED_COLUMNS, spelling_notes

#: A column with more texts than this holds no groups.
MOST_TEXTS = 50
#: Filters remembered; a calibration or a reader asks hundreds of times with the same.
MOST_FILTERS = 8


@dataclass(frozen=True, eq=False)
class Snapshot:
    """A snapshot: one version of a gallery, in which later writes are not seen."""

    memory: Memory
    live: Live
    version: int
    notes: tuple[str, ...]

    @cached_property
    def spellings(self) -> tuple[str, ...]:
        """Labels of its cases that most likely are one, a sentence each."""
        columns = self.memory.columns.items()
        few = [
            (name, distinct_values(column, self.live.mask))
            for name, column in columns
            if name not in RESERVED_COLUMNS and not isinstance(column, NumberColumn)
        ]
        notes = (spelling_notes(name, texts) for name, texts in few if len(texts) <= MOST_TEXTS)
        return tuple(note for of_column in notes for note in of_column)

    def is_as_of(self, version: int | None) -> bool:
        """Return whether this is that version, as far as `memory` has come; None: the newest."""
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
    """The cases that one search looks at.

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
        searched = places[self.passing.mask[places] & ~np.isin(places, self.apart)]
        return searched if self.only is None else searched[np.isin(searched, self.only)]


class FilterCache:
    """A cache of evaluated filters; a filter is one pass over each column it names.

    The oldest filter goes first.
    """

    def __init__(self) -> None:
        self._passing: OrderedDict[str, tuple[Live, Passing]] = OrderedDict()

    def passing(self, snapshot: Snapshot, where: str) -> Passing:
        """Return the live cases that pass a filter.

        Raises
        ------
        FilterError
            If the filter cannot be understood, names no column, or compares numbers with text.
        """
        if not where.strip():
            return Passing(snapshot.live.mask, snapshot.live.n_cases)
        live, passing = self._passing.get(where, (None, None))
        if passing is not None and live is snapshot.live:
            return passing
        mask = snapshot.live.mask & select(parse_where(where), snapshot.memory.columns)
        passing = Passing(mask, int(np.count_nonzero(mask)))
        self._passing[where] = (snapshot.live, passing)
        while len(self._passing) > MOST_FILTERS:
            self._passing.popitem(last=False)
        return passing


def why_none_passes(snapshot: Snapshot, where: str, passing: Passing) -> tuple[str, ...]:
    """Return which values a filter names that no case has, where no case passes it."""
    if passing.count or not snapshot.live.n_cases:
        return ()
    return absent_values(parse_where(where), snapshot.memory.columns, snapshot.live.mask)


def choose(
    snapshot: Snapshot, passing: Passing, only_subject: str | None, without_subject: str | None
) -> Selection:
    """Return the cases a search looks at; people are looked up, not compared row by row."""
    only = None
    if only_subject is not None:
        only = snapshot.memory.rows_of_person(only_subject)
        only = only[passing.mask[only]]
    apart = np.empty(0, np.int64)
    if without_subject is not None:
        apart = snapshot.memory.rows_of_person(without_subject)
        apart = apart[passing.mask[apart]]
        if only is not None:
            apart = apart[np.isin(apart, only)]
    return Selection(passing, apart, only)
