"""Our own decoder of DICOM series against the converter: the same voxels at the same places."""

from __future__ import annotations

import subprocess
import zipfile
from pathlib import Path

import dcm2niix
import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.pixels import compress
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ImplicitVRLittleEndian,
    RLELossless,
)

from braincase.errors import ScanError
from braincase.images.volume import Volume, read_volume
from braincase.sources.dicom_files import open_files, read_headers
from braincase.sources.dicom_volume import UnusualSeriesError, decode_series
from markers import ORIENTATIONS, assert_sides, marker, multi_frame, reoriented, write_dicom
from refusals import refused

SMALL = (20, 22, 24)
ZOOMS = (4.0, 3.0, 3.5)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_dicom(tmp_path / "series", *marker(SMALL, ZOOMS))


def decoded(folder: Path) -> Volume:
    with open_files(folder) as files:
        return decode_series(files, [*read_headers(files)[0]])


def converted(folder: Path, aside: Path) -> Volume:
    """What dcm2niix itself makes of a folder."""
    aside.mkdir()
    options = ["-z", "n", "-b", "n", "-g", "i", "-f", "volume", "-o", str(aside)]
    subprocess.run([dcm2niix.bin, *options, str(folder)], check=True, capture_output=True)
    (made,) = aside.glob("*.nii")
    return read_volume(made)


def assert_same(folder: Path, aside: Path) -> Volume:
    ours, theirs = decoded(folder), converted(folder, aside)
    assert np.array_equal(ours.data, theirs.data)
    assert np.abs(ours.affine - theirs.affine).max() < 1e-3
    assert ours.notes == theirs.notes
    return ours


def edit(folder: Path, change) -> None:
    """Change every slice: `change` gets the header and the slice's number."""
    for number, path in enumerate(sorted(folder.iterdir())):
        header = pydicom.dcmread(path)
        change(header, number)
        header.save_as(path)


@pytest.mark.parametrize("turn", ORIENTATIONS[::5], ids=str)
def test_axial_sagittal_coronal_and_reversed_series(tmp_path: Path, turn: np.ndarray) -> None:
    series = write_dicom(tmp_path / "s", *reoriented(*marker(SMALL, ZOOMS), turn))
    assert_sides(assert_same(series, tmp_path / "o"), tolerance_mm=2)


@pytest.mark.parametrize("angles", [(10, 0, 0), (-8, 20, 5), (30, -25, 40)], ids=str)
def test_oblique_series(tmp_path: Path, angles: tuple[float, ...]) -> None:
    data, affine = marker(SMALL, ZOOMS)
    for axis, angle in enumerate(np.radians(angles)):
        turn = np.eye(4)
        i, j = [k for k in range(3) if k != axis]
        turn[i, i] = turn[j, j] = np.cos(angle)
        turn[i, j], turn[j, i] = -np.sin(angle), np.sin(angle)
        affine = turn @ affine
    assert_same(write_dicom(tmp_path / "s", data, affine), tmp_path / "o")


def test_files_in_any_order_and_in_a_zip(tmp_path: Path, folder: Path) -> None:
    expected = decoded(folder)
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for number, file in enumerate(sorted(folder.iterdir())):
            archive.write(file, f"{number * 7 % 24:03d}")
    with open_files(path) as files:
        found = decode_series(files, files.names[::-1])
    assert np.array_equal(found.data, expected.data)
    assert np.array_equal(found.affine, expected.affine)


def _one_scale(header: Dataset, number: int) -> None:
    header.RescaleSlope, header.RescaleIntercept = "2.7", "-11.3"


def _own_scales(header: Dataset, number: int) -> None:
    header.RescaleSlope, header.RescaleIntercept = str(1 + number / 10), str(-number)


def _philips(header: Dataset, number: int) -> None:
    _one_scale(header, number)
    header.Manufacturer = "Philips Medical Systems"
    header.add_new(0x20050010, "LO", "Philips MR Imaging DD 001")
    header.add_new(0x2005100E, "FL", 0.0123)


def _twelve_bits(header: Dataset, number: int) -> None:
    words = np.frombuffer(header.PixelData, "<i2") - 100
    header.BitsStored, header.HighBit = 12, 11
    header.PixelData = (words & 0x0FFF).astype("<u2").tobytes()


def _unsigned(header: Dataset, number: int) -> None:
    words = np.frombuffer(header.PixelData, "<u2") + np.uint16(60000)
    header.PixelRepresentation = 0
    header.PixelData = words.tobytes()


def _bytes(header: Dataset, number: int) -> None:
    words = np.frombuffer(header.PixelData, "<i2") // 4
    header.BitsAllocated = header.BitsStored = 8
    header.HighBit, header.PixelRepresentation = 7, 0
    header.PixelData = words.astype("u1").tobytes()


def _inverted(header: Dataset, number: int) -> None:
    header.PhotometricInterpretation = "MONOCHROME1"


def _run_length(header: Dataset, number: int) -> None:
    compress(header, RLELossless, encoding_plugin="pydicom")


