"""Date parsing of a whole column: day first, month first or ISO, decided by all of its cells."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Literal

from dateutil import parser

Order = Literal["day first", "month first", "not sure"]
#: Two numbers of one or two digits and a year: which is the day is not said.
NUMBERS = re.compile(r"(\d{1,2})\s*([/.\-])\s*(\d{1,2})\s*\2\s*(\d{4}|\d{2})(?!\d)")
YEAR_FIRST = re.compile(r"(\d{4})\s*[-/.年]?\s*(\d{1,2})\s*[-/.月]?\s*(\d{1,2})(?!\d)")
NAMED = re.compile(r"\d{1,2}[\s.-]*[a-z]{3,}[\s.,-]*\d{2,4}|[a-z]{3,}[\s.]*\d{1,2},?\s*\d{4}", re.I)
#: Days since 30 December 1899, as spreadsheets count them: 1954 to 2064.
SERIAL = re.compile(r"([2-5]\d{4})([.,]\d+)?")
SPREADSHEET_ZERO = date(1899, 12, 30)
#: Two-digit years above this are of the last century.
LAST_CENTURY = 68
#: Columns of these words hold dates.
DATE_WORDS = re.compile(r"date|datum|fecha|(?:^|_)dob(?:$|_)|日付|検査日|撮[像影]日|日期|날짜")


@dataclass(frozen=True)
class DateColumn:
    """How the dates of a column are written, found out from all of its cells.

    Parameters
    ----------
    order
        ``day first``, ``month first``, or ``not sure`` where every cell fits both.
    mixed
        Whether some cells can only be the one and others only the other.
    serial
        Whether there are spreadsheets' day numbers.
    proof
        The cell that shows the order; empty where none does.
    """

    order: Order = "month first"
    mixed: bool = False
    serial: bool = False
    proof: str = ""

    def parse(self, text: str) -> date | None:
        """Return one cell's date; None where it is none, or where its order is not known."""
        readings = self.readings(text)
        return readings[0] if len(readings) == 1 else None

    def readings(self, text: str) -> tuple[date, ...]:
        """Return what a cell may mean: no date, one, or two where the order is not sure."""
        text = text.strip()
        match = NUMBERS.match(text)
        if not match or match[2] == ".":
            found = _date_of(text, "day first")
            return (found,) if found else ()
        orders: tuple[Order, ...] = (self.order,)
        if self.mixed or self.order == "not sure":
            orders = ("month first", "day first")
        dates = dict.fromkeys(_date_of(text, order) for order in orders)
        return tuple(found for found in dates if found)


def date_column(cells: Iterable[str]) -> DateColumn:
    """Find out how a column's dates are written.

    One first number above 12 makes it day first, one second number above 12 month first. Numbers
    joined by full stops are day first everywhere, names of months and years in front are clear.
    """
    day = month = both = ""
    serial = False
    for cell in cells:
        serial = serial or bool(SERIAL.fullmatch(cell.strip()))
        match = NUMBERS.match(cell.strip())
        if not match or match[2] == ".":
            continue
        first, second = int(match[1]), int(match[3])
        if first > 12 >= second:
            day = day or cell.strip()
        elif second > 12 >= first:
            month = month or cell.strip()
        elif first != second:
            both = both or cell.strip()
    if day and month:
        return DateColumn("not sure", True, serial, f"{day} and {month}")
    if day or month:
        return DateColumn("day first" if day else "month first", False, serial, day or month)
    return DateColumn("not sure" if both else "month first", False, serial, "")


def holds_dates(name: str, cells: Iterable[str]) -> bool:
    """Say whether a column holds dates: by its name, or because all its cells are dates."""
    texts = [cell.strip() for cell in cells if cell.strip()]
    if not texts:
        return False
    if DATE_WORDS.search(name):
        return any(map(date_in, texts))
    return all(
        NUMBERS.match(text) or re.match(r"\d{4}[-/年]\d{1,2}[-/月]\d", text) for text in texts
    )


def date_in(text: str) -> date | None:
    """Return the day that a cell begins with, in any order of writing, or None."""
    return _date_of(text, "day first") or _date_of(text, "month first")


def _date_of(text: str, order: Order) -> date | None:
    try:
        if match := NUMBERS.match(text):
            first, second, year = int(match[1]), int(match[3]), int(match[4])
            if len(match[4]) == 2:
                year += 1900 if year > LAST_CENTURY else 2000
            day, month = (first, second) if order == "day first" else (second, first)
            return date(year, month, day)
        if match := SERIAL.fullmatch(text):
            return SPREADSHEET_ZERO + timedelta(days=int(match[1]))
        if match := YEAR_FIRST.match(text):
            return date(int(match[1]), int(match[2]), int(match[3]))
        if NAMED.match(text):
            named: date = parser.parse(text, dayfirst=True).date()
            return named
    except (ValueError, OverflowError):  # no such day, or words that are no month
        return None
    return None
