"""Two more ways to be similar: built alike whatever the disease, and ill alike whatever the build.

A gallery's codes are adjusted for age and sex as its controls depend on them, and scaled by what
remains of the controls' spread. In that space the directions in which patients differ from controls
(Fisher's discriminant, with a shrunken covariance) are the *abnormality*; what is left when these
are taken out is the *normal anatomy*.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from braincase.errors import GalleryError, ParameterError
from braincase.gallery import Gallery, Query, SearchResult, StoredCase, hit_of
from braincase.labels import CONTROL_NAMES, Value, knows_age_and_sex, value_text
from braincase.population.cache import cached
from braincase.population.controls import terms_of_labels
from braincase.population.normative import FEWEST_CONTROLS, N_TERMS

#: By the name the user knows them; ``code`` is the model's own distance.
SIMILARITIES = ("code", "normal", "abnormality")
_CALLED = {"normal": "normal anatomy", "abnormality": "abnormality"}
#: People from whom it is learned at most, and how few patients of one kind teach nothing.
MOST_PEOPLE, FEWEST_PATIENTS = 5000, 20
#: Parts that are left out in turn to measure how far controls spread.
N_FOLDS = 5
#: Cells that vary less than this part of the most variable one are not scaled up.
LEAST_SPREAD = 0.05
#: Part of the covariance that is replaced by its mean diagonal (Ledoit & Wolf 2004 on why).
SHRINKAGE = 0.3


@dataclass(frozen=True)
class AxesDistances:
    """How differently two people are built, and how differently ill; in controls' deviations."""

    normal_anatomy: float
    abnormality: float


