"""Read and check image headers (NIfTI, Analyze, MGH) before anything is allocated.

A header is 284 to 540 bytes that may claim anything: terabytes, no axes at all, two contradicting
orientations. `read_header` believes only what is possible and says where the voxels are and how
they lie; `braincase.images.volume` then reads exactly those bytes and no more.

**Which orientation is used.** A NIfTI header has room for two, the *sform* and the *qform*.

1. A form counts when its code is positive, its numbers are finite and it can be inverted.
2. If one mirrors the other, left and right are contradictory and the file is refused.
3. A form is *rigid* when its voxel sizes agree with the header's (10 %) and its axes stand at right
   angles (6 degrees). A rigid form wins over one that is not; of two equals the sform wins.
4. Whatever was passed over, and any pair more than 20 degrees apart, is put into `notes`.
5. With no form at all the axes are read as left, anterior, superior, as nibabel, nilearn and FSL
   do; `sides_known` is then False and a note says so. So it is for plain Analyze files, whose
   rule for the sides hardly any program followed. A lone qform that cannot be used is refused.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Protocol, cast

import numpy as np
from nibabel.analyze import AnalyzeHeader
from nibabel.freesurfer.mghformat import MGHHeader
from nibabel.nifti1 import Nifti1Header
from nibabel.nifti2 import Nifti2Header
from nibabel.orientations import axcodes2ornt, inv_ornt_aff
from nibabel.spatialimages import HeaderDataError
from numpy.typing import NDArray

from braincase.errors import ScanError
from braincase.images.geometry import Affine, Shape3, zooms_of
from braincase.images.gzip_streams import open_plain
from braincase.images.qform import read_qform
from braincase.images.voxel_types import check_type

SUFFIXES = (".nii", ".nii.gz", ".mgz", ".mgh", ".hdr", ".hdr.gz", ".img", ".img.gz")
#: A 256 mm cube at 0.5 mm; as float32 it takes 0.5 GB.
MAX_VOXELS = 512**3
#: Room for header extensions; real ones hold kilobytes.
MAX_OFFSET = 64 << 20
#: A byte of deflate never holds more than 1,032 bytes.
MAX_DEFLATE = 1032
ZOOMS_MM = (0.1, 10.0)
ZOOM_TOLERANCE = 0.10
RIGHT_ANGLE_DEGREES = 6.0
SAME_DIRECTION_DEGREES = 20.0
#: NIfTI unit codes other than millimetre (2) and unknown (0), as a factor to millimetres.
UNITS = {1: ("metres", 1e3), 3: ("micrometres", 1e-3)}
#: Analyze 7.5 `orient`: towards where each axis runs (transverse, coronal, sagittal unflipped).
ANALYZE_ORIENT = {0: "LAS", 1: "LSA", 2: "ASL"}
CONVERT = "Convert it to NIfTI with a tool that knows its origin (dcm2niix, mri_convert)."


class RawHeader(Protocol):
    """What nibabel's headers of all formats offer; nibabel itself has no types here."""

    def get_data_shape(self) -> tuple[int, ...]:
        """Return the numbers of voxels along all axes."""
        ...

    def get_data_dtype(self) -> np.dtype[np.generic]:
        """Return the type of the stored voxels."""
        ...

    def get_data_offset(self) -> int:
        """Return where in its file the first voxel begins."""
        ...

    def get_zooms(self) -> tuple[float, ...]:
        """Return the voxel sizes, in the header's own unit."""
        ...

    def __getitem__(self, field: str, /) -> NDArray[np.generic]: ...


@dataclass(frozen=True)
class Header:
    """A checked header: type, shape and affine are possible ones.

    Parameters
    ----------
    data_path
        The file with the voxels: the same file, or the ``.img`` of a pair.
    raw
        The nibabel header, for type, scaling and byte order.
    shape
        Numbers of voxels, without the trailing axes of length one.
    affine
        Voxel indices to RAS+ millimetres, shape (4, 4).
    notes
        What had to be decided, in words for the user.
    sides_known
        False where nothing in the file tells left from right.
    """

    data_path: Path
    raw: RawHeader
    shape: Shape3
    affine: Affine
    notes: tuple[str, ...]
    sides_known: bool


@dataclass(frozen=True)
class _Placement:
    affine: Affine
    notes: tuple[str, ...] = ()
    sides_known: bool = True


