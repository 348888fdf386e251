"""Bootstrap confidence intervals over people, all resamples at once.

Where everybody counts with one row, a resample is as many row numbers as there are people, so a
thousand resamples are one array of shape (1000, people) and every statistic here works along the
last axis. The tests compare each with the same score of scikit-learn or SciPy, one at a time.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import rankdata

from braincase.evaluate.results import Estimate

RESAMPLES = 1000
Floats = NDArray[np.float64]
#: From row numbers of shape (resamples, people) to one value a resample, NaN where undefined.
Statistic = Callable[[NDArray[np.intp]], Floats]


def estimate(
    statistic: Statistic, strata: ArrayLike, seed: int, resamples: int = RESAMPLES
) -> Estimate:
    """Return a statistic of all people with its 95 % percentile interval over people.

    Parameters
    ----------
    statistic
        Works along the last axis of row numbers.
    strata
        One entry a person, shape (people,): people are drawn within their stratum (the fold), and
        keep its columns.
    seed
        Equal seeds draw equal people, so two methods' differences are paired.

    Returns
    -------
    Estimate
        Without interval where the statistic is undefined in most resamples.
    """
    everybody = np.arange(len(np.asarray(strata)))
    value = float(statistic(everybody[None])[0])
    drawn = statistic(draw_people(strata, seed, resamples))
    if np.isnan(value) or np.isnan(drawn).mean() > 0.5:
        return Estimate(value)
    low, high = np.nanquantile(drawn, [0.025, 0.975])
    return Estimate(value, float(low), float(high))


def draw_people(strata: ArrayLike, seed: int, resamples: int = RESAMPLES) -> NDArray[np.intp]:
    """Draw people with replacement within each stratum; shape (resamples, people)."""
    rng = np.random.default_rng(seed)
    stratum = np.asarray(strata)
    drawn = np.empty((resamples, len(stratum)), np.intp)
    for name in np.unique(stratum):
        here = np.flatnonzero(stratum == name)
        drawn[:, here] = rng.choice(here, (resamples, len(here)))
    return drawn


def mean_of(values: Floats) -> Statistic:
    """Return the statistic that averages one value a person."""
    return lambda rows: np.asarray(values[rows].mean(axis=-1))


def ratio_of(sums: Floats, counts: Floats) -> Statistic:
    """Return the statistic that divides the people's summed values by their summed counts."""
    return lambda rows: _divide(sums[rows].sum(axis=-1), counts[rows].sum(axis=-1))


def recalls(y: NDArray[np.intp], named: NDArray[np.intp], classes: ArrayLike) -> Floats:
    """Return the share of each class that was named so; shapes (r, n) to (r, classes)."""
    shares = [
        _divide(((y == c) & (named == c)).sum(axis=-1), (y == c).sum(axis=-1))
        for c in np.asarray(classes)
    ]
    return np.stack(shares, axis=-1)


def macro_f1(y: NDArray[np.intp], named: NDArray[np.intp], classes: ArrayLike) -> Floats:
    """Return the mean F1 over the classes that occur in `y`; shapes (r, n) to (r,)."""
    scores = []
    for c in np.asarray(classes):
        is_c, named_c = y == c, named == c
        right = (is_c & named_c).sum(axis=-1)
        f1 = _divide(2 * right, is_c.sum(axis=-1) + named_c.sum(axis=-1))
        scores.append(np.where(is_c.any(axis=-1), f1, np.nan))
    return _mean_defined(np.stack(scores, axis=-1))


def auc(scores: NDArray[np.floating], positive: NDArray[np.bool_]) -> Floats:
    """Return the chance that a positive scores above a negative; shapes (r, n) to (r,)."""
    n_positive = positive.sum(axis=-1)
    ranks = np.where(positive, rankdata(scores, axis=-1), 0).sum(axis=-1)
    above = ranks - n_positive * (n_positive + 1) / 2
    return _divide(above, n_positive * (positive.shape[-1] - n_positive))


def one_vs_rest_auc(evidence: NDArray[np.float32], y: NDArray[np.intp]) -> Statistic:
    """Return the statistic: mean over the classes of the AUC of one against the rest.

    Parameters
    ----------
    evidence
        Shape (people, classes); a class stands against the best of the others.
    y
        Class of each person, shape (people,).
    """
    n = evidence.shape[1]
    # With two classes both directions are the same number.
    classes = range(n) if n > 2 else [1]
    margins = {c: evidence[:, c] - np.delete(evidence, c, axis=1).max(axis=1) for c in classes}
    return lambda rows: np.asarray(
        np.mean([auc(margin[rows], y[rows] == c) for c, margin in margins.items()], axis=0)
    )


def spearman(a: NDArray[np.floating], b: NDArray[np.floating]) -> Floats:
    """Return Spearman's rank correlation, 0 where one is constant; shapes (r, n) to (r,)."""
    first, second = (rankdata(part, axis=-1) for part in (a, b))
    first = first - first.mean(axis=-1, keepdims=True)
    second = second - second.mean(axis=-1, keepdims=True)
    size = np.sqrt((first**2).sum(axis=-1) * (second**2).sum(axis=-1))
    return np.asarray(np.nan_to_num(_divide((first * second).sum(axis=-1), size)))


def _divide(above: ArrayLike, below: ArrayLike) -> Floats:
    top, bottom = np.asarray(above, np.float64), np.asarray(below, np.float64)
    unknown = np.full(top.shape, np.nan)
    return np.asarray(np.divide(top, bottom, out=unknown, where=bottom > 0))


def _mean_defined(values: Floats) -> Floats:
    """Average along the last axis what is not NaN."""
    defined = ~np.isnan(values)
    return _divide(np.where(defined, values, 0).sum(axis=-1), defined.sum(axis=-1))


def mean_over_folds(
    of_fold: Callable[[NDArray[np.intp]], Floats], rows: NDArray[np.intp], fold: NDArray[np.intp]
) -> Floats:
    """Average a statistic of each fold's columns; `rows` were drawn with the folds as strata."""
    values = [of_fold(rows[..., fold == number]) for number in np.unique(fold)]
    return _mean_defined(np.stack(values, axis=-1))
