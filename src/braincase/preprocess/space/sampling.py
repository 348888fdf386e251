"""Resampling (linear interpolation, antialiasing) and the array types of all preprocessing.

The only numerical kernels that touch many voxels, with a leading axis of heads.

Written against the array API, so that the same lines run on NumPy arrays and on torch tensors (a
GPU): the kind of array that goes in is the kind that comes out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import ceil
from typing import Any, TypeAlias

import numpy as np
from array_api_compat import array_namespace, device, is_numpy_array
from numpy.typing import ArrayLike, NDArray

#: A NumPy array or a torch tensor: the array API has no type that both share.
Array: TypeAlias = Any
#: Brightness (or another number) of voxels.
Image: TypeAlias = NDArray[np.float32]
#: Which voxels belong to something.
Mask: TypeAlias = NDArray[np.bool_]


@dataclass(frozen=True)
class Stack:
    """A batch of images on cubic voxels, each centred on the origin of its own frame.

    Parameters
    ----------
    images
        Shape (heads, x, y, z), float32; smaller images are padded with zeros at the far ends.
    step_mm
        Edge of the cubic voxels.
    centres
        Voxel coordinates of each frame's origin, shape (heads, 3).
    """

    images: Array
    step_mm: float
    centres: Array


def like(array: ArrayLike, model: Array) -> Array:
    """Return a NumPy array as float32 of the same kind, and on the same device, as `model`."""
    xp = array_namespace(model)
    return xp.asarray(np.asarray(array, dtype=np.float32), device=device(model))


def to_numpy(array: Array) -> NDArray[Any]:
    """Return any array as NumPy's, on the CPU."""
    return np.asarray(array if is_numpy_array(array) else array.cpu())


@lru_cache(maxsize=64)
def resampling_matrix(n: int, zoom: float, step: float) -> NDArray[np.float32]:
    """Return the weights that resample `n` samples `zoom` mm apart to `step` mm, same centre.

    A triangle as wide as the coarser of the two spacings: linear interpolation when refining, and
    an antialiased mean when coarsening. Rows sum to one.
    """
    m = max(ceil(round(n * zoom / step, 3)), 1)
    source = (np.arange(n) - (n - 1) / 2) * zoom
    target = (np.arange(m) - (m - 1) / 2) * step
    weights = np.clip(1 - np.abs(target[:, None] - source) / max(zoom, step), 0, None)
    total = weights.sum(axis=1, keepdims=True)
    return np.asarray(weights / np.maximum(total, 1e-6), dtype=np.float32)


def apply_along(matrix: Array, image: Array, axis: int) -> Array:
    """Multiply `matrix` of shape (m, n) into one axis, of length n, of an image of shape (x, y, z).

    The three cases are laid out as products of contiguous matrices, which BLAS likes best.
    """
    x, y, z = image.shape
    if axis == 0:
        return (matrix @ image.reshape(x, y * z)).reshape(-1, y, z)
    if axis == 1:
        return matrix @ image
    return (image.reshape(x * y, z) @ matrix.T).reshape(x, y, -1)


def resample_cubic(image: Array, zooms: Sequence[float], step_mm: float) -> Array:
    """Resample an image of shape (x, y, z) to cubic voxels, antialiased, with the same centre."""
    axes = sorted(range(3), key=lambda axis: zooms[axis] - step_mm)  # the greatest reduction first
    for axis in axes:
        if abs(zooms[axis] - step_mm) > 1e-3:
            matrix = resampling_matrix(image.shape[axis], float(zooms[axis]), float(step_mm))
            image = apply_along(like(matrix, image), image, axis)
    return image


def sample(images: Array, pick: Array, points: Array) -> Array:
    """Interpolate trilinearly; zero outside.

    Parameters
    ----------
    images
        Shape (heads, x, y, z).
    pick
        Which head each set of points is for, int64 of shape (sets,).
    points
        Voxel coordinates, shape (sets, 3, n).

    Returns
    -------
    array
        Shape (sets, n).
    """
    corners, weights, inside = _corners(images, pick, points)
    u, v, w = weights[:, 0], weights[:, 1], weights[:, 2]
    for fraction in (w, v, u):
        pairs = zip(corners[::2], corners[1::2], strict=True)
        corners = [low + (high - low) * fraction for low, high in pairs]
    return corners[0] * inside


def sample_with_gradient(images: Array, pick: Array, points: Array) -> tuple[Array, Array]:
    """Interpolate trilinearly, as `sample`, and return the interpolant's own gradient too.

    Returns
    -------
    values
        Shape (sets, n).
    gradient
        Per voxel, shape (sets, 3, n).
    """
    xp = array_namespace(images)
    (c000, c001, c010, c011, c100, c101, c110, c111), weights, inside = _corners(
        images, pick, points
    )
    u, v, w = weights[:, 0], weights[:, 1], weights[:, 2]
    z00, z01, z10, z11 = c001 - c000, c011 - c010, c101 - c100, c111 - c110
    c00, c01, c10, c11 = c000 + z00 * w, c010 + z01 * w, c100 + z10 * w, c110 + z11 * w
    y0, y1 = c01 - c00, c11 - c10
    c0, c1 = c00 + y0 * v, c10 + y1 * v
    z0, z1 = z00 + (z01 - z00) * v, z10 + (z11 - z10) * v
    gx, gy, gz = c1 - c0, y0 + (y1 - y0) * u, z0 + (z1 - z0) * u
    return (c0 + gx * u) * inside, xp.stack([gx, gy, gz], axis=1) * inside[:, None, :]


def _corners(images: Array, pick: Array, points: Array) -> tuple[list[Array], Array, Array]:
    """Return the eight neighbours of each point, its fractions of a voxel, and 1 where inside."""
    xp = array_namespace(images)
    _, nx, ny, nz = images.shape
    top = like(np.array([nx, ny, nz]) - 1, images)[None, :, None]
    inside = xp.all((points >= 0) & (points <= top), axis=1)
    low = xp.floor(xp.minimum(xp.maximum(points, 0 * top), top - 1))
    fractions = points - low
    index = xp.astype(low, xp.int64)
    base = pick[:, None] * (nx * ny * nz) + (index[:, 0] * ny + index[:, 1]) * nz + index[:, 2]
    flat, shape = xp.reshape(images, (-1,)), base.shape
    base = xp.reshape(base, (-1,))
    shifts = [a * ny * nz + b * nz + c for a in (0, 1) for b in (0, 1) for c in (0, 1)]
    corners = [xp.reshape(xp.take(flat, base + shift, axis=0), shape) for shift in shifts]
    return corners, fractions, xp.astype(inside, images.dtype)
