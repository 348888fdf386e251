"""Elastic registration (demons on local cross-correlation): a smooth displacement field at 4 mm.

The displacement raises the local correlation of scan and template, voxel by voxel, and is smoothed
at every step. It serves two ends: the template's surface carried over to the scan, and the affine
that fits the whole brain and not only its edges.

References
----------
Thirion 1998, Image matching as a diffusion process, doi:10.1016/S1361-8415(98)80022-4: the scheme.
Avants et al. 2008, Symmetric diffeomorphic image registration with cross-correlation,
doi:10.1016/j.media.2007.06.004: the similarity.
"""

from __future__ import annotations

from functools import lru_cache
from itertools import product
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from braincase.images.geometry import mean_of_blocks
from braincase.preprocess.space.sampling import Image, Mask
from braincase.preprocess.space.template import CENTRE_MM, FACE_HEIGHT_MM, load_template

Part = Literal["head", "brain"]

#: Edge of the voxels that the displacement is estimated on.
STEP_MM = 4.0
#: Correlation is taken over cubes of so many voxels a side.
CUBE = 5
#: Steps, the length of the first one (voxels), how much shorter each is than the one before, and
#: how widely each is smoothed (voxels): what adds up is smooth over about 4 cm.
STEPS, FIRST_STEP, SHORTER, SMOOTH = 12, 0.5, 0.88, 2.5
#: Contrast (variance, white matter 1) below which correlation means nothing.
FLAT = 1e-3
#: Points that are interpolated together.
PIECE = 16_384
#: What lies further from the brain than this is not looked at; below the face's upper edge, less.
REACH_MM, REACH_FACE_MM = 12.0, 3.0


@lru_cache(maxsize=2)
def _template(part: Part) -> tuple[Image, Image]:
    """Return the template's brightness and the distance to its brain at 4 mm."""
    level = load_template()[2]
    return mean_of_blocks(level.head if part == "head" else level.brain, 2), mean_of_blocks(
        level.depth_mm, 2
    )


@lru_cache(maxsize=1)
def _points_mm() -> Image:
    """Return the voxel centres at 4 mm relative to `CENTRE_MM`, shape (3, x, y, z)."""
    return np.stack([mean_of_blocks(axis, 2) for axis in load_template()[2].points_mm])


def displacement(scan: Image, part: Part, seen: Mask) -> Image:
    """Estimate the displacement field from a scan on the standard grid to the template.

    Parameters
    ----------
    scan
        Shape (80, 96, 80), white matter about 1, no bias field.
    part
        Whether the scan shows the whole ``head`` or the ``brain`` alone.
    seen
        Where the scan says something (its field of view), same shape. Cubes that reach beyond it
        are left out with it.

    Returns
    -------
    array
        What to add to a position in the scan to come to the template's, mm, shape (3, 40, 48, 40).
    """
    wanted, depth = _template(part)
    image = mean_of_blocks(scan, 2)
    height = _points_mm()[2] + CENTRE_MM[2]
    near = depth < np.where(height > FACE_HEIGHT_MM - 18, REACH_MM, REACH_FACE_MM)
    counts = near & (mean_of_blocks(seen.astype(np.float32), 2) > 0.5)
    own = np.indices(image.shape, np.float32)
    away = np.zeros_like(own)
    if not counts.any():
        return away
    mean = _mean(image)
    spread = _variance(image, mean)
    for step in range(STEPS):
        there = interpolate(wanted, own + away)
        usual = _mean(there)
        pull = _pull(image - mean, spread, there, usual, _mean(image * there) - mean * usual)
        push = np.stack(
            [
                ndimage.gaussian_filter(slope * pull * counts, SMOOTH, truncate=2.5)
                for slope in np.gradient(there)
            ]
        )
        length = np.sqrt((push**2).sum(axis=0))
        longest = np.quantile(length[counts][::5], 0.95) + 1e-9
        away += push * (FIRST_STEP * SHORTER**step / np.maximum(length, longest))
    return away * np.float32(STEP_MM)


