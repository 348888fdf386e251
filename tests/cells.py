"""The mean grey level of each cell as a model: a real local code that needs no training."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from braincase.cohort.cohort import Cohort
from braincase.gallery import Gallery, open_gallery
from braincase.images.geometry import CELLS
from braincase.models.encoder import Encoder
from braincase.workflows.index_cohort import index_cohort

MODEL = "c" * 64


def cell_means(volumes: np.ndarray) -> np.ndarray:
    """Codes (n, 150) of volumes (n, *grid.shape)."""
    n = len(volumes)
    sizes = [size // cells for size, cells in zip(volumes.shape[1:], CELLS, strict=True)]
    x, y, z = CELLS
    blocks = volumes.reshape(n, x, sizes[0], y, sizes[1], z, sizes[2]).astype(np.float32)
    return blocks.mean(axis=(2, 4, 6)).reshape(n, -1)


def gallery_of(cohort: Cohort, folder: Path) -> Gallery:
    """A gallery of all scans of a cohort."""
    index_cohort(folder, cohort, Encoder(cell_means, cohort.grid, cohort.recipe, MODEL))
    return open_gallery(folder)
