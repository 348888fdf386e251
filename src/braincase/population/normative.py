"""Normative model of a cohort's controls: z-scores for age and sex, by voxel and by region.

For every voxel and every atlas region a regression on age and sex
(`braincase.population.regression`) is fitted to smoothed standard volumes of controls, one scan a
person, in one pass that holds one volume at a time; z follows about a standard normal distribution
in controls.

References
----------
Marquand, A. F. et al. (2016). Understanding heterogeneity in clinical cohorts using normative
models: beyond case-control studies. Biological Psychiatry 80(7), 552-561.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from braincase.errors import CohortError, NoControlsAlikeError
from braincase.images.atlas import label_volume
from braincase.images.geometry import Grid, grid_of_resolution
from braincase.population.cache import Arrays
from braincase.population.regression import (
    Regression,
    Sums,
    regression_arrays,
    regression_of_arrays,
    terms_of,
)
from braincase.population.spread import smoothed

#: Fewer controls than this leave the spread unknown.
FEWEST_CONTROLS = 20
#: |z| up to this is called normal; 1 control in 20 is beyond.
NORMAL_Z = 1.96


@dataclass(frozen=True, eq=False)
class Normative:
    """Normative model: one regression of all voxels, one of all regions, on one grid."""

    voxels: Regression
    regions: Regression
    names: tuple[str, ...]
    grid: Grid

    def refuse_others(self, age: float, sex: str) -> None:
        """Raise where nothing is known of people of that age or sex.

        Raises
        ------
        NoControlsAlikeError
            If no control is of that sex or of about that age.
        """
        if not self.regions.covers(age, sex):
            (youngest, oldest), sexes = self.regions.ages, " or ".join(self.regions.sexes)
            raise NoControlsAlikeError(
                "age and sex",
                f"{age:g}, {sex}",
                f"{youngest:.0f} to {oldest:.0f} years, {sexes}, as this gallery's controls",
                "What is normal is not known here.",
            )


@dataclass(frozen=True, eq=False)
class Deviation:
    """One person's z map, shape `grid.shape`, and z by region."""

    z_map: NDArray[np.float32]
    by_region: Mapping[str, float]

    def abnormal(self) -> list[tuple[str, float]]:
        """Return the regions beyond the normal range, farthest first."""
        return beyond_normal(self.by_region)


def beyond_normal(by_region: Mapping[str, float]) -> list[tuple[str, float]]:
    """Return the regions whose z is beyond the normal range, farthest first."""
    beyond = [(name, z) for name, z in by_region.items() if abs(z) > NORMAL_Z]
    return sorted(beyond, key=lambda item: -abs(item[1]))


def fit_normative(
    volumes: Iterable[NDArray[np.uint8]], people: Sequence[tuple[float, str]], grid: Grid
) -> Normative:
    """Fit the normative model to controls, one volume in memory at a time.

    Parameters
    ----------
    volumes
        Standard volumes of shape `grid.shape`, one a person.
    people
        Age in years and sex, ``F`` or ``M``, of each, in the same order.
    grid
        Their grid.

    Raises
    ------
    CohortError
        If there are fewer than `FEWEST_CONTROLS`.
    """
    if len(people) < FEWEST_CONTROLS:
        raise CohortError(
            "controls", f"{len(people)}", f"{FEWEST_CONTROLS} or more with age and sex"
        )
    _, names = label_volume(grid)
    voxel_sums, region_sums = Sums(grid.size), Sums(len(names))
    for volume, (age, sex) in zip(volumes, people, strict=True):
        blurred = smoothed(volume, grid).ravel()
        voxel_sums.take(blurred, age, sex)
        region_sums.take(_region_means(blurred, grid, len(names)), age, sex)
    return Normative(voxel_sums.regression(), region_sums.regression(), names, grid)


def deviation_of(model: Normative, volume: NDArray[np.uint8], age: float, sex: str) -> Deviation:
    """Compute the z-scores of a person's volume for that age and sex.

    Raises
    ------
    NoControlsAlikeError
        If no control is of that sex or of about that age.
    """
    model.refuse_others(age, sex)
    terms = terms_of(age, sex)
    blurred = smoothed(volume, model.grid).ravel()
    means = _region_means(blurred, model.grid, len(model.names))
    z_map = model.voxels.z(blurred, terms).reshape(model.grid.shape)
    by_region = dict(zip(model.names, model.regions.z(means, terms).tolist(), strict=True))
    return Deviation(z_map.astype(np.float32), by_region)


def normative_arrays(model: Normative) -> Arrays:
    """Return a model as plain arrays, from which `normative_of_arrays` makes it again."""
    arrays = {
        f"{part}_{name}": values
        for part, regression in (("voxels", model.voxels), ("regions", model.regions))
        for name, values in regression_arrays(regression).items()
    }
    resolution = np.asarray(model.grid.resolution_mm)
    return {"names": np.array(model.names), "resolution_mm": resolution, **arrays}


def normative_of_arrays(arrays: Arrays) -> Normative:
    """Return the model that `normative_arrays` wrote down."""
    voxels, regions = (regression_of_arrays(arrays, f"{part}_") for part in ("voxels", "regions"))
    grid = grid_of_resolution(int(arrays["resolution_mm"]))
    return Normative(voxels, regions, tuple(arrays["names"].tolist()), grid)


def region_means(volume: NDArray[np.uint8], grid: Grid, n_regions: int) -> NDArray[np.float64]:
    """Return the mean grey level of each atlas region of a smoothed standard volume."""
    return _region_means(smoothed(volume, grid).ravel(), grid, n_regions)


def _region_means(values: NDArray[np.float32], grid: Grid, n_regions: int) -> NDArray[np.float64]:
    labels, _ = label_volume(grid)
    inside = labels.ravel() >= 0
    places = labels.ravel()[inside]
    counts = np.bincount(places, minlength=n_regions)
    return np.bincount(places, values[inside], minlength=n_regions) / np.maximum(counts, 1)
