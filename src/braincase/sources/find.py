"""Detect the kind of a data source (DICOM, BIDS, ADNI, ...) and find its T1w scans."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Literal, get_args

from braincase.errors import ParameterError, UsageError
from braincase.images.header import suffix_of
from braincase.sources.adni import is_adni, read_adni
from braincase.sources.bids import is_bids, read_bids
from braincase.sources.census import Census
from braincase.sources.dicom import read_dicom
from braincase.sources.dicom_files import is_dicom, is_zip
from braincase.sources.image_folder import read_image_file, read_image_folder
from braincase.sources.oasis import is_oasis, read_oasis
from braincase.sources.scan import Scan
from braincase.sources.table import read_table

Source = Literal["auto", "image", "images", "table", "bids", "adni", "oasis", "dicom"]
#: How many files are opened to find out whether a folder holds DICOM.
LOOKED_AT = 50
#: The kinds that may hold many people.
READERS: dict[str, Callable[[Path, str | None], tuple[list[Scan], Census]]] = {
    "images": read_image_folder,
    "table": read_table,
    "bids": read_bids,
    "adni": read_adni,
    "oasis": read_oasis,
}


def find_scans(
    path: Path | str,
    source: str = "auto",
    label_column: str | None = None,
    subject: str | None = None,
    series: int | None = None,
) -> tuple[list[Scan], Census]:
    """Find the T1w scans in a file or folder of any kind that has a reader.

    Parameters
    ----------
    path
        An image file; a table; a DICOM folder, zip or multi-frame file; a BIDS data set; an ADNI or
        OASIS download; or a folder of images.
    source
        The kind, or ``auto`` to recognise it.
    label_column
        The column that the census counts; chosen by the reader if None.
    subject
        Whom to call the person of a single image or DICOM study.
    series
        The number of the DICOM series to take, instead of choosing one.

    Returns
    -------
    scans
        One a subject and session.
    census
        Who is there, who was left out and why.

    Raises
    ------
    UsageError
        If the path does not exist, is of a kind without a reader, or a parameter does not fit it.
    ScanError
        If a single file or study is damaged.
    """
    path = Path(path)
    if not path.exists():
        raise UsageError(path, "no such file or folder", "", "Check the path.")
    if source not in get_args(Source):
        raise ParameterError("source", repr(source), f"one of {', '.join(get_args(Source))}")
    kind = recognise(path) if source == "auto" else source
    if kind == "dicom":
        return read_dicom(path, subject, series)
    if series is not None:
        raise ParameterError("series", f"{series} for {kind}", "DICOM", "Leave it out.")
    if kind == "image":
        return read_image_file(path, subject)
    if subject is not None:
        raise ParameterError("subject", f"{subject} for {kind}", "one image or DICOM study")
    return READERS[kind](path, label_column)


def recognise(path: Path) -> str:
    """Detect which kind of source a path is.

    Raises
    ------
    UsageError
        If it is none.
    """
    if path.is_dir():
        return _recognise_folder(path)
    if path.suffix.lower() in (".csv", ".tsv"):
        return "table"
    if is_zip(path) or is_dicom(path):
        return "dicom"
    if suffix_of(path):
        return "image"
    expected = "an image, a CSV or TSV table, a DICOM file or zip, or a folder"
    raise UsageError(path, "a file of another kind", expected)


def _recognise_folder(folder: Path) -> str:
    # OASIS-3 can be downloaded as BIDS; its own reader knows the clinical tables as well.
    for kind, fits in (("oasis", is_oasis), ("adni", is_adni), ("bids", is_bids)):
        if fits(folder):
            return kind
    files = itertools.islice((p for p in folder.rglob("*") if p.is_file()), LOOKED_AT)
    looked_at = list(files)
    if any(is_dicom(file) for file in looked_at):
        return "dicom"
    # A zip beside images is somebody's supplement; alone it is a study.
    if any(suffix_of(file) for file in itertools.chain(looked_at, folder.rglob("*"))):
        return "images"
    if any(is_zip(file) for file in looked_at):
        return "dicom"
    expected = "images, DICOM files, or a BIDS, ADNI or OASIS data set"
    raise UsageError(folder, "a folder with none of them", expected, "Check the path.")
