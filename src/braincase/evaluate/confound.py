"""Confounding: is it the disease that makes neighbours, or scanner, site, age and sex?

Three looks at the codes of people never seen: what the nearest cases share with the query beyond
chance, what can be read out of a code, and whether two scans of one person find each other.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from braincase.evaluate.readout import Readable, read_out
from braincase.evaluate.results import Fit, Material, Provenance, Training
from braincase.evaluate.shared_attributes import (
    Linking,
    Neighbourhood,
    Sharing,
    link_people,
    measure_sharing,
    neighbourhood,
)
from braincase.evaluate.study import (
    Study,
    attribute_of,
    embed_rows,
    start_clock,
    train_fold,
    training_of,
)
from braincase.json_values import Json, to_json_object

MODELS = ("braincase",)
#: Looked at where the table has them; the label itself comes first.
ATTRIBUTES = ("site", "scanner", "field_strength", "sex", "age", "true_severity")


@dataclass(frozen=True)
class ModelConfounds:
    """Everything the confound report says of one model.

    Parameters
    ----------
    sharing
        What neighbours share, one entry an attribute; the label first.
    readable
        What can be read out of the code.
    linking
        Same-person linking; None where nobody held out has two scans.
    """

    model: str
    sharing: tuple[Sharing, ...]
    readable: tuple[Readable, ...]
    linking: Linking | None


@dataclass(frozen=True)
class ConfoundResult:
    """The confound report; build with `run_confound`."""

    material: Material
    provenance: Provenance
    trainings: tuple[Training, ...]
    models: tuple[ModelConfounds, ...]

    def to_json(self) -> dict[str, Json]:
        """Return the report as plain JSON types."""
        return {"protocol": "confound", **to_json_object(self)}


def run_confound(study: Study, fit: Fit, models: Sequence[str] = MODELS) -> ConfoundResult:
    """Ask what the codes know besides the disease.

    Parameters
    ----------
    study
        Scans, classes and folds.
    fit
        Trains a model.
    models
        Names of the settings to train.

    Raises
    ------
    LeakError
        If a person stands on both sides of a fold.
    """
    stop_clock = start_clock(study)
    trainings: list[Training] = []
    neighbourhoods: dict[str, list[Neighbourhood]] = {}
    for number, fold in study.used_folds():
        for fitted in train_fold(study, fit, number, models):
            trainings.append(training_of(study, number, fitted))
            gallery = study.first_scans(fold.train)
            codes = (embed_rows(fitted.embed, study.cohort, rows) for rows in (fold.test, gallery))
            of_model = neighbourhoods.setdefault(fitted.name, [])
            of_model.append(neighbourhood(study, fold.test, gallery, *codes))
    reports = tuple(report_model(study, name, folds) for name, folds in neighbourhoods.items())
    return ConfoundResult(study.material(), stop_clock(), tuple(trainings), reports)


def report_model(study: Study, name: str, folds: Sequence[Neighbourhood]) -> ModelConfounds:
    """Put together what one model's codes of all folds show."""
    columns = [name for name in ATTRIBUTES if name in study.cohort.table.columns]
    names = dict.fromkeys([study.label, *columns])
    attributes = [attribute_of(study.cohort, column) for column in names]
    sharing = [measure_sharing(study, attribute, folds) for attribute in attributes]
    readable = [read_out(study, attribute, folds) for attribute in attributes]
    return ModelConfounds(
        name,
        tuple(entry for entry in sharing if entry is not None),
        tuple(entry for entry in readable if entry is not None),
        link_people(study, folds),
    )
