"""The searched code: the network's numbers, what is read off the image, and the labels' pattern.

Squared distances of the three add up (`braincase.volumetry.code_layout`). What is read off the
image by fixed weights is the same for every model. The network's numbers are brought to one spread,
whatever the loss made of it; the pattern is where the training labels lie along the axes of a
linear discriminant analysis of the read-out. Fitted on training scans alone, after the network:
neither changes what it reconstructs.

References
----------
Radovanović, Nanopoulos, Ivanović (2010), Hubs in space: of vectors of uneven length the short ones
are everybody's neighbours. Garcia-Romero & Espy-Wilson (2011), Analysis of i-vector length
normalization: dividing by the length mends it. Sundararajan, Taly, Yan (2017): what a smooth
function's change owes to each input is its gradient, averaged along the line.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from braincase.images.atlas import N_CELLS
from braincase.models.discriminant import learn
from braincase.models.joined_code import SHORT, Floats, JoinedCode, Numbers, shorten
from braincase.volumetry.code_layout import PATTERN, PATTERN_SIZE, READ_OUT, READ_OUT_WEIGHT
from braincase.volumetry.readout import READOUT_SIZE

#: Total variance of the network's numbers among training people; along the pattern's axes it is 1
#: within a class. This, the one below and `joined_code.SHORT`: chosen on the development seed of
#: `braincase bench`.
NETWORK_VARIANCE = 1.75
#: How much of the covariance within classes is the identity's.
SHRINKAGE = 0.3
#: Points of the line between two scans at which the gradient of the pattern is taken.
NODES = 16


class SearchCode(nn.Module):
    """What of the searched code is fitted: the network's scale, and the axes of the pattern."""

    scale: torch.Tensor
    axes: torch.Tensor
    centre: torch.Tensor
    stretch: torch.Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("scale", torch.ones(()))
        self.register_buffer("axes", torch.zeros(READOUT_SIZE, PATTERN_SIZE))
        self.register_buffer("centre", torch.zeros(PATTERN_SIZE))
        self.register_buffer("stretch", torch.ones(()))

    def fit(self, network: Numbers, readout: Numbers, labels: NDArray[np.intp] | None) -> None:
        """Fit scale and pattern on training scans.

        Parameters
        ----------
        network, readout
            The network's numbers, shape (n, 150), and what `volumetry.readout` reads off the image,
            shape (n, `READOUT_SIZE`).
        labels
            Class of each scan; None to learn no pattern, as of a model that ignores labels.
        """
        spread = float(network.var(axis=0).sum())
        self.scale.fill_(np.sqrt(NETWORK_VARIANCE / spread) if spread > 0 else 1.0)
        self.axes.zero_()
        if labels is not None and len(np.unique(labels)) > 1:
            axes = learn(readout.astype(np.float64), labels).axes(SHRINKAGE)[:, :PATTERN_SIZE]
            self.axes[:, : axes.shape[1]] = torch.from_numpy(axes)
            places = readout.astype(np.float64) @ axes
            self.centre[: axes.shape[1]] = torch.from_numpy(places.mean(axis=0))
            places -= places.mean(axis=0)
            # Dividing by the length changes the spread of all: it is brought back to what it was.
            shortened = places.var(axis=0).sum() / shorten(places).var(axis=0).sum()
            self.stretch.fill_(np.sqrt(shortened))

    def fitted(self) -> JoinedCode:
        """Return it as NumPy arrays, as they are now."""
        axes, centre = self.axes.cpu().numpy(), self.centre.cpu().numpy()
        return JoinedCode(float(self.scale), axes, centre, float(self.stretch))

    def network_weights(self, weights: Floats) -> Floats:
        """Return the weights of the network's own squared differences, shape (150,)."""
        return np.asarray(weights[:N_CELLS] * float(self.scale) ** 2)

    def readout_factors(self, query: Numbers, hit: Numbers, weights: Floats) -> Floats:
        """Divide a squared distance, but for the network's part, among the read-out's numbers.

        Parameters
        ----------
        query, hit
            What was read off their images, shape (`READOUT_SIZE`,).
        weights
            Of the search, shape (`code_layout.LONG`,).

        Returns
        -------
        Shape (`READOUT_SIZE`,); its products with the differences sum to the squared distance.
        """
        start, end = self.fitted().places(np.stack([hit, query]))
        slope = float(self.stretch) * _mean_slope(start, end)
        change = slope @ (end - start)
        axes = self.axes.cpu().numpy().astype(np.float64)
        by_pattern = axes @ (slope @ (weights[PATTERN] * change))
        return np.asarray(READ_OUT_WEIGHT**2 * weights[READ_OUT] * (query - hit) + by_pattern)


def _mean_slope(start: Floats, end: Floats) -> Floats:
    """Return the Jacobian of `shorten`, averaged along a line: times the step it is the change."""
    nodes, parts = np.polynomial.legendre.leggauss(NODES)
    slope = np.zeros((len(start), len(start)))
    for node, part in zip((nodes + 1) / 2, parts / 2, strict=True):
        place = start + node * (end - start)
        length = np.sqrt((place**2).sum() + SHORT**2)
        slope += part * (np.eye(len(place)) - np.outer(place, place) / length**2) / length
    return slope
