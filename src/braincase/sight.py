"""How far a cell sees: which voxels a number of the code depends on, and how much.

A number stands for one 32 mm cell, but the encoder's kernels look over its edges. The *extent* is
how far at all (the theoretical receptive field); the *weight* of a place is the mean squared
gradient of the number with respect to its voxels, over real volumes (the effective receptive field;
Luo et al. 2016), which falls off quickly.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from braincase.checkpoint import Model
from braincase.embed import to_unit
from braincase.geometry import CELL_MM, CELLS

#: A cell in the middle of the brain, whose field is not cut off by the edge of the volume.
MIDDLE = (2, 3, 2)


@dataclass(frozen=True, eq=False)
class Sight:
    """What one cell sees.

    Parameters
    ----------
    weights
        Share of the squared gradient in each cell of the brain, shape `CELLS`; sums to 1.
    extent_mm
        Edge of the smallest box of voxels outside which nothing matters at all, x, y, z.
    """

    weights: NDArray[np.float64]
    extent_mm: tuple[float, float, float]

    def within(self, cell: tuple[int, int, int] = MIDDLE, steps: int = 0) -> float:
        """Return the weight of a cell and of its neighbours up to so many steps away."""
        around = tuple(slice(max(at - steps, 0), at + steps + 1) for at in cell)
        return float(self.weights[around].sum())


def sight_of(
    model: Model, volumes: NDArray[np.uint8], cell: tuple[int, int, int] = MIDDLE
) -> Sight:
    """Measure what one number of the code sees, by its gradient on real volumes.

    Parameters
    ----------
    model
        Trained or not.
    volumes
        Standard volumes, shape (n, *grid.shape).
    cell
        Which number, as its place among the 5 x 6 x 5 cells.
    """
    network = model.network.cpu().eval()
    squares = np.zeros(model.grid.shape)
    place = int(np.ravel_multi_index(cell, CELLS))
    for volume in volumes:
        batch = to_unit(torch.from_numpy(volume[None])).requires_grad_(True)
        (gradient,) = torch.autograd.grad(network.encode(batch)[0, place], batch)
        squares += gradient[0, 0].double().numpy() ** 2
    edges = [np.flatnonzero(squares.any(axis=other)) for other in ((1, 2), (0, 2), (0, 1))]
    extent = [float(edge[-1] - edge[0] + 1) * model.grid.resolution_mm for edge in edges]
    edge = round(CELL_MM / model.grid.resolution_mm)
    x, y, z = CELLS
    by_cell = squares.reshape(x, edge, y, edge, z, edge).sum(axis=(1, 3, 5))
    return Sight(by_cell / by_cell.sum(), (extent[0], extent[1], extent[2]))
