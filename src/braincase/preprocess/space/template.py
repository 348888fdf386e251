"""The MNI152 template (ICBM152 2009a symmetric, from nilearn) with an invented head around it.

The open template holds the brain alone. A raw scan is a whole head, and what lies around the brain
would pull a registration off. So the brain is surrounded by what a T1-weighted image shows there,
as a function of the distance from the brain: dark fluid and bone, bright fat and skin, air.

References
----------
Fonov et al. 2011, Unbiased average age-appropriate atlases for pediatric studies, NeuroImage,
doi:10.1016/j.neuroimage.2010.07.033: the template.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

import nibabel as nib
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from braincase.images.geometry import STANDARD_GRID
from braincase.preprocess.space.sampling import Image, Mask, apply_along

#: World coordinates of the template's first voxel, MNI mm; its voxels are 1 mm.
TEMPLATE_CORNER_MM = (-98.0, -134.0, -72.0)
#: The middle of the standard field of view, MNI mm; transforms are estimated around this point.
CENTRE_MM = (0.0, -18.0, 9.0)
#: The field that holds the whole upper head, around the same centre, mm.
HEAD_FIELD_MM = (224, 256, 224)

#: Brightness of what surrounds a brain (white matter is about 0.9) by distance from it in mm: fluid
#: and bone to 7 mm, fat and skin at 9 to 15 mm, then air.
PROFILE_MM = (0, 1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 40)
PROFILE = (0.30, 0.30, 0.22, 0.22, 0.38, 0.75, 0.75, 0.50, 0.25, 0.08, 0.03, 0.03)
#: How far from the brain the invented head still says something, mm.
HEAD_REACH_MM = 22.0
#: Below this height (MNI mm) lie face and neck, which no distance profile describes.
FACE_HEIGHT_MM = -12.0
#: The template is cut through the brain stem here, MNI mm.
BOTTOM_MM = -72.0
#: Depth in the template's brain from which on a scan, however badly it fits, shows no skull, mm.
SURE_MM = -4.0


@dataclass(frozen=True)
class Level:
    """One level of the template's pyramid: brightness, tissues, signed distance and weights.

    Parameters
    ----------
    step_mm
        Edge of the cubic voxels.
    points_mm
        Voxel centres relative to `CENTRE_MM`, shape (3, *shape).
    head
        T1 brightness, brain and invented surroundings, 0 to 1.
    brain
        T1 brightness of the brain alone, 0 outside.
    grey, white
        Share of each tissue in a voxel.
    depth_mm
        Distance from the brain's surface, negative inside.
    weights
        How much each voxel counts, by what is looked at: the whole ``head``, the head with
        little ``scalp``, the brain and a thin ``rim``, and the ``brain`` alone.
    """

    step_mm: float
    points_mm: Image
    head: Image
    brain: Image
    grey: Image
    white: Image
    depth_mm: Image
    weights: Mapping[str, Image]

    @property
    def mask(self) -> Mask:
        """The template's brain."""
        return self.depth_mm < 0


@lru_cache(maxsize=1)
def load_template() -> Mapping[int, Level]:
    """Return the template at 8, 4 and 2 mm; the finest on the standard grid only.

    Takes about a second, once a process.
    """
    fine = _fine_level()
    coarse = _reduce(fine)
    return {2: _crop(fine), 4: coarse, 8: _reduce(coarse)}


