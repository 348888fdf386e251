"""The searched code: the network's numbers, the local code, and the pattern of the labels.

Squared distances of the three add up (`braincase.volumetry.code_layout`). The local code is the
same for every model. The network's numbers are brought to one spread, whatever the loss made of it;
the pattern is where the training labels lie along the axes of a linear discriminant analysis of the
local code. Fitted on training scans alone, after the network: neither changes what it reconstructs.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from braincase.images.atlas import N_CELLS
from braincase.models.discriminant import Floats, learn
from braincase.volumetry.code_layout import LOCAL, PATTERN_SIZE
from braincase.volumetry.readout import LOCAL_SIZE

Numbers = NDArray[np.float32]
#: Total variance of the network's numbers among training people; along the pattern's axes it is 1
#: within a class. This and the two below: chosen on the development seed of `braincase bench`.
NETWORK_VARIANCE = 7.0
#: Of the local code, whose numbers have a variance of 1 each.
LOCAL_WEIGHT = 0.15
#: How much of the covariance within classes is the identity's.
SHRINKAGE = 0.3


class SearchCode(nn.Module):
    """What of the searched code is fitted: the network's scale, and the axes of the pattern."""

    scale: torch.Tensor
    pattern: torch.Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("scale", torch.ones(()))
        self.register_buffer("pattern", torch.zeros(LOCAL_SIZE, PATTERN_SIZE))

    def fit(self, network: Numbers, local: Numbers, labels: NDArray[np.intp] | None) -> None:
        """Fit scale and pattern on training scans.

        Parameters
        ----------
        network, local
            The network's numbers, shape (n, 150), and the local code, shape (n, `LOCAL_SIZE`).
        labels
            Class of each scan; None to learn no pattern, as of a model that ignores labels.
        """
        spread = float(network.var(axis=0).sum())
        self.scale.fill_(np.sqrt(NETWORK_VARIANCE / spread) if spread > 0 else 1.0)
        self.pattern.zero_()
        if labels is not None:
            axes = learn(local.astype(np.float64), labels).axes(SHRINKAGE)[:, :PATTERN_SIZE]
            self.pattern[:, : axes.shape[1]] = torch.from_numpy(axes)

    def join(self, network: Numbers, local: Numbers) -> Numbers:
        """Return searched codes, float32 of shape (n, `code_layout.LONG`)."""
        pattern = local @ self.pattern.cpu().numpy()
        scaled = float(self.scale) * network
        return np.concatenate([scaled, LOCAL_WEIGHT * local, pattern], axis=1)

    def network_weights(self, weights: Floats) -> Floats:
        """Return the weights of the network's own squared differences, shape (150,)."""
        return np.asarray(weights[:N_CELLS] * float(self.scale) ** 2)

    def local_factors(self, difference: Numbers, weights: Floats) -> Floats:
        """Divide a squared distance, but for the network's part, among the local code's numbers.

        Parameters
        ----------
        difference
            Of two local codes, shape (`LOCAL_SIZE`,).
        weights
            Of the search, shape (`code_layout.LONG`,).

        Returns
        -------
        Shape (`LOCAL_SIZE`,); its products with the differences sum to the squared distance.
        """
        axes = self.pattern.cpu().numpy().astype(np.float64)
        by_pattern = axes @ (weights[LOCAL.stop :] * (difference @ axes))
        return np.asarray(LOCAL_WEIGHT**2 * weights[LOCAL] * difference + by_pattern)