def read_header(path: Path, axes: str | None = None) -> Header:
    """Read and check the header of a NIfTI-1, NIfTI-2, Analyze 7.5 or MGH file.

    Parameters
    ----------
    path
        The file, or either half of a pair.
    axes
        For an Analyze file, towards where its axes run if the caller knows, as in ``"ASL"``.

    Raises
    ------
    ScanError
        If the file is none of these, or its header promises what cannot be or is no 3-D grey image.
    """
    header_path, data_path = _header_and_data(path)
    try:
        with np.errstate(all="ignore"):  # headers full of NaN are judged below, by name
            raw = _parse(header_path)
            shape = _shape(path, raw)
            check_type(path, raw.get_data_dtype(), _type_code(raw))
            _check_size(path, data_path, raw)
            placement = _in_millimetres(path, raw, _placement(path, raw, shape, axes))
    except (OSError, EOFError, zlib.error) as error:
        advice = "The file is damaged or closed to you: copy or download it again."
        raise ScanError(path, f"a file that cannot be read ({error})", "", advice) from error
    except (HeaderDataError, ArithmeticError, LookupError, TypeError, ValueError) as error:
        raise ScanError(path, f"a header that makes no sense ({error})", "", CONVERT) from error
    return Header(data_path, raw, shape, placement.affine, placement.notes, placement.sides_known)


def suffix_of(path: Path) -> str:
    """Return the whole image suffix of a file name in lower case, or an empty string."""
    name = path.name.lower()
    return max((suffix for suffix in SUFFIXES if name.endswith(suffix)), key=len, default="")


def _header_and_data(path: Path) -> tuple[Path, Path]:
    """Return the files with the header and with the voxels; they differ for a pair."""
    if path.is_dir():
        raise ScanError(path, "a folder", "one image file", "Name a file, or use `find_scans`.")
    suffix = suffix_of(path)
    if not suffix:
        raise ScanError(path, "no image file by its name", f"one of {' '.join(SUFFIXES)}", CONVERT)
    header, data = path, path
    if suffix.startswith((".hdr", ".img")):
        stem = path.name[: -len(suffix)]
        header, data = _sibling(path, stem, ".hdr"), _sibling(path, stem, ".img")
    for file in (header, data):
        if not file.is_file():
            raise ScanError(file, "no such file", "an image file", "Check the path.")
    return header, data


def _sibling(path: Path, stem: str, suffix: str) -> Path:
    """Return the half of a pair, zipped or not, in small or large letters."""
    tries = [path.with_name(stem + end) for end in (suffix, suffix + ".gz", suffix.upper())]
    return next((file for file in tries if file.is_file()), tries[0])


def _parse(path: Path) -> RawHeader:
    """Read the fixed part of a header; no extension, however long, is ever read."""
    with open_plain(path) as file:
        block = file.read(540)
    suffix, padded = suffix_of(path), block.ljust(540, b"\0")
    size = {int.from_bytes(padded[:4], "little"), int.from_bytes(padded[:4], "big")}
    header: RawHeader
    if suffix in (".mgz", ".mgh") and padded[:4] == b"\0\0\0\1":
        header = MGHHeader(padded[:284], check=False)
    elif 540 in size and padded[4:7] in (b"n+2", b"ni2"):
        header = Nifti2Header(padded, check=False)
    elif 348 in size and padded[344:347] in (b"n+1", b"ni1"):
        header = Nifti1Header(padded[:348], check=False)
    elif 348 in size and suffix.startswith(".hdr"):
        header = AnalyzeHeader(padded[:348], check=False)
    else:
        expected = "an MGH header" if suffix.startswith(".mg") else "a NIfTI or Analyze header"
        found = "an empty file" if not block else f"bytes that are no {suffix} image"
        raise ScanError(path, found, expected, f"It may be damaged or of another kind. {CONVERT}")
    return header


def _shape(path: Path, raw: RawHeader) -> Shape3:
    shape = tuple(int(n) for n in raw.get_data_shape())
    if any(n < 1 for n in shape):
        raise ScanError(path, f"axes of {_times(shape)} voxels", "positive numbers", CONVERT)
    if len(shape) < 3:
        raise ScanError(path, f"a {len(shape)}-D image", "a 3-D volume")
    volumes = prod(shape[3:])
    if volumes > 1:
        advice = "Choose or average the volumes first (fslroi, nibabel.four_to_three)."
        found = f"{volumes} volumes in one file ({_times(shape)}), as in fMRI or diffusion"
        raise ScanError(path, found, "one 3-D volume", advice)
    if min(shape[:3]) < 2:
        raise ScanError(path, f"a single slice ({_times(shape[:3])})", "a 3-D volume")
    return (shape[0], shape[1], shape[2])


