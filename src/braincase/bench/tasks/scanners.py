"""Task (f), scanner: is a person found who was scanned elsewhere, and is the scanner to be read?

References
----------
Shrout & Fleiss (1979), Intraclass correlations: ICC(2,1), absolute agreement. Shou et al. (2013),
Quantifying the reliability of image replication studies (I2C2): variances of a vector are summed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from braincase.bench.discriminant import discriminant
from braincase.bench.setting import Setting
from braincase.bench.tasks.task import Asked, Measure, Reference, Skipped, Task
from braincase.bench.views import Shown
from braincase.evaluate.answers import squared_distances
from braincase.evaluate.resampling import Floats, Statistic, mean_of, recalls
from braincase.evaluate.results import Codes, Rows

#: With fewer travelling heads nothing is asked.
FEWEST = 5


@dataclass(frozen=True)
class Travels:
    """Rows of travelling heads, shape (people, scanners), and of their repeats, shape (people, 2).

    A row of `repeats` has two scans of one person on one scanner, -1 where there is no repeat.
    """

    rows: Rows
    repeats: Rows


def travels_of(setting: Setting) -> Travels:
    """Return who was scanned on all scanners, and whose scan on one of them was repeated."""
    rows = setting.splits.travelling
    subject, scanner = setting.text("subject"), setting.text("scanner")
    is_repeat = (
        setting.text("design") == "repeat"
        if setting.has("design")
        else np.zeros(len(setting.cohort), bool)
    )
    scanners = np.unique(scanner[rows])
    grid, repeats = [], []
    for person in np.unique(subject[rows]):
        own = rows[subject[rows] == person]
        first = {scanner[row]: row for row in own[~is_repeat[own]]}
        if set(first) == set(scanners):
            grid.append([first[name] for name in scanners])
            again = [(first[scanner[row]], row) for row in own[is_repeat[own]]]
            repeats.append(again[0] if again else (-1, -1))
    empty = np.empty((0, len(scanners)), np.intp)
    return Travels(
        np.array(grid, np.intp) if grid else empty, np.array(repeats, np.intp).reshape(-1, 2)
    )


def found_elsewhere(codes: Codes, rows: Rows, gallery: Rows) -> NDArray[np.float64]:
    """Return each person's share of first hits on another scanner.

    Each scan of a person asks an archive of the gallery and of everybody's scan on one other
    scanner, for every pair of scanners.

    Parameters
    ----------
    codes
        Of all scans, shape (scans, d).
    rows
        Shape (people, scanners).
    gallery
        Scans of other people.

    Returns
    -------
    Shape (people,); a tie is no hit.
    """
    people, scanners = rows.shape
    flat = rows.ravel()
    among = squared_distances(codes[flat], codes[flat]).reshape(people, scanners, people, scanners)
    others = squared_distances(codes[flat], codes[gallery]).min(axis=1).reshape(people, scanners)
    own = np.arange(people)
    share = np.zeros(people)
    for here in range(scanners):
        for there in set(range(scanners)) - {here}:
            distances = among[:, here, :, there].copy()
            true = distances[own, own]
            distances[own, own] = np.inf
            share += true < np.minimum(distances.min(axis=1), others[:, here])
    return np.asarray(share / (scanners * (scanners - 1)))


def icc(codes: NDArray[np.floating]) -> Statistic:
    """Return ICC(2,1) of vectors, variances summed over their numbers, as a statistic over people.

    Parameters
    ----------
    codes
        Shape (people, scans of each, d).
    """
    values = np.asarray(codes - codes.mean(axis=(0, 1)), np.float64)
    _, k, _ = values.shape
    means = values.mean(axis=1)
    squares = (values**2).sum(axis=(1, 2))
    by_person = means @ means.T
    by_scanner = [values[:, j] @ values[:, j].T for j in range(k)]

    def of_people(rows: NDArray[np.intp]) -> float:
        n = len(rows)
        drawn = np.ix_(rows, rows)
        grand = by_person[drawn].sum() / n**2
        between = k * (by_person[rows, rows].sum() - n * grand)
        scanners = sum(gram[drawn].sum() / n - n * grand for gram in by_scanner)
        rest = squares[rows].sum() - n * k * grand - between - scanners
        person, scanner = between / (n - 1), scanners / (k - 1)
        error = max(rest, 0.0) / ((n - 1) * (k - 1))
        total = person + (k - 1) * error + k * (scanner - error) / n
        return float((person - error) / total) if total > 0 else float("nan")

    return lambda rows: np.array([of_people(np.asarray(row)) for row in rows])


def name_scanner(codes: Codes, setting: Setting) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Learn the scanner from training people's vectors and name that of the people who ask.

    Returns
    -------
    y, named
        Numbers of the true and the named scanner, shape (queries,).
    """
    scanner = setting.text("scanner")
    train, queries = setting.splits.train, setting.splits.query
    scanners = tuple(np.unique(scanner[train]))
    subjects = setting.text("subject")[train]
    _, evidence = discriminant(codes, train, scanner[train], subjects, scanners, setting.seed)
    y = np.array([scanners.index(name) if name in scanners else -1 for name in scanner[queries]])
    return y, evidence[queries].argmax(axis=1)


