"""The encoder interface: a model as code without torch needs it, to embed volumes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from braincase.images.geometry import Grid

if TYPE_CHECKING:
    from braincase.cohort.derivatives import Recipe
    from braincase.images.volume import Volume

#: Turns uint8 volumes (n, *grid.shape) into codes (n, length).
Embed = Callable[[NDArray[np.uint8]], NDArray[np.float32]]
#: Turns a scan on its own voxels into its code (length,).
EmbedNative = Callable[["Volume"], NDArray[np.float32]]
#: Where the model saw the difference of a query and a hit (volumes; weights of the search or None).
Attribute = Callable[
    [NDArray[np.uint8], NDArray[np.uint8], NDArray[np.float64] | None], NDArray[np.float32]
]


@dataclass(frozen=True, eq=False)
class Encoder:
    """The encoder of a model, ready to embed volumes.

    Parameters
    ----------
    embed
        Turns uint8 volumes (n, *grid.shape) into codes (n, length).
    grid, recipe
        Of the standard volumes it goes with.
    fingerprint
        The model's; it changes whenever the codes do.
    name
        What a foreign encoder is called. Empty for a network of this house, whose 150 numbers are a
        map of the brain's cells; those of a named one are not, however many they are.
    length
        Numbers in a code; None to find out by embedding an empty volume.
    embed_native
        Of an encoder that takes scans on their own voxels: used instead of `embed`.
    strips_native
        Whether such a scan is skull-stripped first.
    attribute
        Attributes the distance of two volumes to their voxels, where the encoder can.
    """

    embed: Embed
    grid: Grid
    recipe: Recipe
    fingerprint: str
    name: str = ""
    length: int | None = None
    embed_native: EmbedNative | None = None
    strips_native: bool = True
    attribute: Attribute | None = None

    @property
    def is_native(self) -> bool:
        """Whether it takes scans on their own voxels, not standard volumes."""
        return self.embed_native is not None
