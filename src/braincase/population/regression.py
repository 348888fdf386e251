"""Linear regression of many values on age and sex: what is normal in controls, and z-scores.

Age enters as a linear spline: brains shrink faster in old age, and one straight line through adults
of all ages calls the oldest ill. A z-score is (value - predicted) / standard error of a new
observation, turned into a standard normal one: of few controls it follows Student's distribution.

References
----------
Fjell, A. M. et al. (2013). Critical ages in the life course of the adult brain: nonlinear
subcortical aging. Neurobiology of Aging 34(10), 2239-2247.
Wallace, D. L. (1959). Bounds on normal approximations to Student's and the chi-square
distributions. Annals of Mathematical Statistics 30(4), 1121-1130.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from braincase.errors import UsageError
from braincase.labels import Value, age_and_sex
from braincase.population.cache import Arrays

#: Where the line of age has its bend, in years, if so many controls are on each side of it.
BEND, FEWEST_BESIDE = 65.0, 10
#: Terms: 1, age in decades from 70, decades beyond `BEND`, and +0.5 for M or -0.5 for F.
N_TERMS = 4
_BEYOND = 2
#: What is normal is told for ages up to so many years outside those of the controls.
AGE_MARGIN = 3.0
#: Values that vary less than this part of the most variable one are background.
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
        Pseudo-inverse of X'X, shape (N_TERMS, N_TERMS).
    people
        How many controls.
    freedom
        Degrees of freedom of the deviation: controls less the terms that they determine.
    ages
        Of the youngest and of the oldest control.
    sexes
        Of the controls: of the other sex nothing is known.
    """

    coefficients: NDArray[np.float64]
    deviation: NDArray[np.float64]
    covariance: NDArray[np.float64]
    people: int
    freedom: int
    ages: tuple[float, float]
    sexes: tuple[str, ...]

    def covers(self, age: float, sex: str) -> bool:
        """Say whether controls of that sex and of about that age were seen."""
        youngest, oldest = self.ages
        return sex in self.sexes and youngest - AGE_MARGIN <= age <= oldest + AGE_MARGIN

    def z(self, values: NDArray[np.floating], terms: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the z-scores of one person's values, shape (n_values,); 0 in the background."""
        floor = _LEAST_SPREAD * float(self.deviation.max(initial=0.0))
        varying = self.deviation > floor
        error = np.where(varying, self.deviation, 1.0) * np.sqrt(
            1 + terms @ self.covariance @ terms
        )
        t = np.where(varying, (values - terms @ self.coefficients) / error, 0.0)
        return normal_of_student(t, self.freedom)


def normal_of_student(t: NDArray[np.float64], freedom: int) -> NDArray[np.float64]:
    """Return the standard normal quantile of Student's t, right to 0.01 (Wallace 1959)."""
    shape = (8 * freedom + 1) / (8 * freedom + 3)
    size = shape * np.sqrt(freedom * np.log1p(t**2 / freedom))
    return np.asarray(np.copysign(size, t), np.float64)


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
    beyond = max(age - BEND, 0.0) / 10
    return np.array([1.0, (age - 70) / 10, beyond, 0.5 if sex == "M" else -0.5])


def terms_of_labels(labels: Mapping[str, Value]) -> NDArray[np.float64]:
    """Return the regression's terms for labels in which age and sex are known."""
    known = age_and_sex(labels)
    if known is None:
        raise UsageError("labels", "no age and sex", "both")
    return terms_of(*known)


class Sums:
    """Sufficient statistics of a regression, taken one person at a time."""

    def __init__(self, n_values: int) -> None:
        self.people: list[tuple[float, str]] = []
        self.first: NDArray[np.float64] | None = None
        self.moments = np.zeros((N_TERMS, n_values))
        self.squares = np.zeros(n_values)

    def take(self, values: NDArray[np.floating], age: float, sex: str) -> None:
        """Take one person's values, shape (n_values,)."""
        if self.first is None:  # differences from one person keep the sums of squares small
            self.first = values.astype(np.float64)
        change = values - self.first
        self.moments += terms_of(age, sex)[:, None] * change
        self.squares += change**2
        self.people.append((age, sex))

    def regression(self) -> Regression:
        """Return the regression of all values that were taken."""
        assert self.first is not None
        ages, sexes = zip(*self.people, strict=True)
        design = np.stack([terms_of(*person) for person in self.people])
        older = int((np.array(ages) > BEND).sum())
        if min(older, len(ages) - older) < FEWEST_BESIDE:
            design[:, _BEYOND] = self.moments[_BEYOND] = 0.0  # the line stays straight
        # Where controls do not determine all terms (all of one sex) the smallest solution is
        # right for people like them; others are refused by `Regression.covers`.
        covariance = np.asarray(np.linalg.pinv(design.T @ design, hermitian=True), np.float64)
        freedom = len(design) - int(np.linalg.matrix_rank(design))
        coefficients = covariance @ self.moments
        residual = self.squares - (coefficients * self.moments).sum(axis=0)
        deviation = np.sqrt(np.maximum(residual, 0) / freedom)
        coefficients[0] += self.first
        return Regression(
            coefficients, deviation, covariance, len(design), freedom,
            (min(ages), max(ages)), tuple(sorted(set(sexes))),
        )  # fmt: skip


def fit_regression(people: Sequence[tuple[float, str]], values: NDArray[np.float64]) -> Regression:
    """Fit linear regressions of many values on age and sex.

    Parameters
    ----------
    people
        Age and sex of each, more than `N_TERMS` people.
    values
        Shape (people, n_values).
    """
    sums = Sums(values.shape[1])
    for row, (age, sex) in zip(values, people, strict=True):
        sums.take(row, age, sex)
    return sums.regression()


def regression_arrays(regression: Regression) -> Arrays:
    """Return regressions as plain arrays, from which `regression_of_arrays` makes them again."""
    names = ("coefficients", "deviation", "covariance", "people", "freedom", "ages", "sexes")
    return {name: np.asarray(getattr(regression, name)) for name in names}


def regression_of_arrays(arrays: Arrays, prefix: str = "") -> Regression:
    """Return the regressions that `regression_arrays` wrote down, under names with a prefix."""
    youngest, oldest = map(float, arrays[f"{prefix}ages"])
    return Regression(
        np.asarray(arrays[f"{prefix}coefficients"], np.float64),
        np.asarray(arrays[f"{prefix}deviation"], np.float64),
        np.asarray(arrays[f"{prefix}covariance"], np.float64),
        int(arrays[f"{prefix}people"]),
        int(arrays[f"{prefix}freedom"]),
        (youngest, oldest),
        tuple(arrays[f"{prefix}sexes"].tolist()),
    )
