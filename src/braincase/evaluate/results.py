"""Records of an evaluation: what goes in and what comes out, without arrays of images.

The learning is handed in (dependency injection): evaluation knows a trained model only as a
`Fitted`, and never imports torch.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from braincase.cohort.cohort import Cohort
from braincase.cohort.derivatives import Recipe
from braincase.json_values import JsonObject
from braincase.models.encoder import Embed

Codes = NDArray[np.float32]
Rows = NDArray[np.intp]
#: Turns uint8 volumes (n, *grid.shape) into float32 volumes of the same shape in [0, 1].
Reconstruct = Callable[[NDArray[np.uint8]], NDArray[np.float32]]


@dataclass(frozen=True)
class Fitted:
    """A trained autoencoder as evaluation sees it: its embedding, its reconstruction, its cost.

    An `braincase.models.encoder.Encoder` embeds volumes for a gallery; evaluation needs besides the
    decoder, and no grid or recipe, for those are the cohort's.

    Parameters
    ----------
    name
        The settings' name: plain, ddcml, braincase, ...
    embed
        uint8 volumes of shape (n, *grid.shape) to float32 codes of shape (n, 150).
    reconstruct
        uint8 volumes of shape (n, *grid.shape) to float32 volumes of the same shape in [0, 1].
    settings
        Everything that was chosen.
    seconds
        Training time.
    fingerprint
        Hash of weights, settings and preprocessing recipe.
    """

    name: str
    embed: Embed
    reconstruct: Reconstruct
    settings: JsonObject = field(default_factory=dict)
    seconds: float = 0.0
    fingerprint: str = ""


#: Trains one model: (cohort, rows of the training scans, settings' name, number of the fold).
Fit = Callable[[Cohort, Rows, str, int], Fitted]


#: How the settings are called in tables and figures.
MODEL_TITLES = {
    "plain": "plain CAE, our network",
    "ddcml": "the paper's loss, our network",
    "braincase": "Braincase",
}


def title_of(method: str) -> str:
    """Return the name of a model or baseline as readers see it."""
    name, mark, way = method.partition(", class first")
    return MODEL_TITLES.get(name, name) + mark + way


def remember(fit: Fit) -> Fit:
    """Memoise training: several protocols share the models of the same folds."""
    trained: dict[tuple[str, bytes, str, int], Fitted] = {}

    def fit_once(cohort: Cohort, rows: Rows, name: str, fold: int) -> Fitted:
        key = (str(cohort.folder), np.asarray(rows).tobytes(), name, fold)
        if key not in trained:
            trained[key] = fit(cohort, rows, name, fold)
        return trained[key]

    return fit_once


@dataclass(frozen=True)
class Estimate:
    """A value with its 95 % confidence interval; without one where low and high are None."""

    value: float
    low: float | None = None
    high: float | None = None

    def covers(self, value: float) -> bool:
        """Return whether the interval holds a value; false without an interval."""
        return self.low is not None and self.high is not None and self.low <= value <= self.high

    def overlaps(self, other: Estimate) -> bool:
        """Return whether two intervals have a value in common; without one, the value is it."""
        mine, theirs = self._ends(), other._ends()
        return mine[0] <= theirs[1] and theirs[0] <= mine[1]

    def _ends(self) -> tuple[float, float]:
        if self.low is None or self.high is None:
            return self.value, self.value
        return self.low, self.high

    def signed(self) -> str:
        """Write a difference with its sign and interval."""
        if self.low is None or self.high is None:
            return f"{self.value:+.3f}"
        return f"{self.value:+.3f} (95 % interval {self.low:+.3f} to {self.high:+.3f})"


@dataclass(frozen=True)
class Material:
    """The data set of an evaluation: classes, counts, census, preprocessing recipe.

    Parameters
    ----------
    data
        The data set's name, as it stands over its columns.
    simulated
        True if the images are simulated.
    resolution_mm
        Voxel size.
    label
        The column that holds the classes.
    people, scans
        Number of each in every class.
    others
        People in each group that no model was trained on.
    unlabelled
        Scans left out because they have no label.
    census
        The cohort's own census.
    recipe
        The cohort's preprocessing recipe.
    """

    data: str
    simulated: bool
    resolution_mm: int
    label: str
    people: Mapping[str, int]
    scans: Mapping[str, int]
    others: Mapping[str, int]
    unlabelled: int
    census: JsonObject
    recipe: Recipe

    @property
    def classes(self) -> tuple[str, ...]:
        """The classes, in the order in which results name them."""
        return tuple(self.people)


@dataclass(frozen=True)
class Training:
    """One model of one fold: what it was and what it cost."""

    model: str
    fold: int
    people: int
    scans: int
    seconds: float
    fingerprint: str
    settings: JsonObject


@dataclass(frozen=True)
class Provenance:
    """Provenance of a result: seed, folds, time, versions, machine.

    Parameters
    ----------
    seed
        Decides folds, clustering, resampling.
    folds, run_folds
        Number of folds people were dealt into, and how many of them were held out in turn.
    seconds
        Wall time, training included.
    started
        UTC, ISO 8601.
    versions
        Python and the libraries that the numbers depend on.
    machine
        Processor and number of cores.
    """

    seed: int
    folds: int
    run_folds: int
    seconds: float
    started: str
    versions: Mapping[str, str]
    machine: str
