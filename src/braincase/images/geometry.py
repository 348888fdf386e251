"""Affines, orientation and the standard grid; the only file that knows LPS and RAS.

Everything in Braincase is **RAS+**: the first array axis runs to the subject's right, the second to
the front (anterior), the third to the top (superior); world coordinates are millimetres in that
frame. DICOM and ITK speak LPS+; they are turned here and nowhere else.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

import numpy as np
from numpy.typing import NDArray

from braincase.errors import ParameterError

Affine = NDArray[np.float64]
Shape3 = tuple[int, int, int]

#: Edge of one code cell in MNI space; the code is a 5 x 6 x 5 map of such cells.
CELL_MM = 32.0
CELLS: Shape3 = (5, 6, 5)
#: The outer corner (left, posterior, inferior) of the field of view shared by all grids, MNI mm.
FIELD_CORNER_MM = (-80.0, -114.0, -71.0)


@dataclass(frozen=True)
class Grid:
    """A regular RAS+ voxel grid over the standard field of view in MNI152 space.

    All standard grids cover exactly the same 160 x 192 x 160 mm, so a voxel at 4 mm is the mean of
    the eight voxels at 2 mm that it covers, and the code cells coincide.

    Parameters
    ----------
    resolution_mm
        Edge of the cubic voxels.
    around_mm
        How far it reaches beyond the standard field on every side; 0 for a standard grid.
    """

    resolution_mm: int
    around_mm: int = 0

    @property
    def shape(self) -> Shape3:
        """Number of voxels to the right, front and top."""
        n = [round((cells * CELL_MM + 2 * self.around_mm) / self.resolution_mm) for cells in CELLS]
        return (n[0], n[1], n[2])

    @property
    def size(self) -> int:
        """Number of voxels in all."""
        return prod(self.shape)

    @property
    def affine(self) -> Affine:
        """Voxel indices to MNI152 millimetres, shape (4, 4)."""
        affine = np.diag([self.resolution_mm] * 3 + [1.0])
        affine[:3, 3] = np.array(FIELD_CORNER_MM) - self.around_mm + self.resolution_mm / 2
        return affine

    def voxels_along(self, other: Grid) -> int:
        """Return how many of these voxels lie along the edge of one of another grid's.

        0 where that is no cube of them: it is finer, or of another field of view.
        """
        edge, rest = divmod(other.resolution_mm, self.resolution_mm)
        return 0 if rest or self.around_mm != other.around_mm else edge

    def points_mm(self) -> NDArray[np.float32]:
        """MNI152 coordinates of all voxel centres, shape (3, *shape), mm."""
        axes = [
            self.affine[i, 3] + self.resolution_mm * np.arange(n) for i, n in enumerate(self.shape)
        ]
        return np.stack(np.meshgrid(*axes, indexing="ij")).astype(np.float32)


#: The paper's grid: 80 x 96 x 80 voxels of 2 mm.
STANDARD_GRID = Grid(2)
#: The same field of view at half the resolution, for the demo and the tests: 40 x 48 x 40.
HALF_GRID = Grid(4)
GRIDS = {grid.resolution_mm: grid for grid in (STANDARD_GRID, HALF_GRID)}
#: Grids of view volumes: the standard field and skull, scalp and forehead around it, 192 x 224 x
#: 192 mm. Their voxels divide those of the standard grids.
VIEW_GRIDS = {mm: Grid(mm, 16) for mm in (1, 2)}


def grid_of_resolution(resolution_mm: int) -> Grid:
    """Return the standard grid with this voxel size.

    Raises
    ------
    UsageError
        If there is no standard grid of that resolution.
    """
    if resolution_mm not in GRIDS:
        expected = " or ".join(str(r) for r in GRIDS)
        raise ParameterError("resolution", f"{resolution_mm} mm", f"{expected} mm")
    return GRIDS[resolution_mm]


def zooms_of(affine: Affine) -> NDArray[np.float64]:
    """Return the three voxel edges in mm of an affine of shape (4, 4)."""
    return np.asarray(np.sqrt((np.asarray(affine)[:3, :3] ** 2).sum(axis=0)))


def lps_to_ras(affine: Affine) -> Affine:
    """Turn an affine to LPS+ millimetres, as DICOM writes them, into one to RAS+."""
    return np.asarray(np.diag([-1.0, -1.0, 1.0, 1.0]) @ affine)


def apply_affine(affine: Affine, points: NDArray[np.floating]) -> NDArray[np.float64]:
    """Map points of shape (..., 3) through an affine of shape (4, 4)."""
    return np.asarray(points @ affine[:3, :3].T + affine[:3, 3])


def _mean_of_eight(images: NDArray[np.floating] | NDArray[np.uint8]) -> NDArray[np.float32]:
    """Average cubes of two voxels, added in the order of NumPy's own mean, but faster."""
    pairs = images[..., 0::2] + images[..., 1::2]
    pairs += 0  # as there, no zero is negative
    total = pairs[..., 0::2, 0::2, :] + pairs[..., 0::2, 1::2, :]
    total += pairs[..., 1::2, 0::2, :]
    total += pairs[..., 1::2, 1::2, :]
    return np.asarray(total / np.float32(8))


def mean_of_blocks(
    images: NDArray[np.floating] | NDArray[np.uint8], edge: int
) -> NDArray[np.float32]:
    """Average cubes of `edge` voxels; shape (..., x, y, z) to (..., x/edge, y/edge, z/edge)."""
    is_usual = images.dtype == np.float32 and images.flags.c_contiguous and images.shape[-1] > 2
    if edge == 2 and is_usual:
        return _mean_of_eight(images)
    *several, x, y, z = images.shape
    blocks = images.reshape(*several, x // edge, edge, y // edge, edge, z // edge, edge)
    return np.asarray(blocks.mean(axis=(-5, -3, -1)), np.float32)


def downsampled(volumes: NDArray[np.uint8], edge: int) -> NDArray[np.uint8]:
    """Average cubes of `edge` voxels of 8-bit volumes, as `mean_of_blocks`, and round."""
    if edge == 1:
        return volumes
    return np.rint(mean_of_blocks(volumes, edge)).astype(np.uint8)
