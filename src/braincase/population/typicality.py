"""Conformal p-value: whether a gallery holds any case similar to the query.

Each of many people is taken out of the gallery, and the distance to the nearest case of the others
is noted. If the query came from the same population, its own nearest distance would be
exchangeable with these, so the share of people who lie at least as far from everyone is a p-value
that is right for any distribution: below 5 %, at most 5 % of such queries fall. A small p-value
says: no similar case here. Where a filter was searched with, both the people taken out and their
nearest cases are those who pass it: a query unlike these people is told so.

References
----------
Vovk, V., Gammerman, A. & Shafer, G. (2005). Algorithmic Learning in a Random World. Springer.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from braincase.errors import TooFewPeopleError
from braincase.gallery import Gallery, SearchResult, Weights
from braincase.json_values import Json, to_json_object
from braincase.population.cache import cached, numbers, search_identity
from braincase.population.leave_one_out import neighbours_of_others

#: People taken out in turn.
MOST_PEOPLE = 500
#: Fewer people than this give no p-value below `ALPHA`.
FEWEST_PEOPLE = 20
#: Below this p-value the gallery has no similar case.
ALPHA = 0.05
#: From this p-value on the nearest case is as close as is usual here.
USUAL = 0.25


@dataclass(frozen=True)
class Typicality:
    """Conformal p-value of a distance to the nearest case.

    For `as_far` of the `people` compared the nearest other person is as far away; for half of them
    at least `usual`. They are those who pass a filter, if `filtered`; and `judged` says how the
    scan itself was, where the hits are of a moved query or ranked otherwise: ``unmoved``.
    """

    p_value: float
    distance: float
    people: int
    as_far: int
    usual: float
    filtered: bool = False
    judged: str = ""

    @property
    def similar(self) -> bool:
        """Whether the nearest case can be called similar."""
        return self.p_value >= ALPHA

    def to_json(self) -> dict[str, Json]:
        """Return plain JSON values; `unlike` is true where the gallery holds no similar case."""
        return {**to_json_object(self), "unlike": not self.similar, "text": self.line()}

    def line(self) -> str:
        """Return one sentence for the user."""
        of = f"For the scan itself, {self.judged}: " if self.judged else ""
        return f"{of}{self._sentence()}"

    def _sentence(self) -> str:
        farther = f"for {self.as_far} of {self.people} people the nearest other person is"
        here = "in this gallery"
        if self.filtered:
            farther = (
                f"for {self.as_far} of {self.people} people who pass the filter the nearest is"
            )
            here = "among those who pass the filter"
        if not self.similar:
            return (
                f"No similar case {here}: only {farther} as far away as this query's"
                f" nearest case (p = {self.p_value:.3f})."
            )
        if self.p_value >= USUAL:
            return f"A similar case is {here}, close as usual here: {farther} as far away."
        return (
            f"A similar case is {here}, but farther away than is usual here: only {farther} as far"
            " away."
        )


def nearest_distances(
    gallery: Gallery,
    *,
    where: str = "",
    weights: Weights | None = None,
    most_people: int = MOST_PEOPLE,
    seed: int = 0,
    as_of: int | None = None,
) -> NDArray[np.float64]:
    """Compute the distance of each of many people to the nearest case of the others.

    Parameters
    ----------
    gallery, where, weights, as_of
        As in the searches to judge.
    most_people
        How many people to take out at most, one random scan each.
    seed
        Chooses them.

    Returns
    -------
    distances
        Shape (n_people,), sorted.

    Raises
    ------
    TooFewPeopleError
        If there are fewer than `FEWEST_PEOPLE`.
    """
    people = gallery.one_scan_each(most_people, seed, as_of, where)
    doing = "learning how far apart people lie"
    nearest = neighbours_of_others(
        gallery, people, 1, doing, where=where, weights=weights, as_of=as_of
    )
    distances = [distance for near in nearest for distance in near.distances.tolist()]
    if len(distances) < FEWEST_PEOPLE:
        expected = f"{FEWEST_PEOPLE} or more to judge similarity"
        raise TooFewPeopleError(gallery.info(as_of).url, f"{len(distances)} people", expected)
    return np.sort(distances)


def typicality(
    distance: float, distances: NDArray[np.float64], filtered: bool = False, judged: str = ""
) -> Typicality:
    """Compute the p-value of a query's distance to its nearest hit among `nearest_distances`.

    `filtered` and `judged` are those of `Typicality`.
    """
    as_far = len(distances) - int(np.searchsorted(distances, distance, side="left"))
    people = len(distances)
    usual = float(np.median(distances))
    p_value = (1 + as_far) / (1 + people)
    return Typicality(p_value, distance, people, as_far, usual, filtered, judged)


def learned_distances(
    gallery: Gallery,
    result: SearchResult,
    weights: Weights | None = None,
    *,
    learned_at: int | None = None,
) -> NDArray[np.float64] | None:
    """Return the `nearest_distances` of a gallery's people, from the cache if they are there.

    None if the gallery has too few people to tell.

    Parameters
    ----------
    gallery, result, weights, learned_at
        As in `braincase.population.neighbour_labels.learned_calibration`.
    """

    def learn() -> list[float] | None:
        try:
            distances = nearest_distances(
                gallery, where=result.where, weights=weights, as_of=result.gallery_version
            )
            return [float(distance) for distance in distances]
        except TooFewPeopleError:
            return None

    version, depends_on = result.gallery_version, search_identity(result, weights)
    return cached(gallery, version, "distances", depends_on, learn, numbers, learned_at)
