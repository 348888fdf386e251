"""Spreadsheets (XLSX, XLS, ODS, XLSB) and delimited text (CSV, TSV) as rows of cells."""

from __future__ import annotations

import csv
import io
import re
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path

from python_calamine import CalamineError, CalamineSheet, CalamineWorkbook, SheetVisibleEnum

from braincase.errors import UsageError
from braincase.files import check_regular
from braincase.sources.encoding import decode

#: Workbooks that calamine reads; of an XLSX openpyxl also tells zeros that are only shown.
OLD_WORKBOOKS = (".xls", ".ods", ".xlsb")
TABLE_SUFFIXES = (".csv", ".tsv", ".xlsx", ".xlsm", *OLD_WORKBOOKS)
#: Tables of other programs that are not read, but said.
OTHER_SUFFIXES = (".numbers", ".sav", ".rda", ".rds", ".dta")
SEPARATORS = ",;\t|"
MAX_CELL = 1 << 24
#: The most cells of a sheet, empty ones in between included: 16 columns of a million rows.
MAX_CELLS = 1 << 24


@dataclass(frozen=True)
class Sheet:
    """The cells of one table as text, as they stand in its file.

    Parameters
    ----------
    name
        The sheet's name; empty in text files.
    cells
        The rows of cells, the header first; empty rows left out.
    lines
        The line of each row in its file, from 1.
    semicolons
        Whether semicolons part the cells, so that a comma is a decimal sign.
    notes
        How the file had to be read.
    """

    name: str
    cells: tuple[tuple[str, ...], ...]
    lines: tuple[int, ...]
    semicolons: bool = False
    notes: tuple[str, ...] = ()


def read_sheets(path: Path) -> list[Sheet]:
    """Return the tables of a file: one of a text file, each sheet of a workbook.

    Raises
    ------
    UsageError
        If it cannot be read as a table, or a quote in it is never closed.
    """
    suffix = path.suffix.lower()
    try:
        check_regular(path)
        if suffix in (".xlsx", ".xlsm"):
            return _workbook(path)
        if suffix in OLD_WORKBOOKS:
            return _old_workbook(path)
        if suffix in OTHER_SUFFIXES:
            raise UsageError(path, f"a {suffix} table", "CSV, TSV or XLSX", "Save it as one.")
        content = path.read_bytes()
    except OSError as error:
        raise UsageError(path, f"no readable table ({error})", "CSV, TSV or XLSX") from error
    text, note = decode(content)
    return [_text_sheet(path, text, (note,) if note else ())]


def _workbook(path: Path) -> list[Sheet]:
    from openpyxl import load_workbook  # few sources have workbooks, and it is long to import

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # styles and extensions that openpyxl does not know
            book = load_workbook(path, read_only=True, data_only=True)
            try:
                return [_worksheet(path, sheet) for sheet in book.worksheets]
            finally:
                book.close()
    except UsageError:
        raise
    except Exception as error:  # zipfile, XML and openpyxl each have their own
        found = f"no readable workbook ({type(error).__name__}: {error})"
        raise UsageError(path, found, "an XLSX table", "Save it again, or as CSV.") from error


def _old_workbook(path: Path) -> list[Sheet]:
    try:
        with CalamineWorkbook.from_path(str(path)) as book:
            return [
                _old_worksheet(
                    book.get_sheet_by_index(i), about.visible == SheetVisibleEnum.Visible
                )
                for i, about in enumerate(book.sheets_metadata)
            ]
    except (CalamineError, ValueError) as error:
        found = f"no readable workbook ({error})"
        raise UsageError(path, found, "a table", "Save it again, or as CSV.") from error


def _old_worksheet(sheet: CalamineSheet, visible: bool) -> Sheet:
    rows, lines = [], []
    for number, row in enumerate(sheet.to_python(skip_empty_area=False), start=1):
        cells = tuple(_value_text(value) for value in row)
        if any(cells):
            rows.append(cells)
            lines.append(number)
    hidden = () if visible else ("a hidden sheet",)
    return _from_header(Sheet(sheet.name, tuple(rows), tuple(lines), False, hidden))


def _worksheet(path: Path, sheet) -> Sheet:  # type: ignore[no-untyped-def]  # openpyxl has no types
    rows: list[tuple[str, ...]] = []
    lines, width, left = [], 0, MAX_CELLS
    sheet.reset_dimensions()  # else every row would be filled to the one cell farthest out
    for number, row in enumerate(sheet.iter_rows(), start=1):
        left -= len(row)
        if left < 0 or len(rows) * width > MAX_CELLS:
            found = f"more than {MAX_CELLS:,} cells in the sheet {str(sheet.title)!r}"
            advice = "Delete what stands far out at its right or at its end, or save it as CSV."
            raise UsageError(path, found, "a table of people or scans", advice)
        cells = tuple(_cell_text(cell) for cell in row)
        if any(cells):
            rows.append(cells)
            lines.append(number)
            width = max(width, *(place for place, cell in enumerate(cells, start=1) if cell))
    rows = [(*cells[:width], *[""] * (width - len(cells))) for cells in rows]
    hidden = () if sheet.sheet_state == "visible" else ("a hidden sheet",)
    return _from_header(Sheet(str(sheet.title), tuple(rows), tuple(lines), False, hidden))


def _cell_text(cell) -> str:  # type: ignore[no-untyped-def]  # openpyxl has no types
    """Return a cell as text: whole numbers without a fraction, zeros in front where they show."""
    if cell.value is None:
        return ""
    text = _value_text(cell.value)
    shown = str(getattr(cell, "number_format", "") or "")
    return text.zfill(len(shown)) if re.fullmatch(r"0{2,}", shown) and text.isdigit() else text


