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
from scipy.ndimage import gaussian_filter, zoom

from braincase.simulate.atrophy import load_effects
from braincase.simulate.fields import FIELD_GRID
from braincase.volumetry.priors import load_region_maps
from braincase.volumetry.regions import NAMES
from braincase.volumetry.template import load_template

Map = NDArray[np.float32]

#: Regional contrast is as smooth as this (mm, standard deviation).
CONTRAST_MM = 6.0
#: How much of the step between grey and white matter a region's intensity must change, for the
#: region to look larger by a log volume of one. Found by `braincase calibrate`.
GREY_GAIN, WHITE_GAIN = 1.0, 1.0
#: No intensity moves by more than this part of that step.
LARGEST_CONTRAST = 0.35


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
        "A": Scanner(0.0, 0.0, -0.04, 0.03, 0.015, 1.2, (0, 0, 0)),
        "B": Scanner(1.0, 0.0, 0.00, 0.06, 0.012, 1.0, (0.004, 0, -0.003)),
        "C": Scanner(0.0, 1.0, 0.06, 0.04, 0.022, 1.6, (-0.003, 0.004, 0)),
        "D": Scanner(-0.6, 0.3, -0.08, 0.05, 0.018, 1.4, (0, -0.004, 0.004)),
        "E": Scanner(0.5, 0.6, 0.04, 0.07, 0.014, 1.0, (0.002, 0.003, 0.004)),
        "F": Scanner(0.4, -0.5, 0.09, 0.05, 0.025, 1.8, (-0.004, 0, 0.002)),
    }
)


@cache
def template_on(scanner: str, resolution_mm: float) -> Map:
    """Return the template's T1 as a scanner's contrast shows it, before noise and shading."""
    template = load_template(resolution_mm)
    larger = _zoomed(_larger_looking(scanner), resolution_mm)
    step = _step()
    # Where a region is to look larger, the white matter beside it darkens; where smaller, its
    # grey matter brightens: partial volume then counts more, or less, as grey.
    dark = np.clip(WHITE_GAIN * larger, 0, LARGEST_CONTRAST)
    bright = np.clip(-GREY_GAIN * larger, 0, LARGEST_CONTRAST)
    return np.asarray(
        template.t1 + step * (bright * template.grey - dark * template.white), np.float32
    )


@cache
def _step() -> float:
    """Return the template's intensity step from grey to white matter."""
    template = load_template(FIELD_GRID.resolution_mm)
    white = np.median(template.t1[template.white > 0.9])
    grey = np.median(template.t1[template.grey > 0.9])
    return float(white - grey)


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


def _zoomed(field: Map, resolution_mm: float) -> Map:
    factor = FIELD_GRID.resolution_mm / resolution_mm
    return np.asarray(zoom(field, factor, order=1, mode="nearest", grid_mode=True), np.float32)
