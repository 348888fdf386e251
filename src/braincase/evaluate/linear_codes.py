"""Linear references of the paper's table: the mean brain, PCA-150, and PCA-150 with LDA.

An autoencoder that is worth its name rebuilds people better than as many principal components do,
and any model better than the training people's mean brain, which knows nothing of them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import prod

import numpy as np
from numpy.typing import NDArray

from braincase.evaluate.baselines import centred_gram, discriminant_codes, principal_components
from braincase.evaluate.results import Codes, Rows
from braincase.evaluate.study import Study

MEAN_BRAIN, PCA, PCA_LDA = "mean brain", "PCA-150", "PCA-150 + LDA"
#: Bytes of images up to which the Gram matrix of all voxels is computed.
MOST_VOXELS = 4 << 30
#: Scans read at once.
BATCH = 64
#: Voxels multiplied at once, of all scans.
CHUNK = 4096


@dataclass(frozen=True)
class LinearCodes:
    """One linear reference on the held-out scans of a fold.

    Parameters
    ----------
    name
        `MEAN_BRAIN`, `PCA` or `PCA_LDA`.
    codes
        Float32 of shape (scans, dimensions).
    errors
        Mean squared error of each scan's reconstruction, intensities in [0, 1].
    """

    name: str
    codes: Codes
    errors: NDArray[np.float64]


@dataclass(frozen=True)
class VoxelGram:
    """Dot products of all voxels of some scans; build with `voxel_gram`.

    Parameters
    ----------
    rows
        The scans, sorted.
    gram
        Float32 of shape (scans, scans), intensities in [0, 1].
    voxels
        How many each scan has.
    """

    rows: Rows
    gram: NDArray[np.float32]
    voxels: int

    def linear_codes(self, study: Study, train: Rows, test: Rows) -> Iterator[LinearCodes]:
        """Yield each reference, fitted on training scans, of the held-out ones."""
        fit, asked = (np.searchsorted(self.rows, rows) for rows in (train, test))
        centred = centred_gram(self.gram, fit)
        from_mean = np.maximum(np.diag(centred)[asked].astype(np.float64), 0)
        components = principal_components(centred, fit)
        rebuilt = (components[asked].astype(np.float64) ** 2).sum(axis=1)
        errors = np.maximum(from_mean - rebuilt, 0) / self.voxels
        nothing = np.zeros((len(test), 1), np.float32)
        yield LinearCodes(MEAN_BRAIN, nothing, from_mean / self.voxels)
        yield LinearCodes(PCA, components[asked], errors)
        apart = discriminant_codes(components, fit, study.y[train])
        yield LinearCodes(PCA_LDA, apart[asked], errors)  # it can be undone: the same errors


def voxel_gram(study: Study) -> VoxelGram | None:
    """Return the Gram matrix of all scans of the folds, or None if they are too many."""
    folds = [fold for _, fold in study.used_folds()]
    rows = np.unique(np.concatenate([part for f in folds for part in (f.train, f.test)]))
    voxels = prod(study.cohort.grid.shape)
    if len(rows) * voxels > MOST_VOXELS:
        return None
    flat = np.empty((len(rows), voxels), np.uint8)
    for start in range(0, len(rows), BATCH):
        batch = study.cohort.volumes[rows[start : start + BATCH]]
        flat[start : start + BATCH] = batch.reshape(len(batch), -1)
    gram = np.zeros((len(rows), len(rows)), np.float32)
    for start in range(0, voxels, CHUNK):
        part = flat[:, start : start + CHUNK].astype(np.float32) / np.float32(255)
        part -= part.mean(axis=0)  # a common shift cancels; smaller numbers round less
        gram += part @ part.T
    return VoxelGram(rows, gram, voxels)
