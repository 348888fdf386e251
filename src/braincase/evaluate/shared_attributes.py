"""Permutation tests of what neighbours share, and whether two scans of a person find each other.

Chance is what permuting people's values gives: once among all people, once among people of one
class, which takes away what the diagnosis alone explains.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from braincase.evaluate.ranking import rank_cases
from braincase.evaluate.resampling import estimate, ratio_of
from braincase.evaluate.results import Codes, Estimate, Rows
from braincase.evaluate.scores import HITS
from braincase.evaluate.study import Attribute, Study

PERMUTATIONS = 1000


@dataclass(frozen=True)
class Chance:
    """What permuting people's values gives.

    Parameters
    ----------
    enrichment
        How much more alike neighbours are than permuted ones; 1 is chance. Observed over expected
        share for categories, expected over observed difference for quantities.
    null
        The middle 95 % of the permutations on the same scale.
    p
        Share of permutations at least as alike as observed, the observed one counted in.
    """

    enrichment: float
    null: Estimate
    p: float


@dataclass(frozen=True)
class Sharing:
    """Whether neighbours share one attribute.

    Parameters
    ----------
    attribute
        Name of the column.
    quantity
        True for numbers (age): `observed` is the mean absolute difference to the 10 nearest cases.
        False for categories: the share of them with the query's value.
    observed
        With its interval over people.
    among_all
        Against permutation among all people.
    within_class
        Against permutation among people of one class; None for the class itself.
    """

    attribute: str
    quantity: bool
    observed: Estimate
    among_all: Chance
    within_class: Chance | None


@dataclass(frozen=True)
class Linking:
    """How often the nearest other held-out scan is of the same person.

    Parameters
    ----------
    rate
        Share of queries, with its interval over people.
    chance
        What guessing would give.
    people, scans
        Held-out people with several scans, and all the held-out scans they were sought among.
    """

    rate: Estimate
    chance: float
    people: int
    scans: int


@dataclass(frozen=True)
class Neighbourhood:
    """One fold's codes: held-out people's first scans among the training people's.

    Parameters
    ----------
    queries, gallery
        Rows, one scan a person.
    nearest
        The 10 nearest cases of each query, as positions in `gallery`, shape (queries, 10).
    query_codes, gallery_codes
        Codes of both.
    scans, scan_codes
        All held-out scans, for linking.
    """

    queries: Rows
    gallery: Rows
    nearest: NDArray[np.int64]
    query_codes: Codes
    gallery_codes: Codes
    scans: Rows
    scan_codes: Codes


def neighbourhood(
    study: Study, scans: Rows, gallery: Rows, scan_codes: Codes, gallery_codes: Codes
) -> Neighbourhood:
    """Find the nearest cases of each held-out person's first scan; `scans` ascending."""
    queries = study.first_scans(scans)
    query_codes = scan_codes[np.searchsorted(scans, queries)]
    subjects = study.subjects
    order = rank_cases(query_codes, gallery_codes, subjects[queries], subjects[gallery])
    nearest = order[:, : min(HITS, order.shape[1])]
    return Neighbourhood(queries, gallery, nearest, query_codes, gallery_codes, scans, scan_codes)


def measure_sharing(
    study: Study,
    attribute: Attribute,
    folds: Sequence[Neighbourhood],
    permutations: int = PERMUTATIONS,
) -> Sharing | None:
    """Compare what neighbours share with what they would after permuting people's values.

    Returns
    -------
    None where fewer than two different values are known, or no query and neighbour have one.
    """
    values = attribute.values
    parts = [_likeness(values, attribute.quantity, fold) for fold in folds]
    sums, counts = (np.concatenate(column) for column in zip(*parts, strict=True))
    people = np.unique(np.concatenate([rows for f in folds for rows in (f.queries, f.gallery)]))
    defined = values[people][~np.isnan(values[people])]
    if not counts.sum() or len(np.unique(defined)) < 2:
        return None
    fold_of = np.concatenate([np.full(len(f.queries), i) for i, f in enumerate(folds)])
    observed = estimate(ratio_of(sums, counts), fold_of, study.seed)

    def against(strata: NDArray[np.intp]) -> Chance:
        null = _permuted(attribute, folds, people, strata[people], permutations, study.seed)
        return _chance(null, observed.value, attribute.quantity)

    return Sharing(
        attribute.name,
        attribute.quantity,
        observed,
        against(np.zeros_like(study.y)),
        None if attribute.name == study.label else against(study.y),
    )


