"""Disease axes (Fisher's discriminant) of a gallery: abnormality, and normal anatomy without it.

A gallery's codes are adjusted for age and sex as its controls depend on them, and scaled by what
remains of the controls' spread. In that space the directions in which patients differ from controls
(Fisher's discriminant, with a shrunken covariance) are the *abnormality*. What is left when these
are taken out, and the directions in which patients vary much more than controls (a generalised
eigenvalue problem), is the *normal anatomy*. So people can be built alike with little regard to
the disease, and ill alike whatever the build (docs/search-explained.md has how far that holds).

References
----------
Fisher, R. A. (1936). The use of multiple measurements in taxonomic problems. Annals of Eugenics
7(2), 179-188.
Ledoit, O. & Wolf, M. (2004). Honey, I shrunk the sample covariance matrix. The Journal of Portfolio
Management 30(4), 110-119.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypedDict, final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from braincase.errors import TooFewPeopleError
from braincase.gallery import Gallery, StoredCase
from braincase.json_values import Json
from braincase.labels import CONTROL_NAMES, Value, age_and_sex, value_text
from braincase.population.cache import cached
from braincase.population.controls import USUAL_CONTROLS, are_controls
from braincase.population.covariance import shrunken
from braincase.population.normative import FEWEST_CONTROLS
from braincase.population.regression import N_TERMS, terms_of_labels

#: People from whom it is learned at most, and how few patients of one kind teach nothing.
MOST_PEOPLE, FEWEST_PATIENTS = 5000, 20
#: Parts that are left out in turn to measure how far controls spread.
N_FOLDS = 5
#: Cells that vary less than this part of the most variable one are not scaled up.
LEAST_SPREAD = 0.05
#: Part of the covariance that is replaced by its mean diagonal (Ledoit & Wolf).
SHRINKAGE = 0.3
#: Directions in which patients may vary more than controls; taken out are those in which held-out
#: patients have more than so many times the variance of held-out controls. Chosen on seed 0.
MOST_VARIABLE, MORE_VARIABLE = 16, 2.0
#: Patients from whom such directions are learned at most.
MOST_PATIENTS = 500


@dataclass(frozen=True)
class AxesDistances:
    """Distances of two people along and across the disease axes, in controls' deviations.

    `normal_anatomy` says how differently they are built, `abnormality` how differently ill.
    """

    normal_anatomy: float
    abnormality: float


@final
class _AxesJson(TypedDict):
    """`DiseaseAxes` as they are cached."""

    coefficients: list[list[float]]
    deviation: list[float]
    directions: list[list[float]]
    patterns: list[list[float]]
    n_axes: int
    kinds: list[str]
    controls: int


@final
class _MissingJson(TypedDict):
    """What is cached of a gallery with too few people: what it has of them."""

    missing: str


@dataclass(frozen=True, eq=False)
class DiseaseAxes:
    """Disease axes of one gallery's codes: they divide a code into abnormality and normal anatomy.

    Parameters
    ----------
    coefficients
        How the controls' codes depend on age and sex, shape (N_TERMS, n_cells).
    deviation
        What remains of their spread, shape (n_cells,).
    directions
        From an adjusted code to what is not normal anatomy of it, shape (n_cells, n_directions).
    patterns
        What a unit along each direction adds to an adjusted code, shape (n_directions, n_cells).
    n_axes
        So many of the directions, the first, are the abnormality; along the others patients only
        vary more than controls.
    kinds
        The labels of the patients it was learned from.
    controls
        How many people are normal here.
    """

    coefficients: NDArray[np.float64]
    deviation: NDArray[np.float64]
    directions: NDArray[np.float64]
    patterns: NDArray[np.float64]
    n_axes: int
    kinds: tuple[str, ...]
    controls: int

    def parts(
        self, codes: ArrayLike, labels: Sequence[Mapping[str, Value]]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return normal anatomy, shape (n, n_cells), and abnormality, shape (n, n_axes)."""
        terms = np.array([terms_of_labels(person) for person in labels]).reshape(-1, N_TERMS)
        adjusted = (np.asarray(codes, np.float64) - terms @ self.coefficients) / self.deviation
        places = adjusted @ self.directions
        return adjusted - places @ self.patterns, places[:, : self.n_axes]

    def between(
        self, code: ArrayLike, labels: Mapping[str, Value], cases: Sequence[StoredCase]
    ) -> dict[str, AxesDistances]:
        """Compare one scan with cases, by scan_id; cases without age or sex are left out."""
        comparable = [case for case in cases if age_and_sex(case.labels)]
        if not comparable:
            return {}
        own_build, own_illness = self.parts(np.asarray(code)[None], [labels])
        build, illness = self.parts(
            [case.code for case in comparable], [case.labels for case in comparable]
        )
        built_apart = np.sqrt(((build - own_build) ** 2).mean(axis=1))
        ill_apart = np.sqrt(((illness - own_illness) ** 2).sum(axis=1))
        return {
            case.scan_id: AxesDistances(float(built), float(ill))
            for case, built, ill in zip(comparable, built_apart, ill_apart, strict=True)
        }


