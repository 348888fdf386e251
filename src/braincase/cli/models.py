"""The command ``models``: which models are at hand."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from braincase.cli.arguments import AsJson, print_json
from braincase.labels import is_of_simulation


def add_commands(app: typer.Typer) -> None:
    """Put the command of this module into the command line."""
    app.command()(models)


def models(
    folders: Annotated[
        list[Path] | None, typer.Argument(help="Folders of models, or folders that hold some.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """List the models at hand: the starter model that ships with the package, and your own."""
    from braincase.models.at_hand import models_at_hand
    from braincase.models.model_json import read_about

    told = {name: read_about(path) for name, path in models_at_hand(folders or ()).items()}
    if as_json:
        print_json([{"model": name, **about} for name, about in told.items()])
        return
    for name, about in told.items():
        training = about["training"]
        scans = sum(training.get("scans", {}).values())
        people = f"{scans:,} scans of {training.get('people', 0):,} people"
        simulated = "simulated " if is_of_simulation(about["recipe"]) else ""
        print(
            f"{name}: {about['resolution_mm']} mm, {about['fingerprint'][:12]}, {simulated}{people}"
        )
        print(f"  tells apart: {', '.join(training.get('classes', [])) or 'nothing'}")
