"""Coil sensitivity (bias field) as a smooth polynomial, fitted to the template's tissues."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from braincase.preprocess.registration.gauss_newton import polynomials
from braincase.preprocess.space.template import Level

#: Tissue is only measured this deep, where no skull can be, mm.
SURE_MM = -4.0
#: Fewer voxels of a tissue than this say nothing about the bias field.
FEW = 50
#: What lies so near to the edge of the field of view is left out of local means.
EDGE_VOXELS = 4
FACES = ndimage.generate_binary_structure(3, 1)
Image = NDArray[np.float32]
Mask = NDArray[np.bool_]


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


def away_from_edge(seen: Mask) -> Mask:
    """Return the field of view without a rim, in which means would reach beyond it."""
    if seen.all():
        return seen
    return np.asarray(ndimage.binary_erosion(seen, FACES, EDGE_VOXELS, border_value=1))
