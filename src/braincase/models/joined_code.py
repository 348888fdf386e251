"""Joined code: network's numbers, read-out and pattern as one searched code, in NumPy alone.

`braincase.models.search_code` says what it is made of, and fits it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from braincase.volumetry.code_layout import READ_OUT_WEIGHT

Numbers = NDArray[np.float32]
Floats = NDArray[np.float64]
#: Places along the axes are divided by their length, but hardly where they are shorter than this:
#: what a scan has of no class is noise.
SHORT = 2.0


@dataclass(frozen=True, eq=False)
class JoinedCode:
    """What of a searched code is fitted: the network's scale, and the axes of the pattern.

    Parameters
    ----------
    scale
        Of the network's numbers.
    axes
        Of the pattern, shape (`READOUT_SIZE`, `PATTERN_SIZE`).
    centre
        Where the training scans lie along them in the mean, shape (`PATTERN_SIZE`,).
    stretch
        Of the pattern, once its length is about one.
    """

    scale: float
    axes: Numbers
    centre: Numbers
    stretch: float

    def places(self, readout: Numbers) -> Floats:
        """Return where scans lie along the axes, from the training scans' mean; shape (n, 10)."""
        places = readout.astype(np.float64) @ self.axes.astype(np.float64)
        return np.asarray(places - self.centre)

    def join(self, network: Numbers, readout: Numbers) -> Numbers:
        """Return searched codes, float32 of shape (n, `code_layout.LONG`)."""
        pattern = self.stretch * shorten(self.places(readout))
        parts = (self.scale * network, READ_OUT_WEIGHT * readout, pattern)
        return np.concatenate(parts, axis=1, dtype=np.float32)


def shorten(places: Floats) -> Floats:
    """Divide vectors by their length and what is `SHORT`, shape (n, d)."""
    squares = (places**2).sum(axis=1, keepdims=True)
    return np.asarray(places / np.sqrt(squares + SHORT**2))
