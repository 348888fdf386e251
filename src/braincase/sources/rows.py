"""Tables of people: named columns, cells as text, each row's line, and labels made of them."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from braincase.errors import UsageError
from braincase.labels import RESERVED_COLUMNS, Value
from braincase.sources.cells import (
    ages,
    number_of,
    numbers,
    sexes,
    value_of,
    with_points,
)
from braincase.sources.dates import date_column, holds_dates
from braincase.sources.sheets import TABLE_SUFFIXES, Sheet, read_sheets
from braincase.sources.words import ALIASES

__all__ = ["number_of", "value_of"]

Row = dict[str, str]
#: Columns that hold a scan's class, in the order they are looked for.
LABEL_COLUMNS = ("diagnosis", "label", "dx", "dx_group", "group")
#: Ages in other units than years, by column.
AGE_UNITS = {"age_months": 12.0, "age_in_months": 12.0, "age_mo": 12.0, "age_m": 12.0}
AGE_UNITS |= {"age_days": 365.25, "age_in_days": 365.25, "age_weeks": 52.18}
#: A legend in a header, such as ``sex (1=male, 2=female)``.
LEGEND = re.compile(r"(\w+)\s*[=:]\s*([^\W\d_]+)")
#: Words behind a column's own name: the unit of an age, or that it is a number.
TAIL = {*("in", "en", "years", "year", "yrs", "y", "j", "jahren", "jahre", "ans", "années", "años")}
TAIL |= {
    *("anni", "nr", "no", "num", "nummer", "number", "numéro", "numero", "番号", "編号", "номер")
}
NO_TABLE = re.compile(r"[\x00-\x08\x0e-\x1a]")


@dataclass(frozen=True)
class SourceTable:
    """One table as it was read: distinct column names, cells as text, and what was done to it.

    Parameters
    ----------
    path
        Its file.
    name
        What messages call it: the file's name, and the sheet's.
    columns
        The names of its columns, distinct, lower-case words joined by ``_``.
    rows
        The cells by column; decimal commas are points.
    lines
        The line of each row in the file.
    headers
        The headers as they are written, by column.
    notes
        How it had to be read, one sentence each.
    """

    path: Path
    name: str
    columns: tuple[str, ...]
    rows: tuple[Row, ...]
    lines: tuple[int, ...]
    headers: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def cells(self, column: str) -> list[str]:
        """Return one column."""
        return [row.get(column, "") for row in self.rows]

    def place(self, index: int) -> str:
        """Return where a row stands, for messages."""
        return f"line {self.lines[index]} of {self.name}"


@dataclass(frozen=True)
class Labels:
    """The labels of a table's rows, and what became of each of its columns.

    Parameters
    ----------
    rows
        The labels of each row.
    notes
        What had to be decided, one sentence each.
    columns
        What each column was read as, or why it was not.
    """

    rows: tuple[dict[str, Value], ...]
    notes: tuple[str, ...]
    columns: tuple[str, ...]


def read_table_file(
    path: Path, wanted: Callable[[frozenset[str]], bool] = lambda columns: True
) -> SourceTable:
    """Read a CSV, TSV or XLSX file as a table.

    Parameters
    ----------
    path
        The file.
    wanted
        Which columns a workbook's sheet must have; the first that fits is read.

    Raises
    ------
    UsageError
        If the file cannot be read as a table with a header line.
    """
    tables = [_table(path, sheet) for sheet in read_sheets(path) if sheet.cells]
    if not tables:
        raise UsageError(path, "an empty table", "a header line and rows")
    visible = [table for table in tables if "a hidden sheet" not in table.notes] or tables
    fitting = [table for table in visible if wanted(frozenset(table.columns))]
    chosen = next((t for t in fitting if t.rows), (fitting or visible)[0])
    others = [table.name.rpartition(", ")[2] for table in tables if table is not chosen]
    if others:
        note = f"only {chosen.name.rpartition(', ')[2]} is read, not {', '.join(others)}"
        chosen = replace(chosen, notes=(*chosen.notes, note))
    return chosen


def read_header(path: Path) -> set[str]:
    """Return the column names of a table (of all sheets), or nothing if it is none."""
    try:
        sheets = read_sheets(path)
    except UsageError:
        return set()
    headers = (sheet.cells[0] for sheet in sheets if sheet.cells)
    return {column_name(cell) for header in headers for cell in header if not NO_TABLE.search(cell)}


def table_files(folder: Path) -> list[Path]:
    """Return the tables right in a folder, hidden ones left out."""
    try:
        entries = sorted(folder.iterdir())
    except OSError:
        return []
    return [p for p in entries if p.suffix.lower() in TABLE_SUFFIXES and p.name[0] not in ".~"]


def column_name(text: str) -> str:
    """Return a header as lower-case words joined by ``_``: ``M/F`` becomes ``m_f``."""
    return re.sub(r"[\W_]+", "_", unicodedata.normalize("NFKC", text).strip().lower()).strip("_")


def common_name(name: str) -> str:
    """Return what a column is called here: ``gender`` and ``性別`` are ``sex``."""
    if name in AGE_UNITS:
        return "age"
    words = name.split("_")
    # Alter_in_Jahren is Alter, Probanden_Nr is Proband; age_at_onset stays what it is.
    while len(words) > 1 and words[-1] in TAIL:
        words.pop()
    bare = "_".join(words)
    for known in (name, bare, bare.removesuffix("en")):
        if known in ALIASES or (known in set(ALIASES.values()) and known != "path"):
            return ALIASES.get(known, known)
    return name


def label_name(column: str | None) -> str | None:
    """Return the label that a user means by a column's name or header."""
    return None if column is None else common_name(column_name(column))