def _pull(image: Image, spread: Image, there: Image, usual: Image, covariance: Image) -> Image:
    """Return the gradient of the squared local correlation by the template's brightness there."""
    varies = _variance(there, usual)
    centred = there - usual
    return np.asarray(
        2 * covariance / (spread * varies) * (image - covariance / varies * centred), np.float32
    )


def depth_by(displaced: Image) -> Image:
    """Warp the template's signed distance to the brain's surface: mm, negative inside."""
    depth = load_template()[2].depth_mm
    voxels = np.indices(depth.shape, np.float32)
    for axis, along in enumerate(displaced):
        voxels[axis] += doubled(along) / 2
    return interpolate(depth, voxels)


def affine_part(displaced: Image, seen: Mask | None = None) -> NDArray[np.float64]:
    """Fit an affine to a displacement field over the brain, by least squares.

    Parameters
    ----------
    displaced
        From `displacement`.
    seen
        As there; where the scan says nothing, neither does the displacement.

    Returns
    -------
    array
        Template to scan, both mm from `CENTRE_MM`, shape (3, 4).
    """
    inside = _template("brain")[1] < 0
    if seen is not None:
        inside &= mean_of_blocks(seen.astype(np.float32), 2) > 0.5
    here = _points_mm()[:, inside].astype(np.float64)
    template = here + displaced[:, inside]
    rows = np.vstack([template, np.ones(template.shape[1])]).T
    return np.asarray(np.linalg.lstsq(rows, here.T, rcond=None)[0].T)


def _mean(image: Image) -> Image:
    return np.asarray(ndimage.uniform_filter(image, CUBE), np.float32)


def _variance(image: Image, mean: Image) -> Image:
    return np.asarray(np.maximum(_mean(image * image) - mean**2, 0) + FLAT, np.float32)


def doubled(image: Image) -> Image:
    """Interpolate linearly to voxels of half the edge; beyond the outermost centres, they go on.

    The numbers are those of `scipy.ndimage.zoom` by 2, which takes twelve times as long.
    """
    fine = image.astype(np.float64)
    for axis in range(3):
        far = 0.25 * fine
        near = 0.75 * fine
        shape = list(fine.shape)
        shape[axis] *= 2
        fine = np.empty(shape)
        along, near, far = (np.moveaxis(a, axis, 0) for a in (fine, near, far))
        along[0], along[-1] = near[0] + far[0], near[-1] + far[-1]
        np.add(near[1:], far[:-1], out=along[2::2])
        np.add(near[:-1], far[1:], out=along[1:-1:2])
    return fine.astype(np.float32)


def interpolate(image: Image, voxels: Image) -> Image:
    """Interpolate linearly at voxels of shape (3, ...); outside, the edge goes on.

    The numbers are those of `scipy.ndimage.map_coordinates`, in half the time: piece by piece, so
    that one stays in the processor's cache.
    """
    places, exact = voxels.reshape(3, -1), image.astype(np.float64)
    taken = np.empty(places.shape[1], np.float32)
    for start in range(0, taken.size, PIECE):
        piece = slice(start, start + PIECE)
        taken[piece] = _interpolated(exact, places[:, piece])
    return taken.reshape(voxels.shape[1:])


def _interpolated(image: NDArray[np.float64], voxels: Image) -> NDArray[np.float64]:
    """Return the sums of eight neighbours, each times its weight, in double precision."""
    base, weights = np.zeros(voxels.shape[1], np.int64), []
    for n, along in zip(image.shape, voxels, strict=True):
        place = np.clip(along, 0, n - 1)
        low = np.minimum(np.floor(place), n - 2)
        part = (place - low).astype(np.float64)
        weights.append((1 - part, part))
        base = base * n + low.astype(np.int64)
    flat, (_, ny, nz) = image.ravel(), image.shape
    total, corner = np.zeros(voxels.shape[1]), np.empty(voxels.shape[1])
    for i, j, k in product((0, 1), repeat=3):
        # The places are inside; 'clip' writes into `corner` without a copy between.
        flat.take(base + ((i * ny + j) * nz + k), out=corner, mode="clip")
        corner *= weights[0][i]
        corner *= weights[1][j]
        corner *= weights[2][k]
        total += corner
    return total
