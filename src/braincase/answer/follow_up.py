"""Follow-up of the neighbours: their later visits in the same gallery."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from braincase.gallery import Gallery, Hit
from braincase.labels import Value, age_of


@dataclass(frozen=True)
class LaterVisit:
    """Follow-up visit `years` after the hit's scan, or None where ages are not known."""

    scan_id: str
    session: str | None
    years: float | None
    labels: Mapping[str, Value]


def follow_up(gallery: Gallery, hit: Hit, as_of: int | None = None) -> tuple[LaterVisit, ...]:
    """Return the later visits of a hit's person.

    Visits are in the order of age; where an age is missing, in that of the session names (numbers
    in them counted as numbers: ``m6`` before ``m12``).

    Parameters
    ----------
    gallery
        Where the hit was found.
    hit
        One hit of a search.
    as_of
        The version searched; None for now.
    """
    scans = gallery.person(hit.subject, as_of)
    ages = {case.scan_id: age_of(case.labels) for case in scans}
    start = age_of(hit.labels)
    if start is None or None in ages.values():
        session = _natural(hit.session)
        later = [case for case in scans if _natural(case.session) > session]
        later.sort(key=lambda case: _natural(case.session))
        return tuple(LaterVisit(case.scan_id, case.session, None, case.labels) for case in later)
    years = {scan_id: age - start for scan_id, age in ages.items() if age is not None}
    later = [case for case in scans if years[case.scan_id] > 0]
    later.sort(key=lambda case: years[case.scan_id])
    return tuple(
        LaterVisit(case.scan_id, case.session, round(years[case.scan_id], 2), case.labels)
        for case in later
    )


def _natural(session: str | None) -> list[tuple[int, str]]:
    """Return a natural sort key: numbers inside a name count as numbers."""
    parts = re.findall(r"\d+|\D+", session or "")
    return [(int(part), "") if part.isdigit() else (-1, part) for part in parts]
