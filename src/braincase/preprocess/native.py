"""Skull stripping in native space: a scan's brain mask laid back on its own voxels."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from braincase.images.geometry import Affine, Grid
from braincase.images.volume import Volume

#: Voxels looked up at a time, which bounds the memory.
SLAB_VOXELS = 1_000_000


def native_brain(
    scan: Volume, mask: NDArray[np.bool_], grid: Grid, native_to_mni: Affine
) -> Volume:
    """Return a scan with everything but the brain set to 0, on its own voxels (nearest neighbour).

    Parameters
    ----------
    scan
        As it was read.
    mask
        Its brain on the standard grid, bool of shape `grid.shape`.
    grid
        Of the mask.
    native_to_mni
        Its RAS+ mm to MNI152 mm, shape (4, 4).
    """
    to_grid = np.linalg.inv(grid.affine) @ native_to_mni @ scan.affine
    data = np.zeros_like(scan.data)
    for part in _slabs(scan.shape):
        data[:, :, part] = np.where(
            _inside(mask, to_grid, scan.shape, part), scan.data[..., part], 0
        )
    return replace(scan, data=data)


def _slabs(shape: tuple[int, int, int]) -> Iterator[slice]:
    planes = max(1, SLAB_VOXELS // (shape[0] * shape[1]))
    for start in range(0, shape[2], planes):
        yield slice(start, min(start + planes, shape[2]))


def _inside(
    mask: NDArray[np.bool_], to_grid: Affine, shape: tuple[int, int, int], part: slice
) -> NDArray[np.bool_]:
    """Return which voxels of some planes the mask covers."""
    x, y, z = np.ix_(np.arange(shape[0]), np.arange(shape[1]), np.arange(shape[2])[part])
    places = [
        np.rint(row[0] * x + row[1] * y + row[2] * z + row[3]).astype(np.int64)
        for row in to_grid[:3]
    ]
    seen = np.ones(places[0].shape, bool)
    for place, n in zip(places, mask.shape, strict=True):
        seen &= (place >= 0) & (place < n)
    clipped = [place.clip(0, n - 1) for place, n in zip(places, mask.shape, strict=True)]
    return np.asarray(mask[tuple(clipped)] & seen)
