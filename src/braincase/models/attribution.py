"""Receptive field and integrated gradients: which voxels a code depends on, and how much.

A number of the code stands for one 32 mm cell, but the encoder's kernels look over its edges.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from braincase.images.geometry import CELL_MM, CELLS
from braincase.models.model import Model
from braincase.models.network import Autoencoder, to_unit
from braincase.volumetry.code_layout import LONG
from braincase.volumetry.readout import attribute_to_voxels, read_out

#: Points on the line from one image to the other, and how many go through the network together.
STEPS, AT_A_TIME = 32, 8
#: A cell in the middle of the brain, whose field is not cut off by the edge of the volume.
MIDDLE = (2, 3, 2)


@dataclass(frozen=True, eq=False)
class ReceptiveField:
    """Theoretical and effective receptive field of one number of the code.

    Parameters
    ----------
    weights
        The effective field: share of the squared gradient in each cell of the brain, shape `CELLS`;
        sums to 1.
    extent_mm
        The theoretical field: edge of the smallest box of voxels outside which nothing matters at
        all, x, y, z.
    """

    weights: NDArray[np.float64]
    extent_mm: tuple[float, float, float]

    def within(self, cell: tuple[int, int, int] = MIDDLE, steps: int = 0) -> float:
        """Return the weight of a cell and of its neighbours up to so many steps away."""
        around = tuple(slice(max(at - steps, 0), at + steps + 1) for at in cell)
        return float(self.weights[around].sum())


def receptive_field(
    model: Model, volumes: NDArray[np.uint8], cell: tuple[int, int, int] = MIDDLE
) -> ReceptiveField:
    """Measure the receptive field of one number of the code, by its gradient on real volumes.

    The weight of a voxel is the mean squared gradient of the number with respect to it (Luo et al.
    2016), which falls off quickly with the distance.

    Parameters
    ----------
    model
        Trained or not. It is left as it was, and computes where its parameters are.
    volumes
        Standard volumes, shape (n, *grid.shape).
    cell
        Which number, as its place among the 5 x 6 x 5 cells.

    References
    ----------
    Luo, Li, Urtasun, Zemel (2016). Understanding the effective receptive field in deep
    convolutional neural networks. Advances in Neural Information Processing Systems 29.
    """
    squares = np.zeros(model.grid.shape)
    place = int(np.ravel_multi_index(cell, CELLS))
    with _evaluation_mode(model.network) as network:
        for volume in volumes:
            batch = _unit_batch(model, volume).requires_grad_(True)
            (gradient,) = torch.autograd.grad(network.encode(batch)[0, place], batch)
            squares += gradient[0, 0].cpu().double().numpy() ** 2
    edges = [np.flatnonzero(squares.any(axis=others)) for others in ((1, 2), (0, 2), (0, 1))]
    extent = [float(edge[-1] - edge[0] + 1) * model.grid.resolution_mm for edge in edges]
    edge = round(CELL_MM / model.grid.resolution_mm)
    x, y, z = CELLS
    by_cell = squares.reshape(x, edge, y, edge, z, edge).sum(axis=(1, 3, 5))
    return ReceptiveField(by_cell / by_cell.sum(), (extent[0], extent[1], extent[2]))


def integrated_gradients(
    model: Model,
    query: NDArray[np.uint8],
    hit: NDArray[np.uint8],
    weights: NDArray[np.float64] | None = None,
    steps: int = STEPS,
) -> NDArray[np.float32]:
    """Attribute the squared distance between two scans to the voxels in which they differ.

    Integrated gradients (Sundararajan et al. 2017) of the squared distance of codes, along the
    straight line from the hit's image to the query's. A voxel in which they are equal gets nothing;
    where making the query more like the hit would bring the codes together, the map is positive.

    Parameters
    ----------
    model
        The model of both codes. It is left as it was, and computes where its parameters are.
    query, hit
        Standard volumes, uint8 of shape `grid.shape`.
    weights
        The weights of the search, shape (numbers,), if it had any.
    steps
        Points on the line; with the default the map sums to the squared distance to about 1 %. What
        is read off the images by fixed weights is attributed by these.

    Returns
    -------
    seen
        Shape `grid.shape`.

    References
    ----------
    Sundararajan, Taly, Yan (2017). Axiomatic attribution for deep networks. Proceedings of the 34th
    International Conference on Machine Learning.
    """
    search_code = model.network.search_code
    if search_code is None:
        return _network_part(model, query, hit, weights, steps)
    weights = np.ones(LONG) if weights is None else weights
    of_query, of_hit = read_out(np.stack([query, hit]), model.grid)
    factors = search_code.readout_factors(of_query, of_hit, weights)
    of_network = search_code.network_weights(weights)
    of_readout = attribute_to_voxels(query, hit, factors, model.grid)
    return of_readout + _network_part(model, query, hit, of_network, steps)


def _network_part(
    model: Model,
    query: NDArray[np.uint8],
    hit: NDArray[np.uint8],
    weights: NDArray[np.float64] | None,
    steps: int,
) -> NDArray[np.float32]:
    """Attribute the weighted squared distance of the network's own numbers."""
    factor = torch.ones(1) if weights is None else torch.from_numpy(weights).float()
    factor = factor.to(model.device)
    start = _unit_batch(model, hit)
    change = _unit_batch(model, query) - start
    total = torch.zeros_like(start)
    with _evaluation_mode(model.network) as network:
        with torch.no_grad():
            goal = network.encode(start)
        for first in range(0, steps, AT_A_TIME):
            places = (torch.arange(first, min(first + AT_A_TIME, steps)) + 0.5) / steps
            along = places.view(-1, 1, 1, 1, 1).to(model.device)
            between = (start + along * change).requires_grad_(True)
            squared = (factor * (network.encode(between) - goal) ** 2).sum()
            (gradient,) = torch.autograd.grad(squared, between)
            total += gradient.sum(dim=0, keepdim=True)
    return np.asarray((change * total / steps)[0, 0].cpu().numpy(), dtype=np.float32)


@contextmanager
def _evaluation_mode(network: Autoencoder) -> Iterator[Autoencoder]:
    """Use the network with its learned batch norms; afterwards it is in the mode it was in."""
    was_training = network.training
    network.eval()
    try:
        yield network
    finally:
        network.train(was_training)


def _unit_batch(model: Model, volume: NDArray[np.uint8]) -> Tensor:
    """Return one volume as a batch (1, 1, *shape) in [0, 1], where the model computes."""
    return to_unit(torch.from_numpy(np.ascontiguousarray(volume)[None]).to(model.device))
