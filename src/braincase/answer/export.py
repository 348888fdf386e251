"""Why each hit is similar, as files: difference and agreement maps, deviations, numbers, pictures.

::

    OUT/answer.json                 the whole answer
    OUT/query/deviation.nii.gz      z of the query against the gallery's controls
    OUT/01_SCAN/numbers.json        shares of the squared distance by cell and region; z by region
    OUT/01_SCAN/difference.nii.gz   query minus hit, smoothed, in units of the usual spread
    OUT/01_SCAN/agreement.nii.gz    the same as 1 (alike) to 0
    OUT/01_SCAN/seen.nii.gz         where the model saw the difference, if it is given
    OUT/01_SCAN/deviation.nii.gz    z of the hit
    OUT/01_SCAN/why.png             all of it in three planes

All maps are NIfTI in MNI152 space on the gallery's grid.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from braincase.answer.compose import Answer, AnsweredHit
from braincase.answer.figure import draw_explanation
from braincase.answer.maps import agreement_map, difference_map, region_sums, write_map
from braincase.answer.shares import Explanation, explain
from braincase.files import write_json
from braincase.gallery import StoredCase, checked_weights
from braincase.images.atlas import N_CELLS, load_regions
from braincase.images.geometry import CELLS
from braincase.labels import knows_age_and_sex
from braincase.population.controls import Normality
from braincase.population.normative import deviation_of
from braincase.population.usual import FEWEST_PEOPLE, Usual, usual_of
from braincase.population.volumes import stored_volume
from braincase.progress import progress_if_slow
from braincase.search.pipeline import FinishedSearch


def write_explanations(asked: FinishedSearch, answer: Answer, folder: Path) -> tuple[str, ...]:
    """Write why each hit is similar into a folder; return what could not be shown, a line each.

    Parameters
    ----------
    asked, answer
        The search, and what `braincase.answer.compose.answer` made of it.
    folder
        Gets the files named above; ``answer.json`` comes last and makes it whole.
    """
    usual = usual_of(asked.gallery, asked.result.gallery_version)
    volume = asked.volume()
    notes = _notes(asked, usual, volume)
    if volume is not None:
        _write_deviation(folder / "query", usual, volume, asked.query.labels)
    found = asked.gallery.find(
        [hit.hit.scan_id for hit in answer.hits], answer.result.gallery_version
    )
    with progress_if_slow("explaining", len(answer.hits)) as advance:
        for hit in answer.hits:
            case = found[hit.hit.scan_id]
            into = folder / f"{hit.hit.rank:02}_{hit.hit.scan_id}"
            notes += _write_hit(asked, answer, hit, case, usual, volume, into)
            advance()
    write_json(folder / "answer.json", answer.to_json())
    return tuple(notes)


def _notes(asked: FinishedSearch, usual: Usual, volume: NDArray[np.uint8] | None) -> list[str]:
    notes = []
    if volume is None:
        notes.append("no maps: the query's image is not at hand")
    elif usual.spread is None:
        notes.append(f"no maps: fewer than {FEWEST_PEOPLE} images of the gallery are at hand")
    if usual.normal is None:
        notes.append("no deviation from normal: the gallery has too few controls with images")
    elif not knows_age_and_sex(asked.query.labels):
        notes.append("no deviation of the query: its age and sex are not known")
    return notes


def explanation_of(asked: FinishedSearch, case: StoredCase) -> Explanation | None:
    """Return how the squared distance of query and hit divides, where codes are maps of cells."""
    code = np.asarray(asked.query.code, np.float64)
    if code.size != N_CELLS:
        return None
    weights = checked_weights(asked.query.weights, N_CELLS)
    return explain(code, case.code, load_regions(), weights)


def _write_hit(
    asked: FinishedSearch,
    answer: Answer,
    hit: AnsweredHit,
    case: StoredCase,
    usual: Usual,
    volume: NDArray[np.uint8] | None,
    folder: Path,
) -> list[str]:
    """Write one hit's files; return what is missing."""
    told, other = explanation_of(asked, case), stored_volume(case, usual.grid)
    seen = _seen(asked, volume, other)
    numbers = _numbers(answer, hit, told)
    if seen is not None:
        numbers["seen"] = {"sum": float(seen.sum()), "by_region": region_sums(seen, usual.grid)}
        write_map(folder / "seen.nii.gz", seen, usual.grid)
    write_json(folder / "numbers.json", numbers)
    if other is None:
        return [f"{case.scan_id}: no maps, its image is not at hand"]
    _write_deviation(folder, usual, other, case.labels)
    if volume is None or usual.spread is None:
        return []
    difference = difference_map(volume, other, usual.grid, usual.spread)
    agreement = agreement_map(difference)
    write_map(folder / "difference.nii.gz", difference, usual.grid)
    write_map(folder / "agreement.nii.gz", agreement, usual.grid)
    if told is not None:
        title = f"{asked.query.scan_id or 'query'} and {case.scan_id}"
        draw_explanation(
            volume, other, difference, agreement, told, usual.grid, folder / "why.png", title
        )
    return []


def _seen(
    asked: FinishedSearch, volume: NDArray[np.uint8] | None, other: NDArray[np.uint8] | None
) -> NDArray[np.float32] | None:
    """Return where the model saw the difference; not where the query's code was moved."""
    if asked.model is None or volume is None or other is None or asked.query.own_code is not None:
        return None
    from braincase.models.attribution import (
        integrated_gradients,  # torch is here already: the model is
    )

    weights = checked_weights(asked.query.weights, N_CELLS)
    return integrated_gradients(asked.model, volume, other, weights)


def _numbers(answer: Answer, hit: AnsweredHit, told: Explanation | None) -> dict[str, Any]:
    shares = None if told is None else dict(told.shares(len(told.by_region)))
    return {
        **hit.to_json(),
        "explanation": None
        if told is None
        else {**told.to_json(), "cells": list(CELLS), "shares": shares},
        "z_of_query": _z(answer.normality),
        "z_of_hit": _z(hit.normality),
    }


def _z(normality: Normality | None) -> dict[str, float] | None:
    return None if normality is None else dict(normality.by_region)


def _write_deviation(
    folder: Path, usual: Usual, volume: NDArray[np.uint8], labels: Any
) -> Path | None:
    """Write the z map of a volume whose age and sex are known."""
    if usual.normal is None or not knows_age_and_sex(labels):
        return None
    z = deviation_of(usual.normal.model, volume, float(labels["age"]), str(labels["sex"])).z_map
    return write_map(folder / "deviation.nii.gz", z, usual.grid)