def template_brain() -> Image:
    """Return the template's brain alone on the standard grid, 0 to 1; quicker than all levels."""
    whole, shape = _to_head_grid(_read("t1")), STANDARD_GRID.shape
    corner = [(n - m) // 2 for n, m in zip(whole.shape, shape, strict=True)]
    a, b, c = (slice(start, start + m) for start, m in zip(corner, shape, strict=True))
    return np.ascontiguousarray(whole[a, b, c])


def _fine_level() -> Level:
    """Build the 2 mm level over the whole head field."""
    raw = {name: _read(name) for name in ("t1", "gm", "wm")}
    t1, grey, white, share = (_to_head_grid(image) for image in (*raw.values(), raw["t1"] > 0))
    mask = ndimage.binary_fill_holes(share > 0.5)
    points = _points(2.0)
    depth = _signed_distance(mask)
    surroundings = np.interp(np.maximum(depth, 0), PROFILE_MM, PROFILE) * (1 - share)
    head = np.where(mask & (share < 0.5), t1, t1 + surroundings).astype(np.float32)
    return Level(2.0, points, head, t1, grey, white, depth, _weights(mask, depth, points))


def _read(name: str) -> Image:
    """Read one of nilearn's template images, 1 mm voxels, 0 to 1 (importing nilearn takes 3 s)."""
    package = find_spec("nilearn")
    assert package is not None, "nilearn is a dependency"
    assert package.submodule_search_locations
    folder = Path(package.submodule_search_locations[0]) / "datasets" / "data"
    image = nib.load(folder / f"mni_icbm152_{name}_tal_nlin_sym_09a_converted.nii.gz")
    assert np.array_equal(image.affine[:3, 3], TEMPLATE_CORNER_MM), "another template than expected"
    return np.asarray(image.dataobj, dtype=np.float32) / np.float32(255)


def _to_head_grid(data: NDArray[np.generic]) -> Image:
    """Bring an image on the template's own 1 mm voxels to 2 mm voxels over the head field."""
    image: Image = data.astype(np.float32)
    for axis in range(3):
        source = TEMPLATE_CORNER_MM[axis] + np.arange(image.shape[axis])
        n = HEAD_FIELD_MM[axis] // 2
        target = CENTRE_MM[axis] + (np.arange(n) - (n - 1) / 2) * 2.0
        weights = np.clip(1 - np.abs(target[:, None] - source) / 2, 0, None) / 2
        image = apply_along(weights.astype(np.float32), image, axis)
    return image


def _points(step_mm: float) -> Image:
    """Return the voxel centres of the head field relative to its middle, shape (3, *shape)."""
    axes = [
        (np.arange(n) - (n - 1) / 2) * step_mm
        for n in (round(extent / step_mm) for extent in HEAD_FIELD_MM)
    ]
    return np.stack(np.meshgrid(*axes, indexing="ij")).astype(np.float32)


def _signed_distance(mask: Mask) -> Image:
    """Return the signed distance to the brain's surface, mm, negative inside.

    The brain stem goes on below the template's lower edge, so the cut is no surface.
    """
    bottom = int(np.argmax(mask.any(axis=(0, 1))))
    mask = mask.copy()
    mask[:, :, :bottom] = mask[:, :, bottom : bottom + 1]
    outside = ndimage.distance_transform_edt(~mask, sampling=2.0)
    inside = ndimage.distance_transform_edt(mask, sampling=2.0)
    # Distances run from voxel centre to voxel centre; the surface lies half way.
    return np.asarray(np.where(mask, 1 - inside, outside - 1), np.float32)


def _weights(mask: Mask, depth: Image, points: Image) -> dict[str, Image]:
    """Return the weights by name, see `Level`."""
    height = points[2] + CENTRE_MM[2]
    above_face = 1 / (1 + np.exp(-(height - FACE_HEIGHT_MM) / 3))
    described = (height > BOTTOM_MM) & (depth < HEAD_REACH_MM)

    def around(scalp: float) -> Image:
        surroundings = np.where(depth < 3, 0.5, scalp * above_face) * described
        return np.where(mask, 1, surroundings).astype(np.float32)

    rim = 0.6 * np.exp(-0.5 * (depth / 4) ** 2) * (depth < 9) * described
    return {
        "head": around(0.6),
        "scalp": around(0.15),
        "rim": np.where(mask, 1, rim).astype(np.float32),
        "brain": mask.astype(np.float32),
    }


def _reduce(level: Level) -> Level:
    """Return the level at twice the voxel size."""
    points = _points(2 * level.step_mm)
    return replace(_each_image(level, _halve), step_mm=2 * level.step_mm, points_mm=points)


def _each_image(level: Level, change: Callable[[Image], Image]) -> Level:
    """Return the level with every image changed in the same way."""
    return Level(
        level.step_mm,
        level.points_mm,
        change(level.head),
        change(level.brain),
        change(level.grey),
        change(level.white),
        change(level.depth_mm),
        {name: change(weight) for name, weight in level.weights.items()},
    )


def _halve(image: Image) -> Image:
    """Bring an image to twice the voxel size with the triangle that scans are reduced with."""
    for axis, n in enumerate(image.shape):
        source = np.arange(n) - (n - 1) / 2
        target = 2 * (np.arange(n // 2) - (n // 2 - 1) / 2)
        weights = np.clip(1 - np.abs(target[:, None] - source) / 2, 0, None)
        weights /= weights.sum(axis=1, keepdims=True)
        image = apply_along(weights.astype(np.float32), image, axis)
    return image


def _crop(level: Level) -> Level:
    """Cut the standard grid out of the head field."""
    n, shape = level.head.shape, STANDARD_GRID.shape
    a, b, c = (slice((n[i] - shape[i]) // 2, (n[i] + shape[i]) // 2) for i in range(3))

    def cut(image: Image) -> Image:
        return np.ascontiguousarray(image[..., a, b, c])

    return replace(_each_image(level, cut), points_mm=cut(level.points_mm))
