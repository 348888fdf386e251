"""Views of a contestant's vectors: plain, discriminant (LDA), posterior or support vectors (SVM).

A ranking compares vectors by distance; the posterior is the discriminant's, as the searched code of
a model has it. A class-first answer gives the cases of the class that a classifier believes in.
Both are fitted on the training people of the classes in question, and every contestant has both, so
rankings are compared with rankings and classifiers with classifiers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from braincase.bench.contestant import Contestant, Head, vectors_of_all
from braincase.bench.discriminant import discriminant
from braincase.bench.setting import Setting
from braincase.evaluate.baselines import (
    Part,
    centred_gram,
    gram_of,
    principal_components,
    svm_evidence,
)
from braincase.evaluate.results import Codes, Rows
from braincase.models.joined_code import root_posterior

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
    subjects = setting.text("subject")[train]
    coordinates, evidence = discriminant(codes, train, labels, subjects, classes, setting.seed)
    if head == "posterior":
        roots = root_posterior(evidence.astype(np.float64))
        return View(np.asarray(roots, np.float32), evidence)
    return View(coordinates if head == "LDA" else codes, evidence)


def support_vectors(
    codes: Codes, train: Rows, labels: Labels, classes: Sequence[str], setting: Setting
) -> Codes:
    """Fit a linear SVM, penalty by inner folds; return decision values, shape (scans, classes)."""
    everybody = np.arange(len(codes))
    y = np.array([list(classes).index(str(name)) for name in labels], np.intp)
    part = Part(train, y, setting.text("subject")[train], everybody, y, everybody)
    return svm_evidence(centred_gram(gram_of(codes), train), part, setting.seed)
