"""Joined code: network's numbers, read-out and posterior as one searched code, in NumPy alone.

`braincase.models.search_code` says what it is made of, and fits it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from braincase.volumetry.code_layout import READ_OUT_WEIGHT

Numbers = NDArray[np.float32]
Floats = NDArray[np.float64]
#: Log likelihoods are divided by it: undivided, nearly every scan would be of one label for sure,
#: and how ill a brain is would not show. Chosen on development seeds of `braincase bench`.
TEMPERATURE = 3.0


@dataclass(frozen=True, eq=False)
class JoinedCode:
    """What of a searched code is fitted: the network's scale, and the labels' discriminant.

    Parameters
    ----------
    scale
        Of the network's numbers.
    weights, offset
        Of the log likelihoods of the training labels, linear in the read-out; shapes
        (`READOUT_SIZE`, `MOST_LABELS`) and (`MOST_LABELS`,).
    stretch
        Of the square roots of the posterior; 0 where no labels were learned.
    """

    scale: float
    weights: Numbers
    offset: Numbers
    stretch: float

    def log_likelihoods(self, readout: Numbers) -> Floats:
        """Return log likelihoods of the labels but for a constant, shape (n, `MOST_LABELS`)."""
        linear = readout.astype(np.float64) @ self.weights.astype(np.float64)
        return np.asarray(linear + self.offset)

    def join(self, network: Numbers, readout: Numbers) -> Numbers:
        """Return searched codes, float32 of shape (n, `code_layout.LONG`)."""
        posterior = self.stretch * root_posterior(self.log_likelihoods(readout))
        parts = (self.scale * network, READ_OUT_WEIGHT * readout, posterior)
        return np.concatenate(parts, axis=1, dtype=np.float32)


def root_posterior(log_likelihoods: Floats) -> Floats:
    """Return the square roots of posterior probabilities, all labels alike likely before; (n, k).

    Their Euclidean distance is Hellinger's between two posteriors, but for a factor.
    """
    tempered = log_likelihoods / TEMPERATURE
    parts = np.exp(tempered - tempered.max(axis=1, keepdims=True))
    return np.asarray(np.sqrt(parts / parts.sum(axis=1, keepdims=True)))
