"""Layout of a code: which of its numbers belong to which brain region.

A code is either a map of 150 cells, each number of one 32 mm cell, or longer::

    [0, 150)    the network's code: what the whole brain looks like
    [150, 304)  the local code: volume and dark tissue of each region (`volumetry.readout`)
    [304, 314)  the pattern that tells the training labels apart: axes of the local code

A network's number looks far over the edges of its cell, so of a longer code only the local part has
a place: searches by region and explanations go by it alone.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from braincase.errors import UsageError
from braincase.images.atlas import (
    N_CELLS,
    Regions,
    cell_of_voxels,
    covered,
    load_regions,
    mask_weights,
    read_mask,
    side_of,
)
from braincase.images.geometry import HALF_GRID
from braincase.volumetry.readout import LOCAL_SIZE, PARCELS, REGIONS, load_readout
from braincase.volumetry.regions import MIDLINE, SIDED, label_shares

PATTERN_SIZE = 10
LOCAL = slice(N_CELLS, N_CELLS + LOCAL_SIZE)
LONG = N_CELLS + LOCAL_SIZE + PATTERN_SIZE


def has_regions(n_dimensions: int) -> bool:
    """Return whether codes of this length, of a network of this house, divide into regions."""
    return n_dimensions in (N_CELLS, LONG)


def regions_of_code(n_dimensions: int) -> Regions:
    """Return the atlas's regions, and how the numbers of a code of this length divide into them."""
    return load_regions() if n_dimensions == N_CELLS else _regions_of_long_code()


@cache
def _regions_of_long_code() -> Regions:
    atlas = load_regions()
    shares, cells = np.zeros((LONG, len(atlas.names))), np.zeros((LONG, N_CELLS))
    local = [_atlas_shares(name, atlas.names) for name in (*REGIONS, *PARCELS)]
    shares[LOCAL] = np.stack(local)
    by_parcel = dict(zip(PARCELS, _cells_of_parcels(), strict=True))
    cells[LOCAL] = [by_parcel.get(name, _everywhere()) for name in (*REGIONS, *PARCELS)]
    return Regions(atlas.names, shares, cells)


def _atlas_shares(region: str, names: tuple[str, ...]) -> NDArray[np.float64]:
    """Divide a region among the labels of the atlas that it joins, by their volume."""
    side, plain = side_of(region)
    members = [f"{side}-{m}" if side else m for m in SIDED.get(plain) or MIDLINE[plain]]
    filled = label_shares()
    parts = np.zeros(len(names))
    for member in members:
        if member in names:
            parts[names.index(member)] = filled[member].sum()
    return np.asarray(parts / parts.sum())


@cache
def _cells_of_parcels() -> NDArray[np.float64]:
    """Return which part of each parcel lies in each cell, shape (parcels, n_cells)."""
    readout = load_readout()
    brain = np.zeros(HALF_GRID.size, np.bool_)
    brain[readout.brain] = True
    cells = cell_of_voxels(brain.reshape(HALF_GRID.shape), HALF_GRID.affine)
    counts = np.bincount(readout.parcel * N_CELLS + cells, minlength=len(PARCELS) * N_CELLS)
    table = counts.reshape(len(PARCELS), N_CELLS).astype(np.float64)
    return np.asarray(table / table.sum(axis=1, keepdims=True))


def _everywhere() -> NDArray[np.float64]:
    """Place the cerebral white matter, which is in no parcel of its own: like all parcels."""
    return np.asarray(_cells_of_parcels().mean(axis=0))


def mask_code_weights(path: Path, n_dimensions: int) -> tuple[NDArray[np.float64], str]:
    """Read a mask in MNI space; return the weights of a code's numbers, and what to call it.

    Each number counts by how much of its cell, or of its region and the white matter nearest to it,
    the mask covers.

    Raises
    ------
    ScanError
        If the file cannot be read, or every voxel of it is the same.
    UsageError
        If there is no such file, or no voxel of the mask lies in the brain.
    """
    mask, affine = read_mask(path)
    name = f"mask {path.name}"
    if n_dimensions == N_CELLS:
        return mask_weights(mask, affine, path), name
    readout = load_readout()
    inside = covered(mask, affine, HALF_GRID.resolution_mm, path)[readout.brain]
    if not inside.any():
        raise UsageError(path, "no voxel inside the brain", "a mask in MNI space")
    sums = np.bincount(readout.parcel, inside, len(PARCELS))
    by_parcel = dict(zip(PARCELS, sums / np.bincount(readout.parcel), strict=True))
    weights = np.zeros(n_dimensions)
    weights[LOCAL] = [by_parcel.get(region, 0.0) for region in (*REGIONS, *PARCELS)]
    return weights, name
