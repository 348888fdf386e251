"""Answer to a search: the hits with explanations, calibration and typicality.

A `SearchResult` says which cases are nearest. An `Answer` adds what a reader needs to judge them:
the regions in which each hit differs, what became of it, what the neighbours' labels say and how
far that holds, and whether the gallery has any similar case at all.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches

import numpy as np
from numpy.typing import NDArray

from braincase.answer.answer_json import (
    neighbours_json,
    normality_json,
    norms_json,
    rounded,
    volumes_json,
)
from braincase.answer.controls import Scores, axes_distances, control_notes, z_scores
from braincase.answer.notebook import html_of_result
from braincase.answer.outcomes import OutcomeVisit, SeenAgain, outcome_of, seen_again
from braincase.answer.shares import PARTS, explain, likeness
from braincase.errors import ParameterError
from braincase.gallery import Code, GalleryInfo, Hit, SearchResult, Weights, checked_weights
from braincase.json_values import Json, to_json
from braincase.labels import BRAIN_ML, RESERVED_COLUMNS, TRUE_SEVERITY, USUAL_LABEL
from braincase.population.controls import RegionZScores
from braincase.population.disease_axes import AxesDistances
from braincase.population.neighbour_labels import (
    Calibration,
    NeighbourLabels,
    learned_calibration,
    neighbour_labels,
)
from braincase.population.pairs import closer_than, learned_pairs
from braincase.population.regression import Regression
from braincase.population.typicality import FEWEST_PEOPLE as FEWEST_TYPICAL
from braincase.population.typicality import Typicality, learned_distances, typicality
from braincase.population.usual import FEWEST_PEOPLE as FEWEST_USUAL
from braincase.population.usual import learned_usual
from braincase.population.volume_norms import (
    VolumeForAge,
    volume_norms_of,
    volumes_for_age,
)
from braincase.search.cells import without_cells
from braincase.search.pipeline import FinishedSearch
from braincase.volumetry.code_layout import regions_of_code

#: Regions named for each hit.
TOP_REGIONS = 5
#: Scores that are followed over time; the last is the truth of simulated people.
SCORES = ("mmse", "moca", "cdr", TRUE_SEVERITY)
#: Columns that nobody means by a label.
NO_LABELS = (*RESERVED_COLUMNS, "age", "sex", BRAIN_ML)


@dataclass(frozen=True)
class AnsweredHit:
    """A hit with its explanation, follow-up and z-scores.

    Parameters
    ----------
    hit
        The case.
    regions
        The regions with the largest shares of the difference that has a place: (name, 0 to 1).
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
    closer_than
        Share of pairs of people of the gallery who lie farther apart than query and hit, where they
        are ranked by the code and the gallery is large enough to tell.
    chosen
        As `likeness`, of the regions that the search was restricted to.
    volumes
        Of named regions, with percentiles for age and sex; empty where the code holds none.
    """

    hit: Hit
    regions: tuple[tuple[str, float], ...] = ()
    likeness: tuple[tuple[str, float], ...] = ()
    outcome: tuple[OutcomeVisit, ...] = ()
    alike: AxesDistances | None = None
    normality: RegionZScores | None = None
    closer_than: float | None = None
    chosen: tuple[tuple[str, float], ...] = ()
    volumes: tuple[VolumeForAge, ...] = ()

    def to_json(self) -> dict[str, Json]:
        """Return plain JSON values."""
        return {
            **self.hit.to_json(),
            "regions": rounded(self.regions, 4),
            "likeness": rounded(self.likeness, 4),
            "chosen": rounded(self.chosen, 4),
            "closer_than": _rounded(self.closer_than),
            "outcome": to_json(self.outcome),
            "normality": normality_json(self.normality, self.alike),
            "volumes": volumes_json(self.volumes),
        }


@dataclass(frozen=True)
class Answer:
    """Answer to a search: everything it says.

    Parameters
    ----------
    result
        What was found.
    hits
        Its hits with what is known of each, nearest first.
    label, score
        The columns followed over time and among neighbours; None where the gallery has none.
    seen_again
        What became of the people found, counted; None where nobody was seen again.
    neighbours
        What the hits' labels say, or None.
    calibration
        How far that holds, learned from the gallery, or None if it is too small to tell.
    typicality
        Whether any case is similar at all, or None if the gallery is too small to tell.
    usually_closer_than
        Share of pairs of people of the gallery who lie farther apart than a person and the nearest
        other, for half of the people; None where the hits have no such share.
    normality
        How far the query is from normal, where that was asked for.
    notes
        What the reader should know, a sentence each.
    without_regions
        Why no regions are named, where the gallery's codes are no map of the brain's cells.
    volumes, volume_norms
        As of a hit, of the query; and what its percentiles are of, None where there are none.
    """

    result: SearchResult
    hits: tuple[AnsweredHit, ...]
    label: str | None = None
    score: str | None = None
    seen_again: SeenAgain | None = None
    neighbours: NeighbourLabels | None = None
    calibration: Calibration | None = None
    typicality: Typicality | None = None
    usually_closer_than: float | None = None
    normality: RegionZScores | None = None
    notes: tuple[str, ...] = ()
    without_regions: str | None = None
    volumes: tuple[VolumeForAge, ...] = ()
    volume_norms: Regression | None = None

    def __repr__(self) -> str:
        """Name it in one line."""
        return repr(self.result).replace("SearchResult", "Answer", 1)

    def _repr_html_(self) -> str:
        """Return it for notebooks: hits with pictures, and what to know of them."""
        lines = [*(self.neighbours.lines() if self.neighbours else ()), *self.notes]
        if self.typicality:
            lines.insert(0, self.typicality.line())
        return html_of_result(self.result, lines)

    def to_json(self) -> dict[str, Json]:
        """Return plain JSON values; docs/search-reference.md explains them."""
        return {
            **self.result.to_json(),
            "hits": [hit.to_json() for hit in self.hits],
            "label": self.label,
            "score": self.score,
            "seen_again": to_json(self.seen_again),
            "neighbours": neighbours_json(self.neighbours, self.calibration),
            "typicality": self.typicality.to_json() if self.typicality else None,
            "usually_closer_than": _rounded(self.usually_closer_than),
            "normality": normality_json(self.normality, None),
            "notes": list(self.notes),
            "without_regions": self.without_regions,
            "volumes": volumes_json(self.volumes),
            "volume_norms": norms_json(self.volume_norms),
        }


def answer(
    search: FinishedSearch,
    label: str | None = None,
    *,
    normality: bool = False,
) -> Answer:
    """Compose the answer to a finished search: all that helps to judge its hits.

    What is learned from the whole gallery is cached in its folder, so only the first search after a
    change of the gallery, or with a new filter, waits for it.

    Parameters
    ----------
    search
        From `braincase.search.pipeline`.
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
    gallery, query, result = search.gallery, search.query, search.result
    info = gallery.info(result.gallery_version)
    column = _label_column(label, info.columns)
    score = next((name for name in SCORES if name in info.columns and name != column), None)
    weights = checked_weights(query.weights, info.n_dimensions)
    lessons = _lessons(search, column, weights)
    typical = _typicality(search, weights)
    scores = z_scores(search) if normality else Scores()
    hits = _answered_hits(search, weights, column, score, scores.hits, lessons)
    own_code = query.code if query.own_code is None else query.own_code
    return Answer(
        result=result,
        hits=tuple(hits),
        label=column,
        score=score,
        seen_again=seen_again([(hit.hit, hit.outcome) for hit in hits], column),
        neighbours=neighbour_labels(result.hits, column, lessons.calibration) if column else None,
        calibration=lessons.calibration,
        typicality=typical,
        usually_closer_than=lessons.closer_than(typical.usual) if typical else None,
        normality=scores.query,
        notes=(
            *search.notes,
            *_label_notes(column, info.columns),
            *_few_people_notes(info),
            *control_notes(search, lessons.norms),
            *scores.notes,
        ),
        without_regions=without_cells(info) or None,
        volumes=()
        if info.encoder
        else volumes_for_age(own_code, query.labels, lessons.norms, info.simulated),
        volume_norms=lessons.norms,
    )


