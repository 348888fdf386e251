"""Match a scan with the clinical visit nearest in time; the years between two dates."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import date

from braincase.sources.dates import DateColumn
from braincase.sources.rows import Row

DAYS_A_YEAR = 365.25
#: How a single date is read, beside which nothing tells the order: American, as archives write it.
AMERICAN = DateColumn("month first")


def years_between(start: date, end: date) -> float:
    """Return the time from one date to another, years."""
    return (end - start).days / DAYS_A_YEAR


def nearest(
    rows: Sequence[Row],
    column: str,
    when: date | int,
    window: int,
    dates: DateColumn = AMERICAN,
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
    dates
        How the column's dates are written.
    """
    timed: list[tuple[int, int, int]] = []
    for number, row in enumerate(rows):
        days = _days_after(row.get(column, ""), when, dates)
        if days is not None and abs(days) <= window:
            timed.append((abs(days), number, days))
    if not timed:
        return None, 0
    _, number, days = min(timed)
    return rows[number], days


def _days_after(text: str, when: date | int, dates: DateColumn) -> int | None:
    if isinstance(when, date):
        visit = dates.parse(text)
        return (when - visit).days if visit else None
    day = re.fullmatch(r"(-?\d+)(\.0*)?", text.strip())  # zero-padded in some tables
    return when - int(day[1]) if day else None
