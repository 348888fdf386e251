"""The template brain: ICBM152 with the ventricles of people of about 75.

The ICBM152 2009a symmetric template, which nilearn carries, is the mean of young people; half of
the people whose scans are compared here are old. So its lateral and third ventricles are painted
larger, into the white matter around them and nowhere else.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import affine_transform, gaussian_filter, zoom

from braincase.images.geometry import HALF_GRID, Affine, mean_of_blocks
from braincase.images.icbm152 import read_icbm152
from braincase.images.tissue import image_shares
from braincase.volumetry.regions import FINE, label_shares, plain_name, symmetric_label

Map = NDArray[np.float32]

#: A Gaussian of this many voxels of the target grid stands for a scanner's point spread.
POINT_SPREAD_VOXELS = 0.35
#: How large the painted ventricles are, ml in MNI space (real ones times about 1.3); each side.
VENTRICLES_ML: Mapping[str, float] = MappingProxyType(
    {
        "left-lateral-ventricle": 11.0,
        "right-lateral-ventricle": 11.0,
        "left-inferior-horn": 0.5,
        "right-inferior-horn": 0.5,
        "third-ventricle": 1.2,
    }
)
#: T1 intensity of fluid, where the template's white matter is about 0.9.
FLUID_T1 = 0.22
#: Nothing is painted where these labels fill more than half of a voxel.
SPARED = (
    "hippocampus",
    "amygdala",
    "thalamus",
    "caudate",
    "putamen",
    "pallidum",
    "corpus-callosum",
)


@dataclass(frozen=True, eq=False)
class Template:
    """Tissue probability maps in [0, 1] on one grid: T1 intensity, grey and white matter, fluid."""

    t1: Map
    grey: Map
    white: Map
    csf: Map


@cache
def load_template(resolution_mm: float) -> Template:
    """Return the template at `resolution_mm` over the standard field of view."""
    young = _young(resolution_mm)
    fluid = at_resolution(ventricles().sum(axis=0), FINE.resolution_mm, resolution_mm)
    return Template(
        t1=(young.t1 * (1 - fluid) + FLUID_T1 * fluid).astype(np.float32),
        grey=(young.grey * (1 - fluid)).astype(np.float32),
        white=(young.white * (1 - fluid)).astype(np.float32),
        csf=np.maximum(young.csf * (1 - fluid), fluid).astype(np.float32),
    )


@cache
def template_shares() -> Map:
    """Return the tissues of the template as they are read from any image, at 4 mm."""
    t1 = load_template(FINE.resolution_mm).t1
    bright = np.quantile(t1[t1 > 0], 0.99)
    return image_shares(np.rint(255 * np.clip(t1 / bright, 0, 1)).astype(np.uint8), FINE)


@cache
def ventricles() -> Map:
    """Return the painted ventricles at 2 mm, shape (len(VENTRICLES_ML), *FINE.shape), in [0, 1]."""
    young = _young(FINE.resolution_mm)
    shares = label_shares()
    spared = sum(share for name, share in shares.items() if plain_name(name) in SPARED)
    spared = np.maximum(np.asarray(spared), np.asarray(spared)[::-1])
    allowed = (spared < 0.5) & (young.grey < 0.6)
    return np.stack([_painted(name, young.csf, allowed) for name in VENTRICLES_ML])


def _painted(region: str, csf: Map, allowed: NDArray[np.bool_]) -> Map:
    """Grow one ventricle from where the atlas has it, until it is as large as asked."""
    label = symmetric_label(region)
    near = gaussian_filter(label, 1.0) + 0.3 * gaussian_filter(label, 3.0)
    score = np.where(allowed, near * (1 + csf), 0)
    n_voxels = round(1000 * VENTRICLES_ML[region] / FINE.resolution_mm**3)
    threshold = np.partition(score.ravel(), -n_voxels)[-n_voxels]
    mask = (score >= threshold) & (score > 0)
    return np.asarray(gaussian_filter(mask.astype(np.float32), 0.3), np.float32)


@cache
def _young(resolution_mm: float) -> Template:
    """Return ICBM152 itself over the standard field of view, before anything is painted."""
    t1, grey, white = (onto_grid(data, affine, resolution_mm) for data, affine in _icbm152())
    return Template(t1, grey, white, np.clip((t1 > 0.05) - grey - white, 0, 1))


def onto_grid(data: Map, affine: Affine, resolution_mm: float) -> Map:
    """Resample a 1 mm map over the standard field of view at another resolution.

    The map is first smoothed to that resolution, so nothing aliases.
    """
    smooth = gaussian_filter(data, POINT_SPREAD_VOXELS * resolution_mm)
    factor = HALF_GRID.resolution_mm / resolution_mm
    shape = tuple(round(n * factor) for n in HALF_GRID.shape)
    target = np.diag([resolution_mm] * 3 + [1.0])
    target[:3, 3] = HALF_GRID.affine[:3, 3] + (resolution_mm - HALF_GRID.resolution_mm) / 2
    to_source = np.linalg.inv(affine) @ target
    resampled = affine_transform(
        smooth, to_source[:3, :3], to_source[:3, 3], output_shape=shape, order=1
    )
    return np.asarray(resampled, dtype=np.float32)


@cache
def _icbm152() -> tuple[tuple[Map, Affine], ...]:
    """Return T1, grey and white matter of the template at 1 mm, with their affines."""
    return read_icbm152("t1"), read_icbm152("gm"), read_icbm152("wm")


def at_resolution(field: Map, edge_mm: float, wanted_mm: float) -> Map:
    """Bring a map with voxels of `edge_mm` to `wanted_mm`, the field of view as it is."""
    factor = edge_mm / wanted_mm
    if factor >= 1:
        return np.asarray(zoom(field, factor, order=1, mode="nearest", grid_mode=True), np.float32)
    return mean_of_blocks(field, round(1 / factor))
