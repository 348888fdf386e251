"""Image volumes (NIfTI, Analyze, MGH): read and written as canonical RAS+ float32."""

from __future__ import annotations

import gzip
import zlib
from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np
from nibabel.arrayproxy import ArrayProxy
from nibabel.orientations import apply_orientation, inv_ornt_aff, io_orientation
from nibabel.spatialimages import HeaderDataError
from numpy.typing import NDArray
from scipy import ndimage

from braincase.errors import ScanError
from braincase.files import atomic_write
from braincase.images.geometry import Affine, Shape3, zooms_of
from braincase.images.gzip_streams import open_plain, read_on
from braincase.images.header import Header, read_header

#: More voxels than this that are no number mean a damaged file, not a few bad divisions.
MAX_NOT_FINITE = 0.01
#: Where so much of the outer faces is no number (the head touches some), it marks the background.
LEAST_OF_RIM = 0.6
#: One value of so many voxels, and so many times the range of all others away from them, is no grey
#: value but a mark for "nothing here" (-32768, 1e6).
LEAST_FILLED, FAR_OFF = 0.01, 2.0


@dataclass(frozen=True, eq=False)
class Volume:
    """A 3-D image in RAS+ order: its axes run to the right, the front and the top.

    Parameters
    ----------
    data
        Grey values, all finite, shape (x, y, z).
    affine
        Voxel indices to world millimetres, RAS+, shape (4, 4).
    notes
        What the reader had to decide, in words for the user; empty for a clean file.
    sides_known
        False where nothing in the file tells left from right.
    """

    data: NDArray[np.float32]
    affine: Affine
    notes: tuple[str, ...] = ()
    sides_known: bool = True

    @property
    def shape(self) -> Shape3:
        """Number of voxels to the right, front and top."""
        return (self.data.shape[0], self.data.shape[1], self.data.shape[2])

    @property
    def zooms_mm(self) -> NDArray[np.float64]:
        """Voxel edges to the right, front and top, mm."""
        return zooms_of(self.affine)


def read_volume(path: Path | str, axes: str | None = None) -> Volume:
    """Read one 3-D image as canonical RAS+ float32.

    Reads NIfTI-1 and -2 (single files and pairs), Analyze 7.5 pairs and MGH, gzipped or not. No
    more memory is taken than the header's voxels need, and the header is checked first. A 4-D file
    of one volume counts as 3-D. Up to 1 % of voxels that are no number become 0, and so does a
    background that is marked by them or by a far-off fill value, with a note.

    Parameters
    ----------
    path
        The file, or either half of a pair.
    axes
        For an Analyze file, towards where its axes run if the caller knows, as in ``"ASL"``.

    Raises
    ------
    ScanError
        If the file is missing, damaged, or no 3-D grey image with a possible geometry.
    """
    header = read_header(Path(path), axes)
    turn = io_orientation(header.affine)
    data, stray = _voxels(header, turn)
    notes = header.notes + stray + _mended(Path(path), header.data_path, data)
    affine = header.affine @ inv_ornt_aff(turn, header.shape)
    return Volume(data, affine, notes, header.sides_known)


def canonical_volume(path: Path, stored: NDArray[np.float32], affine: Affine) -> Volume:
    """Bring grey values in any axis order to canonical RAS+, judged as those of an image file.

    Parameters
    ----------
    path
        Where they come from, for errors.
    stored
        Shape (i, j, k).
    affine
        Voxel indices to RAS+ millimetres, shape (4, 4).

    Raises
    ------
    ScanError
        If they are all the same, or many are no number.
    """
    turn = io_orientation(affine)
    data: NDArray[np.float32] = apply_orientation(stored, turn).astype(np.float32, order="C")
    notes = _mended(path, path, data)
    return Volume(data, affine @ inv_ornt_aff(turn, stored.shape), notes)


def write_volume(path: Path, data: NDArray[np.generic], affine: Affine) -> None:
    """Write a whole NIfTI-1 file (``.nii`` or ``.nii.gz``), sform and qform both set, in mm.

    Parameters
    ----------
    path
        Where to; its folder is made. The same content gives the same bytes.
    data
        Shape (x, y, z); bool is stored as uint8, float64 as float32, other types as they are.
    affine
        Voxel indices to RAS+ millimetres, shape (4, 4).
    """
    with atomic_write(Path(path)) as aside:
        _nifti_image(data, affine).to_filename(aside)


def encode_volume(data: NDArray[np.generic], affine: Affine) -> bytes:
    """Return the bytes of a ``.nii.gz`` as `write_volume` writes it, for what is on no disk."""
    return gzip.compress(_nifti_image(data, affine).to_bytes(), compresslevel=1, mtime=0)


