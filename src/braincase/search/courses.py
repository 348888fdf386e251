"""Longitudinal search: people whose brain changed alike over a like time.

A course is two scans of one person; its rate of change is the difference of their codes by the
years between them. Rates are compared along the principal axes of the rates that a gallery holds:
between two scans most numbers of a code differ by noise, and the axes leave it out. Nothing is
learned from labels.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from braincase.errors import ParameterError, TooFewPeopleError
from braincase.gallery import Code, Gallery, StoredCase
from braincase.json_values import Json, to_json_object
from braincase.labels import Value
from braincase.population.volume_norms import MEASURES, told_volumes, volumes_ml
from braincase.search.options import USUAL_K
from braincase.volumetry.code_layout import LONG, NETWORK, VOLUMES

Floats = NDArray[np.float64]
#: Scans nearer in time than this show noise and no change, years.
LEAST_YEARS = 0.25
#: The time between a hit's scans is between this part of the query's and its inverse.
LIKE_TIME = 0.5
#: Principal axes of the rates; chosen on the development seed of `benchmarks/change.py`.
AXES = 10
#: With fewer courses no axes are learned: rates are compared number by number.
FEWEST_COURSES = 30


@dataclass(frozen=True, eq=False)
class Course:
    """Longitudinal course of a person: an earlier and a later scan, and the years between."""

    prior: StoredCase
    current: StoredCase
    years: float


@dataclass(frozen=True)
class CourseHit:
    """A course found by its rate of change.

    Parameters
    ----------
    rank, subject
        1 is the most alike; a person is found once.
    prior, current
        The scans, by scan_id.
    years
        Between them.
    distance
        Of the two rates of change, in the spread of the gallery's.
    prior_labels, labels
        What was known at the earlier scan, and at the later.
    volume_rates
        Change of named volumes in percent a year; empty where codes hold no volumes.
    """

    rank: int
    subject: str
    prior: str
    current: str
    years: float
    distance: float
    prior_labels: Mapping[str, Value]
    labels: Mapping[str, Value]
    volume_rates: Mapping[str, float]


@dataclass(frozen=True)
class ChangeResult:
    """Result of a search by change: who changed alike, and how the query's person did.

    Parameters
    ----------
    hits
        The most alike first.
    years
        Between the query's scans.
    volume_rates
        Of the query, as of a hit.
    subject
        Whose courses were set apart.
    n_courses, n_people
        That were compared: of others, over a like time, passing the filter.
    like_time
        Years between the scans of a course that counts, from and to.
    gallery, gallery_version, where
        What was searched.
    notes
        What the reader should know, a sentence each.
    """

    hits: tuple[CourseHit, ...]
    years: float
    volume_rates: Mapping[str, float]
    subject: str | None
    n_courses: int
    n_people: int
    like_time: tuple[float, float]
    gallery: str
    gallery_version: int
    where: str
    notes: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Json]:
        """Return plain JSON values."""
        return to_json_object(self)


def search_by_change(
    gallery: Gallery,
    prior: Code,
    current: Code,
    years: float,
    *,
    k: int | None = None,
    where: str = "",
    subject: str | None = None,
    as_of: int | None = None,
    labels: Sequence[Mapping[str, Value]] = (),
) -> ChangeResult:
    """Find the people of a gallery whose brain changed most alike over a like time.

    Parameters
    ----------
    gallery
        People in it are found who have two scans at known ages.
    prior, current
        Codes of the earlier and of the later scan, shape (numbers,), of the gallery's model.
    years
        Between them.
    k
        Number of hits; None for 10, or for all people of a smaller gallery.
    where
        A filter that the later scan of a hit passes.
    subject
        The query's person, whose own courses are no hits.
    as_of
        An earlier version of the gallery.
    labels
        Of the query's two scans: without them it counts as a real person's (`told_volumes`).

    Raises
    ------
    ParameterError
        If the time between the scans is too short.
    TooFewPeopleError
        If nobody of the gallery was scanned twice over a like time.
    """
    if years < LEAST_YEARS:
        expected = f"at least {LEAST_YEARS} years, the later scan second"
        raise ParameterError("years", f"{years:g} years between the scans", expected)
    info = gallery.info(as_of)
    bounds = (max(LEAST_YEARS, LIKE_TIME * years), years / LIKE_TIME)
    everybody = [
        course
        for course in courses_of(gallery.cases(as_of=info.version), bounds)
        if course.current.subject != subject
    ]
    courses = everybody
    if where.strip():
        passed = {case.scan_id for case in gallery.cases(where, info.version)}
        courses = [course for course in everybody if course.current.scan_id in passed]
    if not courses:
        found = f"no other person scanned twice{' who passes the filter' if where else ''}"
        expected = f"two scans {bounds[0]:.1f} to {bounds[1]:.1f} years apart, with ages"
        raise TooFewPeopleError(info.url, found, expected)
    own = (current.astype(np.float64) - prior) / years
    axes = learn_axes(_rates(everybody))
    apart = np.linalg.norm(axes.places(_rates(courses)) - axes.places(own), axis=1)
    nearest = _nearest_of_each(courses, apart)
    n_people = len(nearest)
    k = min(USUAL_K, n_people) if k is None else k
    return ChangeResult(
        tuple(_hit(i, *pair, info.simulated) for i, pair in enumerate(nearest[:k], start=1)),
        round(years, 2),
        volume_rates(prior, current, years, told_volumes(info.simulated, *labels)),
        subject,
        len(courses),
        n_people,
        bounds,
        info.url,
        info.version,
        where,
        tuple(_notes(k, n_people, len(everybody))),
    )


def courses_of(cases: Iterable[StoredCase], bounds: tuple[float, float]) -> list[Course]:
    """Return all pairs of one person's scans that lie so many years apart, from and to."""
    scans: dict[str, list[tuple[float, StoredCase]]] = {}
    for case in cases:
        age = case.labels.get("age")
        if isinstance(age, int | float):
            scans.setdefault(case.subject, []).append((float(age), case))
    return [
        Course(prior, current, later - earlier)
        for own in scans.values()
        for (earlier, prior), (later, current) in combinations(
            sorted(own, key=lambda scan: scan[0]), 2
        )
        if bounds[0] - 1e-6 <= later - earlier <= bounds[1] + 1e-6
    ]


