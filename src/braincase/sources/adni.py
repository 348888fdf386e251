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
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from pathlib import Path

from braincase.errors import UsageError
from braincase.labels import Value
from braincase.sources.adni_tables import DIAGNOSIS_COLUMNS, SUBJECT, AdniTables, Exam, adni_tables
from braincase.sources.cells import number_of, value_of
from braincase.sources.census import Census, take_census
from braincase.sources.choose import Dropped, Rank, image_marks, one_a_session
from braincase.sources.dates import DateColumn
from braincase.sources.listing import file_problem, is_hidden
from braincase.sources.rows import (
    Row,
    clean,
    label_name,
    labels_of,
)
from braincase.sources.scan import Scan
from braincase.sources.visits import AMERICAN, years_between

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
#: DXCHANGE of ADNI-GO and ADNI-2: what somebody is now, whatever it was before.
CHANGES = dict.fromkeys(("1", "7", "9"), "CN") | dict.fromkeys(("2", "4", "8"), "MCI")
CHANGES |= dict.fromkeys(("3", "5", "6"), "AD")
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
    row_place: str = ""


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
    tables = adni_tables(folder)
    images = [_with_row(image, tables) for image in _images(folder)]
    if not images:
        raise UsageError(folder, "no ADNI image", "folders like 002_S_0295/MPRAGE/2011-.../I123")
    ranked: list[tuple[Rank, Scan]] = []
    dropped: Dropped = []
    for image in images:
        reason = _reason(image)
        if reason:
            dropped.append((str(image.path), reason))
        else:
            ranked.append((_rank(image), _scan(image, tables)))
    scans, second = one_a_session(ranked)
    scans.sort(key=lambda scan: scan.scan_id)
    notes = [*_notes(scans, bool(tables.exams)), *dict.fromkeys(tables.unsure), *tables.notes]
    column = label_name(label_column) or "diagnosis"
    return scans, take_census(
        scans, dropped + second, column, image_marks(scans), notes, tables.accounts
    )


def _subject_folders(folder: Path, depth: int = 3) -> Iterator[Path]:
    """Yield the subjects' folders, in or a few steps under `folder`."""
    with os.scandir(folder) as entries:
        folders = sorted(e.path for e in entries if os.path.isdir(e) and not is_hidden(e.name))
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
            problem = file_problem(path)
            yield _CollectionImage(
                path, match[1], match[2], None, _number(path.name), problem=problem
            )


def _leaf_images(leaf: Path, person: str) -> Iterator[_CollectionImage]:
    stamp = DATE.match(leaf.parent.name)
    taken = AMERICAN.parse(stamp[1]) if stamp else None
    series = leaf.parent.parent.name
    with os.scandir(leaf) as entries:
        names = sorted(e.name for e in entries if not is_hidden(e.name) and not e.is_dir())
    for name in names:
        if name.lower().endswith((".nii", ".nii.gz")):
            number = _number(name) or _number(leaf.name)
            problem = file_problem(leaf / name)
            yield _CollectionImage(leaf / name, person, series, taken, number, problem=problem)
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


def _with_row(image: _CollectionImage, tables: AdniTables) -> _CollectionImage:
    row, place = tables.searched.get(image.number, ({}, ""))
    text = row.get("acq_date") or row.get("study_date") or ""
    taken = image.taken or tables.search_dates.parse(text)
    return replace(image, row=row, taken=taken, row_place=place)


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


def _scan(image: _CollectionImage, tables: AdniTables) -> Scan:
    assert image.taken is not None  # `_reason` left the others out
    labels: dict[str, Value] = labels_of(
        {key: image.row.get(key, "") for key in ("sex", "age", "visit", "description")}
    )
    evidence = [f"subject {image.person} from the collection's folder or file name"]
    evidence.append(f"session from the date of the scan, {image.taken}")
    if image.row_place:
        evidence.append(f"facts of the image from {image.row_place}")
    group = image.row.get("group") or image.row.get("research_group") or ""
    if group in GROUPS:
        labels["group"] = group
        if ENROLMENT.search(image.row.get("visit", "")):
            labels["diagnosis"] = group
    exams = tables.exams.get(image.person, [])
    found, why = _exam_labels(exams, image.taken, tables.unsure)
    labels |= found
    if exams and "diagnosis_days" not in labels:
        labels.pop("diagnosis", None)
    elif "diagnosis" in labels and not why:
        evidence.append("diagnosis: the group at enrolment, for this is an enrolment visit")
    labels["image_id"] = f"I{image.number}"
    return Scan(image.path, clean(image.person), f"{image.taken:%Y%m%d}", labels, (*evidence, *why))


