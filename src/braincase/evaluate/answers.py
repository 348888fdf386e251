"""Distances and class evidence: one form of what every method says of each query.

A method that embeds ranks the gallery by squared Euclidean distance. A classifier ranks it by what
it believes of each case's class, so its first hits are cases of the class it names: the strongest
answer a classifier can give to a search, and therefore the fair one to be measured against.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Kind = Literal["model", "baseline"]
#: Cases ordered by their distance, or class by class, the one believed in first.
Order = Literal["by distance", "class first"]


@dataclass(frozen=True)
class Answers:
    """What one method says of every query.

    Parameters
    ----------
    name
        The method.
    kind
        A learned model or a baseline.
    distances
        Float32 of shape (queries, gallery); lower is closer.
    evidence
        Float32 of shape (queries, classes); higher is more of that class.
    order
        How the gallery is ranked. Rankings of one kind are compared with each other only: class
        first, all cases of a class are tied, and the class is right or wrong for all hits at once.
    """

    name: str
    kind: Kind
    distances: NDArray[np.float32]
    evidence: NDArray[np.float32]
    order: Order = "by distance"

    def take(self, queries: NDArray[np.bool_]) -> Answers:
        """Keep some of the queries."""
        distances, evidence = self.distances[queries], self.evidence[queries]
        return Answers(self.name, self.kind, distances, evidence, self.order)

    def class_first(self, gallery_y: NDArray[np.intp]) -> Answers:
        """Return the same evidence, the cases of the class believed in first."""
        name, distances = f"{self.name}, class first", -self.evidence[:, gallery_y]
        return Answers(name, self.kind, distances, self.evidence, "class first")


def answers_of_codes(
    name: str,
    kind: Kind,
    queries: NDArray[np.float32],
    gallery: NDArray[np.float32],
    gallery_y: NDArray[np.intp],
) -> Answers:
    """Answer by distance between codes of shape (queries, d) and (gallery, d).

    The evidence for a class is minus the mean squared distance to its gallery cases.
    """
    return answers_of_distances(name, kind, squared_distances(queries, gallery), gallery_y)


def answers_of_distances(
    name: str, kind: Kind, distances: NDArray[np.float32], gallery_y: NDArray[np.intp]
) -> Answers:
    """Answer by squared distances of shape (queries, gallery)."""
    classes = range(int(gallery_y.max()) + 1)
    evidence = np.stack([-distances[:, gallery_y == c].mean(axis=1) for c in classes], axis=1)
    return Answers(name, kind, distances, evidence.astype(np.float32))


def answers_of_classifier(
    name: str, evidence: NDArray[np.float32], gallery_y: NDArray[np.intp]
) -> Answers:
    """Answer with the cases of the class believed in, then those of the next one."""
    return Answers(name, "baseline", -evidence[:, gallery_y], evidence, "class first")


def squared_distances(a: NDArray[np.float32], b: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return all squared Euclidean distances between rows, shape (len(a), len(b)).

    Computed about the mean of `b`, since float32 loses digits where codes lie far from zero.
    """
    centre = b.mean(axis=0)
    a, b = a - centre, b - centre
    squares = (a**2).sum(axis=1)[:, None] + (b**2).sum(axis=1) - 2 * (a @ b.T)
    return np.asarray(np.maximum(squares, 0), np.float32)
