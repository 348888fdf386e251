"""Attribute direction of a gallery: how its people's codes change with a number such as age."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from braincase.errors import TooFewPeopleError, UsageError
from braincase.gallery import Code, Gallery, StoredCase
from braincase.json_values import Json
from braincase.labels import value_text
from braincase.population.cache import Arrays, cached_arrays

#: People from whom a direction is learned.
MOST_PEOPLE = 5000


@dataclass(frozen=True, eq=False)
class Direction:
    """Regression slope of codes on a number: `slope` a unit, shape (n_cells,), from `people`."""

    column: str
    slope: NDArray[np.float64]
    people: int

    def moved(self, code: ArrayLike, amount: float) -> Code:
        """Return a code moved by so many units, for example 5 years."""
        return (np.asarray(code, dtype=np.float64) + amount * self.slope).astype(np.float32)


def learn_direction(
    gallery: Gallery,
    column: str = "age",
    adjust: Sequence[str] = ("sex", "diagnosis"),
    *,
    most_people: int = MOST_PEOPLE,
    seed: int = 0,
    as_of: int | None = None,
) -> Direction:
    """Learn by linear regression how codes change with a number, adjusted for other labels.

    One scan a person is used, so this is a difference between people, not the course of one.

    Parameters
    ----------
    gallery, as_of
        Where to learn from.
    column
        A label that is a number.
    adjust
        Labels to adjust for; those that no case has are left out.
    most_people, seed
        How many people at most, and their choice.

    Raises
    ------
    UsageError
        If the column is no number.
    TooFewPeopleError
        If there are too few people to tell.
    """
    cases = gallery.one_scan_each(most_people, seed, as_of)
    used = [case for case in cases if isinstance(case.labels.get(column), int | float)]
    if not used:
        raise UsageError(column, "no case has a number there", "a column of numbers")
    design = _design(used, column, adjust)
    rank = np.linalg.matrix_rank(design)
    if rank < design.shape[1] or len(used) < 3 * design.shape[1]:
        raise TooFewPeopleError(
            column, f"{len(used)} people", "more, of different kinds, to learn from"
        )
    codes = np.stack([case.code for case in used]).astype(np.float64)
    slopes = np.linalg.lstsq(design, codes, rcond=None)[0]
    return Direction(column, slopes[1], len(used))


def learned_direction(
    gallery: Gallery, version: int, column: str = "age", *, learned_at: int | None = None
) -> Direction:
    """Return the `learn_direction` of a version of a gallery, from the cache if it is there.

    `learned_at` is that of `braincase.population.cache`.
    """

    def learn() -> Arrays:
        direction = learn_direction(gallery, column, as_of=version)
        return {"slope": direction.slope, "people": np.array(direction.people)}

    def read(arrays: Arrays) -> Direction:
        slope = np.asarray(arrays["slope"], np.float64).reshape(gallery.info(version).n_dimensions)
        return Direction(column, slope, int(arrays["people"]))

    depends_on: dict[str, Json] = {"column": column}
    told = cached_arrays(gallery, version, "direction", depends_on, learn, read, learned_at)
    assert told is not None  # too few people are an error
    return told


def _design(cases: Sequence[StoredCase], column: str, adjust: Sequence[str]) -> NDArray[np.float64]:
    numbers = np.array([float(case.labels[column] or 0) for case in cases])
    columns = [np.ones(len(cases)), numbers - numbers.mean()]
    for name in adjust:
        values = [value_text(case.labels.get(name)) for case in cases]
        columns += [np.array(values) == kind for kind in sorted(set(values))[1:]]
    return np.stack(columns, axis=1).astype(np.float64)
