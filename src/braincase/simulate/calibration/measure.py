"""Measure the effects of a simulated cohort on its images, beside those of real people.

Nothing here looks at a trained model: the simulation is calibrated to measured effects of real
people and to a plain linear classifier, never to the result of Braincase.
"""

from __future__ import annotations

import numpy as np

from braincase.cohort.cohort import Cohort
from braincase.cohort.region_volumes import REGION_VOLUMES, cohort_region_volumes
from braincase.errors import CohortError
from braincase.simulate.calibration.classifier import voxel_svm_auc
from braincase.simulate.calibration.effect import Effect
from braincase.simulate.calibration.lesions import lesion_effects
from braincase.simulate.calibration.volumes import (
    FROM_AGE,
    ageing_effects,
    disease_effects,
    repeat_effects,
    scanner_effects,
)
from braincase.simulate.people import TRAVELLING

CLASSIFIER_SOURCE = "chosen for about 400 training people; Bron 2021: 0.94 with 854; Wen 2020"
#: People with memory complaints or beginning impairment say nothing about any group of the norms.
COMPARED = ("CN", "AD", "MCI")


def measure_effects(cohort: Cohort, seed: int = 0, workers: int = 0) -> list[Effect]:
    """Compare all effects that a cohort can show with those of real people.

    Parameters
    ----------
    cohort
        From `braincase simulate`; scanners and repeats need travelling heads (size `bench`).
    seed
        Of the folds of the classifier and of the drawn lesions.
    workers
        Processes; 0 means one a core.

    Raises
    ------
    CohortError
        If it has no CN and AD people, or is no simulated cohort of this version.
    """
    table = cohort.table
    if not {"true_severity", "design"} <= set(table) or not {"CN", "AD"} <= set(table["diagnosis"]):
        found = "no simulated CN and AD people"
        raise CohortError(cohort.folder, found, "a cohort from `braincase simulate`")
    travelled = table["design"].isin(TRAVELLING)
    people = ~table.duplicated("subject") & table["diagnosis"].isin(COMPARED) & ~travelled
    rows = np.flatnonzero(people | travelled)
    file = cohort.folder / REGION_VOLUMES
    volumes = cohort_region_volumes(cohort, file, workers, rows).astype(np.float64)
    chosen = table.iloc[rows].reset_index(drop=True)
    alone = ~travelled.to_numpy()[rows]
    effects = []
    for diagnosis in ("AD", "MCI"):
        if (chosen["diagnosis"] == diagnosis).any():
            effects += disease_effects(chosen[alone], volumes[alone], diagnosis)
    effects += ageing_effects(chosen[alone], volumes[alone])
    if not alone.all():
        effects += scanner_effects(chosen, volumes) + repeat_effects(chosen, volumes)
    return [*effects, *lesion_effects(seed), _classifier(cohort, seed)]


def _classifier(cohort: Cohort, seed: int) -> Effect:
    table = cohort.table
    first = ~table.duplicated("subject") & table["diagnosis"].isin(["CN", "AD"])
    rows = np.flatnonzero(first & (table["age"] >= FROM_AGE))
    ill = (table["diagnosis"].iloc[rows] == "AD").to_numpy()
    auc = voxel_svm_auc(cohort, rows, ill, seed)
    numbers = (0.885, 0.85, 0.92, auc, CLASSIFIER_SOURCE)
    return Effect("classifier", "linear SVM on smoothed voxels, AUC", "", *numbers, is_change=False)
