"""Baselines (PCA, PCA + LDA, voxel kNN, two SVMs) that any learned search has to beat.

They are fitted on the training people only.

All work on Gram matrices (the kernel trick): scans are hundreds, voxels tens of thousands, and one
matrix of dot products serves the principal components, the voxel distances and the support vector
machine of every fold.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.covariance import ledoit_wolf
from sklearn.metrics import balanced_accuracy_score
from sklearn.model_selection import StratifiedGroupKFold
from sklearn.svm import SVC

from braincase.evaluate.answers import Answers, answers_of_classifier, answers_of_distances
from braincase.evaluate.features import Features

#: Number of principal components: as many numbers as the learned code has.
COMPONENTS = 150
#: Tried for the support vector machine, with kernels scaled to a mean diagonal of 1.
PENALTIES = (0.01, 0.1, 1.0, 10.0)
INNER_FOLDS = 3
#: What is left of a code's other directions beside those that tell the classes apart.
REST = 0.1
#: Components of less spread than this share of the first one's are not whitened to the full.
FAINTEST = 0.01
NAMES = ("PCA-150", "PCA-150 + LDA", "voxel kNN", "regional volumes, SVM", "smoothed voxels, SVM")


@dataclass(frozen=True)
class Part:
    """Which scans, as positions in the features, play which role in one fold."""

    train: NDArray[np.intp]
    train_y: NDArray[np.intp]
    train_subjects: NDArray[np.str_]
    gallery: NDArray[np.intp]
    gallery_y: NDArray[np.intp]
    queries: NDArray[np.intp]


@dataclass(frozen=True)
class Baselines:
    """Gram matrices of all scans, from which each fold's baselines are answered.

    Build with `prepare_baselines`.

    Parameters
    ----------
    voxel_gram
        Dot products of smoothed voxels, shape (scans, scans).
    regions
        Regional tissue volumes, shape (scans, regions).
    """

    voxel_gram: NDArray[np.float32]
    regions: NDArray[np.float32]

    def answer(self, part: Part, seed: int) -> list[Answers]:
        """Fit the baselines on the part's training scans and let them answer its queries."""
        voxels = centred_gram(self.voxel_gram, part.train)
        regions = centred_gram(_region_gram(self.regions, part.train), part.train)
        pca, lda, knn, by_region, by_voxel = NAMES
        codes = principal_components(voxels, part.train)
        apart = discriminant_codes(codes, part.train, part.train_y)
        grams = {pca: codes @ codes.T, lda: apart @ apart.T, knn: voxels}
        return [
            *(
                answers_of_distances(name, "baseline", _distances(gram, part), part.gallery_y)
                for name, gram in grams.items()
            ),
            answers_of_classifier(by_region, svm_evidence(regions, part, seed), part.gallery_y),
            answers_of_classifier(by_voxel, svm_evidence(voxels, part, seed), part.gallery_y),
        ]


def prepare_baselines(features: Features) -> Baselines:
    """Compute the Gram matrix of all scans once; folds take their parts of it."""
    return Baselines(gram_of(features.voxels), features.regions)


