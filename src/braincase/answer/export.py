"""Export of the explanations of an answer: NIfTI maps, JSON numbers and PNG figures of each hit.

::

    OUT/answer.json                 the whole answer
    OUT/query/deviation.nii.gz      z of the query against the gallery's controls
    OUT/01_SCAN/numbers.json        shares of the squared distance by cell and region; z by region
    OUT/01_SCAN/difference.nii.gz   query minus hit, smoothed, in units of the usual spread
    OUT/01_SCAN/agreement.nii.gz    the same as 1 (alike) to 0
    OUT/01_SCAN/seen.nii.gz         where the model saw the difference, if it is given
    OUT/01_SCAN/deviation.nii.gz    z of the hit
    OUT/01_SCAN/why.png             figure: how alike by part, volumes for age, where they differ

All maps are NIfTI in MNI152 space on the gallery's grid.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from braincase.answer.compose import Answer, AnsweredHit
from braincase.answer.figure import ExplainedPair, draw_explanation
from braincase.answer.maps import agreement_map, difference_map, region_sums, write_map
from braincase.answer.shares import Explanation, explain
from braincase.files import write_json
from braincase.gallery import StoredCase, checked_weights
from braincase.images.geometry import CELLS
from braincase.json_values import Json, to_json, to_json_object
from braincase.labels import Value, age_and_sex
from braincase.population.controls import RegionZScores
from braincase.population.normative import deviation_of
from braincase.population.usual import FEWEST_PEOPLE, Usual, usual_of
from braincase.population.volumes import stored_volume
from braincase.progress import progress_if_slow
from braincase.search.cells import without_cells
from braincase.search.pipeline import FinishedSearch
from braincase.volumetry.code_layout import regions_of_code


@dataclass(frozen=True, eq=False)
class _Export:
    """What the files of all hits are made of."""

    search: FinishedSearch
    answer: Answer
    usual: Usual
    volume: NDArray[np.uint8] | None


def write_explanations(search: FinishedSearch, answer: Answer, folder: Path) -> tuple[str, ...]:
    """Export why each hit is similar to a folder; return what could not be shown, a line each.

    Parameters
    ----------
    search, answer
        The search, and what `braincase.answer.compose.answer` made of it.
    folder
        Gets the files named above; ``answer.json`` comes last and makes it whole.
    """
    usual = usual_of(search.gallery, search.result.gallery_version, search.controls)
    export = _Export(search, answer, usual, search.volume())
    notes = _notes(export)
    if export.volume is not None:
        _write_deviation(folder / "query", usual, export.volume, search.query.labels)
    scan_ids = [hit.hit.scan_id for hit in answer.hits]
    cases = search.gallery.find(scan_ids, answer.result.gallery_version)
    with progress_if_slow("explaining", len(answer.hits)) as advance:
        for hit in answer.hits:
            into = folder / f"{hit.hit.rank:02}_{hit.hit.scan_id}"
            notes += _write_hit(export, hit, cases[hit.hit.scan_id], into)
            advance()
    write_json(folder / "answer.json", answer.to_json())
    return tuple(notes)


def _notes(export: _Export) -> list[str]:
    notes = []
    if export.volume is None:
        notes.append("no maps: the query's image is not at hand")
    elif export.usual.spread is None:
        notes.append(f"no maps: fewer than {FEWEST_PEOPLE} images of the gallery are at hand")
    if export.usual.controls is None:
        notes.append("no deviation from normal: the gallery has too few controls with images")
    elif not age_and_sex(export.search.query.labels):
        notes.append("no deviation of the query: its age and sex are not known")
    if reason := export.answer.without_regions:
        notes.append(f"no shares by cell and region, no why.png and no seen.nii.gz: {reason}")
    return notes


def explanation_of(search: FinishedSearch, case: StoredCase) -> Explanation | None:
    """Return how the squared distance of query and hit divides, where codes are maps of cells."""
    if without_cells(search.gallery.info(search.result.gallery_version)):
        return None
    code = np.asarray(search.query.code, np.float64)
    weights = checked_weights(search.query.weights, code.size)
    return explain(code, case.code, regions_of_code(code.size), weights)


def _write_hit(export: _Export, hit: AnsweredHit, case: StoredCase, folder: Path) -> list[str]:
    """Write one hit's files; return what is missing."""
    grid = export.usual.grid
    explanation, volume = explanation_of(export.search, case), stored_volume(case, grid)
    numbers = _numbers(export.answer, hit, explanation)
    seen = _seen(export, volume)
    if seen is not None:
        numbers["seen"] = to_json({"sum": float(seen.sum()), "by_region": region_sums(seen, grid)})
        write_map(folder / "seen.nii.gz", seen, grid)
    write_json(folder / "numbers.json", numbers)
    if volume is None:
        return [f"{case.scan_id}: no maps, its image is not at hand"]
    _write_deviation(folder, export.usual, volume, case.labels)
    _write_maps(export, hit, case, volume, explanation, folder)
    return []


def _write_maps(
    export: _Export,
    hit: AnsweredHit,
    case: StoredCase,
    volume: NDArray[np.uint8],
    explanation: Explanation | None,
    folder: Path,
) -> None:
    """Write difference, agreement and figure, where there are a query's image and a spread."""
    usual, query = export.usual, export.volume
    if query is None or usual.spread is None:
        return
    difference = difference_map(query, volume, usual.grid, usual.spread)
    agreement = agreement_map(difference)
    write_map(folder / "difference.nii.gz", difference, usual.grid)
    write_map(folder / "agreement.nii.gz", agreement, usual.grid)
    if explanation is None:
        return
    names = (export.search.query.scan_id or "query", case.scan_id)
    volumes = (export.answer.volumes, hit.volumes)
    pair = ExplainedPair(
        query, volume, difference, usual.grid, explanation, hit.likeness, volumes, names
    )
    draw_explanation(pair, folder / "why.png")


def _seen(export: _Export, volume: NDArray[np.uint8] | None) -> NDArray[np.float32] | None:
    """Return where the model saw the difference; not where the query's code was moved."""
    encoder, query = export.search.encoder, export.search.query
    if encoder is None or encoder.attribute is None or export.volume is None or volume is None:
        return None
    if query.own_code is not None:
        return None
    weights = checked_weights(query.weights, np.size(query.code))
    return encoder.attribute(export.volume, volume, weights)


def _numbers(answer: Answer, hit: AnsweredHit, explanation: Explanation | None) -> dict[str, Json]:
    return {
        **hit.to_json(),
        "explanation": _explanation_json(explanation),
        "z_of_query": _z_json(answer.normality),
        "z_of_hit": _z_json(hit.normality),
    }


def _explanation_json(explanation: Explanation | None) -> Json:
    if explanation is None:
        return None
    shares = dict(explanation.shares(len(explanation.by_region)))
    return {**explanation.to_json(), **to_json_object({"cells": CELLS, "shares": shares})}


def _z_json(scores: RegionZScores | None) -> Json:
    return None if scores is None else to_json(scores.by_region)


def _write_deviation(
    folder: Path, usual: Usual, volume: NDArray[np.uint8], labels: Mapping[str, Value]
) -> None:
    """Write the z map of a volume whose age and sex are known, and of which controls are."""
    known = age_and_sex(labels)
    if usual.controls is None or known is None or not usual.controls.model.regions.covers(*known):
        return
    z_map = deviation_of(usual.controls.model, volume, *known).z_map
    write_map(folder / "deviation.nii.gz", z_map, usual.grid)
