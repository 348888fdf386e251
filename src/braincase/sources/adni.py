"""Read an ADNI image collection as it is downloaded from the LONI archive.

An image collection unpacks to ``SUBJECT/SERIES/DATE/IMAGE/`` under ``ADNI``, where SUBJECT is
``002_S_0295``, DATE ``2006-04-18_08_20_30.0``, IMAGE the number of the image (``I45108``) or of its
series (``S13408``), with one NIfTI file or a stack of DICOM files inside. Two kinds of tables tell
more; they are recognised in the folder or beside it by their columns:

- the **search or collection CSV** (Image Data ID, Subject, Group, Sex, Age, Visit, Acq Date, ...);
- **ADNIMERGE** (PTID, EXAMDATE, DX, DX_bl, ...) or **DXSUM** (PTID, EXAMDATE, DIAGNOSIS).

**The diagnosis is that of the visit.** It is the one made at the exam nearest to the scan, within
half a year: CN, MCI or AD, refined to SMC, EMCI or LMCI by the group at enrolment. Without such a
table the group at enrolment counts at the screening and baseline visits only; at a later visit
nobody knows, and the scan has no diagnosis. Nothing but a diagnosis of dementia becomes AD.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from pathlib import Path

from braincase.errors import UsageError
from braincase.labels import Value
from braincase.sources.census import Census, take_census
from braincase.sources.choose import Dropped, Rank, image_marks, one_a_session
from braincase.sources.rows import (
    Row,
    clean,
    labels_of,
    number_of,
    read_header,
    read_rows,
    value_of,
)
from braincase.sources.scan import Scan
from braincase.sources.visits import nearest, parse_date, years_between

SUBJECT = re.compile(r"^\d{3}_S_\d{4,5}$")
DATE = re.compile(r"^(\d{4}-\d{2}-\d{2})_\d{2}_\d{2}_\d{2}")
IMAGE = re.compile(r"(?:^|_)I(\d+)(?=$|\.)")
LOOSE = re.compile(r"^ADNI_(\d{3}_S_\d{4,5})_MR_(.+?)_+[Bb]r_(?:raw_)?\d{14,}")
T1W = re.compile(r"mp-?rage|\bmpr|spgr|t1", re.IGNORECASE)
NOT_T1W = re.compile(
    r"mask|harp|label|segment|hippocamp|t2|flair|\bpd\b|dti|asl|fmri|local|scout|survey|field|calib",
    re.IGNORECASE,
)
#: What makes an image the second choice of a visit: repeated, accelerated, cut in other planes.
REPEAT = re.compile(r"mpr-r|repeat|mpr_(tra|cor)", re.IGNORECASE)
ACCELERATED = re.compile(r"accelerated|grappa|sense", re.IGNORECASE)
#: LONI's corrections, best is most.
CORRECTIONS = ("gradwarp", "b1", "n3", "scaled")
ENROLMENT = re.compile(r"screen|baseline|^(sc|bl|scmri|v0[1-3])$|initial visit-new", re.IGNORECASE)
DIAGNOSES = {"nl": "CN", "cn": "CN", "mci": "MCI", "dementia": "AD", "ad": "AD"}
DIAGNOSES |= {"1": "CN", "2": "MCI", "3": "AD"}  # as DXSUM codes them
GROUPS = ("CN", "SMC", "EMCI", "LMCI", "MCI", "AD")
#: At these diagnoses the group at enrolment says more.
REFINED = {"MCI": ("EMCI", "LMCI"), "CN": ("SMC",)}
WINDOW_DAYS = 183


@dataclass(frozen=True)
class _CollectionImage:
    """One image of a collection, and the row about it in the search CSV."""

    path: Path
    person: str
    series: str
    taken: date | None
    number: str
    row: Row = field(default_factory=dict)
    problem: str = ""


def is_adni(folder: Path) -> bool:
    """Say whether a folder holds an ADNI image collection."""
    if next(_subject_folders(folder), None) is not None:
        return True
    with os.scandir(folder) as entries:
        return any(LOOSE.match(entry.name) for entry in entries)


def read_adni(folder: Path, label_column: str | None = None) -> tuple[list[Scan], Census]:
    """Return the T1w scans of an ADNI download, one a visit, and their census.

    Parameters
    ----------
    folder
        The ``ADNI`` folder of the download or the folder around it, tables in or beside it.
    label_column
        The column to count, ``diagnosis`` if None.

    Raises
    ------
    UsageError
        If there is no image of an ADNI subject.
    """
    searched, exams = _tables(folder)
    images = [_with_row(image, searched) for image in _images(folder)]
    if not images:
        raise UsageError(folder, "no ADNI image", "folders like 002_S_0295/MPRAGE/2011-.../I123")
    ranked: list[tuple[Rank, Scan]] = []
    dropped: Dropped = []
    for image in images:
        reason = _reason(image)
        if reason:
            dropped.append((str(image.path), reason))
        else:
            ranked.append((_rank(image), _scan(image, exams.get(image.person, []))))
    scans, second = one_a_session(ranked)
    scans.sort(key=lambda scan: scan.scan_id)
    notes = _notes(scans, bool(exams))
    column = label_column or "diagnosis"
    return scans, take_census(scans, dropped + second, column, image_marks(scans), notes)


def _subject_folders(folder: Path, depth: int = 3) -> Iterator[Path]:
    """Yield the subjects' folders, in or a few steps under `folder`."""
    with os.scandir(folder) as entries:
        folders = sorted(e.path for e in entries if os.path.isdir(e) and not e.name.startswith("."))
    for path in map(Path, folders):
        if SUBJECT.match(path.name):
            yield path
        elif depth > 1:
            yield from _subject_folders(path, depth - 1)


