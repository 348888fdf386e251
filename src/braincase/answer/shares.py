"""Attribution of the squared distance to cells and regions of the brain: their shares of it.

The squared distance of two codes is the sum over their numbers. Those of the local code are each of
one region (`braincase.volumetry.code_layout`): what they contribute is there and nowhere else. The
network's own numbers and the posterior look at the whole brain and have no place, so shares
are of the rest. In a code of 150 cells and no local part each number belongs to one 32 mm cell and
is divided among the regions in it by the volume they fill; but it also sees around its cell
(docs/search-explained.md), so there the shares say where the model saw a difference.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from braincase.images.atlas import Regions
from braincase.images.geometry import CELLS
from braincase.json_values import Json, to_json_object


@dataclass(frozen=True, eq=False)
class Explanation:
    """Attribution of the squared distance between a query and a hit.

    Parameters
    ----------
    squared_distance
        The whole.
    regional
        That part of it which has a place: all of it where codes are maps of cells.
    by_cell
        Contribution of each cell, shape `CELLS`; sums to the regional part.
    by_region
        Contribution of each region by name, largest first; sums to the regional part.
    """

    squared_distance: float
    regional: float
    by_cell: NDArray[np.float64]
    by_region: dict[str, float]

    def shares(self, most: int = 5) -> list[tuple[str, float]]:
        """Return the regions with the largest shares of the regional part, each 0 to 1."""
        whole = self.regional or 1.0
        return [(name, part / whole) for name, part in list(self.by_region.items())[:most]]

    def to_json(self) -> dict[str, Json]:
        """Return plain JSON values."""
        return to_json_object(self)


def explain(
    query: ArrayLike, hit: ArrayLike, regions: Regions, weights: ArrayLike | None = None
) -> Explanation:
    """Divide the squared distance between two codes among cells and regions.

    Parameters
    ----------
    query, hit
        Codes, shape (numbers,).
    regions
        From `braincase.volumetry.code_layout.regions_of_code`.
    weights
        The weights of the search, shape (numbers,), if it had any.
    """
    difference = np.asarray(query, dtype=np.float64) - np.asarray(hit, dtype=np.float64)
    squares = difference**2 * (1.0 if weights is None else np.asarray(weights, dtype=np.float64))
    parts = squares @ regions.shares
    order = np.argsort(-parts, kind="stable")
    by_region = {regions.names[i]: float(parts[i]) for i in order if parts[i] > 0}
    by_cell = (squares @ regions.cells).reshape(CELLS)
    return Explanation(float(squares.sum()), float(parts.sum()), by_cell, by_region)


#: The parts of the brain in which two people are said to be alike or not.
PARTS = (
    *(
        f"{side}-{part}"
        for part in ("frontal", "parietal", "temporal", "medial-temporal", "occipital")
        for side in ("left", "right")
    ),
    "cingulate",
    "insula",
    "deep-grey",
    "ventricles",
    "cerebellum",
    "brain-stem",
)


def likeness(
    query: ArrayLike,
    hit: ArrayLike,
    usual: NDArray[np.float64],
    regions: Regions,
    weights: ArrayLike | None = None,
    parts: Sequence[str] = PARTS,
) -> list[tuple[str, float]]:
    """Compute the ratio of two codes' distance in each part to that of two people usually.

    Root mean squares: half as far apart as two people usually are gives 0.5. Below 1 they are more
    alike there than two people of the gallery; most alike first. Parts that the weights leave out
    are not listed.

    Parameters
    ----------
    query, hit
        Codes, shape (numbers,).
    usual
        Mean squared difference of two people in each number, shape (numbers,).
    regions
        From `braincase.volumetry.code_layout.regions_of_code`.
    weights
        The weights of the search, shape (numbers,), if it had any.
    parts
        Of the brain: names of regions or of groups of them.
    """
    difference = np.asarray(query, dtype=np.float64) - np.asarray(hit, dtype=np.float64)
    factor = 1.0 if weights is None else np.asarray(weights, dtype=np.float64)
    by_region = difference**2 * factor @ regions.shares
    usual_by_region = usual * factor @ regions.shares
    ratios = []
    for part in parts:
        members = regions.members(part)
        whole = float(usual_by_region[members].sum())
        if whole > 0:
            ratios.append((part, math.sqrt(float(by_region[members].sum()) / whole)))
    return sorted(ratios, key=lambda item: item[1])
