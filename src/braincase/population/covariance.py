"""Shrunken covariance (Ledoit & Wolf), also of codes much longer than the people are many.

Its matrix has a row for each number of a code: at 20,000 numbers 3 GB. So it is kept as the people
themselves, and solved by the Woodbury identity where they are fewer than the numbers.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

#: People who do not differ at all have this variance, so that it can be divided by.
LEAST = 1e-12


@dataclass(frozen=True, eq=False)
class ShrunkenCovariance:
    """The covariance ``people.T @ people + ridge * I``.

    Parameters
    ----------
    people
        Codes about their mean, scaled, shape (n, d).
    ridge
        Variance added in every direction.
    """

    people: NDArray[np.float64]
    ridge: float

    def times(self, vectors: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the covariance times vectors of shape (d, k)."""
        return self.people.T @ (self.people @ vectors) + self.ridge * vectors

    def solve(self, vectors: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return what the covariance times it gives vectors of shape (d, k)."""
        n, d = self.people.shape
        if d <= n:
            whole = self.people.T @ self.people + self.ridge * np.eye(d)
            return np.asarray(np.linalg.solve(whole, vectors))
        small = self.people @ self.people.T + self.ridge * np.eye(n)
        inner = np.linalg.solve(small, self.people @ vectors)
        return np.asarray((vectors - self.people.T @ inner) / self.ridge)


def shrunken(codes: NDArray[np.float64], shrinkage: float) -> ShrunkenCovariance:
    """Return the covariance of codes (n, d), a part of it replaced by its mean diagonal.

    References
    ----------
    Ledoit, O. & Wolf, M. (2004). Honey, I shrunk the sample covariance matrix. The Journal of
    Portfolio Management 30(4), 110-119.
    """
    people = (codes - codes.mean(axis=0)) / np.sqrt(len(codes) - 1)
    mean = float((people**2).sum()) / codes.shape[1]
    return ShrunkenCovariance(np.sqrt(1 - shrinkage) * people, max(shrinkage * mean, LEAST))
