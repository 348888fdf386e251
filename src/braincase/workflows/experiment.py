"""Cross-validation experiments: train models on folds, run protocols, write the report.

Evaluation meets learning here: `model_fitter` trains what `braincase.evaluate` asks for.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from braincase.cohort.cohort import Cohort, open_cohort
from braincase.errors import ModelError, ParameterError
from braincase.evaluate import (
    Fit,
    Fitted,
    Study,
    open_study,
    remember,
    run_confound,
    run_honest,
    run_paper,
)
from braincase.evaluate.results import Rows
from braincase.files import refuse_overwrite
from braincase.json_values import to_json_object
from braincase.models.card import write_card
from braincase.models.embed import embedder, reconstruct
from braincase.models.model import Model, load_model, save_model
from braincase.models.model_json import ABOUT
from braincase.models.settings import PRESETS, ModelSettings, load_settings
from braincase.models.train import run_identity, train_model
from braincase.report.evaluation import Result, write_report

PROTOCOLS = ("paper", "honest", "confound")


def evaluate_and_report(
    cohort: Cohort | str | Path,
    folder: str | Path,
    protocols: Sequence[str] = ("paper",),
    models: Sequence[str | Path | ModelSettings] = tuple(PRESETS),
    label: str = "diagnosis",
    classes: Sequence[str] = (),
    n_folds: int = 5,
    run_folds: int = 0,
    unseen: Cohort | None = None,
    seed: int = 0,
    force: bool = False,
) -> tuple[list[Result], Path]:
    """Evaluate models by group k-fold cross-validation and write a report.

    An interrupted evaluation goes on where it was: models that are trained already are loaded.

    Parameters
    ----------
    cohort
        Prepared scans, as `braincase.open_cohort` gives them, or their folder.
    folder
        Where the report and, in ``models/``, the models go.
    protocols
        Some of paper, honest and confound, or ``("all",)``.
    models
        What to compare: names of presets, TOML files, or settings; plain first.
    label
        Column that holds the classes.
    classes
        Its values to tell apart; empty means CN and AD where both exist, else all of them.
    n_folds, run_folds
        Number of folds the people are dealt into, and how many are held out in turn (0: all).
    unseen
        A second cohort whose people also search (honest).
    seed
        Decides folds, clustering, resampling, and is added to that of the settings.
    force
        Write over a report that is there.

    Returns
    -------
    results, page
        One result a protocol, and the path of ``report.html``.

    Raises
    ------
    UsageError
        If there is a report already, or no such protocol, settings, column or class.
    CohortError
        If there is one class only, or `unseen` does not fit.
    LeakError
        If a person stands on both sides of a fold.
    """
    folder = Path(folder)
    refuse_overwrite(folder / "report.html", force)
    cohort = cohort if isinstance(cohort, Cohort) else open_cohort(cohort)
    study = open_study(cohort, label, classes, n_folds, run_folds, seed)
    fit, names = model_fitter(models, label, folder / "models", seed)
    results = run_protocols(study, fit, names, protocols, unseen)
    return results, write_report(folder, results)


def model_fitter(
    settings: Sequence[str | Path | ModelSettings], label: str, folder: str | Path, seed: int = 0
) -> tuple[Fit, list[str]]:
    """Return the function that trains a model on the rows of a fold, and the models' names.

    Each model is saved as ``folder/NAME-foldN``, so an interrupted evaluation goes on where it was:
    a model of the same settings and the same training scans is not trained again.

    Parameters
    ----------
    settings
        Names of presets, TOML files, or the settings themselves.
    label
        Column that holds the classes.
    folder
        Where the models go.
    seed
        Added to that of the settings.

    Raises
    ------
    UsageError
        If there are no such settings, or two of one name.
    """
    loaded = [s if isinstance(s, ModelSettings) else load_settings(s) for s in settings]
    by_name = {chosen.name: chosen for chosen in loaded}
    if len(by_name) != len(settings):
        raise ParameterError("models", "two settings of the same name", "different names")

    def fit(cohort: Cohort, rows: Rows, name: str, fold: int) -> Fitted:
        chosen = replace(by_name[name], seed=by_name[name].seed + seed)
        place = Path(folder, f"{name}-fold{fold}")
        model = _trained_before(place, cohort, rows, chosen, label)
        if model is None:
            model = train_model(cohort, np.asarray(rows), chosen, label, place / "checkpoint")
            save_model(place, model, write_card(model), force=True)
        return as_fitted(model)

    return remember(fit), list(by_name)


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
    """Return a trained model as evaluation sees it."""
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
