"""Untrusted paths: the one way to the image that a gallery's case names.

A gallery is data, and may have been made by somebody else: the folder and the name of an image in
it are a claim. The claim is believed only if all of this holds:

- the name is relative, without ``..``, and ends as the images of a cohort do;
- it leads, symbolic links resolved, to a regular file inside the folder;
- that file is a standard volume: gzip, NIfTI, 8 bit, exactly on the gallery's grid or on the finer
  one that its name tells, and no longer than that;
- the SHA-256 of its voxels is the one that the gallery holds for the case.

A finer image is averaged to the gallery's grid once it is believed.

A view volume is believed on the same terms: another ending, and on the grid that its name tells.

So a gallery can name any folder, and shows nothing but images whose voxels its maker had already.
Nothing else that the account can read (a key, a device, another person's image) is opened, waited
for, or sent.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from braincase.cohort.derivatives import IMAGE_ENDING, decode_image, most_packed_bytes
from braincase.cohort.view import VIEW_ENDING, decode_view, grid_of_view, most_view_bytes
from braincase.errors import ScanError
from braincase.files import is_plain_relative, read_regular
from braincase.images.geometry import GRIDS, Grid, downsampled


@dataclass(frozen=True, eq=False)
class StoredImage:
    """An image that is what its gallery says.

    Parameters
    ----------
    packed
        The file's bytes.
    volume
        uint8 on the grid that was asked for.
    averaged
        Whether the volume is one of means, as the file's is on a finer grid.
    """

    packed: bytes
    volume: NDArray[np.uint8]
    averaged: bool = False


def read_stored_image(
    folder: Path | None, image: Path | None, image_hash: str | None, grid: Grid
) -> StoredImage:
    """Read the image of a gallery's case.

    Parameters
    ----------
    folder
        The cohort that the case names.
    image
        The image's path: the folder and the name in it.
    image_hash
        SHA-256 of the voxels, as the gallery holds it.
    grid
        What the gallery's volumes lie on; the image may be finer.

    Raises
    ------
    ScanError
        If it is not there, or not what the gallery says.
    """
    folder, image = _inside(folder, image, image_hash)
    own = _grid_of(image.name, grid)
    packed = read_inside(folder, str(image.relative_to(folder)), most_packed_bytes(own))
    stored = _known(image, packed, decode_image(packed, image, own), image_hash)
    if own == grid:
        return stored
    return StoredImage(packed, downsampled(stored.volume, own.voxels_along(grid)), averaged=True)


def _grid_of(name: str, grid: Grid) -> Grid:
    """Return the grid that an image's name tells where it is a finer one, or else `grid`."""
    own = next((own for mm, own in GRIDS.items() if f"_res-{mm}_" in name), grid)
    return own if own.voxels_along(grid) else grid


def read_stored_view(folder: Path | None, view: Path | None, view_hash: str | None) -> StoredImage:
    """Read the view volume of a gallery's case, as `read_stored_image` reads its image.

    Raises
    ------
    ScanError
        If it is not there, or not what the gallery says.
    """
    folder, view = _inside(folder, view, view_hash)
    grid = grid_of_view(view.name)
    if grid is None:
        raise ScanError(view, "a name that no view volume has", f"..._res-1{VIEW_ENDING}")
    packed = read_inside(folder, str(view.relative_to(folder)), most_view_bytes(grid), VIEW_ENDING)
    return _known(view, packed, decode_view(packed, view, grid), view_hash)


def _inside(folder: Path | None, image: Path | None, voxel_hash: str | None) -> tuple[Path, Path]:
    """Return folder and image that a case names, and has a hash to know the image by."""
    if folder is None or image is None or not image.is_relative_to(folder):
        raise ScanError(image or "image", "no image inside a cohort", "a cohort and a name in it")
    if voxel_hash is None:
        raise ScanError(image, "no hash in the gallery to know the image by", "its SHA-256")
    return folder, image


def _known(
    image: Path, packed: bytes, volume: NDArray[np.uint8], voxel_hash: str | None
) -> StoredImage:
    """Return an image whose voxels are those that the gallery holds the hash of."""
    if sha256(volume.tobytes()).hexdigest() != voxel_hash:
        advice = "Index the cohort again, if it was prepared anew."
        raise ScanError(image, "another image than the gallery holds", "the same voxels", advice)
    return StoredImage(packed, volume)


def read_inside(folder: Path, name: str, most: int, ending: str = IMAGE_ENDING) -> bytes:
    """Read a regular file that a plain relative name leads to, inside a folder.

    Raises
    ------
    ScanError
        If the name leads elsewhere, the file is no regular one, missing, or larger than `most`.
    """
    path = folder / name
    if not is_plain_relative(name) or not name.endswith(ending) or not folder.is_absolute():
        raise ScanError(path, "a name that no image of a cohort has", f"...{ending}")
    try:
        root, target = folder.resolve(strict=True), path.resolve(strict=True)
        if not target.is_relative_to(root):
            raise ScanError(path, "a link out of the cohort", "a file inside it")
        place = _open_folder(root, target.relative_to(root).parent.parts)
        try:
            return read_regular(target.name, most, place)
        finally:
            os.close(place)
    except (FileNotFoundError, NotADirectoryError):
        raise ScanError(path, "the image is missing") from None
    except (OSError, RuntimeError, ValueError) as error:  # RuntimeError: links in a circle
        raise ScanError(path, f"cannot be read ({error})", "a regular file") from None


def _open_folder(root: Path, parts: tuple[str, ...]) -> int:
    """Open a folder below another step by step, so that no link made meanwhile leads away."""
    flags = getattr(os, "O_PATH", os.O_RDONLY)  # a folder may be passed through, but not listed
    flags |= os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
    place = os.open(root, flags)
    for part in parts:
        try:
            inner = os.open(part, flags, dir_fd=place)
        finally:
            os.close(place)
        place = inner
    return place