def ask_scanner(setting: Setting) -> Asked | Skipped:
    """Put the question to travelling heads, and to the query people."""
    travels = travels_of(setting)
    people, scanners = travels.rows.shape
    if people < FEWEST or scanners < 2:
        return Skipped(f"{people} people were scanned on all scanners, fewer than {FEWEST}")
    repeated = np.flatnonzero(travels.repeats[:, 0] >= 0)
    gallery, queries = setting.splits.gallery, setting.splits.query
    strata = np.array(["travelling"] * people + ["query"] * len(queries))

    def answer(shown: Shown) -> Mapping[str, Statistic]:
        codes = shown.every.vectors
        y, named = name_scanner(codes, setting)
        statistics = {
            "first_hit": _columns(
                mean_of(found_elsewhere(codes, travels.rows, gallery)), 0, people
            ),
            "icc": _columns(icc(codes[travels.rows]), 0, people),
            "scanner": _columns(_balanced(y, named), people, len(strata)),
        }
        if len(repeated) == people:
            statistics["repeat_icc"] = _columns(icc(codes[travels.repeats]), 0, people)
        return statistics

    chance = float(1 / len(np.unique(setting.text("scanner")[setting.splits.train])))
    references = {
        "first_hit": Reference(1 / (len(gallery) + people), 1.0),
        "icc": Reference(0.0, 1.0),
        "repeat_icc": Reference(0.0, 1.0),
        "scanner": Reference(chance, chance),
    }
    return Asked(strata, len(gallery) + people, answer, references)


def _columns(statistic: Statistic, start: int, stop: int) -> Statistic:
    """Return a statistic of some of the drawn columns, which strata keep in their places."""

    def of_columns(rows: NDArray[np.intp]) -> Floats:
        return statistic(rows[..., start:stop] - start)

    return of_columns


def _balanced(y: NDArray[np.intp], named: NDArray[np.intp]) -> Statistic:
    classes = np.unique(y)
    return lambda rows: np.nanmean(recalls(y[rows], named[rows], classes), axis=-1)


SCANNER = Task(
    "f",
    "scanner",
    "Scanner",
    "Is a person the first hit of their own scan on another scanner, and does the scanner show?",
    (
        Measure("first_hit", "own person first", "ranking", primary=True),
        Measure("icc", "ICC over scanners", "vectors"),
        Measure("repeat_icc", "ICC of repeats", "vectors"),
        Measure("scanner", "scanner named", "vectors", "lower"),
    ),
    ask_scanner,
    reads_images=True,
)
