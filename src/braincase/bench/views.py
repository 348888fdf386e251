"""Views of a contestant's vectors: plain, discriminant (LDA) or by support vectors (SVM).

A ranking compares vectors by distance. A class-first answer gives the cases of the class that a
classifier believes in. Both are fitted on the training people of the classes in question, and every
contestant has both, so rankings are compared with rankings and classifiers with classifiers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import eigh
from sklearn.covariance import ledoit_wolf

from braincase.bench.contestant import Contestant, Head, vectors_of_all
from braincase.bench.setting import Setting
from braincase.evaluate.baselines import Part, centred_gram, principal_components, svm_evidence
from braincase.evaluate.results import Codes, Rows

Labels = NDArray[np.str_]


@dataclass(frozen=True)
class View:
    """What one run of a contestant shows of every scan to tasks about some classes.

    Parameters
    ----------
    vectors
        Compared by Euclidean distance; float32 of shape (scans, d).
    evidence
        For each class, higher is more; float32 of shape (scans, classes).
    """

    vectors: Codes
    evidence: Codes


@dataclass(frozen=True)
class Shown:
    """What one run of a contestant shows to all tasks.

    Parameters
    ----------
    pair
        About CN and AD.
    every
        About all trained conditions.
    """

    pair: View
    every: View


def show(contestant: Contestant, run: int, setting: Setting) -> tuple[Shown, int]:
    """Embed every scan by one run of a contestant; return its views and the vectors' length."""
    train = setting.splits.train
    vectors = vectors_of_all(contestant.runs[run], contestant.name, setting.cohort, train)
    codes = shortened(vectors)
    pair = view_of(
        codes, contestant.head, setting, setting.late(train, *setting.pair), setting.pair
    )
    every = view_of(codes, contestant.head, setting, train, setting.classes)
    return Shown(pair, every), vectors.shape[1]


def shortened(vectors: Codes) -> Codes:
    """Turn vectors longer than there are scans into shorter ones of the same distances (exact).

    A rotation onto what the scans span: smoothed voxels are 76,800 numbers, the scans a thousand.
    """
    scans, numbers = vectors.shape
    if numbers <= scans:
        return vectors
    everybody = np.arange(scans)
    return principal_components(gram_of(vectors), everybody, scans)


def view_of(
    codes: Codes, head: Head, setting: Setting, train: Rows, classes: Sequence[str]
) -> View:
    """Fit what a contestant's head needs on training scans, all of these classes."""
    labels = setting.text("diagnosis")[train]
    if head == "SVM":
        evidence = support_vectors(codes, train, labels, classes, setting)
        return View(evidence, evidence)
    coordinates, evidence = discriminant(codes, train, labels, classes)
    return View(coordinates if head == "LDA" else codes, evidence)


def discriminant(
    codes: Codes, train: Rows, labels: Labels, classes: Sequence[str]
) -> tuple[Codes, Codes]:
    """Fit a linear discriminant analysis, all classes alike likely.

    The covariance within classes is pooled and shrunken towards a multiple of the identity (Ledoit
    & Wolf 2004), so that nothing changes when vectors are rotated. scikit-learn shrinks towards the
    single variances instead, which in a basis of principal components is hardly any shrinking.

    Returns
    -------
    coordinates, evidence
        Of all rows of `codes`: along Fisher's axes, spread within classes 1 along each, shape
        (scans, at most classes - 1); and log likelihood but for a constant, shape (scans, classes).
    """
    inputs = _training_span(codes, train)
    present, y = np.unique(labels, return_inverse=True)
    spread = inputs[train].var(axis=0).mean() if inputs.size else 0.0
    if spread < 1e-12 or len(present) < 2:
        nothing = np.zeros((len(codes), len(classes)), np.float32)
        return nothing[:, :1], nothing
    means = np.stack([inputs[train][y == i].mean(axis=0) for i in range(len(present))])
    covariance, _ = ledoit_wolf(inputs[train] - means[y], assume_centered=True)
    # Classes of equal vectors have no spread within.
    covariance = covariance + 1e-6 * spread * np.eye(len(covariance))
    weights = np.linalg.solve(covariance, means.T)
    decided = inputs @ weights - 0.5 * (means.T * weights).sum(axis=0)
    evidence = np.full((len(codes), len(classes)), decided.min() - 1.0)
    evidence[:, [list(classes).index(str(name)) for name in present]] = decided
    axes = _discriminant_axes(means, covariance)
    return np.asarray(inputs @ axes, np.float32), np.asarray(evidence, np.float32)


def _discriminant_axes(
    means: NDArray[np.float64], covariance: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return Fisher's axes, the most discriminant first; shape (d, at most classes - 1)."""
    apart = means - means.mean(axis=0)
    last = means.shape[1] - 1
    first = max(0, last - (len(means) - 1) + 1)
    _, vectors = eigh(apart.T @ apart, covariance, subset_by_index=(first, last))
    return np.asarray(vectors[:, ::-1])


def _training_span(codes: Codes, train: Rows) -> NDArray[np.float64]:
    """Return codes about the training mean; long ones in the training scans' own span.

    Directions in which no training scan differs have no weight in a discriminant.
    """
    if codes.shape[1] < len(train):
        return np.asarray(codes - codes[train].mean(axis=0), np.float64)
    # The last component of centred scans is nothing but rounding.
    return np.asarray(
        principal_components(centred_gram(gram_of(codes), train), train, len(train) - 1), np.float64
    )


def support_vectors(
    codes: Codes, train: Rows, labels: Labels, classes: Sequence[str], setting: Setting
) -> Codes:
    """Fit a linear SVM, penalty by inner folds; return decision values, shape (scans, classes)."""
    everybody = np.arange(len(codes))
    y = np.array([list(classes).index(str(name)) for name in labels], np.intp)
    part = Part(train, y, setting.text("subject")[train], everybody, y, everybody)
    return svm_evidence(centred_gram(gram_of(codes), train), part, setting.seed)


def gram_of(codes: Codes) -> NDArray[np.float32]:
    """Return all dot products about the mean, shape (scans, scans)."""
    centred = codes - codes.mean(axis=0)
    return np.asarray(centred @ centred.T, np.float32)
