"""Read the OASIS-1, -3 and -4 data sets as they are downloaded.

**OASIS-1**: a folder a session, ``OAS1_0001_MR1``, with Analyze pairs in ``RAW`` (single scans),
``PROCESSED/MPRAGE/SUBJ_111`` (their average at 1 mm) and ``T88_111`` (the average in Talairach
space). Facts come from ``oasis_cross-sectional.csv`` where it lies beside them, else from each
session's own text file. A CDR of 0 is CN and any above is AD, as the data set defines it; young
people were never rated and have no diagnosis.

Analyze files do not say where left is. The raw and SUBJ_111 images run to the front, the top and
the left: the vitamin E capsule at each subject's left shows it (Marcus 2007), and FreeSurfer and
Clinica read them so. T88_111 is read by its header's convention (left, front, top), as other
converters do, but nothing in it marks a side, so its sides count as unknown.

**OASIS-3**: ``OAS30001_MR_d0129/anat*/[NIFTI/]sub-OAS30001_ses[s]-d0129[_run-01]_T1w.nii.gz`` or
the BIDS layout. Facts come from the UDS B4 table (CDRTOT, dx1) or the older ADRC clinical data, at
the visit nearest to the scan within a year, and from the demographics. CDR 0 is CN; above it, only
dx1 "AD dementia ..." is AD, anything else is "other".
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from braincase.errors import UsageError
from braincase.labels import Value
from braincase.sources.bids import entities_of
from braincase.sources.census import Census, take_census
from braincase.sources.choose import Dropped, Rank, image_marks, one_a_session
from braincase.sources.rows import (
    Row,
    clean,
    column_name,
    labels_of,
    number_of,
    read_header,
    read_rows,
    value_of,
)
from braincase.sources.scan import Scan
from braincase.sources.visits import DAYS_A_YEAR, nearest

SESSION_1 = re.compile(r"^(OAS1_\d{4})_(MR\d)$")
#: An OASIS-1 image in the subject's own space, whose axes the capsule tells.
NATIVE_1 = re.compile(r"^OAS1_\d{4}_MR\d_mpr(-\d|_n\d)_anon(_sbj_111)?\.(hdr|img)$")
NATIVE_1_AXES = "ASL"
T1W_3 = re.compile(r"sub-(OAS[34]\d{4})_sess?-d(\d+).*_T1w\.nii(\.gz)?$")
#: Patterns of an OASIS-1 session's images, the best first.
IMAGES_1 = (
    "PROCESSED/MPRAGE/SUBJ_111/*_sbj_111.hdr",
    "PROCESSED/MPRAGE/T88_111/*_t88_gfc.hdr",
    "PROCESSED/MPRAGE/T88_111/*_t88_masked_gfc.hdr",
    "RAW/*_mpr-*_anon.hdr",
)
WINDOW_DAYS = 365


def is_oasis(folder: Path) -> bool:
    """Say whether a folder holds OASIS-1, -3 or -4 sessions."""
    if next(_sessions_1(folder), None) is not None:
        return True
    return any(re.match(r"(sub-)?OAS[34]\d{4}", path.name) for path in folder.iterdir())


def read_oasis(folder: Path, label_column: str | None = None) -> tuple[list[Scan], Census]:
    """Return the T1w scans of an OASIS download, one a session, and their census.

    Parameters
    ----------
    folder
        The folder with the sessions (or with ``disc1`` ...), tables in or under it.
    label_column
        The column to count, ``diagnosis`` if None.

    Raises
    ------
    UsageError
        If there is no session of OASIS-1, -3 or -4.
    """
    ranked, dropped = _ranked_1(folder)
    ranked += _ranked_3(folder)
    if not ranked and not dropped:
        raise UsageError(folder, "no OASIS session", "folders like OAS1_0001_MR1")
    scans, second = one_a_session(ranked)
    scans.sort(key=lambda scan: scan.scan_id)
    column = label_column or "diagnosis"
    return scans, take_census(scans, dropped + second, column, image_marks(scans))


def axes_of(path: Path) -> str | None:
    """Return towards where an OASIS-1 Analyze image's axes run, where a mark in it tells."""
    return NATIVE_1_AXES if NATIVE_1.match(path.name) else None


def _sessions_1(folder: Path) -> Iterator[Path]:
    for pattern in ("OAS1_*", "*/OAS1_*", "*/*/OAS1_*"):
        yield from sorted(p for p in folder.glob(pattern) if SESSION_1.match(p.name))
    if SESSION_1.match(folder.name):
        yield folder


