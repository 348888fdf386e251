"""Group k-fold cross-validation: all scans of a person are on one side of a split."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.model_selection import StratifiedGroupKFold

from braincase.errors import LeakError, UsageError, some_of


@dataclass(frozen=True)
class Fold:
    """One division of scans.

    Parameters
    ----------
    train, test
        Row numbers, ascending.
    """

    train: NDArray[np.int64]
    test: NDArray[np.int64]


def group_folds(
    subjects: Sequence[str] | NDArray[np.object_],
    labels: ArrayLike,
    n_folds: int = 5,
    seed: int = 0,
) -> list[Fold]:
    """Return a stratified group k-fold: folds with disjoint subjects and balanced classes.

    A subject whose scans have two labels (healthy first, ill at a later visit) is in one fold too.
    The division is scikit-learn's StratifiedGroupKFold: after a seeded shuffle, the subjects whose
    scans are spread least evenly over the classes are dealt out first, each to the fold that stays
    most balanced.

    Parameters
    ----------
    subjects
        The person of each scan, shape (n,).
    labels
        The class of each scan, shape (n,).
    n_folds
        Number of folds, at least 2; each scan is tested in exactly one.
    seed
        Equal seeds give equal folds.

    Raises
    ------
    UsageError
        If there are fewer subjects than folds, in all or in a class, or only one class.
    """
    people, classes = _people_and_classes(subjects, labels, n_folds)
    splitter = StratifiedGroupKFold(n_folds, shuffle=True, random_state=seed)
    folds = [Fold(train, test) for train, test in splitter.split(people, classes, people)]
    for fold in folds:
        check_no_leak(subjects, fold)
    return folds


def check_no_leak(subjects: Sequence[str] | NDArray[np.object_], fold: Fold) -> None:
    """Refuse data leakage: a subject that is both in training and in test.

    Parameters
    ----------
    subjects
        The person of each scan, shape (n,).
    fold
        The division to check.

    Raises
    ------
    LeakError
        Names the subjects.
    """
    names = np.asarray(subjects, dtype=object)
    both = sorted(set(names[fold.train]) & set(names[fold.test]), key=str)
    if both:
        raise LeakError(
            "split",
            f"{len(both)} subjects in training and in test: {some_of(both, 10)}",
            "each subject on one side",
            "Split by subject, for example with braincase.cohort.splits.group_folds.",
        )


def _people_and_classes(
    subjects: Sequence[str] | NDArray[np.object_], labels: ArrayLike, n_folds: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return subjects and labels as whole numbers, after checking that they can be divided."""
    _, people = np.unique(np.asarray(subjects, dtype=str), return_inverse=True)
    classes, codes = np.unique(np.asarray(labels, dtype=str), return_inverse=True)
    if len(people) != len(codes):
        raise UsageError("folds", f"{len(people)} subjects, {len(codes)} labels", "as many labels")
    if n_folds < 2:
        raise UsageError("folds", str(n_folds), "2 or more")
    if len(classes) < 2:
        found = f"one class only ({classes[0]})" if len(classes) else "no scans"
        raise UsageError("labels", found, "two classes or more")
    if (n := people.max() + 1) < n_folds:
        raise UsageError("folds", f"{n} subjects for {n_folds} folds", "a subject for each fold")
    for code, name in enumerate(classes):
        if (n := len(np.unique(people[codes == code]))) < n_folds:
            raise UsageError(
                "folds",
                f"{n} subjects of class {name} for {n_folds} folds",
                "a subject of each class for each fold",
                "Take fewer folds.",
            )
    return people, codes
