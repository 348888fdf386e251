"""Exact nearest neighbours by brute force, at the speed of one pass over the vectors.

The pass computes |x - q|^2 = |x|^2 - 2 x.q + |q|^2 in float32, which is fast and slightly wrong. A
bound on that error (Higham 2002, section 3.1: a dot product of n terms is off by at most
n u / (1 - n u) times the sum of the absolute products) tells which rows could still be among the k
nearest; for these few the distance is computed anew in float64. So the answer is the same as that
of a float64 brute force, whatever the library, thread count or order of summation.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

Rows = NDArray[np.int64]

#: Rows a block; 2,048 x 150 float32 are 1.2 MB and stay in a core's cache.
BLOCK = 2048
#: Rows whose k-th smallest distance is the first bound on that of all.
FIRST_LOOK = 8192
#: Above this share of selected rows a pass over all with a mask is faster than picking them out.
DENSE = 0.4
_UNIT_ROUNDOFF = float(np.finfo(np.float32).eps) / 2


def nearest_rows(
    codes: NDArray[np.float32],
    squares: NDArray[np.float32],
    query: NDArray[np.float32],
    k: int,
    rows: Rows | NDArray[np.bool_] | None = None,
    weights: NDArray[np.float64] | None = None,
) -> tuple[Rows, NDArray[np.float64]]:
    """Return the k rows nearest to `query` and their squared distances, nearest first.

    Equal distances are ordered by row, so the answer is one and the same every time.

    Parameters
    ----------
    codes
        Shape (n, d).
    squares
        The squared length of each code, shape (n,), from `squared_lengths`.
    query
        Shape (d,).
    k
        At most this many rows come back.
    rows
        The rows to search, in increasing order; or a mask of shape (n,), which is faster if it
        leaves many; None for all.
    weights
        Shape (d,), each >= 0: the squared distance is then sum(w * (x - q)^2).

    Returns
    -------
    rows, squared_distances
        Shape (min(k, n),) each.
    """
    mask, picked = _mask_or_rows(rows)
    if mask is not None:
        n = int(np.count_nonzero(mask))
    else:
        n = len(codes if picked is None else picked)
    k = min(k, n)
    if k <= 0:
        return np.empty(0, np.int64), np.empty(0)
    with np.errstate(over="ignore", invalid="ignore"):  # then every row becomes a candidate
        if weights is None:
            rough, longest = _rough_plain(codes, squares, query, picked)
        else:
            rough, longest = _rough_weighted(codes, query, picked, weights)
    if mask is not None:
        rough[~mask] = np.inf
    places = _candidates(rough, k, _error_bound(longest, query, weights))
    if mask is not None:
        places = places[mask[places]]
    candidates = places if picked is None else picked[places]
    exact = squared_distances(codes, query, candidates, weights)
    order = np.lexsort((candidates, exact))[:k]
    return candidates[order], exact[order]


def _mask_or_rows(
    rows: Rows | NDArray[np.bool_] | None,
) -> tuple[NDArray[np.bool_] | None, Rows | None]:
    if rows is None:
        return None, None
    if rows.dtype == bool:
        return rows.astype(bool, copy=False), None
    return None, rows.astype(np.int64, copy=False)


def squared_lengths(codes: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the squared length of each row of `codes`, shape (n,), rounded once."""
    lengths = np.empty(len(codes), np.float32)
    for start in range(0, len(codes), BLOCK):
        block = codes[start : start + BLOCK].astype(np.float64)
        with np.errstate(over="ignore"):
            lengths[start : start + BLOCK] = np.einsum("ij,ij->i", block, block)
    return lengths


