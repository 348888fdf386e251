"""The whole answer to a search: the hits, and how far and why they can be believed.

A `SearchResult` says which cases are nearest. An `Answer` adds what a reader needs to judge them:
the regions in which each hit differs, what became of it, what the neighbours' labels say and how
far that holds, and whether the gallery has any similar case at all.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

import numpy as np
from numpy.typing import NDArray

from braincase.answer.follow_up import follow_ups
from braincase.answer.shares import explain, likeness
from braincase.errors import GalleryError, ParameterError
from braincase.gallery import Code, Gallery, Hit, SearchResult, StoredCase, Weights, checked_weights
from braincase.images.atlas import N_CELLS, load_regions
from braincase.labels import Value, knows_age_and_sex
from braincase.population.controls import ControlModel, Normality, normal_of
from braincase.population.neighbour_labels import (
    Calibration,
    NeighbourLabels,
    learned_calibration,
    neighbour_labels,
)
from braincase.population.similarity import AxesDistances, DiseaseAxes, disease_axes_of
from braincase.population.typicality import Typicality, learned_distances, typicality
from braincase.population.usual import learned_usual
from braincase.search.pipeline import FinishedSearch

#: Regions told for each hit.
TOP_REGIONS = 5
#: The label that is shown when none is named, and the scores that are followed over time; the last
#: is the truth of simulated people.
USUAL_LABEL = "diagnosis"
SCORES = ("mmse", "moca", "cdr", "true_severity")


@dataclass(frozen=True)
class Later:
    """A later visit of a hit's person: `years` after the hit's scan, None where ages are unknown.

    `label` and `score` are the values of the answer's label and score columns.
    """

    scan_id: str
    session: str | None
    years: float | None
    age: float | None
    label: Value
    score: Value


@dataclass(frozen=True)
class AnsweredHit:
    """A hit and what is known of it.

    Parameters
    ----------
    hit
        The case.
    regions
        The regions with the largest shares of the squared distance: pairs (name, 0 to 1).
    likeness
        Parts of the brain with their difference as part of what two people usually differ there:
        pairs (name, ratio), most alike first; empty where the gallery is too small to tell.
    outcome
        The person's later visits in this gallery, in the order of time.
    alike
        How differently query and hit are built, and how differently ill, where the gallery has
        controls and patients enough to tell.
    normality
        How far the hit is from normal for its age and sex, where that was asked for.
    """

    hit: Hit
    regions: tuple[tuple[str, float], ...] = ()
    likeness: tuple[tuple[str, float], ...] = ()
    outcome: tuple[Later, ...] = ()
    alike: AxesDistances | None = None
    normality: Normality | None = None

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return {
            **self.hit.to_json(),
            "regions": [[name, round(share, 4)] for name, share in self.regions],
            "likeness": [[name, round(ratio, 4)] for name, ratio in self.likeness],
            "outcome": [later.__dict__ for later in self.outcome],
            "normality": _normality_json(self.normality, self.alike),
        }


@dataclass(frozen=True)
class Answer:
    """Everything a search says.

    Parameters
    ----------
    result
        What was found.
    hits
        Its hits with what is known of each, nearest first.
    label, score
        The columns followed over time and among neighbours; None where the gallery has none.
    neighbours
        What the hits' labels say, or None.
    calibration
        How far that holds, learned from the gallery, or None if it is too small to tell.
    typicality
        Whether any case is similar at all, or None if the gallery is too small to tell.
    normality
        How far the query is from normal, where that was asked for.
    notes
        What the reader should know, a sentence each.
    """

    result: SearchResult
    hits: tuple[AnsweredHit, ...]
    label: str | None = None
    score: str | None = None
    neighbours: NeighbourLabels | None = None
    calibration: Calibration | None = None
    typicality: Typicality | None = None
    normality: Normality | None = None
    notes: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values; docs/search-reference.md explains them."""
        return {
            **self.result.to_json(),
            "hits": [hit.to_json() for hit in self.hits],
            "label": self.label,
            "score": self.score,
            "neighbours": _neighbours_json(self.neighbours, self.calibration),
            "typicality": self.typicality.to_json() if self.typicality else None,
            "normality": _normality_json(self.normality, None),
            "notes": list(self.notes),
        }


