"""Maximum inner product search for exact weighted distances, from an engine that knows no other.

A case is stored as the vector [x, x^2] (squares taken number by number), a query with weights w as
[2 w q, -w]. Their inner product is sum(2 w q x - w x^2), so that

    sum w (x - q)^2  =  sum w q^2 - inner product

for every choice of weights: one stored vector serves the plain search (w = 1) and every search by
region, and the largest inner product is the smallest distance. The engine computes in float32; how
wrong that can be is bounded for every case that could matter (`error_bound`), which makes its order
good enough to find candidates, and a proof of when no other case can be among the nearest.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from braincase.gallery.exact import relative_error, weighted_square

#: Squares of larger numbers leave the range of float32.
LARGEST = 1e15


def lifted(codes: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the stored vectors [x, x^2] of codes of shape (n, d): shape (n, 2 d)."""
    return np.hstack([codes, codes * codes])


def lifted_query(
    query: NDArray[np.float32], weights: NDArray[np.float64] | None
) -> NDArray[np.float32]:
    """Return the query vector [2 w q, -w] of a code of shape (d,): shape (2 d,)."""
    weights = np.ones(len(query)) if weights is None else weights
    return np.hstack([2 * weights * query, -weights]).astype(np.float32)


def squared_of_products(
    products: NDArray[np.float64],
    query: NDArray[np.float32],
    weights: NDArray[np.float64] | None,
) -> NDArray[np.float64]:
    """Turn inner products into rough squared distances."""
    return weighted_square(query, weights) - products


def error_bound(
    query: NDArray[np.float32], weights: NDArray[np.float64] | None, squared: float
) -> float:
    """Return an error bound: how wrong the rough squared distance of a case this near can be.

    The terms of the inner product add up, in absolute value, to at most (|x| + |q|)^2 in the
    weighted norm, and a case at distance D has |x| <= |q| + D.
    """
    reach = 2 * math.sqrt(weighted_square(query, weights)) + math.sqrt(squared)
    underflow = 8 * len(query) * float(np.finfo(np.float32).tiny)
    return 2 * relative_error(2 * len(query)) * reach**2 + underflow
