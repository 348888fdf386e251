"""Local code: volume and dark tissue of each brain region, read off an image by fixed weights.

A number here depends on nothing but voxels within `REACH_MM` of its region, so a search by these
numbers is one by region. Volumes are linear in the intensities (ridge regression, taught the true
volumes of simulated people). Dark tissue is what of a region, and of the white matter nearest to
it, is darker than usual there, as lesions are on a T1-weighted image. A third kind of number is of
the whole brain: what share of all dark tissue lies in each region. The weights ship as
``readout.npz``; ``benchmarks/readout.py`` makes them and prints how well they do.

References
----------
Hellinger (1909): the distance between two distributions is that of the square roots of their
shares.
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
#: Numbers that depend on one region alone, and the places of dark tissue after them.
LOCAL_SIZE = len(REGIONS) + len(PARCELS)
READOUT_SIZE = LOCAL_SIZE + len(PARCELS)
#: Regions with weights of their own; those of the right are the left's, mirrored.
ONE_SIDE = tuple(name for name in REGIONS if not name.startswith("right-"))
#: A voxel is dark from so many standard deviations below the mean on; how dark it is counts.
DARK_FROM = 1.5
#: Spread of intensities (of 1) that is noise: it is added to that of people.
NOISE = 0.02
#: Mean darkness is very uneven among people: its logarithm is taken, of so many times it plus one.
DARK_GAIN = 30.0
#: The square roots of shares are brought to about the spread of the other numbers.
PLACE_GAIN = 10.0
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
    log_mean, log_slope
        Logarithm of a volume in mm3 at the size of the standard brain: what it is at a reading of
        0, and how much it grows with 1; shape (len(REGIONS),).
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
    log_mean: Numbers
    log_slope: Numbers


@cache
def load_readout() -> Readout:
    """Read the weights that ship with the package."""
    with (files(__package__) / WEIGHTS).open("rb") as file, np.load(file) as kept:
        stored = {name: kept[name] for name in kept.files}
    places = ("voxels", "region", "brain", "parcel")
    return Readout(**{n: v.astype(np.int64 if n in places else "f4") for n, v in stored.items()})


def read_out(volumes: NDArray[np.uint8], grid: Grid) -> Numbers:
    """Read the local code, and the places of dark tissue, off standard images.

    Parameters
    ----------
    volumes
        Skull-stripped, shape (n, *grid.shape).
    grid
        Their grid.

    Returns
    -------
    float32 of shape (n, `READOUT_SIZE`)
        The volume of each of `REGIONS`, then the dark tissue of each of `PARCELS`, in standard
        deviations of the simulated people they were taught on; then the square root of the share of
        all dark tissue that lies in each of `PARCELS`, times `PLACE_GAIN`.
    """
    readout = load_readout()
    images = half_resolution(volumes, grid)
    sums = dark_sums(readout, images)
    dark = (amounts(readout, sums) - readout.dark_mean) / readout.dark_spread
    numbers = (region_sums(readout, images), dark, places(sums))
    return np.asarray(np.concatenate(numbers, axis=1), np.float32)


def volumes_mm3(readings: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return volumes of `REGIONS` in mm3 of the standard space, where all brains have one size.

    Parameters
    ----------
    readings
        From `read_out`, their first numbers, shape (..., len(REGIONS)).
    """
    readout = load_readout()
    logs = readout.log_mean + readout.log_slope * np.asarray(readings, np.float64)
    return np.asarray(np.exp(logs))


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
    seen = images.reshape(len(images), HALF_GRID.size)[:, readout.voxels] * readout.weights
    starts = np.searchsorted(readout.region, np.arange(len(ONE_SIDE)))
    return np.asarray(np.add.reduceat(seen, starts, axis=1) + readout.offset, np.float32)


def dark_sums(readout: Readout, images: Numbers) -> Numbers:
    """Return the sum of the voxels' darkness in each parcel, shape (n, len(PARCELS))."""
    sums = [np.bincount(readout.parcel, dark, len(PARCELS)) for dark in _darkness(readout, images)]
    return np.asarray(sums, np.float32).reshape(len(images), len(PARCELS))


def amounts(readout: Readout, sums: Numbers) -> Numbers:
    """Return the dark tissue of each parcel, not scaled yet, of its sums of darkness."""
    size = np.bincount(readout.parcel, minlength=len(PARCELS))
    return np.asarray(np.log1p(DARK_GAIN * sums / size), np.float32)


def places(sums: Numbers) -> Numbers:
    """Return the square root of each parcel's share of all darkness, times `PLACE_GAIN`."""
    # A brain without a dark voxel has its shares everywhere alike.
    sums = sums + np.float32(1e-6)
    return np.asarray(PLACE_GAIN * np.sqrt(sums / sums.sum(axis=1, keepdims=True)), np.float32)


def _darkness(readout: Readout, images: Numbers) -> Numbers:
    """Return how dark each voxel of the brain is, in usual spreads, shape (n, voxels)."""
    seen = images.reshape(len(images), HALF_GRID.size)[:, readout.brain]
    below = (readout.mean - seen) / (readout.spread + NOISE) - DARK_FROM
    return np.asarray(np.maximum(below, 0), np.float32)


def attribute_to_voxels(
    query: NDArray[np.uint8], hit: NDArray[np.uint8], factors: NDArray[np.floating], grid: Grid
) -> Numbers:
    """Attribute a weighted sum of the read-out's differences to the voxels it was read off.

    Parameters
    ----------
    query, hit
        Standard images, shape `grid.shape`.
    factors
        Weight of the difference, query minus hit, of each number, shape (`READOUT_SIZE`,).
    grid
        Their grid.

    Returns
    -------
    float32 of shape `grid.shape`; sums to ``factors @ (read-out of query - that of hit)``. What a
    parcel's dark tissue contributes is divided as its voxels' darkness changed.
    """
    readout = load_readout()
    images = half_resolution(np.stack([query, hit]), grid)
    seen = _volume_map(readout, images, dict(zip(REGIONS, factors, strict=False)))
    by_amount, by_place = np.split(factors[len(REGIONS) :], 2)
    sums = dark_sums(readout, images)
    amount = np.subtract(*amounts(readout, sums)) / readout.dark_spread
    moved = np.subtract(*_darkness(readout, images))
    dark = _divide(readout, moved, by_amount * amount)
    # A share can change where nothing moves, because the whole did.
    dark += _divide(readout, np.abs(moved), by_place * np.subtract(*places(sums)))
    seen.ravel()[readout.brain] += dark
    edge = HALF_GRID.resolution_mm // grid.resolution_mm
    fine = seen.repeat(edge, 0).repeat(edge, 1).repeat(edge, 2) / edge**3
    return np.asarray(fine, np.float32)


def _divide(readout: Readout, parts: Numbers, by_parcel: NDArray[np.floating]) -> Numbers:
    """Divide what each parcel contributes among its voxels as their parts, or evenly."""
    sums = np.bincount(readout.parcel, parts, len(PARCELS))
    uneven = np.abs(sums) > 1e-6
    parts = np.where(uneven[readout.parcel], parts, 1)
    sums = np.where(uneven, sums, np.bincount(readout.parcel, minlength=len(PARCELS)))
    return np.asarray((by_parcel / sums)[readout.parcel] * parts, np.float32)


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
