"""Rank the gallery for each query, own subject left out, and score the order (precision, AP)."""

from __future__ import annotations

from collections.abc import Sequence, Sized
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.spatial.distance import cdist

from braincase.errors import UsageError

#: Gallery row that stands where a query has no further case.
NO_CASE = -1


@dataclass(frozen=True)
class RankingScores:
    """Retrieval scores: one value a query in every array, so that people can be resampled.

    Parameters
    ----------
    top1
        1 where the nearest case has the query's label.
    precision_at_k
        Share of the k nearest cases with the query's label.
    average_precision
        Mean over all relevant cases of the precision at their rank; 0 without a relevant case.
    nearest
        Label of the nearest case (None where there is no case at all).
    vote
        Most frequent label among the k nearest; among equals the one with the nearest case.
    without_relevant
        True where the gallery holds no relevant case; such a query is a miss in every score.
    """

    top1: NDArray[np.float64]
    precision_at_k: NDArray[np.float64]
    average_precision: NDArray[np.float64]
    nearest: NDArray[np.object_]
    vote: NDArray[np.object_]
    without_relevant: NDArray[np.bool_]


def rank_cases(
    queries: NDArray[np.floating],
    gallery: NDArray[np.floating],
    query_subjects: ArrayLike,
    gallery_subjects: ArrayLike,
) -> NDArray[np.int64]:
    """Order the gallery for each query by Euclidean distance of the codes, own subject left out.

    Parameters
    ----------
    queries, gallery
        Codes, shapes (n, d) and (m, d).
    query_subjects, gallery_subjects
        The person of each, shapes (n,) and (m,).

    Returns
    -------
    NDArray
        Gallery rows, nearest first, shape (n, m); each row is filled up with `NO_CASE`.
    """
    distances = cdist(np.asarray(queries, np.float64), np.asarray(gallery, np.float64))
    return rank_by_distance(distances, query_subjects, gallery_subjects)


def rank_by_distance(
    distances: NDArray[np.floating], query_subjects: ArrayLike, gallery_subjects: ArrayLike
) -> NDArray[np.int64]:
    """Order the gallery for each query by given distances of shape (n, m); see `rank_cases`.

    Among equal distances the lower gallery row comes first.
    """
    own = as_objects(query_subjects)[:, None] == as_objects(gallery_subjects)[None, :]
    if own.shape != distances.shape:
        raise UsageError("distances", f"shape {distances.shape}", f"{own.shape}")
    if not np.isfinite(distances).all():
        raise UsageError("distances", "values that are no number", "finite codes")
    order = np.argsort(np.where(own, np.inf, distances), axis=1, kind="stable")
    place = np.arange(own.shape[1])
    return np.where(place < (~own).sum(axis=1, keepdims=True), order, NO_CASE).astype(np.int64)


def score_ranking(
    order: NDArray[np.int64], query_labels: ArrayLike, gallery_labels: ArrayLike, k: int = 10
) -> RankingScores:
    """Score every query's ranked gallery; a case is relevant when it has the query's label.

    Parameters
    ----------
    order
        Gallery rows, nearest first, shape (n, m), from `rank_cases`.
    query_labels, gallery_labels
        Class of each, shapes (n,) and (m,).
    k
        Number of nearest cases for the precision and the vote. Where fewer than `k` cases are
        left, the missing ones count as misses.

    Raises
    ------
    UsageError
        If `k` is not between 1 and the size of the gallery.
    """
    if not 1 <= k <= order.shape[1]:
        raise UsageError("k", str(k), f"1 to {order.shape[1]}, the size of the gallery")
    # NO_CASE = -1 takes the None at the end.
    labels = np.concatenate([known_labels(gallery_labels), as_objects([None])])[order]
    hits = labels == known_labels(query_labels)[:, None]
    ranks = np.arange(1, order.shape[1] + 1)
    relevant = hits.sum(axis=1)
    precisions = np.cumsum(hits, axis=1) / ranks
    return RankingScores(
        top1=hits[:, 0].astype(np.float64),
        precision_at_k=hits[:, :k].sum(axis=1) / k,
        average_precision=(precisions * hits).sum(axis=1) / np.maximum(relevant, 1),
        nearest=labels[:, 0],
        vote=_votes(labels[:, :k]),
        without_relevant=relevant == 0,
    )


def as_objects(values: ArrayLike | Sequence[str | None]) -> NDArray[np.object_]:
    """Return names, labels or None as an array of Python objects, shape (n,)."""
    return np.asarray(values, dtype=object)


def known_labels(labels: ArrayLike) -> NDArray[np.object_]:
    """Return labels as an array of Python objects, shape (n,).

    Raises
    ------
    UsageError
        If a label is missing (None or NaN): such cases are to be left out first.
    """
    names = as_objects(labels)
    if missing := sum(1 for label in names if label is None or label != label):
        raise UsageError("labels", f"{missing} cases without a label", "a label for every case")
    return names


def check_same_length(a: Sized, b: Sized) -> None:
    """Refuse two columns that do not describe equally many cases, or none.

    Raises
    ------
    UsageError
        If their lengths differ or are 0.
    """
    if len(a) != len(b) or not len(a):
        raise UsageError("metrics", f"{len(a)} and {len(b)} cases", "equally many, at least one")


def _votes(labels: NDArray[np.object_]) -> NDArray[np.object_]:
    votes = np.full(len(labels), None, dtype=object)
    for i, nearest in enumerate(labels):
        names = [name for name in nearest if name is not None]
        if names:  # max keeps the first among equals, which is the one with the nearest case
            votes[i] = max(names, key=names.count)
    return votes
