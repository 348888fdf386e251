"""Cell weights of regions and masks, and which galleries' codes have cells at all."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from braincase.errors import ParameterError, UsageError
from braincase.gallery import GalleryInfo, Weights
from braincase.images.atlas import N_CELLS, load_regions, mask_weights, region_weights


def without_cells(info: GalleryInfo) -> str:
    """Return why nothing is to be had by region of a gallery's codes; empty where it is."""
    if not info.encoder and info.n_dimensions == N_CELLS:
        return ""
    whose = f"the encoder '{info.encoder}'" if info.encoder else "this gallery's model"
    return (
        f"not to be had with {whose}: its {info.n_dimensions} numbers are of the whole scan, and no"
        " map of the brain's cells"
    )


def weights_of(
    info: GalleryInfo, regions: Sequence[str], mask: str | Path | None
) -> tuple[Weights | None, str | None]:
    """Return the cell weights of regions and a mask together, and what they are called.

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
        parts.append(region_weights(regions, load_regions()))
    if mask is not None:
        parts.append(_mask_file_weights(Path(mask)))
    return np.sum([weights for weights, _ in parts], axis=0), " + ".join(name for _, name in parts)


def _mask_file_weights(path: Path) -> tuple[Weights, str]:
    """Read a mask in MNI space; return its cell weights, shape (n_cells,), and what to call it."""
    from braincase.images.volume import read_volume  # the one search that reads another image

    if not path.is_file():
        raise UsageError(path, "no such file", "a mask in MNI space")
    image = read_volume(path)
    return mask_weights(image.data, image.affine, path), f"mask {path.name}"
