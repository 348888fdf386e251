"""Metrics of the paper's protocol: K-means, clustering accuracy, MSE, bootstrap over people.

Pure functions of arrays. The scores of the honest protocol, over all resamples at once, are in
`braincase.evaluate.resampling`; ranking is in `braincase.evaluate.ranking`.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import linear_sum_assignment
from sklearn.cluster import KMeans
from sklearn.exceptions import ConvergenceWarning

from braincase.errors import UsageError
from braincase.evaluate.ranking import as_objects, check_same_length, known_labels

Floats = NDArray[np.float64]


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


def kmeans_clusters(
    codes: NDArray[np.floating], n_clusters: int, seed: int, n_init: int = 10
) -> NDArray[np.intp]:
    """Cluster codes of shape (n, d) with K-means, the best of `n_init` starts; shape (n,)."""
    kmeans = KMeans(n_clusters, n_init=n_init, random_state=seed)
    with warnings.catch_warnings():
        # A collapsed code has fewer distinct points than clusters: a bad score, not a defect.
        warnings.simplefilter("ignore", ConvergenceWarning)
        return np.asarray(kmeans.fit_predict(np.asarray(codes, np.float64)))


def mean_squared_errors(a: NDArray[np.generic], b: NDArray[np.generic], batch: int = 16) -> Floats:
    """Return the mean squared difference of each pair of volumes, shape (n,).

    Parameters
    ----------
    a, b
        Volumes of shape (n, ...), in [0, 1] or as uint8 (then 255 means 1).
    batch
        Volumes that are float at one time.
    """
    check_same_length(a, b)
    slices = [slice(start, start + batch) for start in range(0, len(a), batch)]
    errors = [_squared_error(_unit(a[rows]), _unit(b[rows])) for rows in slices]
    return np.concatenate(errors)


def bootstrap_interval(
    statistic: Callable[[NDArray[np.int64]], float],
    subjects: ArrayLike,
    seed: int,
    n_resamples: int = 1000,
    confidence: float = 0.95,
) -> tuple[float, float]:
    """Return the percentile bootstrap interval of a statistic, resampling people and not scans.

    Parameters
    ----------
    statistic
        From row numbers to a number; a resample in which it is NaN is left out.
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
    values = np.array([statistic(rows) for rows in _resamples(subjects, seed, n_resamples)])
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


def _squared_error(a: NDArray[np.float32], b: NDArray[np.float32]) -> Floats:
    if a.shape != b.shape:
        raise UsageError("volumes", f"shape {b.shape}", f"{a.shape}")
    difference = (a - b).reshape(len(a), -1)
    return np.asarray(np.mean(difference**2, axis=1, dtype=np.float64))


def _unit(volumes: NDArray[np.generic]) -> NDArray[np.float32]:
    scale = 255 if volumes.dtype == np.uint8 else 1
    return np.asarray(volumes, np.float32) / np.float32(scale)