@dataclass(frozen=True)
class _Lessons:
    """What the gallery teaches of an answer; None where it has too few people to tell."""

    norms: Regression | None
    pairs: NDArray[np.float64] | None = None
    calibration: Calibration | None = None

    def closer_than(self, distance: float) -> float | None:
        return None if self.pairs is None else closer_than(distance, self.pairs)


def _lessons(search: FinishedSearch, column: str | None, weights: Weights | None) -> _Lessons:
    """Return what is known of neighbours; of nearest codes nothing if they are ranked otherwise."""
    gallery, result, at = search.gallery, search.result, search.learned_at
    norms = volume_norms_of(gallery, result.gallery_version, search.controls, learned_at=at)
    if search.similar_by != "code":
        return _Lessons(norms)
    pairs = learned_pairs(gallery, result.gallery_version, weights, learned_at=at)
    if not column:
        return _Lessons(norms, pairs)
    calibration = learned_calibration(gallery, result, column, weights, learned_at=at)
    return _Lessons(norms, pairs, calibration)


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


def _label_notes(column: str | None, columns: Sequence[str]) -> tuple[str, ...]:
    """Say that neighbours vote on nothing where the usual label is not there but others are."""
    others = [name for name in columns if name not in (*NO_LABELS, *SCORES)]
    if column or not others:
        return ()
    why = f"no column '{USUAL_LABEL}'"
    return (f"Neighbours vote on nothing: {why}. Name a label: {', '.join(others)}.",)


