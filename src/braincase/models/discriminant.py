"""Linear discriminant analysis (LDA) with a covariance shrunken towards a multiple of the identity.

Nothing changes when vectors are rotated. scikit-learn's shrinks towards the single variances
instead, which in a basis of principal components is hardly any shrinking.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import eigh

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Discriminant:
    """Class means, and the eigenvectors and eigenvalues of the covariance within classes."""

    means: Floats
    vectors: Floats
    values: Floats

    def whitening(self, shrinkage: float) -> Floats:
        """Return what makes the shrunken covariance the identity, shape (d, d)."""
        mean = max(float(self.values.mean()), 1e-30)
        values = (1 - shrinkage) * np.maximum(self.values, 0) + shrinkage * mean
        return np.asarray(self.vectors / np.sqrt(values))

    def likelihood(self, shrinkage: float) -> tuple[Floats, Floats]:
        """Return weights (d, classes) and offset (classes,) of the log likelihoods."""
        whitening = self.whitening(shrinkage)
        means = self.means @ whitening
        return whitening @ means.T, -0.5 * (means**2).sum(axis=1)

    def decide(self, inputs: Floats, shrinkage: float) -> Floats:
        """Return log likelihoods but for a constant, shape (n, classes)."""
        weights, offset = self.likelihood(shrinkage)
        return np.asarray(inputs @ weights + offset)

    def axes(self, shrinkage: float) -> Floats:
        """Return Fisher's axes, along which the spread within classes is 1; (d, classes - 1)."""
        whitening = self.whitening(shrinkage)
        apart = (self.means - self.means.mean(axis=0)) @ whitening
        axes = np.linalg.svd(apart, full_matrices=False)[2][: len(apart) - 1]
        return np.asarray(whitening @ axes.T)

    def coordinates(self, inputs: Floats, shrinkage: float) -> Floats:
        """Return places along Fisher's axes, shape (n, classes - 1)."""
        return np.asarray(inputs @ self.axes(shrinkage))


def learn(inputs: Floats, y: NDArray[np.intp]) -> Discriminant:
    """Estimate class means and the pooled covariance within classes.

    Parameters
    ----------
    inputs
        Shape (n, d).
    y
        Class of each, shape (n,).
    """
    means = np.stack([inputs[y == i].mean(axis=0) for i in np.unique(y)])
    rest = inputs - means[np.searchsorted(np.unique(y), y)]
    # Classes of equal vectors have no spread within: a trace of the whole spread is added.
    floor = 1e-6 * inputs.var(axis=0).mean()
    values, vectors = eigh(rest.T @ rest / len(rest) + floor * np.eye(rest.shape[1]))
    return Discriminant(means, vectors, values)
