"""Brain extraction (skull stripping): elastic registration to the scan, then a watershed.

The scan is in MNI space already. The template's head is bent until it looks like the scan
(`braincase.preprocess.registration.elastic`), which carries its brain's surface to within a voxel
or two of the scan's. What lies deeper is brain and what lies well outside is not. Between the two,
the boundary is where the scan is darkest (fluid and bone lie between the bright brain and the
bright scalp).

References
----------
Falcao, Stolfi & Lotufo 2004, The image foresting transform, doi:10.1109/TPAMI.2004.1261076: the
watershed.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from braincase.preprocess.registration.coil import smooth_bias
from braincase.preprocess.registration.elastic import depth_by, displacement
from braincase.preprocess.space.field_of_view import away_from_edge
from braincase.preprocess.space.sampling import Image, Mask
from braincase.preprocess.space.template import (
    CENTRE_MM,
    FACE_HEIGHT_MM,
    SURE_MM,
    Level,
    load_template,
)

#: Surely brain, and surely not: depth in the bent template's brain, mm (negative is inside).
CORE_MM, OUTSIDE_MM = -2.0, 4.0
#: Tissue is looked for to here.
TISSUE_REACH_MM = 2.5
#: Dark voxels are fluid to the first depth, and to the second if they are brighter than bone, which
#: has at most this share of the brightness that K-means finds for fluid (partly grey matter).
FLUID_SURE_MM, FLUID_REACH_MM, BONE_SHARE = 0.5, 2.5, 0.65
#: Where scalp must be seen, how bright at least (in white matters), and in how much of it: measured
#: in 0.79 to 0.98 of it in raw heads, in 0 to 0.014 in skull-stripped ones.
SCALP_MM, SCALP_SIGNAL, SCALP_SHARE = (5.0, 14.0), 0.15, 0.3
#: Less than this (in white matters) is nothing.
EMPTY = 0.05
#: Neighbours of a voxel: those with which it shares a face.
FACES = ndimage.generate_binary_structure(3, 1)


@dataclass(frozen=True)
class TissueBrightness:
    """Typical brightness of fluid, grey matter and white matter."""

    fluid: float
    grey: float
    white: float


def white_in_view(scan: Image, where: Mask) -> float:
    """Return the median brightness of white matter; what the field of view cuts off is 0."""
    seen = scan[where & (scan != 0)]
    return float(np.median(seen)) if seen.size else 0.0


def tissue_brightness(scan: Image, level: Level) -> TissueBrightness:
    """Measure the three tissues of a bias-free scan by K-means on brightness in the template."""
    inside = level.depth_mm < SURE_MM
    white = white_in_view(scan, (level.white > 0.85) & inside)
    values = scan[inside & (scan > 0)][::5].clip(0, 1.5 * white)
    means = np.array([0.25, 0.7, 1.0]) * white
    for _ in range(15):
        nearest = np.abs(values[:, None] - means).argmin(axis=1)
        means = np.array(
            [values[nearest == k].mean() if (nearest == k).any() else means[k] for k in range(3)]
        )
    return TissueBrightness(*(float(m) for m in means))


def brain_mask(scan: Image, seen: Mask | None = None, flat: Image | None = None) -> Mask:
    """Extract the brain of a whole head on the standard grid.

    Parameters
    ----------
    scan
        The head in MNI space, shape (80, 96, 80), any brightness.
    seen
        The scan's field of view there; beyond it the mask is the bent template's.
    flat
        The scan without coil sensitivity, where that was computed.
    """
    level = load_template()[2]
    scan = scan / smooth_bias(scan) if flat is None else flat
    tissue = tissue_brightness(scan, level)
    if tissue.white <= 0:
        return np.zeros(scan.shape, bool)
    says = scan > 0 if seen is None else (scan > 0) & away_from_edge(seen)
    near = depth_by(displacement(scan / np.float32(tissue.white), "head", says))
    flooded = _watershed(scan, tissue, near)
    dark = scan < (tissue.fluid + tissue.grey) / 2
    fluid = (near < FLUID_REACH_MM) & (scan > BONE_SHARE * tissue.fluid) | (near < FLUID_SURE_MM)
    mask = np.where(dark, fluid, flooded & (near < TISSUE_REACH_MM))
    mask |= near < CORE_MM
    return _smooth_whole(mask)


def is_skull_stripped(scan: Image, seen: Mask | None = None) -> bool:
    """Detect a skull-stripped scan on the standard grid: nothing is around the brain.

    `seen` is its field of view there: a narrow one cuts the scalp off and leaves the skull on.
    """
    level = load_template()[2]
    low, high = SCALP_MM
    above_face = level.points_mm[2] + CENTRE_MM[2] > FACE_HEIGHT_MM + 12
    around = (level.depth_mm > low) & (level.depth_mm < high) & above_face
    scalp = scan[around if seen is None else around & seen]
    if not scalp.size:
        return False
    white = white_in_view(scan, level.white > 0.85)
    return bool((scalp > SCALP_SIGNAL * white).mean() < SCALP_SHARE)


def stripped_mask(scan: Image, seen: Mask | None = None, flat: Image | None = None) -> Mask:
    """Extract the brain of a skull-stripped scan: what was left, without scraps of the neck.

    Parameters as in `brain_mask`.
    """
    level = load_template()[2]
    white = white_in_view(scan, level.white > 0.85)
    left = ndimage.binary_closing(scan > EMPTY * white, FACES, iterations=2)
    left = ndimage.binary_fill_holes(left) & brain_mask(scan, seen, flat)
    return _smooth_whole(left)


def _watershed(scan: Image, tissue: TissueBrightness, depth_mm: Image) -> Mask:
    """Flood from the core and from outside, bright voxels first; return the core's basin."""
    soft = ndimage.gaussian_filter(scan, 0.4)
    cost = np.clip(255 - 255 * soft / (1.15 * tissue.white), 0, 255).astype(np.uint8)
    markers = np.zeros(scan.shape, np.int16)
    markers[depth_mm < CORE_MM] = 1
    markers[depth_mm > OUTSIDE_MM] = 2
    return np.asarray(ndimage.watershed_ift(cost, markers, structure=FACES.astype(np.int8)) == 1)


def _smooth_whole(mask: Mask) -> Mask:
    """Fill holes, smooth the surface, and keep the largest piece."""
    mask = ndimage.binary_fill_holes(mask)
    mask = ndimage.gaussian_filter(mask.astype(np.float32), 1.2) > 0.5
    pieces, _ = ndimage.label(mask, FACES)
    return np.asarray(pieces == np.bincount(pieces[mask]).argmax()) if mask.any() else mask
