"""Hyperparameters of a training run: one frozen record, a few presets, and its TOML file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from difflib import get_close_matches
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal, get_args

from braincase.errors import UsageError
from braincase.files import did_you_mean, read_toml

Architecture = Literal["paper", "paper-mean", "paper-deep", "braincase", "principal"]
Exemplars = Literal["random", "mean"]
Reconstruction = Literal["mse", "rmse", "relative"]


@dataclass(frozen=True)
class ModelSettings:
    """How a model is built and trained.

    Parameters
    ----------
    name
        What reports call it.
    architecture
        ``paper`` (Onga 2019), ``paper-mean`` (its layers about the mean brain), ``paper-deep`` (the
        same with eight convolutions a side), ``braincase`` (docs/decisions/0001-local-code.md), or
        ``principal``, which has principal components beside it
        (docs/decisions/0072-principal-axes.md).
    channels
        Kernels of every stage (paper), or of the first one, doubled at each stage.
    alpha
        Weight of the metric loss; 0 trains a plain CAE.
    exemplars
        ``random``: the paper's one random exemplar of each class; ``mean``: all in the batch.
    draws
        How often each anchor draws random exemplars in a step; the paper's loss has 1.
    reconstruction
        ``mse`` (Onga 2019), ``rmse`` (DI-PSS), or ``relative``: the MSE as a share of the variance
        about the mean brain, so that alpha has no unit.
    epochs, batch_size
        Passes over the training scans; scans of one step on one device.
    learning_rate, weight_decay
        Of AdamW; the rate rises over the first tenth of all steps, then falls as a cosine.
    augment
        Whether scans are varied (`braincase.models.augment`).
    local
        Whether the searched code has, beside the network's numbers, the local code and the labels'
        posterior (`braincase.models.search_code`).
    seed
        Weights, order, exemplars and augmentation all follow from it.
    """

    name: str
    architecture: Architecture = "principal"
    channels: int = 16
    alpha: float = 1.0
    exemplars: Exemplars = "mean"
    draws: int = 1
    reconstruction: Reconstruction = "relative"
    epochs: int = 20
    batch_size: int = 16
    learning_rate: float = 2e-3
    weight_decay: float = 1e-4
    augment: bool = True
    local: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse impossible values, naming the option."""
        choices = {
            "architecture": get_args(Architecture),
            "exemplars": get_args(Exemplars),
            "reconstruction": get_args(Reconstruction),
        }
        for name, allowed in choices.items():
            if getattr(self, name) not in allowed:
                raise UsageError(name, repr(getattr(self, name)), " or ".join(allowed))
        for name in ("channels", "draws", "epochs", "learning_rate"):
            if not getattr(self, name) > 0:
                raise UsageError(name, f"{getattr(self, name)}", "more than 0")
        if self.alpha < 0 or self.weight_decay < 0:
            raise UsageError("alpha, weight_decay", "a negative number", "0 or more")
        if self.draws > 1 and self.exemplars == "mean":
            found = f'draws = {self.draws} with exemplars = "mean"'
            raise UsageError("draws, exemplars", found, 'draws = 1, or exemplars = "random"')
        if self.batch_size < 1:
            raise UsageError("batch_size", f"{self.batch_size}", "1 or more")
        if self.alpha > 0 and self.batch_size < 4:
            found = f"{self.batch_size} with alpha {self.alpha:g}"
            raise UsageError("batch_size", found, "4 or more, for exemplars of each class")


#: The three models that every evaluation sets side by side, at the half-resolution grid.
PRESETS: Mapping[str, ModelSettings] = MappingProxyType(
    {
        "plain": ModelSettings("plain", alpha=0.0),
        "ddcml": ModelSettings("ddcml", alpha=0.4, exemplars="random", draws=8),
        "braincase": ModelSettings("braincase", alpha=0.5, local=True),
    }
)


def load_settings(name_or_path: str | Path) -> ModelSettings:
    """Return a preset by name, or read settings from a TOML file.

    Parameters
    ----------
    name_or_path
        A name of `PRESETS` (plain, ddcml, braincase), or the path of a TOML file.

    Raises
    ------
    UsageError
        If there is neither, or the file has an unknown key or an impossible value.
    """
    if str(name_or_path) in PRESETS:
        return PRESETS[str(name_or_path)]
    path = Path(name_or_path)
    if not path.is_file():
        presets = ", ".join(PRESETS)
        near = get_close_matches(str(name_or_path), PRESETS, 1)
        advice = f"Did you mean {near[0]}?" if near else did_you_mean(path, "")
        raise UsageError(name_or_path, "no such settings", f"{presets}, or a TOML file", advice)
    return settings_from(read_toml(path, "TOML: key = value lines"), path)


def settings_from(content: Mapping[str, Any], where: str | Path) -> ModelSettings:
    """Build settings from a TOML or JSON table; unknown keys are errors, and so are wrong types."""
    defaults = {field.name: field.default for field in fields(ModelSettings)}
    for key, value in content.items():
        if key not in defaults:
            raise UsageError(where, f"unknown key {key!r}", f"some of {', '.join(defaults)}")
        wanted = str if key == "name" else type(defaults[key])
        if type(value) is not wanted and not (wanted is float and type(value) is int):
            raise UsageError(where, f"{key} = {value!r}", f"a value of type {wanted.__name__}")
    if "name" not in content:
        raise UsageError(where, "no key 'name'", 'name = "..."')
    return ModelSettings(**content)
