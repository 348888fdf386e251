"""Decode common DICOM series (pydicom, NumPy) to volumes: uncompressed or RLE, one regular stack.

Single-frame series and enhanced multi-frame files become the voxels that ``dcm2niix`` makes of
them. Whatever is unusual raises `UnusualSeriesError`, which says why, and goes to the converter
(`dicom_converter`): JPEG and its kin, mosaics, colours, gaps, uneven or tilted slices.

Grey values are the modality's: stored value x RescaleSlope + RescaleIntercept of its own slice;
where a Philips scanner gives its private scale, divided by that too (Chenevert et al. 2014).
MONOCHROME1 tells how values are shown, not what they are, and changes nothing.

References
----------
Chenevert et al. (2014), Errors in quantitative image analysis due to platform-dependent image
scaling, Translational Oncology 7(1).
"""

from __future__ import annotations

import io
import struct
import warnings
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO, cast

import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom import uid
from pydicom.pixels import get_decoder

from braincase.errors import ScanError
from braincase.images.geometry import Affine, lps_to_ras
from braincase.images.header import MAX_VOXELS, ZOOMS_MM
from braincase.images.volume import Volume, canonical_volume
from braincase.sources.dicom_files import SERIES_TAGS, SLICE_TAGS, Files, inflated
from braincase.sources.dicom_series import (
    PARALLEL,
    SAME_PLACE_MM,
    TILT_DEGREES,
    UNEVEN,
    Series,
    group_series,
)

#: The scale from shown to measured values that Philips keeps beside the rescale slope.
PHILIPS_SCALE = 0x2005100E
#: What is read of a file: its place, its voxels and what they mean; never the patient's name.
TAGS = (
    *SERIES_TAGS,
    *SLICE_TAGS,
    *("ImageType", "EchoTime", "Manufacturer", "NumberOfFrames", "SamplesPerPixel"),
    "PhotometricInterpretation",
    *("BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation", "RescaleSlope"),
    *("RescaleIntercept", "PixelData"),
    *("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence"),
    PHILIPS_SCALE,
)
UNCOMPRESSED = (
    uid.ImplicitVRLittleEndian,
    uid.ExplicitVRLittleEndian,
    uid.ExplicitVRBigEndian,
    uid.DeflatedExplicitVRLittleEndian,
)
#: What is the same in all slices of one volume.
CONTRAST = ("EchoTime", "EffectiveEchoTime", "ImageType", "FrameType")
#: All files of a series: voxels of four bytes, and as much again for headers.
MAX_BYTES = 8 * MAX_VOXELS

Voxels = NDArray[np.integer[Any]]


class UnusualSeriesError(Exception):
    """A series that is left to the converter; its text says why."""


@dataclass(frozen=True, eq=False)
class _File:
    """One file: its voxels of shape (frames, rows, columns), slope and intercept of each frame.

    `contrasts` are the echo times and image types of its frames: one volume has one.
    """

    header: pydicom.Dataset
    voxels: Voxels
    scales: tuple[tuple[float, float], ...]
    contrasts: frozenset[str]


def decode_series(files: Files, names: Sequence[str]) -> Volume:
    """Decode the files of one series, in any order.

    Parameters
    ----------
    files
        The folder, zip or file.
    names
        The files of the series in it.

    Raises
    ------
    UnusualSeriesError
        If it is no regular stack, or stored in a way that is not decoded here.
    ScanError
        If a slice's voxels are cut off.
    """
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")  # pydicom's remarks on values that we judge ourselves
        try:
            decoded = _read(files, names)
            all_series = group_series({name: file.header for name, file in decoded.items()})
        except (UnusualSeriesError, ScanError):
            raise
        # Damaged DICOM raises whatever its bytes lead pydicom to.
        except Exception as error:
            raise UnusualSeriesError(f"it cannot be parsed ({type(error).__name__})") from error
        if len(all_series) != 1:
            raise UnusualSeriesError("several series")
        if len(frozenset().union(*(file.contrasts for file in decoded.values()))) > 1:
            raise UnusualSeriesError("several echoes or kinds of images")
        order, affine = _stack(all_series[0])
        slices = _grey_values([decoded[name] for name in all_series[0].files], order)
        return canonical_volume(files.path, slices.transpose(2, 1, 0), affine)


