"""Why two brains are similar: where their codes and their images differ and agree.

Each number of a code belongs to one 32 mm cell of MNI space, so the squared distance is exactly the
sum of what the cells contribute; a cell's contribution is divided among the regions in it by the
volume they fill. A cell's number also sees around its cell (the encoder's receptive field; see
docs/search.md), so the shares say where the model saw a difference, not where disease is.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.ndimage import gaussian_filter

from braincase.geometry import CELLS, Grid
from braincase.regions import OUTSIDE, Regions, label_volume
from braincase.volume import write_volume

#: Smoothing of difference maps: registration leaves a few millimetres of anatomy unmatched.
FWHM_MM = 8.0
_SIGMA_PER_FWHM = 1 / 2.3548


@dataclass(frozen=True, eq=False)
class Explanation:
    """What the squared distance between a query and a hit is made of.

    Parameters
    ----------
    squared_distance
        The whole.
    by_cell
        Contribution of each cell, shape `CELLS`; sums to the whole.
    by_region
        Contribution of each region by name, largest first; sums to the whole.
    """

    squared_distance: float
    by_cell: NDArray[np.float64]
    by_region: dict[str, float]

    def shares(self, most: int = 5) -> list[tuple[str, float]]:
        """Return the regions with the largest shares of the squared distance, each 0 to 1."""
        whole = self.squared_distance or 1.0
        return [(name, part / whole) for name, part in list(self.by_region.items())[:most]]

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return {
            "squared_distance": self.squared_distance,
            "by_cell": self.by_cell.tolist(),
            "by_region": self.by_region,
        }


def explain(
    query: ArrayLike, hit: ArrayLike, regions: Regions, weights: ArrayLike | None = None
) -> Explanation:
    """Divide the squared distance between two codes among cells and regions.

    Parameters
    ----------
    query, hit
        Codes, shape (n_cells,).
    regions
        From `braincase.regions.load_regions`.
    weights
        The weights of the search, shape (n_cells,), if it had any.
    """
    difference = np.asarray(query, dtype=np.float64) - np.asarray(hit, dtype=np.float64)
    cells = difference**2 * (1.0 if weights is None else np.asarray(weights, dtype=np.float64))
    parts = cells @ regions.shares
    order = np.argsort(-parts, kind="stable")
    by_region = {regions.names[i]: float(parts[i]) for i in order if parts[i] > 0}
    return Explanation(float(cells.sum()), cells.reshape(CELLS), by_region)


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
) -> list[tuple[str, float]]:
    """Return how far two codes differ in each of `PARTS`, as part of what two people usually do.

    Below 1 they are more alike there than two people of the gallery; most alike first. Parts that
    the weights leave out are not told.

    Parameters
    ----------
    query, hit
        Codes, shape (n_cells,).
    usual
        Mean squared difference of two people in each cell, shape (n_cells,).
    regions
        From `braincase.regions.load_regions`.
    weights
        The weights of the search, shape (n_cells,), if it had any.
    """
    difference = np.asarray(query, dtype=np.float64) - np.asarray(hit, dtype=np.float64)
    factor = 1.0 if weights is None else np.asarray(weights, dtype=np.float64)
    found, expected = difference**2 * factor @ regions.shares, usual * factor @ regions.shares
    told = []
    for part in PARTS:
        members = regions.members(part)
        whole = float(expected[members].sum())
        if whole > 0:
            told.append((part, float(found[members].sum()) / whole))
    return sorted(told, key=lambda item: item[1])


def smoothed(
    volume: NDArray[np.generic], grid: Grid, fwhm_mm: float = FWHM_MM
) -> NDArray[np.float32]:
    """Return a volume blurred by a Gaussian of this full width at half maximum."""
    sigma = fwhm_mm * _SIGMA_PER_FWHM / grid.resolution_mm
    return np.asarray(gaussian_filter(volume.astype(np.float32), sigma), dtype=np.float32)


@dataclass(frozen=True, eq=False)
class Spread:
    """How much smoothed volumes usually differ: voxelwise mean and standard deviation.

    `mean` and `deviation` have the grid's shape; `n` volumes were used.
    """

    mean: NDArray[np.float32]
    deviation: NDArray[np.float32]
    n: int


def usual_spread(volumes: Iterable[NDArray[np.uint8]], grid: Grid) -> Spread:
    """Measure the spread of volumes, one at a time in memory (Welford 1962).

    Parameters
    ----------
    volumes
        uint8 arrays of shape `grid.shape`, at best one of each person, of controls.
    grid
        Their grid.
    """
    mean = np.zeros(grid.shape, np.float64)
    squares = np.zeros(grid.shape, np.float64)
    n = 0
    for volume in volumes:
        n += 1
        blurred = smoothed(volume, grid)
        step = blurred - mean
        mean += step / n
        squares += step * (blurred - mean)
    deviation = np.sqrt(squares / max(n - 1, 1))
    return Spread(mean.astype(np.float32), deviation.astype(np.float32), n)


def difference_map(
    query: NDArray[np.uint8], hit: NDArray[np.uint8], grid: Grid, spread: Spread | None = None
) -> NDArray[np.float32]:
    """Return query minus hit, smoothed, in units of the usual spread where that is given.

    Parameters
    ----------
    query, hit
        Standard volumes, shape `grid.shape`.
    grid
        Their grid.
    spread
        From `usual_spread`; None leaves grey levels. Where hardly any volume differs (background)
        the map is 0.
    """
    difference = smoothed(query.astype(np.float32) - hit.astype(np.float32), grid)
    if spread is None:
        return difference
    floor = max(0.1 * float(spread.deviation.max()), 1e-6)
    known = spread.deviation >= floor
    # Two independent people differ by sqrt(2) standard deviations.
    scaled = difference / (np.sqrt(2.0) * np.maximum(spread.deviation, floor))
    return np.where(known, scaled, 0.0).astype(np.float32)


def agreement_map(difference: NDArray[np.float32]) -> NDArray[np.float32]:
    """Turn a difference map in units of the usual spread into agreement: 1 alike, 0 far apart."""
    return np.exp(-0.5 * difference.astype(np.float64) ** 2).astype(np.float32)


def region_sums(values: NDArray[np.floating], grid: Grid) -> dict[str, float]:
    """Sum a map over the atlas regions, largest first; `outside` is what lies in none.

    Parameters
    ----------
    values
        Shape `grid.shape`.
    grid
        Its grid.
    """
    labels, names = label_volume(grid)
    sums = np.bincount(labels.ravel() + 1, values.ravel().astype(np.float64), len(names) + 1)
    told = dict(zip((OUTSIDE, *names), map(float, sums), strict=True))
    return dict(sorted(told.items(), key=lambda item: -item[1]))


def write_map(path: Path, data: NDArray[np.float32], grid: Grid) -> Path:
    """Write a map as NIfTI in MNI space and return its path."""
    write_volume(path, data, grid.affine)
    return path
