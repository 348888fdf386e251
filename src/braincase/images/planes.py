"""Sagittal, coronal and axial slices of a standard volume, and thumbnails of them.

The planes pass where dementia shows: the left hippocampus (sagittal and coronal) and the lateral
ventricles (axial). Display follows the radiological convention: in the coronal and axial plane the
subject's right is on the viewer's left; in the sagittal plane the nose points to the left.
"""

from __future__ import annotations

import io
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from braincase.errors import GalleryError
from braincase.images.geometry import Grid

Voxel = TypeVar("Voxel", bound=np.generic)
Plane = NDArray[np.uint8]
Planes = tuple[Plane, Plane, Plane]
#: A point in MNI152 space: x to the right, y to the front, z up, mm.
Place = tuple[float, float, float]

#: Where the sagittal, coronal and axial plane pass: MNI x, y and z in mm.
PLANES_MM: Place = (-26.0, -20.0, 12.0)
#: JPEG quality of a thumbnail: about 6 kB, no visible blocks.
QUALITY = 88
_STRIP_MM = (192, 160, 160)  # width of the three pictures; the field of view never changes


def planes_of(
    volume: NDArray[Voxel], grid: Grid, at_mm: Place = PLANES_MM
) -> tuple[NDArray[Voxel], NDArray[Voxel], NDArray[Voxel]]:
    """Cut three display pictures out of a standard volume.

    Parameters
    ----------
    volume
        Shape ``grid.shape``, RAS+.
    grid
        The volume's grid.
    at_mm
        MNI x of the sagittal, y of the coronal and z of the axial picture.

    Returns
    -------
    sagittal, coronal, axial
        Rows from the top of the picture down; radiological convention.
    """
    x, y, z = (
        int(np.clip(round((at - grid.affine[i, 3]) / grid.resolution_mm), 0, grid.shape[i] - 1))
        for i, at in enumerate(at_mm)
    )
    sagittal = volume[x, ::-1, ::-1].T  # columns: front to back, rows: top to bottom
    coronal = volume[::-1, y, ::-1].T  # columns: right to left
    axial = volume[::-1, ::-1, z].T  # rows: front to back
    return sagittal, coronal, axial


def thumbnail_of(volume: NDArray[np.uint8], grid: Grid) -> bytes:
    """Return the three planes side by side as one small JPEG at 2 mm."""
    strip = Image.new("L", (sum(_STRIP_MM) // 2, 96))
    left = 0
    for plane, width_mm in zip(planes_of(volume, grid), _STRIP_MM, strict=True):
        scale = grid.resolution_mm // 2
        large = np.repeat(np.repeat(plane, scale, axis=0), scale, axis=1) if scale > 1 else plane
        strip.paste(Image.fromarray(np.ascontiguousarray(large)), (left, 0))
        left += width_mm // 2
    encoded = io.BytesIO()
    strip.save(encoded, "JPEG", quality=QUALITY)
    return encoded.getvalue()


def planes_of_thumbnail(picture: bytes) -> Planes:
    """Return the three planes of a JPEG by `thumbnail_of`.

    Raises
    ------
    GalleryError
        If the picture is damaged.
    """
    try:
        strip = np.asarray(Image.open(io.BytesIO(picture)))
    except (OSError, SyntaxError) as error:
        raise GalleryError("thumbnail", f"damaged ({error})", "a JPEG picture") from None
    edges = np.cumsum(_STRIP_MM) // 2
    sagittal, coronal, axial = np.split(strip, edges[:2], axis=1)
    return sagittal[:80], coronal[:80], axial[:96]


#: Letters at the left and right edge of the sagittal, coronal and axial picture.
EDGES = (("A", "P"), ("R", "L"), ("R", "L"))
CONVENTION = "Radiological convention: R is the subject's right."
PLANES_TEXT = "Planes at MNI x -26, y -20, z 12."