def _read(files: Files, names: Sequence[str]) -> dict[str, _File]:
    left, decoded = MAX_BYTES, {}
    for name in names:
        with files.open(name) as source:
            content = _read_most(source, left + 1)
        whole = inflated(io.BytesIO(content), left + 1)
        left -= max(len(content), whole.seek(0, io.SEEK_END))
        if left < 0:
            raise UnusualSeriesError("larger than any head")
        whole.seek(0)
        header = pydicom.dcmread(whole, force=True, specific_tags=[*TAGS])
        decoded[name] = _decode(f"{files.path}: {name}", header)
    return decoded


def _read_most(source: BinaryIO, most: int) -> bytes:
    """Read at most so many bytes; Python would make room for all of them first."""
    parts = []
    while most > 0 and (part := source.read(min(most, 1 << 20))):
        parts.append(part)
        most -= len(part)
    return b"".join(parts)


def _decode(where: str, header: pydicom.Dataset) -> _File:
    """Return the voxels of one file, as signed or unsigned numbers of its own width."""
    kind = str(header.get("PhotometricInterpretation") or "MONOCHROME2")
    is_grey = kind.startswith("MONOCHROME") and header.get("SamplesPerPixel", 1) == 1
    if not is_grey or "PixelData" not in header:
        raise UnusualSeriesError("no grey values")
    if "MOSAIC" in (header.get("ImageType") or ()):
        raise UnusualSeriesError("a mosaic")
    groups = cast("Sequence[pydicom.Dataset]", header.get("PerFrameFunctionalGroupsSequence") or ())
    shape = int(header.get("NumberOfFrames") or 1), int(header.Rows), int(header.Columns)
    if len(groups or (None,)) != shape[0] or min(shape) < 1 or np.prod(shape, dtype=float) > 2**31:
        raise UnusualSeriesError("frames without places")
    scales = tuple(_scale(header, frame) for frame in groups or [None])
    contrasts = frozenset(
        " ".join(str(_field(header, frame, tag)) for tag in CONTRAST) for frame in groups or [None]
    )
    return _File(header, _significant(header, _stored(where, header, shape)), scales, contrasts)


def _stored(where: str, header: pydicom.Dataset, shape: tuple[int, int, int]) -> Voxels:
    """Return the pixel data as whole words, of this machine's byte order."""
    bits, signed = int(header.BitsAllocated), int(header.get("PixelRepresentation") or 0)
    if bits not in (8, 16, 32) or signed not in (0, 1):
        raise UnusualSeriesError(f"{bits} bits a voxel")
    is_little = bool(header.original_encoding[1])
    if bits == 8 and not is_little:
        raise UnusualSeriesError("bytes in words of the other order")
    syntax = header.file_meta.get("TransferSyntaxUID") or uid.ImplicitVRLittleEndian
    if syntax == uid.RLELossless:
        array, _ = get_decoder(syntax).as_array(header, raw=True, decoding_plugin="pydicom")
        if array.size != np.prod(shape):
            raise UnusualSeriesError("other voxels than promised")
        return cast(Voxels, array.reshape(shape))
    if syntax not in UNCOMPRESSED:
        raise UnusualSeriesError(f"compressed ({uid.UID(syntax).name})")
    dtype = np.dtype(f"{'<' if is_little else '>'}{'ui'[signed]}{bits // 8}")
    needed = int(np.prod(shape)) * dtype.itemsize
    content = header.PixelData
    if len(content) < needed:
        found = f"the slice is cut off: {len(content):,} of {needed:,} bytes of voxels"
        raise ScanError(where, found, "", "Copy or export the series again.")
    words = np.frombuffer(content, dtype, count=int(np.prod(shape))).reshape(shape)
    return cast(Voxels, words.astype(dtype.newbyteorder("="), copy=False))


def _significant(header: pydicom.Dataset, words: Voxels) -> Voxels:
    """Leave out the bits of each word that are no part of its value, such as old overlays."""
    bits = 8 * words.itemsize
    stored = int(header.get("BitsStored") or bits)
    high = int(header.get("HighBit", stored - 1))
    if not (0 < stored <= bits and stored - 1 <= high < bits):
        raise UnusualSeriesError("impossible bits")
    if stored == bits:
        return words
    return (words << (bits - 1 - high)) >> (bits - stored)  # the sign, if any, is spread


def _scale(header: pydicom.Dataset, frame: pydicom.Dataset | None) -> tuple[float, float]:
    """Return slope and intercept of one frame."""
    slope = _number(_field(header, frame, "RescaleSlope"), 1.0) or 1.0
    intercept = _number(_field(header, frame, "RescaleIntercept"), 0.0)
    if str(header.get("Manufacturer") or "").upper().startswith("PHILIPS"):
        private = _field(header, frame, PHILIPS_SCALE)
        if private is not None:
            return _philips(slope, intercept, private)
    return slope, intercept


