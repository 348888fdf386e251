"""Make the weights of the local code from simulated cohorts, and say how well it reads volumes.

Every cohort (``braincase simulate FOLDER --size bench --seed N``) but the last teaches; the last is
of other people, and measures. Each is mirrored, too, so left and right have the same weights.

    python benchmarks/readout.py TAUGHT... OTHERS src/braincase/volumetry/readout.npz
    python benchmarks/readout.py OTHERS        # measures the weights that ship
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import binary_dilation, distance_transform_edt
from sklearn.linear_model import Ridge

from braincase.cohort.cohort import Cohort, open_cohort
from braincase.images.atlas import N_CELLS, cell_of_voxels, load_regions, side_of
from braincase.images.geometry import HALF_GRID, mean_of_blocks
from braincase.simulate.truth import read_truth, volume_column
from braincase.volumetry.code_layout import LAYOUT
from braincase.volumetry.readout import (
    ONE_SIDE,
    PARCELS,
    REACH_MM,
    REGIONS,
    Numbers,
    Readout,
    amounts,
    dark_sums,
    half_resolution,
    load_readout,
    region_sums,
    volumes_mm3,
)
from braincase.volumetry.regions import (
    MIDLINE,
    SIDED,
    label_shares,
    mirrored_name,
    symmetric_label,
)

#: Tried on a fifth of the people: the ridge as a multiple of the mean variance times the scans.
RIDGES = (0.003, 0.01, 0.03, 0.1, 0.3)
#: A voxel is a region's own from this part of its largest share of a voxel on.
CORE = 0.25
#: And has a parcel where any region fills so much of it; all others go to the nearest one.
FILLED = 0.2
#: Mean intensity (of 1) and share of the people in which a voxel is brain.
BRAIN, MOSTLY = 0.05, 0.5


def main(taught: list[Path], others: Path, out: Path) -> None:
    cohorts = [open_cohort(path) for path in taught]
    images = np.concatenate([images_of(cohort) for cohort in cohorts])
    volumes = np.concatenate([true_volumes(cohort) for cohort in cohorts])
    people = np.concatenate([people_of(c, i) for i, c in enumerate(cohorts)])
    np.savez_compressed(out, **fit(images, volumes, people))
    load_readout.cache_clear()
    np.savez_compressed(out.with_name(LAYOUT), **layout())
    check(open_cohort(others))


def images_of(cohort: Cohort) -> Numbers:
    parts = np.array_split(np.arange(len(cohort)), 20)
    return np.concatenate([half_resolution(cohort.volumes[p], cohort.grid) for p in parts])


def true_volumes(cohort: Cohort) -> NDArray[np.float64]:
    """Return the logarithm of the true volumes, shape (scans, len(REGIONS))."""
    table = read_truth(cohort)
    return np.log(np.stack([table[volume_column(name)] for name in REGIONS], axis=1).astype(float))


def people_of(cohort: Cohort, number: int) -> NDArray[np.str_]:
    return np.array([f"{number} {subject}" for subject in cohort.column("subject")])


def fit(images: Numbers, volumes: NDArray[np.float64], people: NDArray[np.str_]) -> dict:
    both = np.concatenate([images, images[:, ::-1]])
    other_side = [REGIONS.index(mirrored_name(name)) for name in REGIONS]
    volumes = np.concatenate([volumes, volumes[:, other_side]])
    target = (volumes - volumes.mean(axis=0)) / volumes.std(axis=0)
    apart = np.unique(np.tile(people, 2), return_inverse=True)[1] % 5 == 0
    flat = both.reshape(len(both), -1)
    found = [fit_region(flat, target[:, REGIONS.index(n)], n, apart) for n in ONE_SIDE]
    linear = {
        "voxels": np.concatenate([voxels for voxels, _, _ in found]).astype(np.int32),
        "weights": np.concatenate([weights for _, weights, _ in found]).astype(np.float16),
        "region": np.repeat(np.arange(len(found)), [len(v) for v, _, _ in found]).astype(np.uint8),
        "offset": np.array([offset for _, _, offset in found], np.float32),
    }
    scale = fit_scale(readout_of(linear), both, volumes)
    return {**linear, **scale, **fit_dark(both)}


def readout_of(values: dict) -> Readout:
    """Return a read-out of which only some parts are known."""
    nothing = {field.name: np.zeros(0, np.float32) for field in fields(Readout)}
    places = ("voxels", "region", "brain", "parcel")
    typed = {n: v.astype(np.int64 if n in places else np.float32) for n, v in values.items()}
    return Readout(**nothing | typed)


def fit_region(
    flat: Numbers, target: NDArray[np.float64], name: str, apart: NDArray[np.bool_]
) -> tuple[NDArray[np.intp], Numbers, float]:
    """Return voxels, weights and offset of one region; the result has a spread of one."""
    core = share_at_4mm(name)
    core_voxels = core >= CORE * core.max()
    near = binary_dilation(core_voxels, iterations=REACH_MM // HALF_GRID.resolution_mm)
    voxels = np.flatnonzero(near)
    seen = flat[:, voxels]
    mean = seen.mean(axis=0)
    seen = seen - mean
    unit = float(seen.var(axis=0).mean()) * len(seen)

    def ridge(strength: float, rows: NDArray[np.bool_] | slice) -> Numbers:
        model = Ridge(strength * unit, fit_intercept=False, solver="sparse_cg", tol=1e-4)
        return np.asarray(model.fit(seen[rows], target[rows]).coef_, np.float32)

    errors = {
        s: float(((seen[apart] @ ridge(s, ~apart) - target[apart]) ** 2).mean()) for s in RIDGES
    }
    best = min(errors, key=errors.__getitem__)
    weights = ridge(best, slice(None))
    weights /= (seen @ weights).std()
    print(f"{name}: {len(voxels)} voxels, ridge {best}, r2 {1 - errors[best]:.3f}", flush=True)
    return voxels, weights, -float(mean @ weights)


def fit_scale(readout: Readout, images: Numbers, volumes: NDArray[np.float64]) -> dict:
    """Regress true log volumes on the readings of the same images, mirrored ones among them."""
    readings = region_sums(readout, images).astype(np.float64)
    centre, mean = readings.mean(axis=0), volumes.mean(axis=0)
    slope = ((readings - centre) * (volumes - mean)).mean(axis=0) / readings.var(axis=0)
    scale = {"log_mean": mean - slope * centre, "log_slope": slope}
    return {name: value.astype(np.float32) for name, value in scale.items()}


def fit_dark(images: Numbers) -> dict:
    mean, spread = images.mean(axis=0), images.std(axis=0)
    brain = np.flatnonzero((images > BRAIN).mean(axis=0) > MOSTLY)
    parcel = parcels().ravel()[brain]
    values = {
        "brain": brain.astype(np.int32),
        "mean": mean.ravel()[brain].astype(np.float16),
        "spread": spread.ravel()[brain].astype(np.float16),
        "parcel": parcel.astype(np.uint8),
    }
    readout = readout_of(values)
    dark = amounts(readout, dark_sums(readout, images))
    return values | {"dark_mean": dark.mean(axis=0), "dark_spread": dark.std(axis=0)}


def parcels() -> NDArray[np.intp]:
    """Return the number in `PARCELS` of the nearest region of each voxel of a 4 mm image."""
    shares = np.stack([share_at_4mm(name) for name in PARCELS])
    filled = shares.max(axis=0) > FILLED
    nearest = distance_transform_edt(~filled, return_distances=False, return_indices=True)
    return shares.argmax(axis=0)[tuple(nearest)]


def share_at_4mm(name: str) -> Numbers:
    return mean_of_blocks(symmetric_label(name), 2)


def layout() -> dict:
    """Return which part of each local number lies in each region of the atlas and in each cell."""
    atlas = load_regions()
    by_parcel = dict(zip(PARCELS, cells_of_parcels(), strict=True))
    # The cerebral white matter is in no parcel of its own: it lies where all of them do.
    everywhere = np.mean(list(by_parcel.values()), axis=0)
    numbers = (*REGIONS, *PARCELS)
    return {
        "names": list(atlas.names),
        "shares": np.stack([atlas_shares(name, atlas.names) for name in numbers]).astype("f4"),
        "cells": np.stack([by_parcel.get(name, everywhere) for name in numbers]).astype("f4"),
    }


def atlas_shares(region: str, names: tuple[str, ...]) -> NDArray[np.float64]:
    """Divide a region among the labels of the atlas that it joins, by their volume."""
    side, plain = side_of(region)
    members = [f"{side}-{m}" if side else m for m in SIDED.get(plain) or MIDLINE[plain]]
    parts = np.zeros(len(names))
    for member in set(members) & set(names):
        parts[names.index(member)] = label_shares()[member].sum()
    return parts / parts.sum()


def cells_of_parcels() -> NDArray[np.float64]:
    """Return which part of each parcel lies in each cell, shape (parcels, n_cells)."""
    readout = load_readout()
    brain = np.zeros(HALF_GRID.size, np.bool_)
    brain[readout.brain] = True
    cells = cell_of_voxels(brain.reshape(HALF_GRID.shape), HALF_GRID.affine)
    counts = np.bincount(readout.parcel * N_CELLS + cells, minlength=len(PARCELS) * N_CELLS)
    table = counts.reshape(len(PARCELS), N_CELLS).astype(np.float64)
    return table / table.sum(axis=1, keepdims=True)


def check(cohort: Cohort) -> None:
    readings = region_sums(load_readout(), images_of(cohort))
    tell_repeats(cohort, np.log(volumes_mm3(readings)))
    truth = true_volumes(cohort)
    for name, r in zip(REGIONS, correlations(readings, truth), strict=True):
        print(f"{name}: r {r:.3f} with the true volume of others")
    print(f"mean r {np.mean(list(correlations(readings, truth))):.3f}")
    errors = np.abs(np.log(volumes_mm3(readings)) - truth)
    print(f"median error {100 * np.median(errors):.1f} % of a volume")


def tell_repeats(cohort: Cohort, logs: NDArray[np.float64]) -> None:
    """Print how far volumes of two scans of one day on one scanner differ."""
    table = cohort.table
    people, scanners, designs = (table[n].to_numpy(str) for n in ("subject", "scanner", "design"))
    again = np.flatnonzero(designs == "repeat")
    first = [
        np.flatnonzero((people == people[i]) & (scanners == scanners[i]) & (designs != "repeat"))[0]
        for i in again
    ]
    percent = 100 * np.sqrt(((logs[again] - logs[first]) ** 2).mean(axis=0))
    for name, value in zip(REGIONS, percent, strict=True):
        print(f"{name}: {value:.1f} % between two scans, root mean square of {len(again)} people")


def correlations(a: NDArray[np.floating], b: NDArray[np.floating]) -> Iterator[float]:
    return (float(np.corrcoef(x, y)[0, 1]) for x, y in zip(a.T, b.T, strict=True))


if __name__ == "__main__":
    if len(sys.argv) == 2:
        check(open_cohort(sys.argv[1]))
    else:
        *taught_, others_, out_ = map(Path, sys.argv[1:])
        main(taught_, others_, out_)
