"""Contestants of the benchmark: anything that turns scans into vectors (an encoder, a feature)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from braincase.cohort.cohort import Cohort
from braincase.errors import CohortError, ParameterError
from braincase.evaluate.results import Codes, Rows
from braincase.evaluate.study import embed_rows
from braincase.images.geometry import Grid
from braincase.models.encoder import Embed, Encoder

Kind = Literal["contestant", "baseline", "ceiling"]
#: What is done with the vectors: compared as they are, or turned by a classifier fitted on the
#: training people of a task.
Head = Literal["distance", "LDA", "posterior", "SVM"]
#: (cohort, training rows, rows) -> vectors of the rows, float32 of shape (len(rows), d). Whatever
#: is fitted is fitted on the training rows alone.
Vectors = Callable[[Cohort, Rows, Rows], Codes]


@dataclass(frozen=True)
class Contestant:
    """One way of searching that is scored.

    Parameters
    ----------
    name
        As it stands in tables; each name once.
    kind
        Who competes, what is always printed beside it, or what shows the most that is possible.
    runs
        One function for each training seed; results count the spread between them.
    head
        What is done with the vectors.
    reads_images
        False for what knows only the table: the scanner task is then not asked, since age and sex
        are the same on all scanners.
    fingerprints
        Of each run's weights.
    """

    name: str
    kind: Kind
    runs: tuple[Vectors, ...]
    head: Head = "distance"
    reads_images: bool = True
    fingerprints: tuple[str, ...] = ()


def contestant_of_encoders(name: str, encoders: Sequence[Encoder]) -> Contestant:
    """Return encoders of one kind (one for each training seed) as a contestant."""
    runs = tuple(vectors_of_embedding(name, e.embed, e.grid) for e in encoders)
    return Contestant(name, "contestant", runs, fingerprints=tuple(e.fingerprint for e in encoders))


def vectors_of_embedding(name: str, embed: Embed, grid: Grid) -> Vectors:
    """Return an embedding of volumes, fitted before, as a function of a cohort's rows."""

    def vectors(cohort: Cohort, train: Rows, rows: Rows) -> Codes:
        if grid != cohort.grid:
            found, expected = (f"volumes of {g.resolution_mm} mm" for g in (cohort.grid, grid))
            raise CohortError(cohort.folder, found, f"{expected} for {name}")
        return embed_rows(embed, cohort, rows)

    return vectors


def vectors_of_all(run: Vectors, name: str, cohort: Cohort, train: Rows) -> NDArray[np.float32]:
    """Return one run's vectors of every row of the cohort, checked.

    Raises
    ------
    CohortError
        If there is not one finite vector a scan.
    """
    rows = np.arange(len(cohort))
    vectors = np.asarray(run(cohort, train, rows), np.float32)
    if vectors.ndim != 2 or len(vectors) != len(rows):
        found = f"vectors of shape {vectors.shape} from {name}"
        raise CohortError(cohort.folder, found, f"({len(rows)}, any length)")
    if bad := int((~np.isfinite(vectors)).any(axis=1).sum()):
        found = f"vectors of {bad} scans that are no numbers from {name}"
        raise CohortError(cohort.folder, found, "finite numbers")
    return vectors


def check_names(contestants: Sequence[Contestant]) -> None:
    """Refuse two contestants of one name.

    Raises
    ------
    ParameterError
        Names them.
    """
    names = [contestant.name for contestant in contestants]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        found = f"two contestants named {twice[0]!r}"
        raise ParameterError("model, train", found, "different names", "Call one NAME=FOLDER.")