def _value_text(value: object) -> str:
    """Return a cell's value as text: whole numbers without a fraction, days as ISO dates."""
    if value is None:
        return ""
    if isinstance(value, datetime):
        return value.date().isoformat() if value.time().isoformat() == "00:00:00" else str(value)
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        value = int(value)
    return repr(value) if isinstance(value, float) else str(value).strip()


def _text_sheet(path: Path, text: str, notes: tuple[str, ...]) -> Sheet:
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    first, _, rest = text.partition("\n")
    skipped = 0
    if match := re.fullmatch(r'"?sep=(.)"?', first.strip()):  # a spreadsheet's own hint
        separator, text, skipped = match[1], rest, 1
    else:
        separator = _separator(path, text)
    if path.suffix.lower() == ".tsv" and separator != "\t" and separator in first:
        notes = (*notes, f"its cells are parted by {separator!r}, no tabs")
    rows = _parsed(path, text, separator)
    cells = tuple(row for row, _ in rows)
    lines = tuple(line + skipped for _, line in rows)
    return _from_header(Sheet("", cells, lines, separator == ";", notes))


def _separator(path: Path, text: str) -> str:
    """Return what parts the cells: what the header holds most of, outside of quotes."""
    header = next((line for line in text.split("\n") if line.strip()), "")
    bare = re.sub(r'"[^"]*"', "", header)
    counts = {mark: bare.count(mark) for mark in SEPARATORS}
    if path.suffix.lower() == ".tsv" and counts["\t"]:
        return "\t"
    best = max(SEPARATORS, key=lambda mark: counts[mark])
    return best if counts[best] else ("\t" if path.suffix.lower() == ".tsv" else ",")


def _parsed(path: Path, text: str, separator: str) -> list[tuple[tuple[str, ...], int]]:
    """Return the rows that are not empty, each with its line."""
    if separator == "\t":
        plain = _plain(text)
        width = len(plain[0][0]) if plain else 0
        if '"' not in text or all(len(row) == width for row, _ in plain):
            return [(tuple(map(_unquoted, row)), line) for row, line in plain]
        quoted = _quoted(path, text, separator, strict=False)
        if quoted and all(len(row) == len(quoted[0][0]) for row, _ in quoted):
            return quoted
        return [(tuple(map(_unquoted, row)), line) for row, line in plain]
    return _quoted(path, text, separator, strict=True)


def _plain(text: str) -> list[tuple[tuple[str, ...], int]]:
    """Split tab-separated text, in which a quote is a letter like others."""
    rows = (tuple(cell.strip() for cell in line.split("\t")) for line in text.split("\n"))
    return [(row, number) for number, row in enumerate(rows, start=1) if any(row)]


def _unquoted(cell: str) -> str:
    if len(cell) >= 2 and cell[0] == cell[-1] == '"':
        return cell[1:-1].replace('""', '"').strip()
    return cell


def _quoted(
    path: Path, text: str, separator: str, strict: bool
) -> list[tuple[tuple[str, ...], int]]:
    """Read text in which quotes hold a cell together; refuse one that is never closed."""
    csv.field_size_limit(MAX_CELL)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, skipinitialspace=True)
    rows: list[tuple[tuple[str, ...], int]] = []
    before = 0
    try:
        for cells in reader:
            line, before = before + 1, reader.line_num
            swallowed = _swallowed(cells, separator, rows)
            if strict and (swallowed or _open_quote(text, line, before)):
                advice = "Close it, write it twice, or take it out."
                raise UsageError(
                    path, f"line {line}: a quote that is never closed", "pairs of quotes", advice
                )
            row = tuple(cell.strip() for cell in cells)
            if any(row):
                rows.append((row, line))
    except csv.Error as error:
        where = f"no readable table (line {reader.line_num}: {error})"
        raise UsageError(path, where, "CSV or TSV text") from error
    return rows


def _swallowed(
    cells: Sequence[str], separator: str, rows: Sequence[tuple[tuple[str, ...], int]]
) -> bool:
    """Say whether a cell of several lines holds whole rows of the table."""
    parts = max(1, len(rows[0][0]) - 1) if rows else 1
    return any(
        line.count(separator) >= parts
        for cell in cells
        if "\n" in cell
        for line in cell.split("\n")[1:]
    )


def _open_quote(text: str, first: int, last: int) -> bool:
    """Say whether the quotes of the last row, of several lines or one, do not pair up."""
    lines = text.split("\n")
    if last < len(lines) - (1 if lines and not lines[-1] else 0):
        return False  # not the last row: the reader found the end of its quotes
    piece = "\n".join(lines[first - 1 : last])
    quotes = len(re.findall(r'(?:^|[,;|\n])\s*"', piece)) + piece.count('""')
    return piece.count('"') % 2 == 1 and quotes > 0


def _from_header(sheet: Sheet) -> Sheet:
    """Leave out a title above the header: the first rows with one cell where others have more."""
    widths = [sum(bool(cell) for cell in row) for row in sheet.cells]
    most = max(widths, default=0)
    start = next((i for i, width in enumerate(widths) if width > 1), 0) if most > 1 else 0
    if not start or start > 10:
        return sheet
    lines = ", ".join(str(line) for line in sheet.lines[:start])
    note = f"line {lines} above the header is passed over"
    return Sheet(
        sheet.name, sheet.cells[start:], sheet.lines[start:], sheet.semicolons, (*sheet.notes, note)
    )