def disease_axes_of(
    gallery: Gallery,
    as_of: int | None = None,
    column: str = "diagnosis",
    controls: str = USUAL_CONTROLS,
    *,
    learned_at: int | None = None,
) -> DiseaseAxes:
    """Learn the disease axes of a gallery's codes, once for each of its versions.

    Parameters
    ----------
    gallery
        Its cases need age and sex.
    as_of
        The version; None for the newest.
    column
        The label that tells kinds of patients and, by `CONTROL_NAMES`, controls.
    controls
        Who is a control instead, in the language of `braincase.gallery.filter`.
    learned_at
        As in `braincase.population.cache`.

    Raises
    ------
    TooFewPeopleError
        If it has too few controls, or no kind of patient often enough.
    """
    version = gallery.info(as_of).version

    def learn() -> _AxesJson | _MissingJson:
        return _learned(gallery.one_scan_each(MOST_PEOPLE, as_of=version), column, controls)

    depends_on: dict[str, Json] = {"column": column}
    if controls != USUAL_CONTROLS:
        depends_on["controls"] = controls
    told = cached(gallery, version, "split", depends_on, learn, _told, learned_at)
    if isinstance(told, str):
        expected = f"{FEWEST_CONTROLS} controls and {FEWEST_PATIENTS} patients of one kind"
        raise TooFewPeopleError(gallery.info(version).url, told, expected)
    return told


def _told(lesson: _AxesJson | _MissingJson) -> DiseaseAxes | str:
    """Return the axes, or what there was too little of."""
    if "missing" in lesson:
        return str(lesson["missing"])
    return DiseaseAxes(
        coefficients=np.array(lesson["coefficients"], np.float64),
        deviation=np.array(lesson["deviation"], np.float64),
        directions=np.array(lesson["directions"], np.float64),
        patterns=np.array(lesson["patterns"], np.float64),
        n_axes=lesson["n_axes"],
        kinds=tuple(lesson["kinds"]),
        controls=lesson["controls"],
    )


def _learned(people: Sequence[StoredCase], column: str, controls: str) -> _AxesJson | _MissingJson:
    usable = [case for case in people if age_and_sex(case.labels)]
    labels = np.array([value_text(case.labels.get(column)) for case in usable], dtype=np.str_)
    normal = named = np.isin(labels, CONTROL_NAMES)
    if controls != USUAL_CONTROLS:
        # Who is called a control and is none by the filter is no kind of patient either.
        normal = are_controls(usable, controls)
        labels = np.where(normal | named, "", labels)
    patients, counts = np.unique(labels[~normal], return_counts=True)
    kinds = [str(kind) for kind in patients[(counts >= FEWEST_PATIENTS) & (patients != "")]]
    if normal.sum() < FEWEST_CONTROLS or not kinds:
        n_controls, most = int(normal.sum()), int(counts.max(initial=0))
        missing = f"{n_controls} controls with age and sex, at most {most} patients of a kind"
        return {"missing": missing}
    codes = np.stack([case.code for case in usable]).astype(np.float64)
    terms = np.array([terms_of_labels(case.labels) for case in usable])
    coefficients, deviation = _normal_codes(codes[normal], terms[normal])
    adjusted = (codes - terms @ coefficients) / deviation
    n_axes, directions, patterns = _directions(adjusted, labels, normal, kinds)
    scale, taken_out = _held_out_spread(adjusted, labels, normal, kinds)
    kept = np.append(np.full(n_axes, True), taken_out)[: directions.shape[1]]
    scales = np.where(np.arange(len(kept)) < n_axes, scale, 1.0)[kept]
    return {
        "coefficients": coefficients.tolist(),
        "deviation": deviation.tolist(),
        "directions": (directions[:, kept] / scales).tolist(),
        "patterns": (patterns[kept] * scales[:, None]).tolist(),
        "n_axes": n_axes,
        "kinds": kinds,
        "controls": int(normal.sum()),
    }


