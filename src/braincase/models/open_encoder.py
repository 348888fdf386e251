"""Opening an encoder by what a user names: a model's folder, an encoder file or an entry point."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from braincase.cohort.derivatives import Recipe
from braincase.images.geometry import Grid, grid_of_resolution
from braincase.models.encoder import Encoder
from braincase.models.encoder_check import load_encoder_file
from braincase.models.encoder_file import find_encoder_file
from braincase.models.model_json import read_about
from braincase.models.starter import model_folder


@dataclass(frozen=True)
class EncoderInfo:
    """What an encoder is, without loading it: its standard grid, recipe and fingerprint."""

    grid: Grid
    recipe: Recipe
    fingerprint: str


def open_encoder(model: str | Path) -> Encoder:
    """Load an encoder: a model's folder, an encoder file, or the name of an entry point.

    Parameters
    ----------
    model
        ``model/``, ``starter`` for the one that ships with the package, ``encoder.py``, or what an
        installed package offers as ``braincase.encoders``.
        An encoder file is a program: name only one that you trust.

    Raises
    ------
    ModelError
        If there is none; if its weights are not those it names; or if its vector of the bundled
        simulated head is not the expected one.
    """
    file = find_encoder_file(model)
    if file is not None:
        return load_encoder_file(file)
    from braincase.models.open_model import open_model

    return open_model(model_folder(model))


def encoder_info(model: str | Path) -> EncoderInfo:
    """Return what `open_encoder` would load, without loading or running any of it.

    Raises
    ------
    ModelError
        If there is none.
    """
    file = find_encoder_file(model)
    if file is not None:
        return EncoderInfo(file.standard_grid, file.recipe, file.fingerprint)
    about = read_about(model_folder(model))
    grid = grid_of_resolution(about["resolution_mm"])
    return EncoderInfo(grid, about["recipe"], about["fingerprint"])
