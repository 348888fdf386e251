"""Train a model on a cohort and save it: what stands behind ``braincase train``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from braincase.cohort.cohort import Cohort, open_cohort
from braincase.cohort.packing import IDENTITY_COLUMNS
from braincase.errors import UsageError
from braincase.files import refuse_overwrite
from braincase.labels import USUAL_LABEL
from braincase.models.card import write_card
from braincase.models.model import Model, save_model
from braincase.models.model_json import ABOUT
from braincase.models.settings import ModelSettings, load_settings
from braincase.models.train import is_main_process, train_model
from braincase.models.training_set import rows_of_classes


def train_and_save(
    cohort: Cohort | str | Path,
    folder: str | Path,
    settings: str | Path | ModelSettings = "braincase",
    label: str | None = None,
    classes: Sequence[str] = (),
    force: bool = False,
    device: str = "auto",
) -> Model:
    """Train a model on a cohort and save it as a folder.

    An interrupted run goes on from its last whole epoch. Where several processes train together
    (torchrun), each returns the model and one saves it.

    Parameters
    ----------
    cohort
        Prepared scans, as `braincase.open_cohort` gives them, or their folder.
    folder
        Where the model goes: weights, ``model.json``, a model card, and ``checkpoint/``.
    settings
        How the model is built and trained: a preset's name (plain, ddcml, braincase), a TOML file,
        or the settings themselves.
    label
        Column that holds the classes; None for ``diagnosis``. Settings with alpha 0 need none: they
        then train on all scans.
    classes
        Its values to tell apart; empty means all of them.
    force
        Write over a model that is there.
    device
        ``auto``, ``cpu``, ``cuda`` or ``mps``.

    Raises
    ------
    UsageError
        If there is a model already, or no such settings, column or class.
    TrainingError
        If there is only one class, too few scans for one batch, or a loss that is not finite.
    """
    folder = Path(folder)
    refuse_overwrite(folder / ABOUT, force)
    cohort = cohort if isinstance(cohort, Cohort) else open_cohort(cohort)
    chosen = settings if isinstance(settings, ModelSettings) else load_settings(settings)
    column = _label_column(cohort, chosen, label, classes)
    rows = rows_of_classes(cohort, column, classes)
    checkpoint = folder / "checkpoint"
    model = train_model(cohort, rows, chosen, column, checkpoint=checkpoint, device=device)
    if is_main_process():
        save_model(folder, model, write_card(model), force)
    return model


def _label_column(
    cohort: Cohort, settings: ModelSettings, label: str | None, classes: Sequence[str]
) -> str:
    """Return the column of the classes; empty where none is needed and none is there."""
    if label is not None or USUAL_LABEL in cohort.table.columns:
        return label or USUAL_LABEL
    if settings.alpha == 0 and not classes:
        return ""
    found = f"no column '{USUAL_LABEL}'"
    labels = [name for name in cohort.table.columns if name not in IDENTITY_COLUMNS]
    expected = f"a `label` column (there are: {', '.join(labels) or 'none'})"
    advice = "Without labels, train with the `settings` plain."
    raise UsageError(cohort.folder, found, expected, advice)