def labels_of(row: Mapping[str, str], leave_out: Iterable[str] = ()) -> dict[str, Value]:
    """Return one row as labels: common names unified, sex as M or F, empty cells left out."""
    columns = tuple(row)
    table = SourceTable(Path(), "row", columns, (dict(row),), (1,))
    return label_rows(table, leave_out).rows[0]


def label_rows(
    table: SourceTable,
    leave_out: Iterable[str] = (),
    legends: Mapping[str, Mapping[str, str]] | None = None,
) -> Labels:
    """Return a table's rows as labels, each column read as a whole.

    Common names are unified, sexes become M and F, ages years, empty cells are left out; columns
    that hold the same are joined, and names of our own get a ``_label`` behind.

    Parameters
    ----------
    table
        As `read_table_file` gives it.
    leave_out
        Columns that say who and where, no labels.
    legends
        What codes mean, by column, where a legend beside the table says so.
    """
    skip = set(leave_out)
    notes: list[str] = []
    fates = [
        f"{table.headers.get(name, name)}: who and where" for name in table.columns if name in skip
    ]
    values: dict[str, list[Value]] = {}
    for name in table.columns:
        if name in skip:
            continue
        header = table.headers.get(name, name)
        plain = common_name(column_name(header.partition("(")[0]) or column_name(header) or name)
        if LEGEND.search(header):  # sex 1=male 2=female
            first = common_name(column_name(re.split(r"[\W\d_]", header.strip())[0]))
            plain = first if first == "sex" else plain
        common = _own_name(plain)
        column, told = _column(table, name, common, legends or {})
        notes += [f"{table.name}, {header}: {note}" for note in told]
        if common == "sex" and _coded(column):
            common = "sex_code"
            column = [value_of(None if value is None else str(value)) for value in column]
            notes.append(f"{table.name}, {header}: codes without a legend: kept as sex_code")
        place, note = _put(values, common, column)
        if note:
            notes.append(f"{table.name}, {header}: {note}")
        if plain in RESERVED_COLUMNS:
            notes.append(f"{table.name}, {header}: a name of our own, kept as {place}")
        if all(value is None for value in column):
            fates.append(f"{header}: empty")
        else:
            fates.append(f"{header}: label {place}")
    rows = tuple(
        {name: column[i] for name, column in values.items() if column[i] is not None}
        for i in range(len(table.rows))
    )
    return Labels(rows, tuple(notes), tuple(fates))


def clean(name: str) -> str:
    """Return a name as a BIDS label: its letters and digits."""
    return re.sub(r"[^A-Za-z0-9]", "", name)


def clean_subjects(names: Iterable[str], where: str | Path) -> dict[str, str]:
    """Map each subject's name to a BIDS label, and stop where two people would become one.

    Raises
    ------
    UsageError
        If two names share their letters and digits, or one has none.
    """
    owners: dict[str, str] = {}
    for name in dict.fromkeys(names):
        label = clean(name) or _spelled(name)
        if not label:
            raise UsageError(where, f"a subject named {name!r}", "letters or digits")
        if label in owners:
            found = f"subjects {owners[label]!r} and {name!r}, the same in letters and digits"
            raise UsageError(where, found, "names that differ", "Rename one of them.")
        owners[label] = name
    return {name: label for label, name in owners.items()}


