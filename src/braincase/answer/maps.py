"""Difference and agreement maps of two standard volumes, and sums of maps over atlas regions."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from braincase.images.atlas import OUTSIDE, label_volume
from braincase.images.geometry import Grid
from braincase.images.volume import write_volume
from braincase.population.spread import VoxelSpread, smoothed


def difference_map(
    query: NDArray[np.uint8], hit: NDArray[np.uint8], grid: Grid, spread: VoxelSpread | None = None
) -> NDArray[np.float32]:
    """Compute the difference map, query minus hit, smoothed, in usual spreads where given.

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
    varies = spread.deviation >= floor
    # Two independent people differ by sqrt(2) standard deviations.
    scaled = difference / (np.sqrt(2.0) * np.maximum(spread.deviation, floor))
    return np.where(varies, scaled, 0.0).astype(np.float32)


def agreement_map(difference: NDArray[np.float32]) -> NDArray[np.float32]:
    """Turn a difference map in usual spreads into agreement by a Gaussian: 1 alike, 0 far apart."""
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
    by_region = dict(zip((OUTSIDE, *names), map(float, sums), strict=True))
    return dict(sorted(by_region.items(), key=lambda item: -item[1]))


def write_map(path: Path, data: NDArray[np.float32], grid: Grid) -> Path:
    """Write a map as NIfTI in MNI space and return its path."""
    write_volume(path, data, grid.affine)
    return path
