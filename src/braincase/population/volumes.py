"""Standard volumes of a gallery's cases, read from the cohort that the gallery points to."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from braincase.errors import ScanError
from braincase.gallery import StoredCase
from braincase.images.geometry import Grid

if TYPE_CHECKING:
    from braincase.cohort.stored_image import StoredImage


def image_of_case(case: StoredCase, grid: Grid) -> StoredImage:
    """Return the image of a case, if it is what the gallery says.

    Raises
    ------
    ScanError
        If it is not there, or is no such image.
    """
    # Most searches read no image, and what reads one costs more than the search.
    from braincase.cohort.stored_image import read_stored_image

    return read_stored_image(case.cohort, case.image, case.image_hash, grid)


def view_of_case(case: StoredCase) -> StoredImage:
    """Return the view volume of a case, if it is what the gallery says.

    Raises
    ------
    ScanError
        If it is not there, or is no such image.
    """
    from braincase.cohort.stored_image import read_stored_view

    return read_stored_view(case.cohort, case.view, case.view_hash)


def stored_volume(case: StoredCase, grid: Grid) -> NDArray[np.uint8] | None:
    """Read the standard volume of a case, uint8 of shape `grid.shape`; None if it cannot be had.

    A cohort may have been moved, and an image damaged, after its case was put into the gallery. The
    case is still found by its code and shown by its thumbnail, so either is no error here.
    """
    try:
        return image_of_case(case, grid).volume
    except ScanError:
        return None
