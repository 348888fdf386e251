"""Models on disk: a folder of ``model.safetensors``, ``model.json`` and ``card.md``; no pickle."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from braincase.cohort.derivatives import Recipe
from braincase.errors import BraincaseError, ModelError
from braincase.files import atomic_write, check_regular, refuse_overwrite, write_json, write_text
from braincase.images.geometry import Grid, grid_of_resolution
from braincase.json_values import to_json_object
from braincase.models.model_json import (
    ABOUT,
    FORMAT,
    WEIGHTS,
    ModelJson,
    TrainingJson,
    hash_of_model,
    read_about,
)
from braincase.models.network import Autoencoder, build_network
from braincase.models.settings import ModelSettings, settings_from

CARD = "card.md"
#: What damaged settings or weights lead the libraries to raise.
BAD_FOLDER = (
    *(OSError, SafetensorError, RuntimeError, LookupError, TypeError, ValueError, AttributeError),
    BraincaseError,
)


@dataclass(frozen=True)
class Model:
    """A trained network and all that decides what its codes mean.

    Parameters
    ----------
    network
        The autoencoder.
    settings
        How it was built and trained.
    grid
        The voxel grid of its volumes.
    recipe
        The preprocessing recipe of its training volumes.
    training
        Classes, counts, final losses, versions, hardware.
    """

    network: Autoencoder
    settings: ModelSettings
    grid: Grid
    recipe: Recipe
    training: TrainingJson

    @cached_property
    def fingerprint(self) -> str:
        """Hash of weights, settings, grid and recipe; codes compare only where it is equal."""
        arrays = (
            (name, tensor.detach().cpu().contiguous().numpy().tobytes())
            for name, tensor in sorted(self.network.state_dict().items())
        )
        return hash_of_model(self.settings, self.grid.resolution_mm, self.recipe, arrays)

    @property
    def device(self) -> torch.device:
        """Where the network's parameters are, and so where it computes."""
        return next(self.network.parameters()).device

    def __repr__(self) -> str:
        """Name it in one line, without its network."""
        return f"Model({self.settings.name}, {self.grid.resolution_mm} mm, {self.fingerprint[:8]})"

    def about(self) -> ModelJson:
        """Return the content of ``model.json``."""
        return {
            "format": FORMAT,
            "fingerprint": self.fingerprint,
            "settings": to_json_object(self.settings),
            "resolution_mm": self.grid.resolution_mm,
            "recipe": to_json_object(self.recipe),
            "training": self.training,
        }


def save_model(folder: str | Path, model: Model, card: str, force: bool = False) -> None:
    """Write a model folder; ``model.json`` comes last and makes it whole.

    Parameters
    ----------
    folder
        Where it goes.
    model
        A trained model.
    card
        Its model card, as `braincase.models.card.write_card` writes it.
    force
        Write over a model that is there.

    Raises
    ------
    UsageError
        If the folder is in use and `force` is false.
    """
    folder = Path(folder)
    refuse_overwrite(folder / ABOUT, force)
    write_tensors(folder / WEIGHTS, model.network.state_dict())
    write_text(folder / CARD, card)
    write_json(folder / ABOUT, model.about())


def load_model(folder: str | Path) -> Model:
    """Read a model folder and check it against its own fingerprint.

    Parameters
    ----------
    folder
        What `save_model` wrote.

    Raises
    ------
    ModelError
        If it is missing, damaged, or not what its fingerprint says.
    """
    folder = Path(folder)
    about = read_about(folder)
    try:
        settings = settings_from(about["settings"], folder / ABOUT)
        grid = grid_of_resolution(about["resolution_mm"])
        network = build_network(settings, grid)
        weights = load_file(check_regular(folder / WEIGHTS))
        if weights.keys() != network.state_dict().keys():
            found = f"weights of another network than today's {settings.architecture!r}"
            expected = "those that this version trains"
            raise ModelError(folder, found, expected, "Train again, or use the version before.")
        network.load_state_dict(weights)
        model = Model(network.eval(), settings, grid, about["recipe"], about["training"])
    except ModelError:
        raise
    except BAD_FOLDER as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise ModelError(folder, f"cannot be loaded ({reason})", "a model folder") from error
    if model.fingerprint != about["fingerprint"]:
        found = "weights or settings that do not have the fingerprint in model.json"
        raise ModelError(folder, found, advice="Restore the folder or train again.")
    return model


def write_tensors(path: Path, tensors: Mapping[str, Tensor]) -> None:
    """Write named tensors as a whole safetensors file."""
    plain = {name: t.detach().cpu().contiguous() for name, t in tensors.items()}
    with atomic_write(path) as aside:
        save_file(plain, aside)


def read_tensors(path: Path) -> dict[str, Tensor] | None:
    """Read named tensors; None where there is no file or it is damaged."""
    try:
        return load_file(path)
    except (OSError, SafetensorError):
        return None


def same_shapes(a: Mapping[str, Tensor], b: Mapping[str, Tensor]) -> bool:
    """Return whether two sets of tensors have the same names and shapes."""
    return {n: t.shape for n, t in a.items()} == {n: t.shape for n, t in b.items()}
