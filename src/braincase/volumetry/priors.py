"""Region priors: where each region is expected in the template, on the 4 mm grid."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from braincase.images.geometry import HALF_GRID, mean_of_blocks
from braincase.volumetry.regions import (
    FLUID,
    MIXED,
    NAMES,
    SULCI,
    WHITE,
    mirrored_name,
    plain_name,
    symmetric_label,
    tissues_of,
)
from braincase.volumetry.template import VENTRICLES_ML, template_shares, ventricles

Map = NDArray[np.float32]

#: How far a label reaches beyond its border in the atlas (mm, standard deviation): the cortex of
#: the template and of the atlas do not fold alike, while nuclei lie in the same place.
REACH_CORTEX_MM, REACH_DEEP_MM, REACH_PAINTED_MM = 4.0, 2.0, 1.5
DEEP = (*FLUID, *MIXED, *WHITE, "hippocampus", "amygdala", "caudate", "putamen", "accumbens")
#: A weight so small that it only counts where no region's label is near.
NOWHERE_NEAR = 1e-4


@dataclass(frozen=True, eq=False)
class RegionPriors:
    """Where each region is expected in the template, on `HALF_GRID`.

    Parameters
    ----------
    names
        The regions, `NAMES` and then `SULCI`.
    priors
        Shape (regions, *HALF_GRID.shape): share of each region among those of its tissue, before
        an image says how much of the tissue there is.
    tissue
        Shape (regions, 3), 0 or 1: the tissues of `TISSUES` that a region is made of.
    shares
        Shape (3, *HALF_GRID.shape): the template's tissues, in [0, 1].
    """

    names: tuple[str, ...]
    priors: Map
    tissue: NDArray[np.float32]
    shares: Map


@cache
def load_priors() -> RegionPriors:
    """Read atlas and template, and compute where each region is expected.

    Raises
    ------
    ParameterError
        If the package with the atlas is not installed.
    """
    # Right is the mirror image of left.
    left = {name: _prior(name) for name in NAMES if not name.startswith("right-")}
    priors = np.stack([left[n] if n in left else left[mirrored_name(n)][::-1] for n in NAMES])
    covered = np.clip(priors.sum(axis=0), 0, 1)
    names = (*NAMES, SULCI)
    priors = np.concatenate([priors, (1 - covered)[None]]) + np.float32(NOWHERE_NEAR)
    plain = [plain_name(name) for name in names]
    tissue = np.array([tissues_of(name) for name in plain], np.float32)
    return RegionPriors(names, priors.astype(np.float32), tissue, template_shares())


def _prior(region: str) -> Map:
    """Return the smoothed labels of a region on the left or across the midline."""
    if region in VENTRICLES_ML:
        painted = ventricles()[list(VENTRICLES_ML).index(region)]
        return _smoothed(painted, REACH_PAINTED_MM)
    reach = REACH_DEEP_MM if plain_name(region) in DEEP else REACH_CORTEX_MM
    return _smoothed(symmetric_label(region), reach)


def _smoothed(fine: Map, reach_mm: float) -> Map:
    """Average a 2 mm map to 4 mm and smooth it there, an eighth of the work."""
    smooth = gaussian_filter(mean_of_blocks(fine, 2), reach_mm / HALF_GRID.resolution_mm)
    return np.asarray(smooth, np.float32)


@cache
def load_region_maps() -> Map:
    """Return how much of each 4 mm voxel of the template every region fills.

    Shape (regions, *HALF_GRID.shape), in the order of `load_priors`.
    """
    priors = load_priors()
    competing = np.einsum("rc,rxyz->cxyz", priors.tissue, priors.priors)
    parts = priors.shares / competing
    return np.asarray(np.einsum("rc,cxyz->rxyz", priors.tissue, parts) * priors.priors, np.float32)
