"""PACS commands: `pacs serve` runs a DICOM node beside an archive, `pacs status` looks at it."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from braincase.cli.arguments import AsJson, print_json
from braincase.errors import UsageError

if TYPE_CHECKING:
    from braincase.pacs.settings import PacsSettings

pacs_app = typer.Typer(
    help="Beside a PACS: studies come in, similar cases go back.", no_args_is_help=True
)
Config = Annotated[Path, typer.Option("--config", help="Configuration (TOML; docs/pacs.md).")]


def add_commands(app: typer.Typer) -> None:
    """Put the commands of this module into the command line."""
    app.add_typer(pacs_app, name="pacs")


def _settings(config: Path) -> PacsSettings:
    from braincase.pacs.settings import read_settings

    try:
        import highdicom  # noqa: F401
        import pynetdicom  # noqa: F401
    except ImportError as error:
        advice = "Install the extra: pip install 'braincase[pacs]'."
        raise UsageError(
            "pacs", f"no package {error.name}", "pynetdicom and highdicom", advice
        ) from None
    return read_settings(config)


@pacs_app.command()
def serve(
    gallery: Annotated[str, typer.Argument(help="Folder of the gallery.")],
    model: Annotated[str, typer.Option("--model", help="Its model or encoder file.")],
    config: Config,
) -> None:
    """Take studies by DICOM and send similar cases back to the archive; on this machine only."""
    settings = _settings(config)
    from braincase.cli.serve import load_for_service
    from braincase.models.encoder_check import fingerprint_of
    from braincase.pacs.run import run

    fingerprint = fingerprint_of(model)
    run(gallery, fingerprint, partial(load_for_service, model, fingerprint), settings)


@pacs_app.command()
def status(config: Config, as_json: AsJson = False) -> None:
    """Tell how far every study is, what failed and when it is tried again."""
    settings = _settings(config)
    from braincase.pacs.status import lines_of, status_of

    found = status_of(settings.node.spool)
    if as_json:
        print_json(found)
    else:
        print("\n".join(lines_of(found)))
