"""Layout of a code: which of its numbers belong to which brain region.

A code is either a map of 150 cells, each number of one 32 mm cell, or longer::

    [0, 150)    the network's code: what the whole brain looks like
    [150, 304)  the local code: volume and dark tissue of each region (`volumetry.readout`)
    [304, 380)  the places of dark tissue: each region's share of all there is
    [380, 396)  the posterior: how likely each training label is by these 230, as square roots

A network's number looks far over the edges of its cell, and a share depends on all the dark tissue
there is, so of a longer code only the local part has a place: searches by region and explanations
go by it alone.
"""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from braincase.errors import UsageError
from braincase.images.atlas import (
    N_CELLS,
    Regions,
    covered,
    load_regions,
    mask_weights,
)
from braincase.images.geometry import HALF_GRID
from braincase.volumetry.readout import (
    LOCAL_SIZE,
    PARCELS,
    READOUT_SIZE,
    REGIONS,
    load_readout,
    volumes_mm3,
)

#: Training labels that a searched code tells apart.
MOST_LABELS = 16
#: Part of each local number in each region and cell: from the atlas it would take seconds.
LAYOUT = "code_layout.npz"
NETWORK = slice(N_CELLS)
LOCAL = slice(N_CELLS, N_CELLS + LOCAL_SIZE)
VOLUMES = slice(N_CELLS, N_CELLS + len(REGIONS))
#: All that is read off the image by fixed weights, and what the labels taught.
READ_OUT = slice(N_CELLS, N_CELLS + READOUT_SIZE)
POSTERIOR = slice(READ_OUT.stop, READ_OUT.stop + MOST_LABELS)
LONG = POSTERIOR.stop
#: What is read off the image counts so much in a code: its numbers have a variance of about 1 each.
#: Chosen on the development seed of `braincase bench`.
READ_OUT_WEIGHT = 0.15


def has_regions(n_dimensions: int) -> bool:
    """Return whether codes of this length, of a network of this house, divide into regions."""
    return n_dimensions in (N_CELLS, LONG)


def regions_of_code(n_dimensions: int) -> Regions:
    """Return the atlas's regions, and how the numbers of a code of this length divide into them."""
    return load_regions() if n_dimensions == N_CELLS else _regions_of_long_code()


@cache
def _regions_of_long_code() -> Regions:
    """Read how the local code divides among regions and cells, as `benchmarks/readout.py` found."""
    with (files(__package__) / LAYOUT).open("rb") as file, np.load(file) as kept:
        names = tuple(map(str, kept["names"]))
        shares, cells = np.zeros((LONG, len(names))), np.zeros((LONG, N_CELLS))
        shares[LOCAL], cells[LOCAL] = kept["shares"], kept["cells"]
    return Regions(names, shares, cells)


def holds_volumes(n_dimensions: int) -> bool:
    """Return whether codes of this length, of a network of this house, hold volumes of regions."""
    return n_dimensions == LONG


def volumes_of_code(code: ArrayLike) -> dict[str, float] | None:
    """Return the volume of each of `REGIONS` in mm3 of the standard space, where a code holds it.

    Parameters
    ----------
    code
        Shape (numbers,), of a network of this house.
    """
    numbers = np.asarray(code, np.float64)
    if not holds_volumes(numbers.size):
        return None
    readings = numbers[VOLUMES] / READ_OUT_WEIGHT
    return dict(zip(REGIONS, volumes_mm3(readings).tolist(), strict=True))


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
    from braincase.images.volume import read_volume  # the one search that reads another image

    if not path.is_file():
        raise UsageError(path, "no such file", "a mask in MNI space")
    image, name = read_volume(path), f"mask {path.name}"
    if n_dimensions == N_CELLS:
        return mask_weights(image.data, image.affine, path), name
    readout = load_readout()
    inside = covered(image.data, image.affine, HALF_GRID.resolution_mm, path)[readout.brain]
    if not inside.any():
        raise UsageError(path, "no voxel inside the brain", "a mask in MNI space")
    sums = np.bincount(readout.parcel, inside, len(PARCELS))
    by_parcel = dict(zip(PARCELS, sums / np.bincount(readout.parcel), strict=True))
    weights = np.zeros(n_dimensions)
    weights[LOCAL] = [by_parcel.get(region, 0.0) for region in (*REGIONS, *PARCELS)]
    return weights, name
