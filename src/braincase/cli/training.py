"""Commands on models: ``train``, ``evaluate`` and ``demo``."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from braincase.cli.arguments import (
    AsJson,
    Classes,
    Force,
    Label,
    Seed,
    comma_list,
    print_json,
)
from braincase.errors import UsageError
from braincase.json_values import to_json


def add_commands(app: typer.Typer) -> None:
    """Put the commands of this module into the command line."""
    for command in (train, evaluate, demo):
        app.command()(command)


def train(
    cohort: Annotated[Path, typer.Argument(help="A cohort.")],
    out: Annotated[Path, typer.Option("--out", help="Folder of the model.")],
    settings: Annotated[
        str, typer.Option(help="plain, ddcml, braincase, or a TOML file.")
    ] = "braincase",
    label: Annotated[
        str | None, typer.Option(help="Column that holds the classes; default diagnosis.")
    ] = None,
    classes: Classes = "",
    epochs: Annotated[int | None, typer.Option(help="Passes over the scans.")] = None,
    batch_size: Annotated[int | None, typer.Option(help="Scans of one step.")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")] = "auto",
    force: Force = False,
    as_json: AsJson = False,
) -> None:
    """Train a model on a cohort; an interrupted run goes on from its last whole epoch."""
    from braincase.cohort.cohort import open_cohort
    from braincase.files import refuse_overwrite
    from braincase.models.model_json import ABOUT
    from braincase.models.settings import load_settings
    from braincase.models.train import is_main_process
    from braincase.workflows.training import train_and_save

    refuse_overwrite(out / ABOUT, force)
    chosen = load_settings(settings)
    chosen = replace(
        chosen,
        epochs=chosen.epochs if epochs is None else epochs,
        batch_size=chosen.batch_size if batch_size is None else batch_size,
    )
    opened, among = open_cohort(cohort), comma_list(classes)
    model = train_and_save(opened, out, chosen, label, among, force, device)
    if not is_main_process():
        return
    if as_json:
        content = {"model": str(out), "fingerprint": model.fingerprint, "training": model.training}
        print_json(to_json(content))
    else:
        losses = ", ".join(f"{k} {v:.3g}" for k, v in model.training["losses"].items())
        print(f"{out}: {losses}; fingerprint {model.fingerprint[:12]}")
        print(f"next: braincase index {cohort} --gallery GALLERY --model {out}")


def evaluate(
    cohort: Annotated[Path, typer.Argument(help="A cohort.")],
    out: Annotated[Path, typer.Option("--out", help="Folder of the report.")],
    protocol: Annotated[str, typer.Option(help="paper, honest, confound, or all.")] = "paper",
    models: Annotated[
        str, typer.Option(help="Settings to compare: names or TOML files, with commas.")
    ] = "plain,ddcml,braincase",
    folds: Annotated[int, typer.Option(help="Number of folds the people are dealt into.")] = 5,
    run_folds: Annotated[int, typer.Option(help="Folds to hold out in turn; 0: all.")] = 0,
    label: Label = "diagnosis",
    classes: Classes = "",
    epochs: Annotated[
        int | None, typer.Option(help="Passes over the scans, of all models.")
    ] = None,
    unseen: Annotated[
        Path | None, typer.Option(help="Second cohort whose people also ask (honest).")
    ] = None,
    seed: Seed = 0,
    force: Force = False,
    as_json: AsJson = False,
) -> None:
    """Evaluate models by cross-validation and write a report."""
    from braincase.cohort.cohort import open_cohort
    from braincase.files import refuse_overwrite
    from braincase.models.settings import load_settings
    from braincase.report.evaluation import first_line
    from braincase.workflows.experiment import evaluate_and_report

    refuse_overwrite(out / "report.html", force)
    chosen = [load_settings(name) for name in comma_list(models)]
    if epochs is not None:
        chosen = [replace(settings, epochs=epochs) for settings in chosen]
    results, page = evaluate_and_report(
        open_cohort(cohort),
        out,
        comma_list(protocol),
        chosen,
        label,
        comma_list(classes),
        folds,
        run_folds,
        open_cohort(unseen) if unseen else None,
        seed,
        force,
    )
    if as_json:
        print_json({str(r.to_json()["protocol"]): r.to_json() for r in results})
    else:
        print(f"{first_line(results)}\nreport: {page}")


def demo(
    folder: Annotated[Path, typer.Argument(help="Where everything goes.")] = Path("demo"),
    folds: Annotated[int, typer.Option(help="Folds to hold out in turn, 1 to 5.")] = 1,
    seed: Seed = 0,
) -> None:
    """See the whole system work on simulated people: about ten minutes on two cores."""
    from braincase.workflows.demo import run_demo

    if not 1 <= folds <= 5:
        raise UsageError("--folds", str(folds), "1 to 5")
    run_demo(folder, folds, seed)
