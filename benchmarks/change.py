"""Search by change on simulated courses: do the people found have the same cause and pace?

``python benchmarks/change.py FOLDER [SEED]``. Simulates 400 people of eight conditions with two
scans two years apart (seed 0: development; 1001: report), indexes them with the starter model, and
asks with each person. Ten people found by change, beside ten by the later scan alone, ten at
random, and the ten nearest by the true rates of 78 volumes, which nobody can know.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import braincase
from braincase.cohort.cohort import Cohort
from braincase.gallery import Gallery
from braincase.images.geometry import HALF_GRID
from braincase.models.starter import STARTER
from braincase.search.courses import Course, courses_of, search_by_change
from braincase.simulate.cohort import recipe_of, write_visits
from braincase.simulate.people import Size, draw_visits
from braincase.simulate.truth import read_truth, volume_column
from braincase.volumetry.regions import NAMES

PEOPLE = {"CN": 100, "AD": 60, "MCI": 50, "bvFTD": 40, "svPPA": 40, "NPH": 40, "MS": 30, "SVD": 40}
YEARS, K = 2, 10
VENTRICLES = ("left-lateral-ventricle", "right-lateral-ventricle")

#: Rows of the people found for each person, shape (people, K).
Found = NDArray[np.intp]


def main(folder: Path, seed: int) -> None:
    size = Size({name: (n, n * (YEARS + 1)) for name, n in PEOPLE.items()}, 4, all_ages=True)
    visits = [visit for visit in draw_visits(size, seed) if visit.year in (0, YEARS)]
    recipe = recipe_of("courses", seed, 0.0)
    cohort = write_visits(folder / "cohort", HALF_GRID, visits, recipe, workers=0)
    braincase.index_cohort(folder / "gallery", cohort, STARTER)
    with braincase.open_gallery(folder / "gallery") as opened:
        courses = courses_of(opened.gallery.cases(), (YEARS - 0.5, YEARS + 0.5))
        causes = np.array([str(course.current.labels["diagnosis"]) for course in courses])
        rates = true_rates(cohort, courses)
        print(f"{len(courses)} simulated courses of {YEARS} years, seed {seed}; {K} people found")
        found = {
            "by change": by_change(opened.gallery, courses),
            "by the later scan alone": nearest([course.current.code for course in courses]),
            "at random": nearest(
                list(np.random.default_rng(seed).standard_normal((len(rates), 3)))
            ),
            "by the true rates": nearest(list(rates)),
        }
    for name, rows in found.items():
        print(f"{name}: {line(rows, causes, rates)}")


def true_rates(cohort: Cohort, courses: Sequence[Course]) -> NDArray[np.float64]:
    """Return the change of the true log volumes, a year, shape (courses, regions)."""
    truth = read_truth(cohort)
    logs = np.log(np.stack([truth[volume_column(name)] for name in NAMES], axis=1).astype(float))
    row = {scan_id: i for i, scan_id in enumerate(cohort.column("scan_id"))}
    ends = [(row[c.current.scan_id], row[c.prior.scan_id], c.years) for c in courses]
    return np.stack([(logs[later] - logs[earlier]) / years for later, earlier, years in ends])


def by_change(gallery: Gallery, courses: Sequence[Course]) -> Found:
    row = {course.current.subject: i for i, course in enumerate(courses)}
    found = []
    for course in courses:
        subject = course.current.subject
        result = search_by_change(
            gallery, course.prior.code, course.current.code, course.years, k=K, subject=subject
        )
        found.append([row[hit.subject] for hit in result.hits])
    return np.array(found)


def nearest(vectors: Sequence[NDArray[np.floating]]) -> Found:
    points = np.stack(vectors).astype(np.float64)
    squares = ((points[:, None] - points[None]) ** 2).sum(axis=2)
    np.fill_diagonal(squares, np.inf)
    return squares.argsort(axis=1)[:, :K]


def line(found: Found, causes: NDArray[np.str_], rates: NDArray[np.float64]) -> str:
    same = (causes[found] == causes[:, None]).mean(axis=1)
    each = [same[causes == cause] for cause in np.unique(causes)]
    low, high = interval(same, lambda rows: mean_of_causes(same[rows], causes[rows]))
    columns = [NAMES.index(name) for name in VENTRICLES]
    pace = 100 * rates[:, columns].mean(axis=1)
    apart = np.abs(pace[found] - pace[:, None]).mean()
    by_cause = ", ".join(
        f"{cause} {part.mean():.2f}" for cause, part in zip(np.unique(causes), each, strict=True)
    )
    return (
        f"same cause {np.mean([part.mean() for part in each]):.3f} ({low:.3f} to {high:.3f});"
        f" ventricles {apart:.2f} % a year apart; {by_cause}"
    )


def mean_of_causes(same: NDArray[np.float64], causes: NDArray[np.str_]) -> float:
    return float(np.mean([same[causes == cause].mean() for cause in np.unique(causes)]))


def interval(
    same: NDArray[np.float64], statistic: Callable[[NDArray[np.intp]], float]
) -> tuple[float, float]:
    """Return the 95 % interval of a mean over causes, by bootstrap over the people who ask."""
    rng = np.random.default_rng(0)
    values = [statistic(rng.integers(0, len(same), len(same))) for _ in range(500)]
    low, high = np.percentile(values, [2.5, 97.5])
    return float(low), float(high)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 0)