def _exam_labels(
    exams: Sequence[Exam], taken: date, unsure: list[str]
) -> tuple[dict[str, Value], tuple[str, ...]]:
    """Return what the clinical tables know of a person at the time of a scan, and the evidence."""
    group = next((e.row["dx_bl"] for e in exams if e.row.get("dx_bl") in GROUPS), "")
    labels: dict[str, Value] = {"group": group} if group else {}
    exam, days = _exam_at(exams, taken, group, unsure)
    if exam is None:
        return labels, ()
    row = exam.row
    labels |= labels_of({"visit": row.get("viscode2") or row.get("viscode", "")})
    labels |= {"diagnosis": _diagnosis(row, group), "diagnosis_days": days}
    labels |= labels_of(
        {
            "sex": row.get("ptgender", ""),
            "education": row.get("pteducat", ""),
            "apoe4": row.get("apoe4", ""),
            "mmse": row.get("mmse", ""),
            "site": row.get("site", ""),
            "phase": row.get("colprot", "") or row.get("phase", ""),
        }
    )
    age = _age(exams, taken)
    if age is not None:
        labels["age"] = age
    return labels, (f"diagnosis from {exam.place}, {abs(days)} days from the scan",)


def _exam_at(
    exams: Sequence[Exam], taken: date, group: str, unsure: list[str]
) -> tuple[Exam | None, int]:
    """Return the exam nearest to a scan, and the days between.

    Where dates can be read both ways the answer counts only if both ways give the same diagnosis;
    so it does where two exams of one day do not agree.
    """
    diagnosed = [exam for exam in exams if _diagnosis(exam.row, group)]
    answers: list[tuple[Exam, int]] = []
    open_dates = any(exam.dates.order == "not sure" for exam in diagnosed)
    orders: list[DateColumn | None] = [None]
    if open_dates:
        orders = [DateColumn("month first"), DateColumn("day first")]
    for order in orders:
        timed = [
            (abs(days), exam, days) for exam in diagnosed for days in _days(exam, taken, order)
        ]
        near = min((t[0] for t in timed), default=WINDOW_DAYS + 1)
        if near > WINDOW_DAYS:
            continue
        answers += [(exam, days) for far, exam, days in timed if far == near]
    diagnoses = Counter(_diagnosis(exam.row, group) for exam, _ in answers)
    if len(diagnoses) > 1:
        who = answers[0][0].row["ptid"]
        why = "days or months first is not known" if open_dates else "exams of one day differ"
        unsure.append(f"{who} on {taken}: {' or '.join(sorted(diagnoses))}? {why}: no diagnosis")
        return None, 0
    return answers[0] if answers else (None, 0)


def _days(exam: Exam, taken: date, order: DateColumn | None) -> Iterable[int]:
    """Yield how many days after an exam a scan was made, where its date can be read."""
    dates = exam.dates if order is None or exam.dates.order != "not sure" else order
    day = dates.parse(exam.row.get("examdate", ""))
    return () if day is None else ((taken - day).days,)


def _diagnosis(row: Row, group: str) -> str:
    """Return the diagnosis of one exam: where it changed ("MCI to Dementia"), the new one."""
    words = ""
    for name in DIAGNOSIS_COLUMNS:
        words = words or str(value_of(row.get(name)) or "").lower()
        if words:
            codes = CHANGES if name == "dxchange" else DIAGNOSES
            break
    else:
        return ""
    diagnosis = codes.get(words.rpartition(" to ")[2].removesuffix(".0"), "")
    return group if group in REFINED.get(diagnosis, ()) else diagnosis


def _age(exams: Sequence[Exam], taken: date) -> float | None:
    """Return the age at the scan: ADNIMERGE's AGE is that at the baseline exam."""
    for exam in exams:
        if exam.row.get("viscode") == "bl":
            age = number_of(exam.row.get("age"))
            baseline = exam.dates.readings(exam.row.get("examdate", ""))
            if age is not None and baseline:
                ages = {round(age + years_between(day, taken), 1) for day in baseline}
                return ages.pop() if max(ages) - min(ages) < 1 else None
    return None


def _notes(scans: list[Scan], with_exams: bool) -> tuple[str, ...]:
    unknown = sum("diagnosis" not in scan.labels for scan in scans)
    if not unknown:
        return ()
    if with_exams:
        return (f"{unknown:,} scans have no exam with a diagnosis within {WINDOW_DAYS} days",)
    advice = "put ADNIMERGE.csv or DXSUM beside the images"
    return (f"{unknown:,} scans are of later visits, whose diagnosis is not known: {advice}",)
