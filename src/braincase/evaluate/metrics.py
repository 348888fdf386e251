"""Evaluation metrics as pure functions of arrays.

Clustering (the paper's accuracy), reconstruction error, classification scores, order of groups, and
intervals by bootstrap over people. Ranking has its own file, `braincase.evaluate.ranking`.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import linear_sum_assignment
from scipy.stats import rankdata
from sklearn.cluster import KMeans
from sklearn.exceptions import ConvergenceWarning

from braincase.errors import UsageError
from braincase.evaluate.ranking import as_objects, check_same_length, known_labels

Floats = NDArray[np.float64]


class SliceableVolumes(Protocol):
    """Volumes that can be read a slice at a time: an array, or the volumes of a cohort."""

    def __len__(self) -> int:
        """Return the number of volumes."""

    def __getitem__(self, rows: slice, /) -> NDArray[np.generic]:
        """Return some volumes."""


def clustering_accuracy(clusters: ArrayLike, labels: ArrayLike) -> float:
    """Return the share of cases in the right cluster under the best matching to classes.

    Each class is matched to at most one cluster and the other way round (Hungarian method); their
    numbers may differ. Source: Onga 2019, K-means accuracy.

    Parameters
    ----------
    clusters, labels
        Cluster and class of each case, shape (n,).
    """
    cluster_names, cluster = np.unique(as_objects(clusters), return_inverse=True)
    class_names, label = np.unique(known_labels(labels), return_inverse=True)
    check_same_length(cluster, label)
    counts = np.zeros((len(cluster_names), len(class_names)), np.int64)
    np.add.at(counts, (cluster, label), 1)
    return float(counts[linear_sum_assignment(counts, maximize=True)].sum() / len(label))


def kmeans_accuracy(
    codes: NDArray[np.floating], labels: ArrayLike, seed: int, n_init: int = 10
) -> float:
    """Cluster codes with K-means, one cluster a class, and return the clustering accuracy.

    Parameters
    ----------
    codes
        Shape (n, d).
    labels
        Class of each case, shape (n,); at least two classes.
    seed
        Equal seeds give equal clusters.
    n_init
        Number of starts; the one with the least inertia counts.

    Raises
    ------
    UsageError
        If there is one class only.
    """
    n_classes = len(np.unique(known_labels(labels)))
    if n_classes < 2:
        raise UsageError("labels", "one class only", "two classes or more")
    check_same_length(codes, np.asarray(labels))
    return clustering_accuracy(kmeans_clusters(codes, n_classes, seed, n_init), labels)


def kmeans_clusters(
    codes: NDArray[np.floating], n_clusters: int, seed: int, n_init: int = 10
) -> NDArray[np.intp]:
    """Cluster codes of shape (n, d) with K-means, the best of `n_init` starts; shape (n,)."""
    kmeans = KMeans(n_clusters, n_init=n_init, random_state=seed)
    with warnings.catch_warnings():
        # A collapsed code has fewer distinct points than clusters: a bad score, not a defect.
        warnings.simplefilter("ignore", ConvergenceWarning)
        return np.asarray(kmeans.fit_predict(np.asarray(codes, np.float64)))


def mean_squared_errors(a: SliceableVolumes, b: SliceableVolumes, batch: int = 16) -> Floats:
    """Return the mean squared difference of each pair of volumes, shape (n,).

    Parameters
    ----------
    a, b
        Volumes of shape (n, ...), in [0, 1] or as uint8 (then 255 means 1); read `batch` at a time.
    """
    check_same_length(a, b)
    slices = [slice(start, start + batch) for start in range(0, len(a), batch)]
    errors = [_squared_error(_unit(a[rows]), _unit(b[rows])) for rows in slices]
    return np.concatenate(errors) if errors else np.empty(0)


def rmse_percent(a: SliceableVolumes, b: SliceableVolumes, batch: int = 16) -> float:
    """Return the root mean squared error over all voxels, in % of the intensity range [0, 1].

    Source: Onga 2019. Over all voxels of all volumes at once, not the mean of each volume's RMSE.

    Parameters
    ----------
    a, b
        Volumes of shape (n, ...), in [0, 1] or as uint8 (then 255 means 1); read `batch` at a time.
    """
    return float(100 * np.sqrt(mean_squared_errors(a, b, batch).mean()))


def recall_per_class(truth: ArrayLike, predicted: ArrayLike) -> dict[str, float]:
    """Return, for each class of `truth`, the share of its cases that were predicted as such."""
    true, guess = known_labels(truth), as_objects(predicted)
    check_same_length(true, guess)
    return {name: float((guess[true == name] == name).mean()) for name in np.unique(true)}


def macro_f1(truth: ArrayLike, predicted: ArrayLike) -> float:
    """Return the mean F1 over the classes of `truth`; None as a prediction is always wrong.

    Parameters
    ----------
    truth, predicted
        Class of each case, shape (n,).
    """
    true, guess = known_labels(truth), as_objects(predicted)
    check_same_length(true, guess)
    scores = []
    for name in np.unique(true):
        right = np.count_nonzero((true == name) & (guess == name))
        scores.append(
            2 * right / (np.count_nonzero(true == name) + np.count_nonzero(guess == name))
        )
    return float(np.mean(scores))


def roc_auc(scores: ArrayLike, positive: ArrayLike) -> float:
    """Return the chance that a positive case scores above a negative one; equal scores count half.

    Parameters
    ----------
    scores
        Shape (n,).
    positive
        True for positive cases, shape (n,).

    Raises
    ------
    UsageError
        If all cases are positive, or none.
    """
    values, is_positive = np.asarray(scores, np.float64), np.asarray(positive, bool)
    check_same_length(values, is_positive)
    n = np.count_nonzero(is_positive)
    if n in (0, len(is_positive)):
        raise UsageError("labels", "one class only", "positive and negative cases")
    above = rankdata(values)[is_positive].sum() - n * (n + 1) / 2
    return float(above / (n * (len(is_positive) - n)))


def spearman(a: ArrayLike, b: ArrayLike) -> float:
    """Return Spearman's rank correlation, equal values sharing their rank; 0 if one is constant."""
    ranks = np.stack([rankdata(np.asarray(a, np.float64)), rankdata(np.asarray(b, np.float64))])
    ranks -= ranks.mean(axis=1, keepdims=True)
    size = np.sqrt((ranks**2).sum(axis=1).prod())
    return float(ranks[0] @ ranks[1] / size) if size > 0 else 0.0


