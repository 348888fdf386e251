"""Normative model of a cohort's controls: z-scores for age and sex, by voxel and by region.

For every voxel and every atlas region a linear regression on age and sex is fitted to smoothed
standard volumes of controls, one scan a person, in one pass that holds one volume at a time. A
person's deviation is z = (value - predicted) / standard error of a new observation, so that z
follows about a standard normal distribution in controls.

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

from braincase.errors import CohortError, UnknownAgeError, UsageError
from braincase.images.atlas import label_volume
from braincase.images.geometry import Grid, grid_of_resolution
from braincase.population.cache import Arrays
from braincase.population.spread import smoothed

#: Fewer controls than this leave the spread unknown.
FEWEST_CONTROLS = 20
#: Terms of the regression: 1, age in decades from 70, and +0.5 for M or -0.5 for F.
N_TERMS = 3
#: What is normal is told for ages up to so many years outside those of the controls.
AGE_MARGIN = 3.0
#: |z| up to this is called normal; 1 control in 20 is beyond.
NORMAL_Z = 1.96
#: Voxels that vary less than this part of the most variable one are background.
_LEAST_SPREAD = 0.02


@dataclass(frozen=True, eq=False)
class Regression:
    """Linear regressions of many values on age and sex.

    Parameters
    ----------
    coefficients
        Shape (N_TERMS, n_values).
    deviation
        Residual standard deviation, shape (n_values,).
    covariance
        Inverse of X'X, shape (N_TERMS, N_TERMS).
    people
        How many controls.
    """

    coefficients: NDArray[np.float64]
    deviation: NDArray[np.float64]
    covariance: NDArray[np.float64]
    people: int

    def z(self, values: NDArray[np.floating], terms: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the deviation of one person's values, shape (n_values,); 0 in the background."""
        floor = _LEAST_SPREAD * float(self.deviation.max(initial=0.0))
        varying = self.deviation > floor
        error = np.where(varying, self.deviation, 1.0) * np.sqrt(
            1 + terms @ self.covariance @ terms
        )
        return np.where(varying, (values - terms @ self.coefficients) / error, 0.0)


@dataclass(frozen=True, eq=False)
class Normative:
    """Normative model: one regression of all voxels, one of all regions, on one grid.

    `ages` are those of the youngest and of the oldest control.
    """

    voxels: Regression
    regions: Regression
    names: tuple[str, ...]
    grid: Grid
    ages: tuple[float, float]

    def covers(self, age: float) -> bool:
        """Say whether controls of about that age were seen; a straight line says nothing beyond."""
        return covers_age(self.ages, age)

    def refuse_other_ages(self, age: float) -> None:
        """Raise where nothing is known of an age.

        Raises
        ------
        UnknownAgeError
            If it lies outside the ages of the controls.
        """
        if not self.covers(age):
            youngest, oldest = self.ages
            expected = f"{youngest:.0f} to {oldest:.0f}, the ages of this gallery's controls"
            raise UnknownAgeError("age", f"{age:g}", expected, "What is normal is not known here.")


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
    volumes: Iterable[NDArray[np.uint8]],
    ages: Sequence[float],
    sexes: Sequence[str],
    grid: Grid,
) -> Normative:
    """Fit the normative model to controls, one volume in memory at a time.

    Parameters
    ----------
    volumes
        Standard volumes of shape `grid.shape`, one a person.
    ages, sexes
        Years, and ``F`` or ``M``, in the same order.
    grid
        Their grid.

    Raises
    ------
    CohortError
        If there are fewer than `FEWEST_CONTROLS`.
    """
    design = np.stack([terms_of(age, sex) for age, sex in zip(ages, sexes, strict=True)])
    if len(design) < FEWEST_CONTROLS:
        raise CohortError(
            "controls", f"{len(design)}", f"{FEWEST_CONTROLS} or more with age and sex"
        )
    _, names = label_volume(grid)
    voxel_sums, region_sums = _Sums(grid.size), _Sums(len(names))
    for volume, terms in zip(volumes, design, strict=True):
        blurred = smoothed(volume, grid).ravel()
        voxel_sums.take(blurred, terms)
        region_sums.take(_region_means(blurred, grid, len(names)), terms)
    regressions = voxel_sums.regression(design), region_sums.regression(design)
    return Normative(*regressions, names, grid, (min(ages), max(ages)))


def deviation_of(model: Normative, volume: NDArray[np.uint8], age: float, sex: str) -> Deviation:
    """Compute the z-scores of a person's volume for that age and sex.

    Raises
    ------
    UnknownAgeError
        If no control is of about that age.
    """
    model.refuse_other_ages(age)
    terms = terms_of(age, sex)
    blurred = smoothed(volume, model.grid).ravel()
    means = _region_means(blurred, model.grid, len(model.names))
    z_map = model.voxels.z(blurred, terms).reshape(model.grid.shape)
    by_region = dict(zip(model.names, model.regions.z(means, terms).tolist(), strict=True))
    return Deviation(z_map.astype(np.float32), by_region)