def _images(folder: Path) -> Iterator[_CollectionImage]:
    """Yield every image of the collection; a stack of DICOM files is one image."""
    for person in _subject_folders(folder):
        for leaf in sorted(person.glob("*/*/*")):
            if leaf.is_dir():
                yield from _leaf_images(leaf, person.name)
    for path in sorted(folder.glob("ADNI_*.nii*")):
        match = LOOSE.match(path.name)
        if match:
            yield _CollectionImage(path, match[1], match[2], None, _number(path.name))


def _leaf_images(leaf: Path, person: str) -> Iterator[_CollectionImage]:
    stamp = DATE.match(leaf.parent.name)
    taken = parse_date(stamp[1]) if stamp else None
    series = leaf.parent.parent.name
    names = sorted(entry.name for entry in os.scandir(leaf) if os.path.isfile(entry))
    for name in names:
        if name.lower().endswith((".nii", ".nii.gz")):
            yield _CollectionImage(
                leaf / name, person, series, taken, _number(name) or _number(leaf.name)
            )
    slices = [name for name in names if name.lower().endswith(".dcm")]
    if slices:
        numbers = {_number(name) for name in (*slices, leaf.name)} - {""}
        problem = f"slices of {len(numbers)} images in one folder" if len(numbers) > 1 else ""
        yield _CollectionImage(
            leaf, person, series, taken, min(numbers, default=""), problem=problem
        )


def _number(name: str) -> str:
    match = IMAGE.search(name)
    return match[1] if match else ""


def _tables(folder: Path) -> tuple[dict[str, Row], dict[str, list[Row]]]:
    """Return the search CSV's rows by image number and the exams by person."""
    searched: dict[str, Row] = {}
    exams: dict[str, list[Row]] = {}
    for path in _table_files(folder):
        columns = read_header(path)
        if {"subject", "image_data_id"} <= columns or {"subject_id", "image_id"} <= columns:
            rows = read_rows(path)
            searched |= {(r.get("image_data_id") or r["image_id"]).lstrip("ID"): r for r in rows}
        elif {"ptid", "examdate"} <= columns and columns & {"dx", "diagnosis"}:
            for row in read_rows(path):
                exams.setdefault(row["ptid"], []).append(row)
    return searched, exams


def _table_files(folder: Path) -> list[Path]:
    """Return the CSV files in the folder, in its plain subfolders and beside it."""
    near = [folder, *(p for p in folder.iterdir() if p.is_dir() and not SUBJECT.match(p.name))]
    if folder.name.upper().startswith("ADNI"):
        near.append(folder.resolve().parent)
    return sorted(path for place in near for path in place.glob("*.csv"))


def _with_row(image: _CollectionImage, searched: dict[str, Row]) -> _CollectionImage:
    row = searched.get(image.number, {})
    taken = image.taken or parse_date(row.get("acq_date") or row.get("study_date") or "")
    return replace(image, row=row, taken=taken)


