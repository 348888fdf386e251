"""A plain classifier (linear SVM on smoothed voxels) as a measure of how easy a cohort is.

References
----------
Bron et al. (2021). Cross-cohort generalizability of deep and conventional machine learning for
MRI-based diagnosis and prediction of Alzheimer's disease. NeuroImage: Clinical 31, 102712.

Wen et al. (2020). Convolutional neural networks for classification of Alzheimer's disease: overview
and reproducible evaluation. Medical Image Analysis 63, 101694.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from sklearn.metrics import roc_auc_score
from sklearn.svm import SVC

from braincase.cohort.cohort import Cohort
from braincase.cohort.splits import group_folds

#: Smoothing before the voxel classifier, full width at half maximum about 9 mm.
SMOOTHING_MM = 4.0
#: The C of the linear SVM is chosen among these inside the training folds.
SVM_COSTS = (1e-3, 1e-2, 1e-1)


def voxel_svm_auc(
    cohort: Cohort, rows: NDArray[np.int64], ill: NDArray[np.bool_], seed: int
) -> float:
    """Return the mean AUC over five subject-disjoint folds of a linear SVM on smoothed voxels.

    The cost C is chosen on inner folds of the training people only.
    """
    kernel = _linear_kernel(cohort, rows)
    subjects = cohort.table["subject"].iloc[rows].to_numpy()
    aucs = []
    for fold in group_folds(subjects, ill, 5, seed):
        inner = group_folds(subjects[fold.train], ill[fold.train], 3, seed)
        scores = [
            np.mean(
                [
                    _svm_auc(kernel, ill, fold.train[i.train], fold.train[i.test], cost)
                    for i in inner
                ]
            )
            for cost in SVM_COSTS
        ]
        best = SVM_COSTS[int(np.argmax(scores))]
        aucs.append(_svm_auc(kernel, ill, fold.train, fold.test, best))
    return float(np.mean(aucs))


def _svm_auc(
    kernel: NDArray[np.float64],
    ill: NDArray[np.bool_],
    train: NDArray[np.int64],
    test: NDArray[np.int64],
    cost: float,
) -> float:
    machine = SVC(kernel="precomputed", C=cost).fit(kernel[np.ix_(train, train)], ill[train])
    return float(roc_auc_score(ill[test], machine.decision_function(kernel[np.ix_(test, train)])))


def _linear_kernel(cohort: Cohort, rows: NDArray[np.int64]) -> NDArray[np.float64]:
    """Inner products of smoothed volumes in [0, 1], shape (n, n); an SVM's offset absorbs means."""
    sigma = SMOOTHING_MM / cohort.grid.resolution_mm
    flat = np.empty((len(rows), cohort.grid.size), np.float32)
    for i, row in enumerate(rows):
        volume = cohort.volumes[int(row)].astype(np.float32) / 255
        flat[i] = gaussian_filter(volume, sigma).ravel()
    flat -= flat.mean(axis=0)
    return np.asarray(flat @ flat.T, np.float64)
