"""Voxelwise standard deviation of smoothed volumes, the usual spread."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from braincase.images.geometry import Grid

#: Smoothing of difference maps: registration leaves a few millimetres of anatomy unmatched.
FWHM_MM = 8.0
_SIGMA_PER_FWHM = 1 / 2.3548


def smoothed(
    volume: NDArray[np.generic], grid: Grid, fwhm_mm: float = FWHM_MM
) -> NDArray[np.float32]:
    """Return a volume blurred by a Gaussian filter of this full width at half maximum."""
    from scipy.ndimage import gaussian_filter  # for images only, which few searches read

    sigma = fwhm_mm * _SIGMA_PER_FWHM / grid.resolution_mm
    return np.asarray(gaussian_filter(volume.astype(np.float32), sigma), dtype=np.float32)


@dataclass(frozen=True, eq=False)
class VoxelSpread:
    """Voxelwise standard deviation of `n` smoothed volumes: how much they usually differ."""

    deviation: NDArray[np.float32]
    n: int


def usual_spread(volumes: Iterable[NDArray[np.uint8]], grid: Grid) -> VoxelSpread:
    """Compute the standard deviation of volumes online, one at a time in memory.

    Parameters
    ----------
    volumes
        uint8 arrays of shape `grid.shape`, at best one of each person, of controls.
    grid
        Their grid.

    References
    ----------
    Welford, B. P. (1962). Note on a method for calculating corrected sums of squares and products.
    Technometrics 4(3), 419-420.
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
    return VoxelSpread(deviation.astype(np.float32), n)