def _few_people_notes(info: GalleryInfo) -> tuple[str, ...]:
    """Say what a small gallery cannot tell, for its absence would say nothing."""
    unknown = []
    if info.people < FEWEST_TYPICAL:
        unknown.append(f"how usual a distance is ({FEWEST_TYPICAL})")
    if info.people < FEWEST_USUAL and not without_cells(info):
        unknown.append(f"which parts are alike ({FEWEST_USUAL})")
    if not unknown:
        return ()
    return (f"The gallery has {info.people} people: too few to say {' or '.join(unknown)}.",)


def _typicality(search: FinishedSearch, weights: Weights | None) -> Typicality | None:
    """Judge the query's own code, whatever the hits are ranked by."""
    gallery, query, result = search.gallery, search.query, search.result
    if not result.hits:
        return None
    distances = learned_distances(gallery, result, weights, learned_at=search.learned_at)
    if distances is None:
        return None
    distance = result.hits[0].distance
    if query.own_code is not None or search.similar_by != "code":
        nearest = gallery.nearest(
            np.asarray(query.code if query.own_code is None else query.own_code, np.float32),
            1,
            where=result.where,
            without_subject=result.own_subject,
            weights=weights,
            as_of=result.gallery_version,
        )
        distance = float(nearest.distances[0])
    judged = [
        *(["unmoved"] if query.own_code is not None else []),
        *(["ranked overall"] if search.similar_by != "code" else []),
    ]
    return typicality(distance, distances, bool(result.where.strip()), " and ".join(judged))


def _answered_hits(
    search: FinishedSearch,
    weights: Weights | None,
    column: str | None,
    score: str | None,
    scores: Mapping[str, RegionZScores],
    lessons: _Lessons,
) -> list[AnsweredHit]:
    gallery, result = search.gallery, search.result
    version = result.gallery_version
    cases = gallery.find([hit.scan_id for hit in result.hits], version)
    code = np.asarray(search.query.code, np.float32)
    usual = learned_usual(gallery, version, learned_at=search.learned_at)
    distances = axes_distances(search, list(cases.values()))
    info = gallery.info(version)
    by_cell = not without_cells(info)
    parts = search.regions if by_cell else ()
    return [
        AnsweredHit(
            hit,
            _regions(code, cases[hit.scan_id].code, weights) if by_cell else (),
            _likeness(code, cases[hit.scan_id].code, usual, weights) if by_cell else (),
            outcome_of(gallery, hit, version, column, score),
            distances.get(hit.scan_id),
            scores.get(hit.scan_id),
            lessons.closer_than(hit.distance),
            _likeness(code, cases[hit.scan_id].code, usual, None, parts) if parts else (),
            volumes_for_age(cases[hit.scan_id].code, hit.labels, lessons.norms, info.simulated)
            if by_cell
            else (),
        )
        for hit in result.hits
    ]


def _regions(
    query: Code, hit: Code, weights: Weights | None, most: int = TOP_REGIONS
) -> tuple[tuple[str, float], ...]:
    """Return the regions with the largest shares of two codes' difference."""
    return tuple(explain(query, hit, regions_of_code(len(query)), weights).shares(most))


def _likeness(
    query: Code,
    hit: Code,
    usual: NDArray[np.float64] | None,
    weights: Weights | None,
    parts: Sequence[str] = PARTS,
) -> tuple[tuple[str, float], ...]:
    """Return in which parts of the brain two codes are alike, as `shares.likeness` does."""
    if usual is None:
        return ()
    return tuple(likeness(query, hit, usual, regions_of_code(len(query)), weights, parts))


def _rounded(share: float | None) -> float | None:
    return None if share is None else round(share, 4)
