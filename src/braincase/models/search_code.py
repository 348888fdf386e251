"""The searched code: the network's numbers, what is read off the image, and the labels' posterior.

Squared distances of the three add up (`braincase.volumetry.code_layout`). What is read off the
image by fixed weights is the same for every model. The network's numbers are brought to one spread,
whatever the loss made of it; the posterior is how likely each training label is, by a linear
discriminant analysis of the read-out. Fitted on training scans alone, after the network: neither
changes what it reconstructs.

References
----------
Hellinger (1909): the distance between two distributions is that of the square roots of their
probabilities. Guo, Pleiss, Sun, Weinberger (2017), On calibration of modern neural networks: log
likelihoods are divided by a temperature. Radovanović, Nanopoulos, Ivanović (2010), Hubs in space:
of vectors of uneven length the short ones are everybody's neighbours; those of a posterior all have
length 1. Sundararajan, Taly, Yan (2017): what a smooth function's change owes to each input is its
gradient, averaged along the line.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from braincase.images.atlas import N_CELLS
from braincase.models.discriminant import learn
from braincase.models.joined_code import TEMPERATURE, Floats, JoinedCode, Numbers, root_posterior
from braincase.volumetry.code_layout import MOST_LABELS, POSTERIOR, READ_OUT, READ_OUT_WEIGHT
from braincase.volumetry.readout import READOUT_SIZE, REGIONS

#: Total variance of the network's numbers among training people. This and the two below were chosen
#: on development seeds of `braincase bench`.
NETWORK_VARIANCE = 1.75
#: How much of the covariance within classes is the identity's.
SHRINKAGE = 0.3
#: Volumes are enlarged before that, so that shrinkage takes less of them than of dark tissue.
VOLUME_GAIN = 2.0
#: Log likelihood of a label that there is not.
NEVER = -1e4
#: Points of the line between two scans at which the gradient of the posterior is taken.
NODES = 32


class SearchCode(nn.Module):
    """What of the searched code is fitted: the network's scale, and the labels' discriminant."""

    scale: torch.Tensor
    weights: torch.Tensor
    offset: torch.Tensor
    stretch: torch.Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("scale", torch.ones(()))
        self.register_buffer("weights", torch.zeros(READOUT_SIZE, MOST_LABELS))
        self.register_buffer("offset", torch.zeros(MOST_LABELS))
        self.register_buffer("stretch", torch.zeros(()))

    def fit(self, network: Numbers, readout: Numbers, labels: NDArray[np.intp] | None) -> None:
        """Fit scale and discriminant on training scans.

        Parameters
        ----------
        network, readout
            The network's numbers, shape (n, 150), and what `volumetry.readout` reads off the image,
            shape (n, `READOUT_SIZE`).
        labels
            Class of each scan, of which the `MOST_LABELS` most frequent are learned; None to learn
            none, as of a model that ignores labels.
        """
        spread = float(network.var(axis=0).sum())
        self.scale.fill_(np.sqrt(NETWORK_VARIANCE / spread) if spread > 0 else 1.0)
        self.stretch.zero_()
        if labels is None:
            return
        present, counts = np.unique(labels, return_counts=True)
        frequent = present[np.argsort(-counts, kind="stable")[:MOST_LABELS]]
        if len(frequent) > 1:
            is_frequent = np.isin(labels, frequent)
            self._fit_posterior(readout[is_frequent].astype(np.float64), labels[is_frequent])

    def _fit_posterior(self, readout: Floats, labels: NDArray[np.intp]) -> None:
        """Fit the discriminant of at most `MOST_LABELS` labels, and the size of its posterior."""
        gains = np.where(np.arange(READOUT_SIZE) < len(REGIONS), VOLUME_GAIN, 1.0)
        centre = readout.mean(axis=0)
        inputs = gains * (readout - centre)
        learned = learn(inputs, labels)
        weights, offset = learned.likelihood(SHRINKAGE)
        of_roots = root_posterior(inputs @ weights + offset).var(axis=0).sum()
        weights *= gains[:, None]
        self.weights.zero_()
        self.weights[:, : len(offset)] = torch.from_numpy(weights)
        self.offset.fill_(NEVER)
        self.offset[: len(offset)] = torch.from_numpy(offset - centre @ weights)
        # It has the spread of the places along Fisher's axes: labels that hardly differ count less.
        spread = learned.coordinates(inputs, SHRINKAGE).var(axis=0).sum()
        self.stretch.fill_(np.sqrt(spread / of_roots) if of_roots > 0 else 0.0)

    def fitted(self) -> JoinedCode:
        """Return it as NumPy arrays, as they are now."""
        weights, offset = self.weights.cpu().numpy(), self.offset.cpu().numpy()
        return JoinedCode(float(self.scale), weights, offset, float(self.stretch))

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
        fitted = self.fitted()
        start, end = fitted.log_likelihoods(np.stack([hit, query]))
        slope = fitted.stretch * _mean_slope(start, end)
        change = slope @ (end - start)
        by_label = slope.T @ (weights[POSTERIOR] * change)
        by_posterior = fitted.weights.astype(np.float64) @ by_label
        return np.asarray(READ_OUT_WEIGHT**2 * weights[READ_OUT] * (query - hit) + by_posterior)


def _mean_slope(start: Floats, end: Floats) -> Floats:
    """Return the mean Jacobian of `root_posterior` along a line: times the step, the change."""
    slope = np.zeros((len(start), len(start)))
    for node, part in zip(*np.polynomial.legendre.leggauss(NODES), strict=True):
        roots = root_posterior((start + (node + 1) / 2 * (end - start))[None])[0]
        jacobian = roots[:, None] * (np.eye(len(roots)) - roots**2) / (2 * TEMPERATURE)
        slope += part / 2 * jacobian
    return slope