def gram_of(codes: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return all dot products about the mean, shape (scans, scans)."""
    # Any common shift cancels in distances and in centred kernels, so this mean over all scans
    # carries nothing from test to training; it only keeps float32 exact.
    centred = codes - codes.mean(axis=0)
    return np.asarray(centred @ centred.T, np.float32)


def centred_gram(gram: NDArray[np.float32], train: NDArray[np.intp]) -> NDArray[np.float32]:
    """Return the Gram matrix about the training scans' mean (the training scans' alone)."""
    to_mean = gram[:, train].mean(axis=1)
    return np.asarray(gram - to_mean[:, None] - to_mean + to_mean[train].mean(), np.float32)


def principal_components(
    centred: NDArray[np.float32], train: NDArray[np.intp], n: int = COMPONENTS
) -> NDArray[np.float32]:
    """Project all scans onto the training scans' first `n` principal components.

    Returns
    -------
    float32 of shape (scans, at most n); components of no variance are left out.
    """
    variance, vectors = np.linalg.eigh(centred[np.ix_(train, train)].astype(np.float64))
    keep = [i for i in np.argsort(-variance)[:n] if variance[i] > 1e-9 * variance[-1]]
    loadings = vectors[:, keep] / np.sqrt(variance[keep])
    return np.asarray(centred[:, train] @ loadings, np.float32)


def discriminant_codes(
    codes: NDArray[np.float32], train: NDArray[np.intp], train_y: NDArray[np.intp]
) -> NDArray[np.float32]:
    """Whiten principal components and shrink all but the directions that tell the classes apart.

    Linear discriminant analysis (Ledoit and Wolf's shrinkage) on the training scans. The change can
    be undone, so that the reconstruction is that of the principal components.

    Parameters
    ----------
    codes
        From `principal_components`, shape (scans, components).
    train, train_y
        The training scans and their classes.
    """
    spread = codes[train].std(axis=0)
    floor = FAINTEST * spread.max(initial=0)  # below it there is rounding, not anatomy
    white = (codes - codes[train].mean(axis=0)) / np.maximum(spread, floor if floor > 0 else 1)
    classes = np.unique(train_y)
    means = np.stack([white[train[train_y == y]].mean(axis=0) for y in classes])
    within = white[train] - means[np.searchsorted(classes, train_y)]
    covariance, _ = ledoit_wolf(within.astype(np.float64), assume_centered=True)
    between = np.linalg.solve(covariance, (means[1:] - means[0]).T)
    directions = np.linalg.qr(between)[0].astype(np.float32)
    along = white @ directions
    rest = white - along @ directions.T
    return np.asarray(np.concatenate([along, REST * rest], axis=1), np.float32)


def svm_evidence(centred: NDArray[np.float32], part: Part, seed: int) -> NDArray[np.float32]:
    """Classify the queries by a linear support vector machine, one class against the rest.

    The penalty is the one of best balanced accuracy in a subject-disjoint split of the training
    scans.

    Returns
    -------
    float32 of shape (queries, classes).
    """
    kernel = centred / (centred[part.train, part.train].mean() or 1.0)
    inside = kernel[np.ix_(part.train, part.train)]
    penalty = _best_penalty(inside, part, seed)
    return _decide(inside, part.train_y, kernel[np.ix_(part.queries, part.train)], penalty)


def _best_penalty(inside: NDArray[np.float32], part: Part, seed: int) -> float:
    people_a_class = [
        len(set(part.train_subjects[part.train_y == y])) for y in np.unique(part.train_y)
    ]
    if min(people_a_class) < INNER_FOLDS:
        return 1.0
    splitter = StratifiedGroupKFold(INNER_FOLDS, shuffle=True, random_state=seed)
    splits = list(splitter.split(inside, part.train_y, part.train_subjects))

    def balanced_accuracy(penalty: float) -> float:
        scores = []
        for fit, check in splits:
            evidence = _decide(
                inside[np.ix_(fit, fit)], part.train_y[fit], inside[np.ix_(check, fit)], penalty
            )
            scores.append(balanced_accuracy_score(part.train_y[check], evidence.argmax(axis=1)))
        return float(np.mean(scores))

    return max(PENALTIES, key=balanced_accuracy)


def _decide(
    train: NDArray[np.float32],
    train_y: NDArray[np.intp],
    queries: NDArray[np.float32],
    penalty: float,
) -> NDArray[np.float32]:
    """Return each query's signed distance from each class's boundary, shape (queries, classes)."""
    n_classes = int(train_y.max()) + 1

    def against_rest(y: int) -> NDArray[np.float64]:
        machine = SVC(kernel="precomputed", C=penalty, class_weight="balanced")
        return np.asarray(machine.fit(train, train_y == y).decision_function(queries))

    if n_classes == 2:
        second = against_rest(1)
        return np.stack([-second, second], axis=1).astype(np.float32)
    return np.stack([against_rest(y) for y in range(n_classes)], axis=1).astype(np.float32)


def _region_gram(regions: NDArray[np.float32], train: NDArray[np.intp]) -> NDArray[np.float32]:
    """Return dot products of regional volumes in units of the training scans' spread."""
    scaled = scaled_by_training(regions, train)
    return np.asarray(scaled @ scaled.T, np.float32)


def scaled_by_training(
    values: NDArray[np.floating], train: NDArray[np.intp]
) -> NDArray[np.float32]:
    """Return columns as z-scores of the training scans; those that never vary are left out."""
    spread = values[train].std(axis=0)
    varying = spread > 1e-6
    scaled = (values[:, varying] - values[train][:, varying].mean(axis=0)) / spread[varying]
    # A region almost empty in training could be far out in one query: no single one may dominate.
    return np.asarray(np.clip(scaled, -5, 5), np.float32)


def _distances(gram: NDArray[np.float32], part: Part) -> NDArray[np.float32]:
    """Return squared distances between queries and gallery from a Gram matrix."""
    norms = np.diag(gram)
    cross = gram[np.ix_(part.queries, part.gallery)]
    squares = norms[part.queries][:, None] + norms[part.gallery] - 2 * cross
    return np.asarray(np.maximum(squares, 0), np.float32)
