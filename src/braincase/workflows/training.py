"""Train a model on a cohort and save it: what stands behind ``braincase train``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from braincase.cohort.cohort import Cohort
from braincase.files import refuse_overwrite
from braincase.models.card import write_card
from braincase.models.model import Model, save_model
from braincase.models.model_json import ABOUT
from braincase.models.settings import ModelSettings, load_settings
from braincase.models.train import is_main_process, rows_of_classes, train_model


def train_and_save(
    cohort: Cohort,
    folder: Path,
    settings: str | ModelSettings = "braincase",
    label: str = "diagnosis",
    classes: Sequence[str] = (),
    force: bool = False,
) -> Model:
    """Train a model on a cohort and save it as a folder.

    An interrupted run goes on from its last whole epoch. Where several processes train together
    (torchrun), each returns the model and one saves it.

    Parameters
    ----------
    cohort
        Prepared scans, as `braincase.open_cohort` gives them.
    folder
        Where the model goes: weights, ``model.json``, a model card, and ``checkpoint/``.
    settings
        How the model is built and trained: a preset's name (plain, ddcml, braincase), a TOML file,
        or the settings themselves.
    label
        Column that holds the classes.
    classes
        Its values to tell apart; empty means all of them.
    force
        Write over a model that is there.

    Raises
    ------
    UsageError
        If there is a model already, or no such settings, column or class.
    TrainingError
        If there is only one class, too few scans for one batch, or a loss that is not finite.
    """
    refuse_overwrite(folder / ABOUT, force)
    chosen = load_settings(settings) if isinstance(settings, str) else settings
    rows = rows_of_classes(cohort, label, classes)
    model = train_model(cohort, rows, chosen, label, checkpoint=folder / "checkpoint")
    if is_main_process():
        save_model(folder, model, write_card(model), force)
    return model
