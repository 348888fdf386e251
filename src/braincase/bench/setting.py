"""The setting of the benchmark: cohort, splits and truth, as all tasks see them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from braincase.bench.splits import Splits
from braincase.cohort.cohort import Cohort
from braincase.errors import CohortError
from braincase.evaluate.results import Rows

#: True lesions of some rows: bool of shape (len(rows), *grid.shape).
LesionMasks = Callable[[Cohort, Rows], NDArray[np.bool_]]
#: Questions about Alzheimer's disease are asked among people of at least this age (years).
LATE_LIFE = 55
#: The order in which conditions are named, where they occur.
ORDER = ("CN", "MCI", "AD")


@dataclass(frozen=True)
class Truth:
    """What is true of every scan of a simulated cohort.

    Parameters
    ----------
    volumes
        Columns ``true_REGION_mm3``, one row a scan in the order of the cohort's table.
    lesions
        Gives true lesion masks; None where the cohort has no lesions.
    """

    volumes: pd.DataFrame
    lesions: LesionMasks | None = None


@dataclass(frozen=True)
class Setting:
    """Cohort, splits and truth of one run of the benchmark.

    Parameters
    ----------
    cohort, splits
        The scans, and who has which part.
    truth
        What no contestant sees.
    seed
        Decides resampling, inner folds and random archives.
    """

    cohort: Cohort
    splits: Splits
    truth: Truth
    seed: int

    @property
    def pair(self) -> tuple[str, str]:
        """The two conditions of the oldest question."""
        return ("CN", "AD")

    @property
    def classes(self) -> tuple[str, ...]:
        """All conditions that are trained on."""
        found = set(self.text("diagnosis")[self.splits.train])
        return (*(name for name in ORDER if name in found), *sorted(found - set(ORDER)))

    def text(self, column: str) -> NDArray[np.str_]:
        """Return a column of the table as text, shape (scans,)."""
        return self.cohort.column(column).to_numpy(dtype=str)

    def numbers(self, column: str) -> NDArray[np.float64]:
        """Return a column of the table as numbers, NaN where unknown, shape (scans,)."""
        return self.cohort.column(column).to_numpy(dtype=np.float64)

    def has(self, *columns: str) -> bool:
        """Return whether the table has these columns."""
        return set(columns) <= set(self.cohort.table.columns)

    def of(self, rows: Rows, *diagnoses: str) -> Rows:
        """Keep of `rows` those with one of these diagnoses."""
        return rows[np.isin(self.text("diagnosis")[rows], diagnoses)]

    def late(self, rows: Rows, *diagnoses: str) -> Rows:
        """Keep of `rows` those with one of these diagnoses and of at least `LATE_LIFE` years.

        Among people of all ages, age alone would tell controls from patients.
        """
        return self.of(rows[self.numbers("age")[rows] >= LATE_LIFE], *diagnoses)


def check_setting(setting: Setting) -> None:
    """Refuse a cohort without patients and controls in every part.

    Raises
    ------
    CohortError
        Names what is missing.
    """
    for part in ("train", "gallery", "query"):
        rows = setting.splits.parts()[part]
        for name in setting.pair:
            if (n := len(setting.late(rows, name))) < 3:
                found = f"{n} people of {name} of {LATE_LIFE} years or more to {part}"
                raise CohortError(setting.cohort.folder, found, "at least 3", "Simulate more.")
