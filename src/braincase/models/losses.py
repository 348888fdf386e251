"""The loss function: reconstruction plus deep metric learning, E = MSE + alpha * L.

Sources: Onga et al. 2019, equations 1 to 3; Hoffer & Ailon 2016 for L. Codes have shape
(batch, dimensions); labels are class numbers 0 .. classes - 1; `subjects` numbers the people, since
neither the anchor itself nor another scan of the same person may be its exemplar.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor


@dataclass(frozen=True)
class Losses:
    """Means over one epoch: the reconstruction term, the metric loss L, and their sum E."""

    reconstruction: float
    metric: float
    total: float

    def line(self) -> str:
        """Write the losses as the progress bar shows them."""
        return f"E {self.total:.4f} rec {self.reconstruction:.4f} L {self.metric:.3f}"

    def to_json(self) -> dict[str, float]:
        """Return the losses as a JSON object."""
        return {
            "reconstruction": self.reconstruction,
            "metric": self.metric,
            "total": self.total,
        }


def squared_distances(a: Tensor, b: Tensor) -> Tensor:
    """Return |a_i - b_j|^2 for codes (n, d) and (m, d), shape (n, m), in float32."""
    a, b = a.float(), b.float()
    products = a @ b.T
    return (a.square().sum(1)[:, None] + b.square().sum(1)[None, :] - 2 * products).clamp_min(0)


def allowed_exemplars(labels: Tensor, subjects: Tensor, classes: int) -> Tensor:
    """Return the mask of scans of a batch that may be the exemplar of a class for an anchor.

    Returns
    -------
    bool, shape (batch, classes, batch)
        [i, c, j] is true where scan j has class c and is of another person than scan i.
    """
    of_class = labels[None, :] == torch.arange(classes, device=labels.device)[:, None]
    other_person = subjects[:, None] != subjects[None, :]
    return of_class[None, :, :] & other_person[:, None, :]


def metric_loss(distances: Tensor, labels: Tensor) -> Tensor:
    """Return L = -log P_y averaged over the batch and the draws.

    P_i = exp(-d_i) / sum_j exp(-d_j), where d_i is the squared distance to the exemplar of class i
    (Onga 2019, equation 2; Hoffer & Ailon 2016, equation 3).

    Parameters
    ----------
    distances
        Squared distances of each anchor to its exemplar of each class, shape
        (draws, batch, classes).
    labels
        Class of each anchor, shape (batch,).
    """
    return F.cross_entropy(-distances.flatten(0, 1), labels.repeat(len(distances)))


def random_exemplar_distances(
    codes: Tensor, allowed: Tensor, generator: torch.Generator, draws: int = 1
) -> tuple[Tensor, Tensor]:
    """Return squared distances to a random exemplar of each class, drawn for each anchor.

    With one draw this is the paper's loss (Onga 2019) to the letter. Several draws have the same
    expectation and less noise; their losses are averaged, not their distances.

    Parameters
    ----------
    codes
        Shape (batch, dimensions).
    allowed
        From `allowed_exemplars`.
    generator
        Source of randomness, on the codes' device.
    draws
        How often each anchor draws.

    Returns
    -------
    distances, shape (draws, batch, classes)
        Squared distance to each exemplar; what stands in rows without one has no meaning.
    exists, bool, shape (batch, classes)
        True where a class had an exemplar.
    """
    exists = allowed.any(dim=2)
    batch, classes, _ = allowed.shape
    weights = torch.where(exists[..., None], allowed, True).float().flatten(0, 1)
    drawn = torch.multinomial(weights, draws, replacement=True, generator=generator)
    index = drawn.view(batch, classes * draws)
    distances = squared_distances(codes, codes).gather(1, index).view(batch, classes, draws)
    return distances.permute(2, 0, 1), exists


def mean_exemplar_distances(codes: Tensor, allowed: Tensor) -> tuple[Tensor, Tensor]:
    """Average the squared distance over all exemplars of each class in the batch.

    One random exemplar makes the loss noisy. The mean over all of them has no noise, and is another
    loss: cross entropy is convex in the distances, so it is a lower bound of what random draws give
    on average (Jensen). |x|^2 is the same for all classes and cancels, so that what is left is
    linear in x: it moves classes apart and does not press each together across that direction, as
    random exemplars do (docs/decisions/0002-class-mean-exemplars.md).

    Returns
    -------
    As `random_exemplar_distances` of one draw.
    """
    distances = squared_distances(codes, codes)[:, None, :] * allowed
    count = allowed.sum(dim=2)
    return (distances.sum(dim=2) / count.clamp_min(1))[None], count > 0


def comparable(distances: Tensor, exists: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Leave out classes without an exemplar in the batch, and anchors that can compare nothing.

    With many classes few batches hold somebody else of each one; an anchor is then compared among
    the classes that are there. With two classes nothing is left to compare when one is missing.

    Parameters
    ----------
    distances, exists
        From `random_exemplar_distances` or `mean_exemplar_distances`.
    labels
        Class of each anchor, shape (batch,).

    Returns
    -------
    distances, shape (draws, anchors, classes)
        Infinite for a class without an exemplar, which gives it the probability 0.
    labels, shape (anchors,)
        Of the anchors with an exemplar of their own class and of another one.
    """
    own = exists.gather(1, labels[:, None])[:, 0]
    usable = own & (exists.sum(dim=1) > 1)
    return distances.masked_fill(~exists, torch.inf)[:, usable], labels[usable]


def reconstruction_loss(
    reconstruction: Tensor, target: Tensor, term: str, variance: float
) -> Tensor:
    """Return the mean squared error (MSE) of intensities in [0, 1], its root, or a share.

    Parameters
    ----------
    reconstruction, target
        Volumes of equal shape.
    term
        ``"mse"`` (Onga 2019, equation 1), ``"rmse"`` (DI-PSS, arXiv 2108.06518), or ``"relative"``:
        the MSE divided by `variance`, which is 1 for the mean brain.
    variance
        The MSE of the mean brain over the training scans.
    """
    mse = F.mse_loss(reconstruction.float(), target.float())
    if term == "relative":
        return mse / variance
    return mse.sqrt() if term == "rmse" else mse
