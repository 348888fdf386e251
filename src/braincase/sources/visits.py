"""Match a scan with the clinical visit nearest in time; dates and the years between them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import date

from braincase.sources.rows import Row

DAYS_A_YEAR = 365.25


def parse_date(text: str) -> date | None:
    """Parse a date written as 2006-04-18, 20060418, or American 4/18/2006 or 4/18/06."""
    text = text.strip()
    try:
        if match := re.match(r"(\d{4})-?(\d{1,2})-?(\d{1,2})", text):
            return date(int(match[1]), int(match[2]), int(match[3]))
        if match := re.match(r"(\d{1,2})/(\d{1,2})/(\d{4}|\d{2})\b", text):
            year = int(match[3]) + (2000 if len(match[3]) == 2 else 0)
            return date(year, int(match[1]), int(match[2]))
    except ValueError:  # no such day
        return None
    return None


def years_between(start: date, end: date) -> float:
    """Return the time from one date to another, years."""
    return (end - start).days / DAYS_A_YEAR


def nearest(
    rows: Sequence[Row], column: str, when: date | int, window: int
) -> tuple[Row | None, int]:
    """Return the row nearest in time and how many days the scan came after it.

    Parameters
    ----------
    rows
        The visits of one person.
    column
        The column with the visit's date, or its day since enrolment where `when` is a day.
    when
        The scan's date, or its day since enrolment.
    window
        Visits more days away do not count.
    """
    timed: list[tuple[int, int, int]] = []
    for number, row in enumerate(rows):
        days = _days_after(row.get(column, ""), when)
        if days is not None and abs(days) <= window:
            timed.append((abs(days), number, days))
    if not timed:
        return None, 0
    _, number, days = min(timed)
    return rows[number], days


def _days_after(text: str, when: date | int) -> int | None:
    if isinstance(when, date):
        visit = parse_date(text)
        return (when - visit).days if visit else None
    day = re.fullmatch(r"(-?\d+)(\.0*)?", text.strip())  # zero-padded in some tables
    return when - int(day[1]) if day else None
