"""Distribution (quantiles) of the distances between two people: what 'close' is in a gallery."""

from __future__ import annotations

from functools import partial

import numpy as np
from numpy.typing import NDArray

from braincase.gallery import Gallery, Weights
from braincase.json_values import JsonObject
from braincase.population.cache import cached, numbers, weights_digest
from braincase.population.usual import FEWEST_PEOPLE

#: People whose distances are measured, each to so many others.
MOST_PEOPLE, OTHERS = 500, 40
#: Quantiles that are cached: every half per cent.
N_QUANTILES = 201


def learned_pairs(
    gallery: Gallery, version: int, weights: Weights | None, *, learned_at: int | None = None
) -> NDArray[np.float64] | None:
    """Return the quantiles of the distance of two people, ascending, shape (N_QUANTILES,).

    None if the gallery has fewer than `FEWEST_PEOPLE`. `learned_at` is that of
    `braincase.population.cache`.
    """

    def learn() -> list[float] | None:
        people = gallery.one_scan_each(MOST_PEOPLE, as_of=version)
        if len(people) < FEWEST_PEOPLE:
            return None
        codes = np.stack([case.code for case in people]).astype(np.float64)
        if weights is not None:
            codes *= np.sqrt(np.asarray(weights, np.float64))
        shifts = np.unique(np.linspace(1, len(codes) - 1, OTHERS).astype(int))
        distances = [np.linalg.norm(codes - np.roll(codes, shift, 0), axis=1) for shift in shifts]
        quantiles = np.quantile(np.concatenate(distances), np.linspace(0, 1, N_QUANTILES))
        return [float(value) for value in quantiles]

    depends_on: JsonObject = {"weights": weights_digest(weights)}
    read = partial(numbers, count=N_QUANTILES)
    return cached(gallery, version, "pairs", depends_on, learn, read, learned_at)


def closer_than(distance: float, quantiles: NDArray[np.float64]) -> float:
    """Return the share of pairs of people who lie farther apart than this, 0 to 1."""
    shares = np.linspace(0, 1, len(quantiles))
    return 1.0 - float(np.interp(distance, quantiles, shares))