def _ranked_1(folder: Path) -> tuple[list[tuple[Rank, Scan]], Dropped]:
    """Return the best image of each OASIS-1 session, and the sessions without one."""
    rows = {row["id"]: row for row in _rows_with(folder, {"id", "cdr", "m_f"})}
    ranked: list[tuple[Rank, Scan]] = []
    dropped: Dropped = []
    for session in _sessions_1(folder):
        images = [(rank, p) for rank, pattern in enumerate(IMAGES_1) for p in session.glob(pattern)]
        if not images:
            dropped.append((str(session), "no T88_111, SUBJ_111 or RAW image inside"))
            continue
        rank, image = min(images)
        subject, visit = session.name.rsplit("_", 1)
        row = rows.get(session.name) or _facts(session / f"{session.name}.txt")
        ranked.append(((rank,), Scan(image, clean(subject), visit, _labels_1(row))))
    return ranked, dropped


def _labels_1(row: Row) -> dict[str, Value]:
    labels = labels_of(
        {
            "age": row.get("age", ""),
            "sex": row.get("m_f", ""),
            "handedness": row.get("hand", ""),
            "education": row.get("educ", ""),
            "mmse": row.get("mmse", ""),
            "cdr": row.get("cdr", ""),
            "etiv": row.get("etiv", ""),
            "nwbv": row.get("nwbv", ""),
        }
    )
    cdr = number_of(row.get("cdr"))
    return labels if cdr is None else labels | {"diagnosis": "AD" if cdr > 0 else "CN"}


def _facts(path: Path) -> Row:
    """Return the ``NAME: value`` lines of a session's text file."""
    if not path.is_file():
        return {}
    pairs = (line.partition(":") for line in path.read_text(errors="replace").splitlines())
    facts = ((column_name(name), value.strip()) for name, colon, value in pairs if colon)
    return {name: value for name, value in facts if name and value}


def _ranked_3(folder: Path) -> Iterator[tuple[Rank, Scan]]:
    images = sorted(p for p in folder.rglob("sub-OAS*_T1w.nii*") if T1W_3.match(p.name))
    if not images:
        return
    clinical = _by_subject(_rows_with(folder, {"oasisid", "cdrtot", "days_to_visit"}))
    older = {"adrc_adrcclinicaldata_id", "cdr"}
    for subject, rows in _by_subject(map(_modern, _rows_with(folder, older))).items():
        clinical.setdefault(subject, rows)
    people = _by_subject(_rows_with(folder, {"oasisid", "ageatentry"}))
    for path in images:
        match = T1W_3.match(path.name)
        assert match is not None
        subject, day = match[1], int(match[2])
        labels = _labels_3(clinical.get(subject, []), people.get(subject, [{}])[0], day)
        run = entities_of(path.name).get("run", "0").zfill(4)
        yield (".nii" in path.suffix, run), Scan(path, subject, f"d{match[2]}", labels)


def _labels_3(visits: list[Row], person: Row, day: int) -> dict[str, Value]:
    visit, days = nearest(
        [row for row in visits if number_of(row.get("cdrtot")) is not None],
        "days_to_visit",
        day,
        WINDOW_DAYS,
    )
    entry = number_of(person.get("ageatentry") or (visits[0].get("ageatentry") if visits else ""))
    labels = labels_of({"sex": {"1": "M", "2": "F"}.get(person.get("gender", ""), "")})
    labels |= labels_of({"education": person.get("educ", ""), "apoe": person.get("apoe", "")})
    if entry is not None:
        labels["age"] = round(entry + day / DAYS_A_YEAR, 1)
    if visit is None:
        return labels
    labels |= labels_of({"cdr": visit["cdrtot"], "mmse": visit.get("mmse", "")})
    diagnosis = _diagnosis_3(visit)
    return labels | ({"diagnosis": diagnosis, "diagnosis_days": days} if diagnosis else {})


def _diagnosis_3(visit: Row) -> str | None:
    cdr, words = number_of(visit.get("cdrtot")), str(value_of(visit.get("dx1")) or "").lower()
    if cdr == 0:
        return "CN"
    if not words:
        return None
    return "AD" if re.match(r"ad dem|dat\b", words) else "other"


def _modern(row: Row) -> Row:
    """Return a row of the older ADRC clinical data with the newer table's column names."""
    subject, _, day = row["adrc_adrcclinicaldata_id"].partition("_ClinicalData_d")
    return row | {"oasisid": subject, "days_to_visit": day.lstrip("0") or "0", "cdrtot": row["cdr"]}


def _by_subject(rows: Iterable[Row]) -> dict[str, list[Row]]:
    by_subject: dict[str, list[Row]] = {}
    for row in rows:
        by_subject.setdefault(row["oasisid"], []).append(row)
    return by_subject


def _rows_with(folder: Path, columns: set[str]) -> list[Row]:
    """Return the rows of all tables in, under or beside the folder that have these columns."""
    near = [*folder.glob("*.csv"), *folder.glob("*/*.csv"), *folder.resolve().parent.glob("*.csv")]
    deeper = [p for d in folder.glob("*data_files*") for p in d.rglob("*.csv")]
    paths = dict.fromkeys(path.resolve() for path in [*near, *deeper])
    return [row for path in paths if columns <= read_header(path) for row in read_rows(path)]
