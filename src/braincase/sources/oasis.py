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
from braincase.sources.cells import number_of, value_of
from braincase.sources.census import Census, take_census
from braincase.sources.choose import Dropped, Rank, image_marks, one_a_session
from braincase.sources.image_names import entities_of
from braincase.sources.listing import file_problem, is_hidden, list_source
from braincase.sources.rows import (
    Row,
    clean,
    column_name,
    label_name,
    labels_of,
    read_header,
    read_table_file,
)
from braincase.sources.scan import Scan
from braincase.sources.sheets import TABLE_SUFFIXES
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


#: The key under which a row says where it stands.
PLACE = " place"


class _Tables:
    """All tables in, under or beside a download, each read once, and what became of them."""

    def __init__(self, folder: Path) -> None:
        self.notes: list[str] = []
        self.accounts: list[str] = []
        self.headers = {path: frozenset(self._header(path)) for path in _table_files(folder)}
        self.read: dict[Path, list[Row]] = {}

    def _header(self, path: Path) -> set[str]:
        if reason := file_problem(path):
            self.notes.append(f"{path.name}: {reason}; what it says is missing")
            return set()
        return read_header(path)

    def rows_with(self, columns: set[str]) -> list[Row]:
        """Return the rows of all tables that have these columns, each with its place."""
        fitting = [path for path, header in self.headers.items() if columns <= header]
        return [row for path in fitting for row in self._rows(path, columns)]

    def _rows(self, path: Path, columns: set[str]) -> list[Row]:
        if path not in self.read:
            table = read_table_file(path, lambda header: columns <= header)
            self.notes += [f"{table.name}: {note}" for note in table.notes]
            self.accounts.append(f"{table.name}: {len(table.rows):,} rows read")
            self.read[path] = [row | {PLACE: table.place(i)} for i, row in enumerate(table.rows)]
        return self.read[path]


def _table_files(folder: Path) -> list[Path]:
    """Return the tables in, under or beside the folder."""
    around = folder.resolve()
    near = [p for place in (folder, folder.resolve().parent) for p in place.glob("*.*")]
    near += folder.glob("*/*.*")
    near += [p for d in folder.glob("*data_files*") for p in d.rglob("*.*")]
    tables = (p for p in near if p.suffix.lower() in TABLE_SUFFIXES and p.name[0] not in ".~")
    inside = (p for p in tables if not any(is_hidden(part) for part in _below(p, around)))
    return sorted(dict.fromkeys(path.absolute() for path in inside))


def _below(path: Path, folder: Path) -> tuple[str, ...]:
    absolute = path.absolute()
    return absolute.relative_to(folder).parts if absolute.is_relative_to(folder) else (path.name,)


def is_oasis(folder: Path) -> bool:
    """Say whether a folder holds OASIS-1, -3 or -4 sessions."""
    if next(_sessions_1(folder), None) is not None:
        return True
    named = (path for path in folder.iterdir() if re.match(r"(sub-)?OAS[34]\d{4}", path.name))
    return any(path.is_dir() for path in named)


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
    tables = _Tables(folder)
    ranked, dropped = _ranked_1(folder, tables)
    ranked += _ranked_3(folder, tables, dropped)
    if not ranked and not dropped:
        raise UsageError(folder, "no OASIS session", "folders like OAS1_0001_MR1")
    scans, second = one_a_session(ranked)
    scans.sort(key=lambda scan: scan.scan_id)
    column = label_name(label_column) or "diagnosis"
    return scans, take_census(
        scans, dropped + second, column, image_marks(scans), tables.notes, tables.accounts
    )


def axes_of(path: Path) -> str | None:
    """Return towards where an OASIS-1 Analyze image's axes run, where a mark in it tells."""
    return NATIVE_1_AXES if NATIVE_1.match(path.name) else None


def _sessions_1(folder: Path) -> Iterator[Path]:
    for pattern in ("OAS1_*", "*/OAS1_*", "*/*/OAS1_*"):
        found = sorted(p for p in folder.glob(pattern) if SESSION_1.match(p.name))
        yield from (p for p in found if not any(map(is_hidden, p.relative_to(folder).parts)))
    if SESSION_1.match(folder.name):
        yield folder


def _ranked_1(folder: Path, tables: _Tables) -> tuple[list[tuple[Rank, Scan]], Dropped]:
    """Return the images of each OASIS-1 session, the best first, and the sessions without one."""
    rows = {row["id"].strip().upper(): row for row in tables.rows_with({"id", "cdr", "m_f"})}
    ranked: list[tuple[Rank, Scan]] = []
    dropped: Dropped = []
    for session in _sessions_1(folder):
        images = [
            (rank, p)
            for rank, pattern in enumerate(IMAGES_1)
            for p in sorted(session.glob(pattern))
            if not is_hidden(p.name)
        ]
        if not images:
            dropped.append((str(session), "no T88_111, SUBJ_111 or RAW image inside"))
            continue
        subject, visit = session.name.rsplit("_", 1)
        row, where = rows.get(session.name), ""
        if row:
            where = row.get(PLACE, "")
        else:
            row, where = _facts(session / f"{session.name}.txt"), f"{session.name}.txt"
        evidence = [f"subject {subject} and session {visit} from the folder {session.name}"]
        evidence += [f"labels from {where}"] if row else []
        for rank, image in images:
            if problem := file_problem(image) or _voxels_problem(image):
                dropped.append((str(image), problem))
            else:
                scan = Scan(image, clean(subject), visit, _labels_1(row), tuple(evidence))
                ranked.append(((rank, str(image)), scan))
    return ranked, dropped


def _voxels_problem(header: Path) -> str:
    """Return why the other half of an Analyze pair cannot be read, or nothing."""
    voxels = header.with_suffix(".img")
    packed = header.with_name(f"{voxels.name}.gz")
    return "" if packed.exists() else file_problem(voxels)


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


def _ranked_3(folder: Path, tables: _Tables, dropped: Dropped) -> Iterator[tuple[Rank, Scan]]:
    images = [path for path in list_source(folder).paths() if T1W_3.match(path.name)]
    if not images:
        return
    clinical = _by_subject(tables.rows_with({"oasisid", "cdrtot", "days_to_visit"}))
    older = {"adrc_adrcclinicaldata_id", "cdr"}
    for subject, rows in _by_subject(map(_modern, tables.rows_with(older))).items():
        clinical.setdefault(subject, rows)
    people = _by_subject(tables.rows_with({"oasisid", "ageatentry"}))
    for path in images:
        match = T1W_3.match(path.name)
        assert match is not None
        subject, day = match[1], int(match[2])
        if problem := file_problem(path):
            dropped.append((str(path), problem))
            continue
        labels, where = _labels_3(clinical.get(subject, []), people.get(subject, [{}])[0], day)
        evidence = (f"subject {subject} and day {day} from the file name", *where)
        run = entities_of(path.name).get("run", "0").zfill(4)
        yield (".nii" in path.suffix, run), Scan(path, subject, f"d{match[2]}", labels, evidence)


def _labels_3(visits: list[Row], person: Row, day: int) -> tuple[dict[str, Value], tuple[str, ...]]:
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
    where = (f"facts from {person[PLACE]}",) if person.get(PLACE) else ()
    if visit is None:
        return labels, where
    where = (*where, f"diagnosis from {visit.get(PLACE, '')}, {abs(days)} days from the scan")
    labels |= labels_of({"cdr": visit["cdrtot"], "mmse": visit.get("mmse", "")})
    diagnosis = _diagnosis_3(visit)
    return labels | ({"diagnosis": diagnosis, "diagnosis_days": days} if diagnosis else {}), where


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
