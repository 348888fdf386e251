"""Features of the baselines: smoothed voxels and regional tissue volumes of each scan.

Both are made from the image alone, scan by scan, so nothing is learned here and nothing can leak.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from math import prod

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from braincase.cohort.cohort import Cohort
from braincase.images.geometry import Grid, mean_of_blocks
from braincase.images.tissue import tissue_intensities, tissue_shares
from braincase.progress import progress

#: Voxels are pooled to this edge (mm) and smoothed by this standard deviation (mm): 8 mm at half
#: maximum, the usual smoothing of voxel-based morphometry.
VOXEL_MM = 4
SMOOTHING_MM = 3.4
#: Edge of the cubes (mm) whose tissue volumes are counted.
REGION_MM = 16
#: Scans read at once.
BATCH = 64


@dataclass(frozen=True)
class Features:
    """Features of some scans, in the order asked for.

    Parameters
    ----------
    voxels
        Smoothed 4 mm voxels, float32 of shape (scans, voxels), intensity in [0, 1].
    regions
        Millilitres of CSF, grey and white matter in each 16 mm cube, float32 of shape
        (scans, 3 * cubes).
    """

    voxels: NDArray[np.float32]
    regions: NDArray[np.float32]


def batches(rows: NDArray[np.intp], size: int = BATCH) -> Iterator[NDArray[np.intp]]:
    """Yield `rows` in pieces of at most `size`."""
    for start in range(0, len(rows), size):
        yield rows[start : start + size]


def measure_features(pieces: Sequence[tuple[Cohort, NDArray[np.intp]]]) -> Features:
    """Compute the features of these rows of these cohorts, a batch of volumes at a time."""
    total = sum(len(rows) for _, rows in pieces)
    n_voxels, n_cubes = (prod(Grid(edge).shape) for edge in (VOXEL_MM, REGION_MM))
    voxels = np.empty((total, n_voxels), np.float32)
    regions = np.empty((total, 3 * n_cubes), np.float32)
    done = 0
    with progress("baselines", total) as advance:
        for cohort, rows in pieces:
            for batch in batches(rows):
                images, here = cohort.volumes[batch], slice(done, done + len(batch))
                voxels[here] = smoothed_voxels(images, cohort.grid)
                regions[here] = regional_volumes(images, cohort.grid)
                done += len(batch)
                advance(len(batch))
    return Features(voxels, regions)


def smoothed_voxels(images: NDArray[np.uint8], grid: Grid) -> NDArray[np.float32]:
    """Pool to 4 mm, smooth and flatten uint8 images of shape (n, *grid.shape)."""
    edge = VOXEL_MM // grid.resolution_mm
    pooled = mean_of_blocks(images.astype(np.float32), edge) / np.float32(255)
    sigma = SMOOTHING_MM / VOXEL_MM
    smooth = gaussian_filter(pooled, (0, sigma, sigma, sigma), mode="constant", truncate=3)
    return np.asarray(smooth.reshape(len(images), -1), np.float32)


def regional_volumes(images: NDArray[np.uint8], grid: Grid) -> NDArray[np.float32]:
    """Count millilitres of CSF, grey and white matter in 16 mm cubes.

    A voxel between two tissues' intensities is shared between them in proportion (the linear
    partial volume model of Santago & Gage 1993).

    Parameters
    ----------
    images
        Brain-only uint8 images of shape (n, *grid.shape); 0 is background.
    grid
        Their grid.

    Returns
    -------
    float32 of shape (n, 3 * cubes).
    """
    n_cubes = prod(Grid(REGION_MM).shape)
    first_bin = 256 * _cube_of_voxel(grid)
    millilitres = grid.resolution_mm**3 / 1000
    volumes = []
    for image in images:
        # How often each intensity occurs in each cube: all that the tissue volumes depend on.
        counts = np.bincount(first_bin + image.ravel(), minlength=256 * n_cubes)
        counts = counts.reshape(n_cubes, 256)
        counts[:, 0] = 0
        shares = tissue_shares(tissue_intensities(counts.sum(axis=0)))
        volumes.append((counts @ shares * millilitres).ravel())
    return np.asarray(volumes, np.float32)


@cache
def _cube_of_voxel(grid: Grid) -> NDArray[np.intp]:
    """Return the number of the cube each voxel lies in, flattened."""
    edge = REGION_MM // grid.resolution_mm
    x, y, z = (np.arange(n) // edge for n in grid.shape)
    cube = (x[:, None, None] * (y[-1] + 1) + y[:, None]) * (z[-1] + 1) + z
    return np.asarray(cube.ravel())