@pytest.mark.parametrize(
    "change",
    [
        *(_one_scale, _own_scales, _philips, _twelve_bits, _unsigned, _bytes, _inverted),
        _run_length,
    ],
)
def test_scales_bits_and_packing(tmp_path: Path, folder: Path, change) -> None:
    edit(folder, change)
    assert_same(folder, tmp_path / "o")


@pytest.mark.parametrize(
    "syntax", [ImplicitVRLittleEndian, ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian], ids=str
)
def test_other_transfer_syntaxes(folder: Path, syntax: str) -> None:
    expected = decoded(folder)
    for path in folder.iterdir():
        header = pydicom.dcmread(path)
        if syntax == ExplicitVRBigEndian:
            words = np.frombuffer(header.PixelData, "<i2").astype(">i2")
            header.PixelData = words.tobytes()
        header.file_meta.TransferSyntaxUID = syntax
        is_little = syntax != ExplicitVRBigEndian
        is_implicit = syntax == ImplicitVRLittleEndian
        pydicom.dcmwrite(path, header, implicit_vr=is_implicit, little_endian=is_little)
    found = decoded(folder)
    assert np.array_equal(found.data, expected.data)
    assert np.array_equal(found.affine, expected.affine)


def test_old_overlays_in_unused_bits_are_no_part_of_the_value(folder: Path) -> None:
    expected = decoded(folder)

    def overlay(header: Dataset, number: int) -> None:
        words = np.frombuffer(header.PixelData, "<u2")
        header.BitsStored, header.HighBit, header.PixelRepresentation = 12, 11, 0
        header.PixelData = (words | 0x8000).astype("<u2").tobytes()

    edit(folder, overlay)
    assert np.array_equal(decoded(folder).data, expected.data)


def test_an_enhanced_multi_frame_file_without_a_frame_of_reference(
    tmp_path: Path, folder: Path
) -> None:
    expected = decoded(folder)
    edit(folder, lambda header, number: header.__delattr__("FrameOfReferenceUID"))
    found = decoded(multi_frame(folder, tmp_path / "enhanced.dcm"))
    assert np.array_equal(found.data, expected.data)
    assert np.allclose(found.affine, expected.affine, atol=1e-6)


def test_each_frame_of_an_enhanced_file_has_its_own_scale(tmp_path: Path, folder: Path) -> None:
    found = decoded(multi_frame(folder, tmp_path / "enhanced.dcm", slopes=True))
    expected = decoded(folder).data
    number = {place: i for i, place in enumerate([*range(0, 24, 2), *range(1, 24, 2)])}
    for place in range(24):
        scaled = expected[..., place] * np.float32(1 + number[place] / 8) + number[place]
        assert np.allclose(found.data[..., place], scaled, rtol=1e-6)


@pytest.mark.parametrize("name", ["trio_t1_mprage.zip", "hyperfine", "siemens_multiframe"])
def test_real_series(tmp_path: Path, shared_data: Path, name: str) -> None:
    place = shared_data / "dicom" / name
    if place.suffix == ".zip":
        with zipfile.ZipFile(place) as archive:
            archive.extractall(tmp_path / "s")
        place = tmp_path / "s"
    assert_same(place, tmp_path / "o")


def _spoil(header: Dataset, number: int, **fields: object) -> None:
    for keyword, value in fields.items():
        setattr(header, keyword, value)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda h, n: _spoil(h, n, ImageType=["ORIGINAL", "PRIMARY", "M", "MOSAIC"]), "mosaic"),
        (lambda h, n: _spoil(h, n, SamplesPerPixel=3), "no grey values"),
        (lambda h, n: _spoil(h, n, PhotometricInterpretation="PALETTE COLOR"), "no grey values"),
        (lambda h, n: _spoil(h, n, EchoTime=str(3 + n % 2)), "several echoes"),
        (lambda h, n: _spoil(h, n, BitsStored=17, HighBit=16), "impossible bits"),
        (lambda h, n: _spoil(h, n, PixelSpacing=[0.001, 0.001]), "a size that no head has"),
        (lambda h, n: _spoil(h, n, ImagePositionPatient=[0, 0, 0]), "uneven distances"),
        (lambda h, n: _spoil(h, n, ImagePositionPatient=[0, n, n * 4]), "not stacked"),
        (lambda h, n: _spoil(h, n, ImageOrientationPatient=[1, 0, 0, 1, 0, 0]), "right angles"),
    ],
)
def test_unusual_series_are_left_to_the_converter(folder: Path, change, why: str) -> None:
    edit(folder, change)
    with pytest.raises(UnusualSeriesError, match=why):
        decoded(folder)


def test_a_gap_is_left_to_the_converter(folder: Path) -> None:
    (folder / "0010.dcm").unlink()
    with pytest.raises(UnusualSeriesError, match="uneven distances"):
        decoded(folder)


def test_a_slice_that_is_cut_off_is_told_by_its_name(folder: Path) -> None:
    content = (folder / "0007.dcm").read_bytes()
    (folder / "0007.dcm").write_bytes(content[:-200])
    with refused(ScanError, "the slice is cut off: 680 of 880 bytes"):
        decoded(folder)
