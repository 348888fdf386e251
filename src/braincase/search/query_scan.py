"""Query scan: a standard volume to search with, and what is known of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from braincase.images.geometry import Grid, downsampled
from braincase.labels import Value

if TYPE_CHECKING:
    from braincase.cohort.view import ViewVolume
    from braincase.images.volume import Volume


@dataclass(frozen=True)
class QueryScan:
    """A scan to search with: its standard volume and what is known of it.

    Parameters
    ----------
    volume
        uint8 on the model's grid.
    scan_id, subject
        Who it is, where that is known.
    labels
        What else is known.
    notes
        What the user should know about it, a sentence each.
    native
        The scan on its own voxels, where an encoder takes that.
    view
        Its view volume, where that was wanted.
    stored_hash
        SHA-256 of the voxels as they are stored, where the volume is one of means of them.
    """

    volume: NDArray[np.uint8]
    scan_id: str
    subject: str | None
    labels: Mapping[str, Value]
    notes: tuple[str, ...] = ()
    native: Volume | None = None
    view: ViewVolume | None = None
    stored_hash: str | None = None

    @property
    def image_hash(self) -> str:
        """SHA-256 of the voxels, as cohorts and galleries keep it."""
        return self.stored_hash or sha256(self.volume.tobytes()).hexdigest()


def on_models_grid(scan: QueryScan, own: Grid, grid: Grid) -> QueryScan:
    """Downsample a query scan that was prepared on a finer grid to the model's grid.

    Parameters
    ----------
    scan
        Its volume lies on `own`.
    own, grid
        Where it was prepared, and the model's; voxels of the one make up those of the other.
    """
    if own == grid:
        return scan
    by_means = f"brought to the model's {grid.resolution_mm} mm by means"
    return replace(
        scan,
        volume=downsampled(scan.volume, own.voxels_along(grid)),
        notes=(f"Prepared at {own.resolution_mm} mm: {by_means}.", *scan.notes),
        stored_hash=scan.image_hash,
    )
