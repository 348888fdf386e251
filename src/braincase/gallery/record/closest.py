"""Closest pair: the smallest distance between two different people of a gallery."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from braincase.gallery.exact import Rows

#: Cases compared pair by pair (about half a second); of a larger gallery an even sample.
MOST_CASES = 10_000
BLOCK = 512


def even_sample(rows: Rows) -> Rows:
    """Return all rows, or `MOST_CASES` of them evenly spread if there are more."""
    if len(rows) <= MOST_CASES:
        return rows
    return rows[np.linspace(0, len(rows) - 1, MOST_CASES).astype(np.int64)]


def closest_pair(codes: NDArray[np.float32], owners: NDArray[np.int32]) -> float:
    """Return the smallest distance above 0 between codes of different people.

    A distance of 0 is one image under two names, and does not count.

    Parameters
    ----------
    codes
        Shape (n, n_cells).
    owners
        Number of the person of each, shape (n,).

    Returns
    -------
    distance
        Euclidean; infinite if there are no two people.
    """
    if not len(codes):
        return math.inf
    chosen = codes.astype(np.float64)
    chosen -= chosen.mean(axis=0)  # smaller numbers round less
    squares = np.einsum("ij,ij->i", chosen, chosen)
    tiny = 1e-12 * float(squares.max())
    smallest = math.inf
    for start in range(0, len(chosen), BLOCK):
        block = slice(start, start + BLOCK)
        squared = squares[block, None] + squares[start:] - 2 * chosen[block] @ chosen[start:].T
        others = (owners[block, None] != owners[start:]) & (squared > tiny)
        smallest = min(smallest, float(squared.min(initial=math.inf, where=others)))
    return math.sqrt(smallest)
