"""Whether a gallery holds any case similar to the query: a conformal p-value.

Each of many people is taken out of the gallery, and the distance to the nearest case of the others
is noted. If the query came from the same population, its own nearest distance would be
exchangeable with these, so the share of people who lie at least as far from everyone is a p-value
that is right for any distribution (Vovk, Gammerman & Shafer 2005): below 5 %, at most 5 % of such
queries fall. A small p-value says: no similar case here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from braincase.errors import GalleryError
from braincase.gallery import Gallery, SearchResult, Weights
from braincase.population.cache import cached, search_of
from braincase.population.leave_one_out import neighbours_of_others

#: People taken out in turn.
MOST_PEOPLE = 500
#: Below this p-value the gallery has no similar case.
ALPHA = 0.05


@dataclass(frozen=True)
class Typicality:
    """How usual it is to lie this far from the nearest case; `people` were compared."""

    p_value: float
    distance: float
    people: int

    @property
    def similar(self) -> bool:
        """Whether the nearest case can be called similar."""
        return self.p_value >= ALPHA

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values; `unlike` is true where the gallery holds no similar case."""
        return {**self.__dict__, "unlike": not self.similar, "text": self.line()}

    def line(self) -> str:
        """Return one sentence for the user."""
        if self.similar:
            return (
                f"{self.p_value:.0%} of {self.people} people of this gallery lie as far from"
                " everyone else as the query does."
            )
        return (
            f"No similar case in this gallery: only {self.p_value:.1%} of {self.people} people lie"
            f" as far from everyone else (p = {self.p_value:.3f})."
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
    """Return the distance of each of many people to the nearest case of the others.

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
    GalleryError
        If there are fewer than 20 people: then no p-value is below 5 %.
    """
    people = gallery.one_scan_each(most_people, seed, as_of)
    doing = "learning how far apart people lie"
    nearest = neighbours_of_others(
        gallery, people, 1, doing, where=where, weights=weights, as_of=as_of
    )
    distances = [distance for near in nearest for distance in near.distances.tolist()]
    if len(distances) < 20:
        raise GalleryError(
            gallery.info(as_of).url, f"{len(distances)} people", "20 or more to judge similarity"
        )
    return np.sort(distances)


def typicality(distance: float, distances: NDArray[np.float64]) -> Typicality:
    """Judge a query's distance to its nearest hit against those of `nearest_distances`."""
    as_far = len(distances) - int(np.searchsorted(distances, distance, side="left"))
    return Typicality((1 + as_far) / (1 + len(distances)), distance, len(distances))


def learned_distances(
    gallery: Gallery, result: SearchResult, weights: Weights | None = None
) -> NDArray[np.float64] | None:
    """Return how far people of the gallery lie from each other, as `nearest_distances` does.

    None if the gallery has too few people to tell.

    Parameters
    ----------
    gallery, result, weights
        As in `learned_calibration`.
    """

    def learn() -> list[float] | None:
        try:
            distances = nearest_distances(
                gallery, where=result.where, weights=weights, as_of=result.gallery_version
            )
            return [float(distance) for distance in distances]
        except GalleryError:
            return None

    asked = search_of(result, weights)
    known = cached(gallery, result.gallery_version, "distances", asked, learn)
    return None if known is None else np.array(known, dtype=np.float64)