def link_people(study: Study, folds: Sequence[Neighbourhood]) -> Linking | None:
    """Return how often a scan's nearest other held-out scan is of the same person.

    Returns
    -------
    None where nobody held out has two scans.
    """
    hits, others, chances, fold_of = [], [], [], []
    for number, fold in enumerate(folds):
        subjects = study.subjects[fold.scans]
        own = (subjects[:, None] == subjects).sum(axis=1) - 1
        asks = np.flatnonzero(own > 0)
        # Each scan goes by its own name here, so that only the scan itself is left out.
        names = fold.scans.astype(str)
        order = rank_cases(fold.scan_codes[asks], fold.scan_codes, names[asks], names)
        _, person = np.unique(subjects[asks], return_inverse=True)
        hits.append(np.bincount(person, subjects[order[:, 0]] == subjects[asks]).astype(np.float64))
        others.append(np.bincount(person).astype(np.float64))
        chances.append(own[asks] / (len(subjects) - 1))
        fold_of.append(np.full(len(hits[-1]), number))
    linked, scans = np.concatenate(hits), np.concatenate(others)
    if not len(scans):
        return None
    rate = estimate(ratio_of(linked, scans), np.concatenate(fold_of), study.seed)
    chance = float(np.concatenate(chances).mean())
    return Linking(rate, chance, len(scans), sum(len(fold.scans) for fold in folds))


def _likeness(
    values: NDArray[np.float64], quantity: bool, fold: Neighbourhood
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return each query's summed likeness to its neighbours, and how many have a known value."""
    theirs = values[fold.gallery][fold.nearest]
    own = values[fold.queries][:, None]
    both = ~(np.isnan(theirs) | np.isnan(own))
    likeness = np.abs(theirs - own) if quantity else theirs == own
    return np.where(both, likeness, 0.0).sum(axis=1), both.sum(axis=1, dtype=np.float64)


def _permuted(
    attribute: Attribute,
    folds: Sequence[Neighbourhood],
    people: Rows,
    stratum: NDArray[np.intp],
    permutations: int,
    seed: int,
) -> NDArray[np.float64]:
    """Return the pooled likeness after permuting people's values within their strata.

    A person is a query in one fold and in the gallery of others, and keeps one permuted value in
    all of them: permuting each gallery by itself would take mutual neighbours for independent.
    """
    rng = np.random.default_rng(seed)
    values, null = attribute.values.copy(), np.empty(permutations)
    places = people[np.argsort(stratum, kind="stable")]
    for i in range(permutations):
        values[places] = attribute.values[people][np.lexsort((rng.random(len(people)), stratum))]
        parts = [_likeness(values, attribute.quantity, fold) for fold in folds]
        sums, counts = (sum(float(p[column].sum()) for p in parts) for column in (0, 1))
        null[i] = sums / max(counts, 1.0)
    return null


def _chance(null: NDArray[np.float64], observed: float, quantity: bool) -> Chance:
    expected = float(null.mean())
    alike = null <= observed if quantity else null >= observed
    p = float((1 + alike.sum()) / (1 + len(null)))

    def scale(value: float) -> float:
        """Turn likeness into enrichment."""
        above, below = (expected, value) if quantity else (value, expected)
        return above / below if below else float("nan")

    low, high = sorted(scale(float(end)) for end in np.quantile(null, [0.025, 0.975]))
    return Chance(scale(observed), Estimate(1.0, low, high), p)
