"""Local code: volume and dark tissue of each brain region, read off an image by fixed weights.

A number here depends on nothing but voxels within `REACH_MM` of its region, so a search by these
numbers is one by region. Volumes are linear in the intensities (ridge regression, taught the true
volumes of simulated people). Dark tissue is what of a region, and of the white matter nearest to
it, is darker than usual there, as lesions are on a T1-weighted image. The weights ship as
``readout.npz``; ``benchmarks/readout.py`` makes them and prints how well they do.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

import numpy as np
from numpy.typing import NDArray

from braincase.images.atlas import side_of
from braincase.images.geometry import HALF_GRID, Grid, mean_of_blocks
from braincase.volumetry.regions import NAMES, mirrored_name, plain_name

Numbers = NDArray[np.float32]
#: How far around a region its numbers see.
REACH_MM = 8
#: Regions whose volume is read, and those in which dark tissue is looked for.
REGIONS = NAMES
PARCELS = tuple(name for name in NAMES if plain_name(name) != "cerebral-white-matter")
LOCAL_SIZE = len(REGIONS) + len(PARCELS)
#: Regions with weights of their own; those of the right are the left's, mirrored.
ONE_SIDE = tuple(name for name in REGIONS if not name.startswith("right-"))
#: A voxel is dark from so many standard deviations below the mean on; how dark it is counts.
DARK_FROM = 1.5
#: Spread of intensities (of 1) that is noise: it is added to that of people.
NOISE = 0.02
#: Mean darkness is very uneven among people: its logarithm is taken, of so many times it plus one.
DARK_GAIN = 30.0
WEIGHTS = "readout.npz"


@dataclass(frozen=True, eq=False)
class Readout:
    """The weights of the local code, for images of 4 mm.

    Parameters
    ----------
    voxels, weights, region
        All regions of `ONE_SIDE`, one after the other: the place in the flat image, the weight of
        its intensity (of 1), and the number of the region, shape (entries,).
    offset
        Added to each region's sum, shape (len(ONE_SIDE),).
    brain, mean, spread, parcel
        Each voxel of the brain: its place, mean and standard deviation of its intensity (of 1), and
        the number of its parcel, shape (voxels,).
    dark_mean, dark_spread
        Of each parcel's number before it is scaled, shape (len(PARCELS),).
    """

    voxels: NDArray[np.int64]
    weights: Numbers
    region: NDArray[np.int64]
    offset: Numbers
    brain: NDArray[np.int64]
    mean: Numbers
    spread: Numbers
    parcel: NDArray[np.int64]
    dark_mean: Numbers
    dark_spread: Numbers


@cache
def load_readout() -> Readout:
    """Read the weights that ship with the package."""
    with (files(__package__) / WEIGHTS).open("rb") as file, np.load(file) as kept:
        stored = {name: kept[name] for name in kept.files}
    places = ("voxels", "region", "brain", "parcel")
    return Readout(**{n: v.astype(np.int64 if n in places else "f4") for n, v in stored.items()})


def local_code(volumes: NDArray[np.uint8], grid: Grid) -> Numbers:
    """Read the local code off standard images.

    Parameters
    ----------
    volumes
        Skull-stripped, shape (n, *grid.shape).
    grid
        Their grid.

    Returns
    -------
    float32 of shape (n, `LOCAL_SIZE`)
        The volume of each of `REGIONS`, then the dark tissue of each of `PARCELS`, in standard
        deviations of the simulated people they were taught on.
    """
    readout = load_readout()
    images = half_resolution(volumes, grid)
    dark = dark_tissue(readout, images)
    scaled = (dark - readout.dark_mean) / readout.dark_spread
    both = np.concatenate([region_sums(readout, images), scaled], axis=1)
    return np.asarray(both, np.float32)


def half_resolution(volumes: NDArray[np.uint8], grid: Grid) -> Numbers:
    """Return intensities (of 1) at 4 mm, float32 of shape (n, *HALF_GRID.shape)."""
    edge = HALF_GRID.resolution_mm // grid.resolution_mm
    return np.asarray(mean_of_blocks(volumes, edge) / np.float32(255), np.float32)


def region_sums(readout: Readout, images: Numbers) -> Numbers:
    """Return the weighted sum of each of `REGIONS`, shape (n, len(REGIONS))."""
    # The field of view is symmetric about x = 0, so mirroring is a flip.
    left, right = (_one_side(readout, seen) for seen in (images, images[:, ::-1]))
    columns = {name: left[:, i] for i, name in enumerate(ONE_SIDE)}
    columns = {mirrored_name(name): right[:, i] for i, name in enumerate(ONE_SIDE)} | columns
    return np.stack([columns[name] for name in REGIONS], axis=1)


def _one_side(readout: Readout, images: Numbers) -> Numbers:
    """Return the weighted sum of each of `ONE_SIDE`, shape (n, len(ONE_SIDE))."""
    seen = images.reshape(len(images), -1)[:, readout.voxels] * readout.weights
    starts = np.searchsorted(readout.region, np.arange(len(ONE_SIDE)))
    return np.asarray(np.add.reduceat(seen, starts, axis=1) + readout.offset, np.float32)


def dark_tissue(readout: Readout, images: Numbers) -> Numbers:
    """Return the dark tissue of each of `PARCELS`, not scaled yet, shape (n, len(PARCELS))."""
    size = np.bincount(readout.parcel, minlength=len(PARCELS))
    sums = [np.bincount(readout.parcel, dark, len(PARCELS)) for dark in _darkness(readout, images)]
    return np.asarray(np.log1p(DARK_GAIN * np.asarray(sums) / size), np.float32)


def _darkness(readout: Readout, images: Numbers) -> Numbers:
    """Return how dark each voxel of the brain is, in usual spreads, shape (n, voxels)."""
    seen = images.reshape(len(images), -1)[:, readout.brain]
    below = (readout.mean - seen) / (readout.spread + NOISE) - DARK_FROM
    return np.asarray(np.maximum(below, 0), np.float32)


def attribute_to_voxels(
    query: NDArray[np.uint8], hit: NDArray[np.uint8], factors: NDArray[np.floating], grid: Grid
) -> Numbers:
    """Attribute a weighted sum of the local code's differences to the voxels it was read off.

    Parameters
    ----------
    query, hit
        Standard images, shape `grid.shape`.
    factors
        Weight of the difference, query minus hit, of each number, shape (`LOCAL_SIZE`,).
    grid
        Their grid.

    Returns
    -------
    float32 of shape `grid.shape`; sums to ``factors @ (local code of query - that of hit)``. A
    number of dark tissue is divided as the voxels' darkness changed.
    """
    readout = load_readout()
    images = half_resolution(np.stack([query, hit]), grid)
    seen = _volume_map(readout, images, dict(zip(REGIONS, factors, strict=False)))
    moved = np.subtract(*_darkness(readout, images))
    sums = np.bincount(readout.parcel, moved, len(PARCELS))
    change = np.subtract(*dark_tissue(readout, images)) / readout.dark_spread
    moves = np.abs(sums) > 1e-6
    rate = np.where(moves, factors[len(REGIONS) :] * change / np.where(moves, sums, 1), 0)
    seen.ravel()[readout.brain] += rate[readout.parcel] * moved
    edge = HALF_GRID.resolution_mm // grid.resolution_mm
    fine = seen.repeat(edge, 0).repeat(edge, 1).repeat(edge, 2) / edge**3
    return np.asarray(fine, np.float32)


def _volume_map(
    readout: Readout, images: Numbers, factors: Mapping[str, np.floating]
) -> NDArray[np.float64]:
    """Attribute a weighted sum of differences in volume to voxels, shape `HALF_GRID.shape`."""
    change = images[0] - images[1]
    sides = (
        ([factors[name] for name in ONE_SIDE], slice(None)),
        (
            [factors[mirrored_name(n)] if side_of(n)[0] else 0 for n in ONE_SIDE],
            slice(None, None, -1),
        ),
    )
    total = np.zeros(HALF_GRID.shape)
    for by_region, flip in sides:
        products = change[flip].ravel()[readout.voxels] * readout.weights
        products *= np.asarray(by_region, np.float32)[readout.region]
        counted = np.bincount(readout.voxels, products, HALF_GRID.size)
        total += counted.reshape(HALF_GRID.shape)[flip]
    return total
