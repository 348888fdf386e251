"""Paired comparison of contestants: bootstrap over people and training seeds, Holm's correction.

Every contestant's measure is computed on the same resamples of the people who ask, so a difference
of two contestants is a difference resample by resample. A contestant with several training seeds
draws, in each resample, as many of its seeds with replacement.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from braincase.bench.tasks.task import Better
from braincase.evaluate.resampling import RESAMPLES, Floats, Statistic, draw_people
from braincase.evaluate.results import Estimate


@dataclass(frozen=True)
class Resampled:
    """One measure of one contestant, of all people and of every resample; NaN where undefined."""

    value: float
    drawn: Floats

    def estimate(self) -> Estimate:
        """Return the value with its 95 % percentile interval, none where mostly undefined."""
        if np.isnan(self.value) or np.isnan(self.drawn).mean() > 0.5:
            return Estimate(self.value)
        low, high = np.nanquantile(self.drawn, [0.025, 0.975])
        return Estimate(self.value, float(low), float(high))


@dataclass(frozen=True)
class Difference:
    """By how much one contestant is better than another, so that above 0 is always better.

    Parameters
    ----------
    over
        The other one.
    estimate
        The difference with its 95 % interval, in the measure's own unit.
    p
        Two-sided, of the bootstrap.
    p_holm
        The same after Holm's correction for the tasks that the contestant was compared in; None
        for measures by which no task is decided.
    """

    over: str
    estimate: Estimate
    p: float
    p_holm: float | None = None


def resample(runs: Sequence[Statistic], people: NDArray[np.intp], seed: int) -> Resampled:
    """Compute one measure of all runs of a contestant on given resamples.

    Parameters
    ----------
    runs
        The measure of each training seed, as a statistic over the people who ask.
    people
        From `people_of`: shape (1 + resamples, people), everybody in the first row.
    seed
        Equal seeds draw equal runs.
    """
    values = np.stack([np.asarray(statistic(people), np.float64) for statistic in runs])
    n = len(values)
    which = np.random.default_rng((seed, n)).integers(n, size=(n, people.shape[0] - 1))
    drawn = np.take_along_axis(values[:, 1:], which, axis=0).mean(axis=0)
    return Resampled(float(values[:, 0].mean()), drawn)


def people_of(strata: ArrayLike, seed: int, resamples: int = RESAMPLES) -> NDArray[np.intp]:
    """Return everybody, and then resamples of the people within their strata."""
    everybody = np.arange(len(np.asarray(strata)))
    return np.concatenate([everybody[None], draw_people(strata, seed, resamples)])


def best_of(measured: Mapping[str, Resampled], better: Better) -> str | None:
    """Return whose value is best; None of none that is defined."""
    sign = -1 if better == "lower" else 1
    defined = {name: sign * m.value for name, m in measured.items() if not np.isnan(m.value)}
    return max(defined, key=lambda name: defined[name]) if defined else None


def difference(a: Resampled, b: Resampled, over: str, better: Better) -> Difference:
    """Return by how much `a` is better than `b`, called `over`, on the same people."""
    sign = -1 if better == "lower" else 1
    apart = Resampled(sign * (a.value - b.value), sign * (a.drawn - b.drawn))
    return Difference(over, apart.estimate(), two_sided_p(apart.drawn))


def two_sided_p(drawn: Floats) -> float:
    """Return twice the smaller share of resamples on one side of 0, at most 1 and never 0."""
    values = drawn[~np.isnan(drawn)]
    if not len(values):
        return 1.0
    rarer = min((values <= 0).sum(), (values >= 0).sum())
    return float(min(1.0, 2 * (1 + rarer) / (1 + len(values))))


def holm(p_values: Sequence[float]) -> list[float]:
    """Return p-values corrected for their number (Holm 1979, step-down Bonferroni)."""
    p = np.asarray(p_values, np.float64)
    order = np.argsort(p, kind="stable")
    stepped = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1)) if len(p) else p
    corrected = np.empty_like(p)
    corrected[order] = np.minimum(stepped, 1.0)
    return [float(value) for value in corrected]