@dataclass(frozen=True, eq=False)
class DiseaseAxes:
    """How codes divide into normal anatomy and abnormality, learned from one gallery.

    Parameters
    ----------
    coefficients
        How the controls' codes depend on age and sex, shape (N_TERMS, n_cells).
    deviation
        What remains of their spread, shape (n_cells,).
    directions
        From an adjusted code to its abnormality, shape (n_cells, n_kinds).
    patterns
        What a unit of abnormality adds to an adjusted code, shape (n_kinds, n_cells).
    kinds
        The labels of the patients it was learned from.
    controls
        How many people are normal here.
    """

    coefficients: NDArray[np.float64]
    deviation: NDArray[np.float64]
    directions: NDArray[np.float64]
    patterns: NDArray[np.float64]
    kinds: tuple[str, ...]
    controls: int

    def parts(
        self, codes: ArrayLike, labels: Sequence[Mapping[str, Value]]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return normal anatomy, shape (n, n_cells), and abnormality, shape (n, n_kinds)."""
        terms = np.array([terms_of_labels(one) for one in labels]).reshape(-1, N_TERMS)
        adjusted = (np.asarray(codes, np.float64) - terms @ self.coefficients) / self.deviation
        abnormality = adjusted @ self.directions
        return adjusted - abnormality @ self.patterns, abnormality

    def between(
        self, code: ArrayLike, labels: Mapping[str, Value], cases: Sequence[StoredCase]
    ) -> dict[str, AxesDistances]:
        """Compare one scan with cases, by scan_id; cases without age or sex are left out."""
        known = [case for case in cases if knows_age_and_sex(case.labels)]
        if not known:
            return {}
        own_build, own_illness = self.parts(np.asarray(code)[None], [labels])
        build, illness = self.parts([case.code for case in known], [case.labels for case in known])
        far = np.sqrt(((build - own_build) ** 2).mean(axis=1))
        ill = np.sqrt(((illness - own_illness) ** 2).sum(axis=1))
        return {
            case.scan_id: AxesDistances(float(one), float(other))
            for case, one, other in zip(known, far, ill, strict=True)
        }


def disease_axes_of(
    gallery: Gallery, as_of: int | None = None, column: str = "diagnosis"
) -> DiseaseAxes:
    """Learn how a gallery's codes divide, once for each of its versions.

    Parameters
    ----------
    gallery
        Its cases need age and sex.
    as_of
        The version; None for the newest.
    column
        The label that tells controls (`CONTROL_NAMES`) from patients.

    Raises
    ------
    GalleryError
        If it has too few controls, or no kind of patient often enough.
    """
    version = gallery.info(as_of).version

    def learn() -> dict[str, Any]:
        people = gallery.one_scan_each(MOST_PEOPLE, as_of=version)
        try:
            return _learned(people, column)
        except GalleryError as error:
            return {"missing": error.found}

    told = cached(gallery, version, "split", {"column": column}, learn)
    if "missing" in told:
        expected = f"{FEWEST_CONTROLS} controls and {FEWEST_PATIENTS} patients of one kind"
        raise GalleryError(gallery.info(version).url, told["missing"], expected)
    names = ("coefficients", "deviation", "directions", "patterns")
    arrays = {name: np.array(told[name], np.float64) for name in names}
    return DiseaseAxes(**arrays, kinds=tuple(told["kinds"]), controls=told["controls"])


def _learned(people: Sequence[StoredCase], column: str) -> dict[str, Any]:
    known = [case for case in people if knows_age_and_sex(case.labels)]
    labels = np.array([value_text(case.labels.get(column)) for case in known], dtype=np.str_)
    normal = np.isin(labels, CONTROL_NAMES)
    others, counts = np.unique(labels[~normal], return_counts=True)
    kinds = [str(one) for one in others[(counts >= FEWEST_PATIENTS) & (others != "")]]
    if normal.sum() < FEWEST_CONTROLS or not kinds:
        most = int(counts.max(initial=0))
        found = f"{int(normal.sum())} controls with age and sex, at most {most} patients of a kind"
        raise GalleryError(column, found)
    codes = np.stack([case.code for case in known]).astype(np.float64)
    terms = np.array([terms_of_labels(case.labels) for case in known])
    coefficients = np.linalg.lstsq(terms[normal], codes[normal], rcond=None)[0]
    residual = codes - terms @ coefficients
    deviation = residual[normal].std(axis=0)
    # A cell without brain hardly varies; scaled to unit spread its last digits would be a disease.
    deviation = np.maximum(deviation, LEAST_SPREAD * max(float(deviation.max()), 1e-12))
    adjusted = residual / deviation
    directions, patterns = _directions(adjusted, labels, normal, kinds)
    scale = _held_out_spread(adjusted, labels, normal, kinds)
    return {
        "coefficients": coefficients.tolist(),
        "deviation": deviation.tolist(),
        "directions": (directions / scale).tolist(),
        "patterns": (patterns * scale).tolist(),
        "kinds": kinds,
        "controls": int(normal.sum()),
    }


def _directions(
    adjusted: NDArray[np.float64],
    labels: NDArray[np.str_],
    normal: NDArray[np.bool_],
    kinds: Sequence[str],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return directions, of unit variance and uncorrelated in the shrunken covariance; patterns."""
    shifts = np.stack([adjusted[labels == kind].mean(axis=0) for kind in kinds], axis=1)
    covariance = _shrunken(adjusted[normal])
    raw = np.linalg.solve(covariance, shifts)
    values, vectors = np.linalg.eigh(raw.T @ covariance @ raw)
    good = values > 1e-9 * values[-1]
    directions = raw @ (vectors[:, good] / np.sqrt(values[good]))
    return directions, (covariance @ directions).T


def _held_out_spread(
    adjusted: NDArray[np.float64],
    labels: NDArray[np.str_],
    normal: NDArray[np.bool_],
    kinds: Sequence[str],
) -> float:
    """Return how far controls spread along directions learned without them, root mean square.

    Along directions learned from themselves they spread less, the more so the fewer they are.
    """
    folds = np.arange(len(adjusted)) % N_FOLDS
    squares = []
    for fold in range(N_FOLDS):
        rest = folds != fold
        directions, _ = _directions(adjusted[rest], labels[rest], normal[rest], kinds)
        squares.append((adjusted[~rest & normal] @ directions) ** 2)
    return float(np.sqrt(np.concatenate([part.mean(axis=1) for part in squares]).mean()))


def _shrunken(adjusted: NDArray[np.float64]) -> NDArray[np.float64]:
    covariance = np.atleast_2d(np.cov(adjusted.T))
    mean = float(np.trace(covariance)) / len(covariance)
    return (1 - SHRINKAGE) * covariance + SHRINKAGE * mean * np.eye(len(covariance))


def rank_by_axes(gallery: Gallery, query: Query, result: SearchResult, kind: str) -> SearchResult:
    """Rank all cases that a search went through by normal anatomy or by abnormality.

    Parameters
    ----------
    gallery, query, result
        The search by code.
    kind
        ``normal`` or ``abnormality``.

    Raises
    ------
    UsageError
        If the query's age or sex is not known.
    GalleryError
        If the gallery has too few controls or patients.
    """
    if not knows_age_and_sex(query.labels):
        advice = "Tell them with --age and --sex."
        raise ParameterError("similar_by", "age or sex of the query unknown", "both", advice)
    split = disease_axes_of(gallery, result.gallery_version)
    code = np.asarray(query.code, np.float32)
    everyone = gallery.nearest(
        code,
        result.n_cases,
        where=query.where,
        without_subject=result.own_subject,
        as_of=result.gallery_version,
    )
    compared = split.between(code, query.labels, everyone.cases)
    field = "normal_anatomy" if kind == "normal" else "abnormality"
    distances = {name: float(getattr(alike, field)) for name, alike in compared.items()}
    cases = [case for case in everyone.cases if case.scan_id in distances]
    cases.sort(key=lambda case: distances[case.scan_id])
    notes = [
        f"Ranked by {_CALLED[kind]}, learned from {split.controls} controls and patients with"
        f" {', '.join(split.kinds)}; the distance is in standard deviations of controls."
    ]
    if len(cases) < len(everyone.cases):
        notes.append(f"{len(everyone.cases) - len(cases)} cases without age or sex were left out.")
    return replace(
        result,
        hits=tuple(
            hit_of(rank, case, distances[case.scan_id])
            for rank, case in enumerate(cases[: query.k], start=1)
        ),
        weights_name=_CALLED[kind],
        n_searched=len(cases),
        notes=(*result.notes, *notes),
    )
