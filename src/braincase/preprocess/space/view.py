"""View volume of a registered scan: resampled once through the final affine, nothing taken away.

No bias field is removed and no brightness bent, so that a reader sees what the scanner gave. Only
the scale is set, by white matter as in the standard volume, and what is brighter than 8 bits hold
is white.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from braincase.cohort.view import SLOPE, ViewChoice, ViewVolume
from braincase.images.geometry import STANDARD_GRID, VIEW_GRIDS, Affine, Grid
from braincase.preprocess.intensity import WHITE_LEVEL, white_matter_brightness
from braincase.preprocess.space.sampling import Array, Image, Mask, to_numpy
from braincase.preprocess.space.standard import to_finer

#: Where no white matter is found, this quantile of the scan is white.
TOP_QUANTILE = 0.995


def view_of(
    image: Array,
    zooms_mm: NDArray[np.float64],
    to_voxel: Affine,
    on_grid: Image,
    mask: Mask,
    choice: ViewChoice,
    stripped: bool,
) -> ViewVolume:
    """Return the view volume of a scan.

    Parameters
    ----------
    image
        The native scan, shape (x, y, z), air near 0.
    zooms_mm
        Its voxel edges.
    to_voxel
        MNI mm to its voxel coordinates, shape (4, 4).
    on_grid
        The scan on the standard grid, its bias field still in it.
    mask
        Its brain there.
    choice
        What is wanted.
    stripped
        Whether the scan has no skull and scalp.
    """
    grid = VIEW_GRIDS[choice.resolution_mm]
    view = to_numpy(to_finer(image, zooms_mm, to_voxel, grid))
    view *= np.float32(_levels(on_grid, mask) / SLOPE)
    voxels = np.rint(view.clip(0, 255, out=view), out=view).astype(np.uint8)
    if choice.brain_only:
        voxels[~_on_view_grid(mask, grid)] = 0
    return ViewVolume(voxels, grid, choice.brain_only, choice.brain_only or stripped)


def _levels(on_grid: Image, mask: Mask) -> float:
    """Return the grey levels of the standard volume for one unit of the scan."""
    white = white_matter_brightness(on_grid, mask)
    if white > 0:
        return 255 * WHITE_LEVEL / white
    top = float(np.quantile(on_grid, TOP_QUANTILE))
    return 255 / top if top > 0 else 0.0


def _on_view_grid(mask: Mask, grid: Grid) -> Mask:
    """Return a mask of the standard grid on a view grid, whose voxels divide it."""
    finer = STANDARD_GRID.resolution_mm // grid.resolution_mm
    for axis in range(3):
        mask = np.repeat(mask, finer, axis)
    return np.pad(mask, grid.around_mm // grid.resolution_mm)
