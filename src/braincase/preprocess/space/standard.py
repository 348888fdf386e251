"""Resample a scan to the standard MNI grid, in one interpolation."""

from __future__ import annotations

from math import ceil

import numpy as np
from array_api_compat import array_namespace, device
from numpy.typing import NDArray

from braincase.images.geometry import (
    STANDARD_GRID,
    Affine,
    Grid,
    Shape3,
    apply_affine,
    mean_of_blocks,
)
from braincase.preprocess.space.sampling import Array, like, sample
from braincase.preprocess.space.template import CENTRE_MM

#: Variance of the blur along each axis, mm^2, whatever the native voxels (where they are finer than
#: that): between a box (1/3) and a triangle (2/3) of the standard grid's 2 mm.
BLUR_MM2 = 0.5
#: Native voxels left around the field of view when the scan is cut to it.
MARGIN = 4


def mni_to_voxel(transform: NDArray[np.floating], shape: Shape3, zooms_mm: Array) -> Affine:
    """Compose a registration's transform with the scan's geometry.

    Parameters
    ----------
    transform
        Template mm from `CENTRE_MM` to millimetres from the scan's middle, shape (3, 4).
    shape, zooms_mm
        Of the native scan.

    Returns
    -------
    array
        MNI mm to native voxel coordinates, shape (4, 4).
    """
    to_template, to_frame, to_voxel = np.eye(4), np.eye(4), np.eye(4)
    to_template[:3, 3] = -np.array(CENTRE_MM)
    to_frame[:3] = transform
    to_voxel[:3, :3] = np.diag(1 / np.asarray(zooms_mm))
    to_voxel[:3, 3] = (np.array(shape) - 1) / 2
    return to_voxel @ to_frame @ to_template


def to_standard(image: Array, zooms_mm: Array, to_voxel: Affine) -> Array:
    """Resample a native scan to the standard grid, antialiased.

    Parameters
    ----------
    image
        Native scan, shape (x, y, z).
    zooms_mm
        Its voxel edges.
    to_voxel
        MNI mm to its voxel coordinates, shape (4, 4).

    Returns
    -------
    array
        Shape `STANDARD_GRID.shape`; 0 outside the scan's field of view.
    """
    return to_finer(image, zooms_mm, to_voxel, STANDARD_GRID)


def to_finer(image: Array, zooms_mm: Array, to_voxel: Affine, grid: Grid) -> Array:
    """Resample a native scan to a grid of at most 2 mm, antialiased; see `to_standard`."""
    xp = array_namespace(image)
    image, corner = _cut(image, to_voxel, grid)
    blur_mm2 = BLUR_MM2 * (grid.resolution_mm / STANDARD_GRID.resolution_mm) ** 2
    for axis, zoom in enumerate(zooms_mm):
        image = _blur(image, axis, blur_mm2 / float(zoom) ** 2 - 1 / 6)
    image = xp.reshape(xp.reshape(image, (-1,)), image.shape)  # in one piece, copied once
    rows = list(zip((to_voxel @ grid.affine)[:3], corner, strict=True))
    x, y, z = (like(np.arange(n), image) for n in grid.shape)
    y, z = xp.reshape(y, (-1, 1)), xp.reshape(z, (1, -1))
    one = xp.zeros(1, dtype=xp.int64, device=device(image))

    def plane(i: int) -> Array:
        points = [
            x[i] * float(r[0]) + y * float(r[1]) + z * float(r[2]) + float(r[3] - c)
            for r, c in rows
        ]
        flat = xp.reshape(xp.stack(points), (1, 3, -1))
        return xp.reshape(sample(image[None], one, flat), grid.shape[1:])

    # Plane by plane: what one needs stays in the processor's cache, which halves the time.
    return xp.stack([plane(i) for i in range(grid.shape[0])])


def _cut(image: Array, to_voxel: Affine, grid: Grid) -> tuple[Array, NDArray[np.int64]]:
    """Cut the scan to what a grid can see; return it and its first voxel."""
    n = np.array(grid.shape) - 1
    corners = np.stack(np.meshgrid(*([0, k] for k in n), indexing="ij"), axis=-1).reshape(-1, 3)
    voxels = apply_affine(to_voxel @ grid.affine, corners)
    last = np.array(image.shape)
    low = np.clip(np.floor(voxels.min(axis=0)).astype(np.int64) - MARGIN, 0, last - 2)
    high = np.clip(np.ceil(voxels.max(axis=0)).astype(np.int64) + MARGIN, low + 2, last)
    a, b, c = (slice(int(i), int(j)) for i, j in zip(low, high, strict=True))
    return image[a, b, c], low


def _blur(image: Array, axis: int, variance: float) -> Array:
    """Blur along one axis by three-point means; `variance` in voxels, 0 or less is none."""
    if variance <= 0 or image.shape[axis] < 3:
        return image
    xp = array_namespace(image)
    passes = ceil(variance / 0.5)  # a three-point mean is no low-pass above 0.5
    side = variance / passes / 2
    first, last = ([slice(None)] * 3 for _ in range(2))
    first[axis], last[axis] = slice(0, 1), slice(-1, None)
    low, mid, high = ([slice(None)] * 3 for _ in range(3))
    low[axis], mid[axis], high[axis] = slice(0, -2), slice(1, -1), slice(2, None)
    for _ in range(passes):
        middle = image[tuple(low)] + image[tuple(high)]
        middle *= side
        middle += image[tuple(mid)] * (1 - 2 * side)
        image = xp.concat([image[tuple(first)], middle, image[tuple(last)]], axis=axis)
    return image


def turned_degrees(affine: Affine) -> float:
    """Return the rotation angle of an affine of shape (4, 4), degrees."""
    u, _, vh = np.linalg.svd(affine[:3, :3])
    return float(np.degrees(np.arccos(np.clip((np.trace(u @ vh) - 1) / 2, -1, 1))))


def scales_of(affine: Affine) -> tuple[float, float, float]:
    """Return the three scales of an affine of shape (4, 4), largest first."""
    a, b, c = np.linalg.svd(affine[:3, :3], compute_uv=False)
    return float(a), float(b), float(c)


def to_grid(image: NDArray[np.float32], grid: Grid) -> NDArray[np.float32]:
    """Downsample an image on the standard grid to a coarser one: means of blocks."""
    k = grid.resolution_mm // STANDARD_GRID.resolution_mm
    return image if k == 1 else mean_of_blocks(image, k)