def _philips(slope: float, intercept: float, private: object) -> tuple[float, float]:
    """Return slope and intercept to measured values: (value x slope + intercept) / (slope x scale).

    In float32, as the converter computes them.
    """
    if isinstance(private, bytes):  # of unknown type, where the creator's name is not read
        private = struct.unpack("<f", private[:4])[0] if len(private) == 4 else None
    scale = np.float32(_number(private, 0.0))
    if scale == 0:
        return slope, intercept
    a, b = np.float32(slope), np.float32(intercept)
    at_0 = b / (a * scale)
    return float((a + b) / (a * scale) - at_0), float(at_0)


def _field(header: pydicom.Dataset, frame: pydicom.Dataset | None, tag: str | int) -> object:
    """Look a field up in a frame's groups, then the header, then the shared groups."""
    shared = header.get("SharedFunctionalGroupsSequence") or ()
    places = [*_items([frame] if frame is not None else ()), header, *_items(shared)]
    values = (place[tag].value for place in places if tag in place)
    return next((value for value in values if value not in (None, "", b"")), None)


def _items(groups: Iterable[pydicom.Dataset]) -> Iterator[pydicom.Dataset]:
    for group in groups:
        for element in group:
            if element.VR == "SQ":
                yield from element.value


def _number(value: object, default: float) -> float:
    try:
        number = float(cast(Any, value))
    except (TypeError, ValueError):
        number = default
    if not np.isfinite(number):
        raise UnusualSeriesError("a scale that is no number")
    return number


def _stack(series: Series) -> tuple[NDArray[np.intp], Affine]:
    """Return the order of the slices, and the affine from (column, row, slice) to RAS+ mm."""
    places, sizes = series.places, series.sizes
    if len(places) < 2 or not np.isfinite(places).all() or not np.isfinite(sizes).all():
        raise UnusualSeriesError("slices without place or size")
    spread = np.ptp(places[:, 3:], axis=0).max(), np.ptp(sizes, axis=0).max()
    if spread[0] > PARALLEL or spread[1] > SAME_PLACE_MM:
        raise UnusualSeriesError("slices that are not alike")
    along_row, along_column = places[0, 3:6], places[0, 6:9]
    turn = np.stack([along_row, along_column])
    if np.abs(turn @ turn.T - np.eye(2)).max() > PARALLEL:
        raise UnusualSeriesError("directions that are not at right angles")
    normal = np.cross(along_row, along_column)
    depths = places[:, :3] @ normal
    order = np.argsort(depths, kind="stable")
    steps, places = np.diff(depths[order]), places[order]
    step = (places[-1, :3] - places[0, :3]) / (len(places) - 1)
    uneven = np.abs(steps - np.median(steps)).max()
    if steps.min() <= SAME_PLACE_MM or uneven > UNEVEN * steps.mean():
        raise UnusualSeriesError("slices at uneven distances")
    if step @ normal < np.cos(np.radians(TILT_DEGREES)) * np.linalg.norm(step):
        raise UnusualSeriesError("slices that are not stacked at right angles")
    lps = np.eye(4)
    lps[:3, 0] = along_row / np.linalg.norm(along_row) * sizes[0, 3]
    lps[:3, 1] = along_column / np.linalg.norm(along_column) * sizes[0, 2]
    lps[:3, 2], lps[:3, 3] = step, places[0, :3]
    zooms = np.linalg.norm(lps[:3, :3], axis=0)
    if zooms.min() < ZOOMS_MM[0] or zooms.max() > ZOOMS_MM[1]:
        raise UnusualSeriesError("voxels of a size that no head has")
    return order, lps_to_ras(lps)


def _grey_values(decoded: Sequence[_File], order: NDArray[np.intp]) -> NDArray[np.float32]:
    """Scale all slices and put them into their order, shape (slices, rows, columns)."""
    frames = [frame for file in decoded for frame in zip(file.voxels, file.scales, strict=True)]
    if len(frames) * frames[0][0].size > MAX_VOXELS:
        raise UnusualSeriesError("larger than any head")
    values = np.empty((len(frames), *frames[0][0].shape), np.float32)
    for place, number in enumerate(order):
        voxels, (slope, intercept) = frames[number]
        values[place] = voxels
        if (slope, intercept) != (1, 0):
            values[place] *= np.float32(slope)
            values[place] += np.float32(intercept)
    return values
