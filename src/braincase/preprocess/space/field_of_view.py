"""The field of view of a scan in MNI space: which places the scanner saw at all."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from braincase.images.geometry import STANDARD_GRID, Affine, Grid, Shape3, apply_affine
from braincase.preprocess.space.sampling import Mask
from braincase.preprocess.space.template import load_template

#: From the centre of a voxel to its outer face, voxels.
TO_FACE = 0.5
#: What lies so near to the edge of the field of view is left out of local means.
EDGE_VOXELS = 4


def in_view(
    coordinates: Iterable[NDArray[np.floating]], shape: Shape3, margin: float = 0.0
) -> NDArray[np.bool_]:
    """Test which points lie in a scan's field of view.

    It ends at the centres of the outermost voxels, or `margin` voxels further out.

    Parameters
    ----------
    coordinates
        Three arrays of one shape: the points' voxel coordinates along each axis of the scan.
    shape
        Of the scan.
    """
    inside: NDArray[np.bool_] = np.ones((), bool)
    for place, n in zip(coordinates, shape, strict=True):
        inside = inside & (place >= -margin) & (place <= n - 1 + margin)
    return inside


def seen_on_grid(
    to_voxel: Affine, shape: Shape3, grid: Grid = STANDARD_GRID, margin: float = 0.0
) -> Mask:
    """Return which voxels of a grid lie in a scan's field of view; `margin` as in `in_view`."""
    points = grid.points_mm().astype(np.float64)
    return in_view(
        (np.tensordot(row[:3], points, 1) + row[3] for row in to_voxel[:3]), shape, margin
    )


def covered(to_voxel: Affine, shape: Shape3) -> float:
    """Return the share of the template's brain that lies in the scan's field of view."""
    level = load_template()[2]
    points = STANDARD_GRID.points_mm()[:, level.mask].T[::7]
    return float(in_view(apply_affine(to_voxel, points).T, shape, TO_FACE).mean())


def away_from_edge(seen: Mask) -> Mask:
    """Erode a field of view by the rim in which local means would reach beyond it."""
    if seen.all():
        return seen
    return np.asarray(ndimage.binary_erosion(seen, iterations=EDGE_VOXELS, border_value=1))