def session_name(text: str) -> str:
    """Return a visit's name as a BIDS label, letters beyond ASCII spelled by their code points."""
    bare = re.sub(r"^ses-", "", text.strip())
    return clean(bare) if bare.isascii() else _spelled(bare)


def label_column_of(columns: Iterable[str]) -> str:
    """Return the column that most likely holds the class."""
    present = set(columns)
    return next((name for name in LABEL_COLUMNS if name in present), LABEL_COLUMNS[0])


def _spelled(name: str) -> str:
    """Return letters beyond ASCII as their code points, so that 患者1 and 患者2 differ."""
    letters = (c if c.isascii() else f"u{ord(c):x}" for c in name if c.isalnum())
    return "".join(letters)


def _table(path: Path, sheet: Sheet) -> SourceTable:
    name = path.name + (f", sheet {sheet.name}" if sheet.name else "")
    header, *body = sheet.cells
    columns, headers, notes = _distinct(header)
    notes = [*sheet.notes, *notes]
    for line, row in zip(sheet.lines[1:], body, strict=True):
        if any(row[len(header) :]):
            notes.append(f"line {line} has {len(row)} cells under {len(header)} headers")
    by_column: dict[str, list[str]] = {}
    for i, column in enumerate(columns):
        cells = [row[i] if i < len(row) else "" for row in body]
        if not column and any(cells):
            column = f"column_{i + 1}"
            notes.append(f"the {i + 1}. column has no header: called {column}")
            headers[column] = column
        if column:
            by_column[column], note = with_points(cells, sheet.semicolons)
            notes += [f"{headers[column]}: {note}"] if note else []
    rows = tuple({name: cells[i] for name, cells in by_column.items()} for i in range(len(body)))
    names = tuple(by_column)
    return SourceTable(path, name, names, rows, sheet.lines[1:], headers, tuple(notes))


def _distinct(header: Sequence[str]) -> tuple[list[str], dict[str, str], list[str]]:
    """Return distinct names of a header's columns; a repeated one gets a number."""
    columns: list[str] = []
    headers: dict[str, str] = {}
    notes = []
    for cell in header:
        column = base = column_name(cell) or ""
        number = 2
        while column and column in headers:
            column, number = f"{base}_{number}", number + 1
        if column != base:
            notes.append(f"the header {cell} stands there again: {column}")
        if column:
            headers[column] = cell.strip()
        columns.append(column)
    return columns, headers, notes


def _own_name(name: str) -> str:
    return f"{name}_label" if name in RESERVED_COLUMNS else name


def _column(
    table: SourceTable, name: str, common: str, legends: Mapping[str, Mapping[str, str]]
) -> tuple[list[Value], list[str]]:
    """Return one column's values, and what had to be decided."""
    cells = table.cells(name)
    if common == "age":
        return ages(cells, AGE_UNITS.get(name, 1.0))
    if common == "sex":
        header = LEGEND.findall(table.headers.get(name, ""))
        return sexes(cells, legends.get(name) or dict(header))
    if common in LABEL_COLUMNS or common in ("site", "scanner"):
        return [value_of(cell) for cell in cells], []
    if holds_dates(name, cells):
        return _dates(cells)
    return numbers(cells)


def _dates(cells: Sequence[str]) -> tuple[list[Value], list[str]]:
    """Return dates as ISO text where their order is known; else as they are written."""
    column = date_column(cells)
    parsed = [column.parse(cell) for cell in cells]
    values: list[Value] = [
        day.isoformat() if day else value_of(cell) for day, cell in zip(parsed, cells, strict=True)
    ]
    if column.order == "not sure":
        why = column.proof or "every date fits both"
        return values, [f"day or month first? ({why}): kept as written"]
    return values, [f"{column.order} ({column.proof})"] if column.proof else []


def _coded(column: Sequence[Value]) -> bool:
    texts = [str(value) for value in column if value is not None]
    return bool(texts) and all(re.fullmatch(r"-?\d+([.,]0)?", text) for text in texts)


def _put(values: dict[str, list[Value]], name: str, column: list[Value]) -> tuple[str, str]:
    """Join a column with one of the same name where they agree, else keep both."""
    if name not in values:
        values[name] = column
        return name, ""
    pairs = list(zip(values[name], column, strict=True))
    if all(a is None or b is None or a == b for a, b in pairs):
        values[name] = [b if a is None else a for a, b in pairs]
        return name, f"joined with another column {name}"
    number = 2
    while f"{name}_{number}" in values:
        number += 1
    values[f"{name}_{number}"] = column
    return f"{name}_{number}", f"contradicts another column {name}: kept as {name}_{number}"
