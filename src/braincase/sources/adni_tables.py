"""ADNI's tables: the search CSV about images, and the exams of ADNIMERGE or DXSUM."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

from braincase.sources.dates import DateColumn, date_column
from braincase.sources.listing import file_problem, is_hidden
from braincase.sources.rows import Row, SourceTable, read_table_file, table_files
from braincase.sources.visits import AMERICAN

SUBJECT = re.compile(r"^\d{3}_S_\d{4,5}$")
#: Columns of a diagnosis, by the phase of the study that filled them.
DIAGNOSIS_COLUMNS = ("dx", "diagnosis", "dxcurren", "dxchange")
#: Columns of the search CSV that hold a date.
SEARCH_DATES = ("acq_date", "study_date")


@dataclass(frozen=True)
class Exam:
    """One clinical exam: its row, where it stands, and how its table writes dates."""

    row: Row
    place: str
    dates: DateColumn


@dataclass
class AdniTables:
    """What the clinical tables and the search CSV say, and what there is to say about them."""

    searched: dict[str, tuple[Row, str]] = field(default_factory=dict)
    search_dates: DateColumn = AMERICAN
    exams: dict[str, list[Exam]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    accounts: list[str] = field(default_factory=list)
    unsure: list[str] = field(default_factory=list)


def adni_tables(folder: Path) -> AdniTables:
    """Return the search CSV's rows by image number and the exams by person."""
    tables = AdniTables()
    for path in _table_files(folder):
        if reason := file_problem(path):
            tables.notes.append(f"{path.name}: {reason}; what it says is missing")
            continue
        table = read_table_file(path, lambda columns: bool(_kind(columns)))
        kind = _kind(frozenset(table.columns))
        tables.notes += [f"{table.name}: {note}" for note in table.notes]
        if kind == "search":
            _add_search(tables, table)
        elif kind == "exams":
            _add_exams(tables, table)
        else:
            expected = "PTID and EXAMDATE with DX, DIAGNOSIS, DXCURREN or DXCHANGE"
            tables.notes.append(f"{table.name}: not read: neither a search CSV nor {expected}")
            tables.accounts.append(f"{table.name}: not read")
    return tables


def _kind(columns: frozenset[str]) -> str:
    """Return what a table is: ``search``, ``exams`` or nothing that is read."""
    if {"subject", "image_data_id"} <= columns or {"subject_id", "image_id"} <= columns:
        return "search"
    if {"ptid", "examdate"} <= columns and columns & {*DIAGNOSIS_COLUMNS}:
        return "exams"
    return ""


def _add_search(tables: AdniTables, table: SourceTable) -> None:
    for i, row in enumerate(table.rows):
        number = (row.get("image_data_id") or row.get("image_id", "")).lstrip("ID")
        tables.searched[number] = (row, table.place(i))
    cells = [cell for name in SEARCH_DATES for cell in table.cells(name)]
    tables.search_dates = dates = date_column(cells)
    if dates.order == "not sure" and not dates.mixed:
        tables.search_dates = AMERICAN
        tables.notes.append(f"{table.name}: its dates are read month first, as LONI writes them")
    tables.accounts.append(f"{table.name}: {len(table.rows):,} rows about images")


def _add_exams(tables: AdniTables, table: SourceTable) -> None:
    dates = _exam_dates(table)
    if dates.order != "month first" or dates.mixed:
        why = f" ({dates.proof})" if dates.proof else ", for every date fits both"
        tables.notes.append(f"{table.name}, EXAMDATE: {dates.order}{why}")
    for i, row in enumerate(table.rows):
        tables.exams.setdefault(row["ptid"], []).append(Exam(row, table.place(i), dates))
    used = [name for name in DIAGNOSIS_COLUMNS if name in table.columns]
    tables.accounts.append(
        f"{table.name}: {len(table.rows):,} rows of exams; diagnosis from {', '.join(used)}"
    )


def _exam_dates(table: SourceTable) -> DateColumn:
    """Return how exams' dates are written; another date of the table may show it."""
    dates = date_column(table.cells("examdate"))
    if dates.order != "not sure" or dates.mixed:
        return dates
    others = [name for name in table.columns if "date" in name and name != "examdate"]
    orders = {(c := date_column(table.cells(name))).order: c for name in others}
    sure = [column for order, column in orders.items() if order != "not sure" and column.proof]
    return sure[0] if len(sure) == 1 else dates


def _table_files(folder: Path) -> list[Path]:
    """Return the tables in the folder, in its plain subfolders and beside it."""
    near = [folder, *(p for p in folder.iterdir() if p.is_dir() and not SUBJECT.match(p.name))]
    if folder.name.upper().startswith("ADNI"):
        near.append(folder.resolve().parent)
    return sorted(
        path for place in near if not is_hidden(place.name) for path in table_files(place)
    )
