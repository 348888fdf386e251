"""Region volumes in mm3 of a standard image: its tissues, divided by the template's regions.

Three steps: each intensity is shared between fluid, grey and white matter (3-means, linear partial
volume); the template's tissues are registered to the image's; and each voxel's tissue goes to the
regions that are expected there. So the sum of all regions is what the image shows, and only the
division rests on the registration.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from braincase.images.geometry import HALF_GRID, Grid
from braincase.images.tissue import image_shares
from braincase.volumetry.priors import RegionPriors, load_priors
from braincase.volumetry.regions import NAMES
from braincase.volumetry.registration import own_voxels, register, sample, volume_factor

Map = NDArray[np.float32]


def region_volumes(image: NDArray[np.uint8], grid: Grid) -> NDArray[np.float32]:
    """Measure the volume of every region of `NAMES` in mm3.

    Parameters
    ----------
    image
        A skull-stripped T1-weighted brain on a standard grid, uint8 of shape `grid.shape`, 0
        outside.
    grid
        Its grid, 2 or 4 mm; the measurement is made at 4 mm.

    Returns
    -------
    float32 of shape (regions,), in the order of `NAMES`.
    """
    priors = load_priors()
    shares = image_shares(image, grid)
    displacement = register(priors.shares, shares)
    place = own_voxels(displacement.shape[1:]) + displacement
    moved = sample(shares, place) * volume_factor(displacement)
    return divide(moved, priors)[: len(NAMES)]


def divide(shares: Map, priors: RegionPriors) -> NDArray[np.float32]:
    """Divide tissue over the regions expected where it is; mm3, shape (regions,).

    A region's part of a voxel's grey matter is its prior over the sum of the priors of all regions
    that are made of grey matter.
    """
    flat = shares.reshape(len(shares), -1)
    expected = priors.priors.reshape(len(priors.names), -1)
    competing = priors.tissue.T @ expected
    parts = flat / competing
    volumes = (priors.tissue @ parts * expected).sum(axis=1)
    return np.asarray(volumes * HALF_GRID.resolution_mm**3, np.float32)