def bootstrap_interval(
    statistic: ArrayLike | Callable[[NDArray[np.int64]], float],
    subjects: ArrayLike,
    seed: int,
    n_resamples: int = 1000,
    confidence: float = 0.95,
) -> tuple[float, float]:
    """Return the percentile bootstrap interval of a statistic, resampling people and not scans.

    Parameters
    ----------
    statistic
        Either one value a scan, shape (n,), whose mean is wanted; or a function of row numbers
        that returns a number. A resample in which the function raises UsageError (only one class
        was drawn) or returns NaN is left out.
    subjects
        The person of each scan, shape (n,); all scans of a drawn person are drawn.
    seed
        Equal seeds give equal intervals.
    n_resamples
        Number of resamples.
    confidence
        Share of the resamples between the two limits.

    Raises
    ------
    UsageError
        If the statistic is defined in less than half of the resamples.
    """
    of_rows = statistic if callable(statistic) else _mean_of(statistic, subjects)
    values = np.array([_or_nan(of_rows, r) for r in _resamples(subjects, seed, n_resamples)])
    if np.isnan(values).mean() > 0.5:
        raise UsageError("bootstrap", "the statistic is undefined in most resamples", "more people")
    tail = (1 - confidence) / 2
    low, high = np.nanquantile(values, [tail, 1 - tail])
    return float(low), float(high)


def _resamples(subjects: ArrayLike, seed: int, n: int) -> Iterator[NDArray[np.int64]]:
    """Yield the rows of as many people as there are, drawn with replacement."""
    _, person = np.unique(as_objects(subjects).astype(str), return_inverse=True)
    order = np.argsort(person, kind="stable")
    rows = np.split(order, np.flatnonzero(np.diff(person[order])) + 1)
    rng = np.random.default_rng(seed)
    for _ in range(n):
        yield np.concatenate([rows[i] for i in rng.integers(len(rows), size=len(rows))])


def _mean_of(values: ArrayLike, subjects: ArrayLike) -> Callable[[NDArray[np.int64]], float]:
    numbers = np.asarray(values, np.float64)
    check_same_length(numbers, as_objects(subjects))
    return lambda rows: float(numbers[rows].mean())


def _or_nan(statistic: Callable[[NDArray[np.int64]], float], rows: NDArray[np.int64]) -> float:
    try:
        return float(statistic(rows))
    except UsageError:
        return float("nan")


def _squared_error(a: NDArray[np.float32], b: NDArray[np.float32]) -> Floats:
    if a.shape != b.shape:
        raise UsageError("volumes", f"shape {b.shape}", f"{a.shape}")
    difference = (a - b).reshape(len(a), -1)
    return np.asarray(np.mean(difference**2, axis=1, dtype=np.float64))


def _unit(volumes: NDArray[np.generic]) -> NDArray[np.float32]:
    scale = 255 if volumes.dtype == np.uint8 else 1
    return np.asarray(volumes, np.float32) / np.float32(scale)