def _type_code(raw: RawHeader) -> int:
    return int(raw["datatype"]) if isinstance(raw, AnalyzeHeader) else 0


def _check_size(path: Path, data_path: Path, raw: RawHeader) -> None:
    """Compare what the header promises with the file, before believing it."""
    voxels, offset = prod(int(n) for n in raw.get_data_shape()), raw.get_data_offset()
    promised = voxels * raw.get_data_dtype().itemsize
    if voxels > MAX_VOXELS:
        found = f"a header that promises {promised / 1e9:,.1f} GB ({voxels:,} voxels)"
        expected = f"at most {MAX_VOXELS:,} voxels"
        raise ScanError(path, found, expected, "If it is real, resample it to 0.5 mm or more.")
    if not 0 <= offset <= MAX_OFFSET:
        raise ScanError(path, f"voxels said to begin at byte {offset:,}", "a header", CONVERT)
    size = data_path.stat().st_size
    with data_path.open("rb") as file:
        most = size * MAX_DEFLATE if file.read(2) == b"\x1f\x8b" else size
    if offset + promised > most:
        found = f"{size:,} bytes where the header promises {offset + promised:,}"
        raise ScanError(data_path, found, "", "The file is cut short: copy or download it again.")


def _placement(path: Path, raw: RawHeader, shape: Shape3, axes: str | None) -> _Placement:
    """Decide where the voxels lie; the rules are in this module's docstring."""
    if isinstance(raw, MGHHeader):
        oriented = bool(raw["goodRASFlag"])
        note = "no orientation in the MGH header: FreeSurfer's default is taken"
        return _checked(path, _Placement(raw.get_affine(), (note,) * (not oriented), oriented))
    if not isinstance(raw, Nifti1Header):
        return _analyze_placement(path, raw, shape, axes)
    sform, (qform, note) = _sform(raw), _qform(raw)
    if sform is None and qform is None:
        if note:
            raise ScanError(
                path, f"a qform that cannot be used ({note})", "an orientation", CONVERT
            )
        note = "no usable sform or qform: the axes are taken for left, anterior, superior"
        return _Placement(_from_letters("LAS", shape, _pixdim(path, raw)), (note,), False)
    if sform is None or qform is None:
        placement = _one_form(raw, sform, qform)
    else:
        placement = _of_two_forms(path, raw, sform, qform)
    mended = (note,) * (note != "" and placement.affine is qform)
    return _Placement(placement.affine, placement.notes + mended)


def _sform(raw: Nifti1Header) -> Affine | None:
    """Return the sform of a NIfTI header if it counts."""
    affine = np.asarray(raw.get_sform(), dtype=float)
    return affine if int(raw["sform_code"]) > 0 and _invertible(affine) else None


def _qform(raw: Nifti1Header) -> tuple[Affine | None, str]:
    """Return the qform of a NIfTI header if it counts, and what is wrong or was mended."""
    if int(raw["qform_code"]) <= 0:
        return None, ""
    try:
        affine, note = read_qform(raw)
    except ValueError as error:
        return None, str(error)
    return (affine, note) if _invertible(affine) else (None, "singular or not finite")


def _one_form(raw: RawHeader, sform: Affine | None, qform: Affine | None) -> _Placement:
    other = "qform" if sform is not None else "sform"
    affine = cast(Affine, sform if sform is not None else qform)
    notes = []
    if int(raw[f"{other}_code"]) > 0:
        notes.append(f"the {other} cannot be used (singular or not finite)")
    if not _rigid(affine, raw):
        notes.append("the sform does not keep the header's voxel sizes or right angles")
    return _Placement(affine, tuple(notes))


def _of_two_forms(path: Path, raw: RawHeader, sform: Affine, qform: Affine) -> _Placement:
    if np.linalg.det(sform[:3, :3]) * np.linalg.det(qform[:3, :3]) < 0:
        found = "a sform and a qform that put left on opposite sides"
        advice = "Find out which is right and write it to both (fslorient -copysform2qform)."
        raise ScanError(path, found, "one orientation", advice)
    if _rigid(qform, raw) and not _rigid(sform, raw):
        note = "the sform does not keep the header's voxel sizes or right angles: the qform is used"
        return _Placement(qform, (note,))
    apart = _degrees_apart(sform, qform)
    if apart > SAME_DIRECTION_DEGREES:
        note = f"sform and qform differ by {apart:.0f} degrees: the sform is used"
        return _Placement(sform, (note,))
    return _Placement(sform)


