"""Baselines of the benchmark: what any learned search is always printed beside, and the ceiling.

All read the image alone, but for age and sex, and the ceiling, which searches by the true volumes.
"""

from __future__ import annotations

import re

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from braincase.bench.contestant import Contestant, Head, Kind, Vectors
from braincase.bench.setting import Setting
from braincase.cohort.cohort import Cohort
from braincase.errors import CohortError
from braincase.evaluate.baselines import (
    COMPONENTS,
    centred_gram,
    gram_of,
    principal_components,
    scaled_by_training,
)
from braincase.evaluate.features import batches, measure_features
from braincase.evaluate.results import Codes, Rows
from braincase.evaluate.study import embed_rows
from braincase.models.settings import PRESETS

#: What the ceiling searches by: every true volume.
TRUE_VOLUME = re.compile(r"true_\w+_mm3")
UNTRAINED = "braincase"


def baselines(setting: Setting, region_volumes: Codes) -> tuple[Contestant, ...]:
    """Measure every scan's features once and return the baselines and the ceiling.

    Parameters
    ----------
    setting
        Cohort, splits and truth.
    region_volumes
        Measured on the images, mm3, shape (scans, regions).
    """
    everything = np.arange(len(setting.cohort))
    features = measure_features([(setting.cohort, everything)])
    voxels = _from_table(features.voxels)
    cubes = _scaled(features.regions)
    # Volumes are log-normal, ventricles above all.
    regions = _scaled(np.log1p(region_volumes))
    by_pca = _principal(features.voxels)
    truth = _scaled(true_volumes(setting.truth.volumes))
    return (
        _baseline("age and sex", _scaled(_age_and_sex(setting.cohort)), reads_images=False),
        _baseline("smoothed voxels", voxels),
        _baseline("smoothed voxels, LDA", voxels, "LDA"),
        _baseline("smoothed voxels, SVM", voxels, "SVM"),
        _baseline("PCA-150", by_pca),
        _baseline("PCA-150, LDA", by_pca, "LDA"),
        _baseline("tissue in cubes, LDA", cubes, "LDA"),
        _baseline("tissue in cubes, SVM", cubes, "SVM"),
        _baseline("region volumes", regions),
        _baseline("region volumes, LDA", regions, "LDA"),
        _baseline("region volumes, posterior", regions, "posterior"),
        _baseline("region volumes, SVM", regions, "SVM"),
        _baseline("untrained CNN", _untrained),
        _baseline("true volumes", truth, kind="ceiling"),
        _baseline("true volumes, LDA", truth, "LDA", kind="ceiling"),
        _baseline("true volumes, posterior", truth, "posterior", kind="ceiling"),
    )


def true_volumes(truth: pd.DataFrame) -> NDArray[np.float64]:
    """Return the logarithm of every true volume (mm3, plus one), shape (scans, volumes).

    Raises
    ------
    CohortError
        If the cohort tells no true volumes.
    """
    names = [name for name in truth.columns if TRUE_VOLUME.fullmatch(str(name))]
    if not names:
        raise CohortError("truth", "no true volumes", "those of a simulated cohort")
    return np.asarray(np.log1p(truth[names].fillna(0).to_numpy(dtype=np.float64)))


def _baseline(
    name: str,
    vectors: Vectors,
    head: Head = "distance",
    kind: Kind = "baseline",
    reads_images: bool = True,
) -> Contestant:
    return Contestant(name, kind, (vectors,), head, reads_images)


def _from_table(values: Codes) -> Vectors:
    """Return vectors that are there already and need no fitting."""
    return lambda cohort, train, rows: values[rows]


def _scaled(values: NDArray[np.floating]) -> Vectors:
    """Return z-scores of the training scans."""
    return lambda cohort, train, rows: scaled_by_training(values, train)[rows]


def _principal(voxels: Codes) -> Vectors:
    """Return the first principal components of the training scans."""

    def vectors(cohort: Cohort, train: Rows, rows: Rows) -> Codes:
        centred = centred_gram(gram_of(voxels), train)
        return principal_components(centred, train, COMPONENTS)[rows]

    return vectors


def _age_and_sex(cohort: Cohort) -> NDArray[np.float64]:
    age = cohort.column("age").to_numpy(dtype=np.float64)
    return np.stack([age, cohort.column("sex").to_numpy(dtype=str) == "M"], axis=1)


def _untrained(cohort: Cohort, train: Rows, rows: Rows) -> Codes:
    from braincase.models.untrained import untrained_embedder

    mean = _mean_volume(cohort, train)
    embed = untrained_embedder(PRESETS[UNTRAINED], cohort.grid, mean)
    return embed_rows(embed, cohort, rows)


def _mean_volume(cohort: Cohort, rows: Rows) -> NDArray[np.float32]:
    total = np.zeros(cohort.grid.shape)
    for part in batches(rows):
        total += cohort.volumes[part].sum(axis=0, dtype=np.float64)
    return np.asarray(total / (255 * len(rows)), np.float32)
