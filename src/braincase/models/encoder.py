"""The encoder interface: a model as code without torch needs it, to embed volumes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from braincase.cohort.derivatives import Recipe
from braincase.images.geometry import Grid

#: Turns uint8 volumes (n, *grid.shape) into codes (n, n_cells).
Embed = Callable[[NDArray[np.uint8]], NDArray[np.float32]]


@dataclass(frozen=True, eq=False)
class Encoder:
    """The encoder of a model, ready to embed volumes.

    Parameters
    ----------
    embed
        Turns uint8 volumes (n, *grid.shape) into codes (n, n_cells).
    grid, recipe
        What the model was trained on.
    fingerprint
        The model's.
    """

    embed: Embed
    grid: Grid
    recipe: Recipe
    fingerprint: str