def answer(asked: FinishedSearch, label: str | None = None, *, normality: bool = False) -> Answer:
    """Add to a finished search all that helps to judge it.

    What is learned from the whole gallery is kept in its folder, so only the first search after a
    change of the gallery, or with a new filter, waits for it.

    Parameters
    ----------
    asked
        From `braincase.search.pipeline.ask`.
    label
        The column whose values the neighbours vote on; None for ``diagnosis`` if there is one.
    normality
        Whether to say how far query and hits are from normal for their age and sex; this reads
        their volumes, and once those of the gallery's controls.

    Raises
    ------
    UsageError
        If there is no such column.
    """
    gallery, query, result = asked.gallery, asked.query, asked.result
    info = gallery.info(result.gallery_version)
    column = _label_column(label, info.columns)
    score = next((name for name in SCORES if name in info.columns and name != column), None)
    weights = checked_weights(query.weights, info.n_dimensions)
    by_code = asked.similar_by == "code"
    calibration = None
    if column and by_code:  # what was learned of nearest codes says nothing of other neighbours
        calibration = learned_calibration(gallery, result, column, weights)
    own, others, notes = _normalities(asked) if normality else (None, {}, [])
    return Answer(
        result=result,
        hits=tuple(_answered_hits(asked, weights, column, score, others)),
        label=column,
        score=score,
        neighbours=neighbour_labels(result.hits, column, calibration) if column else None,
        calibration=calibration,
        typicality=_typicality(asked, weights),
        normality=own,
        notes=(*asked.notes, *notes),
    )


def _label_column(wanted: str | None, columns: Sequence[str]) -> str | None:
    if wanted is None:
        return USUAL_LABEL if USUAL_LABEL in columns else None
    if wanted not in columns:
        near = get_close_matches(wanted, columns, n=1)
        advice = f"Did you mean {near[0]}?" if near else ""
        raise ParameterError(
            "label", f"no column '{wanted}'", f"one of {', '.join(columns)}", advice
        )
    return wanted


def _typicality(asked: FinishedSearch, weights: Weights | None) -> Typicality | None:
    """Judge the query's own code, whatever the hits are ranked by."""
    gallery, query, result = asked.gallery, asked.query, asked.result
    if not result.hits:
        return None
    distances = learned_distances(gallery, result, weights)
    if distances is None:
        return None
    nearest = result.hits[0].distance
    if query.own_code is not None or asked.similar_by != "code":
        found = gallery.nearest(
            np.asarray(query.code if query.own_code is None else query.own_code, np.float32),
            1,
            where=result.where,
            without_subject=result.own_subject,
            weights=weights,
            as_of=result.gallery_version,
        )
        nearest = float(found.distances[0])
    return typicality(nearest, distances)


def _alike(asked: FinishedSearch, cases: Sequence[StoredCase]) -> dict[str, AxesDistances]:
    if not knows_age_and_sex(asked.query.labels):
        return {}
    try:
        split: DiseaseAxes = disease_axes_of(asked.gallery, asked.result.gallery_version)
    except GalleryError:
        return {}
    return split.between(np.asarray(asked.query.code), asked.query.labels, cases)


def _normalities(asked: FinishedSearch) -> tuple[Normality | None, dict[str, Normality], list[str]]:
    """Return the query's distance from normal, that of the hits, and what stood in the way."""
    gallery, version = asked.gallery, asked.result.gallery_version
    try:
        normal = normal_of(gallery, version)
    except GalleryError as error:
        return None, {}, [f"What is normal is not known: {error.found}."]
    own = _own_normality(asked, normal)
    found = gallery.find([hit.scan_id for hit in asked.result.hits], version)
    missing = "The query's distance from normal is not known: it takes its image, age and sex."
    return own, normal.of_cases(list(found.values())), [missing] if own is None else []


