"""Person-disjoint train, gallery and query sets of the benchmark, dealt by a hash of the names.

No library's random numbers decide them, so they are the same on every machine and in every version.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from hashlib import sha256
from itertools import combinations

import numpy as np
import pandas as pd

from braincase.cohort.cohort import Cohort
from braincase.cohort.splits import Fold
from braincase.evaluate.results import Rows
from braincase.evaluate.study import check_sides, one_scan_a_person
from braincase.json_values import canonical_json
from braincase.simulate.people import TRAVELLING

#: Groups that nothing is ever fitted on: they only ask.
NEVER_TRAINED = ("SMC", "EMCI", "LMCI")
#: Of four people of one diagnosis one asks, one can be found, and two train.
PARTS = 4


@dataclass(frozen=True)
class Splits:
    """Rows of a cohort's table by their part in the benchmark; no person is in two.

    Parameters
    ----------
    train
        All scans of the people that encoders and baselines are fitted on.
    gallery
        One scan of each person that can be found.
    query
        One scan of each person that asks.
    never_trained
        One scan of each person of `NEVER_TRAINED`.
    travelling
        All scans of travelling heads and repeats.
    """

    train: Rows
    gallery: Rows
    query: Rows
    never_trained: Rows
    travelling: Rows

    def parts(self) -> Mapping[str, Rows]:
        """Return the rows of each part by its name."""
        return {part.name: getattr(self, part.name) for part in fields(self)}


def deal_people(table: pd.DataFrame, seed: int) -> Splits:
    """Deal the people of a cohort's table into the parts of the benchmark.

    Parameters
    ----------
    table
        With the columns subject and diagnosis, and design where there are travelling heads.
    seed
        The same seed deals the same way.
    """
    subjects = table["subject"].to_numpy(dtype=str)
    diagnosis = table["diagnosis"].to_numpy(dtype=str)
    design = table["design"].to_numpy(dtype=str) if "design" in table else np.full(len(table), "")
    travellers = np.unique(subjects[np.isin(design, TRAVELLING)])
    travels = np.isin(subjects, travellers)
    # Who ever had a diagnosis of these is kept out, whatever the later one was.
    is_new = np.isin(subjects, np.unique(subjects[np.isin(diagnosis, NEVER_TRAINED)])) & ~travels
    part = {
        s: p
        for rows in _groups(diagnosis, ~travels & ~is_new)
        for s, p in _deal(subjects[rows], seed)
    }
    place = np.array([part.get(subject, "") for subject in subjects])
    return Splits(
        train=np.flatnonzero(place == "train"),
        gallery=one_scan_a_person(subjects, np.flatnonzero(place == "gallery")),
        query=one_scan_a_person(subjects, np.flatnonzero(place == "query")),
        never_trained=one_scan_a_person(subjects, np.flatnonzero(is_new)),
        travelling=np.flatnonzero(travels),
    )


def _groups(diagnosis: np.ndarray, among: np.ndarray) -> list[Rows]:
    return [np.flatnonzero(among & (diagnosis == name)) for name in np.unique(diagnosis[among])]


def _deal(subjects: np.ndarray, seed: int) -> list[tuple[str, str]]:
    people = sorted(set(map(str, subjects)), key=lambda s: sha256(f"{seed}/{s}".encode()).digest())
    names = ("query", "gallery", "train", "train")
    return [(person, names[i % PARTS]) for i, person in enumerate(people)]


def check_splits(cohort: Cohort, splits: Splits) -> None:
    """Refuse splits in which a person, or one image under two names, has two parts.

    Raises
    ------
    LeakError
        Names the subjects.
    """
    for a, b in combinations(splits.parts().values(), 2):
        check_sides(cohort, Fold(train=np.asarray(a, np.int64), test=np.asarray(b, np.int64)))


def splits_checksum(table: pd.DataFrame, splits: Splits) -> str:
    """Return the SHA-256 of who has which part."""
    subjects = table["subject"].to_numpy(dtype=str)
    people = {name: sorted(set(subjects[rows])) for name, rows in splits.parts().items()}
    return sha256(canonical_json(people).encode()).hexdigest()
