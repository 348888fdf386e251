"""Damaged DICOM slices through our decoder and the converter: a volume or one line, never more.

A short fixed part of `benchmarks/attack.py`: the same seeds give the same damage.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np
import pydicom
import pytest

from braincase.errors import ScanError
from braincase.sources.dicom import read_series
from braincase.sources.dicom_converter import convert_series
from braincase.sources.dicom_files import open_files
from braincase.sources.dicom_volume import UnusualSeriesError, decode_series
from markers import marker, write_dicom

SLICES, SEEDS = 4, 40
#: No slice of a few hundred bytes takes longer, however loaded the machine is.
LONGEST_S = 20.0


def siemens_headers(seed: int) -> bytes:
    """A CSA header as Siemens writes it, its counts and lengths now and then wrong."""
    rng = np.random.default_rng(seed)
    tags = [b"NumberOfImagesInMosaic", b"SliceNormalVector", b"B_value", b"Phoenix", b"UsedChannel"]
    content = b"SV10\4\3\2\1" + int(rng.choice([5, 2**31 - 1, 300])).to_bytes(4, "little")
    content += (77).to_bytes(4, "little")
    for name in tags:
        count, length = (int(n) for n in rng.choice([0, 1, 6, 70000, 2**31 - 1], 2))
        content += name.ljust(64, b"\0") + (1).to_bytes(4, "little") + b"DS\0\0"
        content += (0).to_bytes(4, "little") + count.to_bytes(4, "little") + bytes(4)
        content += length.to_bytes(4, "little") * 4 + rng.bytes(40)
    return content


def damaged(folder: Path, seed: int) -> None:
    """Damage every slice: bytes changed, lengths made huge, ends cut, headers nested."""
    rng = np.random.default_rng(seed)
    for path in folder.iterdir():
        header = pydicom.dcmread(path)
        if rng.random() < 0.5:
            header.Manufacturer = "SIEMENS"
            header.add_new(0x00290010, "LO", "SIEMENS CSA HEADER")
            header.add_new(0x00291010, "OB", siemens_headers(seed))
            header.add_new(0x00291020, "OB", siemens_headers(seed + 1))
        nested = pydicom.Dataset()
        for _ in range(int(rng.integers(0, 30))):
            outer = pydicom.Dataset()
            outer.ReferencedImageSequence = pydicom.Sequence([nested])
            nested = outer
        header.ReferencedStudySequence = pydicom.Sequence([nested])
        header.save_as(path)
        content = bytearray(path.read_bytes())
        for place in rng.integers(132, len(content), int(rng.integers(1, 30))):
            content[place] = int(rng.choice([0, 1, 0x7F, 0xFF, rng.integers(256)]))
        if rng.random() < 0.2:
            del content[int(rng.integers(200, len(content))) :]
        path.write_bytes(content)


def decode(folder: Path) -> None:
    """Read by our own decoder alone; whatever it leaves to the converter is fine."""
    with open_files(folder) as files, suppress(UnusualSeriesError):
        decode_series(files, files.names)


def convert(folder: Path) -> None:
    """Read by the converter alone."""
    with open_files(folder) as files:
        convert_series(files, files.names, "damaged")


@pytest.mark.parametrize("batch", range(0, SEEDS, 10))
@pytest.mark.parametrize("way", [read_series, decode, convert])
def test_damaged_slices_give_a_volume_or_one_line(
    tmp_path: Path, batch: int, way: Callable[[Path], object]
) -> None:
    for seed in range(batch, batch + 10):
        folder = write_dicom(tmp_path / f"s{seed}", *marker((8, 8, SLICES), (4.0, 4.0, 4.0)))
        damaged(folder, seed)
        began, line = time.monotonic(), ""
        try:
            way(folder)
        except ScanError as error:
            line = str(error)
        assert not line or line.isprintable(), line  # no line break, no bell, no escape
        assert time.monotonic() - began < LONGEST_S
