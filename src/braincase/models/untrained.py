"""Untrained networks (random features): the same shape as a model, weights as they were drawn."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray

from braincase.images.geometry import Grid
from braincase.models.embed import embedder
from braincase.models.encoder import Embed
from braincase.models.model import Model
from braincase.models.network import BraincaseCAE, PrincipalCAE, build_network
from braincase.models.settings import ModelSettings


def untrained_embedder(settings: ModelSettings, grid: Grid, mean: NDArray[np.float32]) -> Embed:
    """Return the embedding by a network alone that has learned nothing but the mean brain.

    Parameters
    ----------
    settings
        Its shape and seed.
    grid
        The voxel grid of the volumes.
    mean
        Mean of the training volumes in [0, 1], shape `grid.shape`.
    """
    settings = replace(settings, local=False)
    network = build_network(settings, grid)
    if isinstance(network, BraincaseCAE | PrincipalCAE):
        network.mean.copy_(torch.from_numpy(mean).view(1, 1, *grid.shape))
    return embedder(Model(network.eval(), settings, grid, {}, {}))  # type: ignore[typeddict-item]
