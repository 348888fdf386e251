"""The standard volumes of a gallery's cases, read from where the cohort keeps them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from braincase.cohort.derivatives import read_image
from braincase.errors import BraincaseError
from braincase.gallery import StoredCase
from braincase.images.geometry import Grid


def stored_volume(case: StoredCase, grid: Grid) -> NDArray[np.uint8] | None:
    """Return the standard volume of a case, uint8 of shape `grid.shape`, if it is still there."""
    if case.image is None or not case.image.is_file():
        return None
    try:
        return read_image(case.image, grid)
    except BraincaseError:
        return None
