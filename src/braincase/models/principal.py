"""Principal component analysis (PCA) of training volumes, turned so that each axis has a cell.

The axes span what principal components span, so they rebuild volumes as well as those do, and
squared distances along them are the same. Turned within that space, each lies as far as it can in
one 32 mm cell: the code stays a map of places.

References
----------
Schönemann (1966), A generalized solution of the orthogonal Procrustes problem, for the turn.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from math import prod
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from braincase.images.geometry import CELL_MM, CELLS, HALF_GRID, Grid
from braincase.models.layers import CODE_SIZE

#: The components are those of volumes at this resolution; finer ones are averaged to it.
COARSE = HALF_GRID
#: Voxels whose mean over the training scans is below this share of the range are background.
BACKGROUND = 0.01
#: Mean squared distance of two people's codes before training; chosen on the development seed.
FIRST_DISTANCE = 4.0
#: Scans that the components are taken from, at most; each counts as it is and mirrored.
MOST_SCANS = 1500


class PrincipalAxes(nn.Module):
    """150 orthonormal axes in the space of volumes, not trained; none before `fit`.

    Their state has as many voxels as brains have in the cohort, so it is loaded at any length.
    They are kept in 16 bits, which is half the size of a model on disk.
    """

    voxels: Tensor
    axes: Tensor
    scale: Tensor

    def __init__(self, grid: Grid) -> None:
        super().__init__()
        self.factor = COARSE.resolution_mm // grid.resolution_mm
        self.register_buffer("voxels", torch.zeros(0, dtype=torch.int32))
        self.register_buffer("axes", torch.zeros(0, CODE_SIZE, dtype=torch.float16))
        self.register_buffer("scale", torch.ones(()))

    def fit(self, differences: Iterable[Tensor], mean: Tensor) -> None:
        """Take the axes from training scans.

        Parameters
        ----------
        differences
            From the mean brain, in batches of shape (b, 1, *grid.shape).
        mean
            The mean brain in [0, 1], shape (1, 1, *grid.shape).
        """
        inside = self._coarse(mean)[0] > BACKGROUND
        inside |= inside.view(COARSE.shape).flip(0).flatten()
        self.voxels = torch.nonzero(inside)[:, 0].int()
        brains = torch.cat([self._coarse(batch) for batch in differences])
        brains = torch.cat([brains, brains.view(-1, *COARSE.shape).flip(1).flatten(1)])
        axes, variance = principal_axes(brains[:, self.voxels])
        self.axes = (axes @ home_turn(axes, self._cells())).half()
        self.scale = (FIRST_DISTANCE / (2 * variance)).sqrt()

    def encode(self, differences: Tensor) -> Tensor:
        """Project differences from the mean brain on the axes, shape (b, 150)."""
        inside = self._coarse(differences)[:, self.voxels]
        return self.scale * (inside @ self.axes.to(inside.dtype))

    def decode(self, codes: Tensor) -> Tensor:
        """Add up the axes, shape (b, 1, *grid.shape)."""
        inside = (codes / self.scale) @ self.axes.T.to(codes.dtype)
        flat = inside.new_zeros(len(codes), prod(COARSE.shape))
        volumes = flat.index_copy(1, self.voxels.long(), inside).view(-1, 1, *COARSE.shape)
        if self.factor == 1:
            return volumes
        return F.interpolate(volumes, scale_factor=self.factor, mode="trilinear")

    def _coarse(self, volumes: Tensor) -> Tensor:
        """Average to the grid of the axes, shape (b, voxels)."""
        if self.factor > 1:
            volumes = F.avg_pool3d(volumes, self.factor)
        return volumes.reshape(len(volumes), -1)

    def _cells(self) -> Tensor:
        """Return the number of the cell in which each voxel of the axes lies."""
        edge = round(CELL_MM / COARSE.resolution_mm)
        numbers = torch.arange(CODE_SIZE, device=self.voxels.device).view(CELLS)
        for axis in range(3):
            numbers = numbers.repeat_interleave(edge, axis)
        return numbers.flatten()[self.voxels.long()]

    def _load_from_state_dict(
        self, state_dict: Mapping[str, Tensor], prefix: str, *rest: Any
    ) -> None:
        for name in ("voxels", "axes"):
            if (stored := state_dict.get(prefix + name)) is not None:
                setattr(self, name, torch.empty_like(stored, device=self.scale.device))
        super()._load_from_state_dict(state_dict, prefix, *rest)
        outside = (self.voxels < 0) | (self.voxels >= prod(COARSE.shape))
        if self.axes.shape != (len(self.voxels), CODE_SIZE) or outside.any():
            raise ValueError("axes of voxels that are not in the grid")


def principal_axes(brains: Tensor) -> tuple[Tensor, Tensor]:
    """Return up to 150 principal components and the sum of their variances.

    Parameters
    ----------
    brains
        Differences from the mean, shape (n, voxels).

    Returns
    -------
    axes
        Orthonormal columns, shape (voxels, 150); columns beyond n are 0.
    variance
        Of `brains` along all of them.
    """
    squares, mixtures = torch.linalg.eigh(brains @ brains.T)
    most = squares.flip(0)[:CODE_SIZE]
    # Scans that are sums of others give no axis of their own; 1e-6 is what float32 leaves of 0.
    real = most > 1e-6 * most[0]
    axes = brains.T @ mixtures.flip(1)[:, :CODE_SIZE][:, real] / most[real].sqrt()
    return F.pad(axes, (0, CODE_SIZE - axes.shape[1])), most[real].sum() / len(brains)


def home_turn(axes: Tensor, cells: Tensor) -> Tensor:
    """Return the rotation after which each axis lies most in the cell of its number.

    Each cell names the direction that moves its voxels most; the orthogonal matrix nearest to these
    directions side by side is the turn (Procrustes).

    Parameters
    ----------
    axes
        Orthonormal columns, shape (voxels, 150).
    cells
        Cell of each voxel, shape (voxels,).

    Returns
    -------
    Orthogonal, shape (150, 150).
    """
    wanted = torch.zeros(CODE_SIZE, CODE_SIZE, device=axes.device)
    for cell in range(CODE_SIZE):
        part = axes[cells == cell]
        squares, directions = torch.linalg.eigh(part.T @ part)
        wanted[:, cell] = squares[-1].clamp_min(0).sqrt() * directions[:, -1]
    left, _, right = torch.linalg.svd(wanted)
    turn: Tensor = left @ right
    return turn
