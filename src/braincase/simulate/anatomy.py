"""The template brain, and where disease, age and normal variation act on it.

The anatomy is the ICBM152 2009a symmetric T1 with its grey and white matter maps (1 mm, skull
stripped) that nilearn carries. Regions are soft boxes around textbook MNI coordinates, cut by the
tissue they belong to; they say where volume changes, not where a boundary runs.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
from nilearn.datasets import load_mni152_gm_template, load_mni152_template, load_mni152_wm_template
from numpy.typing import NDArray
from scipy.ndimage import affine_transform, gaussian_filter

from braincase.images.geometry import Affine, Grid
from braincase.simulate.fields import FIELD_GRID, Field, velocity_of_log_volume_change

Map = NDArray[np.float32]

#: A Gaussian of this many voxels of the target grid stands for a scanner's point spread.
POINT_SPREAD_VOXELS = 0.35


@dataclass(frozen=True)
class TissueMaps:
    """Tissue probability maps in [0, 1] on one grid: T1 intensity, grey and white matter, fluid."""

    t1: Map
    grey: Map
    white: Map
    csf: Map


@dataclass(frozen=True)
class VolumeRegions:
    """Regions whose volume is measured and changed: weights in [0, 1] on `FIELD_GRID`."""

    hippocampus: Map
    ventricles: Map


@dataclass(frozen=True)
class Velocities:
    """Velocity fields (mm, on `FIELD_GRID`) of one unit of each cause of volume change."""

    disease: Field
    decade: Field
    ventricle_spread: Field
    hippocampus_spread: Field


def onto_grid(data: Map, affine: Affine, resolution_mm: float, grid: Grid) -> Map:
    """Resample a 1 mm map over the field of view of `grid` at another resolution.

    The map is first smoothed to that resolution, so nothing aliases.
    """
    smooth = gaussian_filter(data, POINT_SPREAD_VOXELS * resolution_mm)
    factor = grid.resolution_mm / resolution_mm
    shape = tuple(round(n * factor) for n in grid.shape)
    target = np.diag([resolution_mm] * 3 + [1.0])
    target[:3, 3] = grid.affine[:3, 3] + (resolution_mm - grid.resolution_mm) / 2
    to_source = np.linalg.inv(affine) @ target
    resampled = affine_transform(
        smooth, to_source[:3, :3], to_source[:3, 3], output_shape=shape, order=1
    )
    return np.asarray(resampled, dtype=np.float32)


@cache
def load_tissue(resolution_mm: float, grid: Grid) -> TissueMaps:
    """Return the template's tissue at `resolution_mm` over the field of view of `grid`."""
    images = (
        load_mni152_template(resolution=1),
        load_mni152_gm_template(resolution=1),
        load_mni152_wm_template(resolution=1),
    )
    t1, grey, white = (
        onto_grid(
            np.asarray(i.get_fdata(dtype=np.float32)), np.asarray(i.affine), resolution_mm, grid
        )
        for i in images
    )
    csf = np.clip((t1 > 0.05) - grey - white, 0, 1).astype(np.float32)
    return TissueMaps(t1, grey, white, csf)


def _soft_ball(centre_mm: tuple[float, float, float], radii_mm: tuple[float, float, float]) -> Map:
    """A Gaussian of these standard deviations around an MNI coordinate, on `FIELD_GRID`."""
    points = FIELD_GRID.points_mm()
    distance = sum(((points[i] - centre_mm[i]) / radii_mm[i]) ** 2 for i in range(3))
    return np.exp(-0.5 * np.asarray(distance)).astype(np.float32)


def _both_sides(centre_mm: tuple[float, float, float], radii_mm: tuple[float, float, float]) -> Map:
    left = (-centre_mm[0], centre_mm[1], centre_mm[2])
    return np.maximum(_soft_ball(centre_mm, radii_mm), _soft_ball(left, radii_mm))


@cache
def load_volume_regions() -> VolumeRegions:
    """Return the two regions whose volume is the cohort's truth."""
    tissue = load_tissue(FIELD_GRID.resolution_mm, FIELD_GRID)
    x, _, z = FIELD_GRID.points_mm()
    hippocampus = _both_sides((27, -22, -14), (7, 12, 6)) * tissue.grey
    inside = (np.abs(x) < 32) & (z > -10) & (z < 35)
    ventricles = _both_sides((12, -10, 18), (14, 35, 14)) * tissue.csf * inside
    return VolumeRegions(
        (hippocampus / hippocampus.max()).astype(np.float32), ventricles.astype(np.float32)
    )


@cache
def load_velocities() -> Velocities:
    """Return the velocity of one unit of disease severity, one decade, and one normal deviation.

    The weights are log volume changes at full severity, chosen so that the effect sizes of
    `braincase.simulate.calibration` are met (docs/simulation.md shows asked and measured).
    """
    tissue = load_tissue(FIELD_GRID.resolution_mm, FIELD_GRID)
    hippocampus, ventricles = load_volume_regions().hippocampus, load_volume_regions().ventricles
    entorhinal = _both_sides((24, -10, -28), (8, 10, 8)) * tissue.grey
    temporal = _both_sides((50, -25, -15), (15, 30, 15)) * tissue.grey
    parietal = _both_sides((40, -55, 42), (18, 18, 18)) * tissue.grey
    sulci = tissue.csf * (1 - ventricles)
    disease = (
        -0.37 * hippocampus - 0.45 * entorhinal - 0.24 * temporal - 0.24 * parietal
        - 0.09 * tissue.grey + 0.81 * ventricles + 0.30 * sulci
    )  # fmt: skip
    decade = -0.06 * hippocampus - 0.04 * tissue.grey + 0.35 * ventricles + 0.10 * tissue.csf
    return Velocities(
        disease=velocity_of_log_volume_change(disease),
        decade=velocity_of_log_volume_change(decade),
        ventricle_spread=velocity_of_log_volume_change(0.68 * ventricles),
        hippocampus_spread=velocity_of_log_volume_change(0.17 * hippocampus),
    )