def _own_normality(asked: FinishedSearch, normal: ControlModel) -> Normality | None:
    volume = asked.volume()
    if volume is None or not knows_age_and_sex(asked.query.labels):
        return None
    return normal.of_volume(volume, asked.query.labels)


def _answered_hits(
    asked: FinishedSearch,
    weights: Weights | None,
    column: str | None,
    score: str | None,
    others: Mapping[str, Normality],
) -> list[AnsweredHit]:
    gallery, result = asked.gallery, asked.result
    version = result.gallery_version
    cases = gallery.find([hit.scan_id for hit in result.hits], version)
    code = np.asarray(asked.query.code, np.float32)
    usual, alike = learned_usual(gallery, version), _alike(asked, list(cases.values()))
    return [
        AnsweredHit(
            hit,
            regions_of(code, cases[hit.scan_id].code, weights),
            likeness_of(code, cases[hit.scan_id].code, usual, weights),
            _outcome(gallery, hit, version, column, score),
            alike.get(hit.scan_id),
            others.get(hit.scan_id),
        )
        for hit in result.hits
    ]


def regions_of(
    query: Code, hit: Code, weights: Weights | None, most: int = TOP_REGIONS
) -> tuple[tuple[str, float], ...]:
    """Return the regions with the largest shares of the squared distance of two codes.

    Empty for codes that are no map of the brain's cells.
    """
    if len(query) != N_CELLS:
        return ()
    return tuple(explain(query, hit, load_regions(), weights).shares(most))


def likeness_of(
    query: Code, hit: Code, usual: NDArray[np.float64] | None, weights: Weights | None
) -> tuple[tuple[str, float], ...]:
    """Return in which parts of the brain two codes are alike, as `shares.likeness` does."""
    if usual is None or len(query) != N_CELLS:
        return ()
    return tuple(likeness(query, hit, usual, load_regions(), weights))


def _outcome(
    gallery: Gallery, hit: Hit, version: int, column: str | None, score: str | None
) -> tuple[Later, ...]:
    (found,) = follow_ups(gallery, [hit], version)
    return tuple(
        Later(
            visit.scan_id,
            visit.session,
            visit.years,
            _number(visit.labels, "age"),
            visit.labels.get(column) if column else None,
            visit.labels.get(score) if score else None,
        )
        for visit in found.visits
    )


def _number(labels: Mapping[str, Value], name: str) -> float | None:
    value = labels.get(name)
    return float(value) if isinstance(value, int | float) else None


def _normality_json(
    normality: Normality | None, alike: AxesDistances | None
) -> dict[str, Any] | None:
    """Join both; `abnormal` is None where it was not asked for."""
    if normality is None and alike is None:
        return None
    return {
        "normal_anatomy": alike.normal_anatomy if alike else None,
        "abnormality": alike.abnormality if alike else None,
        "controls": normality.controls if normality else None,
        "abnormal": [[name, round(z, 2)] for name, z in normality.abnormal()]
        if normality
        else None,
    }


def _neighbours_json(
    told: NeighbourLabels | None, calibration: Calibration | None
) -> dict[str, Any] | None:
    if told is None:
        return None
    probabilities = told.probabilities or {}
    return {
        "label": told.column,
        "people": told.people,
        "unknown": told.unknown,
        "shares": [
            {
                "value": share.label,
                "share": share.share,
                "low": share.low,
                "high": share.high,
                "probability": probabilities.get(share.label),
            }
            for share in told.shares
        ],
        "probabilities": dict(probabilities) or None,
        "calibration": None
        if calibration is None
        else {
            "people": calibration.people,
            "classes": list(calibration.classes),
            "brier_before": calibration.brier_before,
            "brier_after": calibration.brier_after,
        },
        "text": told.lines(),
    }
