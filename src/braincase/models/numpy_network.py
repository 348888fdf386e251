"""Inference in NumPy: what the strided networks encode, without torch, whose import takes seconds.

The same weights, the same sums; codes differ from torch's by the rounding of float32.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import prod

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from braincase.images.geometry import CELLS, HALF_GRID, Grid, mean_of_blocks

#: The difference from the mean image is small; this brings it to about unit spread.
DIFFERENCE_GAIN = 4.0
#: Codes begin with squared distances of about 1, where the softmax of the metric loss is neither
#: flat nor saturated.
CODE_GAIN = 0.05
#: Added to a variance before its root is divided by, and the slope below zero, as in `layers`.
EPSILON, LEAK = 1e-5, 0.1
#: Axes about each voxel, between those of the volumes and their channels.
_SPACE = (1, 2, 3)

Numbers = NDArray[np.float32]
#: A network's arrays by the names that torch gives them; whole numbers are not told apart.
Arrays = Mapping[str, Numbers]


def encode(arrays: Arrays, grid: Grid, volumes: NDArray[np.uint8]) -> Numbers:
    """Return the code that a `BraincaseCAE` or a `PrincipalCAE` gives; no posterior, no read-out.

    Parameters
    ----------
    arrays
        Of its state: float32, but for what is not computed with.
    grid
        Of the volumes.
    volumes
        Shape (n, *grid.shape).

    Returns
    -------
    Shape (n, 150).
    """
    unit = volumes.astype(np.float32) / np.float32(255)
    differences = np.float32(DIFFERENCE_GAIN) * (unit - arrays["mean"][0, 0])
    features = differences[..., None]
    stages = sum(name.startswith("encoder.") and name.endswith(".0.weight") for name in arrays)
    for stage in range(stages):
        features = _down(features, arrays, f"encoder.{stage}")
    codes = _cellwise(
        features, arrays[f"encoder.{stages}.weight"], arrays[f"encoder.{stages}.bias"]
    )
    if "axes.axes" in arrays:
        codes += _principal(differences, arrays, grid) @ arrays["mix"]
    return codes


def _down(features: Numbers, arrays: Arrays, name: str) -> Numbers:
    """Convolve by 3 x 3 x 3 with stride 2, normalise, LeakyReLU; (n, x, y, z, channels)."""
    kernel = arrays[f"{name}.0.weight"]
    around = _around(features)[:, ::2, ::2, ::2]
    out = np.tensordot(around, kernel, axes=((4, 5, 6, 7), (1, 2, 3, 4)))
    weight, bias, mean, variance = (
        arrays[f"{name}.1.{part}"] for part in ("weight", "bias", "running_mean", "running_var")
    )
    scale = weight / np.sqrt(variance + np.float32(EPSILON))
    out = out * scale + (bias - mean * scale)
    return np.asarray(np.maximum(out, np.float32(LEAK) * out))


def _around(features: Numbers) -> Numbers:
    """Return a view of the 3 x 3 x 3 around each voxel: (n, x, y, z, channels, 3, 3, 3)."""
    padded = np.pad(features, ((0, 0), *((1, 1) for _ in _SPACE), (0, 0)))
    around: Numbers = sliding_window_view(padded, (3, 3, 3), axis=_SPACE)
    return around


def _cellwise(features: Numbers, weight: Numbers, bias: Numbers) -> Numbers:
    """Map each cell's 3 x 3 x 3 cells linearly, by weights of its own; shape (n, 150)."""
    n, n_cells = len(features), prod(CELLS)
    by_place = np.moveaxis(_around(features), 4, -1)  # its channels last, as the weights lie
    by_cell = by_place.reshape(n, n_cells, weight.shape[1]).transpose(1, 0, 2)
    out = by_cell @ (np.float32(CODE_GAIN) * weight) + bias
    return out[:, :, 0].T


def _principal(differences: Numbers, arrays: Arrays, grid: Grid) -> Numbers:
    """Project differences from the mean brain on the principal axes; shape (n, 150)."""
    coarse = mean_of_blocks(differences, HALF_GRID.resolution_mm // grid.resolution_mm)
    inside = coarse.reshape(len(coarse), HALF_GRID.size)[:, arrays["axes.voxels"].astype(np.intp)]
    return arrays["axes.scale"] * (inside @ arrays["axes.axes"].astype(np.float32))
