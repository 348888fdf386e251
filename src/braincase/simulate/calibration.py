"""Calibration of the simulation: are its effect sizes (Cohen's d) those of real people?

Nothing here looks at a trained model: the simulation is calibrated to effect sizes of patients and
to a plain linear classifier, never to the result of Braincase.

The ranges of the volumes were chosen, and then compared with our own measurement on a public table
of region volumes of 100 CN and 92 AD people, corrected for age, sex and head size: hippocampus d
1.73 (right) and 1.84 (left), lateral ventricles 1.01 (right) and 0.93 (left), all ventricles 1.07;
residual coefficient of variation of the hippocampus in CN 9.2 % and 8.5 %, which is less than the
uncorrected one asked for here. The range of the classifier was chosen below the AUC of 0.94 that
Bron et al. (2021) reach by cross-validation of 854 people (0.90 on another data set).

References
----------
Bron et al. (2021). Cross-cohort generalizability of deep and conventional machine learning for
MRI-based diagnosis and prediction of Alzheimer's disease. NeuroImage: Clinical 31, 102712.

Wen et al. (2020). Convolutional neural networks for classification of Alzheimer's disease: overview
and reproducible evaluation. Medical Image Analysis 63, 101694.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from sklearn.metrics import roc_auc_score
from sklearn.svm import SVC

from braincase.cohort.cohort import Cohort
from braincase.cohort.splits import group_folds
from braincase.errors import CohortError
from braincase.files import atomic_write
from braincase.json_values import Json, to_json_object

#: Smoothing before the voxel classifier, full width at half maximum about 9 mm.
SMOOTHING_MM = 4.0
#: The C of the linear SVM is chosen among these inside the training folds.
SVM_COSTS = (1e-3, 1e-2, 1e-1)
#: The coronal plane of the figure, MNI mm.
HIPPOCAMPUS_Y_MM = -22.0
#: Where the ranges come from; the module's docstring says more.
HIPPOCAMPUS_SOURCE = "chosen; 100 CN and 92 AD people: 1.73 right, 1.84 left (own measurement)"
VENTRICLES_SOURCE = "chosen; 100 CN and 92 AD people: 1.07 (own measurement)"
VARIATION_SOURCE = "chosen; 100 CN people: 0.09 after age, sex and head size (own measurement)"
CLASSIFIER_SOURCE = "chosen for about 400 training people; Bron 2021: 0.94 with 854; Wen 2020"


@dataclass(frozen=True)
class Effect:
    """One effect size: the range that real people give, and what the cohort shows.

    Parameters
    ----------
    name
        What was measured.
    low, high
        The range that the simulation has to meet.
    measured
        On this cohort.
    source
        Where the range comes from.
    """

    name: str
    low: float
    high: float
    measured: float
    source: str

    @property
    def met(self) -> bool:
        """Whether the measured value lies in the range, to two decimals."""
        return self.low <= round(self.measured, 2) <= self.high


def cohens_d(a: NDArray[np.floating], b: NDArray[np.floating]) -> float:
    """Return (mean a - mean b) / pooled standard deviation."""
    return float((a.mean() - b.mean()) / np.sqrt((a.var(ddof=1) + b.var(ddof=1)) / 2))


def measure_effects(cohort: Cohort, seed: int = 0) -> list[Effect]:
    """Measure the effects of a simulated cohort on each person's first scan.

    Raises
    ------
    CohortError
        If the cohort carries no simulated truth for CN and AD.
    """
    table = cohort.table
    if "true_severity" not in table or not {"CN", "AD"} <= set(table["diagnosis"]):
        found = "no simulated truth for CN and AD"
        raise CohortError(cohort.folder, found, "a cohort from `braincase simulate`")
    first = ~table.duplicated("subject") & table["diagnosis"].isin(["CN", "AD"])
    rows = np.flatnonzero(first)
    chosen = table.iloc[rows]
    ill = (chosen["diagnosis"] == "AD").to_numpy()
    hippocampus = chosen["true_hippocampus_mm3"].to_numpy(float)
    ventricles = chosen["true_ventricles_mm3"].to_numpy(float)
    auc = voxel_svm_auc(cohort, rows, ill, seed)
    healthy = hippocampus[~ill]
    return [
        Effect(
            "hippocampal volume, CN against AD, Cohen's d",
            1.6, 2.0, cohens_d(healthy, hippocampus[ill]), HIPPOCAMPUS_SOURCE,
        ),
        Effect(
            "lateral ventricles, AD against CN, Cohen's d",
            1.0, 1.3, cohens_d(ventricles[ill], ventricles[~ill]), VENTRICLES_SOURCE,
        ),
        Effect(
            "normal hippocampal coefficient of variation",
            0.10, 0.12, float(healthy.std(ddof=1) / healthy.mean()), VARIATION_SOURCE,
        ),
        Effect(
            "linear SVM on smoothed voxels, AUC",
            0.85, 0.92, auc, CLASSIFIER_SOURCE,
        ),
    ]  # fmt: skip


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


def draw_groups(cohort: Cohort, path: Path, people: int = 4) -> None:
    """Draw coronal slices through the hippocampi of CN above AD, each the group's middle people."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(2.0 * people, 5.2), facecolor="black", layout="constrained")
    axes = figure.subplots(2, people)
    y_voxel = round(np.linalg.inv(cohort.grid.affine)[1] @ (0, HIPPOCAMPUS_Y_MM, 0, 1))
    for group, line in zip(("CN", "AD"), axes, strict=True):
        table = cohort.table[cohort.table["diagnosis"] == group].sort_values("true_severity")
        middle = len(table) // 2 - people // 2
        for row, ax in zip(table.index[middle : middle + people], line, strict=True):
            entry = table.loc[row]
            # Radiological convention: the subject's right is on the left of the picture.
            slice_ = np.rot90(cohort.volumes[row][::-1, y_voxel])
            ax.imshow(slice_, cmap="gray", vmin=0, vmax=255)
            title = f"{group}, {entry['age']:.0f} y, severity {entry['true_severity']:.2f}"
            ax.set_title(title, color="white", fontsize=8)
            ax.axis("off")
    figure.suptitle(
        "Simulated, coronal at the hippocampi, R on the left", color="white", fontsize=9
    )
    with atomic_write(path) as aside:
        figure.savefig(aside, dpi=110)


def effects_table(effects: Sequence[Effect]) -> str:
    """Return asked against measured as a Markdown table."""
    lines = ["| effect (simulated) | asked | measured | source of the range |", "|---|---|---|---|"]
    for e in effects:
        missed = "" if e.met else " (missed)"
        wanted = f"{e.low:.2f} to {e.high:.2f}"
        lines.append(f"| {e.name} | {wanted} | {e.measured:.3f}{missed} | {e.source} |")
    return "\n".join(lines)


def effects_json(effects: Sequence[Effect]) -> list[dict[str, Json]]:
    """Return the effects as plain records."""
    return [{**to_json_object(effect), "met": effect.met} for effect in effects]