def _normal_codes(
    codes: NDArray[np.float64], terms: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return how controls' codes depend on age and sex, and the deviation that remains."""
    coefficients = np.asarray(np.linalg.lstsq(terms, codes, rcond=None)[0], np.float64)
    deviation = (codes - terms @ coefficients).std(axis=0)
    # A cell without brain hardly varies; scaled to unit spread its last digits would be a disease.
    floor = LEAST_SPREAD * max(float(deviation.max()), 1e-12)
    return coefficients, np.maximum(deviation, floor)


def _directions(
    adjusted: NDArray[np.float64],
    labels: NDArray[np.str_],
    normal: NDArray[np.bool_],
    kinds: Sequence[str],
) -> tuple[int, NDArray[np.float64], NDArray[np.float64]]:
    """Return the number of disease axes; these and the variable directions; their patterns.

    Each has unit variance in the controls' shrunken covariance. What the axes take out is no part
    of the variable directions any more.
    """
    shifts = np.stack([adjusted[labels == kind].mean(axis=0) for kind in kinds], axis=1)
    covariance = shrunken(adjusted[normal], SHRINKAGE)
    raw = covariance.solve(shifts)
    values, vectors = np.linalg.eigh(raw.T @ covariance.times(raw))
    good = values > 1e-9 * values[-1]
    axes = raw @ (vectors[:, good] / np.sqrt(values[good]))
    patterns = covariance.times(axes).T
    rest = adjusted - adjusted @ axes @ patterns
    variable, more = _variable_directions(rest[normal], rest[np.isin(labels, kinds) & ~normal])
    of_codes = variable - axes @ (patterns @ variable)
    return axes.shape[1], np.hstack([axes, of_codes]), np.vstack([patterns, more])


def _variable_directions(
    controls: NDArray[np.float64], patients: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return directions with the largest variance of patients for that of controls; patterns.

    The generalised eigenvectors of both covariances, solved among the patients, who may be fewer
    than the numbers of a code.
    """
    covariance = shrunken(controls, SHRINKAGE)
    patients = patients[:: math.ceil(len(patients) / MOST_PATIENTS)]
    about = (patients - controls.mean(axis=0)) / np.sqrt(len(patients))
    solved = covariance.solve(about.T)
    values, vectors = np.linalg.eigh(about @ solved)
    good = np.flatnonzero(values > 1e-9 * values[-1])[: -MOST_VARIABLE - 1 : -1]
    directions = solved @ (vectors[:, good] / np.sqrt(values[good]))
    return directions, covariance.times(directions).T


def _held_out_spread(
    adjusted: NDArray[np.float64],
    labels: NDArray[np.str_],
    normal: NDArray[np.bool_],
    kinds: Sequence[str],
) -> tuple[float, NDArray[np.bool_]]:
    """Return how far controls spread along axes learned without them, root mean square.

    Along axes learned from themselves they spread less, the more so the fewer they are. Also
    returned: which of the variable directions are taken out, shape (MOST_VARIABLE,).
    """
    folds = np.arange(len(adjusted)) % N_FOLDS
    squares = []
    variances = np.zeros((2, MOST_VARIABLE))
    ill = np.isin(labels, kinds) & ~normal
    for fold in range(N_FOLDS):
        held, rest = folds == fold, folds != fold
        n_axes, directions, _ = _directions(adjusted[rest], labels[rest], normal[rest], kinds)
        squared = (adjusted[held] @ directions) ** 2
        squares.append(squared[normal[held], :n_axes].mean(axis=1))
        n_variable = directions.shape[1] - n_axes
        for row, group in enumerate((normal, ill)):
            sums = squared[group[held], n_axes:].sum(axis=0)
            variances[row, :n_variable] += sums / group.sum()
    of_controls, of_patients = variances
    scale = float(np.sqrt(np.concatenate(squares).mean()))
    return scale, of_patients > MORE_VARIABLE * of_controls