@dataclass(frozen=True, eq=False)
class RateAxes:
    """Principal axes of rates of change.

    Parameters
    ----------
    scale
        Of each number of a code, shape (numbers,); 0 for those that are not compared.
    axes
        Shape (numbers, axes).
    """

    scale: Floats
    axes: Floats

    def places(self, rates: Floats) -> Floats:
        """Return where rates lie along the axes, shape (n, axes)."""
        return np.asarray((rates * self.scale) @ self.axes)


def learn_axes(rates: Floats) -> RateAxes:
    """Learn the principal axes of a gallery's rates of change.

    Of a code with a local part the network's numbers and the volumes are compared, the two as much,
    each volume by its usual change; the rest hardly changes, or is no smooth function of the image.

    Parameters
    ----------
    rates
        Shape (courses, numbers).
    """
    usual = np.sqrt((rates**2).mean(axis=0))
    scale = np.zeros(rates.shape[1])
    if rates.shape[1] == LONG:
        scale[NETWORK] = _inverse(np.linalg.norm(usual[NETWORK]))
        scale[VOLUMES] = _inverse(usual[VOLUMES] * np.sqrt(usual[VOLUMES].size))
    else:
        scale[:] = _inverse(np.linalg.norm(usual))
    scaled = rates * scale
    if len(rates) < FEWEST_COURSES:
        return RateAxes(scale, np.eye(rates.shape[1]))
    axes = np.linalg.svd(scaled - scaled.mean(axis=0), full_matrices=False)[2][:AXES]
    return RateAxes(scale, axes.T)


def _inverse(values: ArrayLike) -> Floats:
    """Return 1 / values, and 0 for 0: what never changes tells nothing."""
    array = np.asarray(values, np.float64)
    return np.divide(1, array, out=np.zeros_like(array), where=array > 0)


def volume_rates(
    prior: Code, current: Code, years: float, names: Sequence[str]
) -> dict[str, float]:
    """Return how named volumes changed, in percent a year; empty where codes hold none."""
    before, after = volumes_ml(prior), volumes_ml(current)
    if before is None or after is None:
        return {}
    rates = 100 * ((after / before) ** (1 / years) - 1)
    by_name = dict(zip(MEASURES, np.round(rates, 2).tolist(), strict=True))
    return {name: by_name[name] for name in names}


def _rates(courses: Sequence[Course]) -> Floats:
    """Return the rates of change of codes, a year, shape (courses, numbers)."""
    return np.stack([(c.current.code.astype(np.float64) - c.prior.code) / c.years for c in courses])


def _nearest_of_each(courses: Sequence[Course], apart: Floats) -> list[tuple[Course, float]]:
    """Return the nearest course of each person, the nearest first."""
    nearest: dict[str, tuple[Course, float]] = {}
    for i in np.argsort(apart, kind="stable").tolist():
        nearest.setdefault(courses[i].current.subject, (courses[i], float(apart[i])))
    return list(nearest.values())


def _hit(rank: int, course: Course, distance: float, gallery_simulated: bool) -> CourseHit:
    prior, current = course.prior, course.current
    told = told_volumes(gallery_simulated, prior.labels, current.labels)
    return CourseHit(
        rank,
        current.subject,
        prior.scan_id,
        current.scan_id,
        round(course.years, 2),
        distance,
        prior.labels,
        current.labels,
        volume_rates(prior.code, current.code, course.years, told),
    )


def _notes(k: int, n_people: int, n_courses: int) -> Iterable[str]:
    if n_people < k:
        yield f"{n_people} of {k} hits: nobody else was scanned twice over a like time."
    if n_courses < FEWEST_COURSES:
        yield (
            f"Only {n_courses} courses over a like time: too few to tell change from noise, so"
            " every number counts alike."
        )
