"""Standard volumes of a gallery's cases, read from the cohort that the gallery points to."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from braincase.cohort.derivatives import read_image
from braincase.errors import ScanError
from braincase.gallery import StoredCase
from braincase.images.geometry import Grid


def stored_volume(case: StoredCase, grid: Grid) -> NDArray[np.uint8] | None:
    """Read the standard volume of a case, uint8 of shape `grid.shape`; None if it cannot be had.

    A cohort may have been moved, and an image damaged, after its case was put into the gallery. The
    case is still found by its code and shown by its thumbnail, so either is no error here.
    """
    if case.image is None or not case.image.is_file():
        return None
    try:
        return read_image(case.image, grid)
    except ScanError:
        return None
