"""Tissue shares (fluid, grey and white matter) of the intensities of a T1-weighted brain."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from braincase.images.geometry import HALF_GRID, Grid, mean_of_blocks

#: The three tissues that an intensity of a T1-weighted image tells apart, darkest first.
TISSUES = ("csf", "grey", "white")
#: White matter is looked at in a Gaussian window of this standard deviation (mm), so many times.
SHADING_MM, FLATTENINGS = 20.0, 2
#: A voxel with more white matter than this says how bright white matter is there.
SURELY_WHITE = 0.7


def tissue_intensities(histogram: NDArray[np.intp], rounds: int = 25) -> NDArray[np.float64]:
    """Find an image's typical CSF, grey and white matter intensity, ascending.

    One-dimensional 3-means, which minimises the same within-class variance as Otsu's thresholds.

    Parameters
    ----------
    histogram
        Number of brain voxels of each intensity 0..255.
    rounds
        Most steps; it usually stands still after fewer.
    """
    grey = np.arange(256)
    below = np.cumsum(histogram)
    centres = np.searchsorted(below, np.array([0.1, 0.4, 0.8]) * below[-1]).astype(np.float64)
    for _ in range(rounds):
        nearest = np.abs(grey - centres[:, None]).argmin(axis=0)
        number = np.bincount(nearest, histogram, minlength=3)
        total = np.bincount(nearest, histogram * grey, minlength=3)
        moved = np.where(number > 0, total / np.maximum(number, 1), centres)
        if np.allclose(moved, centres):
            break
        centres = moved
    return np.asarray(np.sort(centres))


def tissue_shares(centres: NDArray[np.float64]) -> NDArray[np.float64]:
    """Share each intensity 0..255 between the tissues of these intensities; shape (256, 3)."""
    # An image of one flat intensity has equal centres; np.interp needs them to rise.
    rising = centres + np.array([0, 1e-3, 2e-3])
    return np.stack([np.interp(np.arange(256), rising, tissue) for tissue in np.eye(3)], axis=1)


def image_shares(image: NDArray[np.uint8], grid: Grid) -> NDArray[np.float32]:
    """Share a skull-stripped image between `TISSUES`, averaged to 4 mm: (3, *HALF_GRID.shape).

    Shading is taken off first, by how bright the white matter is around each voxel.
    """
    for _ in range(FLATTENINGS):
        image = _flattened(image, grid)
    shares = tissue_table(image)[image]
    edge = HALF_GRID.resolution_mm // grid.resolution_mm
    return np.stack([mean_of_blocks(shares[..., tissue], edge) for tissue in range(3)])


def tissue_table(image: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return the tissue shares of each intensity, shape (256, 3); background has none."""
    counts = np.bincount(image.ravel(), minlength=256)
    counts[0] = 0
    table = tissue_shares(tissue_intensities(counts)).astype(np.float32)
    table[0] = 0
    return table


def _flattened(image: NDArray[np.uint8], grid: Grid) -> NDArray[np.uint8]:
    """Divide an image by its local brightness of white matter."""
    white = (tissue_table(image)[image][..., 2] > SURELY_WHITE).astype(np.float32)
    sigma = SHADING_MM / grid.resolution_mm
    weight = gaussian_filter(white, sigma, truncate=2.5) + 1e-4
    usual = image[white > 0].mean() if white.any() else 1.0
    local = (gaussian_filter(white * image, sigma, truncate=2.5) + 1e-4 * usual) / weight
    return np.asarray(np.rint(np.clip(image * (usual / local), 0, 255)), np.uint8)
