"""Task (c), lesion place: does the nearest case's lesion lie where the query's does?"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import cdist

from braincase.bench.setting import Setting
from braincase.bench.tasks.task import Asked, Measure, Reference, Skipped, Task
from braincase.bench.views import Shown
from braincase.evaluate.answers import squared_distances
from braincase.evaluate.resampling import Statistic, mean_of
from braincase.evaluate.results import Rows

#: Conditions that are told by lesions; healthy old people have some, too, but all alike.
LESIONED = ("MS", "SVD", "stroke")
CENTRE = ("true_lesion_r_mm", "true_lesion_a_mm", "true_lesion_s_mm")
#: With fewer lesions on either side nothing is asked.
FEWEST = 5


def dice(a: NDArray[np.bool_], b: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return the Dice overlap of each pair of masks; shapes (n, ...) and (m, ...) to (n, m)."""
    first, second = (masks.reshape(len(masks), -1).astype(np.float32) for masks in (a, b))
    sizes = first.sum(axis=1, dtype=np.float64)[:, None] + second.sum(axis=1, dtype=np.float64)
    return np.asarray(2 * (first @ second.T) / np.maximum(sizes, 1))


def ask_lesions(setting: Setting) -> Asked | Skipped:
    """Put the question to query people with a disease of lesions, among such gallery people."""
    lesions = setting.truth.lesions
    if lesions is None or not setting.has(*CENTRE):
        return Skipped("the cohort has no lesions")
    queries, gallery = (
        _with_lesion(setting, rows) for rows in (setting.splits.query, setting.splits.gallery)
    )
    if min(len(queries), len(gallery)) < FEWEST:
        return Skipped(
            f"{len(queries)} queries and {len(gallery)} cases with a lesion, fewer than {FEWEST}"
        )
    overlap = dice(lesions(setting.cohort, queries), lesions(setting.cohort, gallery))
    centres = np.stack([setting.numbers(name) for name in CENTRE], axis=1)
    apart = cdist(centres[queries], centres[gallery])

    def answer(shown: Shown) -> Mapping[str, Statistic]:
        vectors = shown.every.vectors
        nearest = squared_distances(vectors[queries], vectors[gallery]).argmin(axis=1)
        everybody = np.arange(len(queries))
        return {
            "dice": mean_of(overlap[everybody, nearest]),
            "distance": mean_of(apart[everybody, nearest]),
        }

    references = {
        "dice": Reference(float(overlap.mean()), float(overlap.max(axis=1).mean())),
        "distance": Reference(float(apart.mean()), float(apart.min(axis=1).mean())),
    }
    return Asked(setting.text("diagnosis")[queries], len(gallery), answer, references)


def _with_lesion(setting: Setting, rows: Rows) -> Rows:
    centre = np.stack([setting.numbers(name)[rows] for name in CENTRE])
    return setting.of(rows[np.isfinite(centre).all(axis=0)], *LESIONED)


LESIONS = Task(
    "c",
    "lesions",
    "Lesion place",
    "Among cases of diseases with lesions, does the nearest one's lie where the query's does?",
    (
        Measure("dice", "Dice of the nearest", "ranking", primary=True),
        Measure("distance", "mm between centres", "ranking", "lower", digits=1),
    ),
    ask_lesions,
)
