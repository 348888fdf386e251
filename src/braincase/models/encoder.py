"""A model as code without torch needs it: how it embeds volumes, and which volumes those are."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

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
    recipe: Mapping[str, Any]
    fingerprint: str
