"""Deformable registration (demons) of the template's tissues to those of an image.

Three images are matched at once, the shares of fluid, grey and white matter in each 4 mm voxel, so
the scanner's contrast has no say. The displacement grows by small smooth steps, coarse to fine.

References
----------
Thirion (1998). Image matching as a diffusion process: an analogy with Maxwell's demons. Medical
Image Analysis 2, 243-260. Each step is that of Vercauteren et al. (2009), doi:10.1016/
j.neuroimage.2008.10.040, with the noise as a constant.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, map_coordinates, zoom

from braincase.images.geometry import mean_of_blocks

Map = NDArray[np.float32]

#: Levels, coarse first: voxels joined along each axis, steps, and how widely each step and then
#: the whole field is smoothed (voxels of the level).
LEVELS = ((2, 10, 1.2, 0.5), (1, 16, 0.9, 0.3))
#: No step is longer than this (voxels).
LONGEST_STEP = 0.5
#: Squared difference of tissue shares that counts as noise; it damps steps where nothing is seen.
NOISE = 0.02


def register(template: Map, image: Map) -> Map:
    """Find where each voxel of the template lies in an image.

    Parameters
    ----------
    template, image
        Tissue shares in [0, 1], shape (3, x, y, z), even numbers of voxels.

    Returns
    -------
    displacement
        Voxels, shape (3, x, y, z): the template's voxel x lies at x + displacement(x).
    """
    displacement = np.zeros((3, *(n // LEVELS[0][0] for n in template.shape[1:])), np.float32)
    for joined, steps, fluid, elastic in LEVELS:
        wanted, seen = _joined(template, joined), _joined(image, joined)
        factor = wanted.shape[1] / displacement.shape[1]
        displacement = _enlarged(displacement, factor)
        own, slope = own_voxels(wanted.shape[1:]), _slope(wanted)
        for _ in range(steps):
            step = _step(wanted - sample(seen, own + displacement), slope)
            displacement = displacement + _smooth(step, fluid)
            displacement = _smooth(displacement, elastic)
    return displacement


def _step(difference: Map, slope: Map) -> Map:
    """Return the demons' step: the Gauss-Newton step of each voxel for itself, damped by noise."""
    along = np.einsum("cxyz,caxyz->axyz", difference, slope)
    steep = (slope**2).sum(axis=(0, 1)) + (difference**2).sum(axis=0) + NOISE
    step = along / steep
    length = np.sqrt((step**2).sum(axis=0))
    return np.asarray(step * np.minimum(1, LONGEST_STEP / np.maximum(length, 1e-6)), np.float32)


def _slope(maps: Map) -> Map:
    """Return the gradients of maps (c, x, y, z), shape (c, 3, x, y, z)."""
    return np.stack([np.stack(np.gradient(one)) for one in maps])


def _smooth(field: Map, sigma: float) -> Map:
    return np.asarray(gaussian_filter(field, (0, sigma, sigma, sigma), truncate=2.5), np.float32)


def _joined(maps: Map, edge: int) -> Map:
    return maps if edge == 1 else np.stack([mean_of_blocks(one, edge) for one in maps])


def _enlarged(displacement: Map, factor: float) -> Map:
    """Bring a displacement field to voxels smaller by a factor."""
    if factor == 1:
        return displacement
    scale = (1, factor, factor, factor)
    larger = zoom(displacement, scale, order=1, mode="nearest", grid_mode=True)
    return np.asarray(larger * factor, np.float32)


def sample(maps: NDArray[np.floating], voxels: NDArray[np.floating]) -> Map:
    """Interpolate maps of shape (n, x, y, z) linearly at voxels (3, ...), edges continued."""
    taken = [map_coordinates(m, voxels, order=1, mode="nearest", prefilter=False) for m in maps]
    return np.asarray(np.stack(taken), np.float32)


def volume_factor(displacement: Map) -> Map:
    """Return the Jacobian determinant of x -> x + displacement(x), voxels; shape (x, y, z)."""
    gradient = np.stack([np.stack(np.gradient(part)) for part in displacement])
    jacobian = np.moveaxis(gradient, (0, 1), (-2, -1)) + np.eye(3, dtype=np.float32)
    return np.asarray(np.linalg.det(jacobian), np.float32)


@cache
def own_voxels(shape: tuple[int, ...]) -> Map:
    """Return the indices of every voxel of a grid, shape (3, *shape)."""
    return np.indices(shape, dtype=np.float32)