def _nifti_image(data: NDArray[np.generic], affine: Affine) -> nib.Nifti1Image:
    stored = {"b": np.uint8, "f": np.float32}.get(data.dtype.kind, data.dtype)
    image = nib.Nifti1Image(data.astype(stored, copy=False), affine, dtype=stored)
    image.header.set_xyzt_units("mm")
    image.set_sform(affine, code=1)
    image.set_qform(affine, code=1)
    return image


def _voxels(
    header: Header, turn: NDArray[np.float64]
) -> tuple[NDArray[np.float32], tuple[str, ...]]:
    """Read exactly the promised voxels, scaled, and turn their axes; note what follows them."""
    try:
        with open_plain(header.data_path) as file, np.errstate(all="ignore"):
            proxy = ArrayProxy(file, header.raw, mmap=False)
            stored = proxy.get_unscaled().reshape(header.shape, order="A")
            stray = read_on(file, 1) is None  # past the last voxel gzip compares its checksum
            turned = apply_orientation(stored, turn)  # a view: one copy is made, below
            data: NDArray[np.float32] = turned.astype(np.float32, order="C")
            if (proxy.slope, proxy.inter) != (1, 0):
                data *= np.float32(proxy.slope)
                data += np.float32(proxy.inter)
            note = "bytes behind the end of the gzip stream: passed over"
            return data, ((note,) if stray else ())
    except (OSError, EOFError, zlib.error, HeaderDataError, ValueError) as error:
        found = f"the voxels cannot be read ({error})"
        advice = "The file is damaged: copy, download or convert it again."
        raise ScanError(header.data_path, found, "", advice) from error


def _mended(path: Path, data_path: Path, data: NDArray[np.float32]) -> tuple[str, ...]:
    """Replace marks for "nothing here", in place, and refuse what is no image."""
    notes = _make_finite(data_path, data) + _unfill(data)
    if float(data.min()) == float(data.max()):
        found = f"every voxel is {float(data.flat[0]):g}"
        raise ScanError(path, found, "an image", "The export or an earlier step went wrong.")
    return notes


def _make_finite(data_path: Path, data: NDArray[np.float32]) -> tuple[str, ...]:
    """Set voxels that are no number to 0, in place; refuse many unless they are the background."""
    if np.isfinite(data.min()) and np.isfinite(data.max()):
        return ()
    bad = ~np.isfinite(data)
    share = float(bad.mean())
    if share > MAX_NOT_FINITE:
        around = _around(np.isnan(data))
        if bad.sum() - around.sum() <= MAX_NOT_FINITE * bad.size and not bad.all():
            data[bad] = min(0.0, float(data[~bad].min()))
            return (f"{share:.0%} of the voxels, all around, are no number: taken for background",)
        found = f"{share:.0%} of the voxels are no number (NaN or infinite)"
        expected = f"at most {MAX_NOT_FINITE:.0%}"
        advice = "If they mean background, write 0 there first (fslmaths IN -nan OUT)."
        raise ScanError(data_path, found, expected, advice)
    data[bad] = 0
    return (f"{int(bad.sum()):,} voxels were no number: set to 0",)


def _around(empty: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return what of a mask surrounds the image: hardly anything else lies on its outer faces."""
    rim = np.ones(empty.shape, bool)
    rim[1:-1, 1:-1, 1:-1] = False
    if empty[rim].mean() < LEAST_OF_RIM:
        return np.zeros_like(empty)
    pieces, _ = ndimage.label(empty)
    outer = np.unique(pieces[rim & empty])
    return np.asarray(np.isin(pieces, outer) & empty)


def _unfill(data: NDArray[np.float32]) -> tuple[str, ...]:
    """Bring a fill value far below or above all grey values to the lowest of them, in place."""
    notes = []
    every = max(1, data.size // 100_000)
    some = data.ravel()[::every].astype(np.float64)
    for fill in (some.min(), some.max()):
        rest = some[some != fill]
        spread = float(np.ptp(rest)) if rest.size else 0.0
        gap = float(np.abs(rest - fill).min()) if rest.size else 0.0
        share = 1 - rest.size / some.size
        if share > LEAST_FILLED and 0 < FAR_OFF * spread < gap:
            filled = data == fill
            data[filled] = data[~filled].min()
            some = data.ravel()[::every].astype(np.float64)
            notes.append(f"{filled.mean():.0%} of the voxels are {fill:g}: taken for background")
    return tuple(notes)
