"""Linear discriminant analysis (LDA) with shrinkage chosen by inner folds of the training people.

Chosen, and not by the rule of Ledoit & Wolf, which fails where a few large directions tell nothing
about the class.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import balanced_accuracy_score
from sklearn.model_selection import StratifiedGroupKFold

from braincase.evaluate.baselines import INNER_FOLDS, centred_gram, gram_of, principal_components
from braincase.evaluate.results import Codes, Rows
from braincase.models.discriminant import Floats, learn

#: Tried, the first of equals is taken: how much of the covariance is the identity's.
SHRINKAGES = (0.1, 0.3, 0.03, 0.01, 0.001, 0.6, 0.9)


def discriminant(
    codes: Codes,
    train: Rows,
    labels: NDArray[np.str_],
    subjects: NDArray[np.str_],
    classes: Sequence[str],
    seed: int,
) -> tuple[Codes, Codes]:
    """Learn to tell classes apart on training scans, all classes alike likely.

    Parameters
    ----------
    codes
        Of all scans, shape (scans, d).
    train, labels, subjects
        Rows of the training scans, and the class and person of each.
    classes
        All classes, in the order of the evidence.
    seed
        Of the inner folds.

    Returns
    -------
    coordinates, evidence
        Of all scans: along the discriminant axes, shape (scans, at most classes - 1), and log
        likelihoods but for a constant, shape (scans, classes).
    """
    inputs = training_span(codes, train)
    present, y = np.unique(labels, return_inverse=True)
    spread = inputs[train].var(axis=0).sum() if inputs.size else 0.0
    if spread < 1e-12 or len(present) < 2:
        nothing = np.zeros((len(codes), len(classes)), np.float32)
        return nothing[:, :1], nothing
    shrinkage = best_shrinkage(inputs[train], y, subjects, seed)
    learned = learn(inputs[train], y)
    decided = learned.decide(inputs, shrinkage)
    evidence = np.full((len(codes), len(classes)), decided.min() - 1.0)
    evidence[:, [list(classes).index(str(name)) for name in present]] = decided
    coordinates = learned.coordinates(inputs, shrinkage)
    return np.asarray(coordinates, np.float32), np.asarray(evidence, np.float32)


def best_shrinkage(
    inputs: Floats, y: NDArray[np.intp], subjects: NDArray[np.str_], seed: int
) -> float:
    """Return the shrinkage of best balanced accuracy in a subject-disjoint split."""
    if min(len(set(subjects[y == i])) for i in np.unique(y)) < INNER_FOLDS:
        return SHRINKAGES[0]
    splitter = StratifiedGroupKFold(INNER_FOLDS, shuffle=True, random_state=seed)
    scores = np.zeros(len(SHRINKAGES))
    for fit, check in splitter.split(inputs, y, subjects):
        learned, names = learn(inputs[fit], y[fit]), np.unique(y[fit])
        for i, shrinkage in enumerate(SHRINKAGES):
            named = names[learned.decide(inputs[check], shrinkage).argmax(axis=1)]
            scores[i] += balanced_accuracy_score(y[check], named)
    return SHRINKAGES[int(scores.argmax())]


def training_span(codes: Codes, train: Rows) -> Floats:
    """Return codes about the training mean; long ones in the training scans' own span.

    Directions in which no training scan differs have no weight in a discriminant.
    """
    if codes.shape[1] < len(train):
        return np.asarray(codes - codes[train].mean(axis=0), np.float64)
    # The last component of centred scans is nothing but rounding.
    centred = centred_gram(gram_of(codes), train)
    return np.asarray(principal_components(centred, train, len(train) - 1), np.float64)
