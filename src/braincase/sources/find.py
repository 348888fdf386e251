"""Detect the kind of a data source (DICOM, BIDS, ADNI, ...) and find its T1w scans."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal, get_args

from braincase.errors import ParameterError, UsageError
from braincase.files import check_regular, did_you_mean
from braincase.images.header import suffix_of
from braincase.json_values import parse_json
from braincase.sources.account import with_files
from braincase.sources.adni import is_adni, read_adni
from braincase.sources.bids import is_bids, read_bids
from braincase.sources.census import Census
from braincase.sources.dicom import read_dicom
from braincase.sources.dicom_files import archive_kind, is_dicom
from braincase.sources.identifying import without_identifying
from braincase.sources.image_folder import read_image_file, read_image_folder
from braincase.sources.listing import is_cohort, is_hidden, list_source
from braincase.sources.oasis import is_oasis, read_oasis
from braincase.sources.scan import Scan
from braincase.sources.sheets import OTHER_SUFFIXES, TABLE_SUFFIXES
from braincase.sources.site import at_site
from braincase.sources.table import read_table

Source = Literal["auto", "image", "images", "table", "bids", "adni", "oasis", "dicom"]
#: How many files are opened to find out whether a folder holds DICOM.
LOOKED_AT = 2000
#: How deep in a project's folder its BIDS data sets are looked for.
DEPTH = 3
#: Folders of a project that hold no raw data set, and what a raw one is called.
NOT_RAW = ("derivatives", "sourcedata", "code", "work", "tmp")
RAW = ("rawdata", "raw", "bids", "bids_raw", "nifti_bids")
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
    keep_columns: Sequence[str] = (),
    site: str | None = None,
) -> tuple[list[Scan], Census]:
    """Find the T1w scans in a file or folder of any kind that has a reader.

    Columns that seem to identify people (names, birth dates, addresses, hospital numbers) are left
    out of the labels; the census names them.

    Parameters
    ----------
    path
        An image file; a table; a DICOM folder, zip, tar or multi-frame file; a BIDS data set; an
        ADNI or OASIS download; or a folder of images.
    source
        The kind, or ``auto`` to recognise it.
    label_column
        The column that the census counts; chosen by the reader if None.
    subject
        Whom to call the person of a single image or DICOM study.
    series
        The number of the DICOM series to take, instead of choosing one.
    keep_columns
        Columns to keep as labels although they seem to identify people.
    site
        Letters and digits to put before each subject, where sites number their people alike.

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
        raise UsageError(path, "no such file or folder", "", did_you_mean(path))
    if source not in get_args(Source):
        raise ParameterError("source", repr(source), f"one of {', '.join(get_args(Source))}")
    kind = recognise(path) if source == "auto" else source
    scans, census = _read(path, kind, label_column, subject, series)
    scans, census = without_identifying(scans, census, path, keep_columns)
    return (scans, census) if site is None else at_site(scans, census, site)


def _read(
    path: Path, kind: str, label_column: str | None, subject: str | None, series: int | None
) -> tuple[list[Scan], Census]:
    """Read a source of a known kind."""
    if kind == "dicom":
        return read_dicom(path, subject, series)
    if series is not None:
        raise ParameterError("series", f"{series} for {kind}", "DICOM", "Leave it out.")
    if kind == "image":
        return read_image_file(path, subject)
    if subject is not None:
        raise ParameterError("subject", f"{subject} for {kind}", "one image or DICOM study")
    if kind == "table":
        return read_table(path, label_column)
    folder, notes = (bids_root(path) if kind == "bids" else None) or path, []
    if folder != path:
        notes.append(f"{folder.relative_to(path)} is the BIDS data set in this folder: it is read")
    scans, census = READERS[kind](folder, label_column)
    census = replace(census, notes=(*notes, *census.notes))
    return scans, with_files(census, scans, list_source(path), kind, folder)


def bids_root(folder: Path) -> Path | None:
    """Return the BIDS data set that a folder is or, as a project's folder, holds.

    Raises
    ------
    UsageError
        If it holds several, and none of them is called rawdata.
    """
    if is_bids(folder):
        return folder
    roots = _bids_below(folder, DEPTH)
    if len(roots) < 2:
        return roots[0] if roots else None
    raw = [root for root in roots if root.name.lower() in RAW]
    if len(raw) == 1:
        return raw[0]
    names = ", ".join(str(root.relative_to(folder)) for root in roots[:5])
    found = f"{len(roots)} BIDS data sets in it ({names})"
    raise UsageError(folder, found, "one", "Name one of them.")


def _bids_below(folder: Path, depth: int) -> list[Path]:
    """Return the raw BIDS data sets below a folder, a few steps down."""
    roots: list[Path] = []
    for path in _subfolders(folder):
        if path.name.lower() in NOT_RAW or is_cohort(path) or _is_derivative(path):
            continue
        if is_bids(path):
            roots.append(path)
        elif depth > 1 and not path.name.startswith(("sub-", "ses-")):
            roots += _bids_below(path, depth - 1)
    return roots


def _is_derivative(folder: Path) -> bool:
    try:
        path = check_regular(folder / "dataset_description.json")
        text = path.read_text(encoding="utf-8", errors="replace")
        return bool(parse_json(text).get("DatasetType") == "derivative")
    except (OSError, ValueError, AttributeError):
        return False


def _subfolders(folder: Path) -> Sequence[Path]:
    try:
        with os.scandir(folder) as entries:
            return [
                Path(e.path)
                for e in sorted(entries, key=lambda e: e.name)
                if e.is_dir() and not is_hidden(e.name)
            ]
    except OSError:
        return []


def recognise(path: Path) -> str:
    """Detect which kind of source a path is.

    Raises
    ------
    UsageError
        If it is none.
    """
    if path.is_dir():
        return _recognise_folder(path)
    if path.suffix.lower() in (*TABLE_SUFFIXES, *OTHER_SUFFIXES):
        return "table"
    if archive_kind(path) or is_dicom(path):
        return "dicom"
    if suffix_of(path):
        return "image"
    expected = "an image, a CSV or TSV table, a DICOM file, zip or tar, or a folder"
    raise UsageError(path, "a file of another kind", expected)


def _recognise_folder(folder: Path) -> str:
    # OASIS-3 can be downloaded as BIDS; its own reader knows the clinical tables as well.
    for kind, fits in (("oasis", is_oasis), ("adni", is_adni), ("bids", bids_root)):
        if fits(folder):
            return kind
    files = list(list_source(folder).paths())
    # Files without an image's ending first: a viewer's own files come in any order.
    first = sorted(files, key=lambda path: path.suffix.lower() not in ("", ".dcm", ".ima"))
    if any(is_dicom(file) for file in first[:LOOKED_AT]):
        return "dicom"
    # An archive beside images is somebody's supplement; alone it is a study.
    if any(suffix_of(file) for file in files):
        return "images"
    if any(archive_kind(file) for file in files):
        return "dicom"
    expected = "images, DICOM files, or a BIDS, ADNI or OASIS data set"
    raise UsageError(folder, "a folder with none of them", expected, "Check the path.")
