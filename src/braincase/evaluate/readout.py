"""Linear probes: can scanner, site, sex or age be read out of a code?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata
from sklearn.linear_model import LogisticRegression, RidgeCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from braincase.evaluate.resampling import Floats, estimate, mean_of, recalls, spearman
from braincase.evaluate.results import Estimate, Rows
from braincase.evaluate.shared_attributes import Neighbourhood
from braincase.evaluate.study import Attribute, Study


@dataclass(frozen=True)
class Readable:
    """How well a linear model names one attribute from the code of a person never seen.

    It learns from the gallery's codes (training people) and is tested on held-out people, so each
    fold is a cross-validation by subject.

    Parameters
    ----------
    attribute
        Name of the column.
    quantity
        True for numbers: `score` is Spearman's correlation and `chance` 0. False for categories:
        `score` is the balanced accuracy (mean recall) and `chance` one over their number.
    score
        With its interval over people.
    chance
        What knowing nothing gives.
    accuracy, majority
        Plain accuracy and that of always naming the most frequent value; None for quantities.
    """

    attribute: str
    quantity: bool
    score: Estimate
    chance: float
    accuracy: Estimate | None
    majority: float | None


def read_out(study: Study, attribute: Attribute, folds: Sequence[Neighbourhood]) -> Readable | None:
    """Read one attribute out of the codes.

    Returns
    -------
    None where the training people show fewer than two values in some fold, or nobody was asked.
    """
    truth, named, fold_of = [], [], []
    for number, fold in enumerate(folds):
        values = attribute.values
        train, test = (~np.isnan(values[rows]) for rows in (fold.gallery, fold.queries))
        learned = values[fold.gallery][train]
        if len(np.unique(learned)) < 2 or not test.any():
            return None
        model = _linear_model(attribute.quantity).fit(fold.gallery_codes[train], learned)
        predicted = model.predict(fold.query_codes[test])
        # Ranks, since the codes of two folds' models are on scales of their own.
        named.append(rankdata(predicted) / len(predicted) if attribute.quantity else predicted)
        truth.append(values[fold.queries][test])
        fold_of.append(np.full(len(predicted), number))
    return _score(study, attribute, *(np.concatenate(part) for part in (truth, named, fold_of)))


def _linear_model(quantity: bool):  # type: ignore[no-untyped-def]  # scikit-learn has no types
    if quantity:
        return make_pipeline(StandardScaler(), RidgeCV(alphas=np.logspace(0, 5, 11)))
    learner = LogisticRegression(C=0.01, class_weight="balanced", max_iter=1000)
    return make_pipeline(StandardScaler(), learner)


def _score(
    study: Study,
    attribute: Attribute,
    truth: NDArray[np.float64],
    named: NDArray[np.float64],
    fold: NDArray[np.intp],
) -> Readable:
    if attribute.quantity:
        rho = estimate(lambda rows: spearman(named[rows], truth[rows]), fold, study.seed)
        return Readable(attribute.name, True, rho, 0.0, None, None)
    values, counts = np.unique(truth, return_counts=True)
    y, guess = truth.astype(np.intp), named.astype(np.intp)

    def balanced_accuracy(rows: Rows) -> Floats:
        return np.asarray(recalls(y[rows], guess[rows], values).mean(axis=-1))

    return Readable(
        attribute.name,
        False,
        estimate(balanced_accuracy, fold, study.seed),
        1 / len(counts),
        estimate(mean_of((y == guess).astype(np.float64)), fold, study.seed),
        float(counts.max() / counts.sum()),
    )
