"""Coil sensitivity: a bias field as a cubic polynomial, fitted to the template's tissues.

Quick and rough, for registration and brain extraction; `braincase.preprocess.bias` removes the
field from the prepared volume.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from braincase.preprocess.registration.gauss_newton import polynomials
from braincase.preprocess.space.sampling import Image
from braincase.preprocess.space.template import SURE_MM, load_template

#: Fewer voxels of a tissue than this say nothing about the bias field.
FEW = 50


@lru_cache(maxsize=1)
def _basis() -> NDArray[np.float32]:
    """Return the polynomials at all voxels of the standard grid, shape (20, voxels)."""
    return polynomials(load_template()[2].points_mm, 3).reshape(20, -1)


def smooth_bias(scan: Image, iterations: int = 3) -> Image:
    """Estimate coil sensitivity on the standard grid: the exponential of a cubic polynomial.

    White matter (and, less, grey matter) where the template has it should be equally bright; voxels
    that are far from their tissue's usual brightness have no say.
    """
    basis, level = _basis(), load_template()[2]
    rows = np.flatnonzero((level.depth_mm < SURE_MM) & (scan > 0))[::3]
    terms, brightness = basis.take(rows, axis=1), np.log(scan.ravel()[rows] + 1e-6)
    exact = terms.astype(np.float64)  # the sums are in double precision
    white, grey = level.white.ravel()[rows], level.grey.ravel()[rows]
    if min((white > 0.7).sum(), (grey > 0.8).sum()) < FEW:
        return np.ones_like(scan)
    bias = np.zeros(20)
    for iteration in range(iterations):
        flat = brightness - bias @ exact
        white_mode, grey_mode = np.median(flat[white > 0.7]), np.median(flat[grey > 0.8])
        width = 0.12 if iteration else 0.25
        trust_white = white * np.exp(-0.5 * ((flat - white_mode) / width) ** 2)
        trust_grey = 0.3 * grey * np.exp(-0.5 * ((flat - grey_mode) / width) ** 2)
        trust = trust_white + trust_grey
        wanted = brightness * trust - trust_white * white_mode - trust_grey * grey_mode
        normal = (exact * trust) @ exact.T + 2e-5 * trust.sum() * np.eye(20)
        bias = np.linalg.solve(normal, exact @ wanted)
    return np.asarray(np.exp(bias.astype(np.float32) @ basis)).reshape(scan.shape)
