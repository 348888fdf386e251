"""Encoder commands: `encoder check` runs the self-test of an encoder file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from braincase.cli.arguments import AsJson, Force, WholeHelp, print_json
from braincase.json_values import Json

if TYPE_CHECKING:
    from braincase.models.encoder_check import CheckedEncoder

encoder_app = typer.Typer(cls=WholeHelp, help="Encoders of one's own.", no_args_is_help=True)


def add_commands(app: typer.Typer) -> None:
    """Put the commands of this module into the command line."""
    app.add_typer(encoder_app, name="encoder")


@encoder_app.callback()
def _encoder() -> None:
    """Keep `check` a command of its own."""


@encoder_app.command("check")
def check(
    encoder: Annotated[str, typer.Argument(help="An encoder file, or an installed encoder.")],
    write_expected: Annotated[
        bool, typer.Option("--write-expected", help="Keep its vector as the expected one.")
    ] = False,
    force: Force = False,
    as_json: AsJson = False,
) -> None:
    """Run an encoder file and compare its vector of the bundled simulated head with the expected.

    An encoder file is a program: it can do whatever you can. Check only one that you trust.
    """
    from braincase.errors import ModelError
    from braincase.models import encoder_check
    from braincase.models.encoder_file import find_encoder_file

    file = find_encoder_file(encoder)
    if file is None:
        raise ModelError(encoder, "no encoder file", "FILE.py, or the name of an installed encoder")
    if write_expected:
        done = encoder_check.write_expected(file, force)
    else:
        done = encoder_check.check_encoder(file)
    rows = _rows(done, write_expected)
    if as_json:
        print_json(rows)
    else:
        print("\n".join(f"{name.replace('_', ' ')}: {value}" for name, value in rows.items()))


def _rows(done: CheckedEncoder, written: bool) -> dict[str, Json]:
    """Return what to tell of a checked encoder, by name."""
    from braincase.models.encoder_check import expected_path

    file = done.file
    shape = "own voxels" if file.is_native else f"{file.grid} grid {file.standard_grid.shape}"
    skull = "skull-stripped" if file.strip else "whole head"
    test = f"passed: {done.distance:.2g} from the expected vector, at most {file.tolerance:g}"
    return {
        "name": file.name,
        "input": f"{shape}, {skull}, intensity {file.intensity}",
        "length": done.length,
        "weights": f"{file.weights.name}, SHA-256 {file.weights_sha256}"
        if file.weights
        else "none",
        "fingerprint": file.fingerprint,
        "self_test": f"written: {expected_path(file)}" if written else test,
    }