def squared_distances(
    codes: NDArray[np.float32],
    query: NDArray[np.float32],
    rows: Rows,
    weights: NDArray[np.float64] | None = None,
) -> NDArray[np.float64]:
    """Return the squared distances of some rows in float64, shape (len(rows),)."""
    exact = np.empty(len(rows))
    centre = query.astype(np.float64)
    for start in range(0, len(rows), BLOCK):
        difference = codes[rows[start : start + BLOCK]] - centre
        difference *= difference
        if weights is not None:
            difference *= weights
        exact[start : start + BLOCK] = difference.sum(axis=1)
    return exact


def _rough_plain(
    codes: NDArray[np.float32],
    squares: NDArray[np.float32],
    query: NDArray[np.float32],
    rows: Rows | None,
) -> tuple[NDArray[np.float32], float]:
    """Return rough squared distances and the longest length of a searched code."""
    if rows is None:
        rough, lengths = codes @ query, squares
    else:
        rough, lengths = np.empty(len(rows), np.float32), squares[rows]
        block = np.empty((BLOCK, codes.shape[1]), np.float32)
        for start in range(0, len(rows), BLOCK):
            wanted = rows[start : start + BLOCK]
            here = block[: len(wanted)]
            np.take(codes, wanted, axis=0, out=here, mode="clip")  # "clip" writes without a copy
            np.dot(here, query, out=rough[start : start + BLOCK])
    rough *= -2
    rough += lengths
    rough += np.float32(weighted_square(query))
    return rough, float(np.sqrt(lengths.max()))


def _rough_weighted(
    codes: NDArray[np.float32],
    query: NDArray[np.float32],
    rows: Rows | None,
    weights: NDArray[np.float64],
) -> tuple[NDArray[np.float32], float]:
    n = len(codes) if rows is None else len(rows)
    rough = np.empty(n, np.float32)
    light = weights.astype(np.float32)
    pulled = (2 * weights * query).astype(np.float32)
    longest = 0.0
    for start in range(0, n, BLOCK):
        stop = min(start + BLOCK, n)
        block = codes[start:stop] if rows is None else codes[rows[start:stop]]
        lengths = (block * block) @ light
        longest = max(longest, float(lengths.max()))
        np.subtract(lengths, block @ pulled, out=rough[start:stop])
    rough += np.float32(weighted_square(query, weights))
    return rough, float(np.sqrt(longest))


def weighted_square(
    query: NDArray[np.float32], weights: NDArray[np.float64] | None = None
) -> float:
    """Return the weighted squared length, sum(w q^2)."""
    squares = query.astype(np.float64) ** 2
    return float(squares.sum() if weights is None else squares @ weights)


def _error_bound(
    longest: float, query: NDArray[np.float32], weights: NDArray[np.float64] | None
) -> float:
    """Return the error bound of a rough squared distance; infinite after an overflow."""
    underflow = 4 * (len(query) + 16) * float(np.finfo(np.float32).tiny)
    reach = longest + math.sqrt(weighted_square(query, weights))
    return 2 * relative_error(len(query)) * reach**2 + underflow


def relative_error(n_terms: int) -> float:
    """Return the error of a float32 dot product, relative to the sum of its absolute products."""
    terms = n_terms + 16  # a few more for rounding the factors, adding and the weights
    return terms * _UNIT_ROUNDOFF / (1 - terms * _UNIT_ROUNDOFF)


def _candidates(rough: NDArray[np.float32], k: int, error: float) -> NDArray[np.intp]:
    """Return the places that could be among the k smallest true values."""
    if not error < np.finfo(np.float32).max:
        return np.arange(len(rough))  # the rough values say nothing
    look = rough[: max(FIRST_LOOK, k)]
    places = np.flatnonzero(rough <= _highest(look, k, error))
    rough = rough[places]
    return places[rough <= _highest(rough, k, error)]


def _highest(rough: NDArray[np.float32], k: int, error: float) -> np.float32:
    """Return the highest rough value that one of the k nearest can have."""
    bound = float(np.partition(rough, k - 1)[k - 1]) + 2 * error
    return np.float32(np.nextafter(np.float32(bound), np.float32(np.inf)))
