"""Weights of a code's numbers for regions and masks, and which galleries' codes have any."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from braincase.errors import ParameterError
from braincase.gallery import GalleryInfo, Weights
from braincase.images.atlas import region_weights
from braincase.volumetry.code_layout import has_regions, mask_code_weights, regions_of_code


def without_cells(info: GalleryInfo) -> str:
    """Return why nothing is to be had by region of a gallery's codes; empty where it is."""
    if not info.encoder and has_regions(info.n_dimensions):
        return ""
    whose = f"the encoder '{info.encoder}'" if info.encoder else "this gallery's model"
    return (
        f"not to be had with {whose}: its {info.n_dimensions} numbers are of the whole scan, and no"
        " map of the brain's cells"
    )


def weights_of(
    info: GalleryInfo, regions: Sequence[str], mask: str | Path | None
) -> tuple[Weights | None, str | None]:
    """Return the weights of regions and a mask together, and what they are called.

    Raises
    ------
    ParameterError
        If the gallery's codes have no cells, or there is no such region.
    """
    wanted = {"regions": bool(regions), "mask": mask is not None}
    named = ", ".join(name for name, given in wanted.items() if given)
    if not named:
        return None, None
    if reason := without_cells(info):
        raise ParameterError(named, reason, "a gallery of a model that braincase trained")
    parts = []
    if regions:
        parts.append(region_weights(regions, regions_of_code(info.n_dimensions)))
    if mask is not None:
        parts.append(mask_code_weights(Path(mask), info.n_dimensions))
    return np.sum([weights for weights, _ in parts], axis=0), " + ".join(name for _, name in parts)
