"""Evaluation meets learning: the function that trains what `braincase.evaluate` asks for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from braincase.cohort.cohort import Cohort
from braincase.errors import ModelError, ParameterError
from braincase.evaluate import Fit, Fitted, Study, remember, run_confound, run_honest, run_paper
from braincase.evaluate.results import Rows
from braincase.json_values import to_json_object
from braincase.models.card import write_card
from braincase.models.embed import embedder, reconstruct
from braincase.models.model import Model, load_model, save_model
from braincase.models.model_json import ABOUT
from braincase.models.settings import ModelSettings, load_settings
from braincase.models.train import run_identity, train_model
from braincase.report.evaluation import Result

PROTOCOLS = ("paper", "honest", "confound")


def model_fitter(
    settings: Sequence[str], label: str, folder: Path, seed: int = 0
) -> tuple[Fit, list[str]]:
    """Return the function that trains a model on the rows of a fold, and the models' names.

    Each model is saved as ``folder/NAME-foldN``, so an interrupted evaluation goes on where it was:
    a model of the same settings and the same training scans is not trained again.

    Parameters
    ----------
    settings
        Names of presets or TOML files.
    label
        Column that holds the classes.
    folder
        Where the models go.
    seed
        Added to that of the settings.
    """
    known = {s.name: s for s in map(load_settings, settings)}
    if len(known) != len(settings):
        raise ParameterError("models", "two settings of the same name", "different names")

    def fit(cohort: Cohort, rows: Rows, name: str, fold: int) -> Fitted:
        chosen = replace(known[name], seed=known[name].seed + seed)
        place = folder / f"{name}-fold{fold}"
        model = _trained_before(place, cohort, rows, chosen, label)
        if model is None:
            model = train_model(cohort, np.asarray(rows), chosen, label, place / "checkpoint")
            save_model(place, model, write_card(model), force=True)
        return as_fitted(model)

    return remember(fit), list(known)


def _trained_before(
    place: Path, cohort: Cohort, rows: Rows, settings: ModelSettings, label: str
) -> Model | None:
    if not (place / ABOUT).exists():
        return None
    try:
        model = load_model(place)
    except ModelError:
        return None
    same = model.training.get("run") == run_identity(cohort, np.asarray(rows), settings, label)
    return model if same else None


def as_fitted(model: Model) -> Fitted:
    """Return a trained model as evaluation knows it."""
    return Fitted(
        name=model.settings.name,
        embed=embedder(model),
        reconstruct=lambda volumes: reconstruct(model, volumes),
        settings=to_json_object(model.settings),
        seconds=float(model.training["seconds"]),
        fingerprint=model.fingerprint,
    )


def run_protocols(
    study: Study, fit: Fit, models: Sequence[str], protocols: Sequence[str], unseen: Cohort | None
) -> list[Result]:
    """Run one or more protocols on the same models.

    Parameters
    ----------
    study
        Scans, classes, folds.
    fit
        From `model_fitter`.
    models
        Names of the settings, plain first.
    protocols
        Some of `PROTOCOLS`, or ``all``.
    unseen
        A second cohort for the honest protocol.

    Raises
    ------
    UsageError
        If there is no such protocol.
    """
    chosen = PROTOCOLS if list(protocols) == ["all"] else tuple(protocols)
    if unknown := [name for name in chosen if name not in PROTOCOLS]:
        raise ParameterError("protocols", unknown[0], f"{', '.join(PROTOCOLS)} or all")
    results: list[Result] = []
    for name in chosen:
        if name == "paper":
            results.append(run_paper(study, fit, models))
        elif name == "honest":
            results.append(run_honest(study, fit, models, unseen))
        else:
            results.append(run_confound(study, fit, models))
    return results
