"""JSON serialisation of the parts of an answer, with the keys that docs/search.md explains."""

from __future__ import annotations

from collections.abc import Sequence

from braincase.json_values import Json, to_json
from braincase.population.controls import RegionZScores
from braincase.population.disease_axes import AxesDistances
from braincase.population.neighbour_labels import Calibration, NeighbourLabels
from braincase.population.regression import Regression
from braincase.population.volume_norms import VolumeForAge


def rounded(pairs: Sequence[tuple[str, float]], digits: int) -> list[Json]:
    """Serialise pairs of a name and a number, rounded."""
    return [[name, round(value, digits)] for name, value in pairs]


def rounded_ages(ages: tuple[float, float]) -> list[Json]:
    """Serialise the ages of the youngest and of the oldest control."""
    return [round(age, 1) for age in ages]


def normality_json(scores: RegionZScores | None, distances: AxesDistances | None) -> Json:
    """Serialise both together; `abnormal` is None where z-scores were not asked for,
    or where no control is of about that age."""
    if scores is None and distances is None:
        return None
    return {
        "normal_anatomy": distances.normal_anatomy if distances else None,
        "abnormality": distances.abnormality if distances else None,
        "controls": scores.controls if scores else None,
        "control_ages": rounded_ages(scores.ages) if scores else None,
        "control_sexes": to_json(scores.sexes) if scores else None,
        "abnormal": rounded(scores.abnormal(), 2) if scores and scores.known else None,
    }


def volumes_json(volumes: Sequence[VolumeForAge]) -> Json:
    """Serialise volumes in ml, with their percentiles, 0 to 100."""
    return [
        {
            "name": volume.name,
            "ml": round(volume.ml, 2),
            "percentile": None if volume.percentile is None else round(volume.percentile, 4),
        }
        for volume in volumes
    ]


def norms_json(norms: Regression | None) -> Json:
    """Serialise what percentiles are of: how many controls, their ages and sexes."""
    if norms is None:
        return None
    ages = rounded_ages(norms.ages)
    return {"controls": norms.people, "ages": ages, "sexes": to_json(norms.sexes)}


def neighbours_json(neighbours: NeighbourLabels | None, calibration: Calibration | None) -> Json:
    """Serialise label shares with their calibrated probabilities."""
    if neighbours is None:
        return None
    probabilities = neighbours.probabilities or {}
    shares: list[Json] = [
        {
            "value": share.label,
            "share": share.share,
            "low": share.low,
            "high": share.high,
            "probability": probabilities.get(share.label),
        }
        for share in neighbours.shares
    ]
    return {
        "label": neighbours.column,
        "people": neighbours.people,
        "unknown": neighbours.unknown,
        "shares": shares,
        "probabilities": to_json(probabilities) or None,
        "calibration": _calibration_json(calibration),
        "text": to_json(neighbours.lines()),
    }


def _calibration_json(calibration: Calibration | None) -> Json:
    if calibration is None:
        return None
    return {
        "people": calibration.people,
        "classes": to_json(calibration.classes),
        "brier_before": calibration.brier_before,
        "brier_after": calibration.brier_after,
    }