def _analyze_placement(path: Path, raw: RawHeader, shape: Shape3, axes: str | None) -> _Placement:
    if axes:
        return _Placement(_from_letters(axes, shape, _pixdim(path, raw)))
    orient = ord(bytes(raw["orient"]) or b"\0")
    if orient not in ANALYZE_ORIENT:
        raise ScanError(path, f"an Analyze file with orient {orient}", "0, 1 or 2", CONVERT)
    letters = ANALYZE_ORIENT[orient]
    affine = _from_letters(letters, shape, _pixdim(path, raw))
    note = f"an Analyze file: left and right by its convention only (axes run to {letters})"
    return _Placement(affine, (note,), False)


def _pixdim(path: Path, raw: RawHeader) -> Affine:
    zooms: Affine = np.abs(np.asarray(raw.get_zooms()[:3], dtype=float))
    if not (np.isfinite(zooms).all() and zooms.all()):
        raise ScanError(path, f"voxel sizes of {_times(zooms)}", "sizes in mm", CONVERT)
    return zooms


def _from_letters(letters: str, shape: Shape3, zooms: Affine) -> Affine:
    """Return the affine of axes that run towards `letters`, the origin in the middle."""
    turned = inv_ornt_aff(axcodes2ornt(letters), shape)
    linear = turned[:3, :3].T * zooms
    affine: Affine = np.eye(4)
    affine[:3, :3], affine[:3, 3] = linear, -linear @ ((np.array(shape) - 1) / 2)
    return affine


def _in_millimetres(path: Path, raw: RawHeader, placement: _Placement) -> _Placement:
    code = int(raw["xyzt_units"]) % 8 if isinstance(raw, Nifti1Header) else 0
    unit, factor = UNITS.get(code, ("millimetres", 1.0))
    affine, notes = placement.affine.copy(), placement.notes
    affine[:3] *= factor
    if factor != 1:
        notes = (*notes, f"lengths in {unit}: turned to millimetres")
    _check_zooms(path, affine, unit)
    return _Placement(affine, notes, placement.sides_known)


def _check_zooms(path: Path, affine: Affine, unit: str) -> None:
    low, high = ZOOMS_MM
    zooms = zooms_of(affine)
    if zooms.min() >= low and zooms.max() <= high:
        return
    advice = "Correct the voxel size in the header (nibabel, fslchpixdim)."
    written = zooms / dict(UNITS.values()).get(unit, 1.0)
    tries = [("metres", 1e3), ("micrometres", 1e-3), ("centimetres", 10.0)]
    for name, factor in (("millimetres", 1.0), *tries):
        if written.min() * factor >= low * 5 and written.max() * factor <= high:
            advice = f"The numbers look like {name}: correct the unit or the sizes in the header."
            break
    found = f"voxels of {_times(zooms)} mm (the header's unit: {unit})"
    raise ScanError(path, found, f"{low:g} to {high:g} mm", advice)


def _checked(path: Path, placement: _Placement) -> _Placement:
    if not _invertible(placement.affine):
        raise ScanError(path, "an orientation that is singular or not finite", "", CONVERT)
    return placement


def _invertible(affine: Affine) -> bool:
    if not np.isfinite(affine).all() or not zooms_of(affine).all():
        return False
    return abs(float(np.linalg.det(_directions(affine)))) > 1e-3


def _rigid(affine: Affine, raw: RawHeader) -> bool:
    """Say whether an affine keeps the header's voxel sizes and right angles."""
    zooms = np.abs(np.asarray(raw.get_zooms()[:3], dtype=float))
    same = np.abs(zooms_of(affine) - zooms) <= ZOOM_TOLERANCE * zooms
    cosines = _directions(affine).T @ _directions(affine) - np.eye(3)
    return bool(same.all() and np.abs(cosines).max() <= np.sin(np.radians(RIGHT_ANGLE_DEGREES)))


def _degrees_apart(a: Affine, b: Affine) -> float:
    """Return the largest angle between two affines' corresponding axes, degrees."""
    cosines = (_directions(a) * _directions(b)).sum(axis=0)
    return float(np.degrees(np.arccos(np.clip(cosines, -1, 1))).max())


def _directions(affine: Affine) -> Affine:
    return affine[:3, :3] / zooms_of(affine)


def _times(numbers: Iterable[float]) -> str:
    return " x ".join(f"{float(n):g}" for n in numbers)
