"""Comparison with a gallery's controls: z-scores of query and hits, anatomy and abnormality."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from braincase.errors import TooFewPeopleError
from braincase.gallery import StoredCase
from braincase.labels import age_and_sex
from braincase.population.controls import (
    USUAL_CONTROLS,
    ControlModel,
    RegionZScores,
    control_model_of,
)
from braincase.population.disease_axes import AxesDistances, disease_axes_of
from braincase.population.normative import FEWEST_CONTROLS
from braincase.population.regression import Regression
from braincase.search.pipeline import FinishedSearch
from braincase.volumetry.code_layout import holds_volumes


def axes_distances(search: FinishedSearch, cases: Sequence[StoredCase]) -> dict[str, AxesDistances]:
    """Return how differently query and cases are built and ill, by scan_id, where it is known."""
    if not age_and_sex(search.query.labels):
        return {}
    try:
        axes = disease_axes_of(
            search.gallery,
            search.result.gallery_version,
            controls=search.controls,
            learned_at=search.learned_at,
        )
    except TooFewPeopleError:
        return {}
    return axes.between(np.asarray(search.query.code), search.query.labels, cases)


def control_notes(search: FinishedSearch, norms: Regression | None) -> Iterator[str]:
    """Say who the controls are, where the user chose them, and whether they are too few."""
    if search.controls == USUAL_CONTROLS:
        return
    yield f"The controls are those who pass: {search.controls}."
    info = search.gallery.info(search.result.gallery_version)
    if norms is None and holds_volumes(info.n_dimensions) and not info.encoder:
        yield f"No percentiles: fewer than {FEWEST_CONTROLS} controls with age and sex."


@dataclass(frozen=True)
class Scores:
    """Z-scores of the query and of the hits by scan_id, and what stood in the way."""

    query: RegionZScores | None = None
    hits: Mapping[str, RegionZScores] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def z_scores(search: FinishedSearch) -> Scores:
    """Return how far query and hits are from the controls, or why that is not known."""
    gallery, version = search.gallery, search.result.gallery_version
    try:
        controls = control_model_of(gallery, version, search.controls, learned_at=search.learned_at)
    except TooFewPeopleError as error:
        return Scores(notes=(f"What is normal is not known: {error.found}.",))
    cases = gallery.find([hit.scan_id for hit in search.result.hits], version)
    of_hits = controls.of_cases(list(cases.values()))
    of_query = _query_scores(search, controls)
    if of_query is None:
        note = "The query's distance from normal is not known: it takes its image, age and sex."
        return Scores(None, of_hits, (note,))
    return Scores(of_query, of_hits)


def _query_scores(search: FinishedSearch, controls: ControlModel) -> RegionZScores | None:
    volume = search.volume()
    if volume is None or not age_and_sex(search.query.labels):
        return None
    return controls.of_volume(volume, search.query.labels)
