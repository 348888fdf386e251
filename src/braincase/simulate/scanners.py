"""Scanners: how each draws contrast, region by region, shading, noise, sharpness and geometry.

Two of the regional contrasts are measured: how much larger or smaller each region looks on a
Philips 3 T and on a GE 1.5 T scanner than on a Philips 1.5 T one, in IXI's people after age, sex
and head size (`braincase.simulate.measured`). The other scanners mix the two.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from braincase.simulate.atrophy import load_effects
from braincase.simulate.fields import FIELD_GRID
from braincase.volumetry.priors import load_region_maps
from braincase.volumetry.regions import NAMES
from braincase.volumetry.template import FLUID_T1, at_resolution, load_template

Map = NDArray[np.float32]

#: Regional contrast is as smooth as this (mm, standard deviation).
CONTRAST_MM = 6.0
#: How far intensities move, as a part of the step from fluid to grey matter, for a region to look
#: larger by a log volume of one. Found with `braincase calibrate`.
CORTEX_GAIN = 2.4
#: No intensity moves by more than this part of that step.
LARGEST_CONTRAST = 0.4


@dataclass(frozen=True)
class Scanner:
    """How one scanner draws.

    Parameters
    ----------
    philips_3t, ge_15t
        How much of each measured regional contrast it has.
    log_gamma
        Contrast of the whole image.
    shading, noise
        Spread of the log of the receive field that bias correction left, and of the noise (white
        matter about 1).
    blur_mm
        Point spread, full width.
    stretch
        Geometric error along right, front and top, as a part of the length.
    """

    philips_3t: float
    ge_15t: float
    log_gamma: float
    shading: float
    noise: float
    blur_mm: float
    stretch: tuple[float, float, float]


SCANNERS: Mapping[str, Scanner] = MappingProxyType(
    {
        "A": Scanner(0.0, 0.0, 0.00, 0.010, 0.015, 1.2, (0, 0, 0)),
        "B": Scanner(1.0, 0.0, -0.01, 0.015, 0.012, 1.2, (0.001, 0, -0.001)),
        "C": Scanner(0.0, 1.0, 0.01, 0.015, 0.020, 1.3, (-0.001, 0.002, 0)),
        "D": Scanner(-0.6, 0.3, -0.03, 0.015, 0.018, 1.4, (0, -0.002, 0.002)),
        "E": Scanner(0.5, 0.6, 0.02, 0.020, 0.014, 1.1, (0.001, 0.001, 0.002)),
        "F": Scanner(0.4, -0.5, 0.04, 0.015, 0.024, 1.6, (-0.002, 0, 0.001)),
    }
)


@cache
def template_on(scanner: str, resolution_mm: float) -> Map:
    """Return the template's T1 as a scanner's contrast shows it, before noise and shading."""
    template = load_template(resolution_mm)
    larger = at_resolution(_larger_looking(scanner), FIELD_GRID.resolution_mm, resolution_mm)
    # Where cortex is to look larger, it darkens with the fluid in its sulci, and brightens where
    # smaller: partial volume with white matter then counts more, or less, as grey matter.
    change = np.clip(-CORTEX_GAIN * larger, -LARGEST_CONTRAST, LARGEST_CONTRAST)
    mixed = template.csf + 0.5 * template.grey
    return np.asarray(template.t1 + _step() * change * mixed, np.float32)


@cache
def _step() -> float:
    """Return the template's intensity step from fluid to grey matter."""
    template = load_template(FIELD_GRID.resolution_mm)
    return float(np.median(template.t1[template.grey > 0.9])) - FLUID_T1


@cache
def _larger_looking(scanner: str) -> Map:
    """Return the log volume by which the grey matter around each voxel looks larger, 4 mm."""
    effects, one = load_effects(), SCANNERS[scanner]
    change = one.philips_3t * effects.philips_3t + one.ge_15t * effects.ge_15t
    maps = load_region_maps()[: len(NAMES)]
    cortical = is_cortex()
    weighted = np.einsum("r,rxyz->xyz", change[cortical], maps[cortical])
    sigma = CONTRAST_MM / FIELD_GRID.resolution_mm
    total = gaussian_filter(maps[cortical].sum(axis=0), sigma)
    return np.asarray(gaussian_filter(weighted, sigma) / np.maximum(total, 0.02), np.float32)


def is_cortex() -> NDArray[np.bool_]:
    """Say of each region whether it is cortex, whose apparent volume follows contrast."""
    other = (
        *("ventric", "horn", "white", "stem", "callosum", "thalamus", "pallidum", "caudate"),
        *("putamen", "accumbens", "diencephalon", "cerebell"),
    )
    return np.array([not any(word in name for word in other) for name in NAMES])