def terms_of(age: float, sex: str) -> NDArray[np.float64]:
    """Return the regression's terms for one person, shape (N_TERMS,).

    Raises
    ------
    UsageError
        If the age is no number of years or the sex neither ``F`` nor ``M``.
    """
    if not 0 <= age <= 130:
        raise UsageError("age", f"{age}", "years")
    if sex not in ("F", "M"):
        raise UsageError("sex", f"'{sex}'", "F or M")
    return np.array([1.0, (age - 70) / 10, 0.5 if sex == "M" else -0.5])


def covers_age(ages: tuple[float, float], age: float) -> bool:
    """Say whether an age is about one of the controls', from the youngest's to the oldest's."""
    youngest, oldest = ages
    return youngest - AGE_MARGIN <= age <= oldest + AGE_MARGIN


def fit_regression(design: NDArray[np.float64], values: NDArray[np.float64]) -> Regression:
    """Fit linear regressions of many values on age and sex.

    Parameters
    ----------
    design
        `terms_of` each person, shape (people, N_TERMS).
    values
        Shape (people, n_values).
    """
    sums = _Sums(values.shape[1])
    for person, terms in zip(values, design, strict=True):
        sums.take(person, terms)
    return sums.regression(design)


def regression_arrays(regression: Regression) -> Arrays:
    """Return regressions as plain arrays, from which `regression_of_arrays` makes them again."""
    names = ("coefficients", "deviation", "covariance", "people")
    return {name: np.asarray(getattr(regression, name)) for name in names}


def regression_of_arrays(arrays: Arrays, prefix: str = "") -> Regression:
    """Return the regressions that `regression_arrays` wrote down, under names with a prefix."""
    return Regression(
        np.asarray(arrays[f"{prefix}coefficients"], np.float64),
        np.asarray(arrays[f"{prefix}deviation"], np.float64),
        np.asarray(arrays[f"{prefix}covariance"], np.float64),
        int(arrays[f"{prefix}people"]),
    )


def normative_arrays(model: Normative) -> Arrays:
    """Return a model as plain arrays, from which `normative_of_arrays` makes it again."""
    arrays = {
        f"{part}_{name}": values
        for part, regression in (("voxels", model.voxels), ("regions", model.regions))
        for name, values in regression_arrays(regression).items()
    }
    resolution = np.asarray(model.grid.resolution_mm)
    names, ages = np.array(model.names), np.array(model.ages)
    return {"names": names, "resolution_mm": resolution, "ages": ages, **arrays}


def normative_of_arrays(arrays: Arrays) -> Normative:
    """Return the model that `normative_arrays` wrote down."""
    voxels, regions = (regression_of_arrays(arrays, f"{part}_") for part in ("voxels", "regions"))
    grid = grid_of_resolution(int(arrays["resolution_mm"]))
    youngest, oldest = map(float, arrays["ages"])
    return Normative(voxels, regions, tuple(arrays["names"].tolist()), grid, (youngest, oldest))


class _Sums:
    """Sufficient statistics of a regression, taken one person at a time."""

    def __init__(self, n_values: int) -> None:
        self.first: NDArray[np.float64] | None = None
        self.moments = np.zeros((N_TERMS, n_values))
        self.squares = np.zeros(n_values)

    def take(self, values: NDArray[np.floating], terms: NDArray[np.float64]) -> None:
        if self.first is None:  # differences from one person keep the sums of squares small
            self.first = values.astype(np.float64)
        change = values - self.first
        self.moments += terms[:, None] * change
        self.squares += change**2

    def regression(self, design: NDArray[np.float64]) -> Regression:
        covariance = np.asarray(np.linalg.pinv(design.T @ design), dtype=np.float64)
        coefficients = covariance @ self.moments
        residual = self.squares - (coefficients * self.moments).sum(axis=0)
        deviation = np.sqrt(np.maximum(residual, 0) / (len(design) - N_TERMS))
        assert self.first is not None
        coefficients[0] += self.first
        return Regression(coefficients, deviation, covariance, len(design))


def region_means(volume: NDArray[np.uint8], grid: Grid, n_regions: int) -> NDArray[np.float64]:
    """Return the mean grey level of each atlas region of a smoothed standard volume."""
    return _region_means(smoothed(volume, grid).ravel(), grid, n_regions)


def _region_means(values: NDArray[np.float32], grid: Grid, n_regions: int) -> NDArray[np.float64]:
    labels, _ = label_volume(grid)
    inside = labels.ravel() >= 0
    places = labels.ravel()[inside]
    counts = np.bincount(places, minlength=n_regions)
    return np.bincount(places, values[inside], minlength=n_regions) / np.maximum(counts, 1)
