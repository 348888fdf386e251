"""Tables as people write them: commas or tabs, headers in any case, empty cells of many names."""

from __future__ import annotations

import csv
import math
import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from braincase.errors import UsageError
from braincase.labels import Value, read_cell

Row = dict[str, str]
MISSING = {"", "n/a", "na", "nan", "none", "null", "#n/a", "."}
SEXES = {"m": "M", "male": "M", "man": "M", "f": "F", "female": "F", "woman": "F"}
#: Columns that hold a scan's class, in the order they are looked for.
LABEL_COLUMNS = ("diagnosis", "label", "dx", "group")
ALIASES = {"gender": "sex", "age_at_scan": "age", "age_years": "age"}


def read_rows(path: Path) -> list[Row]:
    """Read a CSV or TSV file; headers become lower-case words joined by ``_``.

    Raises
    ------
    UsageError
        If the file cannot be read as a table with a header line.
    """
    try:
        text = _text(path)
        lines = text.splitlines()
        header = lines[0] if lines else ""
        delimiter = "\t" if path.suffix == ".tsv" else max(",;\t", key=header.count)
        table = list(csv.reader(lines, delimiter=delimiter, skipinitialspace=True))
    except (OSError, csv.Error) as error:
        raise UsageError(path, f"no readable table ({error})", "CSV or TSV text") from error
    if not table:
        raise UsageError(path, "an empty table", "a header line and rows")
    names = [column_name(cell) for cell in table[0]]
    return [
        {name: cell.strip() for name, cell in zip(names, cells, strict=False) if name}
        for cells in table[1:]
        if any(cell.strip() for cell in cells)
    ]


def read_header(path: Path) -> set[str]:
    """Return the column names of a CSV or TSV file, or nothing if it is no table."""
    try:
        with path.open(encoding="utf-8-sig", errors="replace") as file:
            line = file.readline(100_000)
    except OSError:
        return set()
    return {column_name(cell) for cell in next(csv.reader([line.replace("\0", "")]), [])}


def column_name(text: str) -> str:
    """Return a header as lower-case words joined by ``_``: ``M/F`` becomes ``m_f``."""
    return re.sub(r"[^a-z0-9]+", "_", text.strip().lower()).strip("_")


def value_of(text: str | None) -> Value:
    """Return a cell as a number where it is one, None where it is empty, or text.

    Digits with a leading zero stay text: they are names.
    """
    text = read_cell((text or "").strip())
    if text.lower() in MISSING:
        return None
    if re.fullmatch(r"-?(0|[1-9]\d{0,17})", text):
        return int(text)
    if re.fullmatch(r"0\d+", text) or "_" in text:
        return text
    try:
        number = float(text)
    except ValueError:
        return text
    return number if math.isfinite(number) else text


def number_of(text: str | None) -> float | None:
    """Return a cell as a number, or None."""
    value = value_of(text)
    return float(value) if isinstance(value, int | float) else None


def labels_of(row: Mapping[str, str], leave_out: Iterable[str] = ()) -> dict[str, Value]:
    """Return a row as labels: common names unified, sex as M or F, empty cells left out."""
    skip = set(leave_out)
    cells = {ALIASES.get(name, name): value_of(cell) for name, cell in row.items()}
    labels: dict[str, Value] = {
        name: v for name, v in cells.items() if v is not None and name not in skip
    }
    if "sex" in labels:
        sex = str(labels["sex"])
        labels["sex"] = SEXES.get(sex.lower(), sex)
    return labels


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
        label = clean(name)
        if not label:
            raise UsageError(where, f"a subject named {name!r}", "letters or digits")
        if label in owners:
            found = f"subjects {owners[label]!r} and {name!r}, the same in letters and digits"
            raise UsageError(where, found, "names that differ", "Rename one of them.")
        owners[label] = name
    return {name: label for label, name in owners.items()}


def label_column_of(columns: Iterable[str]) -> str:
    """Return the column that most likely holds the class."""
    present = set(columns)
    return next((name for name in LABEL_COLUMNS if name in present), LABEL_COLUMNS[0])


def _text(path: Path) -> str:
    """Return a text file, in UTF-8 or, as spreadsheets export it, Windows-1252."""
    content = path.read_bytes().replace(b"\0", b"")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        return content.decode("cp1252", errors="replace")
