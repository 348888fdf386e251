"""Brain extraction on the standard grid: the template's surface bent to the scan, then a watershed.

The scan is in MNI space already. The template's head is bent until it looks like the scan
(`braincase.preprocess.elastic`), which carries its brain's surface to within a voxel or two of the
scan's. What lies deeper is brain and what lies well outside is not. Between the two, the boundary
is where the scan is darkest (fluid and bone lie between the bright brain and the bright scalp).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from braincase.preprocess.elastic import depth_by, displacement
from braincase.preprocess.gauss_newton import polynomials
from braincase.preprocess.template import CENTRE_MM, FACE_HEIGHT_MM, Level, load_template

Image = NDArray[np.float32]
Mask = NDArray[np.bool_]

#: Surely brain, and surely not: depth in the bent template's brain, mm (negative is inside).
CORE_MM, OUTSIDE_MM = -2.0, 4.0
#: Tissue is looked for to here.
TISSUE_REACH_MM = 2.5
#: Dark voxels are fluid to the first depth, and to the second if they are brighter than bone, which
#: has at most this share of the brightness that K-means finds for fluid (partly grey matter).
FLUID_SURE_MM, FLUID_REACH_MM, BONE_SHARE = 0.5, 2.5, 0.65
#: Tissue is only measured this deep, where no skull can be, mm.
SURE_MM = -4.0
#: Where scalp must be seen, how bright at least (in white matters), and in how much of it: measured
#: in 0.79 to 0.98 of it in raw heads, in 0 to 0.014 in skull-stripped ones.
SCALP_MM, SCALP_SIGNAL, SCALP_SHARE = (5.0, 14.0), 0.15, 0.3
#: Fewer voxels of a tissue than this say nothing about the bias field.
FEW = 50
#: Less than this (in white matters) is nothing.
EMPTY = 0.05
#: What lies so near to the edge of the field of view is left out of local means.
EDGE_VOXELS = 4
FACES = ndimage.generate_binary_structure(3, 1)


@dataclass(frozen=True)
class Tissue:
    """Typical brightness of fluid, grey matter and white matter."""

    fluid: float
    grey: float
    white: float


def smooth_bias(scan: Image, level: Level, iterations: int = 3) -> Image:
    """Estimate coil sensitivity as the exponential of a cubic polynomial, shape of the grid.

    White matter (and, less, grey matter) where the template has it should be equally bright; voxels
    that are far from their tissue's usual brightness have no say.
    """
    rows = np.flatnonzero((level.depth_mm < SURE_MM) & (scan > 0))[::3]
    basis = polynomials(level.points_mm, 3).reshape(20, -1)
    terms, brightness = basis[:, rows], np.log(scan.ravel()[rows] + 1e-6)
    white, grey = level.white.ravel()[rows], level.grey.ravel()[rows]
    if min((white > 0.7).sum(), (grey > 0.8).sum()) < FEW:
        return np.ones_like(scan)
    bias = np.zeros(20)
    for iteration in range(iterations):
        flat = brightness - bias @ terms
        white_mode, grey_mode = np.median(flat[white > 0.7]), np.median(flat[grey > 0.8])
        width = 0.12 if iteration else 0.25
        trust_white = white * np.exp(-0.5 * ((flat - white_mode) / width) ** 2)
        trust_grey = 0.3 * grey * np.exp(-0.5 * ((flat - grey_mode) / width) ** 2)
        trust = trust_white + trust_grey
        wanted = brightness * trust - trust_white * white_mode - trust_grey * grey_mode
        normal = (terms * trust) @ terms.T + 2e-5 * trust.sum() * np.eye(20)
        bias = np.linalg.solve(normal, terms @ wanted)
    return np.asarray(np.exp(bias.astype(np.float32) @ basis)).reshape(scan.shape)


def white_in_view(scan: Image, where: Mask) -> float:
    """Return the median brightness of white matter; what the field of view cuts off is 0."""
    seen = scan[where & (scan != 0)]
    return float(np.median(seen)) if seen.size else 0.0


def tissue_brightness(scan: Image, level: Level) -> Tissue:
    """Find the three tissues of a bias-free scan by K-means on brightness inside the template."""
    inside = level.depth_mm < SURE_MM
    white = white_in_view(scan, (level.white > 0.85) & inside)
    values = scan[inside & (scan > 0)][::5].clip(0, 1.5 * white)
    means = np.array([0.25, 0.7, 1.0]) * white
    for _ in range(15):
        nearest = np.abs(values[:, None] - means).argmin(axis=1)
        means = np.array(
            [values[nearest == k].mean() if (nearest == k).any() else means[k] for k in range(3)]
        )
    return Tissue(*(float(m) for m in means))


def brain_mask(scan: Image, seen: Mask | None = None) -> Mask:
    """Return the brain of a whole head on the standard grid.

    Parameters
    ----------
    scan
        The head in MNI space, shape (80, 96, 80), any brightness.
    seen
        The scan's field of view there; beyond it the mask is the bent template's.
    """
    level = load_template()[2]
    scan = scan / smooth_bias(scan, level)
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


def away_from_edge(seen: Mask) -> Mask:
    """Return the field of view without a rim, in which means would reach beyond it."""
    if seen.all():
        return seen
    return np.asarray(ndimage.binary_erosion(seen, FACES, EDGE_VOXELS, border_value=1))


def is_skull_stripped(scan: Image, seen: Mask | None = None) -> bool:
    """Tell whether there is nothing around the brain of a scan on the standard grid.

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


def stripped_mask(scan: Image, seen: Mask | None = None) -> Mask:
    """Return the brain of a skull-stripped scan: what was left, without scraps of the neck."""
    level = load_template()[2]
    white = white_in_view(scan, level.white > 0.85)
    left = ndimage.binary_closing(scan > EMPTY * white, FACES, iterations=2)
    left = ndimage.binary_fill_holes(left) & brain_mask(scan, seen)
    return _smooth_whole(left)


def _watershed(scan: Image, tissue: Tissue, depth_mm: Image) -> Mask:
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
