"""View volumes: the scan as it was, skull and all, in MNI152 space, for people to look at.

::

    ..._space-MNI152NLin2009aSym_res-1_desc-view_T1w.nii.gz   beside the standard volume
    ..._space-MNI152NLin2009aSym_res-1_desc-view_T1w.json

Nothing is computed from one: models, maps and volumes read the standard volume. The voxels are
uint8; `SLOPE` in the header brings them to the grey levels of the standard volume, in which white
matter is about 217, and leaves room above for fat, contrast agent and blood. A whole head shows a
face: `ViewChoice.brain_only` leaves it out.
"""

from __future__ import annotations

import gzip
import io
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import nibabel
import numpy as np
from numpy.typing import NDArray

from braincase.cohort.derivatives import (
    HEADER_SIZE,
    IMAGE_ENDING,
    MNI152_CODE,
    sidecar_path,
    unpacked,
)
from braincase.errors import ParameterError, ScanError
from braincase.files import atomic_write, read_json, write_json
from braincase.images.geometry import VIEW_GRIDS, Grid

VIEW_ENDING = "_desc-view_T1w.nii.gz"
#: Grey levels of the standard volume for one step of the stored uint8.
SLOPE = 1.5
#: A single NIfTI-1 file: where its voxels begin.
VOXELS_AT = 352
#: The quickest of gzip: head and noise pack hardly better with more patience.
GZIP_LEVEL = 1
CHOICES = ("1mm", "2mm", "none")


@dataclass(frozen=True)
class ViewChoice:
    """Which view volume is wanted: its voxel edge in mm, and whether it shows the brain alone."""

    resolution_mm: int = 1
    brain_only: bool = False


@dataclass(frozen=True, eq=False)
class ViewVolume:
    """A view volume.

    Parameters
    ----------
    voxels
        uint8 of shape `grid.shape`; times `SLOPE` it is a grey level of the standard volume.
    grid
        One of `VIEW_GRIDS`.
    brain_only
        Whether all but the brain was taken away, the face with it.
    skull_stripped
        Whether there is no skull and scalp: for that reason, or as the scan had none.
    """

    voxels: NDArray[np.uint8]
    grid: Grid
    brain_only: bool = False
    skull_stripped: bool = False


@dataclass(frozen=True)
class WrittenView:
    """A view volume beside its standard volume: where, SHA-256 of its voxels, and what it shows."""

    path: Path
    voxel_hash: str
    choice: ViewChoice


def view_choice(name: str, brain_only: bool = False) -> ViewChoice | None:
    """Return the choice that ``1mm``, ``2mm`` or ``none`` stands for; None for no view.

    Raises
    ------
    ParameterError
        If it is no such name, or no view is to show the brain alone.
    """
    if name not in CHOICES:
        raise ParameterError("view", repr(name), " or ".join(CHOICES))
    if name != "none":
        return ViewChoice(int(name[0]), brain_only)
    if brain_only:
        raise ParameterError("view_brain_only", "given with a view of none", "1mm or 2mm")
    return None


def view_path(image: Path, grid: Grid) -> Path:
    """Return where the view volume lies that belongs to a standard volume."""
    start = image.name.removesuffix(IMAGE_ENDING).rpartition("_res-")[0]
    return image.with_name(f"{start}_res-{grid.resolution_mm}{VIEW_ENDING}")


def grid_of_view(name: str) -> Grid | None:
    """Return the grid that the name of a view volume tells; None where it is no such name."""
    for mm, grid in VIEW_GRIDS.items():
        if name.endswith(f"_res-{mm}{VIEW_ENDING}"):
            return grid
    return None


def write_view(image: Path, view: ViewVolume) -> None:
    """Write the view volume that belongs to a standard volume; its sidecar last, others removed."""
    remove_views(image)
    path = view_path(image, view.grid)
    write_packed(path, pack_view(view))
    about = {
        "Description": "The scan in MNI152 space, resampled once, to look at and not to measure.",
        "SkullStripped": view.skull_stripped,
        "BrainOnly": view.brain_only,
        "Resolution": f"{view.grid.resolution_mm} mm isotropic",
        "VoxelHash": voxel_hash(view.voxels),
    }
    write_json(sidecar_path(path), about)