def _reason(image: _CollectionImage) -> str:
    """Return why an image is left out, or an empty string."""
    if image.problem:
        return image.problem
    person = image.row.get("subject") or image.row.get("subject_id")
    series = image.row.get("description") or image.series.replace("_", " ")
    if person and person != image.person:
        return f"the search CSV gives image {image.number} to {person}"
    if image.row.get("modality", "MRI") not in ("MRI", "MR"):
        return f"no MRI ({image.row['modality']})"
    if NOT_T1W.search(series) or not T1W.search(series):
        return f"no T1w by its series ({series})"
    return "" if image.taken else "no date of the scan: put the search CSV beside the images"


def _rank(image: _CollectionImage) -> Rank:
    series = f"{image.series} {image.row.get('description', '')}".lower()
    done = sum(word in series for word in CORRECTIONS)
    number = int(image.number or 0)
    return bool(REPEAT.search(series)), bool(ACCELERATED.search(series)), -done, number


def _scan(image: _CollectionImage, exams: Sequence[Row]) -> Scan:
    assert image.taken is not None  # `_reason` left the others out
    labels: dict[str, Value] = labels_of(
        {key: image.row.get(key, "") for key in ("sex", "age", "visit", "description")}
    )
    group = image.row.get("group") or image.row.get("research_group") or ""
    if group in GROUPS:
        labels["group"] = group
        if ENROLMENT.search(image.row.get("visit", "")):
            labels["diagnosis"] = group
    labels |= _exam_labels(exams, image.taken)
    if exams and "diagnosis_days" not in labels:
        labels.pop("diagnosis", None)
    labels["image_id"] = f"I{image.number}"
    return Scan(image.path, clean(image.person), f"{image.taken:%Y%m%d}", labels)


def _exam_labels(exams: Sequence[Row], taken: date) -> dict[str, Value]:
    """Return what the clinical table knows of a person at the time of a scan."""
    group = next((row["dx_bl"] for row in exams if row.get("dx_bl") in GROUPS), "")
    labels: dict[str, Value] = {"group": group} if group else {}
    diagnosed = [row for row in exams if _diagnosis(row, group)]
    exam, days = nearest(diagnosed, "examdate", taken, WINDOW_DAYS)
    if exam is None:
        return labels
    labels |= labels_of({"visit": exam.get("viscode2") or exam.get("viscode", "")})
    labels |= {"diagnosis": _diagnosis(exam, group), "diagnosis_days": days}
    labels |= labels_of(
        {
            "sex": exam.get("ptgender", ""),
            "education": exam.get("pteducat", ""),
            "apoe4": exam.get("apoe4", ""),
            "mmse": exam.get("mmse", ""),
            "site": exam.get("site", ""),
            "phase": exam.get("colprot", "") or exam.get("phase", ""),
        }
    )
    age = _age(exams, taken)
    if age is not None:
        labels["age"] = age
    return labels


def _diagnosis(row: Row, group: str) -> str:
    """Return the diagnosis of one exam: where it changed ("MCI to Dementia"), the new one."""
    words = str(value_of(row.get("dx") or row.get("diagnosis")) or "").lower()
    diagnosis = DIAGNOSES.get(words.rpartition(" to ")[2].removesuffix(".0"), "")
    return group if group in REFINED.get(diagnosis, ()) else diagnosis


def _age(exams: Sequence[Row], taken: date) -> float | None:
    """Return the age at the scan: ADNIMERGE's AGE is that at the baseline exam."""
    for row in exams:
        if row.get("viscode") == "bl":
            age, baseline = number_of(row.get("age")), parse_date(row.get("examdate", ""))
            if age is not None and baseline:
                return round(age + years_between(baseline, taken), 1)
    return None


def _notes(scans: list[Scan], with_exams: bool) -> tuple[str, ...]:
    unknown = sum("diagnosis" not in scan.labels for scan in scans)
    if not unknown:
        return ()
    if with_exams:
        return (f"{unknown:,} scans have no exam with a diagnosis within {WINDOW_DAYS} days",)
    advice = "put ADNIMERGE.csv or DXSUM beside the images"
    return (f"{unknown:,} scans are of later visits, whose diagnosis is not known: {advice}",)
