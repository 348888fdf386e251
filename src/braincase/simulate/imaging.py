"""Image formation: from a simulated visit to what a scanner would show of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, map_coordinates

from braincase.images.geometry import Grid
from braincase.simulate.anatomy import load_tissue, load_velocities, load_volume_regions
from braincase.simulate.fields import FIELD_GRID, Field, exponentiate, pull, random_field
from braincase.simulate.people import SimulatedVisit

#: People differ by fields of these smoothnesses and spreads (mm).
PERSON_FIELDS_MM = ((24.0, 2.6), (10.0, 0.5), (6.0, 0.2))
#: Below this intensity the template is background.
BACKGROUND = 0.03
#: The age (years) at which the template stands.
TEMPLATE_AGE = 72.0


@dataclass(frozen=True)
class Scanner:
    """How one scanner draws: contrast, shading, noise and sharpness."""

    log_gamma: float
    shading: float
    noise: float
    blur_mm: float


SCANNERS: Mapping[str, Scanner] = MappingProxyType(
    {
        "A": Scanner(log_gamma=-0.08, shading=0.10, noise=0.015, blur_mm=1.0),
        "B": Scanner(log_gamma=0.0, shading=0.12, noise=0.020, blur_mm=1.4),
        "C": Scanner(log_gamma=0.08, shading=0.14, noise=0.025, blur_mm=1.8),
    }
)


@dataclass(frozen=True)
class Simulated:
    """One simulated scan: uint8 volume on the grid, and the true volumes in mm3."""

    volume: NDArray[np.uint8]
    hippocampus_mm3: float
    ventricles_mm3: float


def simulate_visit(visit: SimulatedVisit, grid: Grid) -> Simulated:
    """Deform the template to the visit's anatomy and image it on the visit's scanner."""
    backward = exponentiate(-_velocity(visit))
    regions = load_volume_regions()
    # The integral of a region pulled through the inverse map is its Jacobian-integrated volume.
    warped = pull(np.stack([regions.hippocampus, regions.ventricles]), backward)
    hippocampus, ventricles = warped.sum(axis=(1, 2, 3)) * FIELD_GRID.resolution_mm**3
    rng = np.random.default_rng((*visit.person.seed, 2, visit.number))
    volume = _image(_deformed_t1(backward, grid), SCANNERS[visit.person.scanner], grid, rng)
    return Simulated(volume, float(hippocampus), float(ventricles))


def _velocity(visit: SimulatedVisit) -> Field:
    """The person's own field plus prescribed changes by disease, age and normal spread (mm)."""
    rng = np.random.default_rng((*visit.person.seed, 1))  # the same at every visit
    velocity = np.zeros((3, *FIELD_GRID.shape), np.float32)
    for smoothness_mm, spread_mm in PERSON_FIELDS_MM:
        velocity += random_field(rng, smoothness_mm, spread_mm)
    unit = load_velocities()
    velocity += np.float32(visit.severity) * unit.disease
    velocity += np.float32((visit.age - TEMPLATE_AGE) / 10) * unit.decade
    velocity += np.float32(visit.person.ventricle_deviation) * unit.ventricle_spread
    velocity += np.float32(visit.person.hippocampus_deviation) * unit.hippocampus_spread
    return velocity


def _deformed_t1(backward: Field, grid: Grid) -> NDArray[np.float32]:
    """Sample the template, at twice the grid's resolution, where each grid voxel came from."""
    fine_mm = grid.resolution_mm / 2
    t1 = load_tissue(fine_mm, grid).t1
    index = _to_field_index(grid)
    displacement = np.stack(
        [map_coordinates(u, index, order=1, mode="nearest", prefilter=False) for u in backward]
    )
    fine_index = _voxel_index(grid) * 2 + 0.5 + displacement / fine_mm
    return np.asarray(map_coordinates(t1, fine_index, order=1, prefilter=False), dtype=np.float32)


@cache
def _voxel_index(grid: Grid) -> NDArray[np.float32]:
    return np.indices(grid.shape, dtype=np.float32)


@cache
def _to_field_index(grid: Grid) -> NDArray[np.float32]:
    """Where each voxel of `grid` lies in voxels of `FIELD_GRID`, shape (3, *grid.shape)."""
    ratio = grid.resolution_mm / FIELD_GRID.resolution_mm
    return np.asarray(_voxel_index(grid) * ratio + (ratio - 1) / 2, dtype=np.float32)


def _image(
    t1: NDArray[np.float32], scanner: Scanner, grid: Grid, rng: np.random.Generator
) -> NDArray[np.uint8]:
    """Apply contrast, blur, shading and Rician noise; scale the brightest percent to 1."""
    gamma = np.exp(scanner.log_gamma + rng.normal(0, 0.04))
    image = np.clip(t1, 0, 1) ** np.float32(gamma)
    image = gaussian_filter(image, scanner.blur_mm / grid.resolution_mm / 2)
    shading = random_field(rng, 40.0, scanner.shading, components=1)[0]
    index = _to_field_index(grid)
    image *= np.exp(map_coordinates(shading, index, order=1, mode="nearest", prefilter=False))
    real, imaginary = rng.normal(0, scanner.noise, (2, *grid.shape)).astype(np.float32)
    image = np.hypot(image + real, imaginary) * (t1 > BACKGROUND)
    image /= np.percentile(image[image > 0], 99)
    return np.asarray(np.round(255 * np.clip(image, 0, 1)), dtype=np.uint8)