def write_packed(path: Path, packed: bytes) -> None:
    """Write a packed view volume whole."""
    with atomic_write(path) as aside:
        aside.write_bytes(packed)


def voxel_hash(voxels: NDArray[np.uint8]) -> str:
    """Return the SHA-256 of voxels, as galleries keep it."""
    return sha256(voxels.tobytes()).hexdigest()


def remove_views(image: Path) -> None:
    """Remove every view volume of a standard volume."""
    for grid in VIEW_GRIDS.values():
        path = view_path(image, grid)
        sidecar_path(path).unlink(missing_ok=True)
        path.unlink(missing_ok=True)


def find_view(image: Path) -> WrittenView | None:
    """Return the view volume of a standard volume, if it has a whole one."""
    for mm, grid in VIEW_GRIDS.items():
        path = view_path(image, grid)
        try:
            about = read_json(sidecar_path(path), ScanError)
        except ScanError:
            continue
        if path.is_file() and isinstance(about.get("VoxelHash"), str):
            choice = ViewChoice(mm, about.get("BrainOnly") is True)
            return WrittenView(path, about["VoxelHash"], choice)
    return None


def read_view(image: Path) -> ViewVolume | None:
    """Read the view volume of a standard volume; None where it has none that can be read."""
    written = find_view(image)
    if written is None:
        return None
    grid, brain_only = VIEW_GRIDS[written.choice.resolution_mm], written.choice.brain_only
    try:
        voxels = decode_view(written.path.read_bytes(), written.path, grid)
    except (OSError, ScanError):
        return None
    return ViewVolume(voxels, grid, brain_only, brain_only)


def has_view(image: Path, choice: ViewChoice) -> bool:
    """Return whether a standard volume has the view that is wanted."""
    written = find_view(image)
    return written is not None and written.choice == choice


def pack_view(view: ViewVolume) -> bytes:
    """Return a view volume as the bytes of a ``.nii.gz``; equal volumes give equal bytes."""
    header = nibabel.Nifti1Header()
    header.set_data_dtype(np.uint8)
    header.set_data_shape(view.grid.shape)
    header.set_sform(view.grid.affine, MNI152_CODE)
    header.set_qform(view.grid.affine, MNI152_CODE)
    header.set_xyzt_units("mm")
    header["scl_slope"], header["scl_inter"] = SLOPE, 0
    header["magic"], header["vox_offset"] = b"n+1", VOXELS_AT
    packed = io.BytesIO()
    with gzip.GzipFile("", "wb", GZIP_LEVEL, packed, mtime=0) as file:
        file.write(header.binaryblock.ljust(VOXELS_AT, b"\0"))
        file.write(view.voxels.tobytes(order="F"))
    return packed.getvalue()


def most_view_bytes(grid: Grid) -> int:
    """Return the most bytes that a packed view volume has; gzip never makes noise much longer."""
    return grid.size + grid.size // 100 + VOXELS_AT + 1024


def decode_view(packed: bytes, path: Path, grid: Grid) -> NDArray[np.uint8]:
    """Return the voxels of a packed view volume, uint8 of shape `grid.shape`, C order.

    Raises
    ------
    ScanError
        If it is no 8-bit NIfTI exactly on the grid, is longer than that, or constant.
    """
    content, header = unpacked(packed, path, grid, most_bytes_a_voxel=1)
    try:
        dtype, affine = header.get_data_dtype(), header.get_best_affine()
        start = int(header.get_data_offset())
    except Exception as error:  # a header can be wrong in many ways
        raise ScanError(path, f"cannot be read ({error})", "a NIfTI image") from None
    if dtype != np.uint8:
        raise ScanError(path, f"{dtype} values", "uint8")
    if not np.allclose(affine, grid.affine, atol=1e-3):
        raise ScanError(path, "another affine", f"the {grid.resolution_mm} mm view grid")
    if not HEADER_SIZE <= start <= len(content) - grid.size:
        raise ScanError(path, "cannot be read (it ends early)", "a NIfTI image")
    voxels = np.frombuffer(content, np.uint8, grid.size, start).reshape(grid.shape, order="F")
    if voxels.min() == voxels.max():
        raise ScanError(path, f"a constant volume (all {voxels.flat[0]})", "an image")
    return np.ascontiguousarray(voxels)
