"""A deflated DICOM file is inflated within a bound, and its header is read like any other's."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.uid import DeflatedExplicitVRLittleEndian

from braincase.pacs.dicom_objects import read_source
from braincase.sources import dicom_files, dicom_volume
from braincase.sources.dicom import read_dicom
from braincase.sources.dicom_files import open_files, pixel_hash, read_headers
from braincase.sources.dicom_volume import UnusualSeriesError, decode_series
from markers import write_dicom

KEY = b"k" * 32


def deflated(folder: Path, extra: int = 0) -> list[Path]:
    """A series whose data sets are deflated; the first file's pixels grow by some zeros."""
    data = np.random.default_rng(0).integers(0, 900, (16, 16, 60), dtype=np.int16)
    write_dicom(folder, data, np.diag([8.0, 8.0, 2.0, 1.0]))
    paths = sorted(folder.iterdir())
    for number, path in enumerate(paths):
        header = pydicom.dcmread(path)
        header.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
        if number == 0:
            header.PixelData += bytes(extra)
        header.save_as(path)
    return paths


def test_a_deflated_series_is_read_like_any_other(tmp_path: Path) -> None:
    deflated(tmp_path)
    (scan,), _ = read_dicom(tmp_path, key=KEY)
    assert len(scan.files) == 60
    with open_files(tmp_path) as files:
        assert decode_series(files, files.names).data.max() == 899
        hashes = {pixel_hash(files, name) for name in files.names}
    assert len(hashes) == 60


@pytest.mark.parametrize("read", ["header", "pixels", "volume", "source"])
def test_a_deflate_bomb_stays_small(
    tmp_path: Path, read: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    bomb = deflated(tmp_path, extra=200 << 20)[0]
    assert bomb.stat().st_size < 1 << 20
    monkeypatch.setattr(dicom_files, "MAX_HEADER_BYTES", 4 << 20)
    monkeypatch.setattr(dicom_volume, "MAX_BYTES", 8 << 20)
    tracemalloc.start()
    with open_files(bomb) as files:
        if read == "header":
            headers, damaged = read_headers(files)
            assert (len(headers), damaged) == (1, [])
        elif read == "pixels":
            assert pixel_hash(files, bomb.name)
        elif read == "source":
            source = read_source([bomb], KEY)
            assert source.images[0][1] == source.header.SOPInstanceUID
        else:
            with pytest.raises(UnusualSeriesError, match="larger than any head"):
                decode_series(files, files.names)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 32 << 20
