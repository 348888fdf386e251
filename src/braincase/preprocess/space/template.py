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

import numpy as np
from numpy.typing import NDArray

from braincase.images.geometry import STANDARD_GRID
from braincase.preprocess.space.sampling import Image, Mask, apply_along
from braincase.preprocess.space.template_images import TemplateImages, read_images

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

    Takes a few tenths of a second, once a process.
    """
    fine = fine_level(read_images())
    coarse = _reduce(fine)
    return {2: _crop(fine), 4: coarse, 8: _reduce(coarse)}


def template_brain() -> Image:
    """Return the template's brain alone on the standard grid, 0 to 1; quicker than all levels."""
    return _standard(read_images().t1)


def fine_level(images: TemplateImages) -> Level:
    """Build the 2 mm level over the whole head field of the template's images there."""
    brain, inside = images.brain, with_stem(images.brain)
    # What depends on the distance alone is computed once for each distance that there is.
    distances = np.sqrt(4.0 * np.arange(int(images.squared.max()) + 1))
    # They run from voxel centre to voxel centre; the surface lies half way.
    depths = np.concatenate([distances - 1, 1 - distances]).astype(np.float32)
    which = images.squared + inside * np.int32(len(distances))
    surroundings = np.interp(np.maximum(depths, 0), PROFILE_MM, PROFILE)[which]
    surroundings *= 1 - images.share
    surroundings[brain & (images.share < 0.5)] = 0
    head = np.asarray(images.t1 + surroundings, np.float32)
    weights = _weights(brain, depths, which)
    grey, white = images.grey, images.white
    return Level(2.0, _points(2.0), head, images.t1, grey, white, depths[which], weights)


def with_stem(brain: Mask) -> Mask:
    """Return the brain with its stem going on below the template's lower edge."""
    bottom = int(np.argmax(brain.any(axis=(0, 1))))
    longer = brain.copy()
    longer[:, :, :bottom] = brain[:, :, bottom : bottom + 1]
    return longer


def _axes(step_mm: float) -> list[Image]:
    """Return the voxel centres of the head field along each axis, mm from its middle."""
    counts = (round(extent / step_mm) for extent in HEAD_FIELD_MM)
    return [((np.arange(n) - (n - 1) / 2) * step_mm).astype(np.float32) for n in counts]


def _points(step_mm: float) -> Image:
    """Return the voxel centres of the head field relative to its middle, shape (3, *shape)."""
    return np.stack(np.meshgrid(*_axes(step_mm), indexing="ij"))


def _weights(brain: Mask, depths: Image, which: NDArray[np.int32]) -> dict[str, Image]:
    """Return the weights by name, see `Level`; `depths[which]` is the depth."""
    height = _axes(2.0)[2] + CENTRE_MM[2]
    above_face = 1 / (1 + np.exp(-(height - FACE_HEIGHT_MM) / 3))
    described = (height > BOTTOM_MM) & (depths < HEAD_REACH_MM)[which]
    near = (depths < 3)[which]

    def around(scalp: float) -> Image:
        surroundings = np.where(near, np.float32(0.5), scalp * above_face) * described
        surroundings[brain] = 1
        return surroundings

    by_depth = 0.6 * np.exp(-0.5 * (depths / 4) ** 2) * (depths < 9)
    rim = np.asarray(by_depth[which] * described, np.float32)
    rim[brain] = 1
    weight = brain.astype(np.float32)
    return {"head": around(0.6), "scalp": around(0.15), "rim": rim, "brain": weight}


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
    return replace(_each_image(level, _standard), points_mm=_standard(level.points_mm))


def _standard(image: Image) -> Image:
    """Cut the standard grid out of an image of shape (..., x, y, z) at 2 mm."""
    n, shape = image.shape[-3:], STANDARD_GRID.shape
    a, b, c = (slice((n[i] - shape[i]) // 2, (n[i] + shape[i]) // 2) for i in range(3))
    return np.ascontiguousarray(image[..., a, b, c])
