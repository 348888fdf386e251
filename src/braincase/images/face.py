"""Face detection (a defacing check): whether an aligned head image still shows the person's face.

Software that removes faces (pydeface, mri_deface, quickshear and others) and a missing lower field
of view leave nothing below the eyes and in front of the skull base; a whole head has
nose, cheeks and eye sockets there. A face that was replaced by another one counts as a face.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from braincase.images.geometry import Affine, apply_affine

#: Corners of the part of MNI space that nose, cheeks and lower eye sockets fill, mm.
FACE_MM = ((-36.0, 50.0, -95.0), (36.0, 85.0, -55.0))
#: Corners of a part that is brain in every head, mm: what its tissue looks like is the measure.
BRAIN_MM = ((-50.0, -80.0, 0.0), (50.0, 40.0, 50.0))
#: Places in them are looked at on lattices of these steps, mm.
FACE_STEP_MM, BRAIN_STEP_MM = 3.0, 10.0
#: Tissue is brighter than this share of the brain's median.
TISSUE = 0.25
#: A face has tissue at more than this share of the places: whole heads have 0.5 to 0.7, defaced
#: ones 0.01 at most (tests/test_face.py).
LEAST_SHARE = 0.15
#: With less of the face than this in its field of view an image shows none.
LEAST_SEEN = 0.2


def shows_face(image: NDArray[np.generic], to_mni: Affine) -> bool:
    """Return whether a head image shows a face.

    Parameters
    ----------
    image
        Shape (x, y, z), any grey values with dark air: a standard volume, a view volume, or a scan
        on its own voxels.
    to_mni
        Voxel indices to MNI mm, shape (4, 4).
    """
    return face_share(image, to_mni) > LEAST_SHARE


def face_share(image: NDArray[np.generic], to_mni: Affine) -> float:
    """Return the share of the face, as far as the field of view reaches, that shows tissue.

    Parameters
    ----------
    image, to_mni
        As for `shows_face`.
    """
    brain, _ = _values_in(image, to_mni, BRAIN_MM, BRAIN_STEP_MM)
    face, seen = _values_in(image, to_mni, FACE_MM, FACE_STEP_MM)
    brain = brain[brain > 0]
    if not brain.size or seen < LEAST_SEEN:
        return 0.0
    return float((face > TISSUE * np.median(brain)).mean())


def _values_in(
    image: NDArray[np.generic],
    to_mni: Affine,
    corners_mm: tuple[tuple[float, float, float], tuple[float, float, float]],
    step_mm: float,
) -> tuple[NDArray[np.float32], float]:
    """Return the nearest voxels' grey values on a lattice in a box, and how much of it is seen."""
    axes = [np.arange(low, high + 1, step_mm) for low, high in zip(*corners_mm, strict=True)]
    points = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 3)
    to_voxel = np.asarray(np.linalg.inv(to_mni), np.float64)
    voxels = np.rint(apply_affine(to_voxel, points)).astype(np.int64)
    inside = ((voxels >= 0) & (voxels < image.shape)).all(axis=1)
    values = image[tuple(voxels[inside].T)].astype(np.float32)
    return np.nan_to_num(values), float(inside.mean())
