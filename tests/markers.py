"""An image whose left and right cannot be mistaken, in any orientation and as DICOM."""

from __future__ import annotations

import itertools
from pathlib import Path

import nibabel as nib
import numpy as np
import pydicom
from nibabel.orientations import (
    apply_orientation,
    axcodes2ornt,
    inv_ornt_aff,
    io_orientation,
    ornt_transform,
)
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import (
    EnhancedMRImageStorage,
    ExplicitVRLittleEndian,
    MRImageStorage,
    generate_uid,
)

from braincase.images.geometry import zooms_of
from braincase.images.volume import Volume

#: World millimetres (RAS) of three unlike marks: bright at the right, dim at the left.
MARKS_MM = {900: (30.0, 12.0, 6.0), 600: (-24.0, 30.0, -12.0), 300: (-6.0, -30.0, 24.0)}
ZOOMS_MM = (2.5, 3.0, 2.0)
SHAPE = (34, 30, 36)
ORIENTATIONS = [
    np.array([*zip(axes, flips, strict=True)], dtype=float)
    for axes in itertools.permutations(range(3))
    for flips in itertools.product((1, -1), repeat=3)
]


def marker(shape=SHAPE, zooms=ZOOMS_MM):
    """Return data in RAS+ order and its affine, the world's origin in the middle."""
    affine = np.diag([*zooms, 1.0])
    affine[:3, 3] = -(np.array(shape) - 1) / 2 * zooms
    grid = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), axis=-1)
    world = grid @ affine[:3, :3].T + affine[:3, 3]
    data = np.full(shape, 20, np.int16)
    for value, place in MARKS_MM.items():
        data[np.linalg.norm(world - place, axis=-1) < 6] = value
    return data, affine


def reoriented(data, affine, turn):
    """Return the same image with its axes stored in another order and direction."""
    return apply_orientation(data, turn), affine @ inv_ornt_aff(turn, data.shape)


def stored_as(data, affine, axes: str):
    """Return the same image with its axes running towards these letters."""
    return reoriented(data, affine, ornt_transform(axcodes2ornt("RAS"), axcodes2ornt(axes)))


def marks_seen(volume: Volume) -> dict[int, np.ndarray]:
    """Return the world place of each mark, mm, and insist on canonical RAS+."""
    assert np.array_equal(io_orientation(volume.affine), [[0, 1], [1, 1], [2, 1]])
    return {
        value: volume.affine[:3, :3] @ np.argwhere(volume.data == value).mean(axis=0)
        + volume.affine[:3, 3]
        for value in MARKS_MM
    }


def assert_sides(volume: Volume, tolerance_mm: float = 1.5) -> None:
    for value, place in marks_seen(volume).items():
        assert np.allclose(place, MARKS_MM[value], atol=tolerance_mm), (value, place)


def write_dicom(folder: Path, data, affine, **fields) -> Path:
    """Write a volume as one MR series: a slice a file along the third axis, any orientation."""
    folder.mkdir(parents=True, exist_ok=True)
    ras_to_lps = np.diag([-1.0, -1.0, 1.0, 1.0])
    lps = ras_to_lps @ affine
    zooms = np.linalg.norm(lps[:3, :3], axis=0)
    series = {
        "Modality": "MR",
        "Manufacturer": "Maker",
        "ImageType": ["ORIGINAL", "PRIMARY", "M"],
        "PatientName": "Secret^Person",
        "PatientID": "HOSPITAL-4711",
        "PatientBirthDate": "19400101",
        "PatientSex": "F",
        "PatientAge": "071Y",
        "StudyDate": "20110203",
        "StudyInstanceUID": generate_uid(),
        "SeriesInstanceUID": generate_uid(),
        "SeriesNumber": 3,
        "SeriesDescription": "t1_mprage",
        "MRAcquisitionType": "3D",
        "FrameOfReferenceUID": generate_uid(),
        "SliceThickness": zooms[2],
        "PixelSpacing": [zooms[1], zooms[0]],
        "ImageOrientationPatient": [
            *np.round(lps[:3, 0] / zooms[0], 6),
            *np.round(lps[:3, 1] / zooms[1], 6),
        ],
        "Rows": data.shape[1],
        "Columns": data.shape[0],
    } | fields
    file = _new_file({keyword: value for keyword, value in series.items() if value is not None})
    for number in range(data.shape[2]):
        file.SOPInstanceUID = generate_uid()
        file.file_meta.MediaStorageSOPInstanceUID = file.SOPInstanceUID
        file.InstanceNumber = number + 1
        file.ImagePositionPatient = [*np.round(lps[:3, :3] @ (0, 0, number) + lps[:3, 3], 6)]
        file.PixelData = np.ascontiguousarray(data[:, :, number].T).astype("<i2").tobytes()
        pydicom.dcmwrite(folder / f"{number:04d}.dcm", file, enforce_file_format=True)
    return folder


def multi_frame(folder: Path, target: Path, slopes: bool = False) -> Path:
    """Pack a series into one enhanced file, its frames in another order."""
    slices = [pydicom.dcmread(path) for path in sorted(folder.iterdir())]
    slices = slices[::2] + slices[1::2]
    enhanced = slices[0]
    frames, words = [], []
    for number, one in enumerate(slices):
        frame, place, turn, size = Dataset(), Dataset(), Dataset(), Dataset()
        place.ImagePositionPatient = one.ImagePositionPatient
        turn.ImageOrientationPatient = one.ImageOrientationPatient
        size.PixelSpacing, size.SliceThickness = one.PixelSpacing, one.SliceThickness
        frame.PlanePositionSequence = Sequence([place])
        frame.PlaneOrientationSequence = Sequence([turn])
        frame.PixelMeasuresSequence = Sequence([size])
        if slopes:
            scale = Dataset()
            scale.RescaleSlope, scale.RescaleIntercept = str(1 + number / 8), str(number)
            frame.PixelValueTransformationSequence = Sequence([scale])
        frames.append(frame)
        words.append(one.PixelData)
    for keyword in ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing"):
        delattr(enhanced, keyword)
    enhanced.PerFrameFunctionalGroupsSequence = Sequence(frames)
    enhanced.NumberOfFrames, enhanced.PixelData = len(frames), b"".join(words)
    enhanced.SOPClassUID = enhanced.file_meta.MediaStorageSOPClassUID = EnhancedMRImageStorage
    enhanced.save_as(target)
    return target


def write_analyze(path: Path, data, affine, axes: str, orient: int = 0) -> Path:
    """Write a RAS+ volume as a big-endian 16-bit Analyze pair whose axes run to these letters."""
    path.parent.mkdir(parents=True, exist_ok=True)
    data, affine = stored_as(data, affine, axes)
    header = nib.AnalyzeHeader(endianness=">")
    header.set_data_dtype(">i2")
    header.set_data_shape(data.shape)
    header.set_zooms(zooms_of(affine))
    header["orient"] = bytes([orient])
    with path.open("wb") as file:
        header.write_to(file)
    path.with_suffix(".img").write_bytes(data.astype(">i2").tobytes(order="F"))
    return path


def _new_file(series) -> FileDataset:
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = MRImageStorage
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    file = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    file.SOPClassUID = MRImageStorage
    for keyword, value in series.items():
        setattr(file, keyword, value)
    file.SamplesPerPixel, file.PhotometricInterpretation = 1, "MONOCHROME2"
    file.BitsAllocated = file.BitsStored = 16
    file.HighBit, file.PixelRepresentation = 15, 1
    return file
